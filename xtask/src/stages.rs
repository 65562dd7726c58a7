//! A list of stages, each timed and counted, with a table at the end.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How many checks of a stage passed and failed. A stage that is one check counts one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Checks that passed.
    pub(crate) passed: u64,
    /// Checks that failed.
    pub(crate) failed: u64,
}

impl Tally {
    /// The tally of a stage that is a single check.
    pub(crate) fn one(passed: bool) -> Self {
        Self { passed: passed.into(), failed: (!passed).into() }
    }

    /// Adds the numbers of a line such as `test result: ok. 3 passed; 1 failed; 0 ignored; …`; ignores other lines.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some((_, numbers)) = line.trim_start().strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in numbers.split(';') {
            let mut words = part.split_whitespace();
            let (Some(n), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += n,
                "failed" => self.failed += n,
                _ => {}
            }
        }
    }
}

struct Stage {
    name: &'static str,
    took: Duration,
    /// `None`: skipped, because an earlier stage that it stands on failed.
    tally: Option<Tally>,
}

/// Stages that have run, in order.
#[derive(Default)]
pub(crate) struct Stages {
    done: Vec<Stage>,
}

impl Stages {
    /// Runs one stage. An error in it is shown and counts as a failed check; the stages after it still run, so that
    /// one run tells everything that is wrong. Gives back whether the stage passed.
    pub(crate) fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<Tally>) -> bool {
        eprintln!("\n== {name}");
        let started = Instant::now();
        let tally = work().unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            Tally::one(false)
        });
        self.done.push(Stage { name, took: started.elapsed(), tally: Some(tally) });
        tally.failed == 0
    }

    /// Notes a stage that could not run, because an earlier one failed. The failure is counted there.
    pub(crate) fn skip(&mut self, name: &'static str) {
        self.done.push(Stage { name, took: Duration::ZERO, tally: None });
    }

    /// Whether every stage ran and passed.
    pub(crate) fn passed(&self) -> bool {
        self.done.iter().all(|stage| stage.tally.is_some_and(|tally| tally.failed == 0))
    }

    /// Where the time went, which stages failed, and the sum as the last line.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from("\nstage          seconds   passed   failed\n");
        let mut sum = Tally::default();
        let mut failed = Vec::new();
        for Stage { name, took, tally } in &self.done {
            let secs = took.as_secs_f64();
            // Writing to a string cannot fail.
            let _ = match tally {
                Some(tally) => writeln!(out, "{name:<12} {secs:>9.1} {:>8} {:>8}", tally.passed, tally.failed),
                None => writeln!(out, "{name:<12} {:>9} {:>8} {:>8}", "skipped", "-", "-"),
            };
            let tally = tally.unwrap_or_default();
            sum.passed += tally.passed;
            sum.failed += tally.failed;
            if tally.failed > 0 {
                failed.push(*name);
            }
        }
        let total: f64 = self.done.iter().map(|stage| stage.took.as_secs_f64()).sum();
        let _ = writeln!(out, "{:<12} {total:>9.1}", "all");
        if !failed.is_empty() {
            let _ = writeln!(out, "failed: {}", failed.join(", "));
        }
        let _ = write!(out, "{} passed, {} failed", sum.passed, sum.failed);
        out
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn check(line: &str, passed: u64, failed: u64) {
        let mut tally = Tally::default();
        tally.add_line(line);
        assert_eq!(tally, Tally { passed, failed }, "{line}");
    }

    #[test]
    fn only_result_lines_count() {
        check("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s", 12, 0);
        check("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s", 1, 2);
        check("running 12 tests", 0, 0);
        check("test store::batch ... ok", 0, 0);
        check("12 passed; 3 failed", 0, 0);
        check("test result: ok. nonsense", 0, 0);
        check("test result: ok. 99999999999999999999999 passed; 1 failed", 0, 1);
        check("", 0, 0);
    }

    #[test]
    fn the_table_tells_all_and_ends_with_the_sum() {
        let mut stages = Stages::default();
        assert!(stages.run("format", || Ok(Tally::one(true))));
        assert!(stages.passed());
        assert!(!stages.run("build", || bail!("no compiler")));
        assert!(!stages.run("tests", || Ok(Tally { passed: 10, failed: 2 })));
        stages.skip("end to end");
        assert!(!stages.passed());
        let table = stages.table();
        assert!(table.contains("failed: build, tests\n"), "{table}");
        assert!(table.contains("end to end     skipped"), "{table}");
        assert!(table.ends_with("\n11 passed, 3 failed"), "{table}");
    }

    #[test]
    fn a_skipped_stage_is_no_success() {
        let mut stages = Stages::default();
        stages.skip("tests");
        assert!(!stages.passed());
    }
}
