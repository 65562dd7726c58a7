//! Any rows of a table, as text for a grid, without reading the rows before them.

use std::sync::Arc;

use athanor_protocol::table::{ColumnSchema, DataType};
use polars::prelude as pl;

use crate::{
    csv::index::RowIndex,
    dataset::{Dataset, Kind, ParquetTable, collect_streaming, read_error, scan_parquet},
    error::{DatasetError, guard},
    frame::{canonical_expr, logical_type, polars_type},
    show::column_texts,
    steps::unknown_column,
};

/// Most cells of one page.
pub const MAX_PAGE_CELLS: usize = 4_000_000;

/// Rows as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The columns.
    pub columns: Vec<ColumnSchema>,
    /// One list for each column; `None` is missing. Texts are cut to 500 characters.
    pub cells: Vec<Vec<Option<String>>>,
    /// All rows of the table, where that is known by now.
    pub n_rows: Option<u64>,
}

/// Shows rows of a table from any place on. Safe to use from many threads at once.
///
/// A Parquet file says by itself where its rows are. For a text table a sparse index of places is needed; it is made as
/// far as a page asks for, or whole by [`Self::index`], which the caller may run on a thread of its own.
pub struct Pager {
    dataset: Dataset,
    index: Option<Arc<RowIndex>>,
}

impl std::fmt::Debug for Pager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pager").field("dataset", &self.dataset).field("n_rows", &self.n_rows()).finish_non_exhaustive()
    }
}

impl Pager {
    /// Reads no rows yet; where opening has seen the whole of a text table, its rows are counted.
    ///
    /// # Errors
    /// If the file can't be read or has changed since it was opened.
    pub fn new(dataset: Dataset) -> Result<Self, DatasetError> {
        let index = match &dataset.kind {
            Kind::Parquet(_) => None,
            Kind::Csv(table) => {
                let index = RowIndex::new(table, &dataset.file)?;
                if table.settled {
                    index.build(table, &dataset.file, None, &|| false)?;
                }
                Some(Arc::new(index))
            }
        };
        Ok(Self { dataset, index })
    }

    /// The table.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The number of rows, where it is known without reading on: from a Parquet file's footer, or once the index is
    /// complete.
    pub fn n_rows(&self) -> Option<u64> {
        match (&self.dataset.kind, &self.index) {
            (Kind::Parquet(table), _) => Some(table.n_rows),
            (Kind::Csv(_), index) => index.as_ref()?.n_rows(),
        }
    }

    /// Whether there is nothing left for [`Self::index`] to do. A malformed line ends the index before the file does; the
    /// number of rows then stays unknown.
    pub fn is_indexed(&self) -> bool {
        self.index.as_ref().is_none_or(|index| index.progress().1)
    }

    /// Makes the index in one pass over a text table, in bounded memory. Pages can be read meanwhile. Ends early where
    /// `stop` says so (it is asked for every MiB); what was done is kept, and a later call goes on.
    ///
    /// # Errors
    /// If the file can't be read or has changed since it was opened.
    pub fn index(&self, stop: &dyn Fn() -> bool) -> Result<(), DatasetError> {
        match (&self.dataset.kind, &self.index) {
            (Kind::Csv(table), Some(index)) => index.build(table, &self.dataset.file, None, stop).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Rows from `offset` (counted from 0) on, at most `limit`, fewer at the end: of the columns in `names` in that order,
    /// of all where it is empty.
    ///
    /// # Errors
    /// If a name is not among the columns or there twice, the page would have more than [`MAX_PAGE_CELLS`] cells, the file
    /// has changed since it was opened, or a row before or on the page is malformed.
    pub fn rows(&self, offset: u64, limit: usize, names: &[String]) -> Result<Page, DatasetError> {
        let schema = self.dataset.schema();
        let wanted: Vec<usize> = if names.is_empty() { (0..schema.columns.len()).collect() } else { self.find(names)? };
        if limit.saturating_mul(wanted.len()) > MAX_PAGE_CELLS {
            let reason =
                format!("{limit} rows of {} columns are too many for one page: ask for fewer columns", wanted.len());
            return Err(DatasetError::TooLarge { reason });
        }
        let file = &self.dataset.file;
        let cells = guard("reading rows", || match (&self.dataset.kind, &self.index) {
            (Kind::Parquet(table), _) => parquet_rows(table, file, offset, limit, &wanted),
            (Kind::Csv(table), Some(index)) => index.rows(table, file, offset, limit, &wanted),
            (Kind::Csv(_), None) => Ok(vec![vec![]; wanted.len()]),
        })?;
        let columns = wanted.iter().filter_map(|&at| schema.columns.get(at).cloned()).collect();
        Ok(Page { columns, cells, n_rows: self.n_rows() })
    }

    fn find(&self, names: &[String]) -> Result<Vec<usize>, DatasetError> {
        let schema = self.dataset.schema();
        let places: std::collections::BTreeMap<&str, usize> =
            schema.columns.iter().enumerate().map(|(at, column)| (column.name.as_str(), at)).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut find = |name: &String| {
            let at = *places.get(name.as_str()).ok_or_else(|| unknown_column(name, schema))?;
            if seen.insert(at) { Ok(at) } else { Err(DatasetError::column(name, "it is named twice")) }
        };
        names.iter().map(&mut find).collect()
    }
}

fn parquet_rows(
    table: &ParquetTable,
    file: &crate::source::SourceFile,
    offset: u64,
    limit: usize,
    wanted: &[usize],
) -> Result<Vec<Vec<Option<String>>>, DatasetError> {
    // Opening checks that it is still the same file.
    file.open()?;
    let n = limit.min(usize::try_from(table.n_rows.saturating_sub(offset)).unwrap_or(usize::MAX));
    let (Ok(from), Ok(n), true) = (i64::try_from(offset), pl::IdxSize::try_from(n), n > 0) else {
        return Ok(vec![vec![]; wanted.len()]);
    };
    let exprs: Vec<pl::Expr> = wanted
        .iter()
        .filter_map(|&at| table.columns.get(at))
        .map(|(name, dtype)| {
            let column = pl::Expr::Column(name.as_str().into());
            match dtype {
                // Single precision has shorter texts of its own; whole numbers beyond 64 bits are shown by their digits.
                pl::DataType::Float32 => column,
                dtype if dtype.is_integer() && polars_type(DataType::Int).as_ref() != Some(dtype) => {
                    column.cast(pl::DataType::String)
                }
                dtype if logical_type(dtype) == DataType::Float => column.cast(pl::DataType::Float64),
                dtype => canonical_expr(column, dtype),
            }
        })
        .collect();
    let lazy = scan_parquet(file)?.slice(from, n).select(exprs);
    let df = collect_streaming(lazy).map_err(|err| read_error(file, &err))?;
    df.columns().iter().map(column_texts).collect()
}
