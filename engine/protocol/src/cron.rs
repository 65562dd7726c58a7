//! When something is due: the five fields of crontab(5), in UTC.
//!
//! `minute hour day-of-month month day-of-week`; each is `*`, a number, a range `a-b`, a list `a,b`, with a step `/n`
//! behind; months and days of the week also by their first three letters; Sunday is 0 and 7. Where both days are
//! restricted, one of them is enough, as cron has it. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest text that is looked at.
const MAX_BYTES: usize = 256;
const MINUTE_MILLIS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
/// A day that comes at all comes within this: the 29th of February may be eight years away.
const MAX_DAYS: i64 = 9 * 366;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule. Reads and writes itself as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether one of the two kinds of days is enough.
    either_day: bool,
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no schedule: {reason}")]
pub struct CronError {
    text: String,
    reason: String,
}

/// A field: its name, its least and greatest number, names of numbers.
struct Field {
    name: &'static str,
    least: u32,
    greatest: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, greatest: 59, names: &[] },
    Field { name: "hour", least: 0, greatest: 23, names: &[] },
    Field { name: "day of the month", least: 1, greatest: 31, names: &[] },
    Field { name: "month", least: 1, greatest: 12, names: &MONTHS },
    Field { name: "day of the week", least: 0, greatest: 7, names: &DAYS },
];

