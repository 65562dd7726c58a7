//! The numbers of plots, from a table of any length in bounded memory (a box plot alone keeps a number for each row).
//!
//! Columns of true/false count as 0 and 1, dates and times as seconds since the epoch. Values that are missing, infinite
//! or no number are left out. Rows are split by at most [`MAX_GROUPS`] values of a column, the most frequent ones; all
//! others are one group named `other`. A missing value is a value here, named `missing`.

mod bar;
mod boxes;
mod correlation;
mod histogram;
mod line;
mod scan;
mod scatter;

use athanor_protocol::api::{PlotData, PlotSpec};

use self::scan::{Batch, MISSING, Need, Scan};
use crate::{
    dataset::Dataset,
    error::{DatasetError, cut, guard},
};

/// Most groups with a name of their own.
pub(crate) const MAX_GROUPS: usize = 8;
/// Longest shown value, in characters.
const MAX_VALUE_CHARS: usize = 80;

impl Dataset {
    /// The numbers of a plot. Reads the columns that it needs, once or twice. `stop` is asked now and then.
    ///
    /// # Errors
    /// If a column is not there or of a type that the plot cannot use (named), a number is out of its range, the file
    /// can't be read or has changed since it was opened, or `stop` said so.
    pub fn plot(&self, spec: &PlotSpec, stop: &dyn Fn() -> bool) -> Result<PlotData, DatasetError> {
        guard("plotting", || match spec {
            PlotSpec::Histogram { column, n_bins, group } => {
                histogram::histogram(self, column, *n_bins, group.as_deref(), stop)
            }
            PlotSpec::Bar { column, group } => bar::bar(self, column, group.as_deref(), stop),
            PlotSpec::Box { column, group } => boxes::boxes(self, column, group.as_deref(), stop),
            PlotSpec::Scatter { x, y, group } => scatter::scatter(self, x, y, group.as_deref(), stop),
            PlotSpec::Line { x, y, group } => line::line(self, x, y, group.as_deref(), stop),
            PlotSpec::Correlation { columns } => correlation::correlation(self, columns, stop),
        })
    }
}

/// How often each value of a column occurs, by its code.
#[derive(Debug, Clone, Default)]
struct Counts {
    by_code: Vec<u64>,
    n_missing: u64,
}

impl Counts {
    fn add(&mut self, code: u32) {
        if code == MISSING {
            self.n_missing += 1;
            return;
        }
        let at = code as usize;
        if at >= self.by_code.len() {
            self.by_code.resize(at + 1, 0);
        }
        self.by_code[at] += 1;
    }

    /// The most frequent codes, ties by name.
    fn top(&self, names: &[String], n: usize) -> Vec<u32> {
        let name = |code: u32| names.get(code as usize).map(String::as_str).unwrap_or_default();
        let count = |code: u32| self.by_code.get(code as usize).copied().unwrap_or_default();
        let mut codes: Vec<u32> = (0..self.by_code.len() as u32).filter(|&code| count(code) > 0).collect();
        let order = |a: &u32, b: &u32| count(*b).cmp(&count(*a)).then_with(|| name(*a).cmp(name(*b)));
        if codes.len() > n && n > 0 {
            codes.select_nth_unstable_by(n - 1, order);
            codes.truncate(n);
        }
        codes.sort_by(order);
        codes
    }
}

/// Which group each row belongs to.
struct Groups {
    names: Vec<String>,
    by_code: Vec<usize>,
    missing: usize,
    /// Whether there is a column that splits the rows.
    split: bool,
}

impl Groups {
    /// All rows are one group without a name.
    fn one() -> Self {
        Self { names: vec![String::new()], by_code: vec![], missing: 0, split: false }
    }

    /// The most frequent values of a column, then all others.
    fn of(counts: &Counts, values: &[String]) -> Self {
        let mut counts = counts.clone();
        let n_values = counts.by_code.len();
        // Missing competes with the others under a code of its own.
        let mut named: Vec<String> = values.iter().take(n_values).cloned().collect();
        named.resize(n_values, String::new());
        // A value of the table may have this very name.
        let free = |name: &str, instead: &str, taken: &[String]| {
            if taken.iter().any(|other| other == name) { instead.to_owned() } else { name.to_owned() }
        };
        named.push(free("missing", "no value", &named));
        counts.by_code.push(counts.n_missing);
        let top = counts.top(&named, MAX_GROUPS);
        let mut by_code = vec![top.len(); n_values + 1];
        for (group, &code) in top.iter().enumerate() {
            by_code[code as usize] = group;
        }
        let is_rest = |code: usize| by_code[code] == top.len() && counts.by_code[code] > 0;
        let has_rest = (0..=n_values).any(is_rest);
        let mut names: Vec<String> = top.iter().map(|&code| cut(&named[code as usize], MAX_VALUE_CHARS)).collect();
        if has_rest {
            names.push(free("other", "all others", &names));
        }
        let missing = by_code.pop().unwrap_or_default();
        Self { names, by_code, missing, split: true }
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn of_code(&self, code: u32) -> usize {
        if code == MISSING { self.missing } else { self.by_code.get(code as usize).copied().unwrap_or_default() }
    }

    /// The group of a row whose codes are these.
    fn at(&self, codes: &[u32], row: usize) -> usize {
        if self.split { codes.get(row).map_or(0, |&code| self.of_code(code)) } else { 0 }
    }

    /// Puts each group's result under its name.
    fn named<T>(&self, results: Vec<T>) -> Vec<(String, T)> {
        self.names.iter().cloned().zip(results).collect()
    }
}

/// The needs of a plot that splits rows by a column: that column comes last.
fn with_group<'a>(needs: &[(&'a str, Need)], group: Option<&'a str>) -> Vec<(&'a str, Need)> {
    needs.iter().copied().chain(group.map(|name| (name, Need::Label))).collect()
}

/// Groups by the last column that was asked for, where there is one to split by.
fn groups(scan: &Scan<'_>, counts: &Counts, group: Option<&str>, at: usize) -> Groups {
    match group {
        Some(_) => Groups::of(counts, scan.names(at)),
        None => Groups::one(),
    }
}

/// A mean and a number of values, that no sum can overflow.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    n: u64,
    value: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.n += 1;
        let n = self.n as f64;
        self.value += value / n - self.value / n;
    }
}

/// Linear interpolation between the two nearest of sorted values (type 7 of Hyndman and Fan, 1996); `None` without any.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q * last as f64;
    let low = sorted.get(place.floor() as usize)?;
    let high = sorted.get((place.ceil() as usize).min(last))?;
    Some(low + (high / 2.0 - low / 2.0) * 2.0 * place.fract())
}
