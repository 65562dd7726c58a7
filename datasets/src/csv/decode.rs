//! From a stretch of text to typed columns.
//!
//! Most text is plain: valid UTF-8 without quotes, its lines ending in LF or CR LF. Of such a stretch the fields are cut
//! where separators and line ends stand, found eight bytes at a time. Every other one goes through `csv-core`, which also
//! says what is wrong with it and in which line, so that both ways give the same columns and the same errors.

use std::sync::Arc;

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    table::{DataType, TableSchema},
};

use super::{
    CsvTable, check_width,
    cut::{Stretch, count},
    reader::MAX_RECORD_BYTES,
    types::FieldRules,
};
use crate::{
    error::DatasetError,
    source::SourceFile,
    values::{days_from_micros, micros_from_days, parse_bool, parse_date, parse_datetime},
};

/// What a stretch's records are under the types that the table has so far.
pub(crate) enum Decoded {
    Rows(Frame),
    /// A value does not fit its column's type.
    Misfit,
}

/// Why the plain way ends early.
enum Odd {
    Misfit,
    /// A record has another number of fields.
    Width,
}

impl CsvTable {
    /// The columns at `wanted` (positions, rising) of all records of a stretch.
    pub(crate) fn decode(
        &self,
        file: &SourceFile,
        stretch: &Stretch,
        wanted: &[usize],
    ) -> Result<Decoded, DatasetError> {
        let room = count(&stretch.bytes, b'\n') + 1;
        if let Some(text) = plain(&stretch.bytes) {
            let mut cells = Cells::new(&self.schema, wanted, room);
            match cells.fill(text, self.dialect.separator, &self.rules) {
                Ok(()) => return Ok(Decoded::Rows(cells.into_frame(&self.schema, wanted)?)),
                Err(Odd::Misfit) => return Ok(Decoded::Misfit),
                Err(Odd::Width) => {}
            }
        }
        let mut cells = Cells::new(&self.schema, wanted, room);
        let mut records = stretch.records(file, &self.dialect);
        while let Some(record) = records.next()? {
            check_width(file, &record, cells.n_columns)?;
            for (at, field) in record.fields().enumerate() {
                if cells.push(at, field, &self.rules).is_err() {
                    return Ok(Decoded::Misfit);
                }
            }
        }
        Ok(Decoded::Rows(cells.into_frame(&self.schema, wanted)?))
    }
}

/// The text of a stretch in which every separator and line end is one.
fn plain(bytes: &[u8]) -> Option<&str> {
    // So long a stretch holds a record that is perhaps too long.
    if bytes.len() > MAX_RECORD_BYTES || bytes.contains(&b'"') || bytes.contains(&0) {
        return None;
    }
    if bytes.contains(&b'\r') {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\r') {
            if rest.get(at + 1) != Some(&b'\n') {
                return None;
            }
            rest = &rest[at + 2..];
        }
    }
    std::str::from_utf8(bytes).ok()
}

/// Values of the wanted columns, row by row.
struct Cells {
    columns: Vec<(DataType, ColumnData)>,
    /// For each column of the file, which of `columns` it is.
    places: Vec<Option<usize>>,
    n_columns: usize,
}

impl Cells {
    fn new(schema: &TableSchema, wanted: &[usize], n_rows: usize) -> Self {
        let mut places = vec![None; schema.columns.len()];
        let mut columns = Vec::with_capacity(wanted.len());
        // Rows of a stretch are bounded by its bytes, so is this room.
        for &at in wanted {
            let dtype = schema.columns[at].dtype;
            let data = match dtype {
                DataType::Bool => ColumnData::Bool(Vec::with_capacity(n_rows)),
                DataType::Int => ColumnData::Int(Vec::with_capacity(n_rows)),
                DataType::Float => ColumnData::Float(Vec::with_capacity(n_rows)),
                DataType::Date | DataType::Datetime => ColumnData::Datetime(Vec::with_capacity(n_rows)),
                _ => ColumnData::Text(Vec::with_capacity(n_rows)),
            };
            places[at] = Some(columns.len());
            columns.push((dtype, data));
        }
        Self { columns, n_columns: places.len(), places }
    }

    fn into_frame(self, schema: &TableSchema, wanted: &[usize]) -> Result<Frame, DatasetError> {
        let named = self.columns.into_iter().zip(wanted);
        let columns =
            named.map(|((_, data), &at)| Column { name: schema.columns[at].name.as_str().into(), data }).collect();
        Ok(Frame::new(columns)?)
    }

