//! `ModelInfer`: from tensors, typed or raw, to a model's raw columns, and back.

use std::{borrow::Cow, collections::HashMap};

use athanor_protocol::{Failure, columns::Frame, signature::OUTPUT_LABEL};
use axum::response::Response;
use prost::Message as _;

use super::{
    framing::{self, PREFIX_BYTES},
    messages::{Contents, InferAnswer, InferParameter, InferRequest, InputTensor, OutputTensor},
    wire,
};
use crate::{
    datatype::{Datatype, raw_texts},
    infer::Dialect,
    oip_body::{self, Payload, Tensor, Wanted, of_input, output_names},
    oip_reply::{TensorMetadata, describe},
    refusal::{Refusal, bad},
    table::{Outputs, Served},
    values::{Scalar, TensorValues},
};

/// The dialect of `ModelInfer`. Bodies come with their prefix.
pub(super) struct ModelInfer;

/// What of a request its answer needs.
pub(super) struct Ask {
    id: String,
    wanted: Vec<Wanted>,
}

impl Dialect for ModelInfer {
    type Ask = Ask;

    fn read(&self, served: &Served, body: &[u8]) -> Result<(Frame, Ask), Failure> {
        let message = body.get(PREFIX_BYTES..).unwrap_or_default();
        let raw = wire::look(message)?.raw;
        let request = InferRequest::decode(message).map_err(|_| bad("the message can't be read"))?;
        let is_raw = !raw.is_empty();
        let wanted = wanted(&request, served, is_raw)?;
        if is_raw && raw.len() != request.inputs.len() {
            let (n_raw, n_inputs) = (raw.len(), request.inputs.len());
            return Err(bad(format!("'raw_input_contents' has {n_raw} tensors, 'inputs' {n_inputs}")));
        }
        let mut raw = raw.into_iter();
        let tensors: Result<Vec<_>, Failure> =
            request.inputs.into_iter().map(|input| tensor(input, raw.next())).collect();
        let frame = oip_body::frame(served.plan(), &tensors?)?;
        Ok((frame, Ask { id: request.id, wanted }))
    }

    fn write(&self, served: &Served, ask: Ask, n_rows: usize, outputs: &Outputs) -> Result<Response, Refusal> {
        let mut answer = InferAnswer {
            model_name: served.name().to_owned(),
            model_version: served.version().to_string(),
            id: ask.id,
            outputs: Vec::with_capacity(ask.wanted.len()),
            raw_output_contents: vec![],
        };
        for want in &ask.wanted {
            // Rows are bounded by the values of a request, far below the limits of the type.
            let TensorMetadata { name, datatype, shape } = describe(served, want.name, n_rows as i64);
            let (raw, contents) = match outputs {
                Outputs::Classes { labels, .. } if want.name == OUTPUT_LABEL => {
                    let texts = labels.iter().map(|label| &**label);
                    if want.is_raw {
                        (Some(raw_texts(texts)), None)
                    } else {
                        let bytes = texts.map(|text| text.as_bytes().to_vec()).collect();
                        (None, Some(Contents { bytes, ..Contents::default() }))
                    }
                }
                Outputs::Classes { probabilities: values, .. } | Outputs::Numbers(values) if want.is_raw => {
                    (Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()), None)
                }
                Outputs::Classes { probabilities: values, .. } | Outputs::Numbers(values) => {
                    (None, Some(Contents { fp64s: values.clone(), ..Contents::default() }))
                }
            };
            answer.raw_output_contents.extend(raw);
            answer.outputs.push(OutputTensor { name: name.to_owned(), datatype: datatype.to_owned(), shape, contents });
        }
        framing::message(&answer)
    }
}

/// Parameters that ask for what is not here. Others are a client's own affair, as the protocol has it.
fn check_parameters(parameters: &HashMap<String, InferParameter>) -> Result<(), Failure> {
    if parameters.contains_key("classification") {
        return Err(oip_body::no_classification());
    }
    if parameters.keys().any(|name| name.starts_with("shared_memory_")) {
        return Err(oip_body::no_shared_memory());
    }
    Ok(())
}

