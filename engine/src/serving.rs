//! The endpoint of a workspace: every model with the alias `production`, kept up to date while it runs.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use athanor_protocol::{
    Code,
    api::ServedModel,
    registry::{ModelVersion, PRODUCTION},
};
use athanor_serve::{Keys, Model, ModelTable, PackagedModel, ServeConfig, ServeError, Served, State};
use tokio::sync::watch;

use crate::{
    error::{EngineError, Result},
    keys::StoreKeys,
    monitor::{Watcher, otlp},
    registry,
    workspace::Workspace,
};

/// How often a running endpoint looks whether aliases or keys have changed.
const REFRESH: Duration = Duration::from_millis(300);
/// How often it looks after what it watches.
const WATCH: Duration = Duration::from_millis(500);
/// How long the end waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// A version that is loaded now, so that it is not loaded again while it stays.
#[derive(Clone)]
struct Loaded {
    name: String,
    version: u32,
    sha256: String,
    model: Arc<dyn Model>,
}

/// An endpoint: what it serves and who may ask.
pub struct Endpoint {
    workspace: Arc<Workspace>,
    table: Arc<ModelTable>,
    keys: Arc<StoreKeys>,
    device: String,
    watcher: Watcher,
    /// Where spans are sent.
    traces: OnceLock<String>,
    loaded: Mutex<Vec<Loaded>>,
    seen: Mutex<Option<u64>>,
    /// Told when what is served has changed while it serves.
    on_change: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

fn serve_error(err: ServeError) -> EngineError {
    EngineError::Failure(err.into())
}

impl Endpoint {
    /// Loads what is to be served.
    ///
    /// # Errors
    /// If the database cannot be read. A damaged package is left out and logged: the others are served.
    pub fn new(workspace: Arc<Workspace>, device: &str) -> Result<Self> {
        let endpoint = Self {
            keys: Arc::new(StoreKeys::new(&workspace)?),
            watcher: Watcher::new(Arc::clone(&workspace))?,
            traces: OnceLock::new(),
            workspace,
            table: Arc::new(ModelTable::new()),
            device: device.to_owned(),
            loaded: Mutex::default(),
            seen: Mutex::default(),
            on_change: OnceLock::new(),
        };
        endpoint.refresh()?;
        // The first request is captured already where that is set. Watching never keeps an endpoint from serving.
        if let Err(err) = endpoint.watch() {
            tracing::warn!("cannot look after what is watched: {err}");
        }
        Ok(endpoint)
    }

    /// Names and versions that are served now.
    pub fn serving(&self) -> Vec<(String, u32)> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.iter().map(|loaded| (loaded.name.clone(), loaded.version)).collect()
    }

