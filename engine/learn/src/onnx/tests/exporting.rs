#![allow(clippy::unwrap_used)]
//! Exported graphs: their structure, and what they answer in the pure-Rust runtime.

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, TrainSpec},
    package::{FinalMetric, Lineage},
    recipe::{FillValue, FittedRecipe, FittedStep, OnCastError},
    table::{ColumnSchema, DataType, TableSchema},
};
use prost::Message;

use super::super::{
    About, Exported, export,
    proto::{ModelProto, Side, elem},
};
use crate::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    model::{ConstantModel, TrainedModel},
    package::{Package, RunPackage, package_run},
    predictor::Predictor,
    samples::Targets,
    statistics,
    trees::{Forest, Link, MISSING_GOES_LEFT, Tree, ZERO_IS_MISSING},
};

const ABOUT: About<'_> =
    About { model: "people", version: 3, package_sha256: "00", intended_use: "tests", athanor_version: "0.1.0" };

fn texts(values: &[&str]) -> ColumnData {
    ColumnData::Text(values.iter().map(|&text| (!text.is_empty()).then(|| text.into())).collect())
}

/// Every type of column; gaps in `age`, `city` and `member`.
fn raw() -> Frame {
    let column = |name: &str, data: ColumnData| Column { name: name.into(), data };
    let days = [0, 1, 5, 900].map(|day| Some(day * 86_400_000_000)).to_vec();
    Frame::new(vec![
        column("age", ColumnData::Int(vec![Some(3), None, Some(40), Some(41)])),
        column("size", ColumnData::Float(vec![0.5, 2.5, -1.0, 9.0])),
        column("city", texts(&["Ulm", "", "Köln", "Ulm"])),
        column("member", ColumnData::Bool(vec![Some(true), None, Some(false), Some(true)])),
        column("rooms", ColumnData::Int(vec![Some(1), Some(2), Some(1), Some(3)])),
        column("joined", ColumnData::Datetime(days)),
        column("plan", texts(&["a", "b", "a", "b"])),
    ])
    .unwrap()
}

fn recipe(steps: Vec<FittedStep>, output: &[(&str, DataType)]) -> FittedRecipe {
    let schema = |columns: &[(&str, DataType)]| TableSchema {
        columns: columns.iter().map(|&(name, dtype)| ColumnSchema { name: name.to_owned(), dtype }).collect(),
    };
    let input = [
        ("age", DataType::Int),
        ("size", DataType::Float),
        ("city", DataType::Text),
        ("member", DataType::Bool),
        ("rooms", DataType::Int),
        ("joined", DataType::Date),
        ("plan", DataType::Text),
    ];
    let output = if output.is_empty() { &input[..] } else { output };
    FittedRecipe { version: 1, input: schema(&input), steps, output: schema(output) }
}

/// Packs a model over `prepared` rows and exports it; `prepare` replays the recipe.
fn exported(
    recipe: &FittedRecipe,
    prepared: &Frame,
    options: EncodeOptions,
    model: impl Fn(&FittedEncoder) -> TrainedModel,
    prepare: &dyn Fn(&Frame) -> Frame,
) -> Result<Exported, LearnError> {
    let (encoder, _) = FittedEncoder::fit(prepared, "plan", &[], TaskChoice::Auto, options)?;
    let model = model(&encoder);
    let signature = crate::package::signature(
        &encoder,
        recipe,
        &athanor_protocol::package::Statistics { version: 1, inputs: vec![], predictions: vec![] },
    );
    let predictor = Predictor::new(signature, recipe.clone(), encoder.clone(), model.clone())?;
    let outputs = predictor.predict(prepared)?;
    let bytes = package_run(RunPackage {
        model: &model,
        encoder: &encoder,
        recipe,
        statistics: &statistics::collect(&raw(), &recipe.input, &outputs)?,
        lineage: lineage(),
        metrics: Vec::<FinalMetric>::new(),
        created_at_millis: 0,
        athanor_version: "0.1.0",
    })?;
    export(&Package::read(bytes)?, &ABOUT, &|frame| Ok(prepare(frame)))
}

