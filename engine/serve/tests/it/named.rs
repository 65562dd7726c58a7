//! Named columns in, named outputs out.

use athanor_protocol::Code;
use serde_json::json;

use crate::house::{Made, failing, get, house, mixed, numbers, one_column, post, served, signature, sum};

const PREDICT: &str = "/v1/models/mixed/predict";
const ROW: &str = r#"{"height":1.5,"width":null,"legs":4,"tame":true,"colour":"red","seen":"1970-01-01"}"#;

#[test]
fn rows_columns_and_one_row_say_the_same() {
    let house = house(vec![mixed()]);
    let expect = json!({"model":"mixed","version":1,"predictions":[{"value":9.5}]});
    let columns = r#"{"columns":{"seen":["1970-01-01"],"height":[1.5],"width":[null],"legs":[4],"tame":[true],"colour":["red"]}}"#;
    for body in [format!(r#"{{"rows":[{ROW}]}}"#), format!(r#"{{"row":{ROW}}}"#), columns.to_owned()] {
        let answer = house.call(post(PREDICT, body));
        assert_eq!((answer.status, answer.json()), (200, expect.clone()));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer = house.call(post("/v1/models/mixed/versions/1/predict", format!(r#"{{"row":{ROW}}}"#)));
    assert_eq!(answer.status, 200);
}

#[test]
fn classes_come_with_their_probabilities_in_order() {
    let house = house(vec![numbers(3)]);
    let body = r#"{"rows":[{"a":0.25,"b":0,"c":false},{"c":true,"b":0,"a":null}]}"#;
    let answer = house.call(post("/v1/models/numbers/predict", body));
    let expect = r#"{"model":"numbers","version":3,"predictions":[{"label":"no","probabilities":{"no":0.75,"yes":0.25}},{"label":"yes","probabilities":{"no":0.0,"yes":1.0}}]}"#;
    assert_eq!(answer.text(), expect);
}

#[test]
fn no_rows_have_no_predictions() {
    let house = house(vec![mixed(), numbers(1)]);
    for (uri, name) in [(PREDICT, "mixed"), ("/v1/models/numbers/predict", "numbers")] {
        let answer = house.call(post(uri, r#"{"rows":[]}"#));
        assert_eq!(answer.json(), json!({"model":name,"version":1,"predictions":[]}));
    }
}

#[test]
fn many_rows_are_predicted_in_order() {
    let house = house(vec![one_column(sum)]);
    let values: Vec<f64> = (0..10_000).map(f64::from).collect();
    let answer = house.call(post("/v1/models/x/predict", json!({"columns":{"x":values}}).to_string()));
    let predictions = answer.json()["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["value"].as_f64().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(predictions, values);
}

#[test]
fn mistakes_are_named() {
    let house = house(vec![mixed()]);
    let row = |from: &str, to: &str| format!(r#"{{"rows":[{ROW},{}]}}"#, ROW.replace(from, to));
    let forms = |body: &str| body.to_owned();
    for (body, error) in [
        (row("\"legs\":4,", ""), "row 2 misses \"legs\""),
        (row("\"legs\":4,\"tame\":true,", ""), "row 2 misses \"legs\", \"tame\""),
        (row("\"legs\"", "\"legs \""), "in row 2, column \"legs \" is not among the model's 6 columns"),
        (row("\"legs\":4", "\"tame\":true"), "in row 2, column \"tame\" is there twice"),
        (row("1.5", "\"1.5\""), "column \"height\" in row 2 expects a number, found text"),
        (row("1.5", "null"), "column \"height\" in row 2 must not be missing"),
        (row("1.5", "[1.5]"), "column \"height\" in row 2 expects a number, found a list"),
        (row("1.5", "{\"a\":{}}"), "column \"height\" in row 2 expects a number, found an object"),
        (row(":4", ":4.5"), "column \"legs\" in row 2 expects a whole number, found a number with a fraction"),
        (row("true", "1"), "column \"tame\" in row 2 expects true or false, found a number"),
        (row("\"red\"", "7"), "column \"colour\" in row 2 expects text, found a number"),
        (row("1970-01-01", "yesterday"), "column \"seen\" in row 2 expects a date or time"),
        (row("1.5", "NaN"), "the body can't be read: expected value"),
        (row("1.5", "Infinity"), "the body can't be read: expected value"),
        (row("1.5", "1e400"), "the body can't be read: number out of range"),
        (forms(""), "the body can't be read: EOF"),
        (forms("{}"), "the body is empty"),
        (forms("[]"), "the body can't be read: invalid type: sequence, expected an object with 'rows'"),
        (forms("{\"rows\":{}}"), "the body can't be read: invalid type: map, expected a list of rows"),
        (forms("{\"rows\":[1]}"), "the body can't be read: invalid type: integer `1`, expected a row"),
        (forms("{\"rows\":[]}x"), "the body can't be read: trailing characters"),
        (forms("{\"rows\":[],\"rows\":[]}"), "the body holds \"rows\" beside \"rows\""),
        (forms("{\"instances\":[]}"), "the body holds \"instances\", which means nothing here"),
        (
            forms("{\"columns\":{\"height\":1}}"),
            "the body can't be read: invalid type: integer `1`, expected a list of values for column \"height\"",
        ),
        (
            forms("{\"columns\":{\"height\":[1]}}"),
            "the request misses \"width\", \"legs\", \"tame\", \"colour\", \"seen\"",
        ),
        (forms("{\"columns\":{\"height\":[1],\"width\":[]}}"), "column \"width\" has 0 values, \"height\" has 1"),
        (forms("{\"columns\":{\"height\":[1],\"height\":[1]}}"), "column \"height\" is there twice"),
    ] {
        house.refuses(post(PREDICT, body), 400, error);
    }
    house.refuses(post(PREDICT, b"{\"rows\":[{\"\xff\":1}]}".to_vec()), 400, "the body can't be read");
    let near = house.call(post(PREDICT, r#"{"row":{"heigth":1}}"#)).json();
    assert_eq!(near["hint"], "did you mean \"height\"");
    assert_eq!(near["code"], "invalid_argument");
}

#[test]
fn names_with_escapes_are_the_same_names() {
    let signature = signature(
        athanor_protocol::signature::Task::Regression,
        &[("é\"\n", athanor_protocol::table::DataType::Float, false)],
        &[],
    );
    let house = house(vec![served("odd", 1, Made { signature, predict: sum })]);
    for body in [r#"{"row":{"é\"\n":2}}"#, r#"{"row":{"\u00e9\"\n":2}}"#] {
        let answer = house.call(post("/v1/models/odd/predict", body));
        assert_eq!(answer.json()["predictions"][0]["value"], 2.0, "{body}");
    }
}

#[test]
fn models_are_listed_with_their_signatures() {
    let house = house(vec![numbers(2), numbers(1), mixed()]);
    let answer = house.call(get("/v1/models")).json();
    let models = answer["models"].as_array().unwrap();
    let names: Vec<_> =
        models.iter().map(|model| (model["name"].as_str().unwrap(), model["version"].as_u64().unwrap())).collect();
    assert_eq!(names, [("mixed", 1), ("numbers", 2), ("numbers", 1)]);
    assert_eq!(models[1]["signature"]["classes"], json!(["no", "yes"]));
    let shown = |uri: &str| {
        let mut shown = house.call(get(uri)).json();
        shown
            .as_object_mut()
            .unwrap()
            .remove("model_version_status")
            .expect("TensorFlow Serving's clients look for it");
        shown
    };
    assert_eq!(shown("/v1/models/numbers"), models[1], "the first listed version is the default");
    assert_eq!(shown("/v1/models/numbers/versions/1"), models[2]);
}

#[test]
fn unknown_models_and_versions_are_404() {
    let house = house(vec![numbers(2), mixed()]);
    let body = r#"{"rows":[]}"#;
    house.refuses(post("/v1/models/nobody/predict", body), 404, "no model of that name is served here");
    house.refuses(
        post("/v1/models/numbers/versions/1/predict", body),
        404,
        "that version of the model is not served here",
    );
    for version in ["02", "+2", "2.0", "-1", "latest", "99999999999999999999", "%32%00"] {
        house.refuses(get(&format!("/v1/models/numbers/versions/{version}")), 404, "that version of the model");
    }
    assert_eq!(house.call(get("/v1/models/number")).json()["hint"], "did you mean \"numbers\"");
}

#[test]
fn a_models_complaint_about_data_is_told_and_its_faults_are_not() {
    let body = r#"{"row":{"x":1}}"#;
    for (code, status) in
        [(Code::BadData, 422), (Code::InvalidArgument, 400), (Code::Unsupported, 422), (Code::TooLarge, 413)]
    {
        let answer = house(vec![failing(code)]).call(post("/v1/models/x/predict", body));
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.error(),
            "/secret/path/of/engine.db is on fire",
            "a complaint about data is the model's to word"
        );
    }
    for (code, status) in [
        (Code::Internal, 500),
        (Code::Corrupt, 500),
        (Code::NotFound, 500),
        (Code::DiskFull, 500),
        (Code::DeviceLost, 503),
        (Code::OutOfMemory, 503),
    ] {
        let answer = house(vec![failing(code)]).call(post("/v1/models/x/predict", body));
        assert_eq!(answer.status, status, "{code}");
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
}

#[test]
fn answers_that_are_not_finite_are_the_rows_fault_by_name() {
    let house = house(vec![one_column(|frame| {
        Ok(athanor_serve::Outputs::Numbers(
            (0..frame.n_rows()).map(|row| 1.0 / frame.columns()[0].data.number(row)).collect(),
        ))
    })]);
    house.refuses(
        post("/v1/models/x/predict", r#"{"columns":{"x":[1,0]}}"#),
        422,
        "the model has no finite answer for row 2",
    );
}
