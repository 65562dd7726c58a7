//! Who meets the candidate: a pure function of model, candidate and a key of the request, the same in every process and
//! after every restart. A key that is chosen at a share is chosen at every larger one, so that a client that has met the
//! new version stays with it while its share grows.

/// FNV-1a of all parts, 64 bits, and then MurmurHash3's last step: FNV alone leaves neighbours near each other.
fn hash(parts: [&[u8]; 3]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for &byte in part {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // A mark between parts: "ab", "c" is not "a", "bc".
        sum = (sum ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    }
    sum = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    sum = (sum ^ (sum >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    sum ^ (sum >> 33)
}

/// Whether the request with this key is among so many percent. The candidate is part of the hash, so that the next
/// rollout tries other clients first.
pub(super) fn is_chosen(model: &str, candidate: u32, key: &[u8], percent: u8) -> bool {
    hash([model.as_bytes(), &candidate.to_le_bytes(), key]) % 10_000 < u64::from(percent) * 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(percent: u8) -> usize {
        (0..10_000).filter(|n: &u32| is_chosen("wine", 2, format!("request-{n}").as_bytes(), percent)).count()
    }

    #[test]
    fn shares_are_exact_and_the_same_everywhere() {
        for (percent, expect) in [(0, 0), (1, 95), (10, 1_016), (50, 4_903), (99, 9_898), (100, 10_000)] {
            assert_eq!(count(percent), expect, "{percent} percent of 10,000");
        }
    }

    #[test]
    fn whoever_is_chosen_stays_chosen_while_the_share_grows() {
        for n in 0..2_000_u32 {
            let key = n.to_le_bytes();
            let first = (0..=100).find(|&percent| is_chosen("wine", 2, &key, percent));
            let Some(first) = first else { panic!("everybody is chosen at 100 percent") };
            assert!((first..=100).all(|percent| is_chosen("wine", 2, &key, percent)), "{n}");
        }
    }

    #[test]
    fn another_candidate_tries_others_first() {
        let chosen = |candidate: u32| -> Vec<u32> {
            (0..1_000).filter(|n: &u32| is_chosen("wine", candidate, &n.to_le_bytes(), 10)).collect()
        };
        assert_ne!(chosen(2), chosen(3));
        assert_ne!(hash([b"ab", b"c", b""]), hash([b"a", b"bc", b""]));
    }
}
