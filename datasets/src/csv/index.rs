//! Where rows begin in a text table, so that any of them is found without reading all before it.
//!
//! The index keeps a place every so many bytes, at most [`MAX_ANCHORS`] of them: where there would be more, every other one
//! goes and the distance doubles. Its memory is bounded, and so is what must be read from a place to the wanted row.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    CsvTable, check_width,
    reader::{Place, Records},
};
use crate::{error::DatasetError, show::field_text, source::SourceFile};

/// Most places that are kept.
const MAX_ANCHORS: usize = 1 << 15;
/// Bytes of text between two places, at first.
const FIRST_GAP_BYTES: u64 = 64 << 10;
/// Bytes of text that are read between two looks at whether to stop.
const STRIDE_BYTES: u64 = 1 << 20;

/// The row that begins at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    row: u64,
    place: Place,
}

/// What is known so far.
#[derive(Debug)]
struct Known {
    /// Rising, never empty.
    anchors: Vec<Anchor>,
    gap_bytes: u64,
    /// Rows that were passed.
    n_rows: u64,
    /// Whether these are all rows.
    ended: bool,
    /// Whether the next row cannot be read: nothing behind it can be counted.
    broken: bool,
}

/// The pass that makes the index, as far as it has come.
#[derive(Default)]
struct Builder {
    records: Option<Records>,
}

/// An index that is being made, or is complete. Any number of threads may build it and read rows meanwhile.
pub(crate) struct RowIndex {
    known: Mutex<Known>,
    builder: Mutex<Builder>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    fn add(&mut self, anchor: Anchor) {
        let Some(last) = self.anchors.last() else { return };
        if anchor.place.offset - last.place.offset < self.gap_bytes {
            return;
        }
        self.anchors.push(anchor);
        if self.anchors.len() >= MAX_ANCHORS {
            let mut at = 0;
            self.anchors.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.gap_bytes *= 2;
        }
    }

    fn is_over(&self) -> bool {
        self.ended || self.broken
    }
}

impl RowIndex {
    /// Knows where the first row begins, and nothing else.
    pub(crate) fn new(table: &CsvTable, file: &SourceFile) -> Result<Self, DatasetError> {
        let records = table.records(file)?;
        let first = Anchor { row: 0, place: records.place() };
        let known = Known { anchors: vec![first], gap_bytes: FIRST_GAP_BYTES, n_rows: 0, ended: false, broken: false };
        Ok(Self { known: Mutex::new(known), builder: Mutex::default() })
    }

    /// All rows, once they have been counted.
    pub(crate) fn n_rows(&self) -> Option<u64> {
        let known = lock(&self.known);
        known.ended.then_some(known.n_rows)
    }

    /// How many rows have been passed, and whether there is nothing more to do.
    pub(crate) fn progress(&self) -> (u64, bool) {
        let known = lock(&self.known);
        (known.n_rows, known.is_over())
    }

