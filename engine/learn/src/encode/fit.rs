//! Fitting: what the encoder learns from training rows.

use std::{collections::HashMap, sync::Arc};

use athanor_protocol::columns::{Column, ColumnData, Frame};

use super::{
    ENCODER_VERSION, EncodeOptions, EncodedColumn, Encoding, FittedEncoder, MAX_FEATURES, Scale, TaskChoice, label,
    target::TargetEncoding,
};
use crate::LearnError;

/// Text with more distinct values than this may be an identifier.
const MIN_UNIQUE: usize = 20;

pub(super) fn fit(
    train: &Frame,
    target: &str,
    features: &[String],
    task: TaskChoice,
    options: EncodeOptions,
) -> Result<(FittedEncoder, Vec<String>), LearnError> {
    let missing = |name: &str| LearnError::MissingColumn { column: name.to_owned() };
    let target_column = train.column(target).ok_or_else(|| missing(target))?;
    if train.n_rows() == 0 {
        let hint = Some("check the filter and the shares of the split".to_owned());
        return Err(LearnError::BadData { message: "there are no training rows".to_owned(), hint });
    }
    let columns: Vec<&Column> = if features.is_empty() {
        train.columns().iter().filter(|column| &*column.name != target).collect()
    } else {
        let mut chosen: Vec<&Column> = Vec::with_capacity(features.len());
        for name in features {
            if name == target {
                let message = "the target cannot be a feature too".to_owned();
                return Err(LearnError::Column { column: name.clone(), message });
            }
            if chosen.iter().any(|column| *column.name == **name) {
                return Err(LearnError::Column { column: name.clone(), message: "is named twice".to_owned() });
            }
            chosen.push(train.column(name).ok_or_else(|| missing(name))?);
        }
        chosen
    };
    let (target, rows, mut notes) = TargetEncoding::fit(target_column, task)?;
    let columns = match options.scale {
        Scale::Common => fit_common(&columns, &rows, &mut notes)?,
        Scale::None | Scale::Column => {
            let mut fitted = Vec::with_capacity(columns.len());
            for column in columns {
                let encoding = match &column.data {
                    ColumnData::Text(_) => fit_text(column, &rows, options, &mut notes),
                    _ => fit_number(column, &rows, options, &mut notes),
                };
                fitted.extend(encoding.map(|encoding| encoded(column, encoding)));
            }
            fitted
        }
    };
    if columns.is_empty() {
        let message = "no column is left to learn from".to_owned();
        let hint = if notes.is_empty() { "the table has only the target".to_owned() } else { notes.join("; ") };
        return Err(LearnError::BadData { message, hint: Some(hint) });
    }
    let encoder = FittedEncoder {
        version: ENCODER_VERSION,
        options,
        columns,
        target_column: target_column.name.to_string(),
        target,
    };
    let n_features = encoder.n_features();
    if n_features > MAX_FEATURES {
        return Err(LearnError::TooLarge {
            what: "the encoded table".to_owned(),
            message: format!("{n_features} features, at most {MAX_FEATURES} are allowed"),
        });
    }
    Ok((encoder, notes))
}

fn encoded(column: &Column, encoding: Encoding) -> EncodedColumn {
    EncodedColumn { name: column.name.to_string(), dtype: column.data.dtype(), encoding }
}

/// The finite values of the rows; notes infinite ones.
fn finite_values(column: &Column, rows: &[usize], notes: &mut Vec<String>) -> Vec<f64> {
    let mut n_infinite = 0usize;
    let mut values = Vec::with_capacity(rows.len());
    for &row in rows {
        let value = column.data.number(row);
        if value.is_finite() {
            values.push(value);
        } else if value.is_infinite() {
            n_infinite += 1;
        }
    }
    if n_infinite > 0 {
        notes.push(format!("column {:?}: {n_infinite} infinite values are treated as missing", column.name));
    }
    values
}

/// Mean and population standard deviation, without overflow for any finite values. Two passes, in 64 bits.
pub(crate) fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let largest = values.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    if values.is_empty() || largest == 0.0 {
        return (0.0, 0.0);
    }
    // Only extreme values need the division; ordinary ones keep every bit.
    let unit = if (1e-100..=1e100).contains(&largest) { 1.0 } else { largest };
    let n = values.len() as f64;
    let mean = values.iter().map(|value| value / unit).sum::<f64>() / n;
    let variance = values.iter().map(|value| (value / unit - mean).powi(2)).sum::<f64>() / n;
    (mean * unit, variance.sqrt() * unit)
}

/// The middle value, or the mean of the two middle ones.
fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return middle;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lower / 2.0 + middle / 2.0
}