fn lineage() -> Lineage {
    let train = TrainSpec {
        learner: LearnerSpec::Constant,
        target: "plan".to_owned(),
        features: vec![],
        seed: 1,
        device: "cpu".to_owned(),
        dtype: FloatType::F32,
        threads: 1,
    };
    Lineage {
        run_id: String::new(),
        workflow: "a test".to_owned(),
        workflow_digest: String::new(),
        datasets: vec![],
        versions: vec![],
        train: Some(train),
    }
}

fn constant(encoder: &FittedEncoder) -> TrainedModel {
    let targets = Targets::Class { labels: vec![0, 1, 1, 1], n_classes: 2 };
    TrainedModel::Constant(ConstantModel::fit(encoder.n_features(), &targets).unwrap())
}

/// One tree for each feature, all of which take part: what a feature is decides the answer.
fn trees(encoder: &FittedEncoder) -> TrainedModel {
    let missing = [0, MISSING_GOES_LEFT, ZERO_IS_MISSING, MISSING_GOES_LEFT | ZERO_IS_MISSING];
    let trees = (0..encoder.n_features()).map(|feature| Tree {
        feature: vec![feature as u32],
        threshold: vec![0.5],
        missing: vec![missing[feature % 4]],
        left: vec![-1],
        right: vec![-2],
        leaves: vec![0.01 * (1 << (feature % 10)) as f64, -0.02],
    });
    let forest = Forest::new(encoder.n_features() as u32, Link::Logistic, vec![0.1], trees.collect()).unwrap();
    TrainedModel::Trees(forest)
}

fn decoded(exported: &Exported) -> ModelProto {
    ModelProto::decode(exported.bytes.as_slice()).unwrap()
}

#[test]
fn each_type_of_column_has_its_tensor_and_its_missing_value() {
    let recipe = recipe(vec![], &[]);
    let exported = exported(&recipe, &raw(), EncodeOptions::default(), constant, &Frame::clone).unwrap();
    let found: Vec<(&str, &str, Option<&str>)> =
        exported.inputs.iter().map(|input| (&*input.name, input.tensor, input.missing.as_deref())).collect();
    let least = i64::MIN.to_string();
    let expect = [
        ("age", "double", Some("NaN")),
        ("size", "double", Some("NaN")),
        ("city", "string", Some("")),
        ("member", "double", Some("NaN")),
        ("rooms", "int64", None),
        ("joined", "int64", Some(least.as_str())),
    ];
    assert_eq!(found, expect);
    assert_eq!(exported.outputs, ["label", "probabilities"]);
    let model = decoded(&exported);
    let graph = model.graph.unwrap();
    let elems: Vec<i32> =
        graph.input.iter().map(|input| input.r#type.clone().unwrap().tensor_type.unwrap().elem_type).collect();
    assert_eq!(elems, [elem::DOUBLE, elem::DOUBLE, elem::STRING, elem::DOUBLE, elem::INT64, elem::INT64]);
    for input in &graph.input {
        let shape = input.r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
        let sides: Vec<_> = shape.dim.into_iter().map(|side| side.value.unwrap()).collect();
        assert_eq!(sides, [Side::Named("N".to_owned()), Side::Fixed(1)]);
    }
    let keys: Vec<&str> = model.metadata_props.iter().map(|entry| entry.key.as_str()).collect();
    let expect = ["athanor_version", "classes", "inputs", "model", "package_sha256", "signature", "intended_use"];
    assert_eq!(keys, expect);
    assert_eq!((model.ir_version, model.opset_import[0].version, model.opset_import[1].version), (8, 17, 3));
}

#[test]
fn a_graph_is_in_order_and_every_name_is_made_once() {
    let recipe = recipe(vec![], &[]);
    for model in [constant, trees] {
        let exported = exported(&recipe, &raw(), EncodeOptions::default(), model, &Frame::clone).unwrap();
        let graph = decoded(&exported).graph.unwrap();
        let mut known: std::collections::BTreeSet<String> =
            graph.input.iter().map(|input| input.name.clone()).collect();
        for constant in &graph.initializer {
            assert!(known.insert(constant.name.clone()), "{} is there twice", constant.name);
        }
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(input)), "{node:?} uses what is not made yet");
            assert!(node.output.iter().all(|output| known.insert(output.clone())), "{node:?} makes it again");
        }
        assert!(graph.output.iter().all(|output| known.contains(&output.name)));
    }
}

