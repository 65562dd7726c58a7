//! A real package behind the endpoint: trained, packaged, signed, verified, served, and the same numbers as without HTTP.

use std::sync::Arc;

use athanor_learn::{
    package::{Package, SigningKey},
    predictor::Outputs,
};
use athanor_protocol::{Code, learner::LearnerSpec};
use athanor_serve::{PackagedModel, Served};
use serde_json::{Value, json};

use crate::{
    house::{House, get, house, post},
    trained::{self, optim},
};

/// A logistic regression.
fn package() -> (Vec<u8>, String, Outputs) {
    trained::package(LearnerSpec::Linear { optim: optim() })
}

pub(crate) fn served_package() -> (House, Outputs) {
    let (bytes, public, outputs) = package();
    let model = PackagedModel::open(bytes, &[public], "cpu").unwrap();
    (house(vec![Served::new("tumours", 1, Arc::new(model)).unwrap()]), outputs)
}

/// The raw rows as a client would write them.
pub(crate) fn rows() -> Vec<Value> {
    let date = |n: u32| if n < 31 { format!("1970-01-{:02}", n + 1) } else { format!("1970-02-{:02}", n - 30) };
    let row = |n: u32| {
        let radius = if n % 10 == 9 { Value::Null } else { json!(f64::from(n) * 0.5) };
        let day = if n == 59 { "1970-03-01".to_owned() } else { date(n) };
        let colour = ["red", "green", "blue"][n as usize % 3];
        json!({"radius": radius, "colour": colour, "day": day})
    };
    (0..60).map(row).collect()
}

#[test]
fn a_served_package_says_what_the_predictor_says() {
    let (house, outputs) = served_package();
    let answer = house.call(post("/v1/models/tumours/predict", json!({"rows": rows()}).to_string()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (labels, probabilities) = (outputs.label.unwrap(), outputs.probabilities.unwrap());
    let predictions = answer.json()["predictions"].clone();
    for (row, label) in labels.iter().enumerate() {
        assert_eq!(predictions[row]["label"], **label, "row {row}");
        for (class, name) in ["benign", "malign"].into_iter().enumerate() {
            let expect = f64::from(probabilities[row * 2 + class]);
            assert_eq!(predictions[row]["probabilities"][name], json!(expect), "row {row}");
        }
        // One row alone, too: through the other way of running and another batch.
        if row < 3 {
            let one = house.call(post("/v1/models/tumours/predict", json!({"row": rows()[row]}).to_string()));
            let expect = f64::from(probabilities[row * 2]);
            let got = one.json()["predictions"][0]["probabilities"]["benign"].as_f64().unwrap();
            assert!((got - expect).abs() < 1e-6, "row {row}: {got} {expect}");
        }
    }
    assert!(labels.iter().any(|label| &**label == "malign") && labels.iter().any(|label| &**label == "benign"));
}

#[test]
fn tensors_give_the_same_numbers_as_named_columns() {
    let (house, outputs) = served_package();
    let rows = rows();
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    let inputs = json!([
        {"name":"day","datatype":"BYTES","shape":[60],"data":column("day")},
        {"name":"radius","datatype":"FP64","shape":[60, 1],"data":column("radius")},
        {"name":"colour","datatype":"BYTES","shape":[60],"data":column("colour")},
    ]);
    let answer = house.call(post("/v2/models/tumours/infer", json!({"inputs": inputs}).to_string()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expect: Vec<f64> = outputs.probabilities.unwrap().into_iter().map(f64::from).collect();
    assert_eq!(answer.json()["outputs"][1]["data"], json!(expect));
}

#[test]
fn the_signature_says_what_may_be_missing() {
    let (house, _) = served_package();
    let signature = house.call(get("/v1/models/tumours")).json()["signature"].clone();
    let nullable = |at: usize| (signature["inputs"][at]["name"].clone(), signature["inputs"][at]["nullable"].clone());
    assert_eq!(nullable(0), (json!("radius"), json!(true)));
    assert_eq!(nullable(1), (json!("colour"), json!(false)));
    assert_eq!(signature["classes"], json!(["benign", "malign"]));
    let mut row = rows()[0].clone();
    row["colour"] = Value::Null;
    let ask = post("/v1/models/tumours/predict", json!({"row": row}).to_string());
    house.refuses(ask, 400, "column \"colour\" in row 1 must not be missing");
}

#[test]
fn rows_far_outside_are_no_fault_of_ours() {
    let (house, _) = served_package();
    for radius in [json!(1e308), json!(-1e308), json!(5e-324), json!(0), json!(-0.0), json!(u64::MAX)] {
        for (colour, day) in [("mauve", "9999-12-31"), ("", "0001-01-01"), ("\u{0}", "1970-01-01T00:00:00Z")] {
            let row = json!({"radius": radius, "colour": colour, "day": day});
            let answer = house.call(post("/v1/models/tumours/predict", json!({"row": row}).to_string()));
            assert!(answer.status < 500, "{row} {}", answer.text());
        }
    }
}

#[test]
fn packages_that_are_not_trusted_are_not_served() {
    let (bytes, public, _) = package();
    let stranger = SigningKey::generate([8; 32]).public_hex();
    let err = PackagedModel::open(bytes.clone(), &[stranger], "cpu").unwrap_err();
    assert_eq!(err.code(), Code::Untrusted);
    let err = PackagedModel::open(bytes.clone(), &[], "cpu").unwrap_err();
    assert_eq!(err.code(), Code::Untrusted);
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert!(PackagedModel::open(changed, std::slice::from_ref(&public), "cpu").is_err());
    assert!(PackagedModel::open(bytes[..bytes.len() - 1].to_vec(), std::slice::from_ref(&public), "cpu").is_err());
    assert!(PackagedModel::new(&Package::read(bytes).unwrap(), "no such device").is_err());
}
