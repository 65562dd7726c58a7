//! A contract as a dialect: rows in one of its forms, predictions wrapped as its clients expect them.

use std::{fmt::Write as _, sync::Arc};

use athanor_protocol::{Code, Failure, columns::Frame};
use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{
    csv,
    json::{self, Words},
    media::{Media, Reply},
};
use crate::{
    compression,
    gate::{Admission, Deadline},
    infer::{self, Dialect},
    named::{Answer, ClassRow, Predictions, Probabilities},
    oip_reply::json as answer_json,
    refusal::{Refusal, quoted},
    router::State,
    table::{Outputs, Served},
};

/// How an answer is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// As our own `predict` does: `{"model", "version", "predictions": [{"label", "probabilities"}]}`.
    Own,
    /// `{"predictions": […]}`.
    Predictions,
    /// `{"outputs": […]}`, columns instead of rows.
    Outputs,
    /// `[…]`.
    Bare,
    /// `{"result": [[[class, probability], …], …]}`.
    Classify,
    /// `{"result": [number, …]}`.
    Regress,
}

/// How a request of a contract is read and answered.
pub(crate) struct Speech {
    /// The words of its JSON.
    pub(crate) words: &'static Words,
    /// What the body is.
    pub(crate) media: Media,
    /// What the answer is to be.
    pub(crate) reply: Reply,
    /// Whether the answer holds probabilities, unless the body says otherwise.
    pub(crate) probabilities: bool,
    /// What Vertex AI calls the model.
    pub(crate) deployed_model_id: Option<String>,
    /// Deepest nesting of JSON.
    pub(crate) max_depth: usize,
}

impl Speech {
    /// JSON in, JSON out.
    pub(crate) fn json(state: &State, words: &'static Words, probabilities: Option<bool>) -> Self {
        Self {
            words,
            media: Media::Json,
            reply: Reply::Json,
            probabilities: probabilities.unwrap_or_default(),
            deployed_model_id: None,
            max_depth: state.config().max_json_depth,
        }
    }
}

/// What of a request its answer needs.
pub(crate) struct Ask {
    envelope: Envelope,
    probabilities: bool,
}

impl Ask {
    pub(crate) fn new(envelope: Envelope, probabilities: bool) -> Self {
        Self { envelope, probabilities }
    }
}

/// Reads a body and answers it.
pub(crate) async fn answer(
    state: &State,
    served: Arc<Served>,
    speech: Speech,
    headers: &HeaderMap,
    body: Body,
    admission: Admission,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let body = compression::read(state, headers, body, &admission, deadline).await?;
    infer::answer(state, served, speech, body, admission, deadline).await
}

/// Predictions row by row: a class or a number each, or a class with its probabilities.
struct Values<'a> {
    classes: &'a [String],
    outputs: &'a Outputs,
    with_probabilities: bool,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = self.classes;
        let mut rows = serializer.serialize_seq(None)?;
        match self.outputs {
            Outputs::Classes { labels, probabilities } if self.with_probabilities => {
                for (label, values) in labels.iter().zip(probabilities.chunks(classes.len().max(1))) {
                    rows.serialize_element(&ClassRow { label, probabilities: Probabilities { classes, values } })?;
                }
            }
            Outputs::Classes { labels, .. } => {
                for label in labels {
                    rows.serialize_element(&**label)?;
                }
            }
            Outputs::Numbers(values) => {
                for value in values {
                    rows.serialize_element(value)?;
                }
            }
        }
        rows.end()
    }
}

/// Probabilities as a list for each row.
struct Matrix<'a> {
    values: &'a [f64],
    width: usize,
}

impl Serialize for Matrix<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values.chunks(self.width.max(1)))
    }
}

/// Class and probability of each class, for each row.
struct Scores<'a> {
    classes: &'a [String],
    values: &'a [f64],
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = |values: &[f64]| {
            self.classes.iter().map(String::as_str).zip(values.iter().copied()).collect::<Vec<(&str, f64)>>()
        };
        serializer.collect_seq(self.values.chunks(self.classes.len().max(1)).map(row))
    }
}

#[derive(Serialize)]
struct PredictionsAnswer<'a> {
    predictions: Values<'a>,
    #[serde(rename = "deployedModelId", skip_serializing_if = "Option::is_none")]
    deployed_model_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ResultAnswer<T> {
    result: T,
}

#[derive(Serialize)]
struct OutputsAnswer<T> {
    outputs: T,
}

#[derive(Serialize)]
struct NamedOutputs<'a> {
    label: Values<'a>,
    probabilities: Matrix<'a>,
}

