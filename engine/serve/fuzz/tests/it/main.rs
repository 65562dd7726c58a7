//! Every target over its seeds and over some of their neighbours, so that a fault is found without a fuzzer.
#![allow(clippy::unwrap_used)]

use athanor_fuzz::{TARGETS, Target};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n.max(1)
    }
}

/// One change: a bit, a byte, a cut, a piece that is taken out, doubled, or taken from another seed.
fn changed(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    let (at, length) = (numbers.below(bytes.len()), 1 + numbers.below(8));
    let end = (at + length).min(bytes.len());
    match numbers.below(7) {
        _ if bytes.is_empty() => bytes.extend_from_slice(other),
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'-', b'9'][numbers.below(8)],
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            let from = numbers.below(other.len());
            let piece = other[from..(from + length).min(other.len())].to_vec();
            bytes.splice(at..end, piece);
        }
        _ => bytes[at] = bytes[at].wrapping_add(1),
    }
}

fn check(name: &str, n_changed: usize) {
    let Target { run, seeds, .. } = *TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds();
    assert!(!seeds.is_empty());
    run(&[]);
    seeds.iter().for_each(|seed| run(seed));
    let mut numbers = Numbers(7);
    for _ in 0..n_changed {
        let mut bytes = seeds[numbers.below(seeds.len())].clone();
        let other = &seeds[numbers.below(seeds.len())];
        for _ in 0..=numbers.below(4) {
            changed(&mut bytes, other, &mut numbers);
        }
        run(&bytes);
    }
}

#[test]
fn packages() {
    check("package", 2_000);
}

#[test]
fn onnx_files() {
    check("onnx", 1_000);
}

#[test]
fn json() {
    check("oip_json", 4_000);
}

#[test]
fn binary_tensors() {
    check("oip_binary", 4_000);
}

#[test]
fn contracts() {
    check("contracts", 4_000);
}

#[test]
fn grpc() {
    check("grpc", 1_000);
}

#[test]
fn seeds_are_good() {
    // A fuzzer that begins with refused bytes stays in front of the door: what is sent by a seed must be understood.
    for target in TARGETS {
        assert!((target.seeds)().len() > 1, "{}", target.name);
    }
}
