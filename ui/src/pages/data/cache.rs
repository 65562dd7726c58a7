//! The rows near what is seen: fetched in pages, wide tables in blocks of columns, the longest unused forgotten first.

use std::{collections::HashMap, ops::Range};

use athanor_protocol::{
    Failure,
    api::{DataRows, Link, RowsPage},
    table::{ColumnSchema, DataSource},
};

use crate::desk::{Desk, Ticket};

/// Rows of one page.
pub const PAGE_ROWS: u64 = 200;
/// Columns of one page, so that a page of a wide table stays small.
const BLOCK: usize = 64;
/// Most cells that are kept: some tens of megabytes.
const MAX_CELLS: usize = 400_000;
/// Most pages that are asked for at once: what is scrolled past is not asked for at all.
const AT_ONCE: usize = 3;

/// A page of rows and a block of columns.
type Key = (u64, usize);

struct Kept {
    page: RowsPage,
    n_cells: usize,
    used: u64,
}

struct Asked {
    key: Key,
    ticket: Ticket<DataRows>,
    at_secs: f64,
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Not known yet.
    Waiting,
    /// There is no value.
    Missing,
    /// A value.
    Text(&'a str),
}

/// Rows of one table, as far as they were looked at.
pub struct RowCache {
    source: DataSource,
    columns: Vec<ColumnSchema>,
    kept: HashMap<Key, Kept>,
    n_cells: usize,
    asked: Vec<Asked>,
    failed: Option<Failure>,
    n_rows: Option<u64>,
    known_end: u64,
    clock: u64,
}

impl RowCache {
    /// Nothing is known but the columns, and perhaps the number of rows.
    pub fn new(source: DataSource, columns: Vec<ColumnSchema>, n_rows: Option<u64>) -> Self {
        Self {
            source,
            columns,
            kept: HashMap::new(),
            n_cells: 0,
            asked: vec![],
            failed: None,
            n_rows,
            known_end: 0,
            clock: 0,
        }
    }

    /// The table's columns.
    pub fn columns(&self) -> &[ColumnSchema] {
        &self.columns
    }

    /// All rows, where that is known by now.
    pub fn n_rows(&self) -> Option<u64> {
        self.n_rows
    }

    /// How many rows to show: all, or one page more than is known to be there.
    pub fn extent(&self) -> u64 {
        self.n_rows.unwrap_or(self.known_end + PAGE_ROWS)
    }

    /// Why rows could not be read.
    pub fn failure(&self) -> Option<&Failure> {
        self.failed.as_ref()
    }

    /// Asks again.
    pub fn retry(&mut self) {
        self.failed = None;
    }

    /// Whether rows have been on their way for so long that people should see it.
    pub fn slow(&self, desk: &Desk) -> bool {
        self.asked.iter().any(|asked| desk.now_secs() - asked.at_secs > 0.25)
    }

    /// What a cell holds.
    pub fn cell(&self, row: u64, column: usize) -> Cell<'_> {
        let Some(kept) = self.kept.get(&(row / PAGE_ROWS, column / BLOCK)) else { return Cell::Waiting };
        let Some(values) = kept.page.cells.get(column % BLOCK) else { return Cell::Waiting };
        let at = usize::try_from(row % PAGE_ROWS).unwrap_or(usize::MAX);
        match values.get(at) {
            Some(Some(text)) => Cell::Text(text),
            Some(None) => Cell::Missing,
            None => Cell::Waiting,
        }
    }

    /// Takes in what has come.
    pub fn poll(&mut self, desk: &mut Desk) {
        let mut came = vec![];
        self.asked.retain(|asked| match desk.take(asked.ticket) {
            None => true,
            Some(result) => {
                came.push((asked.key, result));
                false
            }
        });
        for (key, result) in came {
            match result {
                Ok(page) => self.keep(key, page),
                // An engine that was away has not refused: the page is asked for again when it is back.
                Err(_) if *desk.link() != Link::Up => {}
                Err(failure) => self.failed = Some(failure),
            }
        }
    }

    fn keep(&mut self, key: Key, page: RowsPage) {
        let n = page.cells.first().map_or(0, Vec::len) as u64;
        let begin = key.0 * PAGE_ROWS;
        if n > 0 {
            self.known_end = self.known_end.max(begin + n);
        }
        if let Some(n_rows) = page.n_rows {
            self.n_rows = Some(n_rows);
        } else if n < PAGE_ROWS && !page.cells.is_empty() {
            // A page that is not full is the last one; an empty one only says that the end is before it.
            self.n_rows = if n > 0 || begin == 0 { Some(begin + n) } else { Some(self.known_end) };
        }
        let n_cells = page.cells.iter().map(Vec::len).sum();
        self.n_cells += n_cells;
        if let Some(before) = self.kept.insert(key, Kept { page, n_cells, used: self.clock }) {
            self.n_cells -= before.n_cells;
        }
        while self.n_cells > MAX_CELLS {
            let oldest = self.kept.iter().filter(|(_, kept)| kept.used < self.clock).min_by_key(|(_, kept)| kept.used);
            let Some(key) = oldest.map(|(key, _)| *key) else { break };
            if let Some(gone) = self.kept.remove(&key) {
                self.n_cells -= gone.n_cells;
            }
        }
    }

