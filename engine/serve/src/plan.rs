//! From single values of any spelling to a model's raw columns, checked against its signature.

use std::{collections::HashMap, sync::Arc};

use athanor_protocol::{
    Failure,
    columns::{Column, ColumnData, Frame},
    signature::{InputColumn, ModelSignature},
    table::DataType,
};

use crate::{
    config::MAX_VALUES,
    moment::micros_from_iso,
    refusal::{bad, quoted},
    values::Scalar,
};

/// How far values of another type are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// Named columns: a number is a number, true is true.
    Strict,
    /// Tensors, whose one datatype may have to carry numbers, whole numbers and truth values: exact conversions only.
    Exact,
}

/// A signature, prepared for looking columns up by name.
#[derive(Debug)]
pub(crate) struct Plan {
    inputs: Vec<InputColumn>,
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, usize>,
}

impl Plan {
    /// # Errors
    /// A sentence on why no request could carry such columns.
    pub(crate) fn new(signature: &ModelSignature) -> Result<Self, String> {
        if signature.inputs.is_empty() {
            return Err("it takes no columns".to_owned());
        }
        if signature.task.is_classification() && signature.classes.is_empty() {
            return Err("it is a classifier without classes".to_owned());
        }
        let mut index = HashMap::new();
        let names: Vec<Arc<str>> = signature.inputs.iter().map(|input| Arc::from(input.name.as_str())).collect();
        for (at, (input, name)) in signature.inputs.iter().zip(&names).enumerate() {
            if matches!(input.dtype, DataType::Duration | DataType::Time | DataType::Other) {
                let dtype = input.dtype.as_str();
                return Err(format!("column {:?} is of type {dtype}, which no request can carry", input.name));
            }
            if index.insert(Arc::clone(name), at).is_some() {
                return Err(format!("column {:?} is there twice", input.name));
            }
        }
        Ok(Self { inputs: signature.inputs.clone(), names, index })
    }

    /// The columns in order.
    pub(crate) fn inputs(&self) -> &[InputColumn] {
        &self.inputs
    }

    /// A column's place. `guess` is where it stands when the client keeps the signature's order.
    pub(crate) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        if self.names.get(guess).is_some_and(|at_guess| **at_guess == *name) {
            return Some(guess);
        }
        self.index.get(name).copied()
    }

    /// The failure for a name that is no column, with the names that look like it.
    pub(crate) fn unknown(&self, what: &str, name: &str) -> Failure {
        let near = near_names(name, self.inputs.iter().map(|input| input.name.as_str()));
        let failure = bad(format!("{what} {} is not among the model's {} columns", quoted(name), self.inputs.len()));
        match near.as_slice() {
            [] => failure.hint("GET the model to see its columns"),
            near => failure.hint(format!("did you mean {}", near.join(" or "))),
        }
    }

    /// The failure for columns that are not there.
    pub(crate) fn missing(&self, what: &str, is_there: impl Fn(usize) -> bool) -> Failure {
        let missing: Vec<&str> =
            (0..self.inputs.len()).filter(|&at| !is_there(at)).map(|at| self.inputs[at].name.as_str()).collect();
        let named: Vec<String> = missing.iter().take(10).map(|name| quoted(name)).collect();
        let more = if missing.len() > 10 { format!(" and {} more", missing.len() - 10) } else { String::new() };
        let mut failure = bad(format!("{what} misses {}{more}", named.join(", ")));
        failure.subject = missing.first().map(|&name| name.to_owned());
        failure.hint("every column must be given; a missing value is null")
    }

    /// The failure for a row in the signature's order that has too many values or too few.
    pub(crate) fn wrong_width(&self, row: usize, n_values: usize) -> Failure {
        let n_columns = self.inputs.len();
        let names: Vec<String> = self.inputs.iter().take(10).map(|input| quoted(&input.name)).collect();
        let more = if n_columns > 10 { format!(" and {} more", n_columns - 10) } else { String::new() };
        bad(format!("row {row} has {n_values} values, the model takes {n_columns} columns"))
            .hint(format!("the columns in order: {}{more}", names.join(", ")))
    }

    /// Empty columns to fill.
    pub(crate) fn builder(&self, taking: Taking) -> Builder<'_> {
        let columns = self.inputs.iter().map(|input| Store::new(input.dtype)).collect();
        Builder { plan: self, columns, taking, n_values: 0 }
    }
}

