//! The loop: forward, loss, backward, update; at the end of an epoch validation and early stopping; in between
//! checkpoints, metrics and the stop flag.
//!
//! Classes are learned by softmax and cross-entropy, also two of them (two outputs; the same model as a logistic one).
//! Numbers are standardised by the training rows' mean and standard deviation and learned by mean squared error; their
//! `loss` is in these units, `rmse` in the target's own.

use std::time::{Duration, Instant};

use athanor_protocol::{
    learner::{OptimConfig, Reproducibility, Schedule, TrainSpec},
    metric::Split,
    network::ModelSpec,
};
use burn::tensor::{Device, Tensor, activation};

use super::{
    Point, StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink,
    checkpoint::{self, Best, State},
    data::{BatchTargets, Batches},
    optim::{Optim, Where},
};
use crate::{
    LearnError, device,
    encode::mean_and_std,
    model::TrainedModel,
    network::{
        BatchStatistics, Head, NetworkModel, NetworkStructure, Plan, Training, Value, forward_rows, host_values,
    },
    samples::{Samples, Targets},
};

/// How much of a running statistic a batch replaces.
const RUNNING_SHARE: f64 = 0.1;
/// The cosine schedule ends at this part of the first step size.
const COSINE_END: f64 = 0.01;
/// On a graphics card losses are read this many steps at a time: reading makes the host wait for the card.
const STEPS_PER_READ: usize = 16;
/// Metrics are reported this often, and when there are this many.
const REPORT_EVERY: Duration = Duration::from_millis(100);
const REPORT_POINTS: usize = 2000;
/// Checkpoints are at least this far apart, and at least a hundred times the last one's cost.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

pub(super) fn train(job: TrainJob<'_>, model: &ModelSpec, optim: &OptimConfig) -> Result<TrainOutcome, LearnError> {
    check_settings(job.spec, optim)?;
    check_features(&job)?;
    let name = device::resolve(&job.spec.device)?;
    let n_threads = job.spec.threads as usize;
    let run = || device::guarded(&name, || Loop::new(job, model, optim, &name)?.run());
    // The process's own pool where it has the right size: handing work to a second one costs some percent.
    if n_threads == rayon::current_num_threads() {
        return run();
    }
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|n| format!("train-{n}"))
        .build()
        .map_err(|err| LearnError::Internal(format!("cannot start threads: {err}")))?;
    threads.install(run)
}

fn check_settings(spec: &TrainSpec, optim: &OptimConfig) -> Result<(), LearnError> {
    let bad = |setting: &str, message: &str| {
        Err(LearnError::Setting { setting: setting.to_owned(), message: message.to_owned() })
    };
    if optim.epochs == 0 {
        return bad("epochs", "must be at least 1");
    }
    if optim.batch_size == 0 {
        return bad("batch_size", "must be at least 1");
    }
    if !(optim.learning_rate.is_finite() && optim.learning_rate > 0.0) {
        return bad("learning_rate", "must be a number above 0");
    }
    if !(optim.weight_decay.is_finite() && optim.weight_decay >= 0.0) {
        return bad("weight_decay", "must be a number of at least 0");
    }
    if !(1..=1024).contains(&spec.threads) {
        return bad("threads", "must be between 1 and 1024");
    }
    Ok(())
}

fn check_features(job: &TrainJob<'_>) -> Result<(), LearnError> {
    let parts = [Some(job.train.0), job.valid.map(|valid| valid.0)];
    for samples in parts.into_iter().flatten() {
        if samples.n_features == 0 {
            return Err(LearnError::BadData { message: "there are no features to learn from".to_owned(), hint: None });
        }
        if let Some(at) = samples.features.iter().position(|value| !value.is_finite()) {
            let names = job.encoder.feature_names();
            let column = names.get(at % samples.n_features).cloned().unwrap_or_default();
            let message = format!("row {} is missing, and this learner needs it filled", at / samples.n_features + 1);
            return Err(LearnError::Column { column, message });
        }
    }
    Ok(())
}

/// The step size at a step, counted from 0.
fn learning_rate(optim: &OptimConfig, step: u64, steps_total: u64) -> f64 {
    match optim.schedule {
        Schedule::Constant => optim.learning_rate,
        Schedule::Cosine => {
            let done = step as f64 / steps_total.max(1) as f64;
            let fall = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
            optim.learning_rate * (COSINE_END + (1.0 - COSINE_END) * fall)
        }
    }
}

