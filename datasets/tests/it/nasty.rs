//! Every step meets every nasty table: a value or an error, never a panic.

use athanor_datasets::{DescribeOptions, Replay, open, plan_schema, prepare};
use athanor_protocol::{
    Code,
    recipe::{Aggregate, AggregateFunction as A, FillWith, JoinHow, OnCastError, SortKey, SplitSpec, Step},
    table::{DataSource, DataType},
};

use crate::support::{Folder, derive, filter, halves, plan, select};

/// Tables whose first column is the one that steps are fed.
fn tables(folder: &Folder) -> Vec<DataSource> {
    let wide = (0..2000).map(|i| format!("w{i}")).collect::<Vec<_>>().join(",");
    let texts: [(&str, String); 20] = [
        ("no_rows", "a,b\n".into()),
        ("one_row", "a,b\n1,x\n".into()),
        ("one_column", "a\n1\n2\n".into()),
        ("one_cell", "a\n1\n".into()),
        ("all_missing", "a,b\n,\n,\n,\n".into()),
        ("one_class", "a,b\n1,x\n1,x\n1,x\n".into()),
        ("non_finite", "a,b\nnan,1\ninf,2\n-inf,3\n1,4\n".into()),
        ("only_nan", "a,b\nnan,1\nnan,2\n".into()),
        ("largest", format!("a,b\n{},1\n{},2\n", i64::MAX, i64::MIN)),
        ("huge_floats", "a,b\n1e308,1\n-1e308,2\n5e-324,3\n".into()),
        ("bools", "a,b\ntrue,1\nfalse,2\n,3\n".into()),
        ("dates", "a,b\n2024-02-29,1\n0001-01-01,2\n9999-12-31,3\n".into()),
        ("times", "a,b\n2024-02-29T01:02:03,1\n,2\n".into()),
        ("texts", "a,b\nx,1\n,2\n\" \",3\n".into()),
        ("odd_names", "\"^a.*$\",\"*\",\"a\"\"b\",\"x\ny\"\n1,2,3,4\n5,6,7,8\n".into()),
        ("controls", "\"\u{1}raw a\",\"\u{1}key0\",a\n1,2,3\n4,5,6\n".into()),
        ("duplicates", "a,a,,\n1,2,3,4\n1,2,3,4\n".into()),
        ("unicode", "ä𝄞,名\n1,e\u{301}\n2,\u{202e}x\n".into()),
        ("wide", format!("{wide}\n{}\n{}\n", vec!["1"; 2000].join(","), vec!["x"; 2000].join(","))),
        ("ragged", "a,b\n1,2\n3\n".into()),
    ];
    texts.iter().map(|(name, text)| folder.write(&format!("{name}.csv"), text)).collect()
}

fn steps(first: &str, source: &DataSource) -> Vec<Step> {
    let quoted = format!("\"{}\"", first.replace('"', "\"\""));
    let names = || vec![first.to_owned()];
    let mut steps = vec![
        select(&[first]),
        Step::Select { columns: names(), drop: true },
        filter(&format!("{quoted} IS NOT NULL")),
        filter(&format!("{quoted} > 1")),
        derive("z", &format!("{quoted} * 2")),
        derive(first, &format!("COALESCE({quoted}, {quoted})")),
        derive("z", &format!("CAST({quoted} AS VARCHAR) || 'x'")),
        derive("z", "1"),
        Step::Deduplicate { columns: vec![] },
        Step::Deduplicate { columns: names() },
        Step::Sort { by: vec![SortKey { column: first.to_owned(), descending: true }] },
        Step::Sample { n_rows: Some(2), fraction: None, seed: 0 },
        Step::Sample { n_rows: None, fraction: Some(0.0), seed: 0 },
        Step::Sample { n_rows: Some(u64::MAX), fraction: None, seed: 0 },
    ];
    for to in [DataType::Bool, DataType::Int, DataType::Float, DataType::Text, DataType::Date, DataType::Datetime] {
        for on_error in [OnCastError::Fail, OnCastError::Missing] {
            steps.push(Step::Cast { columns: names(), to, on_error });
        }
    }
    let text = FillWith::Text("t".to_owned());
    for with in
        [FillWith::Mean, FillWith::Median, FillWith::Mode, FillWith::Number(f64::NAN), FillWith::Number(0.5), text]
    {
        steps.push(Step::Fill { columns: names(), with: with.clone() });
        steps.push(Step::Fill { columns: vec![], with });
    }
    for how in [JoinHow::Inner, JoinHow::Left, JoinHow::Semi, JoinHow::Anti, JoinHow::Full] {
        let on = vec![(first.to_owned(), first.to_owned())];
        steps.push(Step::Join { right: Box::new(plan(source, [])), on, how });
    }
    for function in [A::Count, A::Sum, A::Mean, A::Median, A::Min, A::Max, A::Std, A::Distinct, A::First, A::Last] {
        let aggregates = vec![Aggregate { column: first.to_owned(), function, name: "out".to_owned() }];
        steps.push(Step::Group { by: names(), aggregates });
    }
    steps
}

#[test]
fn every_step_answers_every_nasty_table() {
    let folder = Folder::new();
    let mut n_values = 0;
    let mut broken = Vec::new();
    for source in tables(&folder) {
        let dataset = open(&source).unwrap();
        let first = dataset.schema().columns[0].name.clone();
        for step in steps(&first, &source) {
            let plan = plan(&source, [step.clone()]);
            let planned = plan_schema(&plan);
            let about = format!("{} {step:?}", dataset.name());
            match prepare(&plan, &halves(0), &|| false) {
                Ok(prepared) => {
                    n_values += 1;
                    assert_eq!(planned.as_ref().ok(), Some(prepared.train.schema()), "{about}");
                    // What was fitted replays on its own raw rows to the same rows.
                    let replay = Replay::new(&prepared.recipe).unwrap_or_else(|err| panic!("{about}: {err}"));
                    let again = replay.apply(&prepared.raw_train.frame(&[]).unwrap()).unwrap();
                    let train = prepared.train.frame(&[]).unwrap();
                    assert_eq!(format!("{again:?}"), format!("{train:?}"), "{about}");
                }
                Err(err) if err.code() == Code::Internal => broken.push(format!("{about}: {err}")),
                Err(err) => assert!(!err.to_string().is_empty()),
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(n_values > 400, "{n_values}");
}

#[test]
fn every_nasty_table_is_described_and_split_or_refused() {
    let folder = Folder::new();
    for source in tables(&folder) {
        let dataset = open(&source).unwrap();
        let described = dataset.describe(&DescribeOptions { max_top: 3, n_bins: 5 });
        assert_eq!(described.is_err(), dataset.name() == "ragged.csv", "{described:?}");
        let first = dataset.schema().columns[0].name.clone();
        for n_folds in [2, 3, 1000] {
            let split = SplitSpec::KFold { n_folds, fold: 1, valid: 0.3, stratify: Some(first.clone()), seed: 1 };
            if let Err(err) = prepare(&plan(&source, []), &split, &|| false) {
                assert_ne!(err.code(), Code::Internal, "{err}");
            }
        }
    }
}