    /// Goes on with the index until it is complete, holds a row, or is to stop. `false` where it stopped before that.
    ///
    /// A malformed line ends it: rows before the line can be read, and reading the line says what is wrong.
    pub(crate) fn build(
        &self,
        table: &CsvTable,
        file: &SourceFile,
        until_row: Option<u64>,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, DatasetError> {
        loop {
            let (n_rows, over) = self.progress();
            if over || until_row.is_some_and(|row| row < n_rows) {
                return Ok(true);
            }
            if stop() {
                return Ok(false);
            }
            self.stride(table, file)?;
        }
    }

    /// One stretch of the file. Another thread may have done it while this one waited; then it is the next one.
    fn stride(&self, table: &CsvTable, file: &SourceFile) -> Result<(), DatasetError> {
        let mut builder = lock(&self.builder);
        let (mut row, over) = self.progress();
        if over {
            return Ok(());
        }
        let mut records = match builder.records.take() {
            Some(records) => records,
            None => {
                // Either the beginning, or an earlier pass met an error of the disk: go on from the last place.
                let Some(last) = lock(&self.known).anchors.last().copied() else { return Ok(()) };
                row = last.row;
                Records::open_at(file, &table.dialect, last.place)?
            }
        };
        let mut found = Vec::new();
        let (mut ended, mut broken) = (false, false);
        let gap_bytes = lock(&self.known).gap_bytes;
        let (from, mut marked) = (records.n_consumed, records.n_consumed);
        while records.n_consumed - from < STRIDE_BYTES {
            if records.n_consumed - marked >= gap_bytes {
                marked = records.n_consumed;
                found.push(Anchor { row, place: records.place() });
            }
            match records.next() {
                Ok(Some(record)) if check_width(file, &record, table.schema.columns.len()).is_ok() => row += 1,
                Ok(None) => {
                    ended = true;
                    break;
                }
                Err(err @ (DatasetError::Io { .. } | DatasetError::Changed { .. })) => return Err(err),
                Ok(Some(_)) | Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        if !ended && !broken {
            found.push(Anchor { row, place: records.place() });
            builder.records = Some(records);
        } else if ended {
            // The count is that of the file which was opened, or of none.
            records.finish()?;
        }
        let mut known = lock(&self.known);
        found.into_iter().for_each(|anchor| known.add(anchor));
        known.n_rows = row;
        known.ended = ended;
        known.broken = broken;
        Ok(())
    }

    /// Rows as text, a list for each column in `wanted` (positions in any order, each once). Builds the index as far as
    /// it is needed.
    pub(crate) fn rows(
        &self,
        table: &CsvTable,
        file: &SourceFile,
        offset: u64,
        limit: usize,
        wanted: &[usize],
    ) -> Result<Vec<Vec<Option<String>>>, DatasetError> {
        let mut cells = vec![Vec::new(); wanted.len()];
        self.build(table, file, Some(offset), &|| false)?;
        let start = {
            let known = lock(&self.known);
            if known.ended && offset >= known.n_rows {
                // Even so the file must still be the one that was counted.
                drop(known);
                file.open()?;
                return Ok(cells);
            }
            let at = known.anchors.partition_point(|anchor| anchor.row <= offset).saturating_sub(1);
            known.anchors.get(at).copied()
        };
        let Some(start) = start else { return Ok(cells) };
        let mut records = Records::open_at(file, &table.dialect, start.place)?;
        let n_columns = table.schema.columns.len();
        // Where each column of the file goes.
        let mut places: Vec<Option<usize>> = vec![None; n_columns];
        for (place, &at) in wanted.iter().enumerate() {
            if let Some(slot) = places.get_mut(at) {
                *slot = Some(place);
            }
        }
        let mut row = start.row;
        let mut n_read = 0;
        while n_read < limit {
            let Some(record) = records.next()? else { break };
            check_width(file, &record, n_columns)?;
            if row >= offset {
                for ((field, column), place) in record.fields().zip(&table.schema.columns).zip(&places) {
                    if let Some(place) = *place {
                        cells[place].push(field_text(&table.rules, column, field));
                    }
                }
                n_read += 1;
            }
            row += 1;
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_bounded_however_long_the_file() {
        let first = Anchor { row: 0, place: Place { offset: 10, line: 2 } };
        let mut known =
            Known { anchors: vec![first], gap_bytes: FIRST_GAP_BYTES, n_rows: 0, ended: false, broken: false };
        for row in 1..200_000u64 {
            known.add(Anchor { row, place: Place { offset: 10 + row * FIRST_GAP_BYTES, line: row } });
        }
        assert!(known.anchors.len() < MAX_ANCHORS);
        assert_eq!(known.anchors[0], first);
        assert_eq!(known.gap_bytes, FIRST_GAP_BYTES * 8);
        let gaps = known.anchors.windows(2).map(|pair| pair[1].place.offset - pair[0].place.offset);
        assert!(gaps.max().is_some_and(|gap| gap <= known.gap_bytes), "even after thinning");
    }
}