/// Reports without slowing the loop down: collects points and passes them on now and then.
struct Reporter<'a> {
    sink: &'a mut dyn TrainSink,
    points: Vec<Point>,
    last: Instant,
    steps_total: u64,
    per_epoch: u64,
    epochs: u32,
}

impl Reporter<'_> {
    fn add(&mut self, key: &'static str, split: Split, step: u64, value: f64) {
        self.points.push((key, split, step, value));
    }

    fn if_due(&mut self, step: u64) -> Result<(), LearnError> {
        if self.points.len() >= REPORT_POINTS || self.last.elapsed() >= REPORT_EVERY {
            return self.now(step);
        }
        Ok(())
    }

    fn now(&mut self, step: u64) -> Result<(), LearnError> {
        if !self.points.is_empty() {
            self.sink.event(TrainEvent::Metrics(std::mem::take(&mut self.points)))?;
        }
        let epoch = (step / self.per_epoch) as u32;
        self.sink.event(TrainEvent::Progress { step, steps_total: self.steps_total, epoch, epochs: self.epochs })?;
        self.last = Instant::now();
        Ok(())
    }
}

struct Loop<'a> {
    optim_config: OptimConfig,
    seed: u64,
    structure: NetworkStructure,
    plan: Plan,
    /// Without its tape: values, validation, updates.
    device: Device,
    /// With its tape: the forward pass in training.
    tape: Device,
    device_name: String,
    batches: Batches<'a>,
    valid: Option<(&'a Samples, &'a Targets)>,
    patience: Option<u32>,
    checkpoint: Option<(&'a std::path::Path, String)>,
    stop: &'a StopFlag,
    reporter: Reporter<'a>,
    // The state.
    step: u64,
    values: Vec<Value>,
    optim: Optim,
    best: Best<Vec<Value>>,
    /// Losses that were not read yet, with their steps.
    unread: Vec<(u64, Tensor<1>)>,
    checkpoint_at: (Instant, Duration, u64),
    /// Rows since the last speed report, and when that was.
    speed: (u64, Instant),
}

impl<'a> Loop<'a> {
    fn new(
        job: TrainJob<'a>,
        model: &ModelSpec,
        optim_config: &OptimConfig,
        device_name: &str,
    ) -> Result<Self, LearnError> {
        let TrainJob { spec, encoder, train: (samples, targets), valid, checkpoint_dir, stop, sink } = job;
        let plan = Plan::new(model, samples.n_features, encoder.n_outputs())?;
        let scale = match targets {
            Targets::Class { .. } => (0.0, 1.0),
            Targets::Number(values) => {
                let (mean, std) = mean_and_std(values);
                (mean, if std.is_normal() { std } else { 1.0 })
            }
        };
        let head = match targets {
            Targets::Class { .. } => Head::Classes,
            Targets::Number(_) => Head::Number { mean: scale.0, std: scale.1 },
        };
        let structure = NetworkStructure {
            spec: model.clone(),
            n_features: samples.n_features,
            n_outputs: encoder.n_outputs(),
            head,
        };
        let is_cpu = device_name == "cpu";
        let device = device::open(device_name)?;
        let tape = device.clone().autodiff();
        let batches = Batches::new(samples, targets, scale, optim_config.batch_size, spec.seed, (&tape, is_cpu));
        let (per_epoch, epochs) = (batches.per_epoch(), optim_config.epochs);
        let steps_total = per_epoch.saturating_mul(u64::from(epochs));
        let on = Where { name: device_name, device: &device };
        let mut optim = Optim::new(optim_config.optimizer, optim_config.weight_decay, &plan, &on);
        let mut notes = Vec::new();
        let mut patience = optim_config.patience.filter(|&patience| patience > 0);
        if patience.is_some() && valid.is_none() {
            notes.push("there are no validation rows: patience is ignored, the last weights are kept".to_owned());
            patience = None;
        }
        let checkpoint = checkpoint_dir.map(|dir| (dir, digest(spec, (samples, targets), valid)));
        let mut resumed = None;
        if let Some((dir, digest)) = &checkpoint {
            let (state, more) = checkpoint::load(dir, digest, &plan.slots, Optim::n_moments(optim_config.optimizer))?;
            notes.extend(more);
            resumed = state;
        }
        let resumed_from_step = resumed.as_ref().map(|state| state.step);
        let on_device = |all: Vec<Vec<f32>>| -> Vec<Value> {
            all.into_iter().zip(&plan.slots).map(|(values, slot)| Value::new(values, &slot.shape, &device)).collect()
        };
        let (step, values, best) = match resumed {
            Some(State { step, values, moments, best }) => {
                optim.restore(moments, &plan, &on);
                let best =
                    Best { loss: best.loss, epochs_since: best.epochs_since, values: best.values.map(&on_device) };
                (step, on_device(values), best)
            }
            None => {
                (0, on_device((0..plan.slots.len()).map(|slot| plan.initial(slot, spec.seed)).collect()), Best::none())
            }
        };
        let now = Instant::now();
        let reporter = Reporter { sink, points: Vec::new(), last: now, steps_total, per_epoch, epochs };
        reporter.sink.event(TrainEvent::Started {
            n_parameters: plan.n_parameters,
            steps_total,
            epochs,
            reproducibility: if is_cpu { Reproducibility::Bitwise } else { Reproducibility::WithinTolerance },
            resumed_from_step,
        })?;
        for note in notes {
            reporter.sink.event(TrainEvent::Note(note))?;
        }
        Ok(Self {
            optim_config: optim_config.clone(),
            seed: spec.seed,
            structure,
            plan,
            device,
            tape,
            device_name: device_name.to_owned(),
            batches,
            valid,
            patience,
            checkpoint,
            stop,
            reporter,
            step,
            values,
            optim,
            best,
            unread: Vec::new(),
            checkpoint_at: (now, Duration::ZERO, step),
            speed: (0, now),
        })
    }