/// Columns that are being filled.
pub(crate) struct Builder<'p> {
    plan: &'p Plan,
    columns: Vec<Store>,
    taking: Taking,
    n_values: usize,
}

enum Store {
    Float(Vec<f64>),
    Int(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
    Text(Vec<Option<Arc<str>>>),
    Moment(Vec<Option<i64>>),
}

impl Store {
    fn new(dtype: DataType) -> Self {
        match dtype {
            DataType::Float => Self::Float(vec![]),
            DataType::Int => Self::Int(vec![]),
            DataType::Bool => Self::Bool(vec![]),
            DataType::Date | DataType::Datetime => Self::Moment(vec![]),
            // A plan holds no other types; text is the one that takes anything from a table.
            DataType::Text | DataType::Duration | DataType::Time | DataType::Other => Self::Text(vec![]),
        }
    }

    fn expects(&self) -> &'static str {
        match self {
            Self::Float(_) => "a number",
            Self::Int(_) => "a whole number",
            Self::Bool(_) => "true or false",
            Self::Text(_) => "text",
            Self::Moment(_) => "a date or time such as \"2024-01-31\" or \"2024-01-31T12:30:00Z\"",
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) | Self::Moment(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    fn push_missing(&mut self) {
        match self {
            Self::Float(values) => values.push(f64::NAN),
            Self::Int(values) | Self::Moment(values) => values.push(None),
            Self::Bool(values) => values.push(None),
            Self::Text(values) => values.push(None),
        }
    }

    /// Adds a value that is there; `false` where it does not fit.
    fn push(&mut self, value: &Scalar, taking: Taking) -> bool {
        let exact = taking == Taking::Exact;
        match self {
            Self::Float(values) => match *value {
                Scalar::Float(v) => values.push(v),
                // A decimal point makes no difference to a number, in JSON as in a table.
                Scalar::Int(v) => values.push(v as f64),
                Scalar::Big(v) => values.push(v as f64),
                Scalar::Bool(v) if exact => values.push(f64::from(v)),
                _ => return false,
            },
            Self::Int(values) => match *value {
                Scalar::Int(v) => values.push(Some(v)),
                Scalar::Float(v) if whole(v).is_some() => values.push(whole(v)),
                Scalar::Bool(v) if exact => values.push(Some(i64::from(v))),
                _ => return false,
            },
            Self::Bool(values) => match *value {
                Scalar::Bool(v) => values.push(Some(v)),
                Scalar::Int(v @ (0 | 1)) if exact => values.push(Some(v == 1)),
                Scalar::Float(v) if exact && (v == 0.0 || v == 1.0) => values.push(Some(v == 1.0)),
                _ => return false,
            },
            Self::Text(values) => match value {
                Scalar::Text(text) => {
                    // Categories repeat: neighbours share their text.
                    let shared = values.last().and_then(Option::as_ref).filter(|last| ***last == **text);
                    let text = shared.map_or_else(|| Arc::from(&**text), Arc::clone);
                    values.push(Some(text));
                }
                _ => return false,
            },
            Self::Moment(values) => match value {
                Scalar::Text(text) => match micros_from_iso(text) {
                    Some(micros) => values.push(Some(micros)),
                    None => return false,
                },
                _ => return false,
            },
        }
        true
    }
}

/// A float as the whole number that it is.
fn whole(value: f64) -> Option<i64> {
    // 2^63 is the first float that is too large; -2^63 is the least that fits.
    (value.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value))
        .then_some(value as i64)
}

impl Builder<'_> {
    /// Adds a value to the column at `at`.
    ///
    /// # Errors
    /// Names column and row where the value does not fit, is missing where it may not be, or is one too many.
    pub(crate) fn push(&mut self, at: usize, value: &Scalar) -> Result<(), Failure> {
        let (column, input) = (&mut self.columns[at], &self.plan.inputs[at]);
        self.n_values += 1;
        if self.n_values > MAX_VALUES {
            return Err(too_many_values());
        }
        let wrong = |column: &Store, message: String| {
            bad(format!("column {} in row {} {message}", quoted(&input.name), column.len() + 1)).on(&input.name)
        };
        match value {
            Scalar::Null => {}
            Scalar::Float(v) if v.is_nan() => {}
            Scalar::Float(v) if v.is_infinite() => return Err(wrong(column, "must be finite".to_owned())),
            value => {
                if column.push(value, self.taking) {
                    return Ok(());
                }
                let found = match value {
                    Scalar::Big(_) => "a number beyond 64 bits with sign",
                    Scalar::Float(_) if matches!(column, Store::Int(_)) => "a number with a fraction or beyond 64 bits",
                    Scalar::Text(_) if matches!(column, Store::Moment(_)) => "text that is none",
                    value => value.kind(),
                };
                let message = format!("expects {}, found {found}", column.expects());
                return Err(wrong(column, message));
            }
        }
        if !input.nullable {
            let hint = "there was no missing value in training, and nothing was learned to fill it with";
            return Err(wrong(column, "must not be missing".to_owned()).hint(hint));
        }
        column.push_missing();
        Ok(())
    }

