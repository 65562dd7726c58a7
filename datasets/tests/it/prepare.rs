//! Steps, joins, groups, splits and the digest.

use athanor_datasets::{PreparedTable, plan_schema, prepare};
use athanor_protocol::{
    Code,
    recipe::{
        Aggregate, AggregateFunction as A, FillWith, JoinHow, OnCastError, PreparePlan, SortKey, SplitSpec, Step,
    },
    table::{DataSource, DataType},
};

use crate::support::{Folder, derive, filter, halves, no_split, plan, run, select, shape, train_rows};

const TABLE: &str = "k,v,t\nb,1,x\na,2,\nb,3,y\nc,,x\na,2,\n";

/// Steps over one small table: rows in order, or the error.
fn check(steps: impl IntoIterator<Item = Step>, expect: Result<&[&str], &str>) {
    let folder = Folder::new();
    let source = folder.write("t.csv", TABLE);
    let found = run(&source, steps);
    match (found, expect) {
        (Ok(prepared), Ok(expect)) => assert_eq!(train_rows(&prepared), expect),
        (Err(err), Err(expect)) => assert_eq!(err.to_string(), expect),
        (found, expect) => panic!("{:?} where {expect:?} was expected", found.map(|p| train_rows(&p))),
    }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn fill(columns: &[&str], with: FillWith) -> Step {
    Step::Fill { columns: strings(columns), with }
}

fn cast(columns: &[&str], to: DataType, on_error: OnCastError) -> Step {
    Step::Cast { columns: strings(columns), to, on_error }
}

fn sort(keys: &[(&str, bool)]) -> Step {
    let key = |&(column, descending): &(&str, bool)| SortKey { column: column.to_owned(), descending };
    Step::Sort { by: keys.iter().map(key).collect() }
}

#[test]
fn each_step() {
    check([select(&["v", "k"])], Ok(&["1|b", "2|a", "3|b", "-|c", "2|a"]));
    check([Step::Select { columns: strings(&["v"]), drop: true }], Ok(&["b|x", "a|-", "b|y", "c|x", "a|-"]));
    check([filter("v >= 2 AND t IS NULL")], Ok(&["a|2|-", "a|2|-"]));
    check([Step::Deduplicate { columns: vec![] }], Ok(&["b|1|x", "a|2|-", "b|3|y", "c|-|x"]));
    check([Step::Deduplicate { columns: strings(&["k"]) }], Ok(&["b|1|x", "a|2|-", "c|-|x"]));
    check([sort(&[("k", false)])], Ok(&["a|2|-", "a|2|-", "b|1|x", "b|3|y", "c|-|x"]));
    check([sort(&[("v", true), ("k", false)])], Ok(&["b|3|y", "a|2|-", "a|2|-", "b|1|x", "c|-|x"]));
    check([derive("v", "v * 2"), select(&["v"])], Ok(&["2", "4", "6", "-", "4"]));
    check(
        [cast(&["v"], DataType::Text, OnCastError::Fail), derive("v", "v || '!'"), select(&["v"])],
        Ok(&["1!", "2!", "3!", "-", "2!"]),
    );
    check([fill(&["v"], FillWith::Number(9.0)), select(&["v"])], Ok(&["1", "2", "3", "9", "2"]));
    check([fill(&["v"], FillWith::Median), select(&["v"])], Ok(&["1", "2", "3", "2", "2"]));
    check([fill(&[], FillWith::Mode)], Ok(&["b|1|x", "a|2|x", "b|3|y", "c|2|x", "a|2|x"]));
    check([fill(&["t"], FillWith::Text("?".into()))], Ok(&["b|1|x", "a|2|?", "b|3|y", "c|-|x", "a|2|?"]));
}

#[test]
fn errors_name_node_step_and_column() {
    check([select(&["kk"])], Err("node \"n1\" (select): there is no column \"kk\" (did you mean \"k\"?)"));
    check([select(&[])], Err("node \"n1\" (select): no column is left"));
    check([select(&["k", "k"])], Err("node \"n1\" (select): column \"k\": it is named twice"));
    check(
        [sort(&[("k", false)]), sort(&[("z", false)])],
        Err("node \"n2\" (sort): there is no column \"z\" (did you mean \"k\" or \"t\" or \"v\"?)"),
    );
    check(
        [cast(&["k"], DataType::Int, OnCastError::Fail)],
        Err("node \"n1\" (cast): column \"k\": the value \"b\" in row 1 can't become int (and 4 more)"),
    );
    check(
        [fill(&["k"], FillWith::Mean)],
        Err("node \"n1\" (fill): column \"k\": the mean can't fill a column of type text"),
    );
    check([filter("v > 100")], Err("there are no rows to split"));
    check(
        [fill(&["v"], FillWith::Mean), sort(&[("v", false)])],
        Err(
            "node \"n2\" (sort): it changes which rows there are, after node \"n1\" (fill) has learned from the training rows",
        ),
    );
    check(
        [fill(&["v"], FillWith::Mean), filter("v > 100")],
        Err("node \"n2\" (filter): no training rows are left after it"),
    );
    let sample = |n_rows, fraction| Step::Sample { n_rows, fraction, seed: 0 };
    check([sample(None, None)], Err("node \"n1\" (sample): neither a number nor a share of rows is set"));
    check([sample(None, Some(f64::NAN))], Err("node \"n1\" (sample): the share of rows is NaN, not between 0 and 1"));
}

#[test]
fn casts() {
    fn check(text: &str, to: DataType, on_error: OnCastError, expect: Result<&[&str], &str>) {
        let folder = Folder::new();
        let source = folder.write("t.csv", text);
        let found = run(&source, [cast(&["x"], to, on_error)]).map(|prepared| train_rows(&prepared));
        let found = found.map_err(|err| err.to_string().replace("node \"n1\" (cast): column \"x\": ", ""));
        assert_eq!(found, expect.map(strings).map_err(str::to_owned));
    }
    use DataType::{Bool, Date, Datetime, Float, Int, Text};
    let (fail, missing) = (OnCastError::Fail, OnCastError::Missing);
    check("x\n1.0\n2.5\n", Int, missing, Ok(&["1", "-"]));
    check("x\n1.0\n2.5\n", Int, fail, Err("the value \"2.5\" in row 2 can't become int"));
    check("x\n 7 \nseven\n8.0\n", Int, missing, Ok(&["7", "-", "8"]));
    check("x\nyes\nNo\n?\n", Bool, missing, Ok(&["true", "false", "-"]));
    check("x\n0\n1\n2\n", Bool, missing, Ok(&["false", "true", "-"]));
    check("x\ntrue\nfalse\n", Float, fail, Ok(&["1", "0"]));
    check("x\n2024-01-01\n", Text, fail, Ok(&["2024-01-01"]));
    check("x\n2024-01-01T10:00\n", Date, fail, Ok(&["1704067200000000"]));
    check("x\n1970-01-02\n", Int, fail, Ok(&["86400"]));
    check("x\n86400\n", Datetime, fail, Ok(&["86400000000"]));
    check(
        "x\n1e300\n",
        Datetime,
        fail,
        Err("the value \"1000000000000000000000000000000000000000…\" in row 1 can't become datetime"),
    );
    check("x\n2024-01-01\nthen\n", Date, fail, Err("the value \"then\" in row 2 can't become date"));
    check("x\n1.5\n2\n", Text, fail, Ok(&["1.5", "2"]));
    check("x\ntrue\n", Date, fail, Err("a value of type bool can't become date"));
}

#[test]
fn joins() {
    let folder = Folder::new();
    let left = folder.write("l.csv", "k,v\nb,1\na,2\nz,3\nb,4\n,5\n");
    let right = folder.write("r.csv", "key,v,w\na,10,A\nb,20,B\nb,21,BB\nq,30,Q\n,40,N\n");
    let check = |how, expect: &[&str]| {
        let join = Step::Join { right: Box::new(plan(&right, [])), on: vec![("k".into(), "key".into())], how };
        let prepared = run(&left, [join.clone()]).unwrap();
        assert_eq!(train_rows(&prepared), expect, "{how:?}");
        assert_eq!(*prepared.train.schema(), plan_schema(&plan(&left, [join])).unwrap());
        assert_eq!(prepared.sources.len(), 2);
        assert_eq!(prepared.sources[1].name, "r.csv");
        assert_eq!(prepared.recipe.input, prepared.recipe.output);
    };
    check(JoinHow::Inner, &["b|1|20|B", "b|1|21|BB", "a|2|10|A", "b|4|20|B", "b|4|21|BB"]);
    check(JoinHow::Left, &["b|1|20|B", "b|1|21|BB", "a|2|10|A", "z|3|-|-", "b|4|20|B", "b|4|21|BB", "-|5|-|-"]);
    check(JoinHow::Semi, &["b|1", "a|2", "b|4"]);
    check(JoinHow::Anti, &["z|3", "-|5"]);
    check(
        JoinHow::Full,
        &["b|1|20|B", "b|1|21|BB", "a|2|10|A", "z|3|-|-", "b|4|20|B", "b|4|21|BB", "-|5|-|-", "q|-|30|Q", "-|-|40|N"],
    );
    let on = vec![("v".into(), "key".into())];
    let err = run(&left, [Step::Join { right: Box::new(plan(&right, [])), on, how: JoinHow::Left }]).unwrap_err();
    assert!(err.to_string().contains("it is of type int here and \"key\" is of type text in the other table"), "{err}");
    let on = vec![("k".into(), "key".into())];
    let learns = plan(&right, [fill(&["v"], FillWith::Mean)]);
    let err = run(&left, [Step::Join { right: Box::new(learns), on, how: JoinHow::Left }]).unwrap_err();
    assert!(err.to_string().contains("a joined table can't learn a filling"), "{err}");
}

#[test]
fn groups_come_in_order_of_first_occurrence() {
    let folder = Folder::new();
    let source = folder.write("t.csv", TABLE);
    let functions = [A::Count, A::Sum, A::Mean, A::Median, A::Min, A::Max, A::Std, A::Distinct, A::First, A::Last];
    let aggregates =
        functions.map(|function| Aggregate { column: "v".into(), function, name: format!("{function:?}") });
    let group = Step::Group { by: vec!["k".into()], aggregates: aggregates.to_vec() };
    let prepared = run(&source, [group, derive("Twice", "\"Sum\" * 2")]).unwrap();
    assert_eq!(
        train_rows(&prepared),
        ["b|2|4|2|2|1|3|1.4142135623730951|2|1|3|8", "a|2|4|2|2|2|2|0|1|2|2|8", "c|1|0|-|-|-|-|-|0|-|-|0",]
    );
    // After a step that reshapes, the recipe begins anew.
    assert_eq!(shape(&prepared.recipe.input).split(' ').count(), 11);
    assert_eq!(prepared.recipe.steps.len(), 1);
    let planned = plan(&source, []);
    assert_eq!(shape(&plan_schema(&planned).unwrap()), "k:text v:int t:text");
}

#[test]
fn raw_training_rows_are_those_before_the_recipe() {
    let folder = Folder::new();
    let source = folder.write("t.csv", "id,x,y\n1,10,a\n2,20,b\n3,,c\n4,40,d\n5,50,e\n");
    let steps = [
        filter("id <> 2"),
        derive("x", "x / 10"),
        sort(&[("id", true)]),
        fill(&["x"], FillWith::Number(7.0)),
        Step::Sample { n_rows: Some(3), fraction: None, seed: 1 },
        select(&["x"]),
    ];
    let prepared = run(&source, steps).unwrap();
    let raw = crate::support::rows(&prepared.raw_train.frame(&[]).unwrap());
    let done = train_rows(&prepared);
    assert_eq!(shape(&prepared.recipe.input), "x:int");
    assert_eq!(raw.len(), 3);
    for (raw, done) in raw.iter().zip(&done) {
        let expect = if raw == "-" { "7".to_owned() } else { raw[..1].to_owned() };
        assert_eq!(*done, expect);
    }
}

fn cars(folder: &Folder, n: usize) -> DataSource {
    let mut text = "id,kg,class\n".to_owned();
    for i in 0..n {
        text.push_str(&format!("{i},{}.{},{}\n", i * 37 % 1000, i % 10, ["a", "b", "c"][i % 3]));
    }
    folder.write("cars.csv", text)
}

#[test]
fn the_same_bytes_plan_and_seed_give_the_same_digest() {
    let folder = Folder::new();
    let source = cars(&folder, 3000);
    let steps = || [filter("kg > 100"), derive("log", "LN(kg)"), fill(&["log"], FillWith::Mean)];
    let split = |seed| SplitSpec::Random { valid: 0.2, test: 0.2, stratify: Some("class".into()), seed };
    let go = |source: &DataSource, seed| prepare(&plan(source, steps()), &split(seed), &|| false).unwrap();
    let first = go(&source, 1);
    assert_eq!(go(&source, 1).digest, first.digest);
    assert_ne!(go(&source, 2).digest, first.digest);
    // The same rows in Parquet, in several row groups or one, are the same rows.
    run(&source, []).unwrap().train.write(&folder.path("cars.parquet")).unwrap();
    let parquet = go(&folder.source("cars.parquet"), 1);
    assert_eq!(parquet.digest, first.digest);
    assert_ne!(parquet.sources[0].digest, first.sources[0].digest);
    assert_eq!(first.sources[0].n_rows, (first.train.n_rows() + first.valid.n_rows() + first.test.n_rows()) as u64);
    let total = first.sources[0].n_rows as usize;
    assert!(first.train.n_rows().abs_diff(total * 6 / 10) <= 3, "{}", first.train.n_rows());
}

#[test]
fn folds_cover_every_row_once() {
    let folder = Folder::new();
    let source = cars(&folder, 100);
    let mut seen: Vec<String> = Vec::new();
    for fold in 0..4 {
        let split = SplitSpec::KFold { n_folds: 4, fold, valid: 0.2, stratify: Some("class".into()), seed: 3 };
        let prepared = prepare(&plan(&source, [select(&["id"])]), &split, &|| false);
        // The column to stratify by must still be there.
        assert!(prepared.unwrap_err().to_string().starts_with("there is no column \"class\""));
        let prepared = prepare(&plan(&source, []), &split, &|| false).unwrap();
        assert_eq!(prepared.test.n_rows(), 25);
        seen.extend(crate::support::rows(&prepared.test.frame(&["id"]).unwrap()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 100);
}

#[test]
fn one_class_and_single_row_classes_can_be_stratified() {
    let folder = Folder::new();
    let one = folder.write("one.csv", "x,y\n1,a\n2,a\n3,a\n4,a\n");
    let split = SplitSpec::Random { valid: 0.0, test: 0.5, stratify: Some("y".into()), seed: 0 };
    assert_eq!(prepare(&plan(&one, []), &split, &|| false).unwrap().test.n_rows(), 2);
    let rare = folder.write("rare.csv", "x,y\n1,a\n2,b\n3,a\n4,\n");
    let prepared = prepare(&plan(&rare, []), &split, &|| false).unwrap();
    let train = train_rows(&prepared);
    assert!(train.contains(&"2|b".to_owned()) && train.contains(&"4|-".to_owned()), "{train:?}");
}

#[test]
fn stopping_is_obeyed_between_steps() {
    let folder = Folder::new();
    let source = cars(&folder, 50);
    let steps = [sort(&[("kg", false)]), Step::Deduplicate { columns: vec![] }, fill(&["kg"], FillWith::Mean)];
    let plan = plan(&source, steps);
    let calls = std::cell::Cell::new(0);
    let count = || {
        calls.set(calls.get() + 1);
        false
    };
    prepare(&plan, &no_split(), &count).unwrap();
    let n = calls.get();
    assert!(n >= 6, "{n}");
    for stop_at in 1..=n {
        let calls = std::cell::Cell::new(0);
        let stop = || {
            calls.set(calls.get() + 1);
            calls.get() >= stop_at
        };
        assert_eq!(prepare(&plan, &no_split(), &stop).unwrap_err().code(), Code::Cancelled);
    }
}

#[test]
fn prepared_tables_go_through_a_file() {
    let folder = Folder::new();
    let text = "i,f,b,s,d,t\n1,1.5,true,ä,2024-01-01,2024-01-01T10:00:00.000001\n,,,,,\n-3,inf,false,\"x\ny\",0001-01-01,1969-12-31T23:59:59\n";
    let prepared = run(&folder.write("t.csv", text), []).unwrap();
    let path = folder.path("out.parquet");
    prepared.train.write(&path).unwrap();
    let first = std::fs::read(&path).unwrap();
    prepared.train.write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    let back = PreparedTable::read(&path).unwrap();
    assert_eq!(back.schema(), prepared.train.schema());
    assert_eq!(train_rows(&prepared), crate::support::rows(&back.frame(&[]).unwrap()));
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 2);
    let err = prepared.train.write(&folder.path("no/such/folder.parquet")).unwrap_err();
    assert_eq!(err.code(), Code::NotFound);
    let err = back.frame(&["ff"]).unwrap_err();
    assert!(err.to_string().starts_with("there is no column \"ff\""), "{err}");
}

#[test]
fn plans_that_are_too_large_are_refused() {
    let folder = Folder::new();
    let source = cars(&folder, 5);
    let many = plan(&source, (0..1001).map(|_| sort(&[("id", false)])));
    assert_eq!(plan_schema(&many).unwrap_err().code(), Code::TooLarge);
    let mut deep = plan(&source, []);
    for _ in 0..40 {
        let on = vec![("id".into(), "id".into())];
        deep = plan(&source, [Step::Join { right: Box::new(deep), on, how: JoinHow::Semi }]);
    }
    assert_eq!(plan_schema(&deep).unwrap_err().code(), Code::TooLarge);
    let missing = PreparePlan { source: folder.source("none.csv"), steps: vec![] };
    assert_eq!(prepare(&missing, &halves(0), &|| false).unwrap_err().code(), Code::NotFound);
}
