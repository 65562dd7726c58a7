//! The sheet: where it is scrolled to, which columns it shows and how wide, what is selected. No drawing.
//!
//! It scrolls by rows in double precision, because a position in points has no room for ten million rows.

use std::ops::Range;

use athanor_protocol::table::{ColumnSchema, DataType};

/// Least width of a column.
const LEAST: f32 = 48.0;
/// Greatest width of a column.
const MOST: f32 = 640.0;

/// A column of the sheet.
#[derive(Debug, Clone)]
struct Column {
    width: f32,
    hidden: bool,
}

/// A cell: its row, and its place among the columns that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The row, from 0.
    pub row: u64,
    /// The place among the columns that are shown.
    pub column: usize,
}

/// How much of the table the selection spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    /// Cells.
    #[default]
    Cells,
    /// Whole rows.
    Rows,
    /// Whole columns.
    Columns,
}

/// The state of a sheet.
#[derive(Debug, Clone)]
pub struct Sheet {
    columns: Vec<Column>,
    /// Columns that are shown, as places in the table.
    shown: Vec<usize>,
    /// Where each of them begins, and where the last one ends.
    edges: Vec<f32>,
    /// The first row that is seen, with the share of it that is scrolled away.
    pub top: f64,
    /// Points that are scrolled away at the left.
    pub left: f32,
    /// Where the keyboard is.
    pub cursor: Option<At>,
    /// Where the selection began.
    pub anchor: Option<At>,
    /// What the selection spans.
    pub span: Span,
}

fn first_width(column: &ColumnSchema) -> f32 {
    let by_name = column.name.chars().count() as f32 * 7.4 + 44.0;
    let least = match column.dtype {
        DataType::Bool => 76.0,
        DataType::Int | DataType::Float => 96.0,
        DataType::Date | DataType::Time | DataType::Duration => 110.0,
        DataType::Datetime => 180.0,
        DataType::Text | DataType::Other => 140.0,
    };
    by_name.clamp(least, 220.0)
}

impl Sheet {
    /// All columns, from the first row on.
    pub fn new(columns: &[ColumnSchema]) -> Self {
        let columns = columns.iter().map(|column| Column { width: first_width(column), hidden: false }).collect();
        let mut sheet = Self {
            columns,
            shown: vec![],
            edges: vec![],
            top: 0.0,
            left: 0.0,
            cursor: None,
            anchor: None,
            span: Span::Cells,
        };
        sheet.lay_out();
        sheet
    }

    fn lay_out(&mut self) {
        self.shown = (0..self.columns.len()).filter(|&at| !self.columns[at].hidden).collect();
        self.edges.clear();
        self.edges.push(0.0);
        let mut edge = 0.0;
        for &at in &self.shown {
            edge += self.columns[at].width;
            self.edges.push(edge);
        }
    }

    /// Columns that are shown, as places in the table.
    pub fn shown(&self) -> &[usize] {
        &self.shown
    }