impl Field {
    /// The numbers that a text means, as bits.
    fn parse(&self, text: &str) -> Result<u64, String> {
        let mut bits = 0_u64;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => {
                    (range, Some(self.whole(step).filter(|step| *step > 0).ok_or_else(|| self.no(part))?))
                }
                None => (part, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.least, self.greatest),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                // A number with a step goes on to the end.
                None if step.is_some() => (self.number(range)?, self.greatest),
                None => (self.number(range)?, self.number(range)?),
            };
            if from > to {
                return Err(self.no(part));
            }
            for at in (from..=to).step_by(step.unwrap_or(1) as usize) {
                bits |= 1 << at;
            }
        }
        Ok(bits)
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let by_name = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = match by_name {
            Some(at) => Some(at as u32 + self.least),
            None => self.whole(text),
        };
        number.filter(|number| (self.least..=self.greatest).contains(number)).ok_or_else(|| self.no(text))
    }

    fn whole(&self, text: &str) -> Option<u32> {
        // "+5" would parse as a number.
        if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
    }

    fn no(&self, text: &str) -> String {
        format!("{text:?} is no {}; {} to {} are allowed", self.name, self.least, self.greatest)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let shown: String = text.chars().take(80).collect();
        let refuse = |reason: String| CronError { text: shown.clone(), reason };
        if text.len() > MAX_BYTES {
            return Err(refuse("it is too long".to_owned()));
        }
        let whole = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let words: Vec<&str> = whole.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words.as_slice() else {
            let reason = format!("it has {} fields, five are needed: minute hour day month weekday", words.len());
            return Err(refuse(reason));
        };
        let field = |at: usize, text: &str| match FIELDS.get(at) {
            Some(field) => field.parse(text).map_err(&refuse),
            None => Ok(0),
        };
        let weekdays = field(4, weekday)?;
        let cron = Self {
            text: words.join(" "),
            minutes: field(0, minute)?,
            hours: field(1, hour)?,
            days: field(2, day)?,
            months: field(3, month)?,
            // Sunday has two numbers.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.next_after(0) {
            Some(_) => Ok(cron),
            None => Err(refuse("there is no such day".to_owned())),
        }
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, CronError> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cron {
    /// The first minute after a time at which it is due; milliseconds since the Unix epoch. `None` only for a time so late
    /// that no calendar has it.
    pub fn next_after(&self, millis: i64) -> Option<i64> {
        let first = millis.div_euclid(MINUTE_MILLIS).checked_add(1)?;
        let (day, minute) = (first.div_euclid(DAY_MINUTES), first.rem_euclid(DAY_MINUTES));
        let today = self.in_day(day, minute);
        let found = today.or_else(|| (day + 1..=day + MAX_DAYS).find_map(|day| self.in_day(day, 0)));
        found?.checked_mul(MINUTE_MILLIS)
    }

    /// The latest time after `after` and not after `now` at which it was due.
    pub fn last_due(&self, after: i64, now: i64) -> Option<i64> {
        // Only the last of many missed times counts: looked for from the end, in steps that grow.
        let mut span = 2 * MINUTE_MILLIS;
        loop {
            let from = now.saturating_sub(span).max(after);
            let mut found = None;
            let mut at = from;
            while let Some(next) = self.next_after(at).filter(|next| *next <= now) {
                found = Some(next);
                at = next;
            }
            if found.is_some() || from == after {
                return found;
            }
            span = span.saturating_mul(4);
        }
    }

    /// The first minute of a day, not before `from`, at which it is due; minutes since the epoch.
    fn in_day(&self, day: i64, from: i64) -> Option<i64> {
        let (month, of_month) = civil(day)?;
        // The first of January 1970 was a Thursday.
        let weekday = (day + 4).rem_euclid(7);
        let has = |bits: u64, at: i64| bits >> at & 1 == 1;
        let (by_month, by_week) = (has(self.days, of_month), has(self.weekdays, weekday));
        let is_day = if self.either_day { by_month || by_week } else { by_month && by_week };
        if !is_day || !has(self.months, month) {
            return None;
        }
        let due = |minute: &i64| has(self.hours, minute / 60) && has(self.minutes, minute % 60);
        (from..DAY_MINUTES).find(due).map(|minute| day * DAY_MINUTES + minute)
    }
}

/// Month and day of the month from days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
/// (2021).
fn civil(days: i64) -> Option<(i64, i64)> {
    let of_era = days.checked_add(719_468)?.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    Some((if shifted < 10 { shifted + 3 } else { shifted - 9 }, day))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `2026-11-28 15:20:30`.
    fn time(millis: i64) -> String {
        let (days, seconds) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000) / 1000);
        // Civil date from days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2021).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// 2026-11-28 15:20:30 UTC, a Saturday.
    const NOW: i64 = 1_795_879_230_000;

    #[test]
    fn the_next_time_is_that_of_the_calendar() {
        assert_eq!(time(NOW), "2026-11-28 15:20:30");
        for (text, expect) in [
            ("* * * * *", "2026-11-28 15:21:00"),
            ("0 3 * * *", "2026-11-29 03:00:00"),
            ("20 15 * * *", "2026-11-29 15:20:00"),
            ("21 15 * * *", "2026-11-28 15:21:00"),
            ("*/15 * * * *", "2026-11-28 15:30:00"),
            ("5/20 * * * *", "2026-11-28 15:25:00"),
            ("0 9-17/4 * * *", "2026-11-28 17:00:00"),
            ("0 0 * * mon", "2026-11-30 00:00:00"),
            ("0 0 * * 0", "2026-11-29 00:00:00"),
            ("0 0 * * 7", "2026-11-29 00:00:00"),
            ("0 0 * * Mon-Fri", "2026-11-30 00:00:00"),
            ("0 0 1 * *", "2026-12-01 00:00:00"),
            ("0 0 31 * *", "2026-12-31 00:00:00"),
            ("30 6 1 jan,JUL *", "2027-01-01 06:30:00"),
            ("0 0 29 2 *", "2028-02-29 00:00:00"),
            // One of the two days is enough where both are restricted.
            ("0 0 13 * fri", "2026-12-04 00:00:00"),
            ("0 0 */2 * mon", "2026-12-07 00:00:00"),
            ("@hourly", "2026-11-28 16:00:00"),
            ("@weekly", "2026-11-29 00:00:00"),
            ("  0   3 * * *  ", "2026-11-29 03:00:00"),
        ] {
            let next = text.parse::<Cron>().unwrap().next_after(NOW).unwrap();
            assert_eq!(time(next), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_field() {
        for (text, expect) in [
            ("", "five are needed"),
            ("* * * *", "4 fields"),
            ("* * * * * *", "6 fields"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of the month"),
            ("* * * 13 *", "month"),
            ("* * * * 8", "day of the week"),
            ("* * * * someday", "day of the week"),
            ("5-1 * * * *", "minute"),
            ("*/0 * * * *", "minute"),
            ("1,,2 * * * *", "minute"),
            ("-1 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("1- * * * *", "minute"),
            ("99999999999 * * * *", "minute"),
            ("0 0 30 2 *", "no such day"),
            ("@sometimes", "five are needed"),
        ] {
            let err = text.parse::<Cron>().unwrap_err().to_string();
            assert!(err.contains(expect), "{text:?}: {err}");
        }
        assert!("1,".repeat(200).parse::<Cron>().is_err());
    }

    #[test]
    fn of_many_missed_times_the_last_one_counts() {
        let daily: Cron = "0 3 * * *".parse().unwrap();
        let last = |after: i64| daily.last_due(after, NOW).map(time);
        assert_eq!(last(0).as_deref(), Some("2026-11-28 03:00:00"));
        assert_eq!(last(NOW - 86_400_000).as_deref(), Some("2026-11-28 03:00:00"));
        assert_eq!(last(NOW - 3_600_000), None);
        let due = daily.last_due(0, NOW).unwrap();
        assert_eq!(daily.last_due(due, NOW), None, "what was done is not due again");
        let always: Cron = "* * * * *".parse().unwrap();
        assert_eq!(always.last_due(0, NOW).map(time).as_deref(), Some("2026-11-28 15:20:00"));
        let rarely: Cron = "0 0 29 2 *".parse().unwrap();
        assert_eq!(rarely.last_due(0, NOW).map(time).as_deref(), Some("2024-02-29 00:00:00"));
    }

    #[test]
    fn a_schedule_is_its_text() {
        let cron: Cron = "0  3 * *   mon".parse().unwrap();
        let text = serde_json::to_string(&cron).unwrap();
        assert_eq!(text, "\"0 3 * * mon\"");
        assert_eq!(serde_json::from_str::<Cron>(&text).unwrap(), cron);
        assert!(serde_json::from_str::<Cron>("\"never\"").is_err());
        assert!(cron.next_after(i64::MAX).is_none());
        assert!(cron.next_after(i64::MIN).is_some());
    }
}
