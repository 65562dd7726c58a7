//! Growing trees with LightGBM, round by round, and turning them into a [`Forest`].

use athanor_protocol::{
    learner::{Reproducibility, TreesConfig},
    metric::Split,
};

use super::{
    convert,
    forest::{Forest, Link, Tree},
    lightgbm::{Booster, Table},
};
use crate::{
    error::LearnError,
    model::TrainedModel,
    samples::{Samples, Targets},
    train::{Point, TrainEvent, TrainJob, TrainOutcome},
};

/// Our predictions must be LightGBM's within this, relative to the greater of 1 and the sum itself.
const TOLERANCE: f64 = 1e-6;
/// The most training rows that are predicted twice to compare.
const MAX_COMPARED_ROWS: usize = 100_000;

/// What LightGBM is asked for.
struct Problem {
    link: Link,
    n_outputs: usize,
    /// `objective` and `metric` of LightGBM; the first metric is the loss.
    params: String,
    /// The second metric: its key and what it is of LightGBM's value.
    second: (&'static str, fn(f64, f64) -> f64),
    /// The target's mean and standard deviation; 0 and 1 for classes. LightGBM keeps labels in 32 bits, so numbers far
    /// from zero (years, for example) would lose their last digits without it.
    mean: f64,
    scale: f64,
}

pub(super) fn train(job: TrainJob<'_>, config: &TreesConfig) -> Result<TrainOutcome, LearnError> {
    let TrainJob { spec, train, valid, stop, sink, .. } = job;
    check_settings(config)?;
    let (rows, targets) = train;
    if rows.n_rows == 0 || rows.n_features == 0 {
        let message = format!("there are {} training rows with {} features", rows.n_rows, rows.n_features);
        return Err(LearnError::BadData { message, hint: Some("both are needed to grow trees".to_owned()) });
    }
    let problem = Problem::new(targets)?;
    let valid = valid.filter(|(rows, _)| rows.n_rows > 0);
    let patience = config.patience.filter(|_| valid.is_some());

    let params = params(config, &problem, spec.seed, spec.threads);
    let table = Table::new(rows, &problem.labels(targets), &params, None)?;
    let valid_table = match valid {
        Some((rows, targets)) => Some(Table::new(rows, &problem.labels(targets), &params, Some(&table))?),
        None => None,
    };
    let mut booster = Booster::new(&table, valid_table.as_ref(), &params)?;

    let steps_total = u64::from(config.n_rounds);
    sink.event(TrainEvent::Started {
        // How many leaves there will be is not known before they have grown.
        n_parameters: 0,
        steps_total,
        epochs: config.n_rounds,
        reproducibility: Reproducibility::Bitwise,
        resumed_from_step: None,
    })?;
    if spec.device != "cpu" {
        sink.event(TrainEvent::Note(format!("boosted trees are grown on the cpu, not on {:?}", spec.device)))?;
    }
    if config.patience.is_some() && patience.is_none() {
        sink.event(TrainEvent::Note(
            "there are no validation rows: patience is ignored, all rounds are kept".to_owned(),
        ))?;
    }

    let mut best: Option<(u32, f64)> = None;
    let mut n_grown = 0_u32;
    for round in 1..=config.n_rounds {
        if let Some(reason) = stop.reason() {
            return Ok(TrainOutcome::Stopped { reason: reason.to_owned(), step: u64::from(round - 1) });
        }
        let step = u64::from(round);
        if !booster.grow()? {
            sink.event(TrainEvent::Note(format!("nothing is left to split after {n_grown} rounds")))?;
            break;
        }
        n_grown = round;
        let mut points = problem.points(&booster.metrics(0)?, Split::Train, step)?;
        if valid_table.is_some() {
            let of_valid = problem.points(&booster.metrics(1)?, Split::Valid, step)?;
            // The loss comes first, and `points` made sure that it is there and finite.
            let loss = of_valid.first().map_or(f64::NAN, |point| point.3);
            if best.is_none_or(|(_, least)| loss < least) {
                best = Some((round, loss));
            }
            points.extend(of_valid);
        }
        sink.event(TrainEvent::Metrics(points))?;
        sink.event(TrainEvent::Progress { step, steps_total, epoch: round, epochs: config.n_rounds })?;
        if let (Some(patience), Some((best_round, _))) = (patience, best)
            && round - best_round >= patience
        {
            break;
        }
    }
    let kept = match (patience, best) {
        (Some(_), Some((best_round, _))) => best_round,
        _ => n_grown,
    };
    if kept < n_grown {
        sink.event(TrainEvent::Kept { step: u64::from(kept) })?;
        sink.event(TrainEvent::Note(format!(
            "the validation loss was least after {kept} of {n_grown} rounds; these are kept"
        )))?;
    }

    let (scaled, forest) = problem.convert(&booster.text(kept)?, kept, rows.n_features)?;
    compare(&booster, &scaled, rows, kept, spec.threads)?;
    Ok(TrainOutcome::Done(TrainedModel::Trees(forest)))
}

impl Problem {
    fn new(targets: &Targets) -> Result<Self, LearnError> {
        let error_to_accuracy: fn(f64, f64) -> f64 = |error, _| 1.0 - error;
        match targets {
            Targets::Class { n_classes: 0 | 1, .. } => Err(LearnError::BadData {
                message: "the target has one class only".to_owned(),
                hint: Some("choose another target, or rows with at least two classes".to_owned()),
            }),
            Targets::Class { n_classes: 2, .. } => Ok(Self {
                link: Link::Logistic,
                n_outputs: 1,
                params: "objective=binary metric=binary_logloss,binary_error".to_owned(),
                second: ("accuracy", error_to_accuracy),
                mean: 0.0,
                scale: 1.0,
            }),
            Targets::Class { n_classes, .. } => Ok(Self {
                link: Link::Softmax,
                n_outputs: *n_classes,
                params: format!("objective=multiclass num_class={n_classes} metric=multi_logloss,multi_error"),
                second: ("accuracy", error_to_accuracy),
                mean: 0.0,
                scale: 1.0,
            }),
            Targets::Number(values) => {
                let n = values.len() as f64;
                let mean = values.iter().map(|value| value / n).sum::<f64>();
                let scale = values.iter().map(|value| (value - mean).powi(2) / n).sum::<f64>().sqrt();
                if !mean.is_finite() || !scale.is_finite() {
                    let message = "the target holds numbers that are infinite or too large".to_owned();
                    return Err(LearnError::BadData { message, hint: Some("filter these rows out".to_owned()) });
                }
                Ok(Self {
                    link: Link::Identity,
                    n_outputs: 1,
                    params: "objective=regression metric=l2,rmse".to_owned(),
                    second: ("rmse", |rmse, scale| rmse * scale),
                    mean,
                    // A constant target leaves nothing to grow; one leaf of 0 then gives the mean.
                    scale: if scale > 0.0 { scale } else { 1.0 },
                })
            }
        }
    }

