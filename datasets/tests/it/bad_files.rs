//! Files that broke other programs: each is read rightly or refused in clear words.

use athanor_datasets::{DatasetError, open, prepare};
use athanor_protocol::{
    Code,
    table::{CsvOptions, DataSource, TableFormat},
};

use crate::support::{Folder, no_split, plan, rows, run, select, shape, train_rows};

/// Writes bytes, reads them whole, and compares the schema and rows, or the error.
fn check(bytes: impl AsRef<[u8]>, expect: Result<(&str, &[&str]), &str>) {
    let folder = Folder::new();
    let source = folder.write("t.csv", bytes);
    let found = run(&source, []).map(|prepared| (shape(prepared.train.schema()), train_rows(&prepared)));
    match (found, expect) {
        (Ok((schema, rows)), Ok((expect_schema, expect_rows))) => {
            assert_eq!(schema, expect_schema);
            assert_eq!(rows, expect_rows);
        }
        (Err(err), Err(expect)) => {
            let text = err.to_string().replace(folder.path("").to_str().unwrap(), "");
            assert_eq!(text, expect);
            assert_ne!(err.code(), Code::Internal);
        }
        (found, expect) => panic!("{found:?} where {expect:?} was expected"),
    }
}

#[test]
fn separators_are_found_out() {
    check("a,b\n1,x\n", Ok(("a:int b:text", &["1|x"])));
    check("a;b\n1,5;x\n", Ok(("a:text b:text", &["1,5|x"])));
    check("a\tb\n1\tx, y\n", Ok(("a:int b:text", &["1|x, y"])));
    check("a|b\n1|x\n", Ok(("a:int b:text", &["1|x"])).map(|(s, _)| (s, &["1|x"][..])));
}

#[test]
fn headers_are_found_out() {
    check("1,2\n3,4\n", Ok(("column_1:int column_2:int", &["1|2", "3|4"])));
    check("a,b\nc,d\n", Ok(("a:text b:text", &["c|d"])));
}

#[test]
fn ragged_rows_name_the_line() {
    let hint = |n: usize, fields: usize| format!("\"t.csv\", line {n}: it has {fields} fields where 2 were expected");
    check("a,b\n1,2\n3\n", Err(&hint(3, 1)));
    check("a,b\n1,2\n\n3,4,5\n", Err(&hint(4, 3)));
    check("a,b\n\"x\ny\",2\n3\n", Err(&hint(4, 1)));
}

#[test]
fn an_empty_file_is_refused() {
    check("", Err("\"t.csv\" is empty"));
    check("\n\n\r\n", Err("\"t.csv\" is empty"));
    check([0xEF, 0xBB, 0xBF], Err("\"t.csv\" is empty"));
}

#[test]
fn a_header_alone_is_a_table_without_rows() {
    check("a,b\n", Err("there are no rows to split"));
    let folder = Folder::new();
    let source = folder.write("t.csv", "a,b");
    assert_eq!(shape(open(&source).unwrap().schema()), "a:text b:text");
    assert_eq!(open(&source).unwrap().n_rows().unwrap(), 0);
}

#[test]
fn one_row_and_one_column() {
    check("a\n1", Ok(("a:int", &["1"])));
    check("x\nb\n\nc\n", Ok(("x:text", &["b", "c"])));
    check("x\n\"\"\nc\n", Ok(("x:text", &["-", "c"])));
}

#[test]
fn all_missing_is_text() {
    check("a,b\n1,\n2,\n", Ok(("a:int b:text", &["1|-", "2|-"])));
}

#[test]
fn non_finite_numbers_are_numbers_and_nan_is_missing() {
    check("a\n1.5\nNaN\ninf\n-Infinity\n", Ok(("a:float", &["1.5", "-", "inf", "-inf"])));
}

#[test]
fn utf16_is_read_with_either_byte_order() {
    let text = "name,n\nZoë 𝄞,1\n";
    let units: Vec<u16> = std::iter::once(0xFEFF).chain(text.encode_utf16()).collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    check(little, Ok(("name:text n:int", &["Zoë 𝄞|1"])));
    check(big, Ok(("name:text n:int", &["Zoë 𝄞|1"])));
}

#[test]
fn a_nul_byte_names_the_line() {
    check("a,b\n1,2\n3,x\0y\n", Err("\"t.csv\", line 3: it holds a NUL byte"));
}

#[test]
fn other_encodings_name_the_line() {
    check(b"a,b\n1,caf\xE9\n", Err("\"t.csv\", line 2: it is not UTF-8 text"));
}

#[test]
fn a_byte_order_mark_is_not_part_of_a_name() {
    check("\u{FEFF}a,b\n1,2\n", Ok(("a:int b:int", &["1|2"])));
}

