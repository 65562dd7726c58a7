//! Two versions side by side: metrics, what they take, what their runs were given.

use athanor_protocol::{
    metric::metric_info,
    registry::ModelVersion,
    signature::{InputColumn, ModelSignature},
};

/// Which of two is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The second is better than the first.
    Better,
    /// It is worse.
    Worse,
    /// They are equal, or nobody can tell.
    Open,
}

/// A metric of two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLine {
    /// Its key with split.
    pub key: String,
    /// Of the first.
    pub first: Option<f64>,
    /// Of the second.
    pub second: Option<f64>,
    /// Whether the second is better.
    pub verdict: Verdict,
}

impl MetricLine {
    /// Second less first.
    pub fn difference(&self) -> Option<f64> {
        Some(self.second? - self.first?).filter(|difference| difference.is_finite())
    }
}

/// The splits in the order in which people look at them.
fn place(key: &str) -> usize {
    let split = key.split('/').next().unwrap_or_default();
    ["test", "valid", "train"].iter().position(|known| *known == split).unwrap_or(3)
}

/// The metrics of both, test before validation before training.
pub fn metrics(first: &ModelVersion, second: &ModelVersion) -> Vec<MetricLine> {
    let of = |version: &ModelVersion, key: &str| {
        version.metrics.iter().find(|metric| metric.key == key).map(|metric| metric.value.to_f64())
    };
    let mut keys: Vec<&str> = first.metrics.iter().map(|metric| metric.key.as_str()).collect();
    keys.extend(second.metrics.iter().map(|metric| metric.key.as_str()));
    keys.sort_by_key(|key| place(key));
    let mut lines: Vec<MetricLine> = vec![];
    for key in keys {
        if lines.iter().any(|line| line.key == key) {
            continue;
        }
        let (a, b) = (of(first, key), of(second, key));
        lines.push(MetricLine { key: key.to_owned(), first: a, second: b, verdict: verdict(key, a, b) });
    }
    lines
}

fn verdict(key: &str, first: Option<f64>, second: Option<f64>) -> Verdict {
    let name = key.rsplit('/').next().unwrap_or(key);
    let higher = metric_info(name).and_then(|info| info.higher_is_better);
    match (first, second, higher) {
        (Some(a), Some(b), Some(higher)) if a.is_finite() && b.is_finite() && a != b => {
            if (b > a) == higher {
                Verdict::Better
            } else {
                Verdict::Worse
            }
        }
        _ => Verdict::Open,
    }
}

/// A difference between what two versions take or give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureChange {
    /// The second takes one more.
    Added(InputColumn),
    /// The second does not take it any more.
    Removed(InputColumn),
    /// Both take it, in different ways.
    Changed(InputColumn, InputColumn),
    /// Something else: name, before, after.
    Other(&'static str, String, String),
}

/// What changed between what the first and the second take and give.
pub fn signature(first: &ModelSignature, second: &ModelSignature) -> Vec<SignatureChange> {
    let mut changes = vec![];
    if first.task != second.task {
        changes.push(SignatureChange::Other("task", first.task.as_str().to_owned(), second.task.as_str().to_owned()));
    }
    if first.target != second.target {
        changes.push(SignatureChange::Other("target", first.target.clone(), second.target.clone()));
    }
    if first.classes != second.classes {
        changes.push(SignatureChange::Other("classes", first.classes.join(", "), second.classes.join(", ")));
    }
    let find = |list: &[InputColumn], name: &str| list.iter().find(|input| input.name == name).cloned();
    for input in &first.inputs {
        match find(&second.inputs, &input.name) {
            None => changes.push(SignatureChange::Removed(input.clone())),
            Some(other) if other != *input => changes.push(SignatureChange::Changed(input.clone(), other)),
            Some(_) => {}
        }
    }
    let added = second.inputs.iter().filter(|input| find(&first.inputs, &input.name).is_none());
    changes.extend(added.cloned().map(SignatureChange::Added));
    changes
}

/// A parameter of two runs; `None` where one does not have it.
pub type ParamLine<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// The parameters of both, in the order of the first, then what only the second has.
pub fn params<'a>(first: &'a [(String, String)], second: &'a [(String, String)]) -> Vec<ParamLine<'a>> {
    let find =
        |list: &'a [(String, String)], name: &str| list.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let mut lines: Vec<ParamLine<'a>> =
        first.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()), find(second, name))).collect();
    let only = second.iter().filter(|(name, _)| find(first, name).is_none());
    lines.extend(only.map(|(name, value)| (name.as_str(), None, Some(value.as_str()))));
    lines
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use athanor_protocol::{metric::MetricValue, package::FinalMetric, table::DataType};

    use super::*;
    use crate::fake;

    #[test]
    fn better_and_worse_follow_the_metric_not_the_sign() {
        let (a, b) = (fake::model_version(6), fake::model_version(7));
        let lines = metrics(&a, &b);
        let verdict_of = |key: &str| lines.iter().find(|line| line.key == key).unwrap().verdict;
        assert_eq!(verdict_of("test/accuracy"), Verdict::Better);
        assert_eq!(verdict_of("test/log_loss"), Verdict::Better);
        assert!(lines.iter().map(|line| place(&line.key)).is_sorted());
        let back = metrics(&b, &a);
        assert!(back.iter().all(|line| line.verdict == Verdict::Worse), "{back:?}");
        assert!(metrics(&a, &a).iter().all(|line| line.verdict == Verdict::Open && line.difference() == Some(0.0)));
    }

    #[test]
    fn metrics_that_one_lacks_or_nobody_knows_have_no_verdict() {
        let mut a = fake::model_version(6);
        let mut b = fake::model_version(7);
        a.metrics = vec![FinalMetric { key: "test/accuracy".into(), value: MetricValue::NaN }];
        b.metrics = vec![
            FinalMetric { key: "test/accuracy".into(), value: MetricValue::Finite(0.9) },
            FinalMetric { key: "mine".into(), value: MetricValue::Finite(1.0) },
        ];
        let lines = metrics(&a, &b);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.verdict == Verdict::Open && line.difference().is_none()), "{lines:?}");
    }

    #[test]
    fn signatures_differ_by_columns_types_and_classes() {
        let (a, b) = (fake::model_version(5).signature, fake::model_version(6).signature);
        let changes = signature(&a, &b);
        assert!(matches!(&changes[..], [SignatureChange::Changed(from, to), SignatureChange::Added(added)]
            if from.dtype == DataType::Float && to.dtype == DataType::Int && added.name == "examined_on"));
        assert!(matches!(&signature(&b, &a)[..], [SignatureChange::Changed(..), SignatureChange::Removed(_)]));
        assert_eq!(signature(&a, &a), vec![]);
        let mut other = a.clone();
        other.classes.push("unknown".into());
        assert!(matches!(&signature(&a, &other)[..], [SignatureChange::Other("classes", ..)]));
    }

    #[test]
    fn parameters_of_both_runs_stand_once() {
        let own = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (a, b) =
            (own(&[("train.epochs", "40"), ("split.seed", "1")]), own(&[("train.epochs", "60"), ("fill.by", "mean")]));
        let expect = vec![
            ("train.epochs", Some("40"), Some("60")),
            ("split.seed", Some("1"), None),
            ("fill.by", None, Some("mean")),
        ];
        assert_eq!(params(&a, &b), expect);
    }
}
