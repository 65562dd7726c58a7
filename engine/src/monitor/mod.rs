//! Monitoring of what an endpoint serves: periods become reports, reports become alerts, captured requests become files.
//!
//! A [`Watcher`] belongs to an endpoint, which calls [`Watcher::look`] several times a second from a thread that may
//! block. Everything that it finds is in the database before anybody hears of it; what it was in the middle of when the
//! process ended (the rows of the period) is lost, and the next process begins a new period.

pub mod capture;
pub mod judge;
pub mod otlp;
pub mod retrain;
pub mod webhook;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use athanor_learn::drift::quality;
use athanor_protocol::{
    Code, Failure,
    monitor::{Alert, MonitorConfig, MonitorReport, QualityReport},
    package::Statistics,
    registry::ModelVersion,
};
use athanor_serve::{
    Monitor,
    monitor::{Captured, Feedback, Sink},
};
use athanor_store::{AlertQuery, NewAlert, PageRequest};
use serde_json::json;

use self::{
    capture::{Kept, Writer},
    webhook::{Message, Parcel, Sender},
};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    registry::{self, audit},
    workspace::Workspace,
};

/// Most captured requests that wait to be written.
const MAX_WAITING: usize = 4_096;
/// Most values in them.
const MAX_WAITING_VALUES: usize = 4 << 20;
/// Retention is looked after once in so many milliseconds.
const RETAIN_EVERY: i64 = 60_000;
/// The key that webhooks are signed with, in the workspace.
const WEBHOOK_KEY: &str = "keys/webhook.key";

/// Told when an alert was raised, resolved or acknowledged.
type Tell = Box<dyn Fn(&Alert) + Send + Sync>;

/// Called with a report that is new.
pub type TellReport = Box<dyn Fn(&MonitorReport) + Send + Sync>;

/// Takes over what the endpoint captures.
struct Inbox {
    workspace: Arc<Workspace>,
    sender: SyncSender<Captured>,
    n_values: Arc<AtomicUsize>,
    truths: Mutex<Writer>,
}

fn n_values(captured: &Captured) -> usize {
    let frame = &captured.answered.frame;
    frame.n_rows() * (frame.columns().len() + 1)
}

impl Sink for Inbox {
    fn capture(&self, captured: Captured) -> bool {
        let n = n_values(&captured);
        if self.n_values.fetch_add(n, Ordering::AcqRel) + n > MAX_WAITING_VALUES
            || self.sender.try_send(captured).is_err()
        {
            self.n_values.fetch_sub(n, Ordering::AcqRel);
            return false;
        }
        true
    }

    fn feedback(&self, model: &str, feedback: Vec<Feedback>) -> Result<(), Failure> {
        let now = self.workspace.clock.now_millis();
        let mut writer = self.truths.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writer.truths(self.workspace.root(), model, &feedback, now)?)
    }
}

#[derive(Default)]
struct Progress {
    /// Since when each version's period goes on.
    since: HashMap<(String, u32), i64>,
    configs: HashMap<String, MonitorConfig>,
    requests: Writer,
    retained_at: i64,
}

/// Watches an endpoint of a workspace.
pub struct Watcher {
    workspace: Arc<Workspace>,
    monitor: Arc<Monitor>,
    inbox: Arc<Inbox>,
    captured: Mutex<Receiver<Captured>>,
    progress: Mutex<Progress>,
    webhooks: OnceLock<Sender>,
    tell: OnceLock<Tell>,
    tell_report: OnceLock<TellReport>,
}