#[test]
fn equal_packages_give_equal_bytes() {
    let recipe = recipe(vec![], &[]);
    let once = || exported(&recipe, &raw(), EncodeOptions::default(), trees, &Frame::clone).unwrap().bytes;
    assert_eq!(once(), once());
}

#[test]
fn the_runtime_gives_the_packages_answers_for_every_encoding() {
    let recipe = recipe(vec![], &[]);
    let trees_options = EncodeOptions::for_learner(&LearnerSpec::Trees {
        trees: athanor_protocol::learner::TreesConfig {
            n_rounds: 1,
            learning_rate: 0.1,
            n_leaves: 2,
            min_rows_in_leaf: 1,
            feature_fraction: 1.0,
            bagging_fraction: 1.0,
            l2: 0.0,
            patience: None,
        },
    });
    let ordinal = EncodeOptions { ordinal_above: Some(1), ..trees_options };
    let cut = EncodeOptions { max_categories: 1, ..EncodeOptions::default() };
    for options in [EncodeOptions::default(), cut, trees_options, ordinal] {
        let exported = exported(&recipe, &raw(), options, trees, &Frame::clone).unwrap();
        assert!(exported.check.checked, "{options:?}: {:?}", exported.check);
        assert_eq!(exported.check.checked_rows, 64);
        assert!(exported.check.max_abs_difference.unwrap() < 1e-6, "{:?}", exported.check);
    }
}

#[test]
fn steps_are_replayed_in_the_graph() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let steps = vec![
        FittedStep::Fill {
            values: vec![
                ("age".to_owned(), FillValue::Int(7)),
                ("city".to_owned(), FillValue::Text("Ulm".to_owned())),
                ("member".to_owned(), FillValue::Bool(true)),
            ],
        },
        FittedStep::Cast { columns: names(&["rooms"]), to: DataType::Text, on_error: OnCastError::Fail },
        FittedStep::Cast { columns: names(&["member"]), to: DataType::Float, on_error: OnCastError::Missing },
        FittedStep::Derive { column: "half".to_owned(), expression: "size / 2 + ABS(-size) * 10.0".to_owned() },
        FittedStep::Select { columns: names(&["age", "half", "city", "member", "rooms", "plan"]) },
    ];
    let output = [
        ("age", DataType::Int),
        ("half", DataType::Float),
        ("city", DataType::Text),
        ("member", DataType::Float),
        ("rooms", DataType::Text),
        ("plan", DataType::Text),
    ];
    let recipe = recipe(steps, &output);
    // By hand what the tables' crate does: this one does not know it.
    let prepare = |frame: &Frame| {
        let data = |name: &str| frame.column(name).unwrap().data.clone();
        let n_rows = frame.n_rows();
        let age = (0..n_rows).map(|row| match &data("age") {
            ColumnData::Int(values) => values[row].or(Some(7)),
            _ => None,
        });
        let city = (0..n_rows).map(|row| data("city").label(row).or(Some("Ulm".into())));
        let member = (0..n_rows).map(|row| Some(data("member").number(row)).filter(|v| !v.is_nan()).unwrap_or(1.0));
        let half = (0..n_rows).map(|row| data("size").number(row)).map(|size| size / 2.0 + size.abs() * 10.0);
        let mut columns = vec![
            Column { name: "age".into(), data: ColumnData::Int(age.collect()) },
            Column { name: "half".into(), data: ColumnData::Float(half.collect()) },
            Column { name: "city".into(), data: ColumnData::Text(city.collect()) },
            Column { name: "member".into(), data: ColumnData::Float(member.collect()) },
            Column {
                name: "rooms".into(),
                data: ColumnData::Text((0..n_rows).map(|row| data("rooms").label(row)).collect()),
            },
        ];
        columns.extend(frame.column("plan").cloned());
        Frame::new(columns).unwrap()
    };
    let exported = exported(&recipe, &prepare(&raw()), EncodeOptions::default(), trees, &prepare).unwrap();
    assert!(exported.check.checked, "{:?}", exported.check);
    assert!(exported.check.max_abs_difference.unwrap() < 1e-6, "{:?}", exported.check);
    assert_eq!(exported.notes.len(), 1, "{:?}", exported.notes);
    assert!(exported.notes[0].contains("\"rooms\""), "{:?}", exported.notes);
}