    /// The targets as LightGBM takes them.
    fn labels(&self, targets: &Targets) -> Vec<f32> {
        match targets {
            // Classes are far fewer than 2^24, up to which a 32-bit float is exact.
            Targets::Class { labels, .. } => labels.iter().map(|&label| label as f32).collect(),
            Targets::Number(values) => values.iter().map(|value| ((value - self.mean) / self.scale) as f32).collect(),
        }
    }

    fn points(&self, values: &[f64], split: Split, step: u64) -> Result<Vec<Point>, LearnError> {
        let &[loss, second] = values else {
            return Err(LearnError::Internal(format!(
                "LightGBM gives {} metrics where 2 were asked for",
                values.len()
            )));
        };
        if !loss.is_finite() {
            return Err(LearnError::Diverged { step, loss });
        }
        let (key, convert) = self.second;
        Ok(vec![("loss", split, step, loss), (key, split, step, convert(second, self.scale))])
    }

    /// Reads LightGBM's text into trees on its own scale (to compare with it) and on the target's.
    fn convert(&self, text: &str, n_rounds: u32, n_features: usize) -> Result<(Forest, Forest), LearnError> {
        let internal =
            |reason: String| LearnError::Internal(format!("cannot take over the trees of LightGBM: {reason}"));
        let parsed = convert::parse(text).map_err(internal)?;
        if parsed.n_features as usize != n_features || parsed.n_outputs as usize != self.n_outputs {
            return Err(internal(format!("{} features and {} outputs", parsed.n_features, parsed.n_outputs)));
        }
        let expect = match self.link {
            Link::Identity => "regression".to_owned(),
            Link::Logistic => "binary sigmoid:1".to_owned(),
            Link::Softmax => format!("multiclass num_class:{}", self.n_outputs),
        };
        if parsed.objective != expect {
            return Err(internal(format!("the objective is {:?} where {expect:?} was expected", parsed.objective)));
        }
        // Where not even the first round could split, LightGBM keeps one constant tree for each output.
        let n_expected = n_rounds.max(1) as usize * self.n_outputs;
        if parsed.trees.len() != n_expected {
            return Err(internal(format!("{} trees where {n_expected} were expected", parsed.trees.len())));
        }
        let rescale =
            |tree: &Tree| Tree { leaves: tree.leaves.iter().map(|leaf| leaf * self.scale).collect(), ..tree.clone() };
        let rescaled = parsed.trees.iter().map(rescale).collect();
        Ok((
            Forest::new(parsed.n_features, self.link, vec![0.0; self.n_outputs], parsed.trees)?,
            Forest::new(parsed.n_features, self.link, vec![self.mean; self.n_outputs], rescaled)?,
        ))
    }
}

/// Fails unless the converted trees say of the training rows what LightGBM says.
fn compare(
    booster: &Booster<'_>,
    forest: &Forest,
    rows: &Samples,
    n_rounds: u32,
    n_threads: u32,
) -> Result<(), LearnError> {
    let stride = rows.n_rows.div_ceil(MAX_COMPARED_ROWS).max(1);
    let picked;
    let rows = if stride == 1 {
        rows
    } else {
        let indices = (0..rows.n_rows).step_by(stride);
        let features: Vec<f32> = indices.clone().flat_map(|row| rows.row(row).iter().copied()).collect();
        picked = Samples { n_rows: indices.count(), n_features: rows.n_features, features };
        &picked
    };
    let ours = forest.sums(rows)?;
    let theirs = booster.sums(rows, ours.len() / rows.n_rows.max(1), n_rounds, n_threads)?;
    let far = ours.iter().zip(&theirs).position(|(ours, theirs)| {
        let difference = (ours - theirs).abs();
        difference.is_nan() || difference > TOLERANCE * theirs.abs().max(1.0)
    });
    match far {
        None => Ok(()),
        Some(at) => Err(LearnError::Internal(format!(
            "the converted trees say {} of a training row of which LightGBM says {}",
            ours[at], theirs[at]
        ))),
    }
}

fn check_settings(config: &TreesConfig) -> Result<(), LearnError> {
    let share = |value: f64| value > 0.0 && value <= 1.0;
    let checks = [
        ("n_rounds", config.n_rounds >= 1, "it must be at least 1"),
        ("learning_rate", config.learning_rate.is_finite() && config.learning_rate > 0.0, "it must be above 0"),
        ("n_leaves", (2..=131_072).contains(&config.n_leaves), "it must be from 2 to 131072"),
        ("min_rows_in_leaf", (1..=i32::MAX as u32).contains(&config.min_rows_in_leaf), "it must be at least 1"),
        ("feature_fraction", share(config.feature_fraction), "it must be above 0 and at most 1"),
        ("bagging_fraction", share(config.bagging_fraction), "it must be above 0 and at most 1"),
        ("l2", config.l2.is_finite() && config.l2 >= 0.0, "it must be 0 or above"),
    ];
    match checks.into_iter().find(|(_, good, _)| !good) {
        Some((setting, _, message)) => {
            Err(LearnError::Setting { setting: setting.to_owned(), message: message.to_owned() })
        }
        None => Ok(()),
    }
}

/// The one string of parameters that tables and booster share.
fn params(config: &TreesConfig, problem: &Problem, seed: u64, threads: u32) -> String {
    let mut params = problem.params.clone();
    let mut set = |name: &str, value: &dyn std::fmt::Display| params.extend([" ", name, "=", &value.to_string()]);
    set("verbosity", &-1);
    // With these two, results depend on neither timing nor the number of threads.
    set("deterministic", &true);
    set("force_row_wise", &true);
    set("num_threads", &threads.max(1));
    // LightGBM takes 31 bits and derives its other seeds (bagging, features, sampling of bins) from this one.
    set("seed", &((seed ^ (seed >> 31)) & 0x7fff_ffff));
    set("learning_rate", &config.learning_rate);
    set("num_leaves", &config.n_leaves);
    set("min_data_in_leaf", &config.min_rows_in_leaf);
    set("feature_fraction", &config.feature_fraction);
    set("lambda_l2", &config.l2);
    if config.bagging_fraction < 1.0 {
        set("bagging_fraction", &config.bagging_fraction);
        set("bagging_freq", &1);
    }
    params
}
