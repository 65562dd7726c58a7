//! Monitoring: what is watched of a served model, what was found, and what was told of it.

use serde::{Deserialize, Serialize};

use crate::table::DataType;

/// How two distributions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftMethod {
    /// Two-sample Kolmogorov-Smirnov test; drift where its p-value is below 0.05.
    KolmogorovSmirnov,
    /// Pearson's chi-squared test; drift where its p-value is below 0.05.
    ChiSquared,
    /// Difference of two shares (z-test); drift where its p-value is below 0.05.
    ShareDifference,
    /// Wasserstein-1 distance in standard deviations of the reference; drift from 0.1 on.
    WassersteinNormed,
    /// Jensen-Shannon distance with natural logarithms; drift from 0.1 on.
    JensenShannon,
    /// Population stability index; drift from 0.1 on.
    Psi,
}

impl DriftMethod {
    /// The method as it is written in JSON and as a label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KolmogorovSmirnov => "kolmogorov_smirnov",
            Self::ChiSquared => "chi_squared",
            Self::ShareDifference => "share_difference",
            Self::WassersteinNormed => "wasserstein_normed",
            Self::JensenShannon => "jensen_shannon",
            Self::Psi => "psi",
        }
    }

    /// Whether the method judges by a p-value, where small means drift; the others judge by a distance.
    pub const fn judges_by_p_value(self) -> bool {
        matches!(self, Self::KolmogorovSmirnov | Self::ChiSquared | Self::ShareDifference)
    }

    /// Below this p-value, or from this distance on, there is drift.
    pub const fn threshold(self) -> f64 {
        if self.judges_by_p_value() { 0.05 } else { 0.1 }
    }
}

/// One comparison.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DriftFigure {
    /// How.
    pub method: DriftMethod,
    /// The statistic or distance.
    pub value: f64,
    /// The p-value, for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
}

/// How one column's recent values compare to those of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// The column's name.
    pub column: String,
    /// Its type.
    pub dtype: DataType,
    /// Values of training that were there.
    pub n_reference: u64,
    /// Recent values that were there.
    pub n_current: u64,
    /// Share of missing values: in training, and recently.
    pub missing: [f64; 2],
    /// The method that decided; `None` where there was nothing to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_by: Option<DriftMethod>,
    /// Whether it decided for drift.
    pub drifted: bool,
    /// All comparisons that can be made.
    pub figures: Vec<DriftFigure>,
    /// How the values are spread, in training and recently, in the same bins; empty where there was nothing to compare,
    /// and in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bins: Vec<DriftBin>,
}

/// Most bins of a column in a report.
pub const MAX_DRIFT_BINS: usize = 20;

/// One of the bins in which two distributions are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftBin {
    /// What is in it.
    #[serde(flatten)]
    pub of: BinOf,
    /// Share of training's values that were there.
    pub reference: f64,
    /// Share of recent values that were there.
    pub current: f64,
}

/// What is in a bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinOf {
    /// Numbers from the first on and below the second; the last bin has its upper end too. Moments are in seconds since
    /// the Unix epoch.
    Range([f64; 2]),
    /// A text, or `true` and `false`.
    Value(String),
    /// All values that have no bin of their own.
    Others(u64),
}

impl ColumnDrift {
    /// The figure that decided.
    pub fn deciding(&self) -> Option<&DriftFigure> {
        self.figures.iter().find(|figure| Some(figure.method) == self.judged_by)
    }

    /// What was compared to the threshold: a p-value or a distance.
    pub fn score(&self) -> Option<f64> {
        let figure = self.deciding()?;
        if figure.method.judges_by_p_value() { figure.p_value } else { Some(figure.value) }
    }
}

/// Violations of what training saw, counted over all rows of a period.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ColumnQuality {
    /// The column's name.
    pub column: String,
    /// Rows that were answered.
    pub n_rows: u64,
    /// Missing values among them.
    pub n_missing: u64,
    /// Values that training never saw: texts that are in none of its categories, where it had at most a hundred.
    pub n_new_categories: u64,
    /// Numbers below the least or above the greatest of training.
    pub n_out_of_range: u64,
    /// Requests that were refused because of a value of this column: of a wrong type, or missing where it may not be.
    pub n_refused: u64,
}

