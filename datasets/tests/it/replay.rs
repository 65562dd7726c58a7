//! Replay: the same rows come out as in preparation, and requests that do not fit are refused by name.

use athanor_datasets::{Replay, prepare, restrict};
use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    recipe::{FillWith, OnCastError, SplitSpec, Step},
    table::DataType,
};

use crate::support::{Folder, derive, filter, halves, plan, rows, run, select, shape};

fn frame(columns: Vec<(&str, ColumnData)>) -> Frame {
    Frame::new(columns.into_iter().map(|(name, data)| Column { name: name.into(), data }).collect()).unwrap()
}

fn source(folder: &Folder) -> athanor_protocol::table::DataSource {
    let mut text = "id,size,city,day,y\n".to_owned();
    for i in 0..200 {
        let size = if i % 7 == 0 { String::new() } else { format!("{}.5", i % 23) };
        let city = ["Rome", "", "Oslo"][i % 3];
        text.push_str(&format!("{i},{size},{city},2024-0{}-01,{}\n", i % 9 + 1, i % 2));
    }
    folder.write("t.csv", text)
}

fn steps() -> Vec<Step> {
    vec![
        derive("log_size", "LN(size)"),
        filter("id > 10"),
        Step::Cast { columns: vec!["day".into()], to: DataType::Int, on_error: OnCastError::Fail },
        Step::Fill { columns: vec!["size".into(), "log_size".into()], with: FillWith::Median },
        Step::Fill { columns: vec![], with: FillWith::Mode },
        derive("per_day", "size / day * 1000000000"),
        Step::Select { columns: vec!["id".into()], drop: true },
    ]
}

#[test]
fn replay_gives_exactly_the_prepared_rows() {
    let folder = Folder::new();
    let split = SplitSpec::Random { valid: 0.2, test: 0.2, stratify: Some("y".into()), seed: 5 };
    let prepared = prepare(&plan(&source(&folder), steps()), &split, &|| false).unwrap();
    let replay = Replay::new(&prepared.recipe).unwrap();
    let raw = prepared.raw_train.frame(&[]).unwrap();
    assert_eq!(shape(&prepared.recipe.input), "size:float city:text day:date y:int");
    let whole = replay.apply(&raw).unwrap();
    assert_eq!(whole, prepared.train.frame(&[]).unwrap());
    // Row by row it is the same function.
    for row in [0, 17, 101] {
        let one = raw.columns().iter().map(|column| {
            let data = match &column.data {
                ColumnData::Float(values) => ColumnData::Float(vec![values[row]]),
                ColumnData::Int(values) => ColumnData::Int(vec![values[row]]),
                ColumnData::Bool(values) => ColumnData::Bool(vec![values[row]]),
                ColumnData::Text(values) => ColumnData::Text(vec![values[row].clone()]),
                ColumnData::Datetime(values) => ColumnData::Datetime(vec![values[row]]),
            };
            Column { name: column.name.clone(), data }
        });
        let one = replay.apply(&Frame::new(one.collect()).unwrap()).unwrap();
        assert_eq!(rows(&one)[0], rows(&whole)[row]);
    }
    // And the recipe survives being written down.
    let recipe = serde_json::to_string(&prepared.recipe).unwrap();
    assert_eq!(serde_json::from_str::<athanor_protocol::recipe::FittedRecipe>(&recipe).unwrap(), prepared.recipe);
}

#[test]
fn what_is_learned_is_learned_from_training_rows_alone() {
    let folder = Folder::new();
    let source = folder.write("t.csv", "x,z\n1,a\n,a\n2,a\n100,b\n3,a\n1000,b\n");
    let fill = Step::Fill { columns: vec!["x".into()], with: FillWith::Mean };
    let prepared = prepare(&plan(&source, [fill]), &halves(4), &|| false).unwrap();
    let raw = prepared.raw_train.frame(&["x"]).unwrap();
    let values: Vec<i64> = match &raw.columns()[0].data {
        ColumnData::Int(values) => values.iter().flatten().copied().collect(),
        other => panic!("{other:?}"),
    };
    let mean = (values.iter().sum::<i64>() as f64 / values.len() as f64).round() as i64;
    let text = format!("{:?}", prepared.recipe.steps);
    assert_eq!(text, format!("[Fill {{ values: [(\"x\", Int({mean}))] }}]"));
}

#[test]
fn restrict_keeps_what_outputs_need() {
    let folder = Folder::new();
    let prepared = run(&source(&folder), steps()).unwrap();
    let names = |recipe: &athanor_protocol::recipe::FittedRecipe| {
        (shape(&recipe.input), shape(&recipe.output), recipe.steps.len())
    };
    let only = restrict(&prepared.recipe, &["log_size"]).unwrap();
    assert_eq!(names(&only), ("size:float".into(), "log_size:float".into(), 4));
    let without_target = restrict(&prepared.recipe, &["per_day", "city"]).unwrap();
    assert_eq!(names(&without_target).0, "size:float city:text day:date");
    Replay::new(&without_target).unwrap();
    assert!(restrict(&prepared.recipe, &["nothing"]).unwrap_err().to_string().starts_with("there is no column"));
}

