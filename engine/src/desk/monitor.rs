//! How models are watched, and alerts.

use std::sync::Arc;

use athanor_protocol::{
    Failure,
    api::{
        AlertAcknowledge, AlertList, AlertPage, AlertRetrain, AlertRetrained, Event, MonitorConfigure, MonitorGet,
        MonitorView, RunStart, RunTag,
    },
    monitor::{Alert, MonitorConfig},
};
use athanor_store::{AlertQuery, Page, PageRequest};

use super::{Desk, runs};
use crate::monitor::{self, retrain};

/// What a run that answers an alert is marked with.
const ALERT_TAG: &str = "alert";
/// Alerts on a page.
const PAGE: u32 = 100;
/// Most reports at once: each may name thousands of columns.
const MAX_REPORTS: u32 = 100;

pub(super) fn monitor_get(desk: &Arc<Desk>, ask: MonitorGet) -> Result<MonitorView, Failure> {
    let workspace = desk.workspace()?;
    let limit = ask.limit.clamp(1, MAX_REPORTS);
    Ok(MonitorView {
        config: monitor::config(&workspace, &ask.model)?,
        reports: workspace.store.monitor_reports(&ask.model, ask.version, limit)?,
        alerts: monitor::open_alerts(&workspace, &ask.model)?,
    })
}

pub(super) fn monitor_configure(desk: &Arc<Desk>, ask: MonitorConfigure) -> Result<MonitorConfig, Failure> {
    monitor::configure(&*desk.workspace()?, &ask.model, &ask.config)?;
    Ok(ask.config)
}

pub(super) fn alert_list(desk: &Arc<Desk>, ask: AlertList) -> Result<AlertPage, Failure> {
    let query = AlertQuery { model: ask.model, open: ask.open, page: PageRequest { size: PAGE, token: ask.after } };
    let Page { items, next } = desk.workspace()?.store.alerts(&query)?;
    Ok(AlertPage { items, next })
}

pub(super) fn alert_acknowledge(desk: &Arc<Desk>, ask: AlertAcknowledge) -> Result<Alert, Failure> {
    let alert = monitor::acknowledge(&*desk.workspace()?, ask.id)?;
    desk.publish(Event::AlertChanged { alert: Box::new(alert.clone()) });
    Ok(alert)
}

pub(super) fn alert_retrain(desk: &Arc<Desk>, ask: AlertRetrain) -> Result<AlertRetrained, Failure> {
    let workspace = desk.workspace()?;
    let alert = workspace.store.alert(ask.id)?;
    // As everywhere: a relative name of a table starts at the workspace.
    let table = ask.table.as_deref().map(|table| workspace.root().join(table));
    let prepared = retrain::prepare(&workspace, &alert, table.as_deref())?;
    desk.publish(Event::WorkflowsChanged {});
    desk.publish(Event::DataChanged {});
    let settings = desk.host.settings();
    let started = runs::run_start(
        desk,
        RunStart {
            json: prepared.document,
            device: settings.device,
            seed: settings.seed,
            up_to: None,
            again_from: None,
            token: ask.token,
        },
    )?;
    // Who finds the run later finds what it was for.
    let tag = RunTag {
        run: started.run.clone(),
        key: ALERT_TAG.to_owned(),
        value: Some(format!("{} of {}:{}", alert.id, alert.model, alert.model_version)),
    };
    if let Err(failure) = runs::run_tag(desk, tag) {
        tracing::warn!("the run {} bears no mark of its alert: {failure}", started.run);
    }
    Ok(AlertRetrained {
        run: started.run,
        workflow: prepared.workflow.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        table: prepared.table.display().to_string(),
        n_rows: prepared.n_rows.map(|n| n as u64),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use athanor_protocol::{Code, monitor::AlertKind};
    use athanor_store::NewAlert;

    use super::*;
    use crate::desk::{
        test_desk::{TestDesk, ask},
        test_models::register,
    };

    #[test]
    fn settings_are_checked_against_the_model_and_kept() {
        let test = TestDesk::open();
        register(&test.desk, "tumours", 1);
        let get = || ask(&test.desk, MonitorGet { model: "tumours".to_owned(), version: None, limit: 10 }).unwrap();
        assert_eq!((get().config, get().reports.len(), get().alerts.len()), (MonitorConfig::default(), 0, 0));
        let set = |config: MonitorConfig| {
            ask(&test.desk, MonitorConfigure { model: "tumours".to_owned(), config }).map_err(|err| err.code)
        };
        let wanted = MonitorConfig { capture: 0.5, redact: vec!["colour".to_owned()], ..MonitorConfig::default() };
        assert_eq!(set(wanted.clone()), Ok(wanted.clone()));
        assert_eq!(get().config, wanted);
        let with = |change: fn(&mut MonitorConfig)| {
            let mut config = MonitorConfig::default();
            change(&mut config);
            set(config)
        };
        assert_eq!(with(|config| config.redact = vec!["color".to_owned()]), Err(Code::InvalidArgument));
        assert_eq!(with(|config| config.capture = 1.5), Err(Code::InvalidArgument));
        assert_eq!(with(|config| config.webhook = Some("http://10.0.0.1/".to_owned())), Err(Code::InvalidArgument));
        assert_eq!(get().config, wanted, "what is refused changes nothing");
        let nobody = MonitorGet { model: "nobody".to_owned(), version: None, limit: 10 };
        assert_eq!(ask(&test.desk, nobody).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn alerts_are_listed_and_acknowledged() {
        let test = TestDesk::open();
        register(&test.desk, "tumours", 1);
        let events = test.desk.subscribe();
        let new = NewAlert {
            model: "tumours".to_owned(),
            model_version: 1,
            kind: AlertKind::DataDrift,
            column: String::new(),
            message: "it drifted".to_owned(),
            report_id: 1,
            raised_at_millis: 5,
        };
        let (alert, _) = test.desk.workspace().unwrap().store.raise_alert(&new).unwrap();
        assert_eq!(ask(&test.desk, AlertList::default()).unwrap().items, std::slice::from_ref(&alert));
        let seen = ask(&test.desk, AlertAcknowledge { id: alert.id }).unwrap();
        assert!(seen.acknowledged_by.is_some());
        let told = events.wait(std::time::Duration::ZERO);
        assert_eq!(told.last().map(|event| event.event.clone()), Some(Event::AlertChanged { alert: Box::new(seen) }));
        assert_eq!(ask(&test.desk, AlertAcknowledge { id: 99 }).unwrap_err().code, Code::NotFound);
        let retrain = |id| AlertRetrain { id, table: None, token: String::new() };
        assert_eq!(ask(&test.desk, retrain(99)).unwrap_err().code, Code::NotFound);
        let imported = ask(&test.desk, retrain(alert.id)).unwrap_err();
        assert!(imported.message.contains("tumours:1 was imported") && imported.hint.is_some(), "{imported:?}");
    }
}