    /// Adds a field of the column at `at`; columns that are not wanted are passed over.
    fn push(&mut self, at: usize, field: &str, rules: &FieldRules) -> Result<(), Odd> {
        let Some((dtype, data)) = self.places[at].and_then(|place| self.columns.get_mut(place)) else { return Ok(()) };
        let is_missing = rules.is_missing(field);
        fn value<T>(is_missing: bool, read: impl FnOnce() -> Option<T>) -> Result<Option<T>, Odd> {
            if is_missing { Ok(None) } else { read().map(Some).ok_or(Odd::Misfit) }
        }
        match data {
            ColumnData::Float(values) => {
                values.push(value(is_missing, || rules.float(field))?.unwrap_or(f64::NAN));
            }
            ColumnData::Int(values) => values.push(value(is_missing, || rules.int(field))?),
            ColumnData::Bool(values) => values.push(value(is_missing, || parse_bool(field))?),
            ColumnData::Datetime(values) if *dtype == DataType::Date => {
                // By way of whole days, of which a table's dates are made.
                let days = || parse_date(field).and_then(days_from_micros);
                values.push(value(is_missing, days)?.map(micros_from_days));
            }
            ColumnData::Datetime(values) => values.push(value(is_missing, || parse_datetime(field))?),
            ColumnData::Text(values) => {
                // Equal texts one after another share their memory.
                let text = (!is_missing).then(|| match values.last() {
                    Some(Some(last)) if **last == *field => Arc::clone(last),
                    _ => field.into(),
                });
                values.push(text);
            }
        }
        Ok(())
    }

