//! From a period to a report, and from reports to alerts. Pure: times and settings are passed in.

use std::collections::{BTreeMap, BTreeSet};

use athanor_learn::drift::compare;
use athanor_protocol::{
    columns::Frame,
    monitor::{Alert, AlertKind, ColumnDrift, MonitorReport, QualityReport},
    package::{ColumnStatistics, Statistics},
};
use athanor_serve::monitor::{DriftGauge, Period};

/// The data drifted where so large a share of the judged columns did.
pub const DRIFTED_SHARE: f64 = 0.5;
/// Most of a column's rows that may break what training saw.
pub const VIOLATED_SHARE: f64 = 0.1;
/// An alert is resolved only below this part of what raises it, so that it does not flicker.
pub const CALM: f64 = 0.8;
/// Most columns whose bins a report keeps: it is kept in the database, and sent to whoever looks.
const MAX_BINNED: usize = 100;
/// Rows with truth below which quality raises nothing.
const MIN_TRUTHS: u64 = 200;

/// Compares a period with what the package keeps of training.
pub fn report(
    (model, version): (&str, u32),
    statistics: &Statistics,
    period: &Period,
    period_millis: [i64; 2],
    quality: Option<QualityReport>,
) -> MonitorReport {
    let mut inputs = columns(&statistics.inputs, &period.inputs);
    keep_bins(&mut inputs);
    let predictions = columns(&statistics.predictions, &period.predictions);
    let (drifted_share, said_share) = (share(&inputs), share(&predictions));
    MonitorReport {
        version: 1,
        id: 0,
        model: model.to_owned(),
        model_version: version,
        period_millis,
        n_rows: period.n_rows,
        n_compared: period.inputs.n_rows() as u64,
        inputs,
        predictions,
        data_quality: period.quality.clone(),
        drifted_share,
        data_drifted: drifted_share >= DRIFTED_SHARE,
        predictions_drifted: said_share >= DRIFTED_SHARE,
        quality,
    }
}

fn columns(reference: &[ColumnStatistics], current: &Frame) -> Vec<ColumnDrift> {
    let compared = |reference: &ColumnStatistics| Some(compare(reference, &current.column(&reference.name)?.data));
    reference.iter().filter_map(compared).collect()
}

/// Leaves out the bins of columns beyond [`MAX_BINNED`]; those that drifted keep theirs first.
fn keep_bins(columns: &mut [ColumnDrift]) {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|&at| !columns[at].drifted);
    order.into_iter().skip(MAX_BINNED).for_each(|at| columns[at].bins.clear());
}

/// The share of drifted columns among those that could be judged.
fn share(columns: &[ColumnDrift]) -> f64 {
    let judged = columns.iter().filter(|column| column.judged_by.is_some());
    let (n, drifted) = judged.fold((0_u32, 0_u32), |(n, d), column| (n + 1, d + u32::from(column.drifted)));
    if n == 0 { 0.0 } else { f64::from(drifted) / f64::from(n) }
}

/// A report's figures as metrics of the endpoint, all of one column together.
pub fn gauges(report: &MonitorReport) -> Vec<DriftGauge> {
    let of_column = |is_prediction: bool, column: &ColumnDrift| {
        let gauge = |statistic: &'static str, value: f64| DriftGauge {
            model: report.model.clone(),
            version: report.model_version,
            column: column.column.clone(),
            is_prediction,
            statistic,
            value,
            drifted: column.drifted,
        };
        column.figures.iter().map(|figure| gauge(figure.method.as_str(), figure.value)).collect::<Vec<_>>()
    };
    let inputs = report.inputs.iter().flat_map(|column| of_column(false, column));
    inputs.chain(report.predictions.iter().flat_map(|column| of_column(true, column))).collect()
}

/// What an alert may be about: a kind, and a column where it is about one.
pub type Subject = (AlertKind, String);

/// How near each subject of a report is to an alert: 1 raises it.
pub fn levels(report: &MonitorReport) -> BTreeMap<Subject, f64> {
    let mut levels = BTreeMap::new();
    levels.insert((AlertKind::DataDrift, String::new()), report.drifted_share / DRIFTED_SHARE);
    levels.insert((AlertKind::PredictionDrift, String::new()), share(&report.predictions) / DRIFTED_SHARE);
    for column in &report.data_quality {
        let part = |n: u64, of: u64| if of == 0 { 0.0 } else { n as f64 / of as f64 };
        let before = report.inputs.iter().find(|drift| drift.column == column.column).map_or(0.0, |d| d.missing[0]);
        let worst = [
            part(column.n_missing, column.n_rows) - before,
            part(column.n_new_categories, column.n_rows),
            part(column.n_out_of_range, column.n_rows),
            part(column.n_refused, column.n_rows + column.n_refused),
        ];
        let worst = worst.into_iter().fold(0.0, f64::max);
        levels.insert((AlertKind::DataQuality, column.column.clone()), worst / VIOLATED_SHARE);
    }
    if let Some(quality) = report.quality.as_ref().filter(|quality| quality.n_rows >= MIN_TRUTHS) {
        levels.extend(quality_level(quality).map(|level| ((AlertKind::ModelQuality, String::new()), level)));
    }
    levels
}

