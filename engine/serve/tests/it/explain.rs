//! Predictions that are explained: what is said, what is refused, and what explaining does not touch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{Code, Failure, columns::Frame, explanation::Explanation, signature::Task, table::DataType};
use athanor_serve::{Outputs, Served};
use serde_json::{Value, json};

use crate::{
    house::{Answer, Door, House, Made, config, get, house, mixed, numbers, post, served, signature, state, sum},
    packaged::{rows, served_package},
};

const MIXED: &str = "/v1/models/mixed/predict";
const TUMOURS: &str = "/v1/models/tumours/predict";
const BASE: &str = r#"{"height":1.0,"width":2.0,"legs":2,"tame":false,"colour":"","seen":null}"#;
const ROW: &str = r#"{"legs":4,"height":1.5,"width":null,"tame":false,"colour":"red","seen":"1970-01-02"}"#;

/// The explanations of an answer, each of which leaves nothing unexplained.
#[track_caller]
fn explanations(answer: &Answer) -> Vec<Explanation> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let found: Vec<Explanation> = serde_json::from_value(answer.json()["explanations"].clone()).unwrap();
    for one in &found {
        let sum: f64 = one.contributions.iter().map(|one| one.contribution).sum();
        assert!((one.base + sum - one.value).abs() < 1e-9 * (1.0 + one.value.abs()), "{one:?}");
    }
    found
}

