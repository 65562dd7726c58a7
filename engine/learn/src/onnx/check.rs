//! An exported graph against the package that it was made of, on rows made of what training saw.

use std::sync::Arc;

use athanor_protocol::{
    Failure,
    columns::{Column, ColumnData, Frame},
    package::{ColumnStatistics, Statistics},
    signature::InputColumn,
    table::DataType,
};
use serde::Serialize;

use super::{
    columns::input_type,
    prepared,
    session::{RUNTIME, RUNTIME_WITH_TREES, Session, Values, tensor},
};
use crate::{
    LearnError,
    model::TrainedModel,
    predictor::{Outputs, Predictor},
};

/// Rows that are compared.
const N_ROWS: usize = 64;
/// How far an answer may be off, as a share of the greatest answer: rounding of 32-bit floats, and no more.
const TOLERANCE: f64 = 1e-4;
/// How far a prepared value may be off, as a share of it: functions differ in their last digits between programs.
const ROUNDING: f64 = 1e-9;
/// Scaled values of a network beyond this are not compared.
const MAX_SCALED: f32 = 1e3;
/// A text that no table holds.
const UNSEEN: &str = "\u{1}unseen";

/// What the comparison found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelfCheck {
    /// Whether the written bytes were run and compared.
    pub checked: bool,
    /// Rows that were compared.
    pub checked_rows: usize,
    /// The greatest difference of a probability or value from the package's own, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_abs_difference: Option<f64>,
    /// The same as a share of the greatest answer: what is held against the tolerance, whatever the target's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rel_difference: Option<f64>,
    /// The greatest share that was let pass.
    pub tolerance: f64,
    /// What ran the bytes.
    pub runtime: String,
    /// Why nothing was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Replays the fitted recipe on raw rows.
pub type Prepare<'a> = &'a dyn Fn(&Frame) -> Result<Frame, Failure>;

/// What runs the bytes, as the report names it.
fn runtime(predictor: &Predictor) -> String {
    let has_trees = matches!(predictor.parts(), Some((_, TrainedModel::Trees(_))));
    if has_trees { RUNTIME_WITH_TREES } else { RUNTIME }.to_owned()
}

fn unchecked(reason: String) -> SelfCheck {
    let runtime = RUNTIME.to_owned();
    SelfCheck {
        checked: false,
        checked_rows: 0,
        max_abs_difference: None,
        max_rel_difference: None,
        tolerance: TOLERANCE,
        runtime,
        reason: Some(reason),
    }
}

/// Runs the bytes and compares.
///
/// # Errors
/// If the answers are not those of the package: then the file must not be used.
pub(super) fn check(
    bytes: &[u8],
    predictor: &Predictor,
    statistics: &Statistics,
    prepare: Prepare<'_>,
) -> Result<SelfCheck, LearnError> {
    let inputs = &predictor.signature().inputs;
    let frame = rows(inputs, statistics)?;
    let answer = |prepared: Frame| -> Result<(Outputs, Vec<bool>), LearnError> {
        Ok((predictor.predict(&prepared)?, comparable(predictor, &prepared)?))
    };
    let refused = |reason: String| Ok(unchecked(format!("the package refuses the rows of the check: {reason}")));
    let prepared = match prepare(&frame) {
        Ok(prepared) => prepared,
        Err(err) => return refused(err.message),
    };
    // Before the model answers: what few of its answers depend on is compared as well.
    match prepared::recipe_differences(predictor.recipe(), inputs, &frame, &prepared, ROUNDING) {
        Ok(differences) => {
            if let Some(difference) = differences.first() {
                return Err(LearnError::Internal(format!(
                    "the exported model was not written: its preparation differs, {difference}; please report this"
                )));
            }
        }
        Err(err) => return Ok(unchecked(err.to_string())),
    }
    let (ours, comparable) = match answer(prepared) {
        Ok(answered) => answered,
        Err(err) => return refused(err.to_string()),
    };
    let mut shapes = Vec::with_capacity(inputs.len());
    let mut tensors = Vec::with_capacity(inputs.len());
    for (input, column) in inputs.iter().zip(frame.columns()) {
        let fits = input_type(input).and_then(|elem| Some((elem, tensor(&column.data, elem)?)));
        let Some((elem, tensor)) = fits else {
            return Ok(unchecked(format!("the runtime takes no column like {:?}", input.name)));
        };
        shapes.push((elem, vec![N_ROWS, 1]));
        tensors.push(tensor);
    }
    let answers = match Session::open(bytes, &shapes).and_then(|session| session.run(tensors)) {
        Ok(answers) => answers,
        Err(reason) => return Ok(unchecked(format!("the runtime cannot run it: {reason}"))),
    };
    let expect: Vec<f64> = match (&ours.probabilities, &ours.value) {
        (Some(probabilities), _) => probabilities.iter().map(|&p| f64::from(p)).collect(),
        (None, value) => value.clone().unwrap_or_default(),
    };
    let differs = |what: String| {
        Err(LearnError::Internal(format!("the exported model was not written: {what}; please report this")))
    };
    let numbers = answers.iter().find_map(|(_, values)| match values {
        Values::Floats(values) => Some(values),
        _ => None,
    });
    let Some(found) = numbers.filter(|found| found.len() == expect.len()) else {
        return differs("it gives another number of answers than the package".to_owned());
    };
    let checked_rows = comparable.iter().filter(|&&row| row).count();
    if checked_rows == 0 {
        return Ok(unchecked("every row of the check lies far outside of what the network was trained on".to_owned()));
    }
    let width = ours.classes.len().max(1);
    let pairs = || found.iter().zip(&expect).enumerate().filter(|(at, _)| comparable.get(at / width) == Some(&true));
    let largest = pairs().fold(1e-30f64, |largest, (_, (_, expect))| largest.max(expect.abs()));
    let mut max_abs_difference = 0f64;
    for (at, (found, expect)) in pairs() {
        let difference = (found - expect).abs();
        if difference.is_nan() || difference > TOLERANCE * largest {
            return differs(format!("it answers {found} where the package answers {expect} (answer {at})"));
        }
        max_abs_difference = max_abs_difference.max(difference);
    }
    if let (Some(label), Some((_, Values::Texts(found)))) =
        (&ours.label, answers.iter().find(|(_, values)| matches!(values, Values::Texts(_))))
    {
        // Where two classes are as likely as each other, rounding may choose.
        let n_classes = ours.classes.len().max(1);
        for (row, (found, expect)) in found.iter().zip(label).enumerate() {
            let of_row = expect_row(&ours.probabilities, row, n_classes);
            let mut sorted = of_row.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let is_close = matches!(sorted.as_slice(), [first, second, ..] if f64::from(first - second) < TOLERANCE);
            if **found != **expect && !is_close && comparable.get(row) == Some(&true) {
                return differs(format!("it answers {found:?} where the package answers {expect:?} (row {row})"));
            }
        }
    }
    Ok(SelfCheck {
        checked: true,
        checked_rows,
        max_abs_difference: Some(max_abs_difference),
        max_rel_difference: Some(max_abs_difference / largest),
        tolerance: TOLERANCE,
        runtime: runtime(predictor),
        reason: None,
    })
}

