//! Answers of the Open Inference Protocol: metadata, and outputs in JSON or raw.

use athanor_protocol::signature::{OUTPUT_LABEL, OUTPUT_VALUE};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    body::INFERENCE_HEADER_LENGTH,
    datatype::{Datatype, raw_texts},
    oip_body::{Wanted, output_names},
    refusal::Refusal,
    table::{Outputs, Served},
};

/// Name, datatype and shape of a tensor (-1: any number of rows).
#[derive(Serialize)]
pub(crate) struct TensorMetadata<'a> {
    pub(crate) name: &'a str,
    pub(crate) datatype: &'static str,
    pub(crate) shape: Vec<i64>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

/// Datatype and shape of an output for a number of rows (-1: any number).
pub(crate) fn describe(served: &Served, name: &'static str, n_rows: i64) -> TensorMetadata<'static> {
    let (datatype, shape) = match name {
        OUTPUT_LABEL => (Datatype::Bytes, vec![n_rows]),
        OUTPUT_VALUE => (Datatype::Fp64, vec![n_rows]),
        // Class lists are short; a vector's length always fits.
        _ => (Datatype::Fp64, vec![n_rows, served.signature().classes.len() as i64]),
    };
    TensorMetadata { name, datatype: datatype.as_str(), shape }
}

/// What a model takes.
pub(crate) fn inputs(served: &Served) -> impl Iterator<Item = TensorMetadata<'_>> {
    served.plan().inputs().iter().map(|input| TensorMetadata {
        name: &input.name,
        datatype: Datatype::of_column(input.dtype).as_str(),
        shape: vec![-1],
    })
}

/// What a model gives.
pub(crate) fn outputs(served: &Served) -> impl Iterator<Item = TensorMetadata<'static>> {
    output_names(served.signature()).iter().map(|&name| describe(served, name, -1))
}

/// The metadata of a model.
pub(crate) fn metadata(served: &Served, versions: Vec<String>) -> Result<Response, Refusal> {
    json(&Metadata {
        name: served.name(),
        versions,
        platform: "athanor",
        inputs: inputs(served).collect(),
        outputs: outputs(served).collect(),
    })
}

/// A JSON answer.
pub(crate) fn json(value: &impl Serialize) -> Result<Response, Refusal> {
    let body =
        serde_json::to_vec(value).map_err(|err| Refusal::internal(format!("an answer can't be written: {err}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Texts(Vec<&'a str>),
    Numbers(&'a [f64]),
}

#[derive(Serialize)]
struct RawSize {
    binary_data_size: usize,
}

#[derive(Serialize)]
struct OutputTensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<RawSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct InferAnswer<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<OutputTensor<'a>>,
}

/// The answer to `infer`.
pub(crate) fn infer(
    served: &Served,
    id: Option<&str>,
    wanted: &[Wanted],
    n_rows: usize,
    outputs: &Outputs,
) -> Result<Response, Refusal> {
    let mut raw = vec![];
    let mut tensors = Vec::with_capacity(wanted.len());
    for want in wanted {
        let data = match outputs {
            Outputs::Classes { labels, .. } if want.name == OUTPUT_LABEL => {
                Data::Texts(labels.iter().map(|label| &**label).collect())
            }
            Outputs::Classes { probabilities, .. } => Data::Numbers(probabilities),
            Outputs::Numbers(values) => Data::Numbers(values),
        };
        // Rows are bounded by the values of a request, far below the limits of the type.
        let TensorMetadata { name, datatype, shape } = describe(served, want.name, n_rows as i64);
        let mut tensor = OutputTensor { name, datatype, shape, parameters: None, data: None };
        if want.is_raw {
            let bytes = match data {
                Data::Texts(texts) => raw_texts(texts.into_iter()),
                Data::Numbers(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            };
            tensor.parameters = Some(RawSize { binary_data_size: bytes.len() });
            raw.extend_from_slice(&bytes);
        } else {
            tensor.data = Some(data);
        }
        tensors.push(tensor);
    }
    let answer =
        InferAnswer { model_name: served.name(), model_version: served.version().to_string(), id, outputs: tensors };
    if !wanted.iter().any(|want| want.is_raw) {
        return json(&answer);
    }
    let mut body =
        serde_json::to_vec(&answer).map_err(|err| Refusal::internal(format!("an answer can't be written: {err}")))?;
    let json_length = HeaderValue::from(body.len());
    body.extend_from_slice(&raw);
    let mut response = ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response();
    response.headers_mut().insert(INFERENCE_HEADER_LENGTH, json_length);
    Ok(response)
}
