//! `audit`.

use std::io::Write;

use athanor_store::{AuditQuery, PageRequest};
use serde_json::json;

use super::{
    Context,
    output::{table, time},
    steward_args::AuditCommand,
};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
};

/// Lines that are read at once.
const PAGE: u32 = 1000;

pub(crate) fn run(context: &Context, command: AuditCommand) -> Result<()> {
    match command {
        AuditCommand::List { subject, action, search, since, limit, page } => {
            let since_millis = since.as_deref().map(day).transpose()?;
            let query = AuditQuery { subject, action, text: search, since_millis };
            let workspace = context.open()?;
            let found = workspace.store.find_audit(&query, &PageRequest { size: limit, token: page })?;
            context.out.result(&json!({ "lines": found.items, "next": found.next }), || {
                if found.items.is_empty() {
                    return "no line fits".to_owned();
                }
                let rows: Vec<Vec<String>> = found
                    .items
                    .iter()
                    .map(|line| {
                        let detail = if line.detail == json!({}) { String::new() } else { line.detail.to_string() };
                        vec![
                            time(line.at_millis),
                            line.actor.clone(),
                            line.action.clone(),
                            line.subject.clone(),
                            detail,
                        ]
                    })
                    .collect();
                let mut text = table(&["when (UTC)", "who", "action", "subject", "detail"], &rows);
                if let Some(next) = &found.next {
                    text += &format!("more: --page {next}");
                }
                text.trim_end().to_owned()
            });
        }
        AuditCommand::Export { output, subject, since } => {
            let since_millis = since.as_deref().map(day).transpose()?;
            let query = AuditQuery { subject, since_millis, ..AuditQuery::default() };
            let workspace = context.open()?;
            let mut request = PageRequest::first(PAGE);
            let mut lines = vec![];
            loop {
                let page = workspace.store.find_audit(&query, &request)?;
                lines.extend(page.items);
                let Some(next) = page.next else { break };
                request = PageRequest::after(PAGE, next);
            }
            let mut bytes = vec![];
            for line in lines.iter().rev() {
                serde_json::to_writer(&mut bytes, line).map_err(std::io::Error::from).at("write", &output)?;
                bytes.write_all(b"\n").at("write", &output)?;
            }
            files::write_atomic(&output, &bytes)?;
            let value = json!({ "file": output, "n_lines": lines.len() });
            context.out.result(&value, || format!("{} lines in {}", lines.len(), output.display()));
        }
    }
    Ok(())
}

/// The beginning of a day in UTC, in milliseconds since the Unix epoch.
fn day(text: &str) -> Result<i64> {
    let wrong = || EngineError::Usage(format!("a day is written YYYY-MM-DD, not {text:?}"));
    let mut parts = text.split('-').map(|part| {
        let digits = !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let mut next = || parts.next().flatten().ok_or_else(wrong);
    let (year, month, day) = (next()?, next()?, next()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=length).contains(&day) || year < 1970 {
        return Err(wrong());
    }
    // Days since 1970-01-01 of a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2021).
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Ok(days * 86_400_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        for (text, expect) in [
            ("1970-01-01", "1970-01-01 00:00:00"),
            ("2000-02-29", "2000-02-29 00:00:00"),
            ("2026-12-31", "2026-12-31 00:00:00"),
            ("2026-3-1", "2026-03-01 00:00:00"),
        ] {
            assert_eq!(time(day(text).unwrap()), expect);
        }
        for bad in
            ["", "2026", "2026-13-01", "2026-02-29", "2026-04-31", "x-1-1", "2026-01-01-01", "1969-12-31", "+26-1-1"]
        {
            assert!(day(bad).is_err(), "{bad:?}");
        }
    }
}