impl Watcher {
    /// Watches with the workspace's settings.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn new(workspace: Arc<Workspace>) -> Result<Self> {
        let mut seed = [0_u8; 8];
        workspace.ids.secret(&mut seed).at("read", Path::new("the system's randomness"))?;
        let monitor = Arc::new(Monitor::new(u64::from_le_bytes(seed)));
        let (sender, captured) = sync_channel(MAX_WAITING);
        let inbox = Arc::new(Inbox {
            workspace: Arc::clone(&workspace),
            sender,
            n_values: Arc::default(),
            truths: Mutex::default(),
        });
        monitor.set_sink(Arc::clone(&inbox) as Arc<dyn Sink>);
        Ok(Self {
            workspace,
            monitor,
            inbox,
            captured: Mutex::new(captured),
            progress: Mutex::default(),
            webhooks: OnceLock::new(),
            tell: OnceLock::new(),
            tell_report: OnceLock::new(),
        })
    }

    /// What the endpoint leaves its requests with.
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// Calls this when an alert changes. Counts once.
    pub fn on_alert(&self, tell: Tell) {
        // A second listener would have to be told too: there is none.
        let _ = self.tell.set(tell);
    }

    /// Calls this with each new report. Counts once.
    pub fn on_report(&self, tell: TellReport) {
        // As with alerts.
        let _ = self.tell_report.set(tell);
    }

    /// Writes what was captured, judges the periods that are over, tells of what changed. `statistics` gives what
    /// training saw of a version that is served.
    ///
    /// # Errors
    /// If the database or a file cannot be read or written; the next look goes on with the rest.
    pub fn look(&self, statistics: &dyn Fn(&str, u32) -> Option<Statistics>) -> Result<()> {
        let now = self.workspace.clock.now_millis();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let configs: HashMap<String, MonitorConfig> = self.workspace.store.monitor_configs()?.into_iter().collect();
        if configs != progress.configs {
            let shares = configs.iter().map(|(model, config)| (model.clone(), config.capture)).collect();
            self.monitor.set_captures(shares);
            progress.configs = configs;
        }
        self.write_captured(&mut progress, now)?;
        if now - progress.retained_at >= RETAIN_EVERY {
            progress.retained_at = now;
            let Progress { configs, requests, .. } = &mut *progress;
            for (model, config) in configs {
                // A file that goes must not be one that is written to.
                requests.close(model);
                self.inbox.truths.lock().unwrap_or_else(PoisonError::into_inner).close(model);
                capture::retain(self.workspace.root(), model, config, now)?;
            }
        }
        for (model, version, n_rows) in self.monitor.waiting() {
            let config = progress.configs.get(&model).cloned().unwrap_or_default();
            let key = (model.clone(), version);
            if n_rows == 0 {
                progress.since.remove(&key);
                continue;
            }
            let since = *progress.since.entry(key.clone()).or_insert(now);
            let is_long = now - since >= i64::from(config.every_minutes) * 60_000;
            if n_rows < config.min_rows || !(n_rows >= config.every_rows || is_long) {
                continue;
            }
            let (Some(statistics), Some(period)) = (statistics(&model, version), self.monitor.take(&model, version))
            else {
                continue;
            };
            progress.since.remove(&key);
            self.judge((&model, version), &statistics, &period, [since, now], &config)?;
        }
        Ok(())
    }

    fn write_captured(&self, progress: &mut Progress, now: i64) -> Result<()> {
        let captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_model: HashMap<String, Vec<Kept>> = HashMap::new();
        for captured in captured.try_iter().take(MAX_WAITING) {
            self.inbox.n_values.fetch_sub(n_values(&captured), Ordering::AcqRel);
            // Turned off meanwhile: then nothing more is kept, and what is to be redacted is not known.
            let Some(config) = progress.configs.get(&captured.model).filter(|config| config.capture > 0.0) else {
                continue;
            };
            let redact: HashSet<&str> = config.redact.iter().map(String::as_str).collect();
            by_model.entry(captured.model.clone()).or_default().push(capture::kept(&captured, &redact, now));
        }
        for (model, kept) in by_model {
            progress.requests.requests(self.workspace.root(), &model, &kept, now)?;
        }
        Ok(())
    }

    fn judge(
        &self,
        (model, version): (&str, u32),
        statistics: &Statistics,
        period: &athanor_serve::monitor::Period,
        period_millis: [i64; 2],
        config: &MonitorConfig,
    ) -> Result<()> {
        let store = &self.workspace.store;
        let registered = registry::resolve(&self.workspace, &format!("{model}:{version}"))?;
        let quality = quality_of(&self.workspace, &registered)?;
        let mut report = judge::report((model, version), statistics, period, period_millis, quality);
        report.id = store.add_monitor_report(&report)?;
        if let Some(tell) = self.tell_report.get() {
            tell(&report);
        }
        self.monitor.set_drift(model, version, judge::gauges(&report));
        let reports = store.monitor_reports(model, Some(version), config.patience.max(1))?;
        let open = open_alerts(&self.workspace, model)?;
        let open: Vec<Alert> = open.into_iter().filter(|alert| alert.model_version == version).collect();
        let changes = judge::changes(&reports, &open, config.patience);
        for subject in changes.raise {
            let (alert, is_new) = store.raise_alert(&NewAlert {
                model: model.to_owned(),
                model_version: version,
                kind: subject.0,
                message: judge::sentence(&report, &subject),
                column: subject.1,
                report_id: report.id,
                raised_at_millis: period_millis[1],
            })?;
            if is_new {
                self.changed("alert_raised", alert, config);
            }
        }
        for id in changes.resolve {
            let alert = store.resolve_alert(id, period_millis[1])?;
            self.changed("alert_resolved", alert, config);
        }
        Ok(())
    }

    fn changed(&self, event: &'static str, alert: Alert, config: &MonitorConfig) {
        tracing::warn!(alert = alert.id, event, "{}", alert.message);
        if let Some(tell) = self.tell.get() {
            tell(&alert);
        }
        let Some(url) = config.webhook.clone() else { return };
        match self.sender() {
            Ok(sender) => {
                sender.send(Parcel { url, private: config.webhook_private, message: Message { event, alert } });
            }
            Err(err) => tracing::warn!("an alert cannot be sent to its webhook: {err}"),
        }
    }

    fn sender(&self) -> Result<&Sender> {
        if let Some(sender) = self.webhooks.get() {
            return Ok(sender);
        }
        let secret = webhook_key(&self.workspace)?;
        let clock = Arc::clone(&self.workspace.clock);
        let sender = Sender::start(secret, move || clock.now_millis())
            .map_err(|err| EngineError::new(Code::Unavailable, format!("no thread for webhooks: {err}")))?;
        Ok(self.webhooks.get_or_init(|| sender))
    }
}

