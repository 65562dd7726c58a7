//! What one key may ask for: so many requests and rows in a second (a bucket that refills) and in a day (a quota, by UTC).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use athanor_protocol::{Code, registry::KeyLimits};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{auth::Keys, refusal::Refusal};

const DAY_SECS: u64 = 86_400;
/// Most keys whose spending is remembered.
const MAX_METERS: usize = 4_096;

/// What a key has asked for on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests that were admitted.
    pub requests: u64,
    /// Rows that were predicted or were about to be.
    pub rows: u64,
}

/// The moment of a request: on a clock that only goes forward, and by the calendar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// Days since the Unix epoch.
    pub(crate) day: u32,
    /// Seconds until the next day.
    pub(crate) left_secs: u64,
}

impl Moment {
    pub(crate) fn at(now: Instant) -> Self {
        let secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let day = u32::try_from(secs / DAY_SECS).unwrap_or(u32::MAX);
        Self { now, day, left_secs: DAY_SECS - secs % DAY_SECS }
    }
}

/// A bucket of as much as a second allows, and at least one. It may be overdrawn by one large request, which the next
/// ones wait for.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// `None`: never used, so full.
    state: Option<(f64, Instant)>,
}

impl Bucket {
    fn size(rate: f64) -> f64 {
        rate.max(1.0)
    }

    fn left(&self, rate: f64, now: Instant) -> f64 {
        let size = Self::size(rate);
        self.state.map_or(size, |(left, at)| (left + now.saturating_duration_since(at).as_secs_f64() * rate).min(size))
    }

    /// Takes `n`, or says how many seconds it takes until they may be taken.
    fn take(&mut self, n: f64, rate: f64, now: Instant) -> Result<(), f64> {
        let left = self.left(rate, now);
        let needed = n.min(Self::size(rate));
        if left < needed {
            return Err((needed - left) / rate);
        }
        self.state = Some((left - n, now));
        Ok(())
    }
}

/// What a key has left, as answers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    limit: u64,
    remaining: u64,
    reset_secs: u64,
}

impl Rate {
    /// Writes the headers `RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("ratelimit-limit", self.limit),
            ("ratelimit-remaining", self.remaining),
            ("ratelimit-reset", self.reset_secs),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[derive(Default)]
struct Spending {
    requests: Bucket,
    rows: Bucket,
    day: Option<u32>,
    spent: Spent,
}

/// The spending of all keys that have limits.
#[derive(Default)]
pub(crate) struct Limiter(Mutex<HashMap<String, Spending>>);

fn refused(message: String, secs: f64) -> Refusal {
    // Rounded up: who comes back then is let in.
    let secs = secs.ceil().clamp(1.0, DAY_SECS as f64) as u32;
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::Overloaded, message)
        .hint(format!("try again after {secs} s"))
        .retry_after(secs)
}

impl Limiter {
    fn with<T>(&self, keys: &dyn Keys, key_id: &str, moment: Moment, work: impl FnOnce(&mut Spending) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_METERS && !all.contains_key(key_id) {
            // What was spent today is known to whoever keeps the keys; a bucket is full again after a second.
            all.clear();
        }
        let spending = all.entry(key_id.to_owned()).or_default();
        if spending.day != Some(moment.day) {
            spending.day = Some(moment.day);
            spending.spent = keys.spent(key_id, moment.day);
        }
        work(spending)
    }

    /// Lets a request of a key in, or says when to come again. `None` where the key has no limits.
    pub(crate) fn request(&self, keys: &dyn Keys, key_id: &str, moment: Moment) -> (Option<Rate>, Result<(), Refusal>) {
        let Some(limits) = keys.limits(key_id) else { return (None, Ok(())) };
        self.with(keys, key_id, moment, |spending| {
            let let_in = take_request(spending, &limits, moment);
            if let_in.is_ok() {
                spending.spent.requests += 1;
                keys.spend(key_id, moment.day, Spent { requests: 1, rows: 0 });
            }
            (rate(spending, &limits, moment), let_in)
        })
    }

    /// Lets the rows of a request in, or says when to come again.
    pub(crate) fn rows(&self, keys: &dyn Keys, key_id: &str, n: u64, moment: Moment) -> Result<(), Refusal> {
        let Some(limits) = keys.limits(key_id) else { return Ok(()) };
        self.with(keys, key_id, moment, |spending| {
            let after = spending.spent.rows.saturating_add(n);
            if let Some(max) = limits.rows_per_day.filter(|&max| after > max) {
                let left = max.saturating_sub(spending.spent.rows);
                let message = format!("the key may ask for {max} rows in a day, and has {left} left");
                return Err(refused(message, moment.left_secs as f64));
            }
            if let Some(rate) = limits.rows_per_second {
                spending
                    .rows
                    .take(n as f64, rate, moment.now)
                    .map_err(|secs| refused(format!("the key may ask for {rate} rows in a second"), secs))?;
            }
            spending.spent.rows = after;
            keys.spend(key_id, moment.day, Spent { requests: 0, rows: n });
            Ok(())
        })
    }
}

fn take_request(spending: &mut Spending, limits: &KeyLimits, moment: Moment) -> Result<(), Refusal> {
    if let Some(max) = limits.requests_per_day.filter(|&max| spending.spent.requests >= max) {
        let message = format!("the key may ask {max} times in a day, and has done so");
        return Err(refused(message, moment.left_secs as f64));
    }
    match limits.requests_per_second {
        None => Ok(()),
        Some(rate) => spending
            .requests
            .take(1.0, rate, moment.now)
            .map_err(|secs| refused(format!("the key may ask {rate} times in a second"), secs)),
    }
}

