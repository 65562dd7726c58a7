//! Copying what is selected as text with tabs, also rows that were not looked at yet.

use athanor_protocol::{
    Code, Failure,
    api::{DataRows, MAX_PAGE_ROWS},
    table::DataSource,
};

use super::{
    cache::{Cell, RowCache},
    sheet::Sheet,
};
use crate::{
    desk::{Desk, Ticket},
    format,
};

/// Most cells that are copied at once.
const MAX_CELLS: u64 = 1_000_000;

/// A copy that waits for rows.
pub struct Copying {
    text: String,
    names: Vec<String>,
    next: u64,
    end: u64,
    first: u64,
    ticket: Option<Ticket<DataRows>>,
    refused: Option<Failure>,
}

/// What was copied.
pub struct Copied {
    /// For the clipboard.
    pub text: String,
    /// For people.
    pub what: String,
}

/// A value as it stands in a line with tabs.
fn push(text: &mut String, value: Option<&str>) {
    text.extend(value.unwrap_or("").chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }));
}

impl Copying {
    /// Begins with what is known of the selection; nothing where nothing is selected.
    pub fn begin(cache: &RowCache, sheet: &Sheet, with_names: bool) -> Option<Self> {
        let (rows, columns) = sheet.selection(cache.extent())?;
        let places: Vec<usize> = sheet.shown().get(columns)?.to_vec();
        let names: Vec<String> = places.iter().map(|&at| cache.columns()[at].name.clone()).collect();
        let mut copying = Self {
            text: String::new(),
            names,
            next: rows.start,
            end: rows.end,
            first: rows.start,
            ticket: None,
            refused: None,
        };
        if (rows.end - rows.start).saturating_mul(places.len() as u64) > MAX_CELLS {
            let message = format!("more than {} cells are selected", format::count(MAX_CELLS));
            copying.refused = Some(Failure::new(Code::TooLarge, message).hint("select less, or take the file itself"));
            return Some(copying);
        }
        if with_names {
            copying.text.push_str(&copying.names.join("\t"));
            copying.text.push('\n');
        }
        // What is on the screen is known already.
        'rows: for row in rows {
            let known = copying.text.len();
            for (at, &column) in places.iter().enumerate() {
                if at > 0 {
                    copying.text.push('\t');
                }
                match cache.cell(row, column) {
                    Cell::Text(value) => push(&mut copying.text, Some(value)),
                    Cell::Missing => {}
                    Cell::Waiting => {
                        copying.text.truncate(known);
                        break 'rows;
                    }
                }
            }
            copying.text.push('\n');
            copying.next = row + 1;
        }
        Some(copying)
    }

    /// Goes on; what came of it, once all is there.
    pub fn poll(&mut self, desk: &mut Desk, source: &DataSource) -> Option<Result<Copied, Failure>> {
        if let Some(failure) = self.refused.take() {
            return Some(Err(failure));
        }
        if let Some(ticket) = self.ticket {
            let page = match desk.take(ticket)? {
                Ok(page) => page,
                Err(failure) => return Some(Err(failure)),
            };
            self.ticket = None;
            let n = page.cells.first().map_or(0, Vec::len);
            if n == 0 {
                self.end = self.next;
            }
            for row in 0..n {
                for (at, values) in page.cells.iter().enumerate() {
                    if at > 0 {
                        self.text.push('\t');
                    }
                    push(&mut self.text, values.get(row).and_then(Option::as_deref));
                }
                self.text.push('\n');
            }
            self.next += n as u64;
        }
        if self.next < self.end {
            let limit = (self.end - self.next).min(u64::from(MAX_PAGE_ROWS)) as u32;
            let ask = DataRows { source: source.clone(), offset: self.next, limit, columns: self.names.clone() };
            self.ticket = Some(desk.ask(ask));
            return None;
        }
        let n_rows = self.end - self.first;
        let what = match (n_rows, self.names.len()) {
            (1, 1) => "the cell".to_owned(),
            (rows, 1) => format!("{} of {}", format::plural(rows, "row"), self.names[0]),
            (rows, columns) => {
                format!("{} of {}", format::plural(rows, "row"), format::plural(columns as u64, "column"))
            }
        };
        // One cell alone is copied without the line's end.
        let mut text = std::mem::take(&mut self.text);
        if n_rows == 1 && text.ends_with('\n') {
            text.pop();
        }
        Some(Ok(Copied { text, what }))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_stays_in_its_cell() {
        let mut text = String::new();
        super::push(&mut text, Some("a\tb\r\nc"));
        super::push(&mut text, None);
        assert_eq!(text, "a b  c");
    }
}
