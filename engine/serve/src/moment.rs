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

#[cfg(test)]
mod tests {
    use super::*;

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
