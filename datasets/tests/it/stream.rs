//! Batches in and out.

use std::collections::BTreeSet;

use athanor_datasets::{TableWriter, Types, open, read_batches, read_blocks};
use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
};

use crate::support::{Folder, rows, run, shape, train_rows};

fn frame(columns: Vec<(&str, ColumnData)>) -> Frame {
    Frame::new(columns.into_iter().map(|(name, data)| Column { name: name.into(), data }).collect()).unwrap()
}

#[test]
fn batches_put_together_are_the_table() {
    let folder = Folder::new();
    let mut text = "i,s\n".to_owned();
    (0..1000).for_each(|i| text.push_str(&format!("{i},w{}\n", i % 7)));
    let csv = folder.write("t.csv", text);
    let whole = run(&csv, []).unwrap();
    whole.train.write(&folder.path("t.parquet")).unwrap();
    for source in [csv, folder.source("t.parquet")] {
        let mut found = Vec::new();
        let mut sizes = Vec::new();
        for batch in read_batches(&source, 300).unwrap() {
            let batch = batch.unwrap();
            sizes.push(batch.n_rows());
            found.extend(rows(&batch));
        }
        assert_eq!(sizes, [300, 300, 300, 100]);
        assert_eq!(found, train_rows(&whole));
    }
}

#[test]
fn every_batch_has_the_types_of_the_whole_file() {
    let folder = Folder::new();
    let mut text = "x\n".to_owned();
    (0..20_000).for_each(|i| text.push_str(&format!("{i}\n")));
    text.push_str("many\n");
    let reader = read_batches(&folder.write("t.csv", &text), 5000).unwrap();
    assert_eq!(shape(reader.schema()), "x:text");
    assert_eq!(reader.map(|batch| batch.unwrap().n_rows()).sum::<usize>(), 20_001);
    text.push_str("1,2\n");
    let err = read_batches(&folder.write("u.csv", &text), 5000).unwrap_err();
    assert!(err.to_string().contains("line 20003: it has 2 fields where 1 were expected"), "{err}");
}

#[test]
fn a_file_that_changes_between_batches_is_refused() {
    let folder = Folder::new();
    let text = "x\n".to_owned() + &"1\n".repeat(500_000);
    let source = folder.write("t.csv", &text);
    let mut reader = read_batches(&source, 1000).unwrap();
    reader.next().unwrap().unwrap();
    folder.write("t.csv", text + "2\n");
    let err = reader.find_map(Result::err).unwrap();
    assert_eq!(err.code(), Code::Conflict);
    assert!(reader.next().is_none());
}

#[test]
fn written_tables_read_back() {
    let folder = Folder::new();
    let part = || {
        frame(vec![
            ("i", ColumnData::Int(vec![Some(1), None])),
            ("f", ColumnData::Float(vec![0.1 + 0.2, f64::NAN])),
            ("s", ColumnData::Text(vec![Some("=cmd, \"x\"\n".into()), None])),
            ("b", ColumnData::Bool(vec![Some(true), None])),
            ("t", ColumnData::Datetime(vec![Some(1_500_000), None])),
        ])
    };
    for name in ["out.csv", "out.parquet"] {
        let path = folder.path(name);
        let mut writer = TableWriter::create(&path).unwrap();
        writer.write(&part()).unwrap();
        writer.write(&part()).unwrap();
        assert!(!path.exists());
        assert!(writer.write(&frame(vec![("i", ColumnData::Int(vec![Some(1)]))])).is_err());
        assert_eq!(writer.finish().unwrap(), 4);
        let prepared = run(&folder.source(name), []).unwrap();
        assert_eq!(shape(prepared.train.schema()), "i:int f:float s:text b:bool t:datetime");
        let expect = "1|0.30000000000000004|=cmd, \"x\"\n|true|1500000";
        assert_eq!(train_rows(&prepared), [expect, "-|-|-|-|-", expect, "-|-|-|-|-"]);
    }
    let only_missing = frame(vec![("x", ColumnData::Text(vec![None, Some("a".into())]))]);
    let mut writer = TableWriter::create(&folder.path("one.csv")).unwrap();
    writer.write(&only_missing).unwrap();
    writer.finish().unwrap();
    assert_eq!(open(&folder.source("one.csv")).unwrap().n_rows().unwrap(), 2);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let folder = Folder::new();
    let mut writer = TableWriter::create(&folder.path("out.csv")).unwrap();
    writer.write(&frame(vec![("i", ColumnData::Int(vec![Some(1)]))])).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 0);
    assert_eq!(TableWriter::create(&folder.path("out.xlsx")).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(TableWriter::create(&folder.path("no/out.csv")).unwrap_err().code(), Code::NotFound);
    assert!(TableWriter::create(&folder.path("empty.csv")).unwrap().finish().is_err());
}

#[test]
fn many_row_groups_keep_their_order() {
    let folder = Folder::new();
    let mut writer = TableWriter::create(&folder.path("groups.parquet")).unwrap();
    let mut text = "i,f\n".to_owned();
    for group in 0..40 {
        let ids: Vec<i64> = (group * 500..(group + 1) * 500).collect();
        ids.iter().for_each(|i| text.push_str(&format!("{i},{}.5\n", i * 7 % 1000)));
        let floats = ids.iter().map(|i| (i * 7 % 1000) as f64 + 0.5).collect();
        let ids = ColumnData::Int(ids.into_iter().map(Some).collect());
        writer.write(&frame(vec![("i", ids), ("f", ColumnData::Float(floats))])).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), 20_000);
    let steps = || [crate::support::filter("f > 100 AND i <> 7"), crate::support::derive("g", "SQRT(f) + i")];
    let parquet = run(&folder.source("groups.parquet"), steps()).unwrap();
    let csv = run(&folder.write("t.csv", text), steps()).unwrap();
    assert_eq!(parquet.digest, csv.digest);
    assert_eq!(parquet.train.n_rows(), 18_000);
    let batches: Vec<usize> =
        read_batches(&folder.source("groups.parquet"), 700).unwrap().map(|batch| batch.unwrap().n_rows()).collect();
    assert_eq!((batches.len(), batches[0], batches.iter().sum::<usize>()), (29, 700, 20_000));
}

