//! Monitoring: settings, reports, alerts.

use athanor_protocol::{
    Code,
    monitor::{AlertKind, MonitorConfig, MonitorReport},
};
use athanor_store::{AlertQuery, NewAlert, PageRequest, Store, limits};

use super::code;
use crate::help::version;

fn report(ended: i64) -> MonitorReport {
    MonitorReport {
        version: 1,
        id: 0,
        model: "wine".to_owned(),
        model_version: 1,
        period_millis: [ended - 10, ended],
        n_rows: 100,
        n_compared: 100,
        inputs: vec![],
        predictions: vec![],
        data_quality: vec![],
        drifted_share: 0.25,
        data_drifted: false,
        predictions_drifted: true,
        quality: None,
    }
}

fn alert(kind: AlertKind, column: &str, at: i64) -> NewAlert {
    NewAlert {
        model: "wine".to_owned(),
        model_version: 1,
        kind,
        column: column.to_owned(),
        message: "look at it".to_owned(),
        report_id: 1,
        raised_at_millis: at,
    }
}

pub fn models_are_watched_as_set(a: &dyn Store, b: &dyn Store) {
    let config = MonitorConfig { capture: 0.25, redact: vec!["name".to_owned()], ..MonitorConfig::default() };
    assert_eq!(code(a.set_monitor_config("wine", &config, 1)), Code::NotFound);
    assert_eq!(code(a.monitor_config("wine")), Code::NotFound);
    a.register_version("wine", &version(1)).unwrap();
    assert_eq!(b.monitor_config("wine").unwrap(), None);
    a.set_monitor_config("wine", &config, 1).unwrap();
    assert_eq!(b.monitor_config("wine").unwrap(), Some(config.clone()));
    let other = MonitorConfig { capture: 1.0, ..config };
    b.set_monitor_config("wine", &other, 2).unwrap();
    assert_eq!(a.monitor_configs().unwrap(), [("wine".to_owned(), other.clone())]);
    let bad = MonitorConfig { capture: 2.0, ..other };
    assert_eq!(code(a.set_monitor_config("wine", &bad, 3)), Code::InvalidArgument);
}

pub fn reports_are_kept_newest_first(a: &dyn Store, b: &dyn Store) {
    assert_eq!(code(a.add_monitor_report(&report(5))), Code::NotFound);
    a.register_version("wine", &version(1)).unwrap();
    let first = a.add_monitor_report(&report(5)).unwrap();
    let second = b.add_monitor_report(&report(6)).unwrap();
    assert!(second > first);
    let found = a.monitor_reports("wine", Some(1), 10).unwrap();
    assert_eq!(found, [MonitorReport { id: second, ..report(6) }, MonitorReport { id: first, ..report(5) }]);
    assert_eq!(b.monitor_reports("wine", None, 1).unwrap().len(), 1);
    assert_eq!(b.monitor_reports("wine", Some(2), 10).unwrap(), []);
    assert_eq!(code(b.monitor_reports("wine", None, 0)), Code::InvalidArgument);
    assert_eq!(code(b.monitor_reports("beer", None, 1)), Code::NotFound);
    for ended in 0..limits::REPORTS_PER_VERSION {
        a.add_monitor_report(&report(100 + ended)).unwrap();
    }
    let page = b.monitor_reports("wine", None, limits::PAGE_SIZE).unwrap();
    assert_eq!((page.len(), page.last().map(|report| report.period_millis[1])), (1000, Some(100)));
}

pub fn an_alert_is_raised_once_resolved_and_raised_again(a: &dyn Store, b: &dyn Store) {
    use AlertKind::{DataDrift, DataQuality};
    assert_eq!(code(a.raise_alert(&alert(DataDrift, "", 5))), Code::NotFound);
    a.register_version("wine", &version(1)).unwrap();
    let (first, is_new) = a.raise_alert(&alert(DataDrift, "", 5)).unwrap();
    assert!(is_new && first.resolved_at_millis.is_none());
    assert_eq!(b.raise_alert(&alert(DataDrift, "", 9)).unwrap(), (first.clone(), false));
    let (column, is_new) = b.raise_alert(&alert(DataQuality, "hue", 6)).unwrap();
    assert!(is_new && column.id != first.id);
    let seen = b.acknowledge_alert(first.id, "anna", 7).unwrap();
    assert_eq!((seen.acknowledged_at_millis, seen.acknowledged_by.as_deref()), (Some(7), Some("anna")));
    assert_eq!(a.acknowledge_alert(first.id, "berta", 8).unwrap(), seen, "the first one stays");
    assert_eq!(a.resolve_alert(first.id, 3).unwrap().resolved_at_millis, Some(5), "never before it was raised");
    assert_eq!(a.resolve_alert(first.id, 30).unwrap().resolved_at_millis, Some(5));
    let (again, is_new) = a.raise_alert(&alert(DataDrift, "", 40)).unwrap();
    assert!(is_new && again.id > column.id);
    assert_eq!(b.alert(again.id).unwrap(), again);
    let ids = |model: Option<&str>, open: bool| -> Vec<u64> {
        let query = AlertQuery { model: model.map(str::to_owned), open, page: PageRequest::first(10) };
        b.alerts(&query).unwrap().items.iter().map(|alert| alert.id).collect()
    };
    assert_eq!(ids(None, false), [again.id, column.id, first.id]);
    assert_eq!(ids(Some("wine"), true), [again.id, column.id]);
    assert_eq!(ids(Some("beer"), false), Vec::<u64>::new());
    let mut query = AlertQuery { model: None, open: false, page: PageRequest::first(2) };
    query.page = PageRequest::after(2, a.alerts(&query).unwrap().next.unwrap());
    assert_eq!(a.alerts(&query).unwrap().items.iter().map(|alert| alert.id).collect::<Vec<_>>(), [first.id]);
    for missing in [code(a.resolve_alert(99, 1)), code(a.acknowledge_alert(99, "anna", 1)), code(a.alert(99))] {
        assert_eq!(missing, Code::NotFound);
    }
}
