//! `docs/benchmarks.md`: each benchmark has a section between two markers; running it writes that section anew and
//! leaves the rest of the document as it is.

use std::{fmt::Write as _, time::SystemTime};

use serde_json::Value;

use crate::bench::{Bench, Limit, limit_shown};

/// What was measured, of one benchmark.
pub(crate) struct Measured<'a> {
    /// The benchmark.
    pub(crate) bench: &'a Bench,
    /// Its figures.
    pub(crate) figures: Vec<(String, Value)>,
}

/// Under which conditions.
pub(crate) struct Conditions {
    /// The day, `2026-11-20`.
    pub(crate) day: String,
    /// The commit, with a remark where the checkout held more.
    pub(crate) commit: Option<String>,
    /// The cargo profile.
    pub(crate) profile: &'static str,
    /// The machine, line by line.
    pub(crate) machine: Vec<(&'static str, String)>,
}

impl Measured<'_> {
    /// The limits that were not met, as sentences.
    pub(crate) fn missed(&self) -> Vec<String> {
        let bench = self.bench;
        let check = |(key, limit): &(&'static str, Limit)| match self.figure(key) {
            Some(value) if limit.contains(&value) => None,
            Some(value) => Some(format!("{}: {key} is {}, wanted {}", bench.name, number(value), limit_shown(limit))),
            None => Some(format!("{}: {key} was not measured, wanted {}", bench.name, limit_shown(limit))),
        };
        bench.wanted.iter().filter_map(check).collect()
    }

    fn figure(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_f64())
    }
}

/// The document with the section of one benchmark replaced, or added at the end where it had none.
pub(crate) fn with_section(document: &str, measured: &Measured<'_>, conditions: &Conditions) -> String {
    let name = measured.bench.name;
    let (begin, end) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let section = format!("{begin}\n{}{end}", section(measured, conditions));
    let found = document.find(&begin).and_then(|from| {
        let after = document[from..].find(&end)? + from + end.len();
        Some((from, after))
    });
    match found {
        Some((from, after)) => format!("{}{section}{}", &document[..from], &document[after..]),
        None => format!("{}\n\n{section}\n", document.trim_end()),
    }
}