impl Dialect for Speech {
    type Ask = Ask;

    fn read(&self, served: &Served, body: &[u8]) -> Result<(Frame, Ask), Failure> {
        let (frame, envelope, said) = match self.media {
            Media::Json => {
                let said = json::read(served.plan(), body, self.max_depth, self.words)?;
                (said.frame, said.envelope, said.probabilities)
            }
            Media::Csv { header } => (csv::read(served.plan(), body, header)?, Envelope::Predictions, None),
            Media::Lines => (json::read_lines(served.plan(), body, self.max_depth)?, Envelope::Predictions, None),
        };
        let is_classifier = served.signature().task.is_classification();
        let wrong_verb = match envelope {
            Envelope::Classify if !is_classifier => Some(("a number", "regress")),
            Envelope::Regress if is_classifier => Some(("a class", "classify")),
            _ => None,
        };
        if let Some((what, verb)) = wrong_verb {
            let message = format!("the model {} predicts {what}", quoted(served.name()));
            return Err(Failure::new(Code::InvalidArgument, message).hint(format!("POST to :{verb} or :predict")));
        }
        Ok((frame, Ask { envelope, probabilities: said.unwrap_or(self.probabilities) }))
    }

    fn write(&self, served: &Served, ask: Ask, _: usize, outputs: &Outputs) -> Result<Response, Refusal> {
        let classes = served.signature().classes.as_slice();
        let values = Values { classes, outputs, with_probabilities: ask.probabilities };
        match self.reply {
            Reply::Csv => {
                return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], table(&values)).into_response());
            }
            Reply::Lines => {
                let lines = lines(served, &values)?;
                return Ok(([(header::CONTENT_TYPE, "application/jsonlines")], lines).into_response());
            }
            Reply::Json => {}
        }
        match (ask.envelope, outputs) {
            (Envelope::Own, _) => answer_json(&Answer::new(served, outputs)),
            (Envelope::Bare, _) => answer_json(&values),
            (Envelope::Predictions, _) => {
                let deployed_model_id = self.deployed_model_id.as_deref();
                answer_json(&PredictionsAnswer { predictions: values, deployed_model_id })
            }
            (Envelope::Outputs, Outputs::Classes { probabilities, .. }) if ask.probabilities => {
                let label = Values { with_probabilities: false, ..values };
                let probabilities = Matrix { values: probabilities, width: classes.len() };
                answer_json(&OutputsAnswer { outputs: NamedOutputs { label, probabilities } })
            }
            (Envelope::Outputs, _) => answer_json(&OutputsAnswer { outputs: values }),
            (Envelope::Classify, Outputs::Classes { probabilities, .. }) => {
                answer_json(&ResultAnswer { result: Scores { classes, values: probabilities } })
            }
            (Envelope::Classify | Envelope::Regress, _) => answer_json(&ResultAnswer { result: values }),
        }
    }
}

/// A line for each row: the class or the number, and with probabilities one more column for each class.
fn table(values: &Values<'_>) -> String {
    let mut text = String::new();
    match values.outputs {
        Outputs::Classes { labels, probabilities } => {
            for (label, row) in labels.iter().zip(probabilities.chunks(values.classes.len().max(1))) {
                csv::write(label, &mut text);
                for value in row.iter().filter(|_| values.with_probabilities) {
                    // Writing into a string never fails.
                    let _ = write!(text, ",{value}");
                }
                text.push('\n');
            }
        }
        Outputs::Numbers(numbers) => {
            for value in numbers {
                let _ = writeln!(text, "{value}");
            }
        }
    }
    text
}

/// A JSON object for each row, as our own answers have them; without probabilities where nobody asked for them.
fn lines(served: &Served, values: &Values<'_>) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Label<'a> {
        label: &'a str,
    }
    let failed = |err: serde_json::Error| Refusal::internal(format!("an answer can't be written: {err}"));
    let rows: Vec<u8> = match values.outputs {
        Outputs::Classes { labels, .. } if !values.with_probabilities => {
            let labels: Vec<Label<'_>> = labels.iter().map(|label| Label { label }).collect();
            split(&labels).map_err(failed)?
        }
        outputs => Predictions::new(served, outputs).write_lines().map_err(failed)?,
    };
    Ok(rows)
}

fn split(rows: &[impl Serialize]) -> serde_json::Result<Vec<u8>> {
    let mut text = vec![];
    for row in rows {
        serde_json::to_writer(&mut text, row)?;
        text.push(b'\n');
    }
    Ok(text)
}
