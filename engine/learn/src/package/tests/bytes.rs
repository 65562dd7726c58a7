#![allow(clippy::unwrap_used)]
//! Good packages, keys and signatures, and that every byte counts.

use athanor_protocol::{Code, columns::Frame, recipe::FittedStep, signature::Task};
use proptest::prelude::*;

use super::{
    super::{BLOCK_BYTES, HEADER_BYTES, Package, SignatureStatus, SigningKey, keys::sha256, sign},
    fixture::*,
};
use crate::predictor::Predictor;

// ---- what a good package is ----

#[test]
fn a_package_is_read_back_and_predicts() {
    let package = Package::read(signed()).unwrap();
    package.verify(&["0".repeat(64), key(1).public_hex().to_uppercase()]).unwrap();
    let signature = &package.manifest().signature;
    assert_eq!((signature.task, signature.target.as_str()), (Task::Binary, "kind"));
    assert_eq!(signature.classes, ["x", "y"]);
    // Neither the target nor the column that nobody needs has to be sent; the one that is filled may be missing.
    let inputs: Vec<_> = signature.inputs.iter().map(|input| (input.name.as_str(), input.nullable)).collect();
    assert_eq!(inputs, [("a", true), ("b", false)]);
    assert_eq!(package.manifest().lineage.datasets[0].name, "table.csv", "folders are cut off");
    let statistics = package.statistics().unwrap();
    assert_eq!(statistics.inputs.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);

    let predictor = Predictor::from_package(&package, "cpu").unwrap();
    assert_eq!(predictor.recipe(), &package.recipe().unwrap());
    let rows = Frame::new(vec![column("b", &[0.0, 1.0]), column("a", &[1.0, 2.0])]).unwrap();
    let outputs = predictor.predict(&rows).unwrap();
    assert_eq!(outputs.label.unwrap(), ["x".into(), "x".into()] as [std::sync::Arc<str>; 2]);
    assert_eq!(outputs.probabilities.unwrap(), [0.75, 0.25, 0.75, 0.25]);
    assert_eq!((outputs.n_rows, outputs.value), (2, None));
    let err = predictor.predict(&Frame::new(vec![column("a", &[1.0])]).unwrap()).unwrap_err();
    assert_eq!(err.to_string(), "column \"b\" is missing");
}

#[test]
fn equal_input_gives_equal_bytes() {
    assert!(unsigned() == unsigned() && signed() == signed());
    let again = sign(sign(unsigned(), &key(2)).unwrap(), &key(1)).unwrap();
    assert!(again == signed(), "signing again replaces the signature");
    let content = |file: Vec<u8>| Package::read(file).unwrap().content_sha256();
    assert_eq!(content(signed()), content(sign(unsigned(), &key(2)).unwrap()));
}

#[test]
fn a_feature_computed_from_the_target_is_refused() {
    let derive =
        FittedStep::Derive { column: "a".to_owned(), expression: "CASE WHEN Kind = 'x' THEN 1 END".to_owned() };
    let err = run_of(&recipe(vec![derive]), &encoder(&["a", "b"])).unwrap_err();
    assert_eq!(err.to_string(), "a feature is computed from the target \"kind\"");
    assert_eq!(err.code(), Code::BadData);
}

// ---- keys and signatures ----

