//! How metrics are called, and which of them a list shows.

use athanor_protocol::registry::ModelVersion;

/// A metric's name as people write it, without its split.
pub fn metric_title(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    match name {
        "roc_auc" => "ROC AUC".to_owned(),
        "r2" => "R²".to_owned(),
        "rmse" | "mae" | "mcc" | "f1" => name.to_uppercase(),
        _ => {
            let words = name.replace('_', " ");
            let mut chars = words.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        }
    }
}

/// A metric's split as people write it; empty where the key has none.
pub fn split_title(key: &str) -> &str {
    match key.split_once('/').map(|(split, _)| split) {
        Some("test") => "test",
        Some("valid") => "validation",
        Some("train") => "training",
        Some(other) => other,
        None => "",
    }
}

/// The metrics that a list of versions shows, by what people judge a model by; at most `most`.
pub fn key_metrics(version: &ModelVersion, most: usize) -> Vec<String> {
    const FIRST: [&str; 8] = ["accuracy", "roc_auc", "rmse", "r2", "mae", "f1", "log_loss", "loss"];
    let mut keys: Vec<String> = vec![];
    for split in ["test", "valid", "train"] {
        for name in FIRST {
            let key = format!("{split}/{name}");
            if keys.len() < most && version.metrics.iter().any(|metric| metric.key == key) {
                keys.push(key);
            }
        }
        if !keys.is_empty() {
            return keys;
        }
    }
    version.metrics.iter().take(most).map(|metric| metric.key.clone()).collect()
}

/// A metric of a version.
pub fn metric_of(version: &ModelVersion, key: &str) -> Option<f64> {
    version.metrics.iter().find(|metric| metric.key == key).map(|metric| metric.value.to_f64())
}

/// A metric's value with as many decimals as its neighbours have, so that a column of them lines up.
pub fn value(value: f64) -> String {
    if value.is_finite() && value.abs() < 10.0 && (value == 0.0 || value.abs() >= 1e-3) {
        format!("{value:.4}")
    } else {
        crate::format::number(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_called_as_people_write_them() {
        for (key, title, split) in [
            ("test/roc_auc", "ROC AUC", "test"),
            ("valid/log_loss", "Log loss", "validation"),
            ("train/f1", "F1", "training"),
            ("mine", "Mine", ""),
            ("", "", ""),
        ] {
            assert_eq!((metric_title(key).as_str(), split_title(key)), (title, split));
        }
    }
}
