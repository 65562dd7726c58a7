//! Random numbers that are a pure function of a key, so that a resumed run draws what an unbroken one would.
//!
//! SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a counter through a mixer.
//! The same on every device and every machine; not for secrets.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream that belongs to these keys, in this order.
    pub(crate) fn new(keys: &[u64]) -> Self {
        let state =
            keys.iter().fold(0, |state: u64, &key| mix(state.wrapping_add(GOLDEN) ^ mix(key.wrapping_add(GOLDEN))));
        Self { state }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in `[-limit, limit)`.
    pub(crate) fn symmetric(&mut self, limit: f64) -> f32 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((unit * 2.0 - 1.0) * limit) as f32
    }

    /// Uniform below `n` (Lemire's multiplication; its bias is below `n / 2^64`).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Puts the values into a random order (Fisher-Yates).
    pub(crate) fn shuffle(&mut self, values: &mut [u32]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }

    /// `n` values, each 0 with the given probability and else `1 / (1 - probability)`.
    pub(crate) fn dropout_mask(&mut self, n: usize, probability: f64) -> Vec<f32> {
        let keep = (1.0 / (1.0 - probability)) as f32;
        let threshold = (probability * (1u64 << 32) as f64) as u64 as u32;
        let mut mask = vec![0f32; n];
        for pair in mask.chunks_mut(2) {
            let bits = self.next();
            for (value, draw) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                *value = if draw < threshold { 0.0 } else { keep };
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_value_and_depends_on_the_key_alone() {
        let shuffled = |keys: &[u64]| {
            let mut values: Vec<u32> = (0..1000).collect();
            Rng::new(keys).shuffle(&mut values);
            values
        };
        let first = shuffled(&[7, 0]);
        assert_eq!(first, shuffled(&[7, 0]));
        assert_ne!(first, shuffled(&[7, 1]));
        assert_ne!(first, shuffled(&[0, 7]));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<u32>>());
    }

    #[test]
    fn a_mask_has_the_right_share_of_zeros_and_keeps_the_mean() {
        let mask = Rng::new(&[1, 2, 3]).dropout_mask(100_001, 0.25);
        let zeros = mask.iter().filter(|&&value| value == 0.0).count() as f64 / 100_001.0;
        let mean = mask.iter().map(|&value| f64::from(value)).sum::<f64>() / 100_001.0;
        assert!((zeros - 0.25).abs() < 0.006, "{zeros}");
        assert!((mean - 1.0).abs() < 0.008, "{mean}");
        assert!(Rng::new(&[1]).dropout_mask(8, 0.0).iter().all(|&value| value == 1.0));
    }
}
