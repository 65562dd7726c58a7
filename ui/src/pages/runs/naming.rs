//! What runs and metrics are called on the screen, and which colour a run has.

use std::collections::HashMap;

use athanor_protocol::{
    metric::{MetricPoint, MetricValue, Split, metric_info},
    names::RunId,
    run::RunSummary,
};

use crate::format;

/// The end of an id: its beginning is the time, alike for all runs of a day.
pub(super) fn short(id: &RunId) -> &str {
    id.as_str().get(RunId::LEN - 6..).unwrap_or(id.as_str())
}

/// A run's name: the workflow and the end of its id.
pub(super) fn run_name(summary: &RunSummary) -> String {
    format!("{} {}", summary.workflow, short(&summary.id))
}

/// A metric's key as words: `log_loss` is `Log loss`, `roc_auc` is `ROC AUC`.
pub(super) fn metric_words(key: &str) -> String {
    match key {
        "roc_auc" => return "ROC AUC".to_owned(),
        "mcc" => return "MCC".to_owned(),
        "r2" => return "R²".to_owned(),
        "rmse" | "mae" => return key.to_uppercase(),
        "cpu_percent" => return "CPU".to_owned(),
        "memory_bytes" => return "Memory".to_owned(),
        "gpu_memory_bytes" => return "GPU memory".to_owned(),
        _ => {}
    }
    let text = key.replace('_', " ");
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A metric's value with its unit.
pub(super) fn value_text(key: &str, value: MetricValue) -> String {
    match (metric_info(key).map(|info| info.unit), value.finite()) {
        (Some("bytes"), Some(bytes)) if bytes >= 0.0 => format::bytes(bytes as u64),
        (Some("%"), Some(share)) => format!("{} %", format::number(share)),
        _ => format::metric(value),
    }
}

/// A metric of a split: `Accuracy, valid`.
pub(super) fn metric_title(split: Split, key: &str) -> String {
    format!("{}, {}", metric_words(key), split.as_str())
}

/// A metric's name as a setting: `valid/loss`.
pub(super) fn metric_path(split: Split, key: &str) -> String {
    format!("{}/{key}", split.as_str())
}

/// The other way round.
pub(super) fn parse_metric(path: &str) -> Option<(Split, String)> {
    let (split, key) = path.split_once('/')?;
    let split = [Split::Train, Split::Valid, Split::Test, Split::System].into_iter().find(|s| s.as_str() == split)?;
    Some((split, key.to_owned()))
}

/// The latest point of a metric.
pub(super) fn latest<'a>(points: &'a [MetricPoint], split: Split, key: &str) -> Option<&'a MetricPoint> {
    points.iter().find(|point| point.split == split && point.key == key)
}

/// The latest points with these added: a newer point takes the place of an older one.
pub(super) fn note_latest(known: &mut Vec<MetricPoint>, points: &[MetricPoint]) {
    for point in points {
        match known.iter_mut().find(|other| other.split == point.split && other.key == point.key) {
            Some(other) if other.step <= point.step => *other = point.clone(),
            Some(_) => {}
            None => known.push(point.clone()),
        }
    }
}

/// How long the attempt took, up to now while it is at work.
pub(super) fn took_millis(summary: &RunSummary, now_millis: i64) -> Option<i64> {
    let started = summary.started_at_millis?;
    Some(summary.ended_at_millis.unwrap_or(now_millis) - started)
}

/// Each run's place among the colours, given out in the order in which runs are first seen.
#[derive(Debug, Default)]
pub(super) struct Colors {
    places: HashMap<RunId, usize>,
}

impl Colors {
    /// The place of a run.
    pub(super) fn place(&mut self, run: &RunId) -> usize {
        if let Some(&place) = self.places.get(run) {
            return place;
        }
        let place = self.places.len();
        self.places.insert(run.clone(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_and_found_again() {
        assert_eq!(metric_title(Split::Valid, "log_loss"), "Log loss, valid");
        for (split, key) in [(Split::Test, "accuracy"), (Split::System, "gpu/0/load"), (Split::Train, "")] {
            assert_eq!(parse_metric(&metric_path(split, key)), Some((split, key.to_owned())));
        }
        assert_eq!(parse_metric("loss"), None);
        assert_eq!(metric_words(""), "");
    }

    #[test]
    fn a_newer_point_takes_the_place_of_an_older_one() {
        let point = |step, value: f64| MetricPoint {
            key: "loss".to_owned(),
            split: Split::Train,
            step,
            at_millis: 0,
            value: value.into(),
        };
        let mut known = vec![point(5, 1.0)];
        note_latest(&mut known, &[point(4, 9.0), point(6, 0.5)]);
        assert_eq!(known, [point(6, 0.5)]);
    }
}
