//! Counters of one served version, or of requests that reached none. Only additions; nobody waits.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use athanor_protocol::{Code, monitor::ColumnQuality};

use crate::config::ServeConfig;

/// Upper bounds of the buckets of request durations, in seconds; above the last is one more.
pub(crate) const BOUNDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Statuses that are counted by themselves; the last one stands for all others.
pub(crate) const STATUSES: [u16; 19] =
    [200, 202, 204, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 422, 429, 500, 503, 504, 0];
/// The most columns of a version that have counters of their own.
pub(crate) const MAX_COLUMNS: usize = 200;

/// What an address is for. A fixed list, so that no client can make a new series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Infer,
    Predict,
    Metadata,
    Health,
    Feedback,
    Metrics,
    Other,
}

impl Route {
    pub(crate) const ALL: [Self; 7] =
        [Self::Infer, Self::Predict, Self::Metadata, Self::Health, Self::Feedback, Self::Metrics, Self::Other];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Predict => "predict",
            Self::Metadata => "metadata",
            Self::Health => "health",
            Self::Feedback => "feedback",
            Self::Metrics => "metrics",
            Self::Other => "other",
        }
    }

    /// By the beginning and the end of a path, and by the routes that a platform has chosen.
    pub(crate) fn of(path: &str, config: &ServeConfig) -> Self {
        let is_model = path.starts_with("/v1/models") || path.starts_with("/v2/models");
        match path {
            path if config.vertex_predict_route.as_deref() == Some(path) => Self::Predict,
            path if config.vertex_health_route.as_deref() == Some(path) => Self::Health,
            "/invocations" | "/score" => Self::Predict,
            "/ping" | "/health" => Self::Health,
            "/execution-parameters" | "/openapi.json" | "/swagger.json" | "/version" => Self::Metadata,
            // The verbs of TensorFlow Serving, KServe and Vertex AI.
            path if [":predict", ":classify", ":regress"].iter().any(|verb| path.ends_with(verb)) => Self::Predict,
            "/metrics" => Self::Metrics,
            "/v2" => Self::Metadata,
            "/v2/health/live" | "/v2/health/ready" => Self::Health,
            path if is_model && path.ends_with("/infer") => Self::Infer,
            path if is_model && path.ends_with("/predict") => Self::Predict,
            path if is_model && path.ends_with("/feedback") => Self::Feedback,
            _ if is_model => Self::Metadata,
            _ => Self::Other,
        }
    }
}

/// Requests of one kind of address.
#[derive(Default)]
pub(crate) struct RouteSeries {
    pub(crate) statuses: [AtomicU64; STATUSES.len()],
    pub(crate) buckets: [AtomicU64; BOUNDS.len() + 1],
    pub(crate) nanos: AtomicU64,
}

/// Counts of one column over all periods that are over.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnCounts {
    pub(crate) column: String,
    pub(crate) n_missing: u64,
    pub(crate) n_new_categories: u64,
    pub(crate) n_out_of_range: u64,
    pub(crate) n_refused: u64,
}

/// All counters of one version.
pub(crate) struct Series {
    pub(crate) routes: [RouteSeries; Route::ALL.len()],
    pub(crate) n_rows: AtomicU64,
    pub(crate) n_captured: AtomicU64,
    pub(crate) n_not_captured: AtomicU64,
    failures: Mutex<BTreeMap<Code, u64>>,
    columns: Mutex<Vec<ColumnCounts>>,
}

impl Series {
    pub(crate) fn new(columns: Vec<String>) -> Self {
        let counts = |column| ColumnCounts { column, ..ColumnCounts::default() };
        Self {
            routes: Default::default(),
            n_rows: AtomicU64::new(0),
            n_captured: AtomicU64::new(0),
            n_not_captured: AtomicU64::new(0),
            failures: Mutex::default(),
            columns: Mutex::new(columns.into_iter().take(MAX_COLUMNS).map(counts).collect()),
        }
    }

    /// Counts a request that is over.
    pub(crate) fn finished(&self, route: Route, status: u16, code: Option<Code>, took: Duration) {
        let series = &self.routes[route as usize];
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        series.statuses[at].fetch_add(1, Relaxed);
        let secs = took.as_secs_f64();
        series.buckets[BOUNDS.partition_point(|bound| *bound < secs)].fetch_add(1, Relaxed);
        series.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        if let Some(code) = code {
            self.failed(code);
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, code: Code) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    pub(crate) fn answered(&self, n_rows: u64) {
        self.n_rows.fetch_add(n_rows, Relaxed);
    }

    pub(crate) fn captured(&self, is_kept: bool) {
        let counter = if is_kept { &self.n_captured } else { &self.n_not_captured };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_quality(&self, quality: &[ColumnQuality]) {
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        for (counts, quality) in columns.iter_mut().zip(quality) {
            counts.n_missing += quality.n_missing;
            counts.n_new_categories += quality.n_new_categories;
            counts.n_out_of_range += quality.n_out_of_range;
            counts.n_refused += quality.n_refused;
        }
    }

    pub(crate) fn failures(&self) -> BTreeMap<Code, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn columns(&self) -> Vec<ColumnCounts> {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_fall_into_a_fixed_list() {
        let mut config = ServeConfig::new(std::net::SocketAddr::from(([127, 0, 0, 1], 8080)));
        config.vertex_predict_route = Some("/mine".to_owned());
        for (path, expect) in [
            ("/invocations", Route::Predict),
            ("/score", Route::Predict),
            ("/mine", Route::Predict),
            ("/ping", Route::Health),
            ("/v1/models/wine:predict", Route::Predict),
            ("/v1/models/wine/versions/3:classify", Route::Predict),
            ("/v1/endpoints/1/deployedModels/2:predict", Route::Predict),
            ("/v2", Route::Metadata),
            ("/v2/health/live", Route::Health),
            ("/v2/models/wine/infer", Route::Infer),
            ("/v2/models/wine/versions/3/infer", Route::Infer),
            ("/v1/models/wine/predict", Route::Predict),
            ("/v1/models/wine/feedback", Route::Feedback),
            ("/v1/models/predict", Route::Predict),
            ("/v1/models", Route::Metadata),
            ("/metrics", Route::Metrics),
            ("/infer", Route::Other),
            ("", Route::Other),
        ] {
            assert_eq!(Route::of(path, &config), expect, "{path}");
        }
        for (at, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
        assert!(BOUNDS.is_sorted());
    }
}
