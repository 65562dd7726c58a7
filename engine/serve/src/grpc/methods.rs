//! The methods, by name.

use athanor_protocol::Code;
use axum::{
    extract::Request,
    http::{StatusCode, request::Parts},
    response::Response,
};
use prost::Message;

use super::{
    framing,
    messages::{
        Empty, HealthCheck, HealthStatus, ModelConfig, ModelConfigAnswer, ModelIndex, ModelInput, ModelMetadata,
        ModelOutput, Named, RepositoryIndex, ServerMetadata, TensorMetadata, Yes,
    },
    request::ModelInfer,
    wire,
};
use crate::{
    body::read_body,
    config::MAX_INLINE_BYTES,
    gate::{Admission, Deadline, RequestId},
    monitor::Route,
    oip_reply::{self, TensorMetadata as Described},
    refusal::{Refusal, bad},
    rollout,
    router::State,
};

/// The name of the service.
const SERVICE: &str = "inference.GRPCInferenceService";
/// Largest message of every method but `ModelInfer`.
const MAX_SMALL_BYTES: usize = 16 << 10;

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rpc {
    ServerLive,
    ServerReady,
    ServerMetadata,
    ModelReady,
    ModelMetadata,
    ModelConfig,
    ModelInfer,
    RepositoryIndex,
    Health,
}

impl Rpc {
    /// A method by its path.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        match (service, method) {
            ("grpc.health.v1.Health", "Check") => Some(Self::Health),
            (SERVICE, "ServerLive") => Some(Self::ServerLive),
            (SERVICE, "ServerReady") => Some(Self::ServerReady),
            (SERVICE, "ServerMetadata") => Some(Self::ServerMetadata),
            (SERVICE, "ModelReady") => Some(Self::ModelReady),
            (SERVICE, "ModelMetadata") => Some(Self::ModelMetadata),
            (SERVICE, "ModelConfig") => Some(Self::ModelConfig),
            (SERVICE, "ModelInfer") => Some(Self::ModelInfer),
            (SERVICE, "RepositoryIndex") => Some(Self::RepositoryIndex),
            _ => None,
        }
    }

    /// Whether it asks only for life, which needs no key.
    pub(super) fn is_probe(self) -> bool {
        matches!(self, Self::ServerLive | Self::ServerReady | Self::Health)
    }

    /// What it is for, as metrics say it.
    pub(super) fn route(self) -> Route {
        match self {
            Self::ModelInfer => Route::Infer,
            rpc if rpc.is_probe() => Route::Health,
            _ => Route::Metadata,
        }
    }

    /// Whether it is one of those that the endpoint is there for.
    pub(super) fn is_counted(self) -> bool {
        !self.is_probe()
    }
}

fn parse<M: Message + Default>(body: &[u8]) -> Result<M, Refusal> {
    M::decode(framing::one(body)?)
        .map_err(|_| bad("the message can't be read: it is no protocol buffer of this method").into())
}

/// A version where one is named.
fn some(version: &str) -> Option<&str> {
    (!version.is_empty()).then_some(version)
}

