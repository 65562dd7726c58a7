//! The card of a version: what is known of it, gathered from its package, its run and what people wrote.

use athanor_learn::{
    metrics::{
        paired::{self, N_RESAMPLES},
        scorer::Scorer,
    },
    package::Package,
};
use athanor_protocol::{
    card::{Estimate, InputRange, IntervalMethod, ModelCard, Slice},
    package::{ColumnStatistics, Manifest},
    registry::ModelVersion,
};

use super::origin::Origin;
use crate::{
    error::Result,
    registry::load,
    worker::nodes::{evaluate::Report, judged::JudgedRows},
    workspace::Workspace,
};

/// A card says the same each time it is made.
const SEED: u64 = 0;
/// Fewest rows of a slice that has figures of its own.
const MIN_SLICE_ROWS: usize = 10;
/// Resamples for each slice.
const SLICE_RESAMPLES: u32 = 500;
/// Most values that are named of a column.
const MAX_VALUES: usize = 20;
/// Metrics that are told of a slice.
const SLICE_KEYS: [&str; 4] = ["accuracy", "f1", "rmse", "mae"];

/// Makes the card of a version.
///
/// # Errors
/// If its package cannot be read, or the database cannot.
pub fn card(workspace: &Workspace, version: &ModelVersion) -> Result<ModelCard> {
    let (_, package) = load(workspace, version)?;
    let manifest = package.manifest();
    let origin = Origin::of(workspace, version, &package);
    let mut notes = vec![];
    let judged: Option<JudgedRows> = origin.as_ref().and_then(|origin| origin.artifact(workspace, "judged_rows"));
    let report: Option<Report> = origin.as_ref().and_then(|origin| origin.artifact(workspace, "report"));
    if origin.is_none() {
        notes
            .push("the run that made it is not in this workspace: there are no rows to find intervals from".to_owned());
    }
    let found = judged.as_ref().and_then(|judged| Some((judged, estimates(judged, None, N_RESAMPLES)?)));
    let (n_judged, metrics, slices) = match found {
        Some((judged, metrics)) => {
            if judged.rows.len() < judged.n_all {
                let (kept, all) = (judged.rows.len(), judged.n_all);
                notes.push(format!(
                    "intervals are found from {kept} of {all} judged rows, so they are wider than they need be"
                ));
            }
            (judged.n_all as u64, whole(metrics, report.as_ref(), judged), slices(judged))
        }
        None => {
            let n_rows = report.as_ref().map_or(0, |report| report.n_rows as u64);
            (n_rows, shares(manifest, n_rows), vec![])
        }
    };
    if metrics.is_empty() {
        notes.push("it was judged on no test rows".to_owned());
    }
    Ok(ModelCard {
        version: 1,
        model: format!("{}:{}", version.model, version.version),
        stage: version.stage,
        aliases: version.aliases.clone(),
        created_at_millis: version.created_at_millis,
        signature: version.signature.clone(),
        datasets: manifest.lineage.datasets.clone(),
        split: origin.as_ref().map(Origin::split_params).unwrap_or_default(),
        train: manifest.lineage.train.clone(),
        n_judged,
        metrics,
        slices,
        limits: limits(&package)?,
        run: version.run_id.clone(),
        workflow: manifest.lineage.workflow.clone(),
        workflow_digest: manifest.lineage.workflow_digest.clone(),
        versions: manifest.lineage.versions.clone(),
        sha256: version.sha256.clone(),
        signed_by: version.signed_by.clone(),
        texts: workspace.store.card_texts(&version.model, version.version)?,
        notes,
    })
}

/// Figures with intervals on judged rows, or on some of them.
fn estimates(judged: &JudgedRows, which: Option<&[usize]>, n_resamples: u32) -> Option<Vec<Estimate>> {
    let (predictions, targets) = judged.judged(which)?;
    let scorer = Scorer::new(&predictions, &targets).ok().filter(|scorer| scorer.n_rows() > 0)?;
    let found = paired::bootstrap(&scorer, SEED, n_resamples, &mut || true)?;
    let estimate = |(key, found): (&&str, paired::Interval)| Estimate {
        key: (*key).to_owned(),
        value: found.value.into(),
        interval: found.interval,
        method: if found.interval.is_some() { IntervalMethod::Bootstrap } else { IntervalMethod::None },
    };
    let known = scorer.keys().iter().zip(found).filter(|(_, found)| !found.value.is_nan());
    Some(known.map(estimate).collect())
}

/// Where only some of the judged rows were kept, the values are those of all rows, as the report has them.
fn whole(mut metrics: Vec<Estimate>, report: Option<&Report>, judged: &JudgedRows) -> Vec<Estimate> {
    if judged.rows.len() < judged.n_all {
        for estimate in &mut metrics {
            let told = report.and_then(|report| report.evaluation.metric(&estimate.key));
            estimate.value = told.map_or(estimate.value, Into::into);
        }
    }
    metrics
}

/// Figures from the manifest: a share has Wilson's interval, what is no share of rows has none.
fn shares(manifest: &Manifest, n_rows: u64) -> Vec<Estimate> {
    let of_test = manifest.metrics.iter().filter_map(|metric| Some((metric.key.strip_prefix("test/")?, metric.value)));
    let estimate = |(key, value): (&str, athanor_protocol::metric::MetricValue)| {
        let share = value.finite().filter(|share| key == "accuracy" && n_rows > 0 && (0.0..=1.0).contains(share));
        let interval = share.map(|share| paired::wilson((share * n_rows as f64).round() as u64, n_rows));
        let method = if interval.is_some() { IntervalMethod::Wilson } else { IntervalMethod::None };
        Estimate { key: key.to_owned(), value, interval, method }
    };
    of_test.map(estimate).collect()
}

/// Figures for each value of each column that has few.
fn slices(judged: &JudgedRows) -> Vec<Slice> {
    let mut slices = vec![];
    for column in &judged.columns {
        for (code, value) in column.values.iter().enumerate() {
            let rows: Vec<usize> = column
                .codes
                .iter()
                .enumerate()
                .filter(|(_, at)| usize::from(**at) == code)
                .map(|(row, _)| row)
                .collect();
            if rows.len() < MIN_SLICE_ROWS {
                continue;
            }
            let Some(mut metrics) = estimates(judged, Some(&rows), SLICE_RESAMPLES) else { continue };
            metrics.retain(|estimate| SLICE_KEYS.contains(&estimate.key.as_str()));
            let (column, value) = (column.name.clone(), value.clone());
            slices.push(Slice { column, value, n_rows: rows.len() as u64, metrics });
        }
    }
    slices
}

fn limits(package: &Package) -> Result<Vec<InputRange>> {
    let statistics = package.statistics()?;
    let range = |column: &ColumnStatistics| {
        let input = package.manifest().signature.inputs.iter().find(|input| input.name == column.name);
        let rows = column.n_rows.max(1) as f64;
        InputRange {
            name: column.name.clone(),
            dtype: column.dtype,
            nullable: input.is_some_and(|input| input.nullable),
            missing: column.n_missing as f64 / rows,
            range: column.numbers.map(|[_, _, least, greatest]| [least, greatest]),
            values: column.categories.iter().take(MAX_VALUES).map(|(value, _)| value.clone()).collect(),
        }
    };
    Ok(statistics.inputs.iter().map(range).collect())
}
