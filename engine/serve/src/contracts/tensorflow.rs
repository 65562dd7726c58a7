//! KServe's protocol version 1 and TensorFlow Serving: a verb behind the model's name, and what their clients ask about a
//! model.

use athanor_protocol::{
    Code,
    signature::{OUTPUT_LABEL, OUTPUT_VALUE},
    table::DataType,
};
use axum::{
    extract::{Request, State as Held},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    choose::Asked,
    json::{Form, Words},
    media::{self, Allowed},
    speech::{self, Envelope, Speech},
    vertex::admitted,
};
use crate::{
    oip::Target as Named,
    oip_reply,
    refusal::Refusal,
    rollout,
    router::{State, path},
    table::Served,
};

const SIGNATURES: &[(&str, &[&str])] = &[("signature_name", &["serving_default", ""])];
const PREDICT: Words = Words {
    rows: &[
        ("instances", Form::Instances, Envelope::Predictions),
        ("inputs", Form::ColumnsOrInstances, Envelope::Outputs),
    ],
    parameters: &["parameters"],
    fixed: SIGNATURES,
};
const CLASSIFY: Words =
    Words { rows: &[("examples", Form::Rows, Envelope::Classify)], parameters: &[], fixed: SIGNATURES };
const REGRESS: Words =
    Words { rows: &[("examples", Form::Rows, Envelope::Regress)], parameters: &[], fixed: SIGNATURES };

/// The words of an address with a verb.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    model: String,
    version: Option<String>,
    is_label: bool,
    verb: String,
}

impl Target {
    /// Whether the verb is one of those that models have here. Others are told apart from names by their method alone.
    pub(crate) fn has_known_verb(&self) -> bool {
        matches!(self.verb.as_str(), "predict" | "classify" | "regress")
    }
}

/// Reads `/v1/models/NAME[/versions/N | /labels/LABEL]:VERB`.
pub(crate) fn target(path: &str) -> Option<Target> {
    let (head, verb) = path.strip_prefix("/v1/models/")?.rsplit_once(':')?;
    let mut parts = head.split('/');
    let model = parts.next()?.to_owned();
    let (version, is_label) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (None, false),
        (Some("versions"), Some(version), None) => (Some(version.to_owned()), false),
        (Some("labels"), Some(label), None) => (Some(label.to_owned()), true),
        _ => return None,
    };
    let is_verb = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase());
    is_verb.then(|| Target { model, version, is_label, verb: verb.to_owned() })
}

pub(crate) async fn call(state: &State, target: Target, request: Request) -> Result<Response, Refusal> {
    let words = match target.verb.as_str() {
        "predict" => &PREDICT,
        "classify" => &CLASSIFY,
        "regress" => &REGRESS,
        _ => {
            let message = "a model has no such verb here";
            return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, message)
                .hint("POST to :predict, :classify or :regress"));
        }
    };
    let is_number = target.version.as_deref().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()));
    if target.is_label == is_number && target.version.is_some() {
        let message = "a version is a number, and a label is an alias";
        return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, message)
            .hint("POST to /v1/models/NAME/versions/NUMBER:predict or /v1/models/NAME/labels/ALIAS:predict"));
    }
    let (parts, body) = request.into_parts();
    let (admission, deadline, request_id) = admitted(&parts.extensions)?;
    let named = rollout::named(target.version.as_deref(), &parts.headers)?;
    let routed = state.route(&target.model, named, &parts.headers, &request_id.0)?;
    let asked = Asked::of(&parts.uri)?;
    media::of_body(&parts.headers, Allowed::UntoldJson)?;
    let speech = Speech::json(state, words, asked.probabilities);
    speech::answer(state, routed, speech, &parts.headers, body, admission, deadline).await
}

/// How a version is, in TensorFlow Serving's words.
#[derive(Serialize)]
pub(crate) struct VersionStatus {
    version: String,
    state: &'static str,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    error_code: &'static str,
    error_message: &'static str,
}

/// How the versions of a model are; only the one where one was named.
pub(crate) fn statuses(state: &State, served: &Served, is_one: bool) -> Vec<VersionStatus> {
    let all = state.models().all();
    let versions = all.get(served.name()).into_iter().flatten().map(|served| served.version());
    let status = |version: u32| VersionStatus {
        version: version.to_string(),
        state: "AVAILABLE",
        status: Status { error_code: "OK", error_message: "" },
    };
    if is_one { vec![status(served.version())] } else { versions.map(status).collect() }
}

/// A tensor of any number of rows.
fn tensor(name: &str, dtype: &str) -> Value {
    json!({
        "name": name,
        "dtype": dtype,
        "tensor_shape": { "dim": [{ "size": "-1", "name": "" }], "unknown_rank": false },
    })
}

pub(crate) async fn metadata(Held(state): Held<State>, target: Named) -> Result<Response, Refusal> {
    let words = path(target)?;
    let served = state.served(words.model(), words.version()?)?;
    let inputs: Map<String, Value> = served
        .plan()
        .inputs()
        .iter()
        .map(|input| {
            let dtype = match input.dtype {
                DataType::Float => "DT_DOUBLE",
                DataType::Int => "DT_INT64",
                DataType::Bool => "DT_BOOL",
                _ => "DT_STRING",
            };
            (input.name.clone(), tensor(&input.name, dtype))
        })
        .collect();
    let (name, dtype) = if served.signature().task.is_classification() {
        (OUTPUT_LABEL, "DT_STRING")
    } else {
        (OUTPUT_VALUE, "DT_DOUBLE")
    };
    let outputs = Map::from_iter([(name.to_owned(), tensor(name, dtype))]);
    oip_reply::json(&json!({
        "model_spec": { "name": served.name(), "signature_name": "", "version": served.version().to_string() },
        "metadata": { "signature_def": { "signature_def": { "serving_default": {
            "inputs": inputs,
            "outputs": outputs,
            "method_name": "tensorflow/serving/predict",
        } } } },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_stands_behind_the_last_colon() {
        #[track_caller]
        fn check(path: &str, expect: Option<(&str, Option<&str>, bool, &str)>) {
            let expect = expect.map(|(model, version, is_label, verb)| Target {
                model: model.to_owned(),
                version: version.map(str::to_owned),
                is_label,
                verb: verb.to_owned(),
            });
            assert_eq!(target(path), expect, "{path}");
        }
        check("/v1/models/wine:predict", Some(("wine", None, false, "predict")));
        check("/v1/models/wine/versions/2:classify", Some(("wine", Some("2"), false, "classify")));
        check("/v1/models/wine/labels/stable:predict", Some(("wine", Some("stable"), true, "predict")));
        check("/v1/models/a:b:predict", Some(("a:b", None, false, "predict")));
        check("/v1/models/wine", None);
        check("/v1/models/wine:", None);
        check("/v1/models/wine:Predict", None);
        check("/v1/models/wine:predict/", None);
        check("/v1/models/wine/versions/2/x:predict", None);
        check("/v1/models/wine/other/2:predict", None);
        check("/v1/models/C:%2f", None);
        check("/v2/models/wine:predict", None);
    }
}
