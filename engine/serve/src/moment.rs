//! Dates and times as requests write them: ISO 8601, in microseconds since the Unix epoch.

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, counted by eras of 400 years that begin in March
/// so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads exactly `n` digits from the front.
fn digits(text: &mut &[u8], n: usize) -> Option<i64> {
    let (head, rest) = text.split_at_checked(n)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *text = rest;
    Some(head.iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0')))
}

fn skip(text: &mut &[u8], allowed: &[u8]) -> Option<()> {
    let (first, rest) = text.split_first()?;
    if !allowed.contains(first) {
        return None;
    }
    *text = rest;
    Some(())
}

/// Reads `2024-01-31`, `2024-01-31T12:30`, `2024-01-31 12:30:15.250`, each time with `Z` or an offset such as `+02:00`
/// behind it or not (then it is taken as UTC). `None` for anything else.
pub(crate) fn micros_from_iso(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    skip(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    skip(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let mut secs = days_from_civil(year, month, day) * 86_400;
    let mut micros = 0;
    if !rest.is_empty() {
        skip(&mut rest, b"T ")?;
        let hour = digits(&mut rest, 2)?;
        skip(&mut rest, b":")?;
        let minute = digits(&mut rest, 2)?;
        let mut second = 0;
        if rest.first() == Some(&b':') {
            skip(&mut rest, b":")?;
            second = digits(&mut rest, 2)?;
            if rest.first() == Some(&b'.') {
                skip(&mut rest, b".")?;
                let n_digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                if !(1..=9).contains(&n_digits) {
                    return None;
                }
                let fraction = digits(&mut rest, n_digits)?;
                // Digits beyond microseconds are cut, as they are when a table is read.
                micros = fraction * 1_000_000 / 10_i64.pow(n_digits as u32);
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        secs += hour * 3_600 + minute * 60 + second;
        match rest.first() {
            None => {}
            Some(b'Z' | b'z') if rest.len() == 1 => rest = &[],
            Some(sign @ (b'+' | b'-')) => {
                let sign = if *sign == b'-' { -1 } else { 1 };
                rest = &rest[1..];
                let hours = digits(&mut rest, 2)?;
                if rest.first() == Some(&b':') {
                    skip(&mut rest, b":")?;
                }
                let minutes = digits(&mut rest, 2)?;
                if hours > 23 || minutes > 59 {
                    return None;
                }
                secs -= sign * (hours * 3_600 + minutes * 60);
            }
            Some(_) => return None,
        }
    }
    rest.is_empty().then_some(secs * 1_000_000 + micros)
}

/// Year, month and day of a number of days since 1970-01-01: the other way round.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Writes a moment as [`micros_from_iso`] reads it: `2024-01-31` at midnight where `is_date`, else
/// `2024-01-31T12:30:15.25`.
pub(crate) fn iso_from_micros(micros: i64, is_date: bool) -> String {
    const DAY: i64 = 86_400_000_000;
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY));
    let date = format!("{year:04}-{month:02}-{day:02}");
    let in_day = micros.rem_euclid(DAY);
    if is_date && in_day == 0 {
        return date;
    }
    let (secs, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let time = format!("{:02}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    format!("{date}T{time}{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_they_are_read() {
        for text in ["1970-01-01", "2024-02-29", "1900-03-01", "0001-01-01", "9999-12-31", "2000-12-31"] {
            assert_eq!(micros_from_iso(text).map(|micros| iso_from_micros(micros, true)).as_deref(), Some(text));
        }
        for text in ["1970-01-01T00:00:00", "1969-12-31T23:59:59.5", "2024-01-31T12:30:15.25", "2024-01-31T00:00:10"] {
            assert_eq!(micros_from_iso(text).map(|micros| iso_from_micros(micros, false)).as_deref(), Some(text));
        }
        assert_eq!(iso_from_micros(1, true), "1970-01-01T00:00:00.000001", "a date with a time of day keeps it");
    }

    #[test]
    fn iso_moments() {
        #[track_caller]
        fn check(text: &str, expect: Option<i64>) {
            assert_eq!(micros_from_iso(text), expect, "{text:?}");
        }
        check("1970-01-01", Some(0));
        check("1969-12-31", Some(-86_400_000_000));
        check("2000-02-29", Some(951_782_400_000_000));
        check("2024-01-31T12:30:15.25Z", Some(1_706_704_215_250_000));
        check("2024-01-31 12:30", Some(1_706_704_200_000_000));
        check("2024-01-31T14:30:00+02:00", Some(1_706_704_200_000_000));
        check("2024-01-31T10:00:00-0230", Some(1_706_704_200_000_000));
        check("2024-01-31T12:30:15.1234567", Some(1_706_704_215_123_456));
        for text in [
            "",
            "2024",
            "2024-1-31",
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2024-01-31T",
            "2024-01-31T25:00",
            "2024-01-31T12:60",
            "2024-01-31T12:30:60",
            "2024-01-31T12:30:15.",
            "2024-01-31T12:30Zx",
            "2024-01-31T12:30+2",
            "2024-01-31x",
            " 2024-01-31",
            "+024-01-31",
            "٢٠٢٤-01-31",
        ] {
            check(text, None);
        }
    }
}