fn fit_number(column: &Column, rows: &[usize], options: EncodeOptions, notes: &mut Vec<String>) -> Option<Encoding> {
    let name = &column.name;
    let mut values = finite_values(column, rows, notes);
    let n_missing = rows.len() - values.len();
    let Some(&first) = values.first() else {
        notes.push(format!("column {name:?} has no values in the training rows and is left out"));
        return None;
    };
    let is_constant = values.iter().all(|&value| value == first);
    if is_constant && n_missing == 0 {
        notes.push(format!("column {name:?} is always {first} and is left out"));
        return None;
    }
    let (mean, std) = mean_and_std(&values);
    // A constant column stays only for what its gaps say; a spread that is lost in rounding counts as none.
    let std = if is_constant || std <= mean.abs() * 1e-13 || !std.is_normal() { 1.0 } else { std };
    let is_time = matches!(column.data, ColumnData::Datetime(_));
    let (offset, scale) = match options.scale {
        Scale::None if is_time => (mean.round(), 1.0),
        Scale::None => (0.0, 1.0),
        Scale::Column | Scale::Common => (mean, std),
    };
    let fill = options.impute.then(|| median(&mut values));
    Some(Encoding::Number { fill, offset, scale, indicator: options.impute && n_missing > 0 })
}

fn fit_text(column: &Column, rows: &[usize], options: EncodeOptions, notes: &mut Vec<String>) -> Option<Encoding> {
    let name = &column.name;
    let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
    let mut n_missing = 0usize;
    for &row in rows {
        match label(&column.data, row) {
            Some(category) => *counts.entry(category).or_default() += 1,
            None => n_missing += 1,
        }
    }
    let n_distinct = counts.len();
    let n_there = rows.len() - n_missing;
    if n_distinct == 0 {
        notes.push(format!("column {name:?} has no values in the training rows and is left out"));
        return None;
    }
    if n_distinct == 1 && n_missing == 0 {
        let only = counts.keys().next().cloned().unwrap_or_default();
        notes.push(format!("column {name:?} is always {only:?} and is left out"));
        return None;
    }
    if n_distinct > MIN_UNIQUE && n_distinct * 2 > n_there {
        notes.push(format!(
            "column {name:?} has {n_distinct} different texts in {n_there} rows, looks like an identifier and is left out"
        ));
        return None;
    }
    let mut by_count: Vec<(Arc<str>, usize)> = counts.into_iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let max_categories = options.max_categories.max(1);
    let other = n_distinct > max_categories;
    if other {
        let n_other: usize = by_count[max_categories..].iter().map(|(_, count)| count).sum();
        notes.push(format!(
            "column {name:?} has {n_distinct} categories; the {max_categories} most frequent are kept, {n_other} rows count as other"
        ));
        by_count.truncate(max_categories);
    }
    let mut categories: Vec<String> = by_count.into_iter().map(|(category, _)| category.to_string()).collect();
    categories.sort_unstable();
    if options.ordinal_above.is_some_and(|most| n_distinct > most) {
        return Some(Encoding::Ordinal { categories });
    }
    Some(Encoding::OneHot { categories, missing: n_missing > 0, other })
}

/// Pixels: one mean and one standard deviation for all columns, and no column is left out.
fn fit_common(columns: &[&Column], rows: &[usize], notes: &mut Vec<String>) -> Result<Vec<EncodedColumn>, LearnError> {
    let mut parts: Vec<(f64, f64, f64)> = Vec::with_capacity(columns.len());
    for column in columns {
        if matches!(column.data, ColumnData::Text(_)) {
            let message = "pixels must be numbers, here is text; choose the pixel columns as features".to_owned();
            return Err(LearnError::Column { column: column.name.to_string(), message });
        }
        let values = finite_values(column, rows, notes);
        let (mean, std) = mean_and_std(&values);
        parts.push((values.len() as f64, mean, std));
    }
    let n: f64 = parts.iter().map(|part| part.0).sum();
    if n == 0.0 {
        let message = "the pixel columns have no values in the training rows".to_owned();
        return Err(LearnError::BadData { message, hint: None });
    }
    // The whole's variance is the mean of the parts' variances plus the variance of their means.
    let mean = parts.iter().map(|part| part.0 / n * part.1).sum::<f64>();
    let variance = parts.iter().map(|part| part.0 / n * (part.2.powi(2) + (part.1 - mean).powi(2))).sum::<f64>();
    let std = variance.sqrt();
    if !mean.is_finite() || !std.is_finite() {
        let message = "the pixel values are too large to be scaled".to_owned();
        return Err(LearnError::BadData {
            message,
            hint: Some("divide them by their greatest value first".to_owned()),
        });
    }
    let scale = if std > 0.0 { std } else { 1.0 };
    let number = || Encoding::Number { fill: Some(mean), offset: mean, scale, indicator: false };
    Ok(columns.iter().map(|column| encoded(column, number())).collect())
}
