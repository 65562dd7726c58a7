//! What is watched: the model `tumours` drifts, `house-prices` does not.

use athanor_protocol::{
    Failure,
    api::{AlertPage, AlertRetrained, MonitorView, Reply, Request},
    monitor::{
        Alert, AlertKind, BinOf, ColumnDrift, ColumnQuality, DriftBin, DriftFigure, DriftMethod, MonitorConfig,
        MonitorReport, QualityFigure, QualityReport,
    },
    table::DataType,
};

use super::NOW_MILLIS;

const HOUR: i64 = 3_600_000;

/// The alerts of `tumours`: one that nobody has seen yet, one that was seen, one that went away.
pub fn alerts() -> Vec<Alert> {
    let alert = |id, kind, column: &str, message: &str, hours| Alert {
        id,
        model: "tumours".to_owned(),
        model_version: 6,
        kind,
        column: column.to_owned(),
        message: message.to_owned(),
        report_id: 12,
        raised_at_millis: NOW_MILLIS - hours * HOUR,
        resolved_at_millis: None,
        acknowledged_at_millis: None,
        acknowledged_by: None,
    };
    let drift =
        "the data of tumours:6 drifted: 60 % of its columns differ from training (mean_radius, mean_texture, site)";
    vec![
        alert(3, AlertKind::DataDrift, "", drift, 1),
        Alert {
            acknowledged_at_millis: Some(NOW_MILLIS - HOUR / 2),
            acknowledged_by: Some("anna".to_owned()),
            ..alert(
                2,
                AlertKind::DataQuality,
                "site",
                "14 % of the rows have a value in site that training never saw",
                3,
            )
        },
        Alert {
            resolved_at_millis: Some(NOW_MILLIS - 20 * HOUR),
            ..alert(1, AlertKind::PredictionDrift, "", "the predictions of tumours:6 drifted", 30)
        },
    ]
}

/// Bins of a column: a bell that has moved where it drifted, or some texts.
fn bins(dtype: DataType, drifted: bool) -> Vec<DriftBin> {
    let shift = if drifted { 2.5 } else { 0.2 };
    match dtype {
        DataType::Date => vec![],
        DataType::Text | DataType::Bool => {
            let now = if drifted { [0.28, 0.46, 0.12, 0.14] } else { [0.51, 0.38, 0.11, 0.0] };
            let of = ["left", "right", "both"].map(|name| BinOf::Value(name.to_owned())).into_iter();
            let of = of.chain([BinOf::Others(0)]);
            let shares = [0.52, 0.37, 0.11, 0.0].into_iter().zip(now);
            of.zip(shares).map(|(of, (reference, current))| DriftBin { of, reference, current }).collect()
        }
        _ => {
            let bell = |middle: f64| -> Vec<f64> {
                let heights: Vec<f64> = (0..12).map(|at| (-(f64::from(at) - middle).powi(2) / 6.0).exp()).collect();
                let sum: f64 = heights.iter().sum();
                heights.into_iter().map(|height| height / sum).collect()
            };
            let edge = |at: usize| 6.0 + 1.85 * at as f64;
            let pairs = bell(4.0).into_iter().zip(bell(4.0 + shift));
            let bin = |(at, (reference, current))| DriftBin {
                of: BinOf::Range([edge(at), edge(at + 1)]),
                reference,
                current,
            };
            pairs.enumerate().map(bin).collect()
        }
    }
}

fn column(name: &str, dtype: DataType, by: Option<DriftMethod>, value: f64, p_value: Option<f64>) -> ColumnDrift {
    let figure = by.map(|method| DriftFigure { method, value, p_value });
    let drifted = by.is_some_and(|by| match p_value {
        Some(p) if by.judges_by_p_value() => p < by.threshold(),
        _ => value >= by.threshold(),
    });
    ColumnDrift {
        column: name.to_owned(),
        dtype,
        n_reference: 398,
        n_current: 1_186,
        missing: [0.0, 0.012],
        judged_by: by,
        drifted,
        bins: bins(dtype, drifted),
        figures: figure
            .into_iter()
            .chain([DriftFigure { method: DriftMethod::Psi, value: value * 0.6, p_value: None }])
            .collect(),
    }
}

