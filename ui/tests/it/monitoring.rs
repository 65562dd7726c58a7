//! Monitoring on the page Endpoints: lights, drift, alerts, settings.

use athanor_protocol::{
    Code, Failure,
    api::{Event, MonitorView, Reply, Request},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];
const TALL: [f32; 2] = [1280.0, 2200.0];

fn monitoring(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Endpoints));
    screen.click("Monitoring");
    screen
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(TALL, "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1700.0], "column")] {
            let mut screen = monitoring(size, dark, |_| {});
            screen.show(&format!("monitoring-{what}-{theme}"));
            assert!(screen.has("alert") && screen.has("well"), "{what} {theme}");
        }
    }
}

/// Only the report, without alerts above it.
fn report_only(fake: &FakeHandle) {
    fake.on(|ask| match ask {
        Request::AlertList(_) => Some(Ok(Reply::AlertList(Box::default()))),
        Request::EndpointGet(_) => {
            let mut status = fake::endpoint_status();
            status.models.retain(|served| served.model == "tumours");
            Some(Ok(Reply::EndpointGet(Box::new(status))))
        }
        _ => None,
    });
}

#[test]
fn drift_is_drawn_as_it_was_on_dark_ground() {
    monitoring([1000.0, 640.0], true, report_only).picture("drift-dark");
}

#[test]
fn drift_is_drawn_as_it_was_on_light_ground() {
    monitoring([1000.0, 640.0], false, report_only).picture("drift-light");
}

#[test]
fn the_model_that_needs_a_look_is_shown_first_with_what_drifted() {
    let mut screen = monitoring(TALL, true, |_| {});
    for label in [
        "tumours version 6",
        "the data drifted",
        "p < 0.0001",
        "Kolmogorov-Smirnov",
        "mean_texture: drifted, 200 % of the way to the threshold",
        "not judged",
        "0.9126 ± 0.0094",
        "18 truths arrived for predictions that were not kept: keep a larger share of requests.",
    ] {
        assert!(screen.has(label), "{label}");
    }
    screen.click("house-prices");
    assert!(screen.has("house-prices version 3") && screen.has("as in training"));
}

#[test]
fn a_column_opens_its_values_in_training_and_now_as_paired_bars() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [([1280.0, 1000.0], "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1000.0], "column")] {
            let mut screen = monitoring(size, dark, report_only);
            screen.click("How mean_radius is spread");
            screen.show(&format!("monitoring-spread-{what}-{theme}"));
            assert!(screen.has("training, 398 values") && screen.has("now, 1,186 values"), "{what} {theme}");
            screen.click("How site is spread");
            screen.show(&format!("monitoring-spread-text-{what}-{theme}"));
            assert!(screen.has("left: 52 % in training, 28 % now"), "{what} {theme}");
            assert!(screen.has("not seen in training: 0 % in training, 14 % now"), "{what} {theme}");
        }
    }
    let mut screen = monitoring(TALL, true, report_only);
    screen.click("How mean_radius is spread");
    assert!(screen.has_text("6 to 7.85: "));
    screen.click("How mean_radius is spread");
    assert!(!screen.has_text("6 to 7.85: "));
    screen.click("How examined_on is spread");
    assert!(screen.has_text("This report keeps no bins of the column"));
    screen.click("Close the bars");
    assert!(!screen.has_text("This report keeps no bins of the column"));
}

#[test]
fn a_new_report_is_looked_at_by_itself() {
    let mut screen = monitoring(TALL, true, |_| {});
    screen.fake.forget_sent();
    screen.fake.event(Event::MonitorReported { model: "tumours".to_owned() });
    screen.settle();
    let asked = screen.fake.sent();
    assert!(asked.iter().any(|ask| matches!(ask, Request::MonitorGet(ask) if ask.model == "tumours")), "{asked:?}");
    assert!(!asked.iter().any(|ask| matches!(ask, Request::MonitorGet(ask) if ask.model == "house-prices")));
}