fn section(measured: &Measured<'_>, conditions: &Conditions) -> String {
    let bench = measured.bench;
    let mut out = format!("## {}\n\n", bench.title);
    let release = if conditions.profile == "release" { " --release" } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "`cargo xtask bench {}{release}`, {}", bench.name, conditions.day);
    if let Some(commit) = &conditions.commit {
        let _ = writeln!(out, "- commit: {commit}");
    }
    let _ = writeln!(out, "- profile: {}", conditions.profile);
    for (name, value) in &conditions.machine {
        let _ = writeln!(out, "- {name}: {value}");
    }
    out.push_str("\n| figure | value | wanted | met |\n| --- | ---: | ---: | --- |\n");
    for (key, value) in &measured.figures {
        let limit = bench.wanted.iter().find(|(wanted, _)| wanted == key).map(|(_, limit)| limit);
        let met = limit.map(|limit| if value.as_f64().is_some_and(|it| limit.contains(&it)) { "yes" } else { "no" });
        let limit = limit.map(limit_shown).unwrap_or_default();
        let _ = writeln!(out, "| {} | {} | {limit} | {} |", cell(key), cell(&shown(value)), met.unwrap_or_default());
    }
    for missed in measured.missed() {
        if missed.contains("was not measured") {
            let _ = writeln!(out, "\n{missed}.");
        }
    }
    out
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) if n.is_f64() => number(n.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

/// Four significant digits: more would claim a precision that a benchmark does not have.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    // The exponent of a finite f64 is within -324..=308.
    #[allow(clippy::cast_possible_truncation)]
    let exponent = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(3 - exponent).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Text for a table cell: a bar or a line break in it would break the table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// The day in UTC, by the civil calendar.
pub(crate) fn day_of(time: SystemTime) -> String {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0);
    // Days are counted from 1 March of the year 0, so that a leap day is the last day of its year.
    let days = secs / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BENCH: Bench = Bench {
        name: "train",
        title: "Training loop",
        program: "examples/bare_loop",
        args: &[],
        wanted: &[("ratio", 0.97..=f64::INFINITY)],
    };

    fn measured(figures: &[(&str, Value)]) -> Measured<'static> {
        let figures = figures.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Measured { bench: &BENCH, figures }
    }

    fn conditions() -> Conditions {
        Conditions {
            day: "2026-11-20".into(),
            commit: Some("abc1234".into()),
            profile: "debug",
            machine: vec![("processor", "one, 2 cores usable".into())],
        }
    }

    #[test]
    fn a_section_is_written_whole() {
        let figures = [("device", "cpu|simd".into()), ("ours", 1234.5678.into()), ("ratio", 0.98123.into())];
        assert_eq!(
            with_section("# Benchmarks\n", &measured(&figures), &conditions()),
            "# Benchmarks\n\n<!-- bench:train -->\n## Training loop\n\n`cargo xtask bench train`, 2026-11-20\n\
             - commit: abc1234\n- profile: debug\n- processor: one, 2 cores usable\n\n\
             | figure | value | wanted | met |\n| --- | ---: | ---: | --- |\n| device | cpu\\|simd |  |  |\n\
             | ours | 1235 |  |  |\n| ratio | 0.9812 | ≥ 0.97 | yes |\n<!-- /bench:train -->\n"
        );
    }

    #[test]
    fn writing_again_replaces_the_section_and_nothing_else() {
        let first = with_section("# B\n\nwords\n", &measured(&[("ratio", 0.5.into())]), &conditions());
        let with_more = format!("{first}\n## By hand\n\nkept\n");
        let second = with_section(&with_more, &measured(&[("ratio", 0.99.into())]), &conditions());
        assert!(second.starts_with("# B\n\nwords\n") && second.ends_with("## By hand\n\nkept\n"), "{second}");
        assert!(second.contains("| 0.99 |") && !second.contains("| 0.5 |"), "{second}");
        assert_eq!(with_section(&second, &measured(&[("ratio", 0.99.into())]), &conditions()), second);
    }

    #[test]
    fn a_torn_section_is_added_anew_rather_than_guessed() {
        let torn = "# B\n\n<!-- bench:train -->\nhalf";
        let out = with_section(torn, &measured(&[("ratio", 1.into())]), &conditions());
        assert!(out.starts_with(torn) && out.ends_with("<!-- /bench:train -->\n"), "{out}");
    }

    #[test]
    fn limits_that_are_not_met_are_told() {
        assert!(measured(&[("ratio", 0.97.into())]).missed().is_empty());
        assert_eq!(measured(&[("ratio", 0.9.into())]).missed(), ["train: ratio is 0.9, wanted ≥ 0.97"]);
        assert_eq!(measured(&[("x", 1.into())]).missed(), ["train: ratio was not measured, wanted ≥ 0.97"]);
        let out = with_section("", &measured(&[("x", 1.into())]), &conditions());
        assert!(out.contains("train: ratio was not measured, wanted ≥ 0.97."), "{out}");
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (value, expect) in [
            (0.0, "0"),
            (0.98123, "0.9812"),
            (123_456.7, "123457"),
            (12.3456, "12.35"),
            (0.000_123_456, "0.0001235"),
            (-3.5, "-3.5"),
            (9.999_96, "10"),
            (1e300, &format!("{:.0}", 1e300)),
            (5e-324, format!("{:.327}", 5e-324).trim_end_matches('0')),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), expect, "{value:e}");
        }
    }

    #[test]
    fn days_follow_the_calendar() {
        for (secs, expect) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (4_107_542_400, "2100-03-01"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(day_of(SystemTime::UNIX_EPOCH + Duration::from_secs(secs)), expect);
        }
    }
}