fn report(model: &str, id: u64, drifts: bool) -> MonitorReport {
    use DriftMethod::{ChiSquared, JensenShannon, KolmogorovSmirnov, ShareDifference, WassersteinNormed};
    let end = NOW_MILLIS - (13 - id as i64) * HOUR;
    let by = |drifted: f64, well: f64| if drifts { drifted } else { well };
    let inputs = vec![
        column("mean_radius", DataType::Float, Some(KolmogorovSmirnov), 0.34, Some(by(0.000_02, 0.62))),
        column("mean_texture", DataType::Float, Some(WassersteinNormed), by(0.27, 0.03), None),
        column("n_lesions", DataType::Int, Some(ChiSquared), 11.2, Some(by(0.081, 0.44))),
        column("site", DataType::Text, Some(JensenShannon), by(0.19, 0.02), None),
        column("smoker", DataType::Bool, Some(ShareDifference), 0.4, Some(0.69)),
        column("examined_on", DataType::Date, None, 0.0, None),
    ];
    let quality = |name: &str, n_new_categories, n_out_of_range| ColumnQuality {
        column: name.to_owned(),
        n_rows: 1_200,
        n_missing: 14,
        n_new_categories,
        n_out_of_range,
        n_refused: 0,
    };
    MonitorReport {
        version: 1,
        id,
        model: model.to_owned(),
        model_version: if model == "tumours" { 6 } else { 3 },
        period_millis: [end - HOUR, end],
        n_rows: 1_200,
        n_compared: 1_200,
        drifted_share: by(0.6, 0.0),
        data_drifted: drifts,
        predictions_drifted: false,
        inputs,
        predictions: vec![column("malignant", DataType::Float, Some(WassersteinNormed), by(0.074, 0.01), None)],
        data_quality: vec![quality("mean_radius", 0, 31), quality("site", 168, 0)],
        quality: drifts.then(|| QualityReport {
            n_rows: 412,
            n_unmatched: 18,
            figures: vec![QualityFigure {
                metric: "accuracy".to_owned(),
                value: 0.9126,
                deviation: Some(0.0094),
                training: Some(0.9744),
                constant: Some(0.6311),
            }],
        }),
    }
}

/// How a model is watched and what was found.
pub fn monitor_view(model: &str) -> MonitorView {
    let drifts = model == "tumours";
    let open = alerts().into_iter().filter(|alert| drifts && alert.resolved_at_millis.is_none());
    MonitorView {
        config: MonitorConfig { capture: if drifts { 0.2 } else { 0.0 }, ..MonitorConfig::default() },
        reports: (8..=12).rev().map(|id| report(model, id, drifts)).collect(),
        alerts: open.collect(),
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::MonitorGet(ask) => Reply::MonitorGet(Box::new(monitor_view(&ask.model))),
        Request::MonitorConfigure(ask) => Reply::MonitorConfigure(Box::new(ask.config.clone())),
        Request::AlertList(ask) => {
            let fits = |alert: &Alert| {
                ask.model.as_ref().is_none_or(|model| *model == alert.model)
                    && (!ask.open || alert.resolved_at_millis.is_none())
            };
            let items = alerts().into_iter().filter(fits).collect();
            Reply::AlertList(Box::new(AlertPage { items, next: None }))
        }
        Request::AlertAcknowledge(ask) => {
            let found = alerts().into_iter().find(|alert| alert.id == ask.id)?;
            Reply::AlertAcknowledge(Box::new(Alert {
                acknowledged_at_millis: Some(NOW_MILLIS),
                acknowledged_by: Some("anna".to_owned()),
                ..found
            }))
        }
        Request::AlertRetrain(ask) => {
            let made = || (format!("/home/ada/clinic/data/retrain-{}.parquet", ask.id), Some(412));
            let (table, n_rows) = ask.table.clone().map_or_else(made, |table| (table, None));
            let workflow = format!("retrain-{}", ask.id);
            Reply::AlertRetrain(Box::new(AlertRetrained { run: super::run_id(0), workflow, table, n_rows }))
        }
        _ => return None,
    };
    Some(Ok(reply))
}