/// How good predictions were, where the truth became known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityFigure {
    /// The metric, as in [`crate::metric::METRICS`].
    pub metric: String,
    /// Its value over the rows with truth.
    pub value: f64,
    /// Standard deviation over five resamples of 80 %; `None` below 200 rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// The same metric when the model was made, on rows that it had not learned from where there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<f64>,
    /// The same metric of the best constant answer on the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant: Option<f64>,
}

/// Quality over the rows whose truth is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QualityReport {
    /// Rows with a prediction and a truth.
    pub n_rows: u64,
    /// Truths whose prediction was not captured or is no longer kept.
    pub n_unmatched: u64,
    /// The figures.
    pub figures: Vec<QualityFigure>,
}

/// What was found about one period of a served version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorReport {
    /// Format version; 1.
    pub version: u32,
    /// The report's number in the workspace; 0 before it is stored.
    #[serde(default)]
    pub id: u64,
    /// The model.
    pub model: String,
    /// Its version.
    pub model_version: u32,
    /// When the period began and ended, milliseconds since the Unix epoch.
    pub period_millis: [i64; 2],
    /// Rows that were answered in the period.
    pub n_rows: u64,
    /// Rows of them that were compared: a uniform sample where there were more than are kept.
    pub n_compared: u64,
    /// Each input column.
    pub inputs: Vec<ColumnDrift>,
    /// The predictions.
    pub predictions: Vec<ColumnDrift>,
    /// Violations by column.
    pub data_quality: Vec<ColumnQuality>,
    /// Share of judged input columns that drifted; drift of the data from 0.5 on.
    pub drifted_share: f64,
    /// Whether the data drifted as a whole.
    pub data_drifted: bool,
    /// Whether the predictions drifted.
    pub predictions_drifted: bool,
    /// Quality, where truths are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityReport>,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Half of the judged columns or more drifted.
    DataDrift,
    /// The predictions drifted.
    PredictionDrift,
    /// A column breaks what training saw in more than a tenth of its rows.
    DataQuality,
    /// The model is no better than the best constant answer.
    ModelQuality,
}

impl AlertKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::DataDrift, Self::PredictionDrift, Self::DataQuality, Self::ModelQuality];

    /// The kind as it is written in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DataDrift => "data_drift",
            Self::PredictionDrift => "prediction_drift",
            Self::DataQuality => "data_quality",
            Self::ModelQuality => "model_quality",
        }
    }

    /// The other way round.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its number in the workspace.
    pub id: u64,
    /// The model.
    pub model: String,
    /// Its version.
    pub model_version: u32,
    /// What it is about.
    pub kind: AlertKind,
    /// The column, for data quality; empty otherwise.
    pub column: String,
    /// One sentence for people.
    pub message: String,
    /// The report that raised it.
    pub report_id: u64,
    /// When it was raised, milliseconds since the Unix epoch.
    pub raised_at_millis: i64,
    /// When it went away by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_millis: Option<i64>,
    /// When somebody said that they have seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at_millis: Option<i64>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
}

/// How a model is watched. Version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorConfig {
    /// Format version; 1.
    pub version: u32,
    /// Share of requests whose rows are kept, 0 to 1; 0 keeps none.
    pub capture: f64,
    /// Columns that are never kept.
    pub redact: Vec<String>,
    /// Days that kept rows stay, 1 to 3650.
    pub retention_days: u32,
    /// Bytes that kept rows may take, the oldest go first.
    pub retention_bytes: u64,
    /// Minutes after which a period ends, 1 to 10,080.
    pub every_minutes: u32,
    /// Rows after which a period ends, 1 to 1,000,000,000.
    pub every_rows: u64,
    /// Rows that a period needs to be judged; with fewer it goes on.
    pub min_rows: u64,
    /// Reports in a row that must agree before an alert is raised, and before it is resolved, 1 to 100.
    pub patience: u32,
    /// Where alerts are sent by POST: an `https` address, or `http` on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Whether the webhook may be in a private network.
    pub webhook_private: bool,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            version: 1,
            capture: 0.0,
            redact: Vec::new(),
            retention_days: 30,
            retention_bytes: 256 << 20,
            every_minutes: 60,
            every_rows: 10_000,
            min_rows: 100,
            patience: 2,
            webhook: None,
            webhook_private: false,
        }
    }
}

