//! Why a model says what it says of one row: how much each raw input column contributes.
//!
//! The contributions are Shapley values (Shapley, "A value for n-person games", 1953) of a game whose players are the
//! columns. What a set of columns is worth is the model's answer to the row in which these columns have the row's own
//! values and all others those of a *baseline*, one typical row ([`typical_row`]). The difference between the answer to
//! the row and the answer to the baseline is thereby shared out without a rest, columns that do the same get the same, and
//! one that the model does not look at gets nothing. Lundberg and Lee ("A unified approach to interpreting model
//! predictions", 2017) show that nothing else has these properties; with one baseline this is their interventional form,
//! and of a linear model it gives `weight · (value − baseline)`.
//!
//! Every model is explained by the same rule, in the scale in which it answers (a class's probability, or the value).
//! Rules of their own for linear models and trees would be faster, but are exact in the scale of log-odds alone, and would
//! share out a column between the features that are made of it: by an encoder, or by derived columns, of which only the
//! caller knows. So the columns that are changed are those that come in, before the recipe.
//!
//! Where few columns differ from the baseline every set is asked for. Where there are many, orders of the columns are
//! drawn (Štrumbelj and Kononenko, "Explaining prediction models and individual predictions with feature contributions",
//! 2014), each with its reverse, so that what the errors of the two have in common cancels (Mitchell and others, "Sampling
//! permutations for Shapley value estimation", 2022). The difference is still shared out without a rest. The orders come
//! from a seed: the same row has the same explanation, whatever is asked with it.
//!
//! What is explained is the model, not the world: rows that mix two others may be such as nobody has ever seen, and of
//! columns that say the same it is the model that chooses which one counts.

mod game;
#[cfg(test)]
mod tests;
mod typical;

use std::sync::Arc;

use athanor_protocol::columns::{Column, ColumnData, Frame};

use self::game::Sets;
pub use self::typical::typical_row;
use crate::LearnError;

/// The most columns that are explained: at least eight orders are drawn, and each asks for as many rows as there are
/// columns.
pub const MAX_COLUMNS: usize = 1_000;
/// The most rows of one call to the model: how much work there is between two looks at whether to go on.
const CALL_ROWS: usize = 1_024;
/// The most values of one call to the model.
const CALL_VALUES: usize = 1 << 18;

/// Bounds the work of [`contributions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Seed of the orders that are drawn.
    pub seed: u64,
    /// About how many rows the model is asked for. Sets of columns are counted out as long as there are not more of them;
    /// of orders that are drawn there are never fewer than eight.
    pub n_model_rows: usize,
}

/// What a row's columns contribute to a model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// The answer to the baseline.
    pub base: f64,
    /// The answer to the row: the base and all contributions together, to rounding.
    pub value: f64,
    /// What each column contributes, in the order of the rows' columns and in the unit of the answer.
    pub of_columns: Vec<f64>,
    /// The standard error of each contribution, where orders were drawn; `None` where every set was counted.
    pub standard_errors: Option<Vec<f64>>,
    /// Rows that the model was asked for.
    pub n_model_rows: usize,
}

