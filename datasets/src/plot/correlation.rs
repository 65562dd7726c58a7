//! Pearson's correlation of columns with each other, of each pair over the rows that have both values.

use athanor_protocol::api::PlotData;

use super::{Batch, Need, Scan};
use crate::{
    dataset::Dataset,
    error::{DatasetError, cut},
    steps::require,
};

/// Most columns.
const MAX_COLUMNS: usize = 60;
/// Rows that are looked at together, so that they stay near the processor.
const BLOCK_ROWS: usize = 1_024;

/// What brings a column's values between -1 and 1, around their mean.
#[derive(Debug, Clone, Copy)]
struct Scale {
    n: u64,
    mean: f64,
    min: f64,
    max: f64,
}

impl Scale {
    const NONE: Self = Self { n: 0, mean: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    fn add(&mut self, value: f64) {
        self.n += 1;
        let n = self.n as f64;
        self.mean += value / n - self.mean / n;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn varies(&self) -> bool {
        self.n > 1 && self.min < self.max
    }

    /// Halves, because a width may be larger than the largest float.
    fn half_width(&self) -> f64 {
        let width = (self.max / 2.0 - self.mean / 2.0).max(self.mean / 2.0 - self.min / 2.0);
        if width > 0.0 { width } else { 1.0 }
    }
}

/// The sums of a pair over the rows that have both values.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Sums {
    fn correlation(&self) -> Option<f64> {
        if self.n < 2.0 {
            return None;
        }
        let (xx, yy) = (self.xx - self.x * self.x / self.n, self.yy - self.y * self.y / self.n);
        // What is left of a constant by rounding is no variance.
        if xx <= self.xx * 1e-13 || yy <= self.yy * 1e-13 {
            return None;
        }
        let r = (self.xy - self.x * self.y / self.n) / (xx.sqrt() * yy.sqrt());
        r.is_finite().then_some(r.clamp(-1.0, 1.0))
    }
}

pub(super) fn correlation(
    dataset: &Dataset,
    columns: &[String],
    stop: &dyn Fn() -> bool,
) -> Result<PlotData, DatasetError> {
    let names = chosen(dataset, columns)?;
    let number = Need::Number("a correlation");
    let needs: Vec<(&str, Need)> = names.iter().map(|name| (name.as_str(), number)).collect();
    let mut scan = Scan::new(dataset, &needs, stop)?;
    let n = names.len();
    let scales = scan.pass(
        || vec![Scale::NONE; n],
        |scales, batch| {
            for (at, scale) in scales.iter_mut().enumerate() {
                batch.numbers(at).iter().filter(|value| value.is_finite()).for_each(|&value| scale.add(value));
            }
            Ok(())
        },
    )?;
    let (sums, n_rows) = scan.pass(
        || (vec![Sums::default(); n * n], 0u64),
        |(sums, n_rows), batch| {
            let mut block = Block::new(n);
            for from in (0..batch.n_rows).step_by(BLOCK_ROWS) {
                *n_rows += block.load(batch, &scales, from);
                block.add_to(sums);
            }
            Ok(())
        },
    )?;
    let value = |i: usize, j: usize| {
        if !scales[i].varies() || !scales[j].varies() {
            None
        } else if i == j {
            Some(1.0)
        } else {
            sums[i.min(j) * n + i.max(j)].correlation()
        }
    };
    let values = (0..n).map(|i| (0..n).map(|j| value(i, j)).collect()).collect();
    Ok(PlotData::Correlation { columns: names, values, n_rows })
}

/// The columns that were named, or the first numeric ones.
fn chosen(dataset: &Dataset, columns: &[String]) -> Result<Vec<String>, DatasetError> {
    let schema = dataset.schema();
    if columns.is_empty() {
        let numeric = schema.columns.iter().filter(|column| column.dtype.is_numeric());
        let names: Vec<String> = numeric.take(MAX_COLUMNS).map(|column| column.name.clone()).collect();
        if names.is_empty() {
            let reason = "the table has no numeric column, so that nothing correlates";
            return Err(DatasetError::invalid_because(reason, "choose another plot"));
        }
        return Ok(names);
    }
    let mut names: Vec<String> = Vec::new();
    for name in columns {
        require(schema, name)?;
        if !names.contains(name) {
            names.push(name.clone());
        }
        if names.len() > MAX_COLUMNS {
            let reason = format!("{} columns were chosen: a correlation shows at most {MAX_COLUMNS}", columns.len());
            return Err(DatasetError::invalid_because(cut(&reason, 200), "choose fewer columns"));
        }
    }
    Ok(names)
}

/// Some rows, scaled, column after column; 0 where a value is missing.
struct Block {
    n_columns: usize,
    n_rows: usize,
    values: Vec<f64>,
    /// 1 where a value is there.
    there: Vec<f64>,
    whole: Vec<bool>,
}

impl Block {
    fn new(n_columns: usize) -> Self {
        let n = n_columns * BLOCK_ROWS;
        Self { n_columns, n_rows: 0, values: vec![0.0; n], there: vec![0.0; n], whole: vec![false; n_columns] }
    }

