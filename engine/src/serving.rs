//! The endpoint of a workspace: every model with the alias `production`, kept up to date while it runs.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
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
    identity::{AllKeys, Identity},
    keys::StoreKeys,
    registry,
    transport::{TlsFiles, Transport},
    workspace::Workspace,
};

/// How often a running endpoint looks whether aliases or keys have changed.
const REFRESH: Duration = Duration::from_millis(300);

/// How often certificates and a provider's keys are looked at.
const LOOK: Duration = Duration::from_secs(1);

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
            workspace,
            table: Arc::new(ModelTable::new()),
            device: device.to_owned(),
            loaded: Mutex::default(),
            seen: Mutex::default(),
            on_change: OnceLock::new(),
        };
        endpoint.refresh()?;
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
        if let Err(err) = self.keys.write_usage() {
            tracing::warn!("cannot note what keys have asked for: {err}");
        }
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
        let (_, package) = registry::load(&self.workspace, version)?;
        let model = Arc::new(PackagedModel::new(&package, &self.device).map_err(serve_error)?);
        // A model that no request could carry is refused here, where only it is left out.
        Served::new(&version.model, version.version, Arc::clone(&model) as Arc<dyn Model>).map_err(serve_error)?;
        Ok(Loaded { name: version.model.clone(), version: version.version, sha256: version.sha256.clone(), model })
    }

    /// The endpoint as [`athanor_serve`] knows it, before it serves.
    ///
    /// # Errors
    /// If a setting cannot be used.
    pub fn state(&self, config: ServeConfig) -> Result<State> {
        self.state_with(config, &Transport::default())
    }

    /// [`Self::state`] with an identity provider's tokens, where there are any.
    ///
    /// # Errors
    /// If a setting cannot be used.
    pub fn state_with(&self, config: ServeConfig, transport: &Transport) -> Result<State> {
        let keys: Arc<dyn Keys> = match &transport.identity {
            None => Arc::clone(&self.keys) as Arc<dyn Keys>,
            Some(identity) => Arc::new(AllKeys { keys: Arc::clone(&self.keys), identity: Arc::clone(identity) }),
        };
        State::new(config, keys, Arc::clone(&self.table)).map_err(serve_error)
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
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        self.serve_with(listener, Transport::default(), state, stop).await
    }

    /// [`Self::serve_as`] with everything that an endpoint may have besides: gRPC, certificates that change, tokens.
    ///
    /// # Errors
    /// If a socket cannot be served.
    pub async fn serve_with(
        self: Arc<Self>,
        listener: TcpListener,
        transport: Transport,
        state: State,
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let refresher = tokio::spawn(keep_fresh(Arc::clone(&self), stop.clone()));
        let Transport { grpc, tls, identity } = transport;
        let looker = tokio::spawn(keep_looking(tls, identity, stop.clone()));
        let http = athanor_serve::serve(listener, &state, told(stop.clone()));
        let served = match grpc {
            None => http.await,
            // An error of one ends the other as well.
            Some(grpc) => tokio::try_join!(http, athanor_serve::serve_grpc(grpc, &state, told(stop))).map(|_| ()),
        };
        refresher.abort();
        looker.abort();
        if let Err(err) = self.keys.write_usage() {
            tracing::warn!("cannot note what keys have asked for: {err}");
        }
        served.map_err(|err| EngineError::new(Code::Unavailable, format!("the endpoint ended: {err}")))
    }
}

/// Is there when the endpoint is to stop.
async fn told(mut stop: watch::Receiver<bool>) {
    // A dropped sender means that nobody can stop us any more but by ending the process: then stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Looks whether certificates or a provider's keys have changed. Apart from aliases, because a provider may be slow.
async fn keep_looking(tls: Option<Arc<TlsFiles>>, identity: Option<Arc<Identity>>, mut stop: watch::Receiver<bool>) {
    if tls.is_none() && identity.is_none() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let (tls, identity) = (tls.clone(), identity.clone());
        let looked = tokio::task::spawn_blocking(move || {
            if let Some(tls) = tls {
                tls.refresh();
            }
            if let Some(identity) = identity {
                identity.refresh();
            }
        });
        if let Err(err) = looked.await {
            tracing::error!("looking for changed certificates and keys broke down: {err}");
        }
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