    fn run(mut self) -> Result<TrainOutcome, LearnError> {
        let per_epoch = self.batches.per_epoch();
        let steps_total = self.reporter.steps_total;
        while self.step < steps_total && !self.has_waited_enough() {
            if let Some(reason) = self.stop.reason_at(self.step) {
                self.read_losses()?;
                // Metrics first, as with every checkpoint: what was computed before it is not computed again.
                self.reporter.now(self.step)?;
                self.save()?;
                return Ok(TrainOutcome::Stopped { reason, step: self.step });
            }
            self.step()?;
            let ends_epoch = self.step.is_multiple_of(per_epoch);
            if self.device_name == "cpu" || self.unread.len() >= STEPS_PER_READ || ends_epoch {
                self.read_losses()?;
            }
            if ends_epoch {
                self.end_epoch()?;
            }
            self.checkpoint_if_due(ends_epoch)?;
            self.reporter.if_due(self.step)?;
        }
        self.reporter.now(self.step)?;
        if self.has_waited_enough() && self.step < steps_total {
            let since = self.best.epochs_since;
            let text = format!(
                "stopped early after epoch {}: no better validation loss in {since} epochs",
                self.step / per_epoch
            );
            self.reporter.sink.event(TrainEvent::Note(text))?;
        }
        let values = match (self.patience, self.best.values) {
            (Some(_), Some(best)) => {
                let step = self.step - u64::from(self.best.epochs_since) * per_epoch;
                self.reporter.sink.event(TrainEvent::Kept { step })?;
                best
            }
            _ => self.values,
        };
        let model = NetworkModel::new(self.structure, self.plan, values, self.device, self.device_name);
        Ok(TrainOutcome::Done(TrainedModel::Network(Box::new(model))))
    }

    fn has_waited_enough(&self) -> bool {
        self.patience.is_some_and(|patience| self.best.epochs_since >= patience)
    }

