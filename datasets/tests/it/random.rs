//! Random input: whatever the bytes are, there is a value or an error in words, never a panic.

use athanor_datasets::{DescribeOptions, TableWriter, open, prepare, read_batches};
use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    recipe::SplitSpec,
    table::CsvOptions,
};
use proptest::prelude::*;

use crate::support::{Folder, derive, halves, plan, rows, run};

/// Bytes that look like tables often enough to get far.
fn table_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => "[a-c0-9.]{1,4}".prop_map(String::into_bytes),
        8 => Just(b",".to_vec()),
        4 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\"".to_vec()),
        1 => Just(b";".to_vec()),
        1 => Just("ä".as_bytes().to_vec()),
        1 => Just(b"2024-01-31".to_vec()),
        1 => Just(vec![0xFF, 0xFE]),
        1 => any::<Vec<u8>>(),
    ];
    proptest::collection::vec(piece, 1..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_table_or_an_error(bytes in table_bytes()) {
        let folder = Folder::new();
        let source = folder.write("t.csv", &bytes);
        match open(&source) {
            Ok(dataset) => {
                let first = &dataset.schema().columns[0].name;
                let described = dataset.describe(&DescribeOptions { max_top: 2, n_bins: 3 });
                let prepared = prepare(&plan(&source, [derive("z", "1 + 1")]), &halves(1), &|| false);
                prop_assert!(described.is_ok() || prepared.is_err(), "{first}: {described:?}");
                for err in [described.err(), prepared.err()].into_iter().flatten() {
                    prop_assert_ne!(err.code(), Code::Internal, "{}", err);
                }
            }
            Err(err) => prop_assert_ne!(err.code(), Code::Internal, "{}", err),
        }
    }

    #[test]
    fn any_text_is_an_expression_or_an_error(text in "[a-b0-9(),'\"+*/<>=. -]{0,40}|\\PC{0,40}") {
        let folder = Folder::new();
        let source = folder.write("t.csv", "a,b\n1,x\n2,y\n");
        if let Err(err) = run(&source, [derive("z", &text)]) {
            prop_assert_ne!(err.code(), Code::Internal, "{}", err);
        }
    }

    #[test]
    fn texts_and_numbers_survive_a_file(
        texts in proptest::collection::vec(proptest::option::of("[a-z,\"\n\r ;äß=]{1,8}x"), 1..20),
        number in any::<f64>(),
    ) {
        let folder = Folder::new();
        let numbers = vec![number; texts.len()];
        let data = ColumnData::Text(texts.iter().map(|text| text.as_deref().map(Into::into)).collect());
        let columns = vec![
            Column { name: "text".into(), data },
            Column { name: "number".into(), data: ColumnData::Float(numbers) },
        ];
        let frame = Frame::new(columns).unwrap();
        for name in ["t.csv", "t.parquet"] {
            let mut writer = TableWriter::create(&folder.path(name)).unwrap();
            writer.write(&frame).unwrap();
            writer.finish().unwrap();
            let mut source = folder.source(name);
            source.csv = CsvOptions { separator: Some(','), has_header: Some(true), ..CsvOptions::default() };
            let read: Vec<String> = read_batches(&source, 7).unwrap().flat_map(|batch| rows(&batch.unwrap())).collect();
            let number = if number.is_nan() { "-".to_owned() } else { (number + 0.0).to_string() };
            for (found, text) in read.iter().zip(&texts) {
                // A float without decimals comes back from text as a whole number, of the same value.
                let (found_text, found_number) = found.rsplit_once('|').unwrap();
                prop_assert_eq!(found_text, text.as_deref().unwrap_or("-"));
                let same = found_number == number || found_number.parse::<f64>().ok() == number.parse::<f64>().ok();
                prop_assert!(same, "{} {}", found_number, number);
            }
            prop_assert_eq!(read.len(), texts.len());
        }
    }

    #[test]
    fn any_split_is_a_partition_or_an_error(n in 1usize..60, valid in 0.0f64..0.9, test in 0.0f64..0.9, seed in any::<u64>()) {
        let folder = Folder::new();
        let text = (0..n).fold("i,y\n".to_owned(), |text, i| text + &format!("{i},{}\n", i % 3));
        let source = folder.write("t.csv", text);
        let split = SplitSpec::Random { valid, test, stratify: (seed % 2 == 0).then(|| "y".to_owned()), seed };
        if let Ok(prepared) = prepare(&plan(&source, []), &split, &|| false) {
            let parts = [&prepared.train, &prepared.valid, &prepared.test];
            let mut all: Vec<usize> = Vec::new();
            for part in parts {
                let ids: Vec<usize> = rows(&part.frame(&["i"]).unwrap()).iter().map(|id| id.parse().unwrap()).collect();
                prop_assert!(ids.is_sorted());
                all.extend(ids);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        } else {
            prop_assert!(valid + test >= 0.5, "{} {}", valid, test);
        }
    }
}