/// Reads the message of a request and answers it.
pub(super) async fn answer(
    state: &State,
    rpc: Rpc,
    request: Request,
    admission: Option<Admission>,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    if rpc == Rpc::ModelInfer {
        let Some(admission) = admission else { return Err(Refusal::internal("a prediction was not admitted")) };
        let body = read_body(body, state.config(), deadline).await?;
        return predict(state, &parts, body, admission, deadline).await;
    }
    let mut config = state.config().clone();
    config.max_body_bytes = config.max_body_bytes.min(MAX_SMALL_BYTES);
    let body = read_body(body, &config, deadline).await?;
    match rpc {
        Rpc::ServerLive => parse::<Empty>(&body).and_then(|_| framing::message(&Yes { yes: true })),
        Rpc::ServerReady => parse::<Empty>(&body).and_then(|_| framing::message(&Yes { yes: state.is_ready() })),
        Rpc::ServerMetadata => {
            parse::<Empty>(&body)?;
            let (name, version) = ("athanor".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
            framing::message(&ServerMetadata { name, version, extensions: vec![] })
        }
        Rpc::Health => health(state, &parse::<HealthCheck>(&body)?.service),
        Rpc::ModelReady => {
            let asked: Named = parse(&body)?;
            // What is served is ready; what is not served is no error here, as the protocol has it.
            let yes = state.served(&asked.name, some(&asked.version)).is_ok();
            framing::message(&Yes { yes })
        }
        Rpc::ModelMetadata => model_metadata(state, &parse(&body)?),
        Rpc::ModelConfig => model_config(state, &parse(&body)?),
        Rpc::RepositoryIndex => index(state),
        Rpc::ModelInfer => Err(Refusal::internal("a prediction went astray")),
    }
}

/// Looks at the message for its model; a large one elsewhere, because the look takes as long as the message is.
async fn predict(
    state: &State,
    parts: &Parts,
    body: Vec<u8>,
    admission: Admission,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let look = |body: &[u8]| -> Result<(String, String), Refusal> {
        let look = wire::look(framing::one(body)?)?;
        Ok((look.model.to_owned(), look.version.to_owned()))
    };
    let (model, version, body) = if body.len() > MAX_INLINE_BYTES {
        let looked = tokio::task::spawn_blocking(move || look(&body).map(|(model, version)| (model, version, body)));
        looked.await.map_err(|err| Refusal::internal(err.to_string()))??
    } else {
        let (model, version) = look(&body)?;
        (model, version, body)
    };
    let named = rollout::named(some(&version), &parts.headers)?;
    let id = parts.extensions.get::<RequestId>().map_or("-", |id| &*id.0);
    let routed = state.route(&model, named, &parts.headers, id)?;
    rollout::answer(state, routed, ModelInfer, body, admission, deadline).await
}

/// Whether the whole server, or this service of it, is ready.
fn health(state: &State, service: &str) -> Result<Response, Refusal> {
    const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;
    if !matches!(service, "" | SERVICE) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, "there is no service of that name"));
    }
    framing::message(&HealthStatus { status: if state.is_ready() { SERVING } else { NOT_SERVING } })
}

fn model_metadata(state: &State, asked: &Named) -> Result<Response, Refusal> {
    let served = state.served(&asked.name, some(&asked.version))?;
    let all = state.models().all();
    let versions = all.get(served.name()).into_iter().flatten().map(|served| served.version().to_string());
    let tensor = |Described { name, datatype, shape }: Described<'_>| TensorMetadata {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape,
    };
    framing::message(&ModelMetadata {
        name: served.name().to_owned(),
        versions: versions.collect(),
        platform: "athanor".to_owned(),
        inputs: oip_reply::inputs(&served).map(tensor).collect(),
        outputs: oip_reply::outputs(&served).map(tensor).collect(),
    })
}

/// The number that Triton's configuration has for a datatype.
fn number(datatype: &str) -> i32 {
    match datatype {
        "BOOL" => 1,
        "INT64" => 9,
        "FP64" => 12,
        "BYTES" => 13,
        // No model has others in its metadata.
        _ => 0,
    }
}

fn model_config(state: &State, asked: &Named) -> Result<Response, Refusal> {
    let served = state.served(&asked.name, some(&asked.version))?;
    let input = |tensor: Described<'_>| ModelInput {
        name: tensor.name.to_owned(),
        data_type: number(tensor.datatype),
        dims: tensor.shape,
    };
    let output = |tensor: Described<'_>| ModelOutput {
        name: tensor.name.to_owned(),
        data_type: number(tensor.datatype),
        dims: tensor.shape,
    };
    let config = ModelConfig {
        name: served.name().to_owned(),
        platform: "athanor".to_owned(),
        backend: "athanor".to_owned(),
        max_batch_size: 0,
        input: oip_reply::inputs(&served).map(input).collect(),
        output: oip_reply::outputs(&served).map(output).collect(),
    };
    framing::message(&ModelConfigAnswer { config: Some(config) })
}

fn index(state: &State) -> Result<Response, Refusal> {
    let all = state.models().all();
    let models = all.values().flatten().map(|served| ModelIndex {
        name: served.name().to_owned(),
        version: served.version().to_string(),
        state: "READY".to_owned(),
    });
    framing::message(&RepositoryIndex { models: models.collect() })
}
