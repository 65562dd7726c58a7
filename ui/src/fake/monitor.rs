//! What is watched: one model with a report and an alert.

use athanor_protocol::{
    Failure,
    api::{AlertPage, MonitorView, Reply, Request},
    monitor::{Alert, AlertKind, ColumnDrift, DriftFigure, DriftMethod, MonitorConfig, MonitorReport},
    table::DataType,
};

use super::NOW_MILLIS;

fn alert() -> Alert {
    Alert {
        id: 3,
        model: "tumours".to_owned(),
        model_version: 1,
        kind: AlertKind::DataDrift,
        column: String::new(),
        message: "the data of tumours:1 drifted: 60 % of its columns differ from training (mean_radius)".to_owned(),
        report_id: 12,
        raised_at_millis: NOW_MILLIS - 3_600_000,
        resolved_at_millis: None,
        acknowledged_at_millis: None,
        acknowledged_by: None,
    }
}

fn report(model: &str) -> MonitorReport {
    let figure = DriftFigure { method: DriftMethod::KolmogorovSmirnov, value: 0.34, p_value: Some(0.000_02) };
    let column = ColumnDrift {
        column: "mean_radius".to_owned(),
        dtype: DataType::Float,
        n_reference: 398,
        n_current: 1_200,
        missing: [0.0, 0.012],
        judged_by: Some(DriftMethod::KolmogorovSmirnov),
        drifted: true,
        figures: vec![figure],
    };
    MonitorReport {
        version: 1,
        id: 12,
        model: model.to_owned(),
        model_version: 1,
        period_millis: [NOW_MILLIS - 7_200_000, NOW_MILLIS - 3_600_000],
        n_rows: 1_200,
        n_compared: 1_200,
        inputs: vec![column],
        predictions: vec![],
        data_quality: vec![],
        drifted_share: 1.0,
        data_drifted: true,
        predictions_drifted: false,
        quality: None,
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::MonitorGet(ask) => Reply::MonitorGet(Box::new(MonitorView {
            config: MonitorConfig { capture: 0.2, ..MonitorConfig::default() },
            reports: vec![report(&ask.model)],
            alerts: vec![alert()],
        })),
        Request::MonitorConfigure(ask) => Reply::MonitorConfigure(Box::new(ask.config.clone())),
        Request::AlertList(_) => Reply::AlertList(Box::new(AlertPage { items: vec![alert()], next: None })),
        Request::AlertAcknowledge(ask) => Reply::AlertAcknowledge(Box::new(Alert {
            id: ask.id,
            acknowledged_at_millis: Some(NOW_MILLIS),
            acknowledged_by: Some("anna".to_owned()),
            ..alert()
        })),
        _ => return None,
    };
    Some(Ok(reply))
}