/// Explains one row against a baseline (a single row with the same columns). `predict` gives the number that is explained
/// for each row that it is given: raw rows, before the recipe. `None` where `go_on` said no; it is asked before every call.
///
/// # Errors
/// What `predict` fails with; [`LearnError::TooLarge`] if more than [`MAX_COLUMNS`] columns differ from the baseline;
/// [`LearnError::BadData`] if an answer is no finite number; [`LearnError::Internal`] if the rows do not fit each other.
pub fn contributions<E: From<LearnError>>(
    rows: &Frame,
    row: usize,
    baseline: &Frame,
    options: Options,
    go_on: &dyn Fn() -> bool,
    predict: &mut dyn FnMut(&Frame) -> Result<Vec<f64>, E>,
) -> Result<Option<Contributions>, E> {
    check(rows, row, baseline)?;
    let pairs = || rows.columns().iter().zip(baseline.columns());
    // A column that has the baseline's value makes no difference to any set: its contribution is 0 without asking.
    let players: Vec<usize> =
        pairs().enumerate().filter(|(_, (own, base))| !is_same(&own.data, row, &base.data)).map(|(at, _)| at).collect();
    if players.len() > MAX_COLUMNS {
        let message = format!("{} columns differ from the baseline, the limit is {MAX_COLUMNS}", players.len());
        return Err(LearnError::TooLarge { what: "the row".to_owned(), message }.into());
    }
    let mut player_of = vec![None; rows.columns().len()];
    for (player, &column) in players.iter().enumerate() {
        player_of[column] = Some(player);
    }
    let sets = Sets::new(players.len(), options);
    let per_call = (CALL_VALUES / rows.columns().len().max(1)).clamp(1, CALL_ROWS);
    let mut worths: Vec<f64> = Vec::with_capacity(sets.len());
    while worths.len() < sets.len() {
        if !go_on() {
            return Ok(None);
        }
        let (from, to) = (worths.len(), (worths.len() + per_call).min(sets.len()));
        let mixed = pairs().zip(&player_of).map(|((own, base), player)| {
            let is_own = |set: usize| player.is_some_and(|player| sets.holds(set, player));
            Column { name: Arc::clone(&own.name), data: mix(&own.data, row, &base.data, (from..to).map(is_own)) }
        });
        let mixed = Frame::new(mixed.collect()).map_err(|err| LearnError::Internal(err.to_string()))?;
        let answers = predict(&mixed)?;
        if answers.len() != to - from {
            return Err(LearnError::Internal(format!("{} answers for {} rows", answers.len(), to - from)).into());
        }
        if answers.iter().any(|answer| !answer.is_finite()) {
            return Err(LearnError::BadData {
                message: "the model has no finite answer for a mix of the row's values and the baseline's".to_owned(),
                hint: Some("a value may be far outside of what the model was trained on".to_owned()),
            }
            .into());
        }
        worths.extend(answers);
    }
    let shares = sets.shares(&worths);
    let spread = |of_players: &[f64]| {
        let mut of_columns = vec![0.0; rows.columns().len()];
        for (&column, share) in players.iter().zip(of_players) {
            // Minus zero would be written as such.
            of_columns[column] = share + 0.0;
        }
        of_columns
    };
    Ok(Some(Contributions {
        base: sets.empty(&worths),
        value: sets.full(&worths),
        of_columns: spread(&shares.means),
        standard_errors: shares.errors.as_deref().map(spread),
        n_model_rows: sets.len(),
    }))
}

fn check(rows: &Frame, row: usize, baseline: &Frame) -> Result<(), LearnError> {
    let is_alike = |(own, base): (&Column, &Column)| {
        own.name == base.name && std::mem::discriminant(&own.data) == std::mem::discriminant(&base.data)
    };
    let n_columns = (rows.columns().len(), baseline.columns().len());
    let fits = n_columns.0 == n_columns.1 && rows.columns().iter().zip(baseline.columns()).all(is_alike);
    if fits && row < rows.n_rows() && baseline.n_rows() == 1 {
        return Ok(());
    }
    Err(LearnError::Internal("the baseline is not one row of the same columns".to_owned()))
}

/// Whether a row has the baseline's value, bit for bit; missing is missing.
fn is_same(own: &ColumnData, row: usize, base: &ColumnData) -> bool {
    match (own, base) {
        _ if own.is_missing(row) || base.is_missing(0) => own.is_missing(row) && base.is_missing(0),
        (ColumnData::Float(own), ColumnData::Float(base)) => own[row].to_bits() == base[0].to_bits(),
        (ColumnData::Int(own), ColumnData::Int(base)) => own[row] == base[0],
        (ColumnData::Datetime(own), ColumnData::Datetime(base)) => own[row] == base[0],
        (ColumnData::Bool(own), ColumnData::Bool(base)) => own[row] == base[0],
        (ColumnData::Text(own), ColumnData::Text(base)) => own[row] == base[0],
        _ => false,
    }
}

/// The row's own value where it is asked for, the baseline's elsewhere. Types are alike, and both rows are there.
fn mix(own: &ColumnData, row: usize, base: &ColumnData, is_own: impl Iterator<Item = bool>) -> ColumnData {
    fn choose<T: Clone>(own: &T, base: &T, is_own: impl Iterator<Item = bool>) -> Vec<T> {
        is_own.map(|is_own| if is_own { own.clone() } else { base.clone() }).collect()
    }
    match (own, base) {
        (ColumnData::Float(own), ColumnData::Float(base)) => ColumnData::Float(choose(&own[row], &base[0], is_own)),
        (ColumnData::Int(own), ColumnData::Int(base)) => ColumnData::Int(choose(&own[row], &base[0], is_own)),
        (ColumnData::Datetime(own), ColumnData::Datetime(base)) => {
            ColumnData::Datetime(choose(&own[row], &base[0], is_own))
        }
        (ColumnData::Bool(own), ColumnData::Bool(base)) => ColumnData::Bool(choose(&own[row], &base[0], is_own)),
        (ColumnData::Text(own), ColumnData::Text(base)) => ColumnData::Text(choose(&own[row], &base[0], is_own)),
        // Checked before.
        _ => own.clone(),
    }
}