/// Of a second's and a day's limit the one that is nearer.
fn rate(spending: &Spending, limits: &KeyLimits, moment: Moment) -> Option<Rate> {
    let second = limits.requests_per_second.map(|rate| {
        let (size, left) = (Bucket::size(rate), spending.requests.left(rate, moment.now));
        let reset_secs = ((size - left) / rate).ceil() as u64;
        Rate { limit: size as u64, remaining: left.max(0.0) as u64, reset_secs }
    });
    let day = limits.requests_per_day.map(|limit| Rate {
        limit,
        remaining: limit.saturating_sub(spending.spent.requests),
        reset_secs: moment.left_secs,
    });
    [second, day].into_iter().flatten().min_by_key(|rate| rate.remaining)
}

/// What one request may spend.
#[derive(Clone)]
pub(crate) struct Meter {
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) key_id: Arc<str>,
}

impl Meter {
    /// Lets rows in.
    pub(crate) fn rows(&self, n_rows: usize) -> Result<(), Refusal> {
        self.limiter.rows(&*self.keys, &self.key_id, n_rows as u64, Moment::at(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::{Grant, KeyRefusal};

    struct Limited {
        limits: KeyLimits,
        before: Spent,
        noted: Mutex<Vec<(u32, Spent)>>,
    }

    impl Keys for Limited {
        fn check(&self, _: &str) -> Result<Grant, KeyRefusal> {
            Err(KeyRefusal::Unknown)
        }

        fn limits(&self, key_id: &str) -> Option<KeyLimits> {
            (key_id == "k").then_some(self.limits)
        }

        fn spent(&self, _: &str, day: u32) -> Spent {
            if day == 1 { self.before } else { Spent::default() }
        }

        fn spend(&self, _: &str, day: u32, more: Spent) {
            self.noted.lock().unwrap().push((day, more));
        }
    }

    fn limited(limits: KeyLimits, before: Spent) -> Limited {
        Limited { limits, before, noted: Mutex::default() }
    }

    #[test]
    fn a_second_has_so_many_requests() {
        let limits = KeyLimits { requests_per_second: Some(2.0), ..KeyLimits::default() };
        let (keys, limiter) = (limited(limits, Spent::default()), Limiter::default());
        let now = Instant::now();
        let ask = |millis| {
            let moment = Moment { now: now + Duration::from_millis(millis), day: 1, left_secs: 100 };
            let (rate, let_in) = limiter.request(&keys, "k", moment);
            (rate.unwrap().remaining, let_in.map_err(|refusal| refusal.retry_after_secs))
        };
        assert_eq!(ask(0), (1, Ok(())));
        assert_eq!(ask(0), (0, Ok(())));
        assert_eq!(ask(100), (0, Err(Some(1))));
        assert_eq!(ask(500), (0, Ok(())));
        assert_eq!(ask(60_000), (1, Ok(())), "no more than a second's worth is saved up");
        let moment = Moment { now, day: 1, left_secs: 100 };
        assert!(limiter.request(&keys, "other", moment).1.is_ok(), "others have no limit");
    }

    #[test]
    fn a_large_request_is_waited_for() {
        let limits = KeyLimits { rows_per_second: Some(10.0), ..KeyLimits::default() };
        let (keys, limiter) = (limited(limits, Spent::default()), Limiter::default());
        let now = Instant::now();
        let ask = |secs, n| {
            let moment = Moment { now: now + Duration::from_secs(secs), day: 1, left_secs: 100 };
            limiter.rows(&keys, "k", n, moment).map_err(|refusal| refusal.retry_after_secs)
        };
        assert_eq!(ask(0, 1_000), Ok(()));
        assert_eq!(ask(1, 1), Err(Some(99)));
        assert_eq!(ask(99, 1), Err(Some(1)));
        assert_eq!(ask(100, 1), Ok(()));
    }

    #[test]
    fn a_days_quota_outlives_a_restart_and_ends_with_the_day() {
        let limits = KeyLimits { requests_per_day: Some(5), rows_per_day: Some(100), ..KeyLimits::default() };
        let (keys, limiter) = (limited(limits, Spent { requests: 4, rows: 90 }), Limiter::default());
        let today = Moment { now: Instant::now(), day: 1, left_secs: 3_600 };
        let (rate, let_in) = limiter.request(&keys, "k", today);
        assert_eq!((rate, let_in.is_ok()), (Some(Rate { limit: 5, remaining: 0, reset_secs: 3_600 }), true));
        let refusal = limiter.request(&keys, "k", today).1.unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.retry_after_secs), (429, Some(3_600)));
        let refusal = limiter.rows(&keys, "k", 11, today).unwrap_err();
        assert_eq!(refusal.failure.message, "the key may ask for 100 rows in a day, and has 10 left");
        assert!(limiter.rows(&keys, "k", 10, today).is_ok());
        let noted = [(1, Spent { requests: 1, rows: 0 }), (1, Spent { requests: 0, rows: 10 })];
        assert_eq!(*keys.noted.lock().unwrap(), noted, "what was refused is not noted");
        let tomorrow = Moment { day: 2, ..today };
        assert!(limiter.request(&keys, "k", tomorrow).1.is_ok());
    }
}