/// The outputs that are asked for, or all; in the kind in which the inputs came.
fn wanted(request: &InferRequest, served: &Served, is_raw: bool) -> Result<Vec<Wanted>, Failure> {
    let signature = served.signature();
    if request.outputs.is_empty() {
        return Ok(output_names(signature).iter().map(|&name| Wanted { name, is_raw }).collect());
    }
    let mut wanted: Vec<Wanted> = vec![];
    for asked in &request.outputs {
        let name = oip_body::output(signature, &asked.name, &wanted)?;
        check_parameters(&asked.parameters)?;
        wanted.push(Wanted { name, is_raw });
    }
    Ok(wanted)
}

/// A tensor with its values, typed or raw.
fn tensor<'a>(input: InputTensor, raw: Option<&'a [u8]>) -> Result<Tensor<'a>, Failure> {
    let InputTensor { name, datatype, shape, parameters, contents } = input;
    let payload = check_parameters(&parameters).and_then(|()| match (raw, contents) {
        (Some(_), Some(_)) => Err(bad("it has both 'contents' and 'raw_input_contents'")),
        (Some(raw), None) => Ok(Payload::Raw(raw)),
        (None, contents) => {
            let values = values(&datatype, contents.unwrap_or_default())?;
            Ok(Payload::Values(TensorValues { values, nesting: None }))
        }
    });
    let payload = payload.map_err(|failure| of_input(&name, failure))?;
    Tensor::new(Cow::Owned(name), &datatype, &shape, payload)
}

/// Typed values, from the one field where the datatype has them.
fn values(datatype: &str, contents: Contents) -> Result<Vec<Scalar>, Failure> {
    let datatype = Datatype::parse(datatype)?;
    let Contents { bools, ints, int64s, uints, uint64s, fp32s, fp64s, bytes } = contents;
    let all = [
        ("bool_contents", bools.len()),
        ("int_contents", ints.len()),
        ("int64_contents", int64s.len()),
        ("uint_contents", uints.len()),
        ("uint64_contents", uint64s.len()),
        ("fp32_contents", fp32s.len()),
        ("fp64_contents", fp64s.len()),
        ("bytes_contents", bytes.len()),
    ];
    let whole = |value: u64| i64::try_from(value).map_or(Scalar::Big(value), Scalar::Int);
    let (field, values) = match datatype {
        Datatype::Bool => ("bool_contents", bools.into_iter().map(Scalar::Bool).collect()),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => {
            ("int_contents", ints.into_iter().map(|value| Scalar::Int(i64::from(value))).collect())
        }
        Datatype::Int64 => ("int64_contents", int64s.into_iter().map(Scalar::Int).collect()),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => {
            ("uint_contents", uints.into_iter().map(|value| Scalar::Int(i64::from(value))).collect())
        }
        Datatype::Uint64 => ("uint64_contents", uint64s.into_iter().map(whole).collect()),
        Datatype::Fp32 => ("fp32_contents", fp32s.into_iter().map(|value| Scalar::Float(f64::from(value))).collect()),
        Datatype::Fp64 => ("fp64_contents", fp64s.into_iter().map(Scalar::Float).collect()),
        Datatype::Bytes => ("bytes_contents", texts(bytes)?),
    };
    match all.into_iter().find(|&(name, n)| name != field && n > 0) {
        None => Ok(values),
        Some((name, _)) => {
            let message = format!("its values are in '{name}', those of {} belong in '{field}'", datatype.as_str());
            Err(bad(message))
        }
    }
}

fn texts(all: Vec<Vec<u8>>) -> Result<Vec<Scalar>, Failure> {
    let text = |(at, bytes)| match String::from_utf8(bytes) {
        Ok(text) => Ok(Scalar::Text(text.into())),
        Err(_) => Err(bad(format!("value {} of its 'bytes_contents' is not UTF-8", at + 1))),
    };
    all.into_iter().enumerate().map(text).collect()
}
