//! What is served: models by name and version, replaced as a whole while requests run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{
    Failure, columns::Frame, names, package::Statistics, registry::PRODUCTION, signature::ModelSignature,
};

use crate::{config::MAX_INLINE_ROWS, error::ServeError, plan::Plan, rollout::Trial, together::Batches};

/// Something that predicts.
pub trait Model: Send + Sync {
    /// What it takes and gives. Must not change.
    fn signature(&self) -> &ModelSignature;

    /// Predicts rows. `frame` holds the signature's columns in its order with its types (dates and datetimes as
    /// [`athanor_protocol::columns::ColumnData::Datetime`]) and at least one row; missing values only where nullable.
    ///
    /// # Errors
    /// `BadData`, `InvalidArgument`, `TooLarge` and `Unsupported` are told to the client; everything else is logged and
    /// answered as a fault of ours.
    fn predict(&self, frame: &Frame) -> Result<Outputs, Failure>;

    /// Whether [`Self::predict`] may wait for something or enter a runtime of its own, however small the request. Then
    /// it is never called on a thread that answers requests. Must not change.
    fn may_block(&self) -> bool {
        false
    }

    /// What training saw, where that is known: new values are told by it. Must not change.
    fn statistics(&self) -> Option<&Statistics> {
        None
    }
}

/// Predictions for some rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Outputs {
    /// Of a classifier.
    Classes {
        /// The predicted class, `[n_rows]`.
        labels: Vec<Arc<str>>,
        /// Probabilities, row-major `[n_rows, n_classes]`, in the order of the signature's classes.
        probabilities: Vec<f64>,
    },
    /// Of a regression, `[n_rows]`.
    Numbers(Vec<f64>),
}

impl Outputs {
    /// No rows, of the kind that the signature says.
    pub(crate) fn none(signature: &ModelSignature) -> Self {
        if signature.task.is_classification() {
            Self::Classes { labels: vec![], probabilities: vec![] }
        } else {
            Self::Numbers(vec![])
        }
    }

    /// Adds the rows of `more`; `false` where kinds differ.
    pub(crate) fn append(&mut self, more: Self) -> bool {
        match (self, more) {
            (Self::Classes { labels, probabilities }, Self::Classes { labels: l, probabilities: p }) => {
                labels.extend(l);
                probabilities.extend(p);
                true
            }
            (Self::Numbers(values), Self::Numbers(more)) => {
                values.extend(more);
                true
            }
            _ => false,
        }
    }
}

/// A version of a model, ready to answer.
pub struct Served {
    name: String,
    version: u32,
    model: Arc<dyn Model>,
    plan: Plan,
    cost: Cost,
    batches: Batches,
}