    /// Whether a column of the table is hidden.
    pub fn is_hidden(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| column.hidden)
    }

    /// Shows or hides columns of the table. The last one that is shown stays.
    pub fn set_hidden(&mut self, which: impl IntoIterator<Item = usize>, hidden: bool) {
        for column in which {
            let last = self.columns.iter().filter(|column| !column.hidden).count() <= 1;
            if let Some(column) = self.columns.get_mut(column)
                && !(hidden && last)
            {
                column.hidden = hidden;
            }
        }
        self.lay_out();
        (self.cursor, self.anchor) = (None, None);
    }

    /// The width of all columns that are shown.
    pub fn width(&self) -> f32 {
        self.edges.last().copied().unwrap_or(0.0)
    }

    /// Where a shown column begins and ends, from the sheet's own left edge.
    pub fn edges(&self, shown: usize) -> [f32; 2] {
        let edge = |at: usize| self.edges.get(at).copied().unwrap_or_else(|| self.width());
        [edge(shown), edge(shown + 1)]
    }

    /// Gives a shown column another width.
    pub fn set_width(&mut self, shown: usize, width: f32) {
        if let Some(column) = self.shown.get(shown).and_then(|&at| self.columns.get_mut(at)) {
            column.width = width.clamp(LEAST, MOST);
            self.lay_out();
        }
    }

    /// The shown columns between two places from the sheet's own left edge.
    pub fn columns_in(&self, from: f32, to: f32) -> Range<usize> {
        let first = self.edges.partition_point(|&edge| edge <= from).saturating_sub(1);
        let end = self.edges.partition_point(|&edge| edge < to);
        first.min(self.shown.len())..end.min(self.shown.len())
    }

    /// Keeps the scrolled place within the table; `rows` and `width` are what fits on the screen.
    pub fn clamp(&mut self, n_rows: u64, rows: f64, width: f32) {
        let most = (n_rows as f64 - rows).max(0.0);
        self.top = if self.top.is_finite() { self.top.clamp(0.0, most) } else { 0.0 };
        self.left = self.left.clamp(0.0, (self.width() - width).max(0.0));
    }

    /// Scrolls so that a cell is seen.
    pub fn reveal(&mut self, at: At, rows: f64, width: f32) {
        let row = at.row as f64;
        if row < self.top {
            self.top = row;
        } else if row + 1.0 > self.top + rows {
            self.top = row + 1.0 - rows;
        }
        let [from, to] = self.edges(at.column);
        if from < self.left {
            self.left = from;
        } else if to > self.left + width {
            self.left = (to - width).min(from);
        }
    }

    /// Moves the cursor; with `extend` the selection grows with it.
    pub fn move_to(&mut self, at: At, extend: bool) {
        self.cursor = Some(at);
        if !extend || self.anchor.is_none() {
            self.anchor = Some(at);
        }
    }

    /// The selection: rows, and places among the shown columns.
    pub fn selection(&self, n_rows: u64) -> Option<(Range<u64>, Range<usize>)> {
        let (cursor, anchor) = (self.cursor?, self.anchor?);
        let rows = cursor.row.min(anchor.row)..cursor.row.max(anchor.row) + 1;
        let columns = cursor.column.min(anchor.column)..cursor.column.max(anchor.column) + 1;
        Some(match self.span {
            Span::Cells => (rows, columns),
            Span::Rows => (rows, 0..self.shown.len()),
            Span::Columns => (0..n_rows, columns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(n: usize) -> Sheet {
        let column = |at: usize| ColumnSchema { name: format!("c{at}"), dtype: DataType::Int };
        Sheet::new(&(0..n).map(column).collect::<Vec<_>>())
    }

    #[test]
    fn only_columns_in_sight_are_named() {
        let mut sheet = sheet(500);
        assert_eq!(sheet.columns_in(0.0, 96.0), 0..1);
        assert_eq!(sheet.columns_in(95.0, 97.0), 0..2);
        assert_eq!(sheet.columns_in(96.0 * 10.0, 96.0 * 12.0), 10..12);
        assert_eq!(sheet.columns_in(1e9, 2e9), 500..500);
        sheet.set_hidden([0, 1, 2], true);
        assert_eq!(sheet.shown()[sheet.columns_in(0.0, 50.0).start], 3);
    }

    #[test]
    fn the_last_column_cannot_be_hidden() {
        let mut sheet = sheet(3);
        sheet.set_hidden(0..3, true);
        assert_eq!(sheet.shown(), [2]);
    }

    #[test]
    fn ten_million_rows_scroll_row_by_row() {
        let mut sheet = sheet(3);
        let last = At { row: 9_999_999, column: 0 };
        sheet.reveal(last, 20.0, 300.0);
        assert_eq!(sheet.top, 9_999_980.0);
        sheet.reveal(At { row: 9_999_979, column: 2 }, 20.0, 300.0);
        assert_eq!(sheet.top, 9_999_979.0);
        sheet.top = f64::MAX;
        sheet.clamp(10, 20.0, 1000.0);
        assert_eq!((sheet.top, sheet.left), (0.0, 0.0));
        sheet.top = f64::NAN;
        sheet.clamp(10, 2.0, 10.0);
        assert_eq!(sheet.top, 0.0);
    }

    #[test]
    fn a_selection_spans_cells_rows_or_columns() {
        let mut sheet = sheet(4);
        assert_eq!(sheet.selection(9), None);
        sheet.move_to(At { row: 5, column: 2 }, false);
        sheet.move_to(At { row: 3, column: 1 }, true);
        assert_eq!(sheet.selection(9), Some((3..6, 1..3)));
        sheet.span = Span::Rows;
        assert_eq!(sheet.selection(9), Some((3..6, 0..4)));
        sheet.span = Span::Columns;
        assert_eq!(sheet.selection(9), Some((0..9, 1..3)));
    }
}