    fn step(&mut self) -> Result<(), LearnError> {
        let per_epoch = self.batches.per_epoch();
        let (epoch, position) = (self.step / per_epoch, self.step % per_epoch);
        let (features, targets) = self.batches.batch(epoch, position);
        let slots = &self.plan.slots;
        let tracked: Vec<Value> = self
            .values
            .iter()
            .zip(slots)
            .map(|(value, slot)| if slot.is_trained { value.tracked() } else { value.clone() })
            .collect();
        let mut training = Training { seed: self.seed, step: self.step, device: &self.tape, statistics: Vec::new() };
        let outputs = self.plan.forward(&tracked, features, Some(&mut training));
        let statistics = training.statistics;
        let loss = loss(outputs, targets);
        let mut gradients = loss.backward();
        let found: Vec<Option<Value>> = tracked
            .iter()
            .zip(slots)
            .map(|(value, slot)| if slot.is_trained { value.gradient(&mut gradients) } else { None })
            .collect();
        self.unread.push((self.step + 1, loss.inner()));
        // The tape's copies go first, so that the update finds each value unshared and works in place.
        drop(tracked);
        drop(gradients);
        let rate = learning_rate(&self.optim_config, self.step, self.reporter.steps_total);
        let on = Where { name: &self.device_name, device: &self.device };
        let mut values = Vec::with_capacity(self.values.len());
        for (slot, (value, gradient)) in std::mem::take(&mut self.values).into_iter().zip(found).enumerate() {
            values.push(match gradient {
                Some(gradient) => {
                    let decays = self.plan.slots[slot].decays;
                    self.optim.update(slot, decays, value, gradient, (rate, self.step + 1), &on)?
                }
                None => value,
            });
        }
        self.values = values;
        for batch in statistics {
            self.take_statistics(batch);
        }
        self.speed.0 += self.batches.n_rows(position) as u64;
        self.step += 1;
        Ok(())
    }

    /// Running statistics follow the batches'; the variance is the unbiased one, as in PyTorch.
    fn take_statistics(&mut self, batch: BatchStatistics) {
        let n = batch.n_values as f64;
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        let pairs = [
            (batch.mean_slot, batch.mean, RUNNING_SHARE),
            (batch.variance_slot, batch.variance, RUNNING_SHARE * unbiased),
        ];
        for (slot, new, share) in pairs {
            if let Some(old) = self.values[slot].vector() {
                self.values[slot] = Value::V1(old.clone().mul_scalar(1.0 - RUNNING_SHARE).add(new.mul_scalar(share)));
            }
        }
    }