    /// Number of values in the column at `at`.
    pub(crate) fn len(&self, at: usize) -> usize {
        self.columns[at].len()
    }

    /// The filled columns, which must have equal lengths.
    pub(crate) fn finish(self) -> Result<Frame, Failure> {
        let columns = self.columns.into_iter().zip(&self.plan.names).map(|(store, name)| {
            let data = match store {
                Store::Float(values) => ColumnData::Float(values),
                Store::Int(values) => ColumnData::Int(values),
                Store::Bool(values) => ColumnData::Bool(values),
                Store::Text(values) => ColumnData::Text(values),
                Store::Moment(values) => ColumnData::Datetime(values),
            };
            Column { name: Arc::clone(name), data }
        });
        Frame::new(columns.collect()).map_err(|err| bad(err.to_string()))
    }
}

/// The failure for a request with more values than may be.
pub(crate) fn too_many_values() -> Failure {
    Failure::new(athanor_protocol::Code::TooLarge, format!("one request holds at most {MAX_VALUES} values"))
        .hint("send fewer rows in one request")
}

/// Names that differ from `name` in case or by at most two letters, nearest first, at most three, in quotes.
pub(crate) fn near_names<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // The time that this takes grows with both lengths, and the name is the client's.
    if name.chars().count() > 64 {
        return vec![];
    }
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let mut near: Vec<(usize, &str)> = names
        .take(2_000)
        .filter(|other| other.len() <= 256)
        .map(|other| (distance(&wanted, &other.to_lowercase().chars().collect::<Vec<_>>()), other))
        .filter(|(distance, other)| *distance <= 2 && *distance < other.chars().count())
        .collect();
    near.sort();
    near.truncate(3);
    near.into_iter().map(|(_, name)| quoted(name)).collect()
}