    /// What is served now, with what each model takes and gives.
    pub fn served(&self) -> Vec<ServedModel> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let served = |loaded: &Loaded| ServedModel {
            model: loaded.name.clone(),
            version: loaded.version,
            signature: loaded.model.signature().clone(),
        };
        loaded.iter().map(served).collect()
    }

    /// Who may ask.
    pub fn keys(&self) -> &Arc<StoreKeys> {
        &self.keys
    }

    /// Sends a span of each request to this collector while it serves. Counts once.
    ///
    /// # Errors
    /// If the address may not be called.
    pub fn trace_to(&self, collector: &str) -> Result<()> {
        // A second collector would have to be sent to as well: there is none.
        let _ = self.traces.set(otlp::address(collector)?);
        Ok(())
    }

    /// Looks after drift, alerts and captured requests.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Writes what was captured and judges the periods that are over.
    ///
    /// # Errors
    /// If the database or a file cannot be read or written.
    pub fn watch(&self) -> Result<()> {
        self.watcher.look(&|model, version| {
            let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            let found = loaded.iter().find(|loaded| loaded.name == model && loaded.version == version)?;
            found.model.statistics().cloned()
        })
    }

    /// Calls this when what is served has changed. Counts once.
    pub fn on_change(&self, tell: Box<dyn Fn() + Send + Sync>) {
        // A second listener would have to be told too: there is none.
        let _ = self.on_change.set(tell);
    }

    /// Looks whether aliases or keys have changed and swaps what is served in one step.
    ///
    /// # Errors
    /// If the database cannot be read; what is served stays.
    pub fn refresh(&self) -> Result<()> {
        let now = self.workspace.store.change_counter()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == Some(now) {
            if let Err(err) = self.keys.write_touched() {
                tracing::warn!("cannot note when keys were used: {err}");
            }
            return Ok(());
        }
        self.keys.refresh()?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = vec![];
        let mut all_loaded = true;
        for version in self.workspace.store.aliased(PRODUCTION)? {
            let same = |known: &&Loaded| {
                known.sha256 == version.sha256 && known.name == version.model && known.version == version.version
            };
            match loaded.iter().find(same) {
                Some(known) => next.push(known.clone()),
                None => match self.load(&version) {
                    Ok(fresh) => next.push(fresh),
                    Err(err) => {
                        tracing::error!(model = version.model, version = version.version, "not served: {err}");
                        // What was served under this name goes on; the next look tries again.
                        next.extend(loaded.iter().find(|known| known.name == version.model).cloned());
                        all_loaded = false;
                    }
                },
            }
        }
        let served: Result<Vec<Served>, ServeError> =
            next.iter().map(|loaded| Served::new(&loaded.name, loaded.version, Arc::clone(&loaded.model))).collect();
        self.table.replace(served.map_err(serve_error)?).map_err(serve_error)?;
        let names =
            |list: &[Loaded]| list.iter().map(|loaded| (loaded.name.clone(), loaded.version)).collect::<Vec<_>>();
        let is_changed = names(&loaded) != names(&next);
        *loaded = next;
        *seen = all_loaded.then_some(now);
        // Whoever is told may look at what is served.
        drop((loaded, seen));
        if let Some(tell) = self.on_change.get().filter(|_| is_changed) {
            tell();
        }
        Ok(())
    }

    fn load(&self, version: &ModelVersion) -> Result<Loaded> {
        let began = Instant::now();
        let (_, package) = registry::load(&self.workspace, version)?;
        let model = Arc::new(PackagedModel::new(&package, &self.device).map_err(serve_error)?);
        // A model that no request could carry is refused here, where only it is left out.
        Served::new(&version.model, version.version, Arc::clone(&model) as Arc<dyn Model>).map_err(serve_error)?;
        self.watcher.monitor().loaded(&version.model, version.version, began.elapsed());
        Ok(Loaded { name: version.model.clone(), version: version.version, sha256: version.sha256.clone(), model })
    }

    /// The endpoint as [`athanor_serve`] knows it, before it serves.
    ///
    /// # Errors
    /// If a setting cannot be used.
    pub fn state(&self, config: ServeConfig) -> Result<State> {
        let (keys, table) = (Arc::clone(&self.keys) as Arc<dyn Keys>, Arc::clone(&self.table));
        State::watched(config, keys, table, Arc::clone(self.watcher.monitor())).map_err(serve_error)
    }

    /// Serves until `stop` turns true; requests that are under way are answered first.
    ///
    /// # Errors
    /// If the socket cannot be served.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        config: ServeConfig,
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let state = self.state(config)?;
        self.serve_as(listener, state, stop).await
    }

    /// [`Self::serve`] with a state that somebody else looks at too.
    ///
    /// # Errors
    /// If the socket cannot be served.
    pub async fn serve_as(
        self: Arc<Self>,
        listener: TcpListener,
        state: State,
        mut stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let refresher = tokio::spawn(keep_fresh(Arc::clone(&self), stop.clone()));
        let watcher = tokio::spawn(keep_watch(Arc::clone(&self), stop.clone()));
        let traces = self.traces.get().map(|url| {
            let monitor = Arc::clone(self.watcher.monitor());
            tokio::spawn(otlp::export(monitor, url.clone(), stop.clone()))
        });
        let shutdown = async move {
            // A dropped sender means that nobody can stop us any more but by ending the process: then stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let served = athanor_serve::serve(listener, &state, shutdown).await;
        refresher.abort();
        watcher.abort();
        if let Some(traces) = traces {
            // The last batch may wait for a collector; the end must not.
            let _ = tokio::time::timeout(LAST_SPANS, traces).await;
        }
        // What was captured last is written as well.
        match tokio::task::spawn_blocking(move || self.watch()).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::warn!("cannot look after what is watched: {err}"),
            Err(err) => tracing::error!("looking after what is watched broke down: {err}"),
        }
        served.map_err(|err| EngineError::new(Code::Unavailable, format!("the endpoint ended: {err}")))
    }
}

async fn keep_fresh(endpoint: Arc<Endpoint>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let this = Arc::clone(&endpoint);
        // Reading the database and building a model may block; requests must not wait for it.
        match tokio::task::spawn_blocking(move || this.refresh()).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::warn!("cannot look for changed aliases and keys: {err}"),
            Err(err) => tracing::error!("looking for changed aliases and keys broke down: {err}"),
        }
    }
}

async fn keep_watch(endpoint: Arc<Endpoint>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let this = Arc::clone(&endpoint);
        match tokio::task::spawn_blocking(move || this.watch()).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::warn!("cannot look after what is watched: {err}"),
            Err(err) => tracing::error!("looking after what is watched broke down: {err}"),
        }
    }
}
