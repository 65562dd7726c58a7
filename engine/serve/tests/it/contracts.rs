//! Each contract: what it takes, what it answers, and what it says about mistakes.

use athanor_protocol::Code;
use athanor_serve::{Access, Contract, ModelTable, ServeConfig, Served, State};
use serde_json::{Value, json};

use crate::house::{
    Answer, Ask, House, TestKeys, ask, config, failing, get, house, mixed, numbers, one_column, post, state, sum,
};

const TF: &str = "/v1/models/numbers:predict";
const VERTEX: &str = "/v1/endpoints/7/deployedModels/9:predict";

fn house_with(change: impl FnOnce(&mut ServeConfig), models: Vec<Served>) -> House {
    let mut config = config();
    change(&mut config);
    House { state: state(config, models) }
}

fn csv(uri: &str, body: &str) -> Ask {
    post(uri, body).set("content-type", "text/csv")
}

#[track_caller]
fn says(answer: &Answer, expect: Value) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), expect);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[test]
fn every_form_of_mlflow_says_the_same() {
    let house = house(vec![numbers(1)]);
    let expect = json!({"predictions": ["no", "yes"]});
    for body in [
        r#"{"dataframe_split":{"columns":["a","b","c"],"data":[[0.25,0,false],[null,0,true]]}}"#,
        r#"{"dataframe_split":{"index":[0,1],"columns":["c","a","b"],"data":[[false,0.25,0],[true,null,0]]}}"#,
        r#"{"dataframe_split":{"data":[[false,0.25,0],[true,null,0]],"columns":["c","a","b"]}}"#,
        r#"{"dataframe_records":[{"a":0.25,"b":0,"c":false},{"c":true,"b":0,"a":null}]}"#,
        r#"{"instances":[{"a":0.25,"b":0,"c":false},[null,0,true]],"params":null}"#,
        r#"{"instances":[{"features":[0.25,0,false]},{"features":[null,0,true]}]}"#,
        r#"{"inputs":{"a":[0.25,null],"b":[0,0],"c":[false,true]},"params":{}}"#,
        r#"{"inputs":[[0.25,0.0,0.0],[null,0.0,1.0]]}"#,
        r#"{"params":{"probabilities":false},"instances":[[0.25,0,false],[null,0,true]]}"#,
    ] {
        says(&house.call(post("/invocations", body)), expect.clone());
    }
    for body in ["a,b,c\n0.25,0,false\n,0,true\n", "c,b,a\r\nfalse,0,0.25\r\ntrue,0,\r\n", "0.25,0,false\n,0,1\n"] {
        says(&house.call(csv("/invocations", body)), expect.clone());
    }
}