impl Served {
    /// Takes a model under a name.
    ///
    /// # Errors
    /// If the name can't stand in a URL, or the model takes columns that no request can carry.
    pub fn new(name: impl Into<String>, version: u32, model: Arc<dyn Model>) -> Result<Self, ServeError> {
        let name = name.into();
        names::check_model_name(&name)?;
        let plan =
            Plan::new(model.signature()).map_err(|reason| ServeError::Unservable { model: name.clone(), reason })?;
        Ok(Self { name, version, model, plan, cost: Cost::default(), batches: Batches::default() })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What it takes and gives.
    pub fn signature(&self) -> &ModelSignature {
        self.model.signature()
    }

    /// What training saw, where that is known.
    pub fn statistics(&self) -> Option<&Statistics> {
        self.model.statistics()
    }

    pub(crate) fn model(&self) -> &dyn Model {
        &*self.model
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn cost(&self) -> &Cost {
        &self.cost
    }

    pub(crate) fn batches(&self) -> &Batches {
        &self.batches
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Served({}:{})", self.name, self.version)
    }
}

/// How long small predictions took lately, by the power of two of their rows: decides which may run on the thread that
/// answers. A first prediction never does.
#[derive(Default)]
pub(crate) struct Cost([AtomicU64; 7]);

/// Longest that the answering thread may be kept busy by a prediction.
const MAX_INLINE: Duration = Duration::from_micros(500);

impl Cost {
    fn slot(&self, n_rows: usize) -> Option<&AtomicU64> {
        if n_rows > MAX_INLINE_ROWS { None } else { self.0.get(n_rows.checked_ilog2()? as usize) }
    }

    /// Whether a prediction of so many rows is known to be short.
    pub(crate) fn is_short(&self, n_rows: usize) -> bool {
        let nanos = self.slot(n_rows).map_or(0, |slot| slot.load(Ordering::Relaxed));
        nanos > 0 && nanos < MAX_INLINE.as_nanos() as u64
    }

    /// How long so many rows took lately, where that is known.
    pub(crate) fn known(&self, n_rows: usize) -> Option<Duration> {
        let nanos = self.slot(n_rows)?.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Keeps a moving mean of eight; an outlier (the thread was not scheduled) counts at most twice the mean. Racing
    /// updates may lose one, which a mean can stand.
    pub(crate) fn took(&self, n_rows: usize, time: Duration) {
        let Some(slot) = self.slot(n_rows) else { return };
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1, 1 << 40);
        let mean = slot.load(Ordering::Relaxed);
        let next = if mean == 0 { nanos } else { mean - mean / 8 + nanos.min(mean * 2) / 8 };
        slot.store(next.max(1), Ordering::Relaxed);
    }
}

/// Versions of one model.
type Versions = Vec<Arc<Served>>;

/// Most versions that are asked for and not loaded yet; more are not remembered.
const MAX_WANTED: usize = 64;

/// Everything that is served at one moment.
#[derive(Debug, Default)]
pub struct Lineup {
    models: Arc<BTreeMap<String, Versions>>,
    aliases: BTreeMap<String, BTreeMap<String, u32>>,
    defaults: BTreeMap<String, u32>,
    trials: BTreeMap<String, Arc<Trial>>,
}

impl Lineup {
    /// Versions and rollouts that run. Of several versions of one model, the first one answers requests that name none.
    ///
    /// # Errors
    /// If a model's version is listed twice.
    pub fn new(models: Vec<Arc<Served>>) -> Result<Self, ServeError> {
        let mut table: BTreeMap<String, Versions> = BTreeMap::new();
        for served in models {
            let versions = table.entry(served.name.clone()).or_default();
            if versions.iter().any(|other| other.version == served.version) {
                return Err(ServeError::Twice { model: served.name.clone(), version: served.version });
            }
            versions.push(served);
        }
        let first = |(name, versions): (&String, &Versions)| Some((name.clone(), versions.first()?.version));
        let defaults = table.iter().filter_map(first).collect();
        Ok(Self { models: Arc::new(table), defaults, ..Self::default() })
    }

    /// The same with aliases: model, alias, version. A version that is not loaded is loaded once somebody asks for it. Of
    /// a model with aliases, the alias `production` answers requests that name nothing, and nobody where there is none.
    #[must_use]
    pub fn with_aliases(mut self, aliases: impl IntoIterator<Item = (String, String, u32)>) -> Self {
        for (model, alias, version) in aliases {
            self.aliases.entry(model).or_default().insert(alias, version);
        }
        for (model, aliases) in &self.aliases {
            match aliases.get(PRODUCTION) {
                Some(version) => self.defaults.insert(model.clone(), *version),
                None => self.defaults.remove(model),
            };
        }
        self
    }

    /// The same with rollouts that run, one for each model at most.
    #[must_use]
    pub fn with_trials(mut self, trials: impl IntoIterator<Item = Arc<Trial>>) -> Self {
        self.trials = trials.into_iter().map(|trial| (trial.rollout().model.clone(), trial)).collect();
        self
    }

    /// A model's rollout, where one runs.
    pub fn trial(&self, model: &str) -> Option<&Arc<Trial>> {
        self.trials.get(model)
    }

    pub(crate) fn versions(&self, model: &str) -> Option<&[Arc<Served>]> {
        self.models.get(model).map(Vec::as_slice).filter(|versions| !versions.is_empty())
    }

    pub(crate) fn version(&self, model: &str, version: u32) -> Option<&Arc<Served>> {
        self.models.get(model)?.iter().find(|served| served.version == version)
    }

    pub(crate) fn aliases(&self, model: &str) -> Option<&BTreeMap<String, u32>> {
        self.aliases.get(model)
    }

    /// The version that answers for a model where a request names none.
    pub fn default_of(&self, model: &str) -> Option<u32> {
        self.defaults.get(model).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }
}

/// All models of an endpoint. Requests that began keep the model that they found; the next ones find the new table.
#[derive(Default)]
pub struct ModelTable {
    lineup: RwLock<Arc<Lineup>>,
    wanted: Mutex<BTreeSet<(String, u32)>>,
    is_filled: AtomicBool,
}

impl ModelTable {
    /// An empty table, which is not ready until it was filled once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces everything at once. Of several versions of one model, the first in the list answers requests that name
    /// no version.
    ///
    /// # Errors
    /// If a model's version is listed twice; then nothing is replaced.
    pub fn replace(&self, models: Vec<Served>) -> Result<(), ServeError> {
        self.swap(Lineup::new(models.into_iter().map(Arc::new).collect())?);
        Ok(())
    }

    /// Replaces everything at once: versions, aliases and rollouts are always those of one moment.
    pub fn swap(&self, lineup: Lineup) {
        let lineup = Arc::new(lineup);
        // The old models are freed after the lock: that may take long.
        let old = std::mem::replace(&mut *self.lineup.write().unwrap_or_else(PoisonError::into_inner), lineup);
        self.is_filled.store(true, Ordering::Release);
        drop(old);
    }

    /// Whether the table was filled.
    pub fn is_filled(&self) -> bool {
        self.is_filled.load(Ordering::Acquire)
    }

    /// What is served now.
    pub fn now(&self) -> Arc<Lineup> {
        Arc::clone(&self.lineup.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Versions that somebody asked for by an alias and that are not loaded; they are told once.
    pub fn take_wanted(&self) -> Vec<(String, u32)> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *wanted).into_iter().collect()
    }

    pub(crate) fn want(&self, model: &str, version: u32) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.len() < MAX_WANTED {
            wanted.insert((model.to_owned(), version));
        }
    }

    /// Everything that is served, by name.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Versions>> {
        Arc::clone(&self.now().models)
    }
}

impl std::fmt::Debug for ModelTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.all().iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_predictions_are_inline() {
        let cost = Cost::default();
        assert!(!cost.is_short(1), "nothing is known yet");
        cost.took(1, Duration::from_micros(50));
        assert!(cost.is_short(1) && !cost.is_short(2) && !cost.is_short(0));
        cost.took(1, Duration::from_secs(1));
        assert!(cost.is_short(1), "one outlier is forgiven");
        for _ in 0..50 {
            cost.took(1, Duration::from_millis(20));
        }
        assert!(!cost.is_short(1), "a model that became slow is noticed");
        cost.took(65, Duration::from_micros(1));
        assert!(!cost.is_short(65), "many rows never are");
    }
}
