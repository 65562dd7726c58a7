//! A table's rows for several threads: blocks that one thread hands out and any other decodes.

use std::{collections::BTreeSet, sync::Arc};

use athanor_protocol::{
    columns::Frame,
    table::{DataSource, TableSchema},
};

use crate::{
    csv::{CsvTable, Stretches, cut::Stretch, decode::Decoded},
    dataset::{Kind, open},
    error::{DatasetError, guard},
    source::SourceFile,
    stream::{BatchReader, read_batches},
};

/// Rows in a block of a Parquet file.
const BLOCK_ROWS: usize = 8_192;

/// What is known of a table's types before its rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// Those of the part that is looked at on opening. A later value may not fit them, which [`Block::decode`] says.
    FromSample,
    /// Those that every value fits: a text table is first read through once.
    Settled,
}

/// The rows of a table in blocks, in file order and bounded memory. The same file always has the same blocks.
#[derive(Debug)]
pub struct Blocks {
    shared: Arc<Shared>,
    rows: Rows,
    ended: bool,
}

/// What all blocks of a table have in common.
struct Shared {
    file: SourceFile,
    schema: TableSchema,
    /// Positions of the columns that blocks have, rising.
    wanted: Vec<usize>,
    /// For text tables.
    csv: Option<CsvTable>,
}

enum Rows {
    Csv(Box<Stretches>),
    Parquet(Box<BatchReader>),
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("file", &self.file).field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Csv(_) => "Csv",
            Self::Parquet(_) => "Parquet",
        })
    }
}

/// Some rows, perhaps none, perhaps still as text.
#[derive(Debug)]
pub struct Block {
    shared: Arc<Shared>,
    rows: BlockRows,
    share: Option<f64>,
}

#[derive(Debug)]
enum BlockRows {
    Text(Stretch),
    Ready(Frame),
}

/// Opens a table and hands out its rows in blocks of about a mebibyte of text, or some thousand rows of Parquet.
///
/// `columns` are the ones that blocks have, in file order; all where it is `None`. Names that the table lacks are passed
/// over: who needs a column says best what it is needed for.
///
/// # Errors
/// As [`open`]; and with [`Types::Settled`] if a line of a text table is malformed, or `stop` said so while it was read
/// through. Each block is a `Result` of its own;
/// after an error there are no more.
pub fn read_blocks(
    source: &DataSource,
    columns: Option<&BTreeSet<&str>>,
    types: Types,
    stop: &dyn Fn() -> bool,
) -> Result<Blocks, DatasetError> {
    let dataset = open(source)?;
    let file = dataset.file.clone();
    let is_wanted = |name: &str| columns.is_none_or(|columns| columns.contains(name));
    let (schema, csv, rows) = match dataset.kind {
        Kind::Csv(mut table) => {
            if types == Types::Settled {
                table.settle(&file, stop)?;
            }
            let stretches = Rows::Csv(Box::new(table.stretches(&file)?));
            (table.schema.clone(), Some(*table), stretches)
        }
        Kind::Parquet(_) => {
            let reader = read_batches(source, BLOCK_ROWS)?;
            (reader.schema().clone(), None, Rows::Parquet(Box::new(reader)))
        }
    };
    let wanted = schema.columns.iter().enumerate().filter(|(_, column)| is_wanted(&column.name)).map(|(at, _)| at);
    let shared = Shared { file, wanted: wanted.collect(), schema, csv };
    Ok(Blocks { shared: Arc::new(shared), rows, ended: false })
}

impl Blocks {
    /// The columns of the table, also those that blocks lack.
    pub fn schema(&self) -> &TableSchema {
        &self.shared.schema
    }

    fn read(&mut self) -> Result<Option<BlockRows>, DatasetError> {
        Ok(match &mut self.rows {
            Rows::Csv(stretches) => stretches.next()?.map(BlockRows::Text),
            Rows::Parquet(reader) => reader.next().transpose()?.map(BlockRows::Ready),
        })
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let rows = self.read().transpose();
        self.ended = !matches!(rows, Some(Ok(_)));
        let share = match &self.rows {
            Rows::Csv(stretches) => stretches.share(),
            Rows::Parquet(reader) => reader.share(),
        };
        rows.map(|rows| rows.map(|rows| Block { shared: Arc::clone(&self.shared), rows, share }))
    }
}

impl Block {
    /// How much of the table ends with this block, from 0 to 1; of bytes or of rows. `None` where that is not known.
    pub fn share(&self) -> Option<f64> {
        self.share
    }

    /// The rows with their types; `None` where a value does not fit the types that the sample had. Then the table must be
    /// opened anew with [`Types::Settled`], under which all rows may have other types.
    ///
    /// # Errors
    /// If a line of a text table is malformed, or the file was changed since it was settled.
    pub fn decode(self) -> Result<Option<Frame>, DatasetError> {
        let Shared { file, wanted, schema, csv } = &*self.shared;
        match (self.rows, csv) {
            (BlockRows::Text(stretch), Some(table)) => {
                match guard("reading a block", || table.decode(file, &stretch, wanted))? {
                    Decoded::Rows(frame) => Ok(Some(frame)),
                    Decoded::Misfit if table.settled => Err(DatasetError::Changed { path: file.shown.clone() }),
                    Decoded::Misfit => Ok(None),
                }
            }
            // Only text tables have blocks of text.
            (BlockRows::Text(_), None) => Ok(None),
            (BlockRows::Ready(frame), _) => {
                if wanted.len() == schema.columns.len() {
                    return Ok(Some(frame));
                }
                let names: BTreeSet<&str> = wanted.iter().map(|&at| schema.columns[at].name.as_str()).collect();
                let columns = frame.into_columns().into_iter().filter(|column| names.contains(&*column.name));
                Ok(Some(Frame::new(columns.collect())?))
            }
        }
    }
}