#[test]
fn lines_may_end_in_cr_alone_or_crlf() {
    check("a,b\r1,2\r3,4\r", Ok(("a:int b:int", &["1|2", "3|4"])));
    check("a,b\r\n1,2\r\n3,4", Ok(("a:int b:int", &["1|2", "3|4"])));
    check("a,b\r1,2\r3\r", Err("\"t.csv\", line 3: it has 1 fields where 2 were expected"));
}

#[test]
fn duplicate_and_empty_headers_are_renamed_with_notes() {
    let folder = Folder::new();
    let source = folder.write("t.csv", "a,a,,a_2,\n1,2,3,4,5\n");
    let dataset = open(&source).unwrap();
    assert_eq!(shape(dataset.schema()), "a:int a_3:int column_3:int a_2:int column_5:int");
    assert_eq!(dataset.notes().len(), 3);
    assert_eq!(dataset.notes()[0], "the header of column 2 is \"a\": it is called \"a_3\"");
}

#[test]
fn five_thousand_columns() {
    let names: Vec<String> = (0..5000).map(|i| format!("c{i}")).collect();
    let line: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
    let text = format!("{}\n{}\n{}\n", names.join(","), line.join(","), line.join(","));
    let folder = Folder::new();
    let source = folder.write("t.csv", text);
    let prepared = run(&source, [select(&["c4999", "c0"])]).unwrap();
    assert_eq!(train_rows(&prepared), ["4999|0", "4999|0"]);
    assert_eq!(prepared.recipe.input.columns.len(), 2);
}

#[test]
fn a_value_that_does_not_fit_late_in_the_file_widens_its_column() {
    let mut text = "i,f,d\n".to_owned();
    for i in 0..12_000 {
        text.push_str(&format!("{i},{i}.5,2024-01-01\n"));
    }
    text.push_str("1.5,n/a,2024-01-02T10:00\n");
    let folder = Folder::new();
    let source = folder.write("t.csv", text);
    assert_eq!(shape(open(&source).unwrap().schema()), "i:int f:float d:date");
    let prepared = run(&source, []).unwrap();
    assert_eq!(shape(prepared.train.schema()), "i:float f:text d:datetime");
    assert_eq!(prepared.train.n_rows(), 12_001);
    let notes = prepared.notes.join("\n");
    assert!(
        notes.contains("column \"f\" looked like float at first, but line 12002 holds \"n/a\": it is read as text"),
        "{notes}"
    );
    assert_eq!(rows(&prepared.train.frame(&["f"]).unwrap())[7], "7.5");
}

#[test]
fn dates_out_of_range_are_text() {
    check("d\n2024-02-29\n2023-02-30\n", Ok(("d:text", &["2024-02-29", "2023-02-30"])));
    check("d\n2024-02-29\n0001-01-01\n", Ok(("d:date", &["1709164800000000", "-62135596800000000"])));
}

#[test]
fn codes_with_leading_zeros_stay_text() {
    check("zip,x\n01234,0\n56789,0.5\n", Ok(("zip:text x:float", &["01234|0", "56789|0.5"])));
}

#[test]
fn quotes() {
    check("a,b\n\"x, \"\"y\"\"\nz\",5\" pipe\n", Ok(("a:text b:text", &["x, \"y\"\nz|5\" pipe"])));
    let open_quote = "a quote that is opened here is never closed, or the record is longer than 16 MiB";
    check("a,b\n1,2\n\"x,2\n3,4\n", Err(&format!("\"t.csv\", line 3: {open_quote}")));
    check("a,b\n1,2\n\"", Err(&format!("\"t.csv\", line 3: {open_quote}")));
}

#[test]
fn an_unterminated_quote_in_a_large_file_takes_bounded_memory() {
    let mut text = "a,b\n\"1,2\n".to_owned();
    text.push_str(&"x,y and more text\n".repeat(1_200_000));
    check(
        text,
        Err("\"t.csv\", line 2: a quote that is opened here is never closed, or the record is longer than 16 MiB"),
    );
}

