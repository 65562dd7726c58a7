//! Pages: any rows from any place, the same as reading from the beginning.

use athanor_datasets::{Page, Pager, TableWriter, open};
use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    table::{CsvOptions, DataSource},
};
use proptest::prelude::*;

use crate::support::Folder;

fn pager(source: &DataSource) -> Pager {
    Pager::new(open(source).unwrap()).unwrap()
}

/// Rows as text, columns joined with `|`, missing as `-`.
fn shown(page: &Page) -> Vec<String> {
    let n_rows = page.cells.first().map_or(0, Vec::len);
    assert!(page.cells.iter().all(|cells| cells.len() == n_rows));
    let cell = |cells: &Vec<Option<String>>, row: usize| cells[row].clone().unwrap_or_else(|| "-".to_owned());
    (0..n_rows).map(|row| page.cells.iter().map(|cells| cell(cells, row)).collect::<Vec<_>>().join("|")).collect()
}

fn rows(pager: &Pager, offset: u64, limit: usize) -> Vec<String> {
    shown(&pager.rows(offset, limit, &[]).unwrap())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A table that breaks whoever counts line ends: quoted line ends, quotes, separators, blank lines, letters of many bytes.
/// Returns its text and the rows as they are to be shown.
fn nasty(n_rows: usize, line_end: &str) -> (String, Vec<String>) {
    let mut text = format!("id,note,x{line_end}");
    let mut expect = Vec::with_capacity(n_rows);
    for i in 0..n_rows {
        let (written, note) = match i % 7 {
            0 => ("\"two\nlines, and \"\"quotes\"\"\"".to_owned(), "two\nlines, and \"quotes\"".to_owned()),
            1 => (String::new(), "-".to_owned()),
            2 => (format!("Zoë 𝄞 {i}"), format!("Zoë 𝄞 {i}")),
            3 => ("\"\n\n\n\"".to_owned(), "\n\n\n".to_owned()),
            4 => (
                format!("\"{}\"", ",;|".repeat(i % 50)),
                [",;|".repeat(i % 50), "-".to_owned()][usize::from(i % 50 == 0)].clone(),
            ),
            5 => (format!("5\" pipe {i}"), format!("5\" pipe {i}")),
            _ => ("\u{FEFF}mark".to_owned(), "\u{FEFF}mark".to_owned()),
        };
        text.push_str(&format!("{i},{written},{}.5{line_end}", i % 3));
        if i % 11 == 0 {
            text.push_str(line_end);
        }
        expect.push(format!("{i}|{note}|{}.5", i % 3));
    }
    (text, expect)
}

fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    units.flat_map(|unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn any_place_of_a_nasty_table_reads_as_from_the_beginning() {
    let folder = Folder::new();
    let (text, expect) = nasty(40_000, "\n");
    let (windows, windows_expect) = nasty(40_000, "\r\n");
    let sources = [
        (folder.write("unix.csv", &text), &expect),
        (folder.write("marked.csv", format!("\u{FEFF}{text}")), &expect),
        (folder.write("windows.csv", windows), &windows_expect),
        (folder.write("little.csv", utf16(&text, false)), &expect),
        (folder.write("big.csv", utf16(&text, true)), &expect),
    ];
    for (source, expect) in sources {
        let pager = pager(&source);
        let about = pager.dataset().name();
        assert_eq!(pager.n_rows(), None, "{about} is larger than what is looked at on opening");
        // From the end to the beginning, before the index is complete and after it.
        for _ in 0..2 {
            for offset in (0..40_000usize - 9).step_by(1_237).rev() {
                assert_eq!(rows(&pager, offset as u64, 9), expect[offset..][..9], "{about} at {offset}");
            }
            assert_eq!(rows(&pager, 39_998, 100), expect[39_998..], "{about}");
            assert_eq!(rows(&pager, 40_000, 100), [""; 0], "{about}");
            assert_eq!(rows(&pager, u64::MAX, 100), [""; 0], "{about}");
            pager.index(&|| false).unwrap();
            assert_eq!(pager.n_rows(), Some(40_000), "{about}");
        }
        assert_eq!(rows(&pager, 0, 40_000), *expect, "{about}");
    }
}

#[test]
fn lines_that_end_in_cr_alone_are_found_too() {
    let folder = Folder::new();
    let mut text = "i,s\r".to_owned();
    (0..200_000).for_each(|i| text.push_str(&format!("{i},w{}\r", i % 13)));
    let pager = pager(&folder.write("t.csv", text));
    assert_eq!(rows(&pager, 123_456, 2), ["123456|w8", "123457|w9"]);
    pager.index(&|| false).unwrap();
    assert_eq!(pager.n_rows(), Some(200_000));
    assert_eq!(rows(&pager, 199_999, 2), ["199999|w7"]);
}

#[test]
fn the_index_can_be_stopped_and_gone_on_with() {
    let folder = Folder::new();
    let (text, expect) = nasty(150_000, "\n");
    let pager = pager(&folder.write("t.csv", &text));
    let mut n_calls = 0;
    while pager.n_rows().is_none() {
        n_calls += 1;
        let asked = std::cell::Cell::new(0);
        pager
            .index(&|| {
                asked.set(asked.get() + 1);
                asked.get() > 1
            })
            .unwrap();
        assert_eq!(rows(&pager, 5, 2), expect[5..7]);
    }
    assert!(n_calls >= 3, "a MiB at a time: {n_calls}");
    assert!(pager.is_indexed());
    assert_eq!(pager.n_rows(), Some(150_000));
    // Many threads at once.
    let pager = self::pager(&folder.source("t.csv"));
    std::thread::scope(|scope| {
        for at in 0..4u64 {
            let (pager, expect) = (&pager, &expect);
            scope.spawn(move || {
                pager.index(&|| false).unwrap();
                let offset = at * 37_000;
                assert_eq!(rows(pager, offset, 3), expect[offset as usize..][..3]);
            });
        }
    });
    assert_eq!(pager.n_rows(), Some(150_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back_from_any_place(
        cells in proptest::collection::vec("[a-z\"\n\r, ä𝄞]{0,6}", 1..80),
        offset in 0usize..80,
        limit in 1usize..20,
    ) {
        let folder = Folder::new();
        let column = |name: &str, texts: Vec<Option<std::sync::Arc<str>>>| Column { name: name.into(), data: ColumnData::Text(texts) };
        let texts: Vec<Option<std::sync::Arc<str>>> = cells.iter().map(|text| Some(text.as_str().into())).collect();
        let frame = Frame::new(vec![column("first", texts.clone()), column("second", texts)]).unwrap();
        let mut writer = TableWriter::create(&folder.path("t.csv")).unwrap();
        writer.write(&frame).unwrap();
        writer.finish().unwrap();
        let mut source = folder.source("t.csv");
        source.csv = CsvOptions { separator: Some(','), has_header: Some(true), ..CsvOptions::default() };
        source.csv.text_columns = names(&["first", "second"]);
        let pager = pager(&source);
        prop_assert_eq!(pager.n_rows(), Some(cells.len() as u64));
        let page = pager.rows(offset as u64, limit, &names(&["second"])).unwrap();
        let expect: Vec<Option<String>> =
            cells.iter().skip(offset).take(limit).map(|text| (!text.is_empty()).then(|| text.clone())).collect();
        prop_assert_eq!(&page.cells[0], &expect);
    }
}

#[test]
fn cells_are_ready_to_be_shown() {
    let folder = Folder::new();
    let long = "é".repeat(600);
    let text = format!(
        "i,f,b,d,t,s\n+7,1.50,TRUE,2024-02-29,2024-02-29 12:30,{long}\n,nan,,,,\n-1,1e300,false,0001-01-01,2024-02-29T00:00:00.25Z,x\n"
    );
    let pager = pager(&folder.write("t.csv", text));
    let cut = format!("{}…", "é".repeat(500));
    let expect = [
        format!("7|1.5|true|2024-02-29|2024-02-29T12:30:00|{cut}"),
        "-|-|-|-|-|-".to_owned(),
        "-1|1e300|false|0001-01-01|2024-02-29T00:00:00.250000|x".to_owned(),
    ];
    assert_eq!(rows(&pager, 0, 9), expect);
    assert_eq!(pager.n_rows(), Some(3), "what was seen whole on opening is counted");
}

#[test]
fn a_value_that_does_not_fit_its_column_is_shown_as_it_stands() {
    let folder = Folder::new();
    let mut text = "x\n".to_owned();
    (0..20_000).for_each(|i| text.push_str(&format!("{i}.50\n")));
    text.push_str("n/a\n");
    let pager = pager(&folder.write("t.csv", text));
    assert_eq!(rows(&pager, 19_999, 9), ["19999.5", "n/a"]);
}

#[test]
fn parquet_pages_come_from_the_middle() {
    let folder = Folder::new();
    let mut writer = TableWriter::create(&folder.path("t.parquet")).unwrap();
    for from in (0..30_000i64).step_by(10_000) {
        let ids = ColumnData::Int((from..from + 10_000).map(Some).collect());
        let halves = ColumnData::Float((from..from + 10_000).map(|i| i as f64 / 2.0).collect());
        let times =
            ColumnData::Datetime((from..from + 10_000).map(|i| (i % 2 == 0).then_some(i * 1_000_000)).collect());
        let columns = [("i", ids), ("h", halves), ("t", times)].map(|(name, data)| Column { name: name.into(), data });
        writer.write(&Frame::new(columns.into()).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let pager = pager(&folder.source("t.parquet"));
    assert_eq!(pager.n_rows(), Some(30_000));
    assert!(pager.is_indexed());
    assert_eq!(rows(&pager, 9_999, 2), ["9999|4999.5|-", "10000|5000|1970-01-01T02:46:40"]);
    assert_eq!(rows(&pager, 29_999, 5), ["29999|14999.5|-"]);
    assert_eq!(rows(&pager, 30_000, 5), [""; 0]);
    assert_eq!(rows(&pager, u64::MAX, 5), [""; 0]);
    assert_eq!(rows(&pager, 0, 0), [""; 0]);
    let page = pager.rows(2, 1, &names(&["t", "i"])).unwrap();
    assert_eq!(shown(&page), ["1970-01-01T00:00:02|2"]);
    assert_eq!(page.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["t", "i"]);
    std::fs::remove_file(folder.path("t.parquet")).unwrap();
    assert!(pager.rows(0, 1, &[]).is_err());
}

#[test]
fn foreign_parquet_types_are_shown_as_what_they_are() {
    use polars::prelude::{self as pl, IntoColumn, NamedFrom, Series};
    let folder = Folder::new();
    let micros = |unit: fn(pl::TimeUnit) -> pl::DataType| unit(pl::TimeUnit::Microseconds);
    let times = Series::new("time".into(), [3_723_000_000_000i64, 0]).cast(&pl::DataType::Time).unwrap();
    let spans =
        Series::new("span".into(), [-1_500_000i64, 90_000_000_000]).cast(&micros(pl::DataType::Duration)).unwrap();
    let zone = pl::DataType::Datetime(pl::TimeUnit::Milliseconds, Some(pl::TimeZone::UTC));
    let columns = vec![
        Series::new("large".into(), [u64::MAX, 0]).into_column(),
        Series::new("single".into(), [0.1f32, f32::NAN]).into_column(),
        Series::new("small".into(), [-1i8, 2]).into_column(),
        times.into_column(),
        spans.into_column(),
        Series::new("day".into(), [-1i32, 19_782]).cast(&pl::DataType::Date).unwrap().into_column(),
        Series::new("zoned".into(), [0i64, 250]).cast(&zone).unwrap().into_column(),
        Series::new("gone".into(), [None::<&str>, Some("")]).into_column(),
    ];
    let mut df = pl::DataFrame::new(2, columns).unwrap();
    let file = std::fs::File::create(folder.path("t.parquet")).unwrap();
    pl::ParquetWriter::new(file).finish(&mut df).unwrap();
    let expect = [
        "18446744073709551615|0.1|-1|01:02:03|-00:00:01.500000|1969-12-31|1970-01-01T00:00:00|-",
        "0|-|2|00:00:00|25:00:00|2024-02-29|1970-01-01T00:00:00.250000|",
    ];
    assert_eq!(rows(&pager(&folder.source("t.parquet")), 0, 5), expect);
}

#[test]
fn bad_questions_and_bad_files_are_refused() {
    let folder = Folder::new();
    let source = folder.write("t.csv", "a,b\n1,2\n3,4\n");
    let pager = pager(&source);
    let refused = |columns: &[&str]| pager.rows(0, 1, &names(columns)).unwrap_err().to_string();
    assert_eq!(refused(&["c"]), "there is no column \"c\" (did you mean \"a\" or \"b\"?)");
    assert_eq!(refused(&["a", "a"]), "column \"a\": it is named twice");
    assert_eq!(pager.rows(0, usize::MAX, &[]).unwrap_err().code(), Code::TooLarge);
    folder.write("t.csv", "a,b\n1,2\n3,4\n5,6\n");
    assert_eq!(pager.rows(0, 1, &[]).unwrap_err().code(), Code::Conflict);
    assert_eq!(pager.rows(9, 1, &[]).unwrap_err().code(), Code::Conflict);
    std::fs::remove_file(folder.path("t.csv")).unwrap();
    assert!(pager.rows(0, 1, &[]).is_err());
    for (name, bytes, code) in [
        ("gone.csv", None, Code::NotFound),
        ("empty.csv", Some(&b""[..]), Code::BadData),
        ("a.xlsx", Some(b"PK\x03\x04more"), Code::BadData),
        ("nul.csv", Some(b"a,b\n\0,1\n"), Code::BadData),
    ] {
        if let Some(bytes) = bytes {
            folder.write(name, bytes);
        }
        let err = open(&folder.source(name)).and_then(Pager::new).and_then(|pager| pager.rows(0, 5, &[])).unwrap_err();
        assert_eq!(err.code(), code, "{err}");
        assert!(err.to_string().contains(name), "{err}");
    }
}

#[test]
fn a_table_without_rows_has_an_empty_page() {
    let folder = Folder::new();
    let pager = pager(&folder.write("t.csv", "a,b\n"));
    let page = pager.rows(0, 10, &[]).unwrap();
    assert_eq!((page.columns.len(), page.cells, page.n_rows), (2, vec![vec![], vec![]], Some(0)));
}

#[test]
fn rows_before_a_malformed_line_can_be_read() {
    let folder = Folder::new();
    let mut text = "a,b\n".to_owned();
    (0..200_000).for_each(|i| text.push_str(&format!("{i},x\n")));
    text.push_str("1,2,3\n");
    (0..1_000).for_each(|i| text.push_str(&format!("{i},x\n")));
    let pager = pager(&folder.write("t.csv", text));
    pager.index(&|| false).unwrap();
    assert!(pager.is_indexed());
    assert_eq!(pager.n_rows(), None, "nobody knows");
    assert_eq!(rows(&pager, 199_998, 2), ["199998|x", "199999|x"]);
    for offset in [199_999, 200_000, 200_500] {
        let err = pager.rows(offset, 2, &[]).unwrap_err();
        assert!(err.to_string().contains("line 200002: it has 3 fields where 2 were expected"), "{err}");
    }
}