    /// Reads the losses that are still on the device and reports them.
    fn read_losses(&mut self) -> Result<(), LearnError> {
        let unread = std::mem::take(&mut self.unread);
        if unread.is_empty() {
            return Ok(());
        }
        let (steps, losses): (Vec<u64>, Vec<Tensor<1>>) = unread.into_iter().unzip();
        let losses = if losses.len() == 1 { losses } else { vec![Tensor::cat(losses, 0)] };
        let lost = |err: &dyn std::fmt::Display| device::lost(&self.device_name, err);
        for losses in losses {
            let data = losses.try_into_data().map_err(|err| lost(&err))?;
            for (&step, &loss) in steps.iter().zip(data.as_slice::<f32>().map_err(|err| lost(&err))?) {
                if !loss.is_finite() {
                    return Err(LearnError::Diverged { step, loss: f64::from(loss) });
                }
                self.reporter.add("loss", Split::Train, step, f64::from(loss));
            }
        }
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<(), LearnError> {
        let rate = learning_rate(&self.optim_config, self.step - 1, self.reporter.steps_total);
        self.reporter.add("learning_rate", Split::Train, self.step, rate);
        // Which epoch a step belongs to, for whoever draws curves by epochs.
        let epoch = self.step as f64 / self.batches.per_epoch() as f64;
        self.reporter.add("epoch", Split::System, self.step, epoch);
        let secs = self.speed.1.elapsed().as_secs_f64();
        if secs > 0.25 || self.step == self.reporter.steps_total {
            self.reporter.add("samples_per_sec", Split::System, self.step, self.speed.0 as f64 / secs.max(1e-9));
            self.speed = (0, Instant::now());
        }
        let Some((samples, targets)) = self.valid else { return Ok(()) };
        let outputs = forward_rows(&self.plan, &self.values, samples, &self.device, &self.device_name)?;
        let (loss, key, quality) = judge(&outputs, targets, self.structure.head);
        if !loss.is_finite() {
            return Err(LearnError::Diverged { step: self.step, loss });
        }
        self.reporter.add("loss", Split::Valid, self.step, loss);
        self.reporter.add(key, Split::Valid, self.step, quality);
        if loss < self.best.loss {
            let values = self.patience.is_some().then(|| self.values.clone());
            self.best = Best { loss, epochs_since: 0, values };
        } else {
            self.best.epochs_since += 1;
        }
        Ok(())
    }

    fn checkpoint_if_due(&mut self, ends_epoch: bool) -> Result<(), LearnError> {
        let (at, cost, step) = self.checkpoint_at;
        let every = self.optim_config.checkpoint_every_steps;
        let is_due = ends_epoch || (every > 0 && self.step - step >= every);
        if is_due && self.checkpoint.is_some() && at.elapsed() >= CHECKPOINT_EVERY.max(cost * 100) {
            self.read_losses()?;
            // Metrics first: what a resumed run will not compute again must not be lost with this process.
            self.reporter.now(self.step)?;
            self.save()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), LearnError> {
        let Some((dir, digest)) = &self.checkpoint else { return Ok(()) };
        let start = Instant::now();
        let host = |values: &[Value]| -> Result<Vec<Vec<f32>>, LearnError> {
            values.iter().map(|value| host_values(value, &self.device_name)).collect()
        };
        let state = State {
            step: self.step,
            values: host(&self.values)?,
            moments: self.optim.state(&self.device_name)?,
            best: Best {
                loss: self.best.loss,
                epochs_since: self.best.epochs_since,
                values: self.best.values.as_deref().map(host).transpose()?,
            },
        };
        checkpoint::save(dir, digest, &state, &self.plan.slots)?;
        self.checkpoint_at = (Instant::now(), start.elapsed(), self.step);
        self.reporter.sink.event(TrainEvent::Checkpoint { step: self.step })
    }
}

fn loss(outputs: Tensor<2>, targets: BatchTargets) -> Tensor<1> {
    match targets {
        BatchTargets::Class(labels) => activation::log_softmax(outputs, 1).gather(1, labels).mean().neg(),
        BatchTargets::Number(values) => {
            let difference = outputs - values;
            difference.clone().mul(difference).mean()
        }
    }
}

/// Mean loss, and accuracy or root mean squared error in the target's own unit, on the host in 64 bits.
fn judge(outputs: &[f32], targets: &Targets, head: Head) -> (f64, &'static str, f64) {
    match (targets, head) {
        (Targets::Class { labels, n_classes }, _) => {
            let (mut loss, mut n_right) = (0.0, 0u64);
            for (logits, &label) in outputs.chunks_exact((*n_classes).max(1)).zip(labels) {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
                loss += sum.ln() - f64::from(logits[label as usize] - largest);
                let first = logits.iter().position(|&x| x == largest);
                n_right += u64::from(first == Some(label as usize));
            }
            let n = labels.len() as f64;
            (loss / n, "accuracy", n_right as f64 / n)
        }
        (Targets::Number(values), head) => {
            let (mean, std) = match head {
                Head::Number { mean, std } => (mean, std),
                Head::Classes => (0.0, 1.0),
            };
            let squares: f64 = outputs
                .iter()
                .zip(values)
                .map(|(&output, value)| (f64::from(output) - (value - mean) / std).powi(2))
                .sum();
            let loss = squares / values.len() as f64;
            (loss, "rmse", loss.sqrt() * std)
        }
    }
}

/// What a checkpoint must belong to: everything that the result depends on.
fn digest(spec: &TrainSpec, train: (&Samples, &Targets), valid: Option<(&Samples, &Targets)>) -> String {
    let mut hasher = blake3::Hasher::new();
    // A specification is plain data and always writes; were it not, the digest would only be less sharp.
    hasher.update(&serde_json::to_vec(spec).unwrap_or_default());
    let mut buffer = Vec::with_capacity(1 << 16);
    let mut part = |samples: &Samples, targets: &Targets| {
        hasher.update(&(samples.n_rows as u64).to_le_bytes());
        hasher.update(&(samples.n_features as u64).to_le_bytes());
        for values in samples.features.chunks(1 << 14) {
            buffer.clear();
            buffer.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            hasher.update(&buffer);
        }
        match targets {
            Targets::Class { labels, n_classes } => {
                hasher.update(&(*n_classes as u64).to_le_bytes());
                labels.iter().for_each(|label| _ = hasher.update(&label.to_le_bytes()));
            }
            Targets::Number(values) => values.iter().for_each(|value| _ = hasher.update(&value.to_le_bytes())),
        }
    };
    part(train.0, train.1);
    if let Some((samples, targets)) = valid {
        part(samples, targets);
    }
    hasher.finalize().to_hex().to_string()
}