#[test]
fn what_onnx_cannot_do_names_the_step_and_the_way_out() {
    let cast = |column: &str, to: DataType| FittedStep::Cast {
        columns: vec![column.to_owned()],
        to,
        on_error: OnCastError::Missing,
    };
    let derive = |expression: &str| FittedStep::Derive { column: "size".to_owned(), expression: expression.to_owned() };
    let cases = [
        (cast("joined", DataType::Text), "the step 'cast' of column \"joined\" from date to text"),
        (derive("UPPER(city)"), "the function \"UPPER\" cannot be computed"),
        (derive("city || 'x'"), "'||' makes new texts"),
        (derive("city < 'x'"), "which text is greater"),
        (derive("city = city"), "two columns of texts"),
        (derive("city LIKE 'U%'"), "LIKE looks into texts"),
        (derive("city + 1"), "it computes with text"),
        (derive("city = 1"), "it compares text with a number"),
        (derive("CASE WHEN size > 1 THEN 'a' ELSE 1 END"), "it chooses between text and a number"),
        (derive("CAST(city AS DOUBLE)"), "CAST of text to numbers"),
        (derive("CAST(size AS VARCHAR)"), "CAST of floats to text"),
        (derive("CAST(rooms AS REAL)"), "CAST to REAL"),
        (derive("CAST(rooms AS INT UNSIGNED)"), "INT UNSIGNED"),
        (derive("size > 1 AND rooms"), "a number is no condition"),
        (derive("(size > 1) * rooms"), "it computes with a truth value"),
        (derive("GREATEST(size * 2, 1)"), "may be computed as NaN"),
        (derive("ROUND(size, 30)"), "not between 0 and 22"),
        (derive("ROUND(size, rooms)"), "not a written number"),
        (derive("TAN(size)"), "64-bit floats"),
        (derive("POW(rooms, rooms)"), "POW of whole numbers"),
        (derive("rooms + 9007199254740993"), "not exact"),
        (derive("2147483647 + 1"), "32-bit whole numbers"),
        (derive("EXTRACT(MONTH FROM joined) * 10000"), "16-bit whole numbers"),
        (derive("EXTRACT(WEEK FROM joined)"), "\"week\" of a date"),
        (derive("joined > 1"), "it compares a date with a number"),
        (derive("joined - joined + 1"), "a duration, which is no number"),
        (derive("rooms IN (size)"), "no literal of its kind"),
        (derive("1e2"), "\"1e2\" is no number"),
        (derive("(size"), "')' is missing"),
        (derive("size size"), "\"size\" cannot stand there"),
        (derive("CASE WHEN size > 1 THEN 1"), "END is missing"),
        (derive("nobody + 1"), "\"nobody\" is no column"),
        (derive("1..2"), "\"1..2\" is no number"),
        (derive("NULL"), "missing in every row"),
        (derive(&format!("{}size{}", "(".repeat(200), ")".repeat(200))), "it is nested too deeply"),
        (derive(&format!("size{}", " IS NULL".repeat(200))), "it is nested too deeply"),
        (derive(&format!("size{}", " + size".repeat(600))), "more than 1000 words"),
        (derive("size --1"), "comments"),
        (derive(""), "it ends too early"),
    ];
    for (step, expect) in cases {
        let mut graph = super::super::graph::Graph::new(["size"].into_iter());
        let inputs =
            [("size", DataType::Float), ("rooms", DataType::Int), ("city", DataType::Text), ("joined", DataType::Date)];
        let mut columns: super::super::recipe::Columns = inputs
            .into_iter()
            .map(|(name, dtype)| {
                let input = athanor_protocol::signature::InputColumn { name: name.to_owned(), dtype, nullable: false };
                (name.to_owned(), super::super::columns::input(&mut graph, &input).unwrap())
            })
            .collect();
        let err = super::super::recipe::apply(&mut graph, &[step], &mut columns, &mut Vec::new()).unwrap_err();
        assert!(matches!(err, LearnError::Unsupported { .. }), "{err}");
        assert!(err.to_string().contains(expect), "{err} has not {expect:?}");
        assert!(err.hint().is_some_and(|hint| !hint.is_empty()), "{err}");
    }
}