#[test]
fn requests_that_do_not_fit_are_refused_by_column() {
    let folder = Folder::new();
    let source = folder.write("t.csv", "i,f,s,d,b\n1,1.5,x,2024-01-01,true\n");
    let replay = Replay::new(&run(&source, [select(&["i", "f", "s", "d", "b"])]).unwrap().recipe).unwrap();
    let good = || {
        vec![
            ("i", ColumnData::Int(vec![Some(2)])),
            ("f", ColumnData::Float(vec![2.5])),
            ("s", ColumnData::Text(vec![Some("y".into())])),
            ("d", ColumnData::Text(vec![Some("2024-02-29".into())])),
            ("b", ColumnData::Bool(vec![Some(false)])),
            ("more", ColumnData::Int(vec![Some(0)])),
        ]
    };
    let check = |name: &str, data: Option<ColumnData>, expect: &str| {
        let mut columns = good();
        match data {
            Some(data) => columns.iter_mut().find(|(column, _)| *column == name).unwrap().1 = data,
            None => columns.retain(|(column, _)| *column != name),
        }
        let found = replay.apply(&frame(columns)).map(|frame| rows(&frame)[0].clone());
        assert_eq!(found.unwrap_or_else(|err| err.to_string()), expect);
    };
    check("i", Some(ColumnData::Float(vec![3.0])), "3|2.5|y|1709164800000000|false");
    check("i", Some(ColumnData::Float(vec![f64::NAN])), "-|2.5|y|1709164800000000|false");
    check("i", Some(ColumnData::Text(vec![None])), "-|2.5|y|1709164800000000|false");
    check("f", Some(ColumnData::Int(vec![Some(3)])), "2|3|y|1709164800000000|false");
    check("b", Some(ColumnData::Int(vec![Some(1)])), "2|2.5|y|1709164800000000|true");
    check("i", Some(ColumnData::Float(vec![3.5])), "column \"i\": the value \"3.5\" in row 1 can't become int");
    check(
        "i",
        Some(ColumnData::Text(vec![Some("3".into())])),
        "column \"i\": it holds text values where int was expected",
    );
    check("s", Some(ColumnData::Int(vec![Some(3)])), "column \"s\": it holds int values where text was expected");
    check(
        "d",
        Some(ColumnData::Text(vec![Some("soon".into())])),
        "column \"d\": the value \"soon\" in row 1 can't become date",
    );
    check("b", Some(ColumnData::Int(vec![Some(2)])), "column \"b\": the value \"2\" in row 1 can't become bool");
    check("f", None, "column \"f\": it is missing from the rows");
}

#[test]
fn recipes_that_do_not_fit_together_are_refused() {
    use athanor_protocol::recipe::{FillValue, FittedStep};
    let folder = Folder::new();
    let good = run(&folder.write("t.csv", "a,s\n1,x\n"), []).unwrap().recipe;
    let check = |change: &dyn Fn(&mut athanor_protocol::recipe::FittedRecipe), expect: &str| {
        let mut recipe = good.clone();
        change(&mut recipe);
        assert!(Replay::new(&recipe).unwrap_err().to_string().contains(expect));
    };
    check(&|r| r.version = 2, "the recipe is of version 2");
    check(&|r| r.input.columns.clear(), "there is no column");
    check(&|r| r.input.columns.push(r.input.columns[0].clone()), "twice");
    check(&|r| r.steps.push(FittedStep::Select { columns: vec!["zz".into()] }), "there is no column");
    let fill = |value| FittedStep::Fill { values: vec![("a".into(), value)] };
    check(&|r| r.steps.push(fill(FillValue::Text("x".into()))), "can't fill");
    let read = FittedStep::Derive { column: "x".into(), expression: "read_csv('/etc/passwd')".into() };
    check(&|r| r.steps.push(read.clone()), "there is no function");
    check(&|r| r.output.columns[0].dtype = DataType::Text, "comes out as int");
}

#[test]
fn one_row_is_quick_and_rows_may_be_none() {
    let folder = Folder::new();
    let prepared = run(&source(&folder), steps()).unwrap();
    let replay = Replay::new(&prepared.recipe).unwrap();
    let empty = frame(vec![
        ("size", ColumnData::Float(vec![])),
        ("city", ColumnData::Text(vec![])),
        ("day", ColumnData::Datetime(vec![])),
        ("y", ColumnData::Int(vec![])),
    ]);
    assert_eq!(replay.apply(&empty).unwrap().n_rows(), 0);
}