/// The number of letters to insert, remove or replace (Levenshtein), by the usual table of two rows.
fn distance(a: &[char], b: &[char]) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let replace = last[j] + usize::from(ca != cb);
            row.push(replace.min(last[j + 1] + 1).min(row[j] + 1));
        }
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use athanor_protocol::signature::Task;

    use super::*;

    fn plan(dtype: DataType, nullable: bool) -> Plan {
        let inputs = vec![InputColumn { name: "x".to_owned(), dtype, nullable }];
        Plan::new(&ModelSignature { task: Task::Regression, target: "y".to_owned(), inputs, classes: vec![] }).unwrap()
    }

    #[track_caller]
    fn check(dtype: DataType, taking: Taking, value: Scalar, expect: Result<ColumnData, &str>) {
        let plan = plan(dtype, false);
        let mut builder = plan.builder(taking);
        let got = builder.push(0, &value).map(|()| builder.finish().unwrap().columns()[0].data.clone());
        assert_eq!(got.map_err(|err| err.message), expect.map_err(|err| format!("column \"x\" in row 1 {err}")));
    }

    #[test]
    fn values_become_columns_or_say_why_not() {
        use Scalar::{Big, Bool, Float, Int, Null};
        use Taking::{Exact, Strict};
        let text = |text: &str| Scalar::Text(text.into());
        check(DataType::Float, Strict, Int(3), Ok(ColumnData::Float(vec![3.0])));
        check(DataType::Float, Strict, Float(-0.0), Ok(ColumnData::Float(vec![-0.0])));
        check(DataType::Float, Strict, Big(u64::MAX), Ok(ColumnData::Float(vec![u64::MAX as f64])));
        check(DataType::Float, Strict, Bool(true), Err("expects a number, found true or false"));
        check(DataType::Float, Exact, Bool(true), Ok(ColumnData::Float(vec![1.0])));
        check(DataType::Float, Strict, text("3"), Err("expects a number, found text"));
        check(DataType::Float, Strict, Null, Err("must not be missing"));
        check(DataType::Float, Exact, Float(f64::NAN), Err("must not be missing"));
        check(DataType::Float, Exact, Float(f64::INFINITY), Err("must be finite"));
        check(DataType::Int, Strict, Int(i64::MAX), Ok(ColumnData::Int(vec![Some(i64::MAX)])));
        check(DataType::Int, Strict, Float(3.0), Ok(ColumnData::Int(vec![Some(3)])));
        let fraction = "expects a whole number, found a number with a fraction or beyond 64 bits";
        check(DataType::Int, Strict, Float(3.5), Err(fraction));
        check(DataType::Int, Strict, Float(1e300), Err(fraction));
        check(DataType::Int, Strict, Float(9_223_372_036_854_775_808.0), Err(fraction));
        check(
            DataType::Int,
            Strict,
            Big(u64::MAX),
            Err("expects a whole number, found a number beyond 64 bits with sign"),
        );
        check(DataType::Bool, Strict, Int(1), Err("expects true or false, found a number"));
        check(DataType::Bool, Exact, Int(1), Ok(ColumnData::Bool(vec![Some(true)])));
        check(DataType::Bool, Exact, Int(2), Err("expects true or false, found a number"));
        check(DataType::Text, Strict, text("a"), Ok(ColumnData::Text(vec![Some("a".into())])));
        check(DataType::Text, Exact, Int(1), Err("expects text, found a number"));
        check(DataType::Date, Strict, text("1970-01-02"), Ok(ColumnData::Datetime(vec![Some(86_400_000_000)])));
        let moment = "expects a date or time such as \"2024-01-31\" or \"2024-01-31T12:30:00Z\", found";
        check(DataType::Datetime, Strict, text("soon"), Err(&format!("{moment} text that is none")));
        check(DataType::Datetime, Strict, Int(0), Err(&format!("{moment} a number")));
        check(DataType::Float, Strict, Scalar::List, Err("expects a number, found a list"));
    }

    #[test]
    fn missing_values_are_kept_where_they_may_be() {
        for dtype in [DataType::Float, DataType::Int, DataType::Bool, DataType::Text, DataType::Date] {
            let plan = plan(dtype, true);
            let mut builder = plan.builder(Taking::Strict);
            builder.push(0, &Scalar::Null).unwrap();
            let frame = builder.finish().unwrap();
            assert!(frame.columns()[0].data.is_missing(0) && frame.n_rows() == 1, "{dtype:?}");
        }
    }

    #[test]
    fn near_names_are_offered() {
        let names = ["mean_radius", "mean_texture", "Age", "id"];
        assert_eq!(near_names("mean_raduis", names.into_iter()), ["\"mean_radius\""]);
        assert_eq!(near_names("age", names.into_iter()), ["\"Age\""]);
        assert!(near_names("colour", names.into_iter()).is_empty());
        assert!(near_names(&"x".repeat(10_000), names.into_iter()).is_empty());
    }

    #[test]
    fn columns_that_no_request_can_carry_are_refused_early() {
        let inputs = vec![InputColumn { name: "took".to_owned(), dtype: DataType::Duration, nullable: false }];
        let signature = ModelSignature { task: Task::Regression, target: "y".to_owned(), inputs, classes: vec![] };
        assert_eq!(
            Plan::new(&signature).unwrap_err(),
            "column \"took\" is of type duration, which no request can carry"
        );
        let none = ModelSignature { inputs: vec![], ..signature };
        assert_eq!(Plan::new(&none).unwrap_err(), "it takes no columns");
    }
}