#[test]
fn decimal_commas_and_words_for_missing() {
    let folder = Folder::new();
    let mut source = folder.write("t.csv", "a;b\n1,5;NA\n-2,25;7\n");
    source.csv = CsvOptions { decimal_comma: true, null_values: vec!["NA".into()], ..CsvOptions::default() };
    let prepared = run(&source, []).unwrap();
    assert_eq!(shape(prepared.train.schema()), "a:float b:int");
    assert_eq!(train_rows(&prepared), ["1.5|-", "-2.25|7"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let folder = Folder::new();
    for name in ["t.csv", "t.parquet"] {
        if name == "t.csv" {
            folder.write(name, "a,b\n1,2\n3,4\n");
        } else {
            let rows = run(&folder.source("t.csv"), []).unwrap();
            rows.train.write(&folder.path(name)).unwrap();
        }
        let source = folder.source(name);
        let before = std::fs::read(folder.path(name)).unwrap();
        // The program asks whether to stop while it reads; somebody writes just then.
        let calls = std::cell::Cell::new(0);
        let write_meanwhile = || {
            calls.set(calls.get() + 1);
            if calls.get() == 2 {
                let mut bytes = before.clone();
                bytes.extend_from_slice(b"5,6\n");
                std::fs::write(folder.path(name), bytes).unwrap();
            }
            false
        };
        let err = prepare(&plan(&source, []), &no_split(), &write_meanwhile).unwrap_err();
        assert!(matches!(err, DatasetError::Changed { .. }), "{err}");
        assert_eq!(err.code(), Code::Conflict);
    }
    let source = folder.write("u.csv", "a\n1\n");
    let opened = open(&source).unwrap();
    folder.write("u.csv", "a\n1\n2\n");
    assert!(matches!(opened.n_rows(), Err(DatasetError::Changed { .. })));
    assert!(matches!(opened.digest(), Err(DatasetError::Changed { .. })));
    assert!(matches!(opened.head(1), Err(DatasetError::Changed { .. })));
}

fn parquet(folder: &Folder) -> Vec<u8> {
    let mut text = "a,b,c\n".to_owned();
    (0..500).for_each(|i| text.push_str(&format!("{i},{}.25,word{}\n", i * 3, i % 17)));
    let rows = run(&folder.write("source.csv", text), []).unwrap();
    rows.train.write(&folder.path("good.parquet")).unwrap();
    std::fs::read(folder.path("good.parquet")).unwrap()
}

#[test]
fn parquet_that_is_cut_off_or_damaged() {
    let folder = Folder::new();
    let good = parquet(&folder);
    assert_eq!(run(&folder.source("good.parquet"), []).unwrap().train.n_rows(), 500);
    for cut in [4, 11, 12, good.len() / 2, good.len() - 1] {
        let source = folder.write("cut.parquet", &good[..cut]);
        let err = open(&source).unwrap_err();
        assert_eq!(err.code(), Code::BadData, "{err}");
    }
    let footer = u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap()) as usize;
    let footer_from = good.len() - 8 - footer;
    // Every 7th byte of the footer, and some of the data: an error or a table, never a panic.
    for at in (footer_from..good.len()).step_by(7).chain((4..footer_from).step_by(97)) {
        let mut bytes = good.clone();
        bytes[at] ^= 0xFF;
        let source = folder.write("bad.parquet", &bytes);
        if let Err(err) = run(&source, []) {
            assert!(!err.to_string().is_empty());
        }
    }
    let mut bytes = good.clone();
    let end = bytes.len() - 8;
    bytes[end..end + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let err = open(&folder.write("long.parquet", &bytes)).unwrap_err();
    assert!(err.to_string().ends_with("can't be read: the length of its footer is wrong"), "{err}");
}

#[test]
fn formats_are_told_by_content() {
    let folder = Folder::new();
    let good = parquet(&folder);
    let dataset = open(&folder.write("t.csv", &good)).unwrap();
    assert_eq!(shape(dataset.schema()), "a:int b:float c:text");
    let text = folder.write("t.parquet", "a,b\n1,2\n");
    assert_eq!(open(&text).unwrap().notes().len(), 1);
    let forced = DataSource { format: TableFormat::Parquet, ..text };
    assert_eq!(open(&forced).unwrap_err().code(), Code::BadData);
    let err = open(&folder.write("t.xlsx", b"PK\x03\x04more")).unwrap_err();
    assert!(err.to_string().ends_with("can't be read: it is a ZIP archive or an Excel workbook"), "{err}");
}

#[test]
fn paths_that_are_no_files() {
    let folder = Folder::new();
    let check = |path: &str, expect: &str| {
        let err = open(&DataSource::file(path)).unwrap_err();
        assert_eq!(err.to_string().replace(folder.path("").to_str().unwrap(), ""), expect);
    };
    check(folder.path("nowhere.csv").to_str().unwrap(), "there is no file \"nowhere.csv\"");
    std::fs::create_dir(folder.path("folder")).unwrap();
    check(folder.path("folder").to_str().unwrap(), "\"folder\" is a directory, not a file");
    check("", "no file was named");
    check("a\0b", "opening \"a\\0b\": file name contained an unexpected NUL byte");
    #[cfg(unix)]
    {
        check("/dev/null", "\"/dev/null\" is a device, not a file");
        let status = std::process::Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap();
        assert!(status.success());
        check(folder.path("pipe").to_str().unwrap(), "\"pipe\" is a named pipe, not a file");
        let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
        check(folder.path("socket").to_str().unwrap(), "\"socket\" is a socket, not a file");
        std::os::unix::fs::symlink(folder.path("loop"), folder.path("loop")).unwrap();
        let err = open(&folder.source("loop")).unwrap_err();
        assert!(matches!(err, DatasetError::Io { .. }), "{err}");
        folder.write("real.csv", "a\n1\n");
        std::os::unix::fs::symlink(folder.path("real.csv"), folder.path("link.csv")).unwrap();
        assert_eq!(open(&folder.source("link.csv")).unwrap().n_rows().unwrap(), 1);
    }
}
