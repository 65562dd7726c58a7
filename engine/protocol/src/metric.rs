//! Metric points: what training reports and the store keeps.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that may be non-finite, and says so: JSON has no NaN, and SQLite turns a bound NaN into NULL.
///
/// In JSON a finite value is a number; the others are the strings `"NaN"`, `"Infinity"`, `"-Infinity"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// An ordinary number.
    Finite(f64),
    /// Not a number.
    NaN,
    /// Positive infinity.
    PosInf,
    /// Negative infinity.
    NegInf,
}

impl From<f64> for MetricValue {
    fn from(value: f64) -> Self {
        if value.is_nan() {
            Self::NaN
        } else if value == f64::INFINITY {
            Self::PosInf
        } else if value == f64::NEG_INFINITY {
            Self::NegInf
        } else {
            Self::Finite(value)
        }
    }
}

impl MetricValue {
    /// Back to a float, non-finite ones included.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Finite(value) => value,
            Self::NaN => f64::NAN,
            Self::PosInf => f64::INFINITY,
            Self::NegInf => f64::NEG_INFINITY,
        }
    }

    /// The number, if it is one.
    pub fn finite(self) -> Option<f64> {
        match self {
            Self::Finite(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(value) => write!(f, "{value}"),
            Self::NaN => f.write_str("NaN"),
            Self::PosInf => f.write_str("Infinity"),
            Self::NegInf => f.write_str("-Infinity"),
        }
    }
}

impl Serialize for MetricValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Finite(value) => serializer.serialize_f64(*value),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for MetricValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Number(f64),
            Text(String),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Number(value) => Ok(Self::from(value)),
            Wire::Text(text) => match text.as_str() {
                "NaN" => Ok(Self::NaN),
                "Infinity" => Ok(Self::PosInf),
                "-Infinity" => Ok(Self::NegInf),
                _ => Err(serde::de::Error::custom("expected a number, \"NaN\", \"Infinity\" or \"-Infinity\"")),
            },
        }
    }
}

/// Which part of the data a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// What the learner fits.
    Train,
    /// What it is stopped and tuned by.
    Valid,
    /// What it is judged by, once.
    Test,
    /// Not of the data: CPU, memory, speed.
    System,
}

impl Split {
    /// The split as it is written in JSON and in keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::System => "system",
        }
    }
}

/// One value of one metric at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// The metric's name, for example `loss`, `accuracy`, `cpu_percent`; at most 128 bytes.
    pub key: String,
    /// Which part of the data.
    pub split: Split,
    /// The optimisation step (or sample number, for system metrics); never negative.
    pub step: u64,
    /// Wall time in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// The value.
    pub value: MetricValue,
}

/// What a metric means: its unit and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricInfo {
    /// The key, for example `accuracy`.
    pub key: &'static str,
    /// The unit, or the empty string for a pure number.
    pub unit: &'static str,
    /// Whether a higher value is better; `None` where neither is.
    pub higher_is_better: Option<bool>,
}

/// The metrics that learning and evaluation report.
pub const METRICS: [MetricInfo; 21] = [
    MetricInfo { key: "loss", unit: "", higher_is_better: Some(false) },
    MetricInfo { key: "accuracy", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "balanced_accuracy", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "precision", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "recall", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "f1", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "roc_auc", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "average_precision", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "log_loss", unit: "", higher_is_better: Some(false) },
    MetricInfo { key: "brier", unit: "", higher_is_better: Some(false) },
    MetricInfo { key: "mcc", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "r2", unit: "", higher_is_better: Some(true) },
    MetricInfo { key: "rmse", unit: "target", higher_is_better: Some(false) },
    MetricInfo { key: "mae", unit: "target", higher_is_better: Some(false) },
    MetricInfo { key: "median_absolute_error", unit: "target", higher_is_better: Some(false) },
    MetricInfo { key: "learning_rate", unit: "", higher_is_better: None },
    MetricInfo { key: "epoch", unit: "", higher_is_better: None },
    MetricInfo { key: "samples_per_sec", unit: "1/s", higher_is_better: Some(true) },
    MetricInfo { key: "cpu_percent", unit: "%", higher_is_better: None },
    MetricInfo { key: "memory_bytes", unit: "bytes", higher_is_better: None },
    MetricInfo { key: "gpu_memory_bytes", unit: "bytes", higher_is_better: None },
];

/// Looks up what a metric means; `None` for a key that is not ours.
pub fn metric_info(key: &str) -> Option<&'static MetricInfo> {
    METRICS.iter().find(|info| info.key == key)
}