    /// Adds the records of plain text.
    fn fill(&mut self, text: &str, separator: u8, rules: &FieldRules) -> Result<(), Odd> {
        let bytes = text.as_bytes();
        let (mut begin, mut at) = (0, 0);
        let mut field_ends = |end: usize, is_line_end: bool| {
            let mut field = &text[begin..end];
            begin = end + 1;
            if is_line_end {
                field = field.strip_suffix('\r').unwrap_or(field);
                if at == 0 && field.is_empty() {
                    // A blank line is no record, not even of a table with one column.
                    return Ok(());
                }
            }
            if at == self.n_columns {
                return Err(Odd::Width);
            }
            self.push(at, field, rules)?;
            at += 1;
            if is_line_end {
                if at != self.n_columns {
                    return Err(Odd::Width);
                }
                at = 0;
            }
            Ok(())
        };
        // Separators and line ends, eight bytes at a time. For each byte of a word: zero where it equals the wanted one,
        // and the top bit of a byte is set where it was zero. Exact for every byte, since no sum runs over into the next.
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let repeat = |byte: u8| u64::from_ne_bytes([byte; 8]);
        let zeros = |word: u64| !(((word & LOW) + LOW) | word | LOW);
        // Bytes that are all alike are the same in every order.
        let (separators, line_ends) = (repeat(separator), repeat(b'\n'));
        let (words, rest) = bytes.as_chunks::<8>();
        for (place, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let ends = zeros(word ^ line_ends);
            let mut found = zeros(word ^ separators) | ends;
            while found != 0 {
                let bit = found & found.wrapping_neg();
                field_ends(place * 8 + found.trailing_zeros() as usize / 8, ends & bit != 0)?;
                found ^= bit;
            }
        }
        let from = bytes.len() - rest.len();
        for (place, &byte) in rest.iter().enumerate() {
            if byte == separator || byte == b'\n' {
                field_ends(from + place, byte == b'\n')?;
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            field_ends(text.len(), true)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_protocol::table::CsvOptions;
    use proptest::prelude::*;

    use super::*;
    use crate::{csv::Batch, frame::frame_from_polars};

    type Columns = Vec<(String, ColumnData)>;

    /// All rows, or what is wrong, by reading record after record.
    fn one_by_one(file: &SourceFile, table: &mut CsvTable) -> Result<Option<Columns>, DatasetError> {
        table.settle(file, &|| false)?;
        let all: Vec<usize> = (0..table.schema.columns.len()).collect();
        let mut batches = table.batches(file, &all, usize::MAX)?;
        Ok(match batches.next(&table.schema)? {
            Batch::Rows(df) => Some(columns(frame_from_polars(&df, &[])?)),
            Batch::End | Batch::Misfit => None,
        })
    }

    /// The same by stretches of about so many bytes.
    fn by_stretches(file: &SourceFile, table: &CsvTable, n_bytes: usize) -> Result<Option<Columns>, DatasetError> {
        let all: Vec<usize> = (0..table.schema.columns.len()).collect();
        let mut stretches = table.stretches_of(file, n_bytes)?;
        let mut rows: Option<Columns> = None;
        while let Some(stretch) = stretches.next()? {
            let Decoded::Rows(frame) = table.decode(file, &stretch, &all)? else {
                // The types could not be settled, and whoever settles them is told why.
                assert!(!table.settled);
                let settled = table.clone().settle(file, &|| false);
                return settled.map(|()| panic!("the types can be settled"));
            };
            if frame.n_rows() == 0 {
                continue;
            }
            match &mut rows {
                None => rows = Some(columns(frame)),
                Some(rows) => {
                    for ((_, into), (_, from)) in rows.iter_mut().zip(columns(frame)) {
                        append(into, from);
                    }
                }
            }
        }
        Ok(rows)
    }

    fn columns(frame: Frame) -> Columns {
        frame.into_columns().into_iter().map(|column| (column.name.to_string(), column.data)).collect()
    }

    fn append(into: &mut ColumnData, from: ColumnData) {
        match (into, from) {
            (ColumnData::Float(into), ColumnData::Float(from)) => into.extend(from),
            (ColumnData::Int(into), ColumnData::Int(from)) => into.extend(from),
            (ColumnData::Bool(into), ColumnData::Bool(from)) => into.extend(from),
            (ColumnData::Text(into), ColumnData::Text(from)) => into.extend(from),
            (ColumnData::Datetime(into), ColumnData::Datetime(from)) => into.extend(from),
            (into, from) => panic!("{into:?} and {from:?}"),
        }
    }

    /// NaN is written as one text, so that missing numbers are equal.
    fn shown(result: Result<Option<Columns>, DatasetError>) -> String {
        format!("{:?}", result.map_err(|err| err.to_string()))
    }

    fn check(bytes: &[u8], n_bytes: usize) -> Result<(), TestCaseError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, bytes).unwrap();
        let Ok(file) = SourceFile::find(path.to_str().unwrap()) else { return Ok(()) };
        let Ok(mut table) = CsvTable::open(&file, &CsvOptions::default()) else { return Ok(()) };
        let expected = one_by_one(&file, &mut table);
        let found = by_stretches(&file, &table, n_bytes);
        prop_assert_eq!(shown(found), shown(expected), "{:?} in {}", String::from_utf8_lossy(bytes), n_bytes);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

        #[test]
        fn stretches_hold_the_records_that_are_read_one_by_one(
            pieces in proptest::collection::vec(prop_oneof![
                3 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..]), 4 => Just(&b","[..]), 1 => Just(&b"\""[..]),
                1 => Just(&b"\"\""[..]), 1 => Just(&b" "[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"\xff"[..]),
                1 => Just(&b"\0"[..]), 2 => Just("ä€😀".as_bytes()), 4 => Just(&b"1"[..]), 2 => Just(&b"-2.5"[..]),
                2 => Just(&b"true"[..]), 2 => Just(&b"2024-02-29"[..]), 1 => Just(&b"2024-02-29T10:00:00Z"[..]),
                1 => Just(&b"NaN"[..]), 3 => Just(&b"x"[..]),
            ], 0..60),
            n_bytes in 1usize..64,
        ) {
            check(&pieces.concat(), n_bytes)?;
        }

        #[test]
        fn so_do_stretches_of_ordered_tables(
            rows in proptest::collection::vec((
                proptest::option::of(any::<i64>()), any::<f64>(),
                prop_oneof!["[a-c]{0,3}", "\"[a-c,\n]{0,3}\"", Just("\"a\"\"b\"".to_owned())],
                any::<bool>(),
            ), 1..40),
            line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n"), Just("\r")],
            separator in prop_oneof![Just(","), Just(";"), Just("\t")],
            n_bytes in 1usize..200,
            has_last_end in any::<bool>(),
        ) {
            let mut text = ["number", "value", "word", "flag"].join(separator) + line_end;
            for (number, value, word, flag) in &rows {
                let number = number.map(|it| it.to_string()).unwrap_or_default();
                text += &[number.as_str(), &value.to_string(), word, &flag.to_string()].join(separator);
                text += line_end;
            }
            let text = if has_last_end { &text } else { text.trim_end() };
            check(text.as_bytes(), n_bytes)?;
        }
    }

    #[test]
    fn a_record_of_sixteen_mebibytes_is_refused_alike() {
        for text in ["a\n\"".to_owned(), "a\n".to_owned()] {
            let bytes = text + &"x".repeat(MAX_RECORD_BYTES + 10) + "\n";
            check(bytes.as_bytes(), 1 << 20).unwrap();
        }
    }
}