/// Which rows can be compared. A network's rounding grows with its inputs, which combinations of extreme values may drive
/// to a million standard deviations through a derived column: there two right answers need not be alike.
fn comparable(predictor: &Predictor, prepared: &Frame) -> Result<Vec<bool>, LearnError> {
    let Some((encoder, TrainedModel::Network(_))) = predictor.parts() else {
        return Ok(vec![true; prepared.n_rows()]);
    };
    let samples = encoder.encode(prepared)?;
    let rows = samples.features.chunks_exact(samples.n_features.max(1));
    Ok(rows.map(|row| row.iter().all(|value| value.abs() <= MAX_SCALED)).collect())
}

fn expect_row(probabilities: &Option<Vec<f32>>, row: usize, n_classes: usize) -> &[f32] {
    let all = probabilities.as_deref().unwrap_or_default();
    all.get(row * n_classes..(row + 1) * n_classes).unwrap_or_default()
}

/// Rows that go through what training saw of each column: typical, least and greatest values, every category, one that
/// nobody has seen, and missing values where they are allowed. The first row is typical throughout.
fn rows(inputs: &[InputColumn], statistics: &Statistics) -> Result<Frame, LearnError> {
    let columns = inputs.iter().enumerate().map(|(at, input)| {
        let known = statistics.inputs.iter().find(|column| column.name == input.name);
        Column { name: input.name.as_str().into(), data: values(input, known, at) }
    });
    Frame::new(columns.collect()).map_err(|err| LearnError::Internal(err.to_string()))
}

fn values(input: &InputColumn, known: Option<&ColumnStatistics>, column: usize) -> ColumnData {
    // Different strides, so that columns do not march in step.
    let pick = |n: usize, row: usize| if n == 0 { 0 } else { (row * (2 * column + 1) + row / n.max(1)) % n };
    let mut numbers: Vec<f64> = Vec::new();
    if let Some(known) = known {
        numbers.extend(known.numbers.iter().flat_map(|&[mean, _, least, greatest]| [mean, least, greatest]));
        numbers.extend(&known.edges);
    }
    if numbers.is_empty() {
        numbers.extend([0.0, 1.0]);
    }
    let missing = input.nullable.then_some(None);
    let spread = |values: Vec<Option<f64>>| (0..N_ROWS).map(move |row| values[pick(values.len(), row)]);
    let numbers: Vec<Option<f64>> = numbers.into_iter().map(Some).chain(missing).collect();
    match input.dtype {
        DataType::Bool => {
            let truths: Vec<Option<bool>> =
                [Some(true), Some(false)].into_iter().chain(input.nullable.then_some(None)).collect();
            ColumnData::Bool((0..N_ROWS).map(|row| truths[pick(truths.len(), row)]).collect())
        }
        DataType::Float => ColumnData::Float(spread(numbers).map(|value| value.unwrap_or(f64::NAN)).collect()),
        DataType::Date | DataType::Datetime => {
            let is_date = input.dtype == DataType::Date;
            let day = 86_400_000_000i64;
            let micros = |seconds: f64| {
                let micros = (seconds * 1e6) as i64;
                if is_date { micros.div_euclid(day) * day } else { micros }
            };
            ColumnData::Datetime(spread(numbers).map(|value| value.map(micros)).collect())
        }
        DataType::Text => {
            let seen = known.map(|known| known.categories.as_slice()).unwrap_or_default();
            let mut texts: Vec<Option<Arc<str>>> =
                seen.iter().filter(|(text, _)| !text.is_empty()).map(|(text, _)| Some(text.as_str().into())).collect();
            texts.push(Some(UNSEEN.into()));
            texts.extend(input.nullable.then_some(None));
            ColumnData::Text((0..N_ROWS).map(|row| texts[pick(texts.len(), row)].clone()).collect())
        }
        DataType::Int | DataType::Duration | DataType::Time | DataType::Other => {
            ColumnData::Int(spread(numbers).map(|value| value.map(|value| value.round() as i64)).collect())
        }
    }
}
