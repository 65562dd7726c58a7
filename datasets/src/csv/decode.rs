//! From a stretch of text to typed columns.
//!
//! Most text is plain: valid UTF-8 without quotes, its lines ending in LF or CR LF. Of such a stretch the fields are cut
//! where separators and line ends stand, found eight bytes at a time. Every other one goes through `csv-core`, which also
//! says what is wrong with it and in which line, so that both ways give the same columns and the same errors.

use std::sync::Arc;

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    table::DataType,
};

use super::{CsvTable, check_width, cut::Stretch, reader::MAX_RECORD_BYTES, types::FieldRules};
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

impl CsvTable {
    /// The columns at `wanted` (positions, rising) of all records of a stretch.
    pub(crate) fn decode(
        &self,
        file: &SourceFile,
        stretch: &Stretch,
        wanted: &[usize],
    ) -> Result<Decoded, DatasetError> {
        let fields = plain(stretch).and_then(|text| {
            Fields::cut(text, self.dialect.separator, self.schema.columns.len(), stretch.sight.n_line_feeds + 1)
        });
        let mut columns = Vec::with_capacity(wanted.len());
        match fields {
            Some(fields) => {
                for &at in wanted {
                    let mut values = Values::new(self.schema.columns[at].dtype, fields.n_rows());
                    if !values.fill(fields.column(at), &self.rules) {
                        return Ok(Decoded::Misfit);
                    }
                    columns.push(values);
                }
            }
            None => {
                columns.extend(wanted.iter().map(|&at| Values::new(self.schema.columns[at].dtype, 0)));
                let mut records = stretch.records(file, &self.dialect);
                while let Some(record) = records.next()? {
                    check_width(file, &record, self.schema.columns.len())?;
                    let mut places = wanted.iter().zip(&mut columns).peekable();
                    for (at, field) in record.fields().enumerate() {
                        let Some((_, values)) = places.next_if(|(position, _)| **position == at) else { continue };
                        if !values.fill(std::iter::once(field), &self.rules) {
                            return Ok(Decoded::Misfit);
                        }
                    }
                }
            }
        }
        let named = columns.into_iter().zip(wanted);
        let columns =
            named.map(|(values, &at)| Column { name: self.schema.columns[at].name.as_str().into(), data: values.data });
        Ok(Decoded::Rows(Frame::new(columns.collect())?))
    }
}

/// The text of a stretch in which every separator and line end is one.
fn plain(stretch: &Stretch) -> Option<&str> {
    let Stretch { bytes, sight, .. } = stretch;
    // So long a stretch holds a record that is perhaps too long.
    if bytes.len() > MAX_RECORD_BYTES || sight.has_quotes || sight.has_nul {
        return None;
    }
    if sight.has_returns {
        let mut rest = bytes.as_slice();
        while let Some(at) = rest.iter().position(|&byte| byte == b'\r') {
            if rest.get(at + 1) != Some(&b'\n') {
                return None;
            }
            rest = &rest[at + 2..];
        }
    }
    std::str::from_utf8(bytes).ok()
}

/// Where the fields of plain text are.
struct Fields<'a> {
    text: &'a str,
    n_columns: usize,
    /// Where each record begins.
    begins: Vec<u32>,
    /// Where each field ends, record by record.
    ends: Vec<u32>,
}

