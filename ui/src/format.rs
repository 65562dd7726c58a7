//! Numbers, sizes and times as people read them.

use athanor_protocol::metric::MetricValue;

/// A size: `512 B`, `3.4 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A whole number with thin groups: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 run`, `2 runs`: the plural by an s.
pub fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", count(n)) }
}

/// A number to four significant digits, short.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return MetricValue::from(value).to_string();
    }
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e7).contains(&size) {
        format!("{value:.3e}")
    } else if value.fract() == 0.0 && size < 1e7 {
        format!("{value:.0}")
    } else {
        let decimals = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
        let text = format!("{value:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// A metric's value.
pub fn metric(value: MetricValue) -> String {
    number(value.to_f64())
}

/// A span: `0.4 s`, `00:42`, `1:02:03`.
pub fn duration_millis(millis: i64) -> String {
    let millis = millis.max(0);
    let secs = millis / 1000;
    match secs {
        0..10 => format!("{:.1} s", millis as f64 / 1000.0),
        10..3600 => format!("{:02}:{:02}", secs / 60, secs % 60),
        _ => format!("{}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60),
    }
}

/// How long ago: `just now`, `5 min ago`, `3 h ago`, `2 days ago`, else the day.
pub fn ago(at_millis: i64, now_millis: i64) -> String {
    let secs = (now_millis - at_millis) / 1000;
    match secs {
        i64::MIN..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", secs / 60),
        3600..86_400 => format!("{} h ago", secs / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        172_800..2_592_000 => format!("{} days ago", secs / 86_400),
        _ => date(at_millis),
    }
}

/// The day in UTC: `2026-11-25`. Howard Hinnant's `civil_from_days`.
pub fn date(at_millis: i64) -> String {
    let days = at_millis.div_euclid(86_400_000);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The time in UTC: `14:05:09`.
pub fn clock(at_millis: i64) -> String {
    let secs = at_millis.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}

/// An id's beginning, as it is shown.
pub fn short_id(id: &str) -> String {
    id.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_counts_and_numbers_are_short() {
        for (n, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (3_400_000, "3.4 MB"),
            (123_000_000, "123 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(n), expect);
        }
        for (n, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), expect);
        }
        for (x, expect) in [
            (0.0, "0"),
            (0.98234, "0.9823"),
            (12.0, "12"),
            (12.345_67, "12.35"),
            (1e-9, "1.000e-9"),
            (-0.5, "-0.5"),
            (f64::NAN, "NaN"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(number(x), expect);
        }
    }

    #[test]
    fn times_read_as_people_say_them() {
        for (millis, expect) in [(-5, "0.0 s"), (420, "0.4 s"), (42_000, "00:42"), (3_723_000, "1:02:03")] {
            assert_eq!(duration_millis(millis), expect);
        }
        assert_eq!((date(0), clock(0)), ("1970-01-01".to_owned(), "00:00:00".to_owned()));
        assert_eq!((date(951_782_400_000), date(-1)), ("2000-02-29".to_owned(), "1969-12-31".to_owned()));
        let now = 1_800_000_000_000;
        for (secs, expect) in
            [(5, "just now"), (300, "5 min ago"), (7200, "2 h ago"), (90_000, "yesterday"), (400_000, "4 days ago")]
        {
            assert_eq!(ago(now - secs * 1000, now), expect);
        }
    }
}
