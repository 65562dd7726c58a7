use athanor_protocol::monitor::{ColumnQuality, QualityFigure};

use super::*;

fn empty(drifted_share: f64) -> MonitorReport {
    MonitorReport {
        version: 1,
        id: 0,
        model: "m".to_owned(),
        model_version: 1,
        period_millis: [0, 1],
        n_rows: 100,
        n_compared: 100,
        inputs: vec![],
        predictions: vec![],
        data_quality: vec![],
        drifted_share,
        data_drifted: drifted_share >= DRIFTED_SHARE,
        predictions_drifted: false,
        quality: None,
    }
}

fn open(id: u64, kind: AlertKind, column: &str) -> Alert {
    Alert {
        id,
        model: "m".to_owned(),
        model_version: 1,
        kind,
        column: column.to_owned(),
        message: String::new(),
        report_id: 1,
        raised_at_millis: 0,
        resolved_at_millis: None,
        acknowledged_at_millis: None,
        acknowledged_by: None,
    }
}

#[test]
fn alerts_need_agreement_and_do_not_flicker() {
    let drift = (AlertKind::DataDrift, String::new());
    let check = |shares: &[f64], is_open: bool, expect: (&[Subject], &[u64])| {
        let reports: Vec<MonitorReport> = shares.iter().map(|share| empty(*share)).collect();
        let open: Vec<Alert> = is_open.then(|| open(7, AlertKind::DataDrift, "")).into_iter().collect();
        let found = changes(&reports, &open, 2);
        assert_eq!((found.raise.as_slice(), found.resolve.as_slice()), expect, "{shares:?}");
    };
    check(&[], false, (&[], &[]));
    check(&[0.9], false, (&[], &[]));
    check(&[0.9, 0.1], false, (&[], &[]));
    check(&[0.5, 0.9], false, (&[drift], &[]));
    check(&[0.5, 0.9], true, (&[], &[]));
    // Below what raises it, but not yet calm.
    check(&[0.45, 0.45], true, (&[], &[]));
    check(&[0.3, 0.9], true, (&[], &[]));
    check(&[0.3, 0.3, 0.9], true, (&[], &[7]));
}

#[test]
fn violations_and_quality_have_levels_of_their_own() {
    let mut report = empty(0.0);
    let column = |column: &str, n_out_of_range, n_refused| ColumnQuality {
        column: column.to_owned(),
        n_rows: 100,
        n_out_of_range,
        n_refused,
        ..ColumnQuality::default()
    };
    report.data_quality = vec![column("a", 20, 0), column("b", 0, 300), column("c", 3, 1)];
    let accuracy = |value| QualityFigure {
        metric: "accuracy".to_owned(),
        value,
        deviation: None,
        training: Some(0.9),
        constant: Some(0.75),
    };
    report.quality = Some(QualityReport { n_rows: 250, n_unmatched: 0, figures: vec![accuracy(0.5)] });
    let found = levels(&report);
    let level = |kind, column: &str| found.get(&(kind, column.to_owned())).copied();
    assert_eq!(level(AlertKind::DataQuality, "a"), Some(2.0));
    assert_eq!(level(AlertKind::DataQuality, "b"), Some(7.5));
    assert!(level(AlertKind::DataQuality, "c").is_some_and(|level| level < CALM));
    assert_eq!(level(AlertKind::ModelQuality, ""), Some(2.0));
    let raised = changes(std::slice::from_ref(&report), &[], 1).raise;
    let kinds: Vec<(AlertKind, &str)> = raised.iter().map(|(kind, column)| (*kind, column.as_str())).collect();
    assert_eq!(kinds, [(AlertKind::DataQuality, "a"), (AlertKind::DataQuality, "b"), (AlertKind::ModelQuality, "")]);
    for subject in &raised {
        assert!(sentence(&report, subject).contains("m:1"), "{subject:?}");
    }
    report.quality = Some(QualityReport { n_rows: 199, n_unmatched: 0, figures: vec![accuracy(0.5)] });
    assert_eq!(levels(&report).get(&(AlertKind::ModelQuality, String::new())), None, "too few truths say nothing");
    assert_eq!(changes(&[report], &[open(9, AlertKind::ModelQuality, "")], 1).resolve, [0_u64; 0]);
}
