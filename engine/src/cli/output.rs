//! What is printed: tables for people, one JSON object for scripts, errors the same way everywhere.

use std::{
    io::{IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use athanor_protocol::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: std::io::stderr().is_terminal() }
    }

    /// Something for people to read meanwhile.
    pub(crate) fn say(self, text: &str) {
        if self.json { eprintln!("{text}") } else { print(text) }
    }

    /// The result: the value for scripts, the text for people.
    pub(crate) fn result(self, value: &Value, text: impl FnOnce() -> String) {
        if self.json { print(&value.to_string()) } else { print(text().trim_end()) }
    }

    /// An error: what happened, to which thing, what to do.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            print(&serde_json::json!({ "error": failure }).to_string());
        }
        eprintln!("error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            eprintln!("  hint: {hint}");
        }
    }

    /// A progress bar on a terminal, nothing elsewhere.
    pub(crate) fn progress(self) -> ProgressBar {
        let bar = ProgressBar::new(0);
        bar.set_draw_target(if self.terminal && !self.json {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        });
        let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {percent:>3} %  {msg}  {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar
    }
}

/// Prints a line. A reader that is gone (`| head`) is no reason to give up what is being done; any other failure, a full
/// disk under a redirected output for example, is told and ends the program with status 1.
fn print(text: &str) {
    if let Err(err) = writeln!(std::io::stdout().lock(), "{text}")
        && err.kind() != std::io::ErrorKind::BrokenPipe
        && !UNWRITABLE.swap(true, Ordering::Relaxed)
    {
        eprintln!("error: cannot write to the standard output: {err}");
    }
}

static UNWRITABLE: AtomicBool = AtomicBool::new(false);

/// Whether something could not be printed.
pub(crate) fn is_unwritable() -> bool {
    UNWRITABLE.load(Ordering::Relaxed)
}

/// Lines up columns; numbers (as told by their first row's look) to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = header.iter().map(|name| width(name)).collect();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            widths[at] = widths[at].max(width(cell));
        }
    }
    let is_number = |at: usize| {
        let mut cells =
            rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty() && *cell != "-").peekable();
        cells.peek().is_some() && cells.all(|cell| cell.trim_end_matches(" %").parse::<f64>().is_ok())
    };
    let right: Vec<bool> = (0..header.len()).map(is_number).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(at, cell)| {
            let space = " ".repeat(widths[at].saturating_sub(width(cell)));
            if right[at] { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    line(&head) + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// A number as people like it: five significant digits, no needless zeros.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..9).contains(&magnitude) {
        return format!("{value:.4e}");
    }
    let decimals = usize::try_from((4 - magnitude).max(0)).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Milliseconds since the epoch as `2026-11-20 11:05:07` in UTC.
pub(crate) fn time(millis: i64) -> String {
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

/// Bytes as `1.5 MiB`.
pub(crate) fn bytes(n_bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n_bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n_bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.97894, "0.97894"),
            (12_345.678, "12346"),
            (-0.001_234_56, "-0.0012346"),
            (1e12, "1.0000e12"),
            (1e-9, "1.0000e-9"),
        ];
        for (value, expect) in cases {
            assert_eq!(number(value), expect);
        }
    }

    #[test]
    fn times_are_utc_dates() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(time(1_795_172_707_999), "2026-11-20 11:05:07");
        assert_eq!(time(-1), "1969-12-31 23:59:59");
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name   n\na      1\nlong  22\n");
        assert_eq!(bytes(1536), "1.5 KiB");
    }
}