#[test]
fn foreign_parquet_types_are_brought_to_ours() {
    use polars::prelude::{self as pl, Column as PolarsColumn, DataFrame, NamedFrom, Series};
    let folder = Folder::new();
    let save = |name: &str, columns: Vec<PolarsColumn>| {
        let mut df = DataFrame::new_infer_height(columns).unwrap();
        let file = std::fs::File::create(folder.path(name)).unwrap();
        pl::ParquetWriter::new(file).finish(&mut df).unwrap();
        folder.source(name)
    };
    let lists = Series::new("list".into(), [Series::new("".into(), [1i64, 2]), Series::new("".into(), [3i64])]);
    let zoned = Series::new("zoned".into(), [0i64, 3_600_000])
        .cast(&pl::DataType::Datetime(pl::TimeUnit::Milliseconds, Some(pl::TimeZone::UTC)))
        .unwrap();
    let source = save(
        "t.parquet",
        vec![
            Series::new("small".into(), [1i8, -1]).into(),
            Series::new("single".into(), [0.5f32, f32::NAN]).into(),
            Series::new("unsigned".into(), [1u64, 2]).into(),
            zoned.into(),
            lists.into(),
        ],
    );
    let dataset = open(&source).unwrap();
    assert_eq!(shape(dataset.schema()), "small:int single:float unsigned:int zoned:datetime");
    assert_eq!(dataset.notes().len(), 1);
    assert_eq!(rows(&dataset.head(9).unwrap()), ["1|0.5|1|0", "-1|-|2|3600000000"]);
    assert_eq!(train_rows(&run(&source, []).unwrap()), ["1|0.5|1|0", "-1|-|2|3600000000"]);
    let large = save("large.parquet", vec![Series::new("u".into(), [u64::MAX]).into()]);
    let err = run(&large, []).unwrap_err();
    assert_eq!(err.code(), Code::BadData, "{err}");
    let only_lists = save("lists.parquet", vec![Series::new("l".into(), [Series::new("".into(), [1i64])]).into()]);
    assert!(open(&only_lists).unwrap_err().to_string().contains("it has no column that can be used"));
}

#[test]
fn blocks_are_the_table_whoever_decodes_them() {
    let folder = Folder::new();
    let mut text = "i,s,x\n".to_owned();
    // Some mebibytes, with a line in quotes here and there, so that both ways of reading are gone.
    (0..200_000).for_each(|i| match i % 50_000 {
        7 => text.push_str(&format!("{i},\"w\n,{}\",{}.5\n", i % 7, i % 11)),
        _ => text.push_str(&format!("{i},w{},{}.5\n", i % 7, i % 11)),
    });
    let csv = folder.write("t.csv", text);
    let mut writer = TableWriter::create(&folder.path("t.parquet")).unwrap();
    let mut expected = Vec::new();
    for batch in read_batches(&csv, 8192).unwrap() {
        let batch = batch.unwrap();
        expected.extend(rows(&batch));
        writer.write(&batch).unwrap();
    }
    writer.finish().unwrap();
    for source in [csv, folder.source("t.parquet")] {
        let blocks = read_blocks(&source, None, Types::FromSample, &|| false).unwrap();
        assert_eq!(shape(blocks.schema()), "i:int s:text x:float");
        let blocks: Vec<_> = blocks.collect::<Result<_, _>>().unwrap();
        assert!(blocks.len() > 2);
        // From the last to the first.
        let threads = blocks.into_iter().rev().map(|block| std::thread::spawn(|| block.decode().unwrap().unwrap()));
        let mut frames: Vec<Frame> = threads.map(|thread| thread.join().unwrap()).collect();
        frames.reverse();
        let found: Vec<_> = frames.iter().flat_map(rows).collect();
        assert!(found == expected);
        let few = BTreeSet::from(["x", "not there"]);
        let block = read_blocks(&source, Some(&few), Types::Settled, &|| false).unwrap().next().unwrap().unwrap();
        let names: Vec<String> =
            block.decode().unwrap().unwrap().columns().iter().map(|column| column.name.to_string()).collect();
        assert_eq!(names, ["x"]);
    }
}

#[test]
fn a_block_that_the_sample_did_not_tell_of_is_a_misfit_until_types_are_settled() {
    let folder = Folder::new();
    let text = |last: &str| "x\n".to_owned() + &"1\n".repeat(1_000_000) + last;
    let decode = |source, types| {
        read_blocks(source, None, types, &|| false).and_then(|mut blocks| {
            blocks.try_fold(0, |n_rows, block| {
                // A misfit is counted as a million rows.
                Ok(n_rows + block?.decode()?.map_or(1_000_000, |frame| frame.n_rows()))
            })
        })
    };
    let source = folder.write("t.csv", text("many\n"));
    assert!(decode(&source, Types::FromSample).unwrap() > 1_000_001);
    assert_eq!(decode(&source, Types::Settled).unwrap(), 1_000_001);
    let source = folder.write("u.csv", text("1,2\n"));
    for types in [Types::FromSample, Types::Settled] {
        let err = decode(&source, types).unwrap_err();
        assert!(err.to_string().contains("line 1000002: it has 2 fields where 1 were expected"), "{err}");
    }
}