#[test]
fn a_sum_is_explained_by_its_terms_in_the_order_of_the_request() {
    let house = house(vec![mixed()]);
    let answer = house.call(post(MIXED, format!(r#"{{"explain":true,"row":{ROW},"baseline":{BASE}}}"#)));
    let found = explanations(&answer);
    assert_eq!(answer.header("x-athanor-version"), "1");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["predictions"], json!([{ "value": 86_408.5 }]));
    let expect = json!([{
        "base": 5.0,
        "value": 86_408.5,
        "method": "exact",
        "contributions": [
            { "column": "legs", "value": 4, "baseline": 2, "contribution": 2.0 },
            { "column": "height", "value": 1.5, "baseline": 1.0, "contribution": 0.5 },
            { "column": "width", "value": null, "baseline": 2.0, "contribution": -2.0 },
            { "column": "tame", "value": false, "baseline": false, "contribution": 0.0 },
            { "column": "colour", "value": "red", "baseline": "", "contribution": 3.0 },
            { "column": "seen", "value": "1970-01-02", "baseline": null, "contribution": 86_400.0 },
        ],
    }]);
    // Rounding aside, which these sums have in places far behind the point.
    let rounded: Vec<Explanation> = found
        .into_iter()
        .map(|mut one| {
            one.contributions.iter_mut().for_each(|one| one.contribution = (one.contribution * 1e6).round() / 1e6);
            one
        })
        .collect();
    assert_eq!(serde_json::to_value(rounded).unwrap(), expect);
    assert!(!answer.text().contains("-0.0"), "{}", answer.text());
}

#[test]
fn a_package_is_explained_by_its_training_statistics_and_raw_columns() {
    let (house, _) = served_package();
    let rows = rows();
    let plain = house.call(post(TUMOURS, json!({ "rows": rows }).to_string())).json();
    let answer = house.call(post(TUMOURS, json!({ "rows": rows, "explain": true }).to_string()));
    let found = explanations(&answer);
    let mut without = answer.json();
    assert!(without.as_object_mut().unwrap().remove("explanations").is_some());
    assert_eq!(without, plain, "the predictions are those that nobody explained");
    assert_eq!(found.len(), 60);
    for (row, one) in found.iter().enumerate() {
        let prediction = &plain["predictions"][row];
        assert_eq!(json!(one.class), prediction["label"], "row {row}");
        // What a model computes with 32 bits may differ in the last of them with the rows beside it.
        let said = prediction["probabilities"][one.class.as_deref().unwrap()].as_f64().unwrap();
        assert!((one.value - said).abs() < 1e-6, "row {row}: {} {said}", one.value);
        let names: Vec<&str> = one.contributions.iter().map(|one| one.column.as_str()).collect();
        // serde_json sorts the names; the derived column is none of the request's.
        assert_eq!(names, ["colour", "day", "radius"]);
        assert_eq!(one.contributions[2].baseline, 15.0, "the median");
        assert_eq!(one.contributions[0].baseline, "blue", "the first of the most frequent");
        assert_eq!(one.contributions[1].baseline, "1970-01-31");
    }
    assert!(found.iter().any(|one| one.contributions[2].contribution.abs() > 0.1), "the radius counts");
    // Alone or with others, by rows or by columns, now or later: the same.
    for row in [0, 9, 30, 59] {
        let one = house.call(post(TUMOURS, json!({ "row": rows[row], "explain": true }).to_string()));
        assert_eq!(explanations(&one), found[row..=row], "row {row}");
    }
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    let columns = json!({ "colour": column("colour"), "day": column("day"), "radius": column("radius") });
    let by_columns = house.call(post(TUMOURS, json!({ "columns": columns, "explain": true }).to_string()));
    assert_eq!(by_columns.text(), answer.text());
}

/// A model of so many numbers that calls are of more than one kind: 1 row, or mixes to explain.
fn wide(n: usize, predict: impl Fn(&Frame) -> Result<Outputs, Failure> + Send + Sync + 'static) -> Served {
    let names: Vec<String> = (0..n).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, DataType, bool)> = names.iter().map(|name| (&**name, DataType::Float, true)).collect();
    served("wide", 1, Made { signature: signature(Task::Regression, &columns, &[]), predict })
}

const WIDE: &str = "/v1/models/wide/predict";

fn wide_body(n: usize, n_rows: usize) -> String {
    let row = |value: f64| (0..n).map(|at| (format!("c{at}"), json!(value))).collect::<serde_json::Map<_, _>>();
    json!({ "explain": true, "rows": vec![row(1.0); n_rows], "baseline": row(0.0) }).to_string()
}

#[test]
fn many_columns_are_sampled_and_say_how_sure_they_are() {
    let product = |frame: &Frame| {
        let row = |row| frame.columns().iter().map(|column| 1.0 + column.data.number(row)).product::<f64>();
        Ok(Outputs::Numbers((0..frame.n_rows()).map(row).collect()))
    };
    let house = house(vec![wide(20, product)]);
    let answer = house.call(post(WIDE, wide_body(20, 3)));
    let found = explanations(&answer);
    assert_eq!((found.len(), found[0].base, found[0].value), (3, 1.0, f64::from(1 << 20)));
    assert_eq!(answer.json()["explanations"][0]["method"], "sampled");
    for one in &found[0].contributions {
        let (off, error) = (one.contribution - f64::from((1 << 20) - 1) / 20.0, one.standard_error.unwrap());
        assert!(off.abs() < 5.0 * error && error > 0.0, "{one:?}");
    }
    assert_eq!(found[0], found[2], "equal rows have equal explanations");
    assert_eq!(house.call(post(WIDE, wide_body(20, 3))).text(), answer.text());
}

#[test]
fn what_is_asked_wrongly_is_named() {
    let house = house(vec![mixed()]);
    let body = |more: &str| format!(r#"{{"row":{ROW},{more}}}"#);
    for (body, error) in [
        (body(r#""explain":"yes""#), r#""explain" must be true or false, found text"#),
        (body(r#""explain":1"#), r#""explain" must be true or false, found a number"#),
        (body(r#""explain":null"#), r#""explain" must be true or false, found null"#),
        (body(r#""explain":[[true]]"#), r#""explain" must be true or false, found a list"#),
        (body(r#""explain":true,"explain":true"#), r#"the body holds "explain" twice"#),
        (body(&format!(r#""baseline":{BASE}"#)), r#"the body holds "baseline", and nothing is to be explained"#),
        (body(&format!(r#""explain":false,"baseline":{BASE}"#)), r#"the body holds "baseline", and nothing"#),
        (body(r#""explain":true,"baseline":{}"#), r#""baseline": row 1 misses "height", "width""#),
        (
            body(r#""explain":true,"baseline":{"height":"x"}"#),
            r#""baseline": column "height" in row 1 expects a number"#,
        ),
        (body(r#""explain":true,"baseline":[]"#), "the body can't be read"),
        (body(r#""explain":true,"baseline":null"#), "the body can't be read"),
        (format!(r#"{{"explain":true,"baseline":{BASE},"baseline":{BASE}}}"#), r#"the body holds "baseline" twice"#),
        (r#"{"explain":true}"#.to_owned(), "the body holds no rows"),
        (body(r#""explained":true"#), r#"the body holds "explained" beside "row""#),
    ] {
        house.refuses(post(MIXED, body), 400, error);
    }
    let rows = |n: usize| format!(r#"{{"explain":true,"rows":[{}],"baseline":{BASE}}}"#, vec![ROW; n].join(","));
    house.refuses(post(MIXED, rows(65)), 400, "one request explains at most 64 rows, this one has 65");
    assert_eq!(explanations(&house.call(post(MIXED, rows(64)))).len(), 64);
    assert_eq!(explanations(&house.call(post(MIXED, rows(0)))).len(), 0);
    let plain = house.call(post(MIXED, body(r#""explain":false"#)));
    assert_eq!((plain.status, plain.json().get("explanations")), (200, None));
}

#[test]
fn what_cannot_be_explained_is_predicted_all_the_same() {
    let house = house(vec![mixed(), wide(1_001, sum)]);
    let row = format!(r#"{{"row":{ROW},"explain":true}}"#);
    house.refuses(post(MIXED, row.clone()), 422, "there are no training statistics in the model's package");
    assert!(house.call(post(MIXED, row)).json()["hint"].as_str().unwrap().contains("\"baseline\""));
    let body = wide_body(1_001, 1);
    house.refuses(post(WIDE, body.clone()), 422, "the model takes 1001 columns, at most 1000 are explained");
    let rows: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(house.call(post(WIDE, json!({ "rows": rows["rows"] }).to_string())).status, 200);
    assert_eq!(house.call(post(MIXED, format!(r#"{{"row":{ROW}}}"#))).status, 200);
}

#[test]
fn mixes_that_the_model_refuses_are_the_rows_fault_and_faults_stay_ours() {
    let picky = |code: Code| {
        wide(2, move |frame| {
            let sums = (0..frame.n_rows()).map(|row| frame.columns().iter().map(|c| c.data.number(row)).sum());
            let sums: Vec<f64> = sums.collect();
            if sums.contains(&1.0) { Err(Failure::new(code, "row 7 of /secret")) } else { Ok(Outputs::Numbers(sums)) }
        })
    };
    let bad = house(vec![picky(Code::BadData)]);
    bad.refuses(post(WIDE, wide_body(2, 1)), 422, "row 1 can't be explained: the model has no answer for a mix");
    assert!(!bad.call(post(WIDE, wide_body(2, 1))).text().contains("secret"));
    house(vec![picky(Code::Internal)]).refuses(
        post(WIDE, wide_body(2, 1)),
        500,
        "the request failed because of a fault",
    );
    let infinite = wide(2, |frame| {
        let value = |row| 1.0 / (1.0 - frame.columns()[0].data.number(row) + frame.columns()[1].data.number(row));
        Ok(Outputs::Numbers((0..frame.n_rows()).map(value).collect()))
    });
    house(vec![infinite]).refuses(post(WIDE, wide_body(2, 1)), 422, "row 1 can't be explained");
    let panics = wide(2, |frame| {
        assert!(frame.n_rows() == 1, "the secret is 42");
        sum(frame)
    });
    house(vec![panics]).refuses(post(WIDE, wide_body(2, 1)), 500, "the request failed because of a fault");
}

#[test]
fn explained_requests_are_counted_as_predictions() {
    let house = house(vec![numbers(1)]);
    let row = r#"{"a":0.25,"b":0,"c":false}"#;
    let base = r#"{"a":0.75,"b":0,"c":false}"#;
    let answer = house.call(post(
        "/v1/models/numbers/predict",
        format!(r#"{{"explain":true,"rows":[{row},{row}],"baseline":{base}}}"#),
    ));
    let found = explanations(&answer);
    assert_eq!((found[0].class.as_deref(), found[0].base, found[0].value), (Some("no"), 0.25, 0.75));
    assert_eq!(found[0].contributions[0].contribution, 0.5);
    let metrics = house.call(get("/metrics")).text();
    for line in [
        r#"athanor_requests_total{model="numbers",version="1",route="predict",code="200"} 1"#,
        r#"athanor_rows_total{model="numbers",version="1"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let limited =
        post("/v1/models/numbers/predict", format!(r#"{{"explain":true,"rows":[{row},{row}],"baseline":{base}}}"#))
            .set("authorization", "Bearer k-limited");
    assert_eq!(house.call(limited.clone()).status, 200, "an explained row is one row of the three that this key has");
    assert_eq!(house.call(limited).status, 429);
}

/// Opens a door whatever happens: a test that fails must not wait for what it has locked up.
struct Opens(Arc<Door>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A model that predicts at once and lets nobody explain before the door is open; and how often it was asked to.
fn guarded(n: usize) -> (Served, Arc<Door>, Arc<AtomicUsize>) {
    let (door, n_asked) = (Arc::new(Door::default()), Arc::new(AtomicUsize::new(0)));
    let (behind, asked) = (Arc::clone(&door), Arc::clone(&n_asked));
    let model = wide(n, move |frame| {
        // What is explained is ones; calls to explain it begin with the baseline.
        if frame.columns()[0].data.number(0) == 0.0 {
            asked.fetch_add(1, Ordering::SeqCst);
            behind.pass();
        }
        sum(frame)
    });
    (model, door, n_asked)
}

#[test]
fn whoever_leaves_is_explained_nothing_more() {
    // Eleven columns are two calls to the model.
    let (model, door, n_asked) = guarded(11);
    let _opens = Opens(Arc::clone(&door));
    let house = Arc::new(house(vec![model]));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let asking = Arc::clone(&house);
    let call = runtime.spawn(async move { asking.call_async(post(WIDE, wide_body(11, 5))).await });
    door.wait_for(1);
    call.abort();
    assert!(runtime.block_on(call).unwrap_err().is_cancelled());
    door.open();
    // Waits for what is still at work.
    drop(runtime);
    assert_eq!(n_asked.load(Ordering::SeqCst), 1, "of ten calls only the one under way is made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_holds_and_predictions_go_on_beside_explanations() {
    let (model, door, _) = guarded(3);
    let _opens = Opens(Arc::clone(&door));
    let mut impatient = config();
    impatient.request_timeout = Duration::from_secs(2);
    let house = Arc::new(House { state: state(impatient, vec![model]) });
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    // More than there are places: the rest waits in a line of its own.
    let calls: Vec<_> = (0..2 * n)
        .map(|_| {
            let house = Arc::clone(&house);
            tokio::spawn(async move { house.call_async(post(WIDE, wide_body(3, 1))).await })
        })
        .collect();
    let waiting = Arc::clone(&door);
    let n_places = (n / 2).max(1);
    tokio::task::spawn_blocking(move || waiting.wait_for(n_places)).await.unwrap();
    for call in calls {
        let answer = call.await.unwrap();
        // Those that wait for a place are told too, at once or in the end.
        assert!(matches!(answer.status, 503 | 504), "{}", answer.text());
    }
    assert_eq!(door.n_came(), n_places, "no more than half of the processors explain");
    let asked: Value = serde_json::from_str(&wide_body(3, 1)).unwrap();
    let plain = json!({ "rows": asked["rows"] }).to_string();
    // Explanations that nobody waits for any more still hold their places.
    for _ in 0..10 {
        assert_eq!(house.call_async(post(WIDE, plain.clone())).await.status, 200);
    }
}
