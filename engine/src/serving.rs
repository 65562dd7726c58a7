//! The endpoint of a workspace: every version that an alias points to, kept up to date while it runs.

mod example;
mod rollouts;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use athanor_protocol::{
    Code,
    api::ServedModel,
    names::{ModelRef, Selector},
    registry::{ModelVersion, PRODUCTION},
    rollout::Rollout,
};
use athanor_serve::{Keys, Lineup, Model, ModelTable, PackagedModel, ServeConfig, ServeError, Served, State};
use tokio::sync::watch;

use self::rollouts::Rollouts;
use crate::{
    error::{EngineError, Result},
    identity::{AllKeys, Identity},
    keys::StoreKeys,
    monitor::{Watcher, otlp},
    registry,
    transport::{TlsFiles, Transport},
    workspace::Workspace,
};

/// How often a running endpoint looks whether aliases or keys have changed.
const REFRESH: Duration = Duration::from_millis(300);
/// Most versions that are loaded only because an alias other than `production` points to them. Further ones are loaded
/// when somebody asks for them, and take the place of those that were loaded first.
const MAX_BESIDE: usize = 32;
/// How often it looks after what it watches.
const WATCH: Duration = Duration::from_millis(500);
/// How long the end waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// How often certificates and a provider's keys are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A version that is loaded now, so that it is not loaded again while it stays.
#[derive(Clone)]
struct Loaded {
    sha256: String,
    served: Arc<Served>,
}

impl Loaded {
    fn is(&self, version: &ModelVersion) -> bool {
        self.sha256 == version.sha256 && self.served.name() == version.model && self.served.version() == version.version
    }
}

/// Called with a rollout that changed.
type RolloutListener = Box<dyn Fn(&Rollout) + Send + Sync>;