/// How near the model is to the best constant answer: by the errors, of which a constant makes some.
fn quality_level(quality: &QualityReport) -> Option<f64> {
    let figure = |name: &str| quality.figures.iter().find(|figure| figure.metric == name);
    let (error, constant) = match (figure("accuracy"), figure("rmse")) {
        (Some(accuracy), _) => (1.0 - accuracy.value, 1.0 - accuracy.constant?),
        (None, Some(rmse)) => (rmse.value, rmse.constant?),
        (None, None) => return None,
    };
    if constant > 0.0 { Some((error / constant).min(1e9)) } else { None }
}

/// What changes: subjects to raise, and open alerts to resolve.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Subjects that the last reports agree about.
    pub raise: Vec<Subject>,
    /// Numbers of alerts that the last reports no longer bear out.
    pub resolve: Vec<u64>,
}

/// Decides by the last reports of a version, newest first, and its open alerts: `patience` reports in a row must be at or
/// above the level to raise an alert, and as many below [`CALM`] of it to resolve one.
pub fn changes(reports: &[MonitorReport], open: &[Alert], patience: u32) -> Changes {
    let patience = patience.max(1) as usize;
    let Some(last) = reports.get(..patience) else { return Changes::default() };
    let levels: Vec<BTreeMap<Subject, f64>> = last.iter().map(levels).collect();
    let subjects: BTreeSet<&Subject> = levels.iter().flat_map(BTreeMap::keys).collect();
    let all = |subject: &Subject, is_so: fn(f64) -> bool| {
        levels.iter().all(|levels| levels.get(subject).is_some_and(|level| is_so(*level)))
    };
    let is_open = |subject: &Subject| open.iter().any(|alert| (alert.kind, &alert.column) == (subject.0, &subject.1));
    Changes {
        raise: subjects
            .into_iter()
            .filter(|subject| all(subject, |level| level >= 1.0) && !is_open(subject))
            .cloned()
            .collect(),
        resolve: open
            .iter()
            .filter(|alert| all(&(alert.kind, alert.column.clone()), |level| level < CALM))
            .map(|alert| alert.id)
            .collect(),
    }
}

/// One sentence for people about a subject of a report.
pub fn sentence(report: &MonitorReport, (kind, column): &Subject) -> String {
    let subject = format!("{}:{}", report.model, report.model_version);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let names = |columns: &[ColumnDrift]| {
        let drifted: Vec<&str> = columns.iter().filter(|c| c.drifted).map(|c| c.column.as_str()).collect();
        let more = if drifted.len() > 5 { format!(" and {} more", drifted.len() - 5) } else { String::new() };
        let cut = |name: &&str| name.chars().take(80).filter(|c| !c.is_control()).collect::<String>();
        format!("{}{more}", drifted.iter().take(5).map(cut).collect::<Vec<_>>().join(", "))
    };
    match kind {
        AlertKind::DataDrift => {
            let share = percent(report.drifted_share);
            format!(
                "the data of {subject} drifted: {share} of its columns differ from training ({})",
                names(&report.inputs)
            )
        }
        AlertKind::PredictionDrift => {
            format!("the predictions of {subject} differ from those of training ({})", names(&report.predictions))
        }
        AlertKind::DataQuality => {
            let found = report.data_quality.iter().find(|quality| quality.column == *column);
            let n =
                found.map_or([0; 5], |q| [q.n_rows, q.n_missing, q.n_new_categories, q.n_out_of_range, q.n_refused]);
            let [rows, missing, new, out, refused] = n;
            let column: String = column.chars().take(80).filter(|c| !c.is_control()).collect();
            format!(
                "column {column:?} of {subject}: of {rows} rows {missing} miss it, {new} hold a new category, {out} are \
                 out of the range of training; {refused} requests were refused"
            )
        }
        AlertKind::ModelQuality => {
            let rows = report.quality.as_ref().map_or(0, |quality| quality.n_rows);
            format!("{subject} is no better than the best constant answer, over {rows} rows whose truth is known")
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