#[test]
fn keys_are_32_bytes_and_are_not_printed() {
    let pair = key(7);
    assert_eq!(SigningKey::from_bytes(&pair.to_bytes()).unwrap().public_hex(), pair.public_hex());
    assert_eq!(pair.public_hex().len(), 64);
    assert!(!format!("{pair:?}").contains("0707"));
    let err = SigningKey::from_bytes(&[0; 31]).unwrap_err();
    assert_eq!(err.to_string(), "signing key: it has 31 bytes where 32 were expected");
    // RFC 8032, section 7.1, test 1.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap()).collect();
    let public = SigningKey::from_bytes(&bytes).unwrap().public_hex();
    assert_eq!(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

#[test]
fn only_a_trusted_key_is_trusted() {
    let untrusted = |file: Vec<u8>, trusted: &[String]| {
        let err = Package::read(file).unwrap().verify(trusted).unwrap_err();
        assert_eq!(err.code(), Code::Untrusted);
        err.to_string()
    };
    let trusted = [key(1).public_hex()];
    assert_eq!(untrusted(unsigned(), &trusted), "signature: the package is not signed");
    assert_eq!(Package::read(unsigned()).unwrap().signature(), &SignatureStatus::Unsigned);
    let other = sign(unsigned(), &key(2)).unwrap();
    let expect = format!("signature: the key {} is not one that is trusted here", key(2).public_hex());
    assert_eq!(untrusted(other, &trusted), expect);
    assert!(untrusted(signed(), &[]).ends_with("is not one that is trusted here"));
}

#[test]
fn wrong_signatures_are_refused() {
    let file = signed();
    let at = file.len() - BLOCK_BYTES;
    let refuse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file.clone();
        change(&mut file);
        check(file, Code::Untrusted, "signature: it does not fit the package's bytes");
    };
    // Another key with this signature, a signature of another package, zeros, a key of small order with any signature.
    let other = sign(unsigned(), &key(2)).unwrap();
    refuse(&|file| file[at..at + 32].copy_from_slice(&other[at..at + 32]));
    refuse(&|file| file[at + 32..].copy_from_slice(&other[at + 32..]));
    refuse(&|file| file[at..].fill(0));
    refuse(&|file| {
        file[at..].fill(0);
        file[at] = 1;
        file[at + 32] = 1;
    });
    // A change that makes every digest fit again does not make the signature fit.
    let changed = forge(&file, "\"test/accuracy\"", "\"test/Accuracy\"");
    check(changed, Code::Untrusted, "signature: it does not fit the package's bytes");
    // Taking the signature off is not the same as never having had one.
    let mut stripped = file.clone();
    stripped[12] = 0;
    check(stripped, Code::Corrupt, "signature: there is one, but the header says that there is none");
    // A signature of the same bytes for another purpose (without our domain) is none of a package.
    let mut foreign = file.clone();
    let bare = ed25519_dalek::Signer::sign(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]), &sha256(&file[..at]));
    foreign[at + 32..].copy_from_slice(&bare.to_bytes());
    check(foreign, Code::Untrusted, "signature: it does not fit the package's bytes");
}

// ---- every byte counts ----

#[test]
fn any_flipped_bit_is_refused_and_the_error_names_the_part() {
    for file in [unsigned(), signed()] {
        for (at, owner) in owners(&file).iter().enumerate() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                let err = Package::read(changed).map(|_| ()).unwrap_err();
                let allowed: &[&str] = match at {
                    8..12 => &["package"],
                    12..16 => &["header", "signature"],
                    16..HEADER_BYTES => &["manifest"],
                    _ => &[owner],
                };
                assert!(allowed.contains(&named(&err).as_str()), "byte {at} of {owner}, bit {bit}: {err}");
            }
        }
    }
}

#[test]
fn any_truncation_is_refused_and_the_error_names_the_part() {
    for file in [unsigned(), signed()] {
        for (length, owner) in owners(&file).iter().enumerate() {
            let err = Package::read(&file[..length]).map(|_| ()).unwrap_err();
            assert_eq!((named(&err), err.code()), (owner.clone(), Code::Corrupt), "cut to {length} bytes: {err}");
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for file in [unsigned(), signed()] {
        for tail in [&[0][..], &[0; BLOCK_BYTES], b"PK\x05\x06"] {
            let expect = format!("package: {} bytes follow its end", tail.len());
            check([&file, tail].concat(), Code::Corrupt, &expect);
        }
        check([&file[..], &file].concat(), Code::Corrupt, &format!("package: {} bytes follow its end", file.len()));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), n in 0_usize..60) {
        let mut file = unsigned()[..n].to_vec();
        file.extend_from_slice(&bytes);
        prop_assert!(Package::read(file).is_err());
    }

    #[test]
    fn any_replaced_run_of_bytes_is_refused(start in 0.0..1.0, bytes in prop::collection::vec(any::<u8>(), 1..40)) {
        let file = signed();
        let at = ((file.len() - bytes.len()) as f64 * start) as usize;
        let mut changed = file.clone();
        changed[at..at + bytes.len()].copy_from_slice(&bytes);
        prop_assume!(changed != file);
        prop_assert!(Package::read(changed).is_err());
    }
}