#[test]
fn our_own_forms_get_our_own_answer_at_invocations() {
    let house = house(vec![numbers(3)]);
    let row = r#"{"a":0.25,"b":0,"c":false}"#;
    let expect = house.call(post("/v1/models/numbers/predict", format!(r#"{{"row":{row}}}"#))).json();
    for body in [
        format!(r#"{{"row":{row}}}"#),
        format!(r#"{{"rows":[{row}]}}"#),
        r#"{"columns":{"a":[0.25],"b":[0],"c":[false]}}"#.to_owned(),
    ] {
        says(&house.call(post("/invocations", body)), expect.clone());
    }
}

#[test]
fn probabilities_come_when_they_are_asked_for() {
    let house = house(vec![numbers(1), mixed()]);
    let row = json!({"label":"no","probabilities":{"no":0.75,"yes":0.25}});
    let body = r#"{"instances":[[0.25,0,false]]}"#;
    let asked = r#"{"instances":[[0.25,0,false]],"params":{"probabilities":true}}"#;
    let expect = json!({"predictions":[row]});
    says(&house.call(post("/invocations?model=numbers", asked)), expect.clone());
    says(&house.call(post("/invocations?model=numbers&probabilities=true", body)), expect.clone());
    let by_header = post("/invocations?model=numbers", body)
        .with("x-amzn-sagemaker-custom-attributes", "trace=1; probabilities=true");
    says(&house.call(by_header), expect.clone());
    says(&house.call(post(&format!("{TF}?probabilities=true"), body)), expect);
    let inputs = r#"{"inputs":{"a":[0.25],"b":[0],"c":[false]},"parameters":{"probabilities":true}}"#;
    says(&house.call(post(TF, inputs)), json!({"outputs":{"label":["no"],"probabilities":[[0.75,0.25]]}}));
    let answer =
        house.call(csv("/invocations?model=numbers&probabilities=true", "0.25,0,0\n").with("accept", "text/csv"));
    assert_eq!((answer.header("content-type"), answer.text().as_str()), ("text/csv; charset=utf-8", "no,0.75,0.25\n"));
    let numbers =
        post("/invocations?model=mixed", r#"{"instances":[[1,2,3,true,"x",null]],"params":{"probabilities":true}}"#);
    says(&house.call(numbers), json!({"predictions":[8.0]}));
}

#[test]
fn sagemaker_gets_what_it_accepts() {
    let house = house(vec![numbers(1), mixed()]);
    let uri = "/invocations?model=numbers";
    let call = |accept: &str| house.call(csv(uri, "0.25,0,false\n,0,true\n").with("accept", accept));
    assert_eq!(call("text/csv").text(), "no\nyes\n");
    assert_eq!(call("application/json;q=0.1, text/csv").text(), "no\nyes\n");
    let lines = call("application/jsonlines");
    assert_eq!(lines.header("content-type"), "application/jsonlines");
    assert_eq!(lines.text(), "{\"label\":\"no\"}\n{\"label\":\"yes\"}\n");
    says(&call("*/*"), json!({"predictions":["no","yes"]}));
    house.refuses(csv(uri, "0,0,0").with("accept", "application/x-npy"), 406, "no answer of that type can be written");
    let rows = "{\"a\":0.25,\"b\":0,\"c\":false}\n\n[null,0,true]\r\n{\"features\":[0,0,0]}";
    let lines = post(uri, rows).set("content-type", "application/jsonlines");
    says(&house.call(lines), json!({"predictions":["no","yes","no"]}));
    let probable = post(&format!("{uri}&probabilities=true"), rows).set("content-type", "application/jsonlines");
    let probable = house.call(probable.with("accept", "application/jsonlines")).text();
    assert_eq!(probable.lines().next().unwrap(), r#"{"label":"no","probabilities":{"no":0.75,"yes":0.25}}"#);
    let mixed = csv("/invocations?model=mixed", "1.5,,4,true,\"red, dark\",1970-01-01\n");
    assert_eq!(house.call(mixed.with("accept", "text/csv")).text(), "15.5\n");
}

#[test]
fn probes_are_empty_and_say_when_it_is_not_ready() {
    let empty = House {
        state: State::new(config(), std::sync::Arc::new(TestKeys), std::sync::Arc::new(ModelTable::new())).unwrap(),
    };
    let filled = house(vec![numbers(1)]);
    for uri in ["/ping", "/health", "/v1/endpoints/7/deployedModels/9"] {
        let answer = filled.call(get(uri).without("authorization"));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{uri}");
        assert_eq!(filled.call(ask("HEAD", uri).without("authorization")).status, 200, "{uri}");
        empty.refuses(get(uri).without("authorization"), 503, "the endpoint is starting or stopping");
    }
    let healthy = filled.call(get("/").without("authorization"));
    assert_eq!((healthy.status, healthy.text().as_str()), (200, "Healthy"));
    empty.refuses(get("/").without("authorization"), 503, "the endpoint is starting or stopping");
    assert_eq!(filled.call(get("/version")).text(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn batch_transforms_are_told_limits_that_sagemaker_takes() {
    for (bytes, concurrent, mb) in [(1, 256, 1), (16 << 20, 256, 16), (64 << 20, 2, 64), (1 << 30, 256, 100)] {
        let house = house_with(
            |config| {
                config.max_body_bytes = bytes;
                config.max_concurrent = concurrent;
            },
            vec![numbers(1)],
        );
        let told = house.call(get("/execution-parameters")).json();
        assert_eq!((told["MaxPayloadInMB"].as_u64(), told["BatchStrategy"].as_str()), (Some(mb), Some("MULTI_RECORD")));
        let n = told["MaxConcurrentTransforms"].as_u64().unwrap();
        assert!(n >= 1 && n * mb <= 100 && n <= concurrent as u64, "{told}");
    }
}

#[test]
fn a_model_is_chosen_by_query_header_setting_or_because_it_is_the_only_one() {
    let body = r#"{"instances":[[0.25,0,false]]}"#;
    let only = house(vec![numbers(2), numbers(1)]);
    let both = house(vec![numbers(2), numbers(1), mixed()]);
    let set =
        house_with(|config| config.default_model = Some("numbers:1".to_owned()), vec![numbers(2), numbers(1), mixed()]);
    for uri in ["/invocations", VERTEX, "/score"] {
        assert_eq!(only.call(post(uri, body)).status, 200, "{uri}");
        assert_eq!(set.call(post(uri, body)).status, 200, "{uri}");
        assert_eq!(both.call(post(&format!("{uri}?model=numbers"), body)).status, 200, "{uri}");
        assert_eq!(both.call(post(&format!("{uri}?model=numbers%3A1"), body)).status, 200, "{uri}");
        let by_header = |name: &str| both.call(post(uri, body).with("x-amzn-sagemaker-target-model", name)).status;
        assert_eq!([by_header("numbers"), by_header("/numbers.tar.gz"), by_header("numbers:2")], [200; 3]);
        assert_eq!([by_header("nobody"), by_header("numbers:7"), by_header(""), by_header("../x")], [404; 4]);
        let refused = both.call(post(uri, body));
        assert_eq!(
            (refused.status, refused.error().as_str()),
            (400, "this address names no model, and 2 are served here")
        );
        let hint = refused.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("?model=NAME") && hint.contains("\"mixed\", \"numbers\""), "{hint}");
        house(vec![]).refuses(post(uri, body), 404, "no model is served here");
    }
    let version = |house: &House, uri: &str| {
        house.call(post(uri, r#"{"row":{"a":0,"b":0,"c":false}}"#)).json()["version"].clone()
    };
    assert_eq!(version(&only, "/invocations"), 2);
    assert_eq!(version(&set, "/invocations"), 1);
    assert_eq!(version(&set, "/invocations?model=numbers:2"), 2);
    let twice = post("/invocations", body).with("x-amzn-sagemaker-target-model", "numbers");
    both.refuses(
        twice.with("x-amzn-sagemaker-target-model", "mixed"),
        400,
        "the header 'X-Amzn-SageMaker-Target-Model'",
    );
    both.refuses(post("/invocations?model=a&model=b", body), 400, "the query of the address can't be read");
}

#[test]
fn settings_that_mean_nothing_are_refused_at_the_start() {
    let error = |change: fn(&mut ServeConfig)| {
        let mut config = config();
        change(&mut config);
        State::new(config, std::sync::Arc::new(TestKeys), std::sync::Arc::new(ModelTable::new()))
            .err()
            .map(|err| err.to_string())
    };
    assert!(error(|config| config.default_model = Some("a b".to_owned())).unwrap().contains("model name"));
    assert!(error(|config| config.default_model = Some("a:x".to_owned())).unwrap().contains("NAME:VERSION"));
    assert!(
        error(|config| config.vertex_predict_route = Some("x".to_owned())).unwrap().contains("vertex_predict_route")
    );
    let any = error(|config| config.allowed_hosts = vec!["*".to_owned()]).unwrap();
    assert!(any.contains("\"allowed_hosts\"") && any.contains("platform"), "{any}");
    assert_eq!(
        error(|config| {
            config.allowed_hosts = vec!["*".to_owned()];
            config.access = Access::Platform;
        }),
        None
    );
}

#[test]
fn vertex_answers_with_the_id_of_the_deployed_model() {
    let house = house(vec![numbers(1)]);
    let body = r#"{"instances":[{"a":0.25,"b":0,"c":false},[null,0,true]],"parameters":{"probabilities":false}}"#;
    says(&house.call(post(VERTEX, body)), json!({"predictions":["no","yes"],"deployedModelId":"9"}));
    let set = house_with(
        |config| {
            config.vertex_predict_route = Some("/invocations".to_owned());
            config.vertex_health_route = Some("/v1/models/numbers:ready".to_owned());
            config.vertex_deployed_model_id = Some("4711".to_owned());
        },
        vec![numbers(1)],
    );
    says(&set.call(post("/invocations", body)), json!({"predictions":["no","yes"],"deployedModelId":"4711"}));
    assert_eq!(set.call(get("/v1/models/numbers:ready").without("authorization")).status, 200);
    assert_eq!(set.call(post(VERTEX, body)).status, 404, "the settings take the place of the default");
    set.refuses(get("/invocations"), 405, "this address does not take that method");
    house.refuses(
        post(VERTEX, r#"{"dataframe_records":[]}"#),
        400,
        "the body holds \"dataframe_records\", which means nothing",
    );
    house.refuses(
        post(VERTEX, r#"{"instances":[],"parameters":{"top_k":1}}"#),
        400,
        "the parameter \"top_k\" is not known",
    );
}

#[test]
fn azure_scores_tables_rows_and_queries() {
    let house = house(vec![numbers(1)]);
    let split = r#"{"input_data":{"columns":["a","b","c"],"index":[0],"data":[[0.25,0,false]]}}"#;
    says(&house.call(post("/score", split)), json!(["no"]));
    says(&house.call(post("/score", r#"{"input_data":[[0.25,0,false]],"params":{}}"#)), json!(["no"]));
    says(
        &house.call(post("/score", r#"{"data":[[0.25,0,false],{"a":1,"b":0,"c":false}]}"#)),
        json!({"predictions":["no","yes"]}),
    );
    says(&house.call(get("/score?a=0.25&b=0&c=false")), json!({"predictions":["no"]}));
    let probable = json!({"predictions":[{"label":"no","probabilities":{"no":0.75,"yes":0.25}}]});
    says(&house.call(get("/score?c=false&a=0.25&b=0&probabilities=true")), probable);
    house.refuses(get("/score?a=0.25&b=0"), 400, "the query misses \"c\"");
    house.refuses(get("/score?a=0.25&b=0&c=false&d=1"), 400, "column \"d\" is not among");
    house.refuses(get("/score?a=0.25&a=1&b=0&c=false"), 400, "column \"a\" is there twice");
    house.refuses(get("/score?a=x&b=0&c=false"), 400, "column \"a\" in row 1 expects a number, found text");
    house.refuses(get("/score?a=1&b=0&c=false&model=nobody"), 404, "no model of that name");
    let options = house.call(ask("OPTIONS", "/score"));
    assert_eq!((options.status, options.header("allow"), options.body.len()), (200, "GET,HEAD,OPTIONS,POST", 0));
    let error = house.call(post("/score", "{}")).json();
    assert_eq!(
        (error["message"].as_str(), error["error_code"].as_str()),
        (Some("the body holds no rows"), Some("BAD_REQUEST"))
    );
}

#[test]
fn azures_request_ids_come_back_and_have_a_limit() {
    let house = house(vec![numbers(1)]);
    let score = || post("/score", r#"{"data":[[0.25,0,false]]}"#);
    for name in ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"] {
        let answer = house.call(score().with(name, "a".repeat(100)));
        assert_eq!((answer.status, answer.header(name)), (200, "a".repeat(100).as_str()), "{name}");
        house.refuses(score().with(name, "a".repeat(101)), 431, &format!("the header '{name}' is longer than 100"));
        let odd = house.call(score().with(name, "<script>"));
        assert_eq!(odd.status, 200);
        assert_ne!(odd.header(name), "<script>");
    }
}

#[test]
fn azures_descriptions_are_of_the_asked_edition() {
    let house = house(vec![mixed()]);
    let two = house.call(get("/swagger.json")).json();
    assert_eq!((two["swagger"].as_str(), &two["definitions"]["ServiceInput"]["type"]), (Some("2.0"), &json!("object")));
    let row = &two["definitions"]["ServiceInput"]["properties"]["data"]["items"];
    assert_eq!(row["properties"]["width"], json!({"type":"number","x-nullable":true,"format":"double","example":0.5}));
    let three = house.call(get("/swagger.json?version=3")).json();
    assert_eq!(three["openapi"], "3.0.3");
    let row = &three["components"]["schemas"]["ServiceInput"]["properties"]["data"]["items"];
    assert_eq!(row["properties"]["width"]["nullable"], true);
    assert_eq!(house.call(get("/swagger.json?version=3.1")).json()["openapi"], "3.1.0");
    house.refuses(get("/swagger.json?version=4"), 404, "there is no description of that version");
}

#[test]
fn tensorflow_serving_rows_columns_and_examples() {
    let house = house(vec![numbers(2), numbers(1), mixed(), one_column(sum)]);
    let rows =
        r#"{"signature_name":"serving_default","instances":[{"a":0.25,"b":0,"c":false},{"a":1,"b":0,"c":false}]}"#;
    says(&house.call(post(TF, rows)), json!({"predictions":["no","yes"]}));
    says(&house.call(post("/v1/models/numbers/versions/1:predict", rows)), json!({"predictions":["no","yes"]}));
    let columns = r#"{"inputs":{"a":[0.25,1],"b":[0,0],"c":[false,false]}}"#;
    says(&house.call(post(TF, columns)), json!({"outputs":["no","yes"]}));
    // The example of TensorFlow Serving's own documentation, sent as curl sends it.
    let documented = post("/v1/models/x:predict", r#"{"instances": [1.0, 2.0, 5.0]}"#)
        .set("content-type", "application/x-www-form-urlencoded");
    says(&house.call(documented.clone()), json!({"predictions":[1.0,2.0,5.0]}));
    says(&house.call(documented.without("content-type")), json!({"predictions":[1.0,2.0,5.0]}));
    says(&house.call(post("/v1/models/x:predict", r#"{"inputs": [1.0, 2.0]}"#)), json!({"outputs":[1.0,2.0]}));
    says(
        &house.call(post("/v1/models/x:predict", r#"{"instances": [[1.0], {"x": 2.0}]}"#)),
        json!({"predictions":[1.0,2.0]}),
    );
    let examples = r#"{"examples":[{"a":0.25,"b":0,"c":false}]}"#;
    says(&house.call(post("/v1/models/numbers:classify", examples)), json!({"result":[[["no",0.75],["yes",0.25]]]}));
    says(&house.call(post("/v1/models/x:regress", r#"{"examples":[{"x":3}]}"#)), json!({"result":[3.0]}));
    house.refuses(post("/v1/models/x:classify", r#"{"examples":[{"x":3}]}"#), 400, "the model \"x\" predicts a number");
    house.refuses(post("/v1/models/numbers:regress", examples), 400, "the model \"numbers\" predicts a class");
    house.refuses(post("/v1/models/numbers:explain", rows), 404, "a model has no such verb here");
    house.refuses(post("/v1/models/nobody:predict", rows), 404, "no model of that name is served here");
    house.refuses(post("/v1/models/numbers/versions/9:predict", rows), 404, "that version of the model is not served");
    house.refuses(
        post("/v1/models/numbers/labels/stable:predict", rows),
        404,
        "that version of the model is not served here",
    );
    house.refuses(get(TF), 405, "this address does not take that method");
    let wrong = r#"{"signature_name":"other","instances":[]}"#;
    house.refuses(post(TF, wrong), 400, "the \"signature_name\" \"other\" is not known");
    let error = house.call(post(TF, "{}")).json();
    assert_eq!(error.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"], "the protocol's own shape");
}

#[test]
fn tensorflow_serving_and_kserve_see_that_models_are_ready() {
    let house = house(vec![numbers(2), numbers(1)]);
    let status =
        |version: &str| json!({"version":version,"state":"AVAILABLE","status":{"error_code":"OK","error_message":""}});
    let model = house.call(get("/v1/models/numbers")).json();
    assert_eq!(
        (model["name"].as_str(), model["ready"].as_bool(), model["version"].as_u64()),
        (Some("numbers"), Some(true), Some(2))
    );
    assert_eq!(model["model_version_status"], json!([status("2"), status("1")]));
    assert_eq!(house.call(get("/v1/models/numbers/versions/1")).json()["model_version_status"], json!([status("1")]));
    let metadata = house.call(get("/v1/models/numbers/metadata")).json();
    assert_eq!(metadata["model_spec"], json!({"name":"numbers","signature_name":"","version":"2"}));
    let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(signature["inputs"]["b"]["dtype"], "DT_INT64");
    assert_eq!(signature["outputs"]["label"]["dtype"], "DT_STRING");
    assert_eq!(house.call(get("/v1/models/numbers/versions/1/metadata")).json()["model_spec"]["version"], "1");
}

#[test]
fn contracts_that_are_off_are_not_there() {
    let house = house_with(|config| config.contracts = vec![Contract::Mlflow], vec![numbers(1)]);
    let body = r#"{"instances":[[0.25,0,false]]}"#;
    assert_eq!(house.call(post("/invocations", body)).status, 200);
    for uri in [TF, VERTEX, "/score"] {
        let status = house.call(post(uri, body)).status;
        assert!(status == 404 || status == 405, "{uri} {status}");
    }
    for uri in ["/execution-parameters", "/swagger.json", "/v1/models/numbers/metadata"] {
        house.refuses(get(uri), 404, "there is nothing at this address");
    }
    house.refuses(get("/").without("authorization"), 401, "a key is needed");
    house.refuses(get("/v1/endpoints/1/deployedModels/2").without("authorization"), 401, "a key is needed");
    let none = house_with(|config| config.contracts = vec![], vec![numbers(1)]);
    none.refuses(get("/ping").without("authorization"), 401, "a key is needed");
    none.refuses(get("/ping"), 404, "there is nothing at this address");
    assert_eq!(none.call(post("/v1/models/numbers/predict", r#"{"rows":[]}"#)).status, 200);
}

#[test]
fn mistakes_in_json_are_named_in_every_contract() {
    let house = house(vec![numbers(1)]);
    // Bodies of two rows whose second is wrong, in the words of each contract.
    let good = r#"{"a":1,"b":0,"c":false}"#;
    for (bad, error) in [
        (r#"{"a":1,"b":0}"#, "row 2 misses \"c\""),
        (r#"{"a":1,"b":0,"c":false,"d":1}"#, "in row 2, column \"d\" is not among the model's 3 columns"),
        (r#"{"a":1,"b":0,"c":false,"a":1}"#, "in row 2, column \"a\" is there twice"),
        (r#"{"a":"1","b":0,"c":false}"#, "column \"a\" in row 2 expects a number, found text"),
        (
            r#"{"a":1,"b":0.5,"c":false}"#,
            "column \"b\" in row 2 expects a whole number, found a number with a fraction",
        ),
        (r#"{"a":1,"b":null,"c":false}"#, "column \"b\" in row 2 must not be missing"),
        (
            r#"{"a":1,"b":9007199254740993.0e3,"c":[false]}"#,
            "column \"c\" in row 2 expects true or false, found a list",
        ),
        (
            r#"{"a":1,"b":18446744073709551615,"c":false}"#,
            "column \"b\" in row 2 expects a whole number, found a number beyond",
        ),
        (r#"{"a":NaN,"b":0,"c":false}"#, "the body can't be read: expected value"),
        (r#"{"a":-Infinity,"b":0,"c":false}"#, "the body can't be read: invalid number"),
        (r#"{"a":1e400,"b":0,"c":false}"#, "the body can't be read: number out of range"),
    ] {
        for (uri, word) in [
            ("/invocations", "dataframe_records"),
            ("/invocations", "instances"),
            ("/invocations", "inputs"),
            ("/invocations", "rows"),
            (VERTEX, "instances"),
            (TF, "instances"),
            (TF, "inputs"),
            ("/v1/models/numbers:classify", "examples"),
            ("/score", "data"),
            ("/score", "input_data"),
        ] {
            let answer = house.call(post(uri, format!(r#"{{"{word}":[{good},{bad}]}}"#)));
            assert!(answer.status == 400 && answer.error().starts_with(error), "{uri} {word} {bad}: {}", answer.text());
        }
    }
}

#[test]
fn mistakes_in_ordered_rows_and_split_tables_are_named() {
    let house = house(vec![numbers(1)]);
    for (body, error) in [
        (r#"{"instances":[[1,0,false],[1,0]]}"#, "row 2 has 2 values, the model takes 3 columns"),
        (r#"{"instances":[[1,0,false,1]]}"#, "row 1 has 4 values, the model takes 3 columns"),
        (r#"{"instances":[[]]}"#, "row 1 has 0 values"),
        (r#"{"instances":[5]}"#, "row 1 is a number, the model takes 3 columns"),
        (r#"{"instances":[[1,[0],false]]}"#, "column \"b\" in row 1 expects a whole number, found a list"),
        (r#"{"instances":[{"features":[1,0]}]}"#, "row 1 has 2 values"),
        (r#"{"instances":[{"features":[1,0,true],"a":1}]}"#, "row 1 holds \"a\" beside \"features\""),
        (r#"{"instances":{"a":1}}"#, "the body can't be read: invalid type: map, expected a list of rows"),
        (r#"{"inputs":5}"#, "the body can't be read: invalid type: integer `5`, expected an object with a list"),
        (r#"{"inputs":{"a":[1],"b":[0,0],"c":[true]}}"#, "column \"b\" has 2 values, \"a\" has 1"),
        (
            r#"{"dataframe_split":{"columns":["a","b","c"],"data":[[1,0,true],[1,0]]}}"#,
            "row 2 of 'data' has 2 values, 'columns' has 3",
        ),
        (
            r#"{"dataframe_split":{"data":[[1,0,true],[1,0]],"columns":["a","b","c"]}}"#,
            "row 2 of 'data' has 2 values, 'columns' has 3",
        ),
        (
            r#"{"dataframe_split":{"data":[["x",0,true]],"columns":["a","b","c"]}}"#,
            "column \"a\" in row 1 expects a number, found text",
        ),
        (r#"{"dataframe_split":{"columns":["a","b"],"data":[[1,0]]}}"#, "'columns' misses \"c\""),
        (r#"{"dataframe_split":{"columns":["a","b","b"],"data":[]}}"#, "column \"b\" is there twice"),
        (
            r#"{"dataframe_split":{"columns":["a","b","x"],"data":[]}}"#,
            "column \"x\" is not among the model's 3 columns",
        ),
        (r#"{"dataframe_split":{"columns":["a","b","c"]}}"#, "a split table misses 'data'"),
        (r#"{"dataframe_split":{"data":[[1,0,true]]}}"#, "a split table misses 'columns'"),
        (r#"{"dataframe_split":{"columns":["a","b","c"],"data":[],"data":[]}}"#, "\"data\" is there twice"),
        (
            r#"{"dataframe_split":{"columns":["a","b","c"],"data":[],"dtypes":{}}}"#,
            "a split table holds \"dtypes\", which means nothing",
        ),
        (
            r#"{"dataframe_split":{"columns":["a","b","c"],"data":[{"a":1}]}}"#,
            "the body can't be read: invalid type: map, expected a list of the values of row 1",
        ),
        (r#"{"instances":[],"inputs":[]}"#, "the body holds \"inputs\" beside \"instances\""),
        (r#"{"instances":[],"instances":[]}"#, "the body holds \"instances\" beside \"instances\""),
        (r#"{"params":{}}"#, "the body holds no rows"),
        (r#"{"instances":[],"params":{},"params":{}}"#, "the body holds \"params\" twice"),
        (
            r#"{"instances":[],"params":[]}"#,
            "the body can't be read: invalid type: sequence, expected an object of parameters",
        ),
        (
            r#"{"instances":[],"params":{"probabilities":1}}"#,
            "the parameter \"probabilities\" is true or false, not a number",
        ),
        (r#"{"instances":[],"params":{"x":1}}"#, "the parameter \"x\" is not known"),
        (r#"{"messages":[]}"#, "the body holds \"messages\", which means nothing here"),
        ("[]", "the body can't be read: invalid type: sequence, expected an object"),
        ("", "the body can't be read: EOF"),
        (r#"{"instances":[]}x"#, "the body can't be read: trailing characters"),
    ] {
        house.refuses(post("/invocations", body), 400, error);
    }
    for (body, error) in [
        ("{\"a\":1}\n", "row 1 misses \"b\", \"c\""),
        ("[1,0,true]\n[1,0,\n", "line 2 can't be read: EOF"),
        ("[1,0,true][1,0,true]\n", "line 1 can't be read: trailing characters"),
        ("[1,0,true]\nfalse\n", "row 2 is true or false, the model takes 3 columns"),
    ] {
        house.refuses(post("/invocations", body).set("content-type", "application/jsonlines"), 400, error);
    }
    house.refuses(csv("/invocations", "1,0\n"), 400, "row 1 has 2 values, the model takes 3 columns");
}

#[test]
fn nesting_values_and_bytes_are_bounded_in_every_contract() {
    let house = house(vec![one_column(sum)]);
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let deep = |depth: usize| format!(r#"{{"instances":{}}}"#, nested(depth - 1));
    for uri in ["/invocations", VERTEX, "/score", "/v1/models/x:predict"] {
        house.refuses(post(uri, deep(50)), 400, "column \"x\" in row 1 expects a number, found a list");
        for depth in [101, 120, 100_000] {
            house.refuses(post(uri, deep(depth)), 400, "the JSON is nested deeper than 100 levels");
        }
    }
    let line = post("/invocations", nested(101)).set("content-type", "application/jsonlines");
    house.refuses(line, 400, "the JSON is nested deeper than 100 levels");
    let n = (1 << 21) + 1;
    let many = |separator: &str| vec!["0"; n].join(separator);
    for (uri, body, kind) in [
        ("/invocations", format!(r#"{{"instances":[{}]}}"#, many(",")), "application/json"),
        (
            "/invocations",
            format!(r#"{{"dataframe_split":{{"data":[[{}]],"columns":["x"]}}}}"#, many(",")),
            "application/json",
        ),
        ("/invocations", many("\n"), "text/csv"),
        ("/invocations", many("\n"), "application/jsonlines"),
    ] {
        house.refuses(post(uri, body).set("content-type", kind), 413, "one request holds at most 2097152 values");
    }
    let small = house_with(|config| config.max_body_bytes = 100, vec![one_column(sum)]);
    for uri in ["/invocations", VERTEX, "/score", "/v1/models/x:predict"] {
        let body = format!(r#"{{"instances":[1]}}{}"#, " ".repeat(100));
        small.refuses(post(uri, body), 413, "the body is larger than 100 bytes");
    }
}

#[test]
fn many_rows_are_answered_in_order() {
    let house = house(vec![one_column(sum)]);
    let values: Vec<f64> = (0..10_000).map(f64::from).collect();
    let answer = house.call(post("/invocations", json!({"instances":values}).to_string()));
    assert_eq!(answer.json()["predictions"], json!(values));
    let table = values.iter().map(f64::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(house.call(csv("/invocations", &table).with("accept", "text/csv")).text(), format!("{table}\n"));
    for word in ["instances", "inputs", "dataframe_records", "rows"] {
        let none = house.call(post("/invocations", format!(r#"{{"{word}":[]}}"#)));
        assert_eq!((none.status, &none.json()["predictions"]), (200, &json!([])), "{word}");
    }
}

#[test]
fn a_models_faults_stay_inside() {
    for (uri, body) in [
        ("/invocations", r#"{"instances":[1]}"#),
        (VERTEX, r#"{"instances":[1]}"#),
        ("/score", r#"{"data":[1]}"#),
        ("/v1/models/x:predict", r#"{"instances":[1]}"#),
    ] {
        for (code, status) in [(Code::BadData, 422), (Code::Internal, 500), (Code::OutOfMemory, 503)] {
            let answer = house(vec![failing(code)]).call(post(uri, body));
            assert_eq!(answer.status, status, "{uri} {code}");
            assert_eq!(answer.text().contains("secret"), status == 422, "{}", answer.text());
        }
    }
}

#[test]
fn content_types_of_others_are_refused_and_never_repeated() {
    let house = house(vec![one_column(sum)]);
    let types: [&[u8]; 12] = [
        b"text/plain",
        b"application/json; charset=utf-16",
        b"text/csv; charset=latin1",
        b"text/csv; delimiter=x",
        b"application/json; profile=x",
        b"application/x-pickle",
        b"application/x-npy",
        b"application/x-recordio-protobuf",
        b"multipart/form-data; boundary=x",
        b"<script>alert(1)</script>",
        b"",
        b"\xff",
    ];
    for content_type in types {
        for uri in ["/invocations", VERTEX, "/score", "/v1/models/x:predict"] {
            let answer = house.call(post(uri, r#"{"instances":[1]}"#).set("content-type", content_type));
            assert_eq!(answer.status, 415, "{uri} {:?}", String::from_utf8_lossy(content_type));
            let text = answer.text();
            assert!(!["script", "pickle", "utf-16", "npy", "latin1"].iter().any(|word| text.contains(word)), "{text}");
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
    for uri in ["/invocations", VERTEX, "/score"] {
        house.refuses(post(uri, "{}").without("content-type"), 415, "the body must say what it is");
        house.refuses(
            post(uri, "{}").with("content-type", "application/json"),
            415,
            "there is more than one 'Content-Type'",
        );
    }
    house.refuses(post("/score", "1\n").set("content-type", "text/csv"), 415, "bodies of this type are not read");
    let hostile = "<img src=x onerror=alert(1)>";
    let answer = house.call(post("/invocations", json!({hostile: 1}).to_string()));
    assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let long = house.call(post("/invocations", json!({"x".repeat(100_000): 1}).to_string()));
    assert!(long.status == 400 && long.body.len() < 1_500, "{}", long.body.len());
}
