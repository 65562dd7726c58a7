//! Passes over some columns of a table, in batches of plain numbers and codes.

use std::collections::HashMap;

use athanor_protocol::table::{ColumnSchema, DataType};
use polars::prelude as pl;
use polars::prelude::DataFrame;

use crate::{
    csv::{Flow, Pass},
    dataset::{Dataset, Kind, collect_streaming, read_error},
    error::DatasetError,
    frame::{data_from_column, logical_type},
    show::column_texts,
    steps::require,
};

/// Most different values of a column that splits or is counted.
pub(super) const MAX_DISTINCT: usize = 1_000_000;
/// Most bytes of their texts.
const MAX_DISTINCT_BYTES: usize = 128 << 20;
/// Rows are kept for the next pass while they take no more than this.
const KEPT_BYTES: usize = 256 << 20;
/// Values in a batch.
const BATCH_VALUES: usize = 1 << 22;
/// The code of a missing value.
pub(super) const MISSING: u32 = u32::MAX;

/// What a plot needs of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Numbers, for the plot that is named.
    Number(&'static str),
    /// Values that are told apart.
    Label,
}

/// Rows of the columns that were asked for, in that order.
pub(super) struct Batch {
    pub(super) n_rows: usize,
    columns: Vec<Values>,
}

enum Values {
    Numbers(Vec<f64>),
    Codes(Vec<u32>),
}

impl Batch {
    /// Numbers, NaN where missing; none where something else was asked for.
    pub(super) fn numbers(&self, at: usize) -> &[f64] {
        match self.columns.get(at) {
            Some(Values::Numbers(values)) => values,
            _ => &[],
        }
    }

    /// Codes of values; none where something else was asked for.
    pub(super) fn codes(&self, at: usize) -> &[u32] {
        match self.columns.get(at) {
            Some(Values::Codes(codes)) => codes,
            _ => &[],
        }
    }

    fn n_bytes(&self) -> usize {
        let bytes = |values: &Values| match values {
            Values::Numbers(values) => 8 * values.len(),
            Values::Codes(codes) => 4 * codes.len(),
        };
        self.columns.iter().map(bytes).sum()
    }
}

/// A number for each different text.
#[derive(Default)]
struct Coder {
    codes: HashMap<String, u32>,
    names: Vec<String>,
    n_bytes: usize,
}

impl Coder {
    fn code(&mut self, column: &str, text: &str) -> Result<u32, DatasetError> {
        if let Some(&code) = self.codes.get(text) {
            return Ok(code);
        }
        self.n_bytes += text.len();
        if self.names.len() >= MAX_DISTINCT || self.n_bytes > MAX_DISTINCT_BYTES {
            return Err(DatasetError::Column {
                column: column.to_owned(),
                reason: "it has too many different values to be counted (more than a million, or 128 MiB of text)"
                    .to_owned(),
                hint: Some("choose a column with fewer different values".to_owned()),
            });
        }
        let code = self.names.len() as u32;
        self.names.push(text.to_owned());
        self.codes.insert(text.to_owned(), code);
        Ok(code)
    }

    fn codes_of(&mut self, column: &pl::Column) -> Result<Vec<u32>, DatasetError> {
        let name = column.name().as_str();
        let mut codes = Vec::with_capacity(column.len());
        if column.dtype() == &pl::DataType::String {
            let series = column.as_materialized_series();
            // Equal values often stand one after another.
            let mut last: Option<(&str, u32)> = None;
            for value in series.str()?.iter() {
                codes.push(match (value, last) {
                    (None, _) => MISSING,
                    (Some(text), Some((same, code))) if same == text => code,
                    (Some(text), _) => {
                        let code = self.code(name, text)?;
                        last = Some((text, code));
                        code
                    }
                });
            }
        } else {
            for text in column_texts(column)? {
                codes.push(text.map_or(Ok(MISSING), |text| self.code(name, &text))?);
            }
        }
        Ok(codes)
    }
}

