#![allow(clippy::unwrap_used)]
//! Files that must be refused, one change at a time.

use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
};
use prost::Message;

use super::super::{
    OnnxModel,
    graph::{Graph, int},
    package_onnx,
    proto::{GraphProto, ModelProto, OperatorSetIdProto, Side, StringStringEntryProto, ValueInfoProto, elem},
};
use crate::{package::Package, predictor::Predictor};

/// `y = x w + 1` over two columns.
fn linear() -> ModelProto {
    let mut graph = Graph::new(["x", "y"].into_iter());
    let weights = graph.f32s(&[2, 1], &[2.0, -1.0]);
    let one = graph.f32s(&[1], &[1.0]);
    let product = graph.op("MatMul", &["x", &weights]);
    let sum = graph.op("Add", &[&product, &one]);
    graph.output("y", &sum);
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(GraphProto {
            node: graph.nodes,
            name: "g".to_owned(),
            initializer: graph.constants,
            input: vec![ValueInfoProto::tensor("x", elem::FLOAT, &[None, Some(2)])],
            output: vec![ValueInfoProto::tensor("y", elem::FLOAT, &[None, Some(1)])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn frame(columns: &[(&str, &[f64])]) -> Frame {
    let column =
        |(name, values): &(&str, &[f64])| Column { name: (*name).into(), data: ColumnData::Float(values.to_vec()) };
    Frame::new(columns.iter().map(column).collect()).unwrap()
}

#[test]
fn a_file_answers_for_any_number_of_rows_and_travels_in_a_package() {
    let bytes = linear().encode_to_vec();
    let model = OnnxModel::open(&bytes).unwrap();
    let names: Vec<&str> = model.signature().inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["x_0", "x_1"]);
    let package = Package::read(package_onnx(&bytes, 5, "0.1.0").unwrap()).unwrap();
    let predictor = Predictor::from_package(&package, "cpu").unwrap();
    for n_rows in [0usize, 1, 3, 5_000] {
        let first: Vec<f64> = (0..n_rows).map(|row| row as f64).collect();
        let rows = frame(&[("x_0", &first), ("x_1", &vec![0.5; n_rows])]);
        let outputs = predictor.predict(&rows).unwrap();
        let expect: Vec<f64> = first.iter().map(|first| 2.0 * first - 0.5 + 1.0).collect();
        assert_eq!(outputs.value, Some(expect));
    }
    let err = predictor.predict(&frame(&[("x_0", &[1.0])])).unwrap_err();
    assert!(err.to_string().contains("x_1"), "{err}");
    assert_eq!(package_onnx(&bytes, 5, "0.1.0").unwrap(), package.as_bytes());
}

/// Softmax over two scores, with class names from the metadata.
#[test]
fn class_names_come_from_the_metadata() {
    let mut model = linear();
    let mut graph = Graph::new(["x", "p"].into_iter());
    let weights = graph.f32s(&[2, 2], &[1.0, 0.0, 0.0, 1.0]);
    let scores = graph.op("MatMul", &["x", &weights]);
    let shares = graph.with("Softmax", &[&scores], vec![int("axis", 1)]);
    graph.output("p", &shares);
    model.graph = Some(GraphProto {
        node: graph.nodes,
        initializer: graph.constants,
        input: vec![ValueInfoProto::tensor("x", elem::FLOAT, &[None, Some(2)])],
        output: vec![ValueInfoProto::tensor("p", elem::FLOAT, &[None, Some(2)])],
        ..GraphProto::default()
    });
    let classes =
        |model: &ModelProto| OnnxModel::open(&model.encode_to_vec()).map(|model| model.signature().classes.clone());
    assert_eq!(classes(&model).unwrap(), ["0", "1"]);
    let entry = |value: &str| vec![StringStringEntryProto { key: "classes".to_owned(), value: value.to_owned() }];
    model.metadata_props = entry("[\"no\",\"yes\"]");
    assert_eq!(classes(&model).unwrap(), ["no", "yes"]);
    let outputs = OnnxModel::open(&model.encode_to_vec()).unwrap().predict(&frame(&[("x_0", &[0.0]), ("x_1", &[9.0])]));
    assert!(outputs.unwrap().probabilities.unwrap()[1] > 0.99);
    for wrong in ["[\"no\"]", "[\"no\",\"no\"]", "[\"a\",\"b\",\"c\"]"] {
        model.metadata_props = entry(wrong);
        assert!(classes(&model).is_err(), "{wrong}");
    }
}

#[test]
fn every_spoiled_file_is_refused_with_its_reason() {
    type Change = fn(&mut ModelProto);
    fn graph(model: &mut ModelProto) -> &mut GraphProto {
        model.graph.as_mut().unwrap()
    }
    let cases: &[(&str, Change, Code, &str)] = &[
        ("no graph", |m| m.graph = None, Code::Corrupt, "it has no graph"),
        ("version", |m| m.ir_version = 99, Code::Unsupported, "its format version 99"),
        ("opset", |m| m.opset_import[0].version = 99, Code::Unsupported, "its operators are of version 99"),
        ("no opset", |m| m.opset_import.clear(), Code::Corrupt, "which version its operators are of"),
        ("domain", |m| m.opset_import[0].domain = "com.x".to_owned(), Code::Unsupported, "the domain \"com.x\""),
        ("functions", |m| m.functions.push(vec![1]), Code::Unsupported, "it holds functions"),
        ("training", |m| m.training_info.push(vec![1]), Code::Unsupported, "it holds functions or training"),
        ("no nodes", |m| graph(m).node.clear(), Code::Corrupt, "its graph is empty"),
        ("operator", |m| graph(m).node[0].op_type = "Loop".to_owned(), Code::Unsupported, "the operator \"Loop\""),
        ("sparse", |m| graph(m).sparse_initializer.push(vec![]), Code::Unsupported, "it holds sparse tensors"),
        ("negative", |m| graph(m).initializer[0].dims[0] = -2, Code::Corrupt, "has the side -2"),
        ("giant", |m| graph(m).initializer[0].dims[0] = i64::MAX, Code::TooLarge, "at most 67108864 are allowed"),
        ("overflow", |m| graph(m).initializer[0].dims = vec![1 << 40; 4], Code::TooLarge, "at most 67108864"),
        ("short", |m| graph(m).initializer[0].dims[0] = 3, Code::Corrupt, "does not hold the 3 values"),
        ("type", |m| graph(m).initializer[0].data_type = 16, Code::Unsupported, "is of the type 16 of ONNX"),
        ("raw text", |m| graph(m).initializer[0].data_type = elem::STRING, Code::Corrupt, "does not hold the 2 values"),
        ("elsewhere", |m| graph(m).initializer[0].data_location = 1, Code::Unsupported, "are in another file"),
        (
            "path",
            |m| {
                let (key, value) = ("location".to_owned(), "../../x".to_owned());
                graph(m).initializer[0].external_data.push(StringStringEntryProto { key, value });
            },
            Code::Unsupported,
            "are in another file",
        ),
        ("itself", |m| graph(m).node[0].input[0] = graph(m).node[0].output[0].clone(), Code::Corrupt, "or by itself"),
        ("backwards", |m| graph(m).node.reverse(), Code::Corrupt, "is used before it is made"),
        ("again", |m| graph(m).node[1].output[0] = graph(m).node[0].output[0].clone(), Code::Corrupt, "made twice"),
        ("nowhere", |m| graph(m).output[0].name = "z".to_owned(), Code::Corrupt, "no node makes the output \"z\""),
        ("no type", |m| graph(m).input[0].r#type = None, Code::Corrupt, "\"x\" has no type"),
        (
            "sequence",
            |m| graph(m).output[0].r#type.as_mut().unwrap().sequence_type = Some(vec![]),
            Code::Unsupported,
            "list",
        ),
        (
            "fixed",
            |m| {
                let kind = graph(m).input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
                kind.shape.as_mut().unwrap().dim[0].value = Some(Side::Fixed(1));
            },
            Code::Unsupported,
            "does not take any number of rows",
        ),
        (
            "window",
            |m| graph(m).node[0].attribute.push(super::super::graph::ints("pads", vec![i64::MAX])),
            Code::Corrupt,
            "is not between 0 and 65536",
        ),
        ("other width", |m| graph(m).initializer[0].dims = vec![1, 2], Code::Unsupported, "the file cannot be run"),
        ("control", |m| graph(m).input[0].name = "x\u{1}".to_owned(), Code::Corrupt, "name"),
    ];
    assert!(OnnxModel::open(&linear().encode_to_vec()).is_ok());
    for (name, change, code, expect) in cases {
        let mut model = linear();
        change(&mut model);
        let bytes = model.encode_to_vec();
        let err = OnnxModel::open(&bytes).expect_err(name);
        assert_eq!(err.code(), *code, "{name}: {err}");
        assert!(err.to_string().contains(expect), "{name}: {err} has not {expect:?}");
        assert!(package_onnx(&bytes, 0, "0.1.0").is_err(), "{name}");
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_refused_or_answers_without_a_panic() {
    let bytes = linear().encode_to_vec();
    for n_bytes in 0..bytes.len() {
        // A cut between two fields leaves a smaller message, which may be whole; it never panics.
        let _ = OnnxModel::open(&bytes[..n_bytes]);
    }
    for at in 0..bytes.len() {
        for change in [0xff, 0x80, 0x01] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let _ = OnnxModel::open(&changed);
        }
    }
}

#[test]
fn other_files_are_told_by_their_content() {
    for (bytes, expect) in [
        (&b"\x80\x04\x95pickle."[..], "pickle"),
        (b"PK\x03\x04zip", "zip"),
        (b"\x93NUMPY", "NumPy"),
        (b"", "the file is empty"),
        (b"not a model", "protobuf"),
        (b"\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "protobuf"),
        (b"\x08\x08\x3a\x7f", "ends too early"),
    ] {
        let err = OnnxModel::open(bytes).unwrap_err().to_string();
        assert!(err.contains(expect), "{bytes:?}: {err}");
    }
}

#[test]
fn what_a_few_bytes_would_blow_up_is_counted_first() {
    let with_length = |tag: u8, body: &[u8]| {
        let mut bytes = vec![tag];
        let mut n = body.len();
        while n > 127 {
            bytes.push((n & 127) as u8 | 128);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes.extend_from_slice(body);
        bytes
    };
    let mut nodes = vec![0x08, 0x08];
    nodes.extend(with_length(0x3a, &[0x0a, 0x00].repeat(1_000_000)));
    assert!(OnnxModel::open(&nodes).unwrap_err().to_string().contains("more than 10000 nodes"));
    let mut entries = vec![0x08, 0x08];
    entries.extend([0x72, 0x00].repeat(600_000));
    assert!(OnnxModel::open(&entries).unwrap_err().to_string().contains("more than 500000 messages"));
}