/// An endpoint: what it serves and who may ask.
pub struct Endpoint {
    workspace: Arc<Workspace>,
    table: Arc<ModelTable>,
    keys: Arc<StoreKeys>,
    device: String,
    watcher: Watcher,
    /// Where spans are sent.
    traces: OnceLock<String>,
    /// In the order of the answer to who is served: what `production` means stands before other versions of its model.
    loaded: Mutex<Vec<Loaded>>,
    /// Versions that are loaded because somebody asked for them by an alias, the oldest first.
    asked: Mutex<Vec<(String, u32)>>,
    seen: Mutex<Option<u64>>,
    rollouts: Rollouts,
    /// Rollouts as they were told last.
    told: Mutex<Vec<Rollout>>,
    /// Told when what is served has changed while it serves.
    on_change: OnceLock<Box<dyn Fn() + Send + Sync>>,
    on_rollout: OnceLock<RolloutListener>,
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
            asked: Mutex::default(),
            seen: Mutex::default(),
            rollouts: Rollouts::default(),
            told: Mutex::default(),
            on_change: OnceLock::new(),
            on_rollout: OnceLock::new(),
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
        loaded.iter().map(|loaded| (loaded.served.name().to_owned(), loaded.served.version())).collect()
    }

    /// What answers for each model where a request names no version, with what it takes and gives.
    pub fn served(&self) -> Vec<ServedModel> {
        let lineup = self.table.now();
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let served = |loaded: &Loaded| ServedModel {
            model: loaded.served.name().to_owned(),
            version: loaded.served.version(),
            signature: loaded.served.signature().clone(),
            example: loaded.served.statistics().map(example::row).unwrap_or_default(),
        };
        let answers = |loaded: &&Loaded| lineup.default_of(loaded.served.name()) == Some(loaded.served.version());
        loaded.iter().filter(answers).map(served).collect()
    }

    /// Who may ask.
    pub fn keys(&self) -> &Arc<StoreKeys> {
        &self.keys
    }

    /// A model's rollout as it is in this process now, where one runs.
    pub fn rollout(&self, model: &str) -> Option<Rollout> {
        self.table.now().trial(model).map(|trial| trial.now())
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
            let is_it = |loaded: &&Loaded| loaded.served.name() == model && loaded.served.version() == version;
            loaded.iter().find(is_it)?.served.statistics().cloned()
        })?;
        self.rollouts.tell_drift(&self.workspace)
    }

    /// Calls this when what is served has changed. Counts once.
    pub fn on_change(&self, tell: Box<dyn Fn() + Send + Sync>) {
        // A second listener would have to be told too: there is none.
        let _ = self.on_change.set(tell);
    }

    /// Calls this with each rollout that began, moved on or ended. Counts once.
    pub fn on_rollout(&self, tell: Box<dyn Fn(&Rollout) + Send + Sync>) {
        let _ = self.on_rollout.set(tell);
    }

    /// Looks whether aliases, rollouts or keys have changed and swaps what is served in one step. What this process has
    /// decided about rollouts is written down first.
    ///
    /// # Errors
    /// If the database cannot be read; what is served stays.
    pub fn refresh(&self) -> Result<()> {
        if let Err(err) = self.keys.write_usage() {
            tracing::warn!("cannot note what keys have asked for: {err}");
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.rollouts.tick(&self.workspace);
        let wanted = self.table.take_wanted();
        let now = self.workspace.store.change_counter()?;
        if *seen == Some(now) && wanted.is_empty() {
            if let Err(err) = self.keys.write_touched() {
                tracing::warn!("cannot note when keys were used: {err}");
            }
            return Ok(());
        }
        self.keys.refresh()?;
        let (next, lineup, running, all_loaded) = self.line_up(wanted)?;
        self.table.swap(lineup);
        let names = |list: &[Loaded]| {
            list.iter().map(|loaded| (loaded.served.name().to_owned(), loaded.served.version())).collect::<Vec<_>>()
        };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let is_changed = names(&loaded) != names(&next);
        *loaded = next;
        *seen = all_loaded.then_some(now);
        // Whoever is told may look at what is served.
        drop((loaded, seen));
        if let Some(tell) = self.on_change.get().filter(|_| is_changed) {
            tell();
        }
        self.tell_rollouts(running, &changed);
        Ok(())
    }

    /// What is to be served now: `production` of each model, both sides of each rollout, and what other aliases point to.
    fn line_up(&self, wanted: Vec<(String, u32)>) -> Result<(Vec<Loaded>, Lineup, Vec<Rollout>, bool)> {
        let store = &self.workspace.store;
        let mut aliased = store.all_aliased()?;
        // Versions beside production come after it, so that it stands first of its model.
        aliased.sort_by(|(a, x), (b, y)| (&x.model, a != PRODUCTION).cmp(&(&y.model, b != PRODUCTION)));
        let production = |(alias, version): &(String, ModelVersion)| {
            (alias == PRODUCTION).then(|| (version.model.clone(), version.version))
        };
        let production: BTreeMap<String, u32> = aliased.iter().filter_map(production).collect();
        let mut running = store.running_rollouts()?;
        rollouts::end_stale(&self.workspace, &mut running, &production);

        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut next: Vec<Loaded> = vec![];
        let mut missing: Vec<ModelVersion> = vec![];
        let mut take = |version: &ModelVersion, next: &mut Vec<Loaded>| {
            if next.iter().any(|known| known.is(version)) {
                return true;
            }
            let found = match loaded.iter().find(|known| known.is(version)) {
                Some(known) => Ok(known.clone()),
                None => self.load(version),
            };
            match found {
                Ok(found) => next.push(found),
                Err(err) => {
                    tracing::error!(model = version.model, version = version.version, "not served: {err}");
                    missing.push(version.clone());
                    return false;
                }
            }
            true
        };
        let asked = self.remember_asked(wanted);
        let mut n_beside = 0;
        let mut aliases = vec![];
        for (alias, version) in &aliased {
            let mut means = version.version;
            let is_asked = asked.contains(&(version.model.clone(), version.version));
            if alias == PRODUCTION {
                if !take(version, &mut next) {
                    // What was served under this name goes on; the next look tries again.
                    let before = self.table.now().default_of(&version.model);
                    let Some(known) = loaded
                        .iter()
                        .find(|known| known.served.name() == version.model && Some(known.served.version()) == before)
                    else {
                        continue;
                    };
                    means = known.served.version();
                    next.push(known.clone());
                }
            } else if !next.iter().any(|known| known.is(version)) {
                // Beyond the bound it is known and not loaded: whoever asks for it has it loaded.
                let has_room = n_beside < MAX_BESIDE - asked.len().min(MAX_BESIDE);
                if is_asked || has_room {
                    n_beside += usize::from(!is_asked);
                    if !take(version, &mut next) {
                        continue;
                    }
                }
            }
            aliases.push((version.model.clone(), alias.clone(), means));
        }
        for rollout in &running {
            let reference =
                ModelRef { name: rollout.model.clone(), selector: Selector::Version(rollout.spec.candidate) };
            take(&store.resolve(&reference)?, &mut next);
        }
        let all_loaded = missing.is_empty();
        // By model, and otherwise in the order in which they were taken.
        next.sort_by(|a, b| a.served.name().cmp(b.served.name()));
        let versions = next.iter().map(|loaded| Arc::clone(&loaded.served)).collect();
        let lineup = Lineup::new(versions)
            .map_err(serve_error)?
            .with_aliases(aliases)
            .with_trials(self.rollouts.take_up(&running));
        Ok((next, lineup, running, all_loaded))
    }

    /// Adds what somebody asked for; of too many the oldest go.
    fn remember_asked(&self, wanted: Vec<(String, u32)>) -> Vec<(String, u32)> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for want in wanted {
            asked.retain(|known| *known != want);
            asked.push(want);
        }
        let n_over = asked.len().saturating_sub(MAX_BESIDE);
        asked.drain(..n_over);
        asked.clone()
    }

    /// Tells what became of rollouts since the last time, whoever did it.
    fn tell_rollouts(&self, running: Vec<Rollout>, changed: &[Rollout]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |rollout: &Rollout| (rollout.id, rollout.phase, rollout.step);
        let before: Vec<_> = told.iter().map(stands).collect();
        let mut news: Vec<Rollout> = running.iter().filter(|now| !before.contains(&stands(now))).cloned().collect();
        for gone in told.iter().filter(|known| running.iter().all(|now| now.id != known.id)) {
            let ended = changed.iter().find(|rollout| rollout.id == gone.id).cloned();
            // Ended by somebody else: it is the newest of its model, or there is a newer one and nobody asks any more.
            news.extend(ended.or_else(|| self.workspace.store.newest_rollout(&gone.model).ok().flatten()));
        }
        *told = running;
        drop(told);
        if let Some(tell) = self.on_rollout.get() {
            news.iter().for_each(tell);
        }
    }

    fn load(&self, version: &ModelVersion) -> Result<Loaded> {
        let began = Instant::now();
        let (_, package) = registry::load(&self.workspace, version)?;
        let model = Arc::new(PackagedModel::new(&package, &self.device).map_err(serve_error)?);
        // A model that no request could carry is refused here, where only it is left out.
        let served = Served::new(&version.model, version.version, model as Arc<dyn Model>).map_err(serve_error)?;
        self.watcher.monitor().loaded(&version.model, version.version, began.elapsed());
        Ok(Loaded { sha256: version.sha256.clone(), served: Arc::new(served) })
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
        let keys: Arc<dyn Keys> = Arc::new(AllKeys {
            keys: Arc::clone(&self.keys),
            identity: transport.identity.clone(),
            caller_limits: transport.caller_limits,
        });
        let monitor = Arc::clone(self.watcher.monitor());
        State::watched(config, keys, Arc::clone(&self.table), monitor).map_err(serve_error)
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
        let watcher = tokio::spawn(keep_watch(Arc::clone(&self), stop.clone()));
        let traces = self.traces.get().map(|url| {
            let monitor = Arc::clone(self.watcher.monitor());
            tokio::spawn(otlp::export(monitor, url.clone(), stop.clone()))
        });
        let Transport { grpc, tls, identity, caller_limits: _ } = transport;
        let looker = tokio::spawn(keep_looking(tls, identity, stop.clone()));
        let http = athanor_serve::serve(listener, &state, told(stop.clone()));
        let served = match grpc {
            None => http.await,
            // An error of one ends the other as well.
            Some(grpc) => tokio::try_join!(http, athanor_serve::serve_grpc(grpc, &state, told(stop))).map(|_| ()),
        };
        refresher.abort();
        watcher.abort();
        if let Some(traces) = traces {
            // The last batch may wait for a collector; the end must not.
            let _ = tokio::time::timeout(LAST_SPANS, traces).await;
        }
        if let Err(err) = self.keys.write_usage() {
            tracing::warn!("cannot note what keys have asked for: {err}");
        }
        // What was captured last is written as well.
        match tokio::task::spawn_blocking(move || self.watch()).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::warn!("cannot look after what is watched: {err}"),
            Err(err) => tracing::error!("looking after what is watched broke down: {err}"),
        }
        looker.abort();
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