/// Reads the same columns as often as it takes.
pub(super) struct Scan<'a> {
    dataset: Dataset,
    needs: Vec<(&'a str, Need)>,
    /// Positions in the file, rising.
    wanted: Vec<usize>,
    coders: Vec<Coder>,
    kept: Option<Vec<Batch>>,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        dataset: &Dataset,
        needs: &[(&'a str, Need)],
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, DatasetError> {
        let schema = dataset.schema();
        let mut wanted = Vec::new();
        for &(name, need) in needs {
            check_need(require(schema, name)?, need)?;
            wanted.extend(schema.columns.iter().position(|column| column.name == name));
        }
        wanted.sort_unstable();
        wanted.dedup();
        let coders = needs.iter().map(|_| Coder::default()).collect();
        Ok(Self { dataset: dataset.clone(), needs: needs.to_vec(), wanted, coders, kept: None, stop })
    }

    /// The texts of a column's codes, as far as rows were read.
    pub(super) fn names(&self, at: usize) -> &[String] {
        self.coders.get(at).map_or(&[], |coder| &coder.names)
    }

    /// Goes through all rows once. Begins anew, with what `begin` makes, where a value of a text table turns out not to
    /// fit its column's type.
    pub(super) fn pass<T>(
        &mut self,
        begin: impl Fn() -> T,
        mut each: impl FnMut(&mut T, &Batch) -> Result<(), DatasetError>,
    ) -> Result<T, DatasetError> {
        if let Some(kept) = &self.kept {
            let mut state = begin();
            for batch in kept {
                each(&mut state, batch)?;
            }
            return Ok(state);
        }
        loop {
            let mut state = begin();
            let mut kept = Some(Vec::new());
            let mut kept_bytes = 0;
            let Self { dataset, needs, wanted, coders, stop, .. } = self;
            let mut see = |df: &DataFrame| {
                let batch = batch_of(df, needs, coders)?;
                each(&mut state, &batch)?;
                kept_bytes += batch.n_bytes();
                if kept_bytes > KEPT_BYTES {
                    kept = None;
                }
                if let Some(kept) = &mut kept {
                    kept.push(batch);
                }
                Ok(())
            };
            if read(dataset, wanted, *stop, &mut see)? {
                self.kept = kept;
                return Ok(state);
            }
            for &(name, need) in needs.iter() {
                check_need(require(dataset.schema(), name)?, need)?;
            }
            coders.iter_mut().for_each(|coder| *coder = Coder::default());
        }
    }
}

fn check_need(column: &ColumnSchema, need: Need) -> Result<(), DatasetError> {
    let Need::Number(plot) = need else { return Ok(()) };
    if column.dtype.is_numeric() {
        return Ok(());
    }
    Err(DatasetError::Column {
        column: column.name.clone(),
        reason: format!("{plot} needs numbers, this column holds {}", words_of(column.dtype)),
        hint: Some("choose a column of numbers, dates, or true and false".to_owned()),
    })
}

fn words_of(dtype: DataType) -> &'static str {
    match dtype {
        DataType::Duration => "spans of time",
        DataType::Time => "times of day",
        dtype => dtype.as_str(),
    }
}

/// Hands out all rows. `false` where types were widened, so that all must be read again.
fn read(
    dataset: &mut Dataset,
    wanted: &[usize],
    stop: &dyn Fn() -> bool,
    see: &mut dyn FnMut(&DataFrame) -> Result<(), DatasetError>,
) -> Result<bool, DatasetError> {
    let n_rows = (BATCH_VALUES / wanted.len().max(1)).clamp(1 << 16, 1 << 20);
    let file = dataset.file.clone();
    match &mut dataset.kind {
        Kind::Csv(table) => {
            let pass = table.read(&file, wanted, n_rows, stop, &mut |df| {
                see(&df)?;
                Ok(Flow::Continue)
            })?;
            let schema = table.schema.clone();
            dataset.set_schema(schema);
            Ok(!matches!(pass, Pass::Widened))
        }
        Kind::Parquet(table) => {
            let mut at = 0u64;
            while at < table.n_rows {
                if stop() {
                    return Err(DatasetError::Cancelled);
                }
                // Opening checks that it is still the same file.
                file.open()?;
                let n = pl::IdxSize::try_from(n_rows).unwrap_or(pl::IdxSize::MAX);
                let lazy = table.scan(&file, wanted)?.slice(i64::try_from(at).unwrap_or(i64::MAX), n);
                let df = collect_streaming(lazy).map_err(|err| read_error(&file, &err))?;
                see(&df)?;
                at += u64::from(n);
            }
            file.open()?;
            Ok(true)
        }
    }
}

fn batch_of(df: &DataFrame, needs: &[(&str, Need)], coders: &mut [Coder]) -> Result<Batch, DatasetError> {
    let mut columns = Vec::with_capacity(needs.len());
    for (&(name, need), coder) in needs.iter().zip(coders) {
        let column = df.column(name)?;
        columns.push(match need {
            Need::Number(_) => Values::Numbers(numbers_of(column)?),
            Need::Label => Values::Codes(coder.codes_of(column)?),
        });
    }
    Ok(Batch { n_rows: df.height(), columns })
}

fn numbers_of(column: &pl::Column) -> Result<Vec<f64>, DatasetError> {
    let series = column.as_materialized_series();
    if series.dtype() == &pl::DataType::Float64 {
        return Ok(series.f64()?.iter().map(|value| value.unwrap_or(f64::NAN)).collect());
    }
    if logical_type(series.dtype()) == DataType::Int {
        return Ok(series.i64()?.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect());
    }
    let data = data_from_column(column)?;
    Ok((0..data.len()).map(|row| data.number(row)).collect())
}
