//! Azure Machine Learning's scoring route.

use athanor_protocol::{Code, Failure, columns::Frame};
use axum::{
    Extension,
    body::Body,
    extract::{Query, State as Held},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    choose::{self, Asked},
    csv,
    json::{Form, Words},
    media::{self, Allowed},
    speech::{self, Ask, Envelope, Speech},
};
use crate::{
    gate::{Admission, Deadline, MAX_REQUEST_ID_BYTES, REQUEST_ID},
    infer::{self, Dialect},
    named_body::Reader,
    plan::Taking,
    refusal::{Refusal, bad},
    router::State,
    table::{Outputs, Served},
};

const WORDS: Words = Words {
    rows: &[
        ("input_data", Form::SplitOrInstances, Envelope::Bare),
        ("data", Form::Instances, Envelope::Predictions),
        ("dataframe_split", Form::Split, Envelope::Predictions),
        ("dataframe_records", Form::Rows, Envelope::Predictions),
        ("instances", Form::Instances, Envelope::Predictions),
        ("inputs", Form::ColumnsOrInstances, Envelope::Predictions),
        ("rows", Form::Rows, Envelope::Own),
        ("columns", Form::Columns, Envelope::Own),
        ("row", Form::Row, Envelope::Own),
    ],
    parameters: &["params", "parameters"],
    fixed: &[],
};

const MS_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const MS_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// The ids of a request, for its answer.
struct Ids(Vec<(HeaderName, HeaderValue)>);

impl Ids {
    /// Refuses ids that are too long, as that platform's own server does.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut ids = vec![];
        for name in [REQUEST_ID, MS_REQUEST_ID, MS_CLIENT_REQUEST_ID] {
            let Some(value) = headers.get(&name) else { continue };
            if value.len() > MAX_REQUEST_ID_BYTES {
                let message = format!("the header '{name}' is longer than {MAX_REQUEST_ID_BYTES} characters");
                return Err(Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::TooLarge, message));
            }
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if name != REQUEST_ID && value.as_bytes().iter().all(is_plain) {
                ids.push((name, value.clone()));
            }
        }
        Ok(Self(ids))
    }

    fn add(self, mut response: Response) -> Response {
        response.headers_mut().extend(self.0);
        response
    }
}

pub(crate) async fn score(
    Held(state): Held<State>,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let ids = Ids::of(&headers)?;
    let asked = Asked::of(&uri)?;
    let served = choose::model(&state, &headers, &asked)?;
    media::of_body(&headers, Allowed::Json)?;
    let speech = Speech::json(&state, &WORDS, asked.probabilities);
    speech::answer(&state, served, speech, &headers, body, admission, deadline).await.map(|answer| ids.add(answer))
}

/// `OPTIONS /score`: that server answers 200 and leaves the rest to whoever stands before it.
pub(crate) async fn options() -> Response {
    ([(header::ALLOW, "GET,HEAD,OPTIONS,POST")], StatusCode::OK).into_response()
}

/// `GET /score?column=value&…`: one row.
pub(crate) async fn score_query(
    Held(state): Held<State>,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let ids = Ids::of(&headers)?;
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&uri) else {
        return Err(bad("the query of the address can't be read").hint("write ?column=value&column=value").into());
    };
    let named = Asked { model: only(&pairs, "model"), probabilities: None };
    let served = match choose::model(&state, &headers, &named) {
        Ok(served) => served,
        // The word for the model may be a column's name too; then the header or a setting says which model is meant.
        Err(refusal) => match choose::model(&state, &headers, &Asked::default()) {
            Ok(served) if served.plan().find("model", 0).is_some() => served,
            _ => return Err(refusal),
        },
    };
    let speech = Speech::json(&state, &WORDS, None);
    let row = Row { pairs, speech };
    infer::answer(&state, served, row, vec![], admission, deadline).await.map(|answer| ids.add(answer))
}

fn only(pairs: &[(String, String)], wanted: &str) -> Option<String> {
    pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
}

/// A row from a query.
struct Row {
    pairs: Vec<(String, String)>,
    speech: Speech,
}

impl Dialect for Row {
    type Ask = Ask;

    fn read(&self, served: &Served, _: &[u8]) -> Result<(Frame, Ask), Failure> {
        let plan = served.plan();
        let mut reader = Reader::new(plan, Taking::Exact);
        reader.stamp = 1;
        let mut probabilities = false;
        for (at, (name, value)) in self.pairs.iter().enumerate() {
            if plan.find(name, at).is_none() {
                match (name.as_str(), value.as_str()) {
                    ("model", _) => continue,
                    ("probabilities", "true" | "false") => {
                        probabilities = value == "true";
                        continue;
                    }
                    ("probabilities", _) => return Err(bad("'probabilities' is true or false").on(name)),
                    _ => {}
                }
            }
            let at = reader.column(name, at, false)?;
            let dtype = plan.inputs().get(at).map(|input| input.dtype);
            if let Some(dtype) = dtype {
                reader.builder.push(at, &csv::scalar(value, false, dtype))?;
            }
        }
        if reader.seen.contains(&0) {
            return Err(plan
                .missing("the query", |at| reader.seen.get(at) == Some(&1))
                .hint("write ?column=value for every column; a missing value is ?column= with nothing behind it"));
        }
        Ok((reader.finish(Ok(()))?, Ask::new(Envelope::Predictions, probabilities)))
    }

    fn write(&self, served: &Served, ask: Ask, n_rows: usize, outputs: &Outputs) -> Result<Response, Refusal> {
        self.speech.write(served, ask, n_rows, outputs)
    }
}