/// The alerts of a model that are open.
///
/// # Errors
/// If they cannot be read.
pub fn open_alerts(workspace: &Workspace, model: &str) -> Result<Vec<Alert>> {
    let mut all = vec![];
    let mut query = AlertQuery { model: Some(model.to_owned()), open: true, page: PageRequest::first(1_000) };
    loop {
        let page = workspace.store.alerts(&query)?;
        all.extend(page.items);
        match page.next {
            Some(token) => query.page = PageRequest::after(1_000, token),
            None => return Ok(all),
        }
    }
}

/// How good a version's predictions were, where truths came; `None` where none came for the model.
///
/// # Errors
/// If what was captured cannot be read.
pub fn quality_of(workspace: &Workspace, version: &ModelVersion) -> Result<Option<QualityReport>> {
    let matched = capture::matched(workspace.root(), &version.model)?;
    if matched.rows.is_empty() && matched.n_unmatched == 0 {
        return Ok(None);
    }
    let truths = capture::truths(&matched, version.version, &version.signature);
    let mut found = quality(&truths, &version.metrics, 0)?;
    found.n_unmatched = matched.n_unmatched;
    Ok(Some(found))
}

/// How a model is watched: as it was set, or by default.
///
/// # Errors
/// If there is no such model.
pub fn config(workspace: &Workspace, model: &str) -> Result<MonitorConfig> {
    Ok(workspace.store.monitor_config(model)?.unwrap_or_default())
}

/// Sets how a model is watched.
///
/// # Errors
/// If a setting is out of range, a redacted column is none of the model's, or the webhook's address may not be called.
pub fn configure(workspace: &Workspace, model: &str, config: &MonitorConfig) -> Result<()> {
    let version = registry::resolve(workspace, model)?;
    capture::check_redacted(&config.redact, &version.signature)?;
    if let Some(webhook) = &config.webhook {
        webhook::parse(webhook)?;
    }
    workspace.store.set_monitor_config(&version.model, config, workspace.clock.now_millis())?;
    // An address may hold what only its owner should know: the audit log gets none of it.
    let detail = json!({ "capture": config.capture, "redact": config.redact, "webhook": config.webhook.is_some() });
    audit(workspace, "monitor.configure", &version.model, detail)
}

/// Notes that somebody has seen an alert.
///
/// # Errors
/// If there is no such alert.
pub fn acknowledge(workspace: &Workspace, id: u64) -> Result<Alert> {
    let alert = workspace.store.acknowledge_alert(id, &registry::actor(), workspace.clock.now_millis())?;
    audit(workspace, "alert.acknowledge", &id.to_string(), json!({ "model": alert.model }))?;
    Ok(alert)
}

/// The key that this workspace's webhooks are signed with; made on first use, readable by its owner alone.
///
/// # Errors
/// If it cannot be read or made.
pub fn webhook_key(workspace: &Workspace) -> Result<Vec<u8>> {
    let path = workspace.root().join(WEBHOOK_KEY);
    if !path.is_file() {
        let mut key = [0_u8; 32];
        workspace.ids.secret(&mut key).at("read", Path::new("the system's randomness"))?;
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let beside = files::beside(&path);
        files::write_secret(&beside, hex.as_bytes())?;
        // Two first uses at once must end with one key: the file is linked into place only if none is there.
        let linked = std::fs::hard_link(&beside, &path);
        let _ = std::fs::remove_file(&beside);
        if let Err(err) = linked
            && !path.is_file()
        {
            return Err(err).at("write", &path);
        }
    }
    // The text is the key, so that it can be given to the other side as it is.
    let text = files::read_limited(&path, 4_096)?;
    Ok(text.trim_ascii().to_vec())
}

/// The newest report of a model, or of one of its versions.
///
/// # Errors
/// If there is no such model, or no report yet.
pub fn last_report(workspace: &Workspace, model: &str, version: Option<u32>) -> Result<MonitorReport> {
    let found = workspace.store.monitor_reports(model, version, 1)?;
    found.into_iter().next().ok_or_else(|| {
        let failure = Failure::new(Code::NotFound, format!("there is no monitor report of {model:?} yet")).on(model);
        let hint =
            "a report is made when the endpoint has answered enough rows; 'athanor monitor status' shows the rule";
        EngineError::Failure(failure.hint(hint))
    })
}