    /// Says what is seen: asks for what is missing of it, then for the pages beside it.
    pub fn want(&mut self, desk: &mut Desk, rows: Range<u64>, columns: Range<usize>) {
        self.clock += 1;
        if rows.is_empty() || columns.is_empty() || self.failed.is_some() || *desk.link() != Link::Up {
            return;
        }
        let pages = rows.start / PAGE_ROWS..=(rows.end - 1) / PAGE_ROWS;
        let blocks = columns.start / BLOCK..=(columns.end - 1) / BLOCK;
        let (first, last) = (*pages.start(), *pages.end());
        for page in pages {
            for block in blocks.clone() {
                self.ask_for(desk, (page, block));
            }
        }
        // Beside it, once there is nothing more urgent.
        if self.asked.is_empty() {
            let beside = [Some(last + 1), first.checked_sub(1)];
            for page in beside.into_iter().flatten() {
                self.ask_for(desk, (page, *blocks.start()));
            }
        }
    }

    fn ask_for(&mut self, desk: &mut Desk, key: Key) {
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.used = self.clock;
            return;
        }
        let begin = key.0 * PAGE_ROWS;
        let beyond = self.n_rows.is_some_and(|n_rows| begin >= n_rows);
        if beyond || self.asked.len() >= AT_ONCE || self.asked.iter().any(|asked| asked.key == key) {
            return;
        }
        let columns = if self.columns.len() <= BLOCK {
            vec![]
        } else {
            let from = key.1 * BLOCK;
            let to = (from + BLOCK).min(self.columns.len());
            self.columns.get(from..to).unwrap_or_default().iter().map(|column| column.name.clone()).collect()
        };
        let ask = DataRows { source: self.source.clone(), offset: begin, limit: PAGE_ROWS as u32, columns };
        self.asked.push(Asked { key, ticket: desk.ask(ask), at_secs: desk.now_secs() });
    }
}

#[cfg(test)]
mod tests {
    use athanor_protocol::table::DataType;

    use super::*;

    fn page(rows: usize, columns: usize, n_rows: Option<u64>) -> RowsPage {
        let schema = |at: usize| ColumnSchema { name: format!("c{at}"), dtype: DataType::Int };
        RowsPage {
            offset: 0,
            columns: (0..columns).map(schema).collect(),
            cells: (0..columns).map(|column| (0..rows).map(|row| Some(format!("{row}.{column}"))).collect()).collect(),
            n_rows,
        }
    }

    fn cache(columns: usize, n_rows: Option<u64>) -> RowCache {
        RowCache::new(DataSource::file("a.csv"), page(0, columns, None).columns, n_rows)
    }

    #[test]
    fn a_cell_is_found_by_its_page_and_block() {
        let mut cache = cache(100, Some(1000));
        assert_eq!(cache.cell(0, 0), Cell::Waiting);
        cache.keep((1, 1), page(200, 36, Some(1000)));
        assert_eq!(cache.cell(201, 64), Cell::Text("1.0"));
        assert_eq!(cache.cell(399, 99), Cell::Text("199.35"));
        assert_eq!(cache.cell(400, 64), Cell::Waiting);
        assert_eq!(cache.cell(201, 63), Cell::Waiting);
    }

    #[test]
    fn rows_of_unknown_number_grow_until_a_page_is_not_full() {
        let mut cache = cache(3, None);
        assert_eq!(cache.extent(), 200);
        cache.keep((0, 0), page(200, 3, None));
        assert_eq!((cache.extent(), cache.n_rows()), (400, None));
        cache.keep((1, 0), page(17, 3, None));
        assert_eq!((cache.extent(), cache.n_rows()), (217, Some(217)));
        let mut even = self::cache(3, None);
        even.keep((0, 0), page(200, 3, None));
        even.keep((1, 0), page(0, 3, None));
        assert_eq!(even.n_rows(), Some(200));
    }

    #[test]
    fn what_was_not_seen_for_longest_is_forgotten_and_memory_is_bounded() {
        let mut cache = cache(64, Some(1_000_000));
        for at in 0..200 {
            cache.clock += 1;
            cache.keep((at, 0), page(200, 64, None));
            assert!(cache.n_cells <= MAX_CELLS);
        }
        assert_eq!(cache.cell(0, 0), Cell::Waiting);
        assert_eq!(cache.cell(199 * 200, 0), Cell::Text("0.0"));
    }
}