#[test]
fn an_alert_is_acknowledged_and_leads_to_a_retraining() {
    let mut screen = monitoring(TALL, true, |_| {});
    assert!(screen.has_text("data quality of site, version 6, raised 3 h ago, seen by anna 30 min ago"));
    screen.click("I have seen it");
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::AlertAcknowledge(ask) if ask.id == 3)));
    assert!(screen.has("Noted that you have seen the alert"));
    screen.click("Retrain on newer data");
    let retrain = |table: Option<&str>| {
        let table = table.map(str::to_owned);
        move |ask: &Request| matches!(ask, Request::AlertRetrain(ask) if ask.id == 3 && ask.table == table)
    };
    assert!(screen.fake.sent().iter().any(retrain(None)));
    assert!(screen.has("A run that retrains tumours has begun"));
    assert!(screen.has_text("on 412 captured rows with their truth"));
    screen.show("monitoring-retrained");
    screen.click("Show the run");
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::RunGet(ask) if ask.run == fake::run_id(0))));

    let mut screen = monitoring(TALL, false, |fake| {
        fake.on(|ask| match ask {
            Request::AlertRetrain(ask) if ask.table.is_none() => {
                let failure =
                    Failure::new(Code::Conflict, "12 captured rows of \"tumours\" have a truth; a table needs 50");
                Some(Err(failure.hint("choose a newer table (--table), or capture more")))
            }
            _ => None,
        });
    });
    screen.click("Retrain on newer data");
    assert!(screen.has("Retrain tumours on a table") && screen.has_text("12 captured rows"));
    screen.show("monitoring-retrain-table");
    screen.type_into("Table", "/data/october.csv");
    screen.click("Retrain");
    assert!(screen.fake.sent().iter().any(retrain(Some("/data/october.csv"))));
    assert!(screen.has_text("on october.csv") && !screen.has("Retrain tumours on a table"));
}

#[test]
fn a_new_alert_is_told_wherever_one_is() {
    let mut screen = Screen::usual();
    screen.go(Go::To(Route::Data));
    let alert = fake::alerts().remove(0);
    screen.fake.event(Event::AlertChanged { alert: Box::new(alert) });
    screen.settle();
    assert!(screen.has_text("60 % of its columns differ from training"));
    let seen = fake::alerts().remove(1);
    let mut screen = Screen::usual();
    screen.fake.event(Event::AlertChanged { alert: Box::new(seen) });
    screen.settle();
    assert!(!screen.has_text("training never saw"), "one that was seen is no news");
}

#[test]
fn settings_are_checked_saved_and_undone() {
    let mut screen = monitoring(TALL, false, |_| {});
    assert!(!screen.has("Save"), "nothing was changed");
    screen.type_into("Webhook", "ftp://ward");
    assert!(screen.has_text("Webhook: it is an https address"));
    screen.click("Save");
    assert!(!screen.fake.sent().iter().any(|ask| matches!(ask, Request::MonitorConfigure(_))));
    screen.type_into("Webhook", "https://ward.example/hook");
    screen.click("Columns that are never kept");
    screen.click_last("site");
    screen.show("monitoring-settings");
    screen.click("Save");
    let configured = |screen: &Screen| {
        let sent = screen.fake.sent().into_iter();
        sent.filter_map(|ask| if let Request::MonitorConfigure(ask) = ask { Some(*ask) } else { None })
            .collect::<Vec<_>>()
    };
    let asked = configured(&screen).pop().expect("it was sent");
    assert_eq!((asked.model.as_str(), asked.config.redact), ("tumours", vec!["site".to_owned()]));
    assert_eq!(asked.config.webhook.as_deref(), Some("https://ward.example/hook"));
    assert_eq!(asked.config.every_rows, 10_000, "what was not touched stays");
    screen.click("Undo");
    assert!(configured(&screen).last().is_some_and(|ask| ask.config == fake::monitor_view("tumours").config));
}

#[test]
fn empty_slow_and_failing_are_said() {
    let screen = monitoring(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::MonitorGet(ask) => {
                let view = MonitorView { reports: vec![], alerts: vec![], ..fake::monitor_view(&ask.model) };
                Some(Ok(Reply::MonitorGet(Box::new(view))))
            }
            Request::AlertList(_) => Some(Ok(Reply::AlertList(Box::default()))),
            _ => None,
        });
    });
    assert!(screen.has("no report yet"));
    assert!(screen.has("No report yet. One is made after 60 minutes or 10,000 rows, once 100 rows were answered."));
    let screen = monitoring(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::MonitorGet(_) => Some(Err(Failure::new(Code::Internal, "the reports cannot be read"))),
            _ => None,
        });
    });
    assert!(screen.has("can't be read") && screen.has("The reports cannot be read."));
    let screen = monitoring(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::EndpointGet(_) => Some(Ok(Reply::EndpointGet(Box::default()))),
            _ => None,
        });
    });
    assert!(screen.has("Nothing is in production"));
}
