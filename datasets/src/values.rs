//! How values are read from text and written to text: one set of rules for files, casts and requests.

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A whole number with an optional sign, blanks around it allowed; `None` where it does not fit into 64 bits.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A number, blanks around it allowed. `inf` and `nan` (any case, with sign) are numbers too.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// `true` or `false` in any case.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Words that a cast to bool understands besides `true` and `false`.
pub(crate) fn parse_bool_loosely(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn digits(text: &str, len: std::ops::RangeInclusive<usize>) -> Option<i64> {
    (len.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        _ => 28 + is_leap(year) as i64,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years are shifted to begin in March, as in H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", section `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The other way round: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `2024-02-29`: microseconds since the epoch at midnight UTC. `None` for dates that do not exist.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    // Guards the slices below against cutting a character in two.
    if text.len() != 10 || !text.is_ascii() || &text[4..5] != "-" || &text[7..8] != "-" {
        return None;
    }
    let (year, month, day) = (digits(&text[..4], 4..=4)?, digits(&text[5..7], 2..=2)?, digits(&text[8..], 2..=2)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day) * MICROS_PER_DAY)
}

/// `2024-02-29T12:30`, `2024-02-29 12:30:59.25`, with `Z` or an offset (`+02:00`), or a date alone: microseconds since
/// the epoch in UTC.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() == 10 {
        return parse_date(text);
    }
    if !text.is_ascii() || text.len() < 16 || !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let date = parse_date(&text[..10])?;
    let (time, offset_minutes) = split_offset(&text[11..])?;
    let mut parts = time.split(':');
    let (hour, minute) = (digits(parts.next()?, 2..=2)?, digits(parts.next()?, 2..=2)?);
    let mut micros = 0;
    let mut second = 0;
    if let Some(seconds) = parts.next() {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        second = digits(whole, 2..=2)?;
        let padded = format!("{:0<6}", &fraction[..fraction.len().min(6)]);
        digits(fraction, 1..=9)?;
        micros = digits(&padded, 6..=6)?;
    }
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(date + ((hour * 60 + minute - offset_minutes) * 60 + second) * 1_000_000 + micros)
}

fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let sign = if &time[at..=at] == "-" { -1 } else { 1 };
    let (hours, minutes) = time[at + 1..].split_once(':')?;
    let (hours, minutes) = (digits(hours, 2..=2)?, digits(minutes, 2..=2)?);
    (hours < 24 && minutes < 60).then_some((&time[..at], sign * (hours * 60 + minutes)))
}

/// `2024-02-29`.
pub(crate) fn format_date(micros: i64) -> String {
    let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2024-02-29T12:30:59`, with six decimals where there are microseconds.
pub(crate) fn format_datetime(micros: i64) -> String {
    let in_day = micros.rem_euclid(MICROS_PER_DAY);
    let (secs, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let time = format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
    let date = format_date(micros);
    if fraction == 0 { format!("{date}T{time}") } else { format!("{date}T{time}.{fraction:06}") }
}

/// Midnight of the same day.
pub(crate) fn floor_to_day(micros: i64) -> i64 {
    micros.div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY
}

/// Days since the epoch, for storage as a date.
pub(crate) fn days_from_micros(micros: i64) -> Option<i32> {
    i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()
}

/// The other way round.
pub(crate) const fn micros_from_days(days: i32) -> i64 {
    days as i64 * MICROS_PER_DAY
}

/// A float that is a whole number and fits 64 bits exactly.
pub(crate) fn whole(value: f64) -> Option<i64> {
    // 2^63 is the first float that does not fit.
    (value.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value))
        .then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_exactly() {
        fn check(text: &str, expect: Option<&str>) {
            assert_eq!(parse_datetime(text).map(format_datetime).as_deref(), expect, "{text}");
        }
        check("1970-01-01", Some("1970-01-01T00:00:00"));
        check("2024-02-29", Some("2024-02-29T00:00:00"));
        check("2023-02-29", None);
        check("2024-13-01", None);
        check("2024-00-10", None);
        check("0001-01-01", Some("0001-01-01T00:00:00"));
        check("99999-01-01", None);
        check("2024-02-29T12:30", Some("2024-02-29T12:30:00"));
        check("2024-02-29 12:30:59.25", Some("2024-02-29T12:30:59.250000"));
        check("2024-02-29T12:30:59.123456789Z", Some("2024-02-29T12:30:59.123456"));
        check("2024-02-29T00:30:00+02:00", Some("2024-02-28T22:30:00"));
        check("2024-02-29T24:00:00", None);
        check("2024-02-29T12:30:59.", None);
        check("1969-12-31T23:59:59", Some("1969-12-31T23:59:59"));
        check("2024-02-2ä", None);
    }

    #[test]
    fn every_day_of_eight_centuries_goes_round() {
        for days in -150_000..150_000 {
            let micros = micros_from_days(days);
            let text = format_date(micros);
            assert_eq!(parse_date(&text), Some(micros), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(parse_int(" -12 "), Some(-12));
        assert_eq!(parse_int("9223372036854775808"), None);
        assert_eq!(parse_int("1_000"), None);
        assert_eq!(parse_float("1e3"), Some(1000.0));
        assert_eq!(parse_float("1,5"), None);
        assert_eq!(whole(3.0), Some(3));
        assert_eq!(whole(3.5), None);
        assert_eq!(whole(f64::INFINITY), None);
        assert_eq!(whole(9.3e18), None);
    }
}