impl MonitorConfig {
    /// What is wrong with the settings: the setting and the rule; empty where nothing is. Whether the webhook's host is
    /// one that may be called is only known when it is called.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut check = |is_right: bool, setting: &'static str, rule: &str| {
            if !is_right {
                problems.push((setting, rule.to_owned()));
            }
        };
        check(self.version == 1, "version", "this program reads version 1");
        check((0.0..=1.0).contains(&self.capture), "capture", "it is a share from 0 to 1");
        let is_name = |name: &String| !name.is_empty() && name.len() <= 1_024;
        check(self.redact.len() <= 10_000 && self.redact.iter().all(is_name), "redact", "it lists names of columns");
        check((1..=3_650).contains(&self.retention_days), "retention_days", "it is from 1 to 3650 days");
        check((1 << 20..=1 << 44).contains(&self.retention_bytes), "retention_bytes", "it is from 1 MiB to 16 TiB");
        check((1..=10_080).contains(&self.every_minutes), "every_minutes", "it is from 1 to 10080 minutes");
        check((1..=1_000_000_000).contains(&self.every_rows), "every_rows", "it is from 1 to 1000000000 rows");
        check((1..=1_000_000).contains(&self.min_rows), "min_rows", "it is from 1 to 1000000 rows");
        check((1..=100).contains(&self.patience), "patience", "it is from 1 to 100 reports");
        if let Some(webhook) = &self.webhook {
            let is_plain = webhook.len() <= 2_048 && webhook.bytes().all(|byte| byte.is_ascii_graphic());
            let has_scheme = webhook.starts_with("https://") || webhook.starts_with("http://");
            check(is_plain && has_scheme, "webhook", "it is an https address, or http on this machine");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        assert_eq!(MonitorConfig::default().problems(), []);
        let check = |change: fn(&mut MonitorConfig), expect: &str| {
            let mut config = MonitorConfig::default();
            change(&mut config);
            let settings: Vec<&str> = config.problems().into_iter().map(|(setting, _)| setting).collect();
            assert_eq!(settings, [expect]);
        };
        check(|config| config.capture = 1.5, "capture");
        check(|config| config.capture = f64::NAN, "capture");
        check(|config| config.retention_days = 0, "retention_days");
        check(|config| config.retention_bytes = 1, "retention_bytes");
        check(|config| config.every_minutes = 0, "every_minutes");
        check(|config| config.every_rows = 0, "every_rows");
        check(|config| config.min_rows = 0, "min_rows");
        check(|config| config.patience = 0, "patience");
        check(|config| config.redact = vec![String::new()], "redact");
        check(|config| config.webhook = Some("ftp://host/".to_owned()), "webhook");
        check(|config| config.webhook = Some("https://host/ x".to_owned()), "webhook");
        check(|config| config.version = 2, "version");
    }

    #[test]
    fn older_documents_get_the_defaults_and_unknown_words_are_refused() {
        let config: MonitorConfig = serde_json::from_str(r#"{"version":1,"capture":0.2}"#).unwrap();
        assert_eq!(config, MonitorConfig { capture: 0.2, ..MonitorConfig::default() });
        assert!(serde_json::from_str::<MonitorConfig>(r#"{"cature":0.2}"#).is_err());
        for kind in AlertKind::ALL {
            assert_eq!(AlertKind::parse(kind.as_str()), Some(kind));
        }
    }
}
