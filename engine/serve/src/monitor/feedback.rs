//! Truths that arrive later: `POST /v1/models/{model}/feedback`.

use athanor_protocol::{Code, Failure, signature::ModelSignature};
use axum::{
    Extension,
    body::Body,
    extract::State as Held,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{
    body::{BodyKind, body_kind, check_depth, read_body},
    gate::Deadline,
    oip::Target,
    oip_reply::json,
    refusal::{Refusal, bad, quoted},
    router::{State, path},
    values::Scalar,
};

/// Most truths in one request.
const MAX_TRUTHS: usize = 10_000;
/// Longest request id.
const MAX_ID_BYTES: usize = 100;

/// What turned out to be true.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// The class, by its name.
    Class(String),
    /// The number.
    Number(f64),
}

/// The truth of one row that was predicted before.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// The id of the request that predicted it.
    pub request_id: String,
    /// The row in that request, from 0.
    pub row: u32,
    /// What was true.
    pub truth: Truth,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    id: String,
    #[serde(default)]
    row: u32,
    truth: Scalar,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    feedback: Vec<One>,
}

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
}

/// Reads a body: one truth, or a list under `feedback`.
fn read(body: &[u8], signature: &ModelSignature) -> Result<Vec<Feedback>, Failure> {
    let shape =
        "the body is {\"id\": REQUEST_ID, \"row\": 0, \"truth\": …}, or {\"feedback\": [ … ]} with many of them";
    let is_many = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
        .map_err(|err| bad(format!("the body is no such JSON: {err}")).hint(shape))?
        .contains_key("feedback");
    let all = if is_many {
        serde_json::from_slice::<Many>(body).map(|many| many.feedback)
    } else {
        serde_json::from_slice::<One>(body).map(|one| vec![one])
    };
    let all = all.map_err(|err| bad(format!("the body is no such JSON: {err}")).hint(shape))?;
    if all.len() > MAX_TRUTHS {
        let message = format!("one request holds at most {MAX_TRUTHS} truths");
        return Err(Failure::new(Code::TooLarge, message).hint("send fewer at once"));
    }
    all.into_iter().enumerate().map(|(at, one)| check(at, one, signature)).collect()
}