impl<'a> Fields<'a> {
    /// `None` where a record has another number of fields.
    fn cut(text: &'a str, separator: u8, n_columns: usize, n_lines: usize) -> Option<Self> {
        // The text is no longer than a record may be, so that places fit, and this room is bounded too.
        let mut begins = Vec::with_capacity(n_lines);
        let mut ends: Vec<u32> = Vec::with_capacity(text.len().min(n_lines.saturating_mul(n_columns)));
        let bytes = text.as_bytes();
        let mut begin = 0;
        let mut end_line = |ends: &mut Vec<u32>, at: usize| {
            let end = if at > begin && bytes[at - 1] == b'\r' { at - 1 } else { at };
            let n_before = begins.len() * n_columns;
            // A blank line is no record, not even of a table with one column.
            if end > begin || ends.len() > n_before {
                ends.push(end as u32);
                begins.push(begin as u32);
            }
            begin = at + 1;
            ends.len() == begins.len() * n_columns
        };
        // Separators and line ends, eight bytes at a time. A byte of a word that equals the wanted one becomes zero, and of
        // each byte that is zero the top bit is set. Exact for every byte, since no sum runs over into the next one.
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let zeros = |word: u64| !((word & LOW).wrapping_add(LOW) | word | LOW);
        // Bytes that are all alike are the same in every order.
        let (separators, line_ends) = (u64::from_ne_bytes([separator; 8]), u64::from_ne_bytes([b'\n'; 8]));
        let (words, rest) = bytes.as_chunks::<8>();
        for (place, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let line_ends = zeros(word ^ line_ends);
            let mut found = zeros(word ^ separators) | line_ends;
            while found != 0 {
                let at = place * 8 + found.trailing_zeros() as usize / 8;
                if line_ends & found & found.wrapping_neg() == 0 {
                    ends.push(at as u32);
                } else if !end_line(&mut ends, at) {
                    return None;
                }
                found &= found - 1;
            }
        }
        for (at, &byte) in bytes.iter().enumerate().skip(bytes.len() - rest.len()) {
            if byte == separator {
                ends.push(at as u32);
            } else if byte == b'\n' && !end_line(&mut ends, at) {
                return None;
            }
        }
        let is_whole = end_line(&mut ends, bytes.len());
        is_whole.then_some(Self { text, n_columns, begins, ends })
    }

    fn n_rows(&self) -> usize {
        self.begins.len()
    }

    /// The fields of a column from top to bottom.
    fn column(&self, at: usize) -> impl Iterator<Item = &'a str> {
        let text = self.text;
        let rows = self.begins.iter().zip(self.ends.chunks_exact(self.n_columns));
        rows.map(move |(&begin, ends)| {
            let begin = if at == 0 { begin } else { ends[at - 1] + 1 };
            &text[begin as usize..ends[at] as usize]
        })
    }
}

/// Values of a column.
struct Values {
    dtype: DataType,
    data: ColumnData,
}

impl Values {
    fn new(dtype: DataType, n_rows: usize) -> Self {
        let data = match dtype {
            DataType::Bool => ColumnData::Bool(Vec::with_capacity(n_rows)),
            DataType::Int => ColumnData::Int(Vec::with_capacity(n_rows)),
            DataType::Float => ColumnData::Float(Vec::with_capacity(n_rows)),
            DataType::Date | DataType::Datetime => ColumnData::Datetime(Vec::with_capacity(n_rows)),
            _ => ColumnData::Text(Vec::with_capacity(n_rows)),
        };
        Self { dtype, data }
    }

    /// Adds fields. `false` where one does not fit the type.
    fn fill<'a>(&mut self, fields: impl Iterator<Item = &'a str>, rules: &FieldRules) -> bool {
        fn each<'a, T>(
            values: &mut Vec<T>,
            mut fields: impl Iterator<Item = &'a str>,
            rules: &FieldRules,
            missing: T,
            read: impl Fn(&str) -> Option<T>,
        ) -> bool
        where
            T: Copy,
        {
            fields.all(|field| {
                let value = if rules.is_missing(field) { Some(missing) } else { read(field) };
                values.extend(value);
                value.is_some()
            })
        }
        let is_date = self.dtype == DataType::Date;
        match &mut self.data {
            ColumnData::Float(values) => each(values, fields, rules, f64::NAN, |field| rules.float(field)),
            ColumnData::Int(values) => each(values, fields, rules, None, |field| rules.int(field).map(Some)),
            ColumnData::Bool(values) => each(values, fields, rules, None, |field| parse_bool(field).map(Some)),
            // By way of whole days, of which a table's dates are made.
            ColumnData::Datetime(values) if is_date => each(values, fields, rules, None, |field| {
                parse_date(field).and_then(days_from_micros).map(|days| Some(micros_from_days(days)))
            }),
            ColumnData::Datetime(values) => each(values, fields, rules, None, |field| parse_datetime(field).map(Some)),
            ColumnData::Text(values) => {
                for field in fields {
                    // Equal texts one after another share their memory.
                    let text = (!rules.is_missing(field)).then(|| match values.last() {
                        Some(Some(last)) if **last == *field => Arc::clone(last),
                        _ => field.into(),
                    });
                    values.push(text);
                }
                true
            }
        }
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
