//! Where ids and times come from. Injected everywhere, so that tests are exact.

use std::time::{SystemTime, UNIX_EPOCH};

use athanor_protocol::names::RunId;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_millis(&self) -> i64;
}

/// Makes ids and secrets.
pub trait IdSource: Send + Sync {
    /// A run id that was never given before; later ids sort after earlier ones as far as the clock allows.
    fn run_id(&self, now_millis: i64) -> RunId;
    /// Fills a buffer with random bytes fit for secrets.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    fn secret(&self, buffer: &mut [u8]) -> std::io::Result<()>;
}

/// The system's clock and random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    fn now_millis(&self) -> i64 {
        // A clock before 1970 is reported as 1970 rather than as an error: times are labels, never an order.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Lower-case base 32 (Crockford's digits) of the low `5 * N` bits of `value`.
fn base32<const N: usize>(value: u128) -> String {
    (0..N).rev().map(|at| char::from(DIGITS[((value >> (5 * at)) & 31) as usize])).collect()
}

impl IdSource for System {
    fn run_id(&self, now_millis: i64) -> RunId {
        let mut random = [0u8; 16];
        // Without system randomness the process id and the clock's nanoseconds still tell two runs apart; ids are no
        // secrets.
        if getrandom::fill(&mut random).is_err() {
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
            random = (nanos ^ (u128::from(std::process::id()) << 96)).to_le_bytes();
        }
        let time = base32::<10>(u128::from(now_millis.unsigned_abs()) & ((1 << 48) - 1));
        let tail = base32::<16>(u128::from_le_bytes(random));
        RunId::new(format!("{time}{tail}")).unwrap_or_else(|_| unreachable!("26 base-32 digits are a run id"))
    }

    fn secret(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(buffer).map_err(|err| std::io::Error::other(err.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_differ() {
        let early = System.run_id(1_000);
        let late = System.run_id(1_700_000_000_000);
        assert!(early < late);
        assert_ne!(System.run_id(5), System.run_id(5));
        assert_eq!(early.as_str().len(), RunId::LEN);
    }
}