    /// Fills it; returns how many of its rows have two values or more (one where there is one column).
    fn load(&mut self, batch: &Batch, scales: &[Scale], from: usize) -> u64 {
        self.n_rows = BLOCK_ROWS.min(batch.n_rows - from);
        let mut n_there = [0u32; BLOCK_ROWS];
        for (at, scale) in scales.iter().enumerate() {
            let begin = at * BLOCK_ROWS;
            let (mean, width) = (scale.mean, scale.half_width());
            let numbers = batch.numbers(at).get(from..from + self.n_rows).unwrap_or(&[]);
            let mut n = 0;
            for (row, &value) in numbers.iter().enumerate() {
                let is_there = value.is_finite();
                n += usize::from(is_there);
                n_there[row] += u32::from(is_there);
                self.values[begin + row] = if is_there { (value / 2.0 - mean / 2.0) / width } else { 0.0 };
                self.there[begin + row] = f64::from(u8::from(is_there));
            }
            self.whole[at] = n == self.n_rows;
        }
        let least = if self.n_columns > 1 { 2 } else { 1 };
        n_there[..self.n_rows].iter().filter(|&&n| n >= least).count() as u64
    }

    fn add_to(&self, sums: &mut [Sums]) {
        let column = |of: &[f64], at: usize| at * BLOCK_ROWS..(at * BLOCK_ROWS + self.n_rows).min(of.len());
        let values = |at: usize| &self.values[column(&self.values, at)];
        let there = |at: usize| &self.there[column(&self.there, at)];
        let own: Vec<(f64, f64)> =
            (0..self.n_columns).map(|at| (values(at).iter().sum(), dot(values(at), values(at)))).collect();
        for i in 0..self.n_columns {
            for j in i + 1..self.n_columns {
                let (x, y) = (values(i), values(j));
                let sum = &mut sums[i * self.n_columns + j];
                sum.xy += dot(x, y);
                if self.whole[i] && self.whole[j] {
                    sum.n += self.n_rows as f64;
                    (sum.x, sum.xx) = (sum.x + own[i].0, sum.xx + own[i].1);
                    (sum.y, sum.yy) = (sum.y + own[j].0, sum.yy + own[j].1);
                } else {
                    sum.n += dot(there(i), there(j));
                    (sum.x, sum.xx) = (sum.x + dot(x, there(j)), sum.xx + dot_squares(x, there(j)));
                    (sum.y, sum.yy) = (sum.y + dot(y, there(i)), sum.yy + dot_squares(y, there(i)));
                }
            }
        }
    }
}

/// Eight sums side by side, which processors do at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (mut a, mut b) = (a.chunks_exact(8), b.chunks_exact(8));
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for at in 0..8 {
            sums[at] += a[at] * b[at];
        }
    }
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// `Σ a² b`.
fn dot_squares(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * a * b).sum()
}