fn check(at: usize, one: One, signature: &ModelSignature) -> Result<Feedback, Failure> {
    let at = at + 1;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if one.id.is_empty() || one.id.len() > MAX_ID_BYTES || !one.id.bytes().all(is_plain) {
        return Err(bad(format!("truth {at}: {} is no request id", quoted(&one.id)))
            .on("id")
            .hint("send the 'x-request-id' of the answer that the truth belongs to"));
    }
    let wrong = |expects: &str| {
        Err(bad(format!("truth {at}: the truth of {} expects {expects}, found {}", signature.target, one.truth.kind()))
            .on("truth"))
    };
    let truth = if signature.task.is_classification() {
        // As a table's class column: true and whole numbers are classes by their text.
        let class = match &one.truth {
            Scalar::Text(text) => text.to_string(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::Float(value) if value.is_finite() => value.to_string(),
            _ => return wrong("a class"),
        };
        if !signature.classes.contains(&class) {
            let near = crate::plan::near_names(&class, signature.classes.iter().map(String::as_str));
            let failure = bad(format!("truth {at}: {} is none of the model's classes", quoted(&class))).on("truth");
            return Err(match near.as_slice() {
                [] => failure.hint("GET the model to see its classes"),
                near => failure.hint(format!("did you mean {}", near.join(" or "))),
            });
        }
        Truth::Class(class)
    } else {
        match one.truth {
            Scalar::Int(value) => Truth::Number(value as f64),
            Scalar::Big(value) => Truth::Number(value as f64),
            Scalar::Float(value) if value.is_finite() => Truth::Number(value),
            _ => return wrong("a finite number"),
        }
    };
    Ok(Feedback { request_id: one.id, row: one.row, truth })
}

pub(crate) async fn feedback(
    Held(state): Held<State>,
    target: Target,
    Extension(deadline): Extension<Deadline>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let words = path(target)?;
    let served = state.served(words.model(), words.version()?)?;
    if body_kind(&headers)? != Some(BodyKind::Json) {
        let message = "the body must be JSON and say so";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message)
            .hint("send 'Content-Type: application/json'"));
    }
    let sink = state.monitor().sink().filter(|_| state.monitor().is_captured(served.name()));
    let Some(sink) = sink else {
        let message = "requests of this model are not captured, so no truth can be matched with a prediction";
        return Err(Refusal::from(Failure::new(Code::Conflict, message))
            .hint("turn capturing on, for example: athanor monitor configure MODEL --capture 0.2"));
    };
    let body = read_body(body, state.config(), deadline).await?;
    check_depth(&body, state.config().max_json_depth)?;
    let truths = read(&body, served.signature())?;
    let accepted = truths.len();
    let kept = tokio::task::spawn_blocking(move || sink.feedback(served.name(), truths));
    match kept.await {
        Ok(Ok(())) => {
            let mut response = json(&Accepted { accepted })?;
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
        Ok(Err(failure)) => Err(Refusal::from_model(failure)),
        Err(err) => Err(Refusal::internal(err.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use athanor_protocol::signature::Task;

    use super::*;

    fn signature(task: Task) -> ModelSignature {
        let classes = if task.is_classification() { vec!["0".to_owned(), "yes".to_owned()] } else { vec![] };
        ModelSignature { task, target: "y".to_owned(), inputs: vec![], classes }
    }

    #[test]
    fn truths_are_read_or_say_why_not() {
        #[track_caller]
        fn check(task: Task, body: &str, expect: Result<&[(&str, u32, Truth)], &str>) {
            match (read(body.as_bytes(), &signature(task)), expect) {
                (Ok(found), Ok(expect)) => {
                    let found: Vec<_> = found.into_iter().map(|f| (f.request_id, f.row, f.truth)).collect();
                    let expect: Vec<_> =
                        expect.iter().map(|(id, row, t)| ((*id).to_owned(), *row, t.clone())).collect();
                    assert_eq!(found, expect, "{body}");
                }
                (Err(err), Err(expect)) => assert!(err.message.contains(expect), "{body}: {err}"),
                (found, expect) => panic!("{body}: {found:?}, not {expect:?}"),
            }
        }
        use Task::{Binary, Regression};
        let class = |text: &str| Truth::Class(text.to_owned());
        check(Binary, r#"{"id":"a-1","truth":"yes"}"#, Ok(&[("a-1", 0, class("yes"))]));
        check(Binary, r#"{"id":"a-1","row":3,"truth":0}"#, Ok(&[("a-1", 3, class("0"))]));
        check(
            Binary,
            r#"{"feedback":[{"id":"a","truth":0.0},{"id":"b","truth":"yes"}]}"#,
            Ok(&[("a", 0, class("0")), ("b", 0, class("yes"))]),
        );
        check(Binary, r#"{"feedback":[]}"#, Ok(&[]));
        check(Binary, r#"{"id":"a","truth":"maybe"}"#, Err("is none of the model's classes"));
        check(Binary, r#"{"id":"a","truth":null}"#, Err("expects a class, found"));
        check(Binary, r#"{"id":"","truth":"yes"}"#, Err("is no request id"));
        check(Binary, r#"{"id":"../x","truth":"yes"}"#, Err("is no request id"));
        check(Binary, r#"{"id":"a","truth":"yes","rows":3}"#, Err("unknown field"));
        check(Binary, r#"{"id":"a","row":-1,"truth":"yes"}"#, Err("invalid value"));
        check(Binary, r#"[1]"#, Err("no such JSON"));
        check(Binary, "", Err("no such JSON"));
        check(Regression, r#"{"id":"a","truth":-2.5}"#, Ok(&[("a", 0, Truth::Number(-2.5))]));
        check(Regression, r#"{"id":"a","truth":"2"}"#, Err("expects a finite number, found text"));
        let many = format!(r#"{{"feedback":[{}]}}"#, vec![r#"{"id":"a","truth":1}"#; MAX_TRUTHS + 1].join(","));
        check(Regression, &many, Err("at most"));
    }
}
