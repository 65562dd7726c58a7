//! Settings of an endpoint, all with safe values.

use std::{net::SocketAddr, time::Duration};

/// Most values (rows times columns) in one request, whatever its bytes: the bound on what a body may grow to in memory.
pub(crate) const MAX_VALUES: usize = 1 << 21;
/// Most rows that are predicted on the thread that answers; more go to a thread of their own.
pub(crate) const MAX_INLINE_ROWS: usize = 64;
/// Largest body that is parsed on the thread that answers (about a tenth of a millisecond).
pub(crate) const MAX_INLINE_BYTES: usize = 32 << 10;
/// Most bytes of a request's line and headers together.
pub(crate) const MAX_HEADER_BYTES: usize = 16 << 10;
/// Most headers in a request.
pub(crate) const MAX_HEADERS: usize = 64;

/// Settings of an endpoint.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServeConfig {
    /// The address that the endpoint is bound to; its port completes host names that are listed without one.
    pub bound: SocketAddr,
    /// Largest body, announced or streamed.
    pub max_body_bytes: usize,
    /// Most non-empty chunks of a streamed body.
    pub max_body_chunks: usize,
    /// Deepest nesting of a JSON body.
    pub max_json_depth: usize,
    /// Time for one request: its body must have arrived (408 otherwise) and the prediction be made (504 otherwise).
    pub request_timeout: Duration,
    /// Time for a request's line and headers, and for the next request on an open connection.
    pub header_read_timeout: Duration,
    /// Time for requests under way when the endpoint is told to stop.
    pub drain_timeout: Duration,
    /// Most requests at once; more are answered 429.
    pub max_concurrent: usize,
    /// Most connections at once; more are answered 503 and closed.
    pub max_connections: usize,
    /// Wrong keys that one peer may send in a row; afterwards one each second.
    pub max_failed_attempts: u32,
    /// Names that the `Host` header may have: `name`, `name:port`, `[v6]` or `[v6]:port`. Without a port the bound port
    /// and no port are allowed.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may call, for example `https://tool.example`. A page of the endpoint's own origin
    /// always may.
    pub allowed_origins: Vec<String>,
    /// Who asks for keys.
    pub access: Access,
    /// Contracts of other platforms that are answered beside our own routes.
    pub contracts: Vec<Contract>,
    /// Whether the page on which one tries the models is there.
    pub try_page: bool,
    /// Which model answers addresses that name none: `NAME` or `NAME:VERSION`. Without it the only one that is served
    /// does.
    pub default_model: Option<String>,
    /// Vertex AI's `AIP_PREDICT_ROUTE`.
    pub vertex_predict_route: Option<String>,
    /// Vertex AI's `AIP_HEALTH_ROUTE`.
    pub vertex_health_route: Option<String>,
    /// Vertex AI's `AIP_DEPLOYED_MODEL_ID`, which answers repeat.
    pub vertex_deployed_model_id: Option<String>,
}

/// Who asks for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// This endpoint does.
    #[default]
    Keys,
    /// The platform in front of a container lets nobody in who may not call; whoever reaches the port may. To be chosen
    /// only where nothing but that platform can reach it. `allowed_hosts` may then hold `*`: any host; then a web page's
    /// origin counts only if it is listed.
    Platform,
}

/// A contract of another platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Amazon SageMaker: `/ping`, `/invocations`, `/execution-parameters`.
    SageMaker,
    /// MLflow's scoring server: `/ping`, `/health`, `/version`, `/invocations`.
    Mlflow,
    /// Google Vertex AI: the routes of its settings, or `/v1/endpoints/…:predict`.
    Vertex,
    /// Azure Machine Learning: `/`, `/score`, `/swagger.json`.
    Azure,
    /// KServe v1 and TensorFlow Serving: `/v1/models/NAME:predict` and their metadata.
    TensorFlow,
}

impl Contract {
    /// Every contract.
    pub const ALL: [Self; 5] = [Self::SageMaker, Self::Mlflow, Self::Vertex, Self::Azure, Self::TensorFlow];
}

impl ServeConfig {
    /// Safe settings: keys, every contract, 16 MiB bodies, 30 s for a request, 10 s for headers, 256 requests and 1,024 connections at once;
    /// the bound address and the names of the loopback interface as hosts, no origins.
    pub fn new(bound: SocketAddr) -> Self {
        let mut allowed_hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        let own = match bound {
            SocketAddr::V4(addr) => addr.ip().to_string(),
            SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
        };
        // "Any address" is no name that a client could call.
        if !bound.ip().is_unspecified() && !allowed_hosts.contains(&own) {
            allowed_hosts.push(own);
        }
        Self {
            bound,
            max_body_bytes: 16 << 20,
            max_body_chunks: 65_536,
            max_json_depth: 100,
            request_timeout: Duration::from_secs(30),
            header_read_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            max_concurrent: 256,
            max_connections: 1_024,
            max_failed_attempts: 10,
            allowed_hosts,
            allowed_origins: vec![],
            access: Access::Keys,
            contracts: Contract::ALL.to_vec(),
            try_page: true,
            default_model: None,
            vertex_predict_route: None,
            vertex_health_route: None,
            vertex_deployed_model_id: None,
        }
    }
}
