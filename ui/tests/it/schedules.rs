//! Predictions by the clock on the page Endpoints.

use athanor_protocol::{
    Code, Failure,
    api::{
        Event, Reply, Request, ScheduleAdd, ScheduleEdit, ScheduleFar, ScheduleInfo, SchedulePause, ScheduleRemove,
        ScheduleRunNow, ScheduleStop, ScheduleTask, Schedules,
    },
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];

fn schedules(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Endpoints));
    screen.click("Schedules");
    screen
}

fn sent(screen: &Screen, ask: impl Into<Request>) -> bool {
    screen.fake.sent().contains(&ask.into())
}

fn undo(screen: &mut Screen) {
    screen.harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Z);
    screen.settle();
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1000.0], "column")] {
            let mut screen = schedules(size, dark, |_| {});
            screen.show(&format!("schedules-{what}-{theme}"));
            let model = if what == "column" { "0 3 * * *, tumours@production" } else { "tumours@production" };
            for label in ["3 schedules", model, "well", "at work", "paused"] {
                assert!(screen.has(label), "{what} {theme}: {label}");
            }
            screen.click("What wards-predicted.parquet did");
            screen.show(&format!("schedules-open-{what}-{theme}"));
            assert!(
                screen.has_text("texts that training never saw: site (168)") || screen.has_text("Texts that training")
            );
            screen.click("Change the schedule of wards-predicted.parquet");
            screen.show(&format!("schedules-form-{what}-{theme}"));
            assert!(screen.has_text("Next: 2026-11-26 03:00, 2026-11-27 03:00, 2026-11-28 03:00"), "{what} {theme}");
        }
    }
}

#[test]
fn a_schedule_is_made_from_what_is_there() {
    let mut screen = schedules(WIDE, true, |_| {});
    screen.click("New schedule");
    screen.click("Mondays");
    screen.pick("Model to predict with", "churn@shadow (now version 12)");
    screen.type_into("Table", "/data/new.csv");
    assert!(!screen.has_text("must not be the table"));
    screen.click("Make schedule");
    let task = ScheduleTask {
        cron: "0 3 * * mon".parse().unwrap(),
        model: "churn@shadow".to_owned(),
        table: "/data/new.csv".to_owned(),
        output: "/data/new-predicted.csv".to_owned(),
        keep_input: true,
    };
    assert!(sent(&screen, ScheduleAdd { task }), "{:?}", screen.fake.sent().last());
    assert!(screen.has("Made the schedule of new-predicted.csv, due at 2026-11-30 03:00 UTC"));
}

#[test]
fn a_wrong_time_is_said_while_it_is_typed_and_a_refusal_stays_in_the_form() {
    let mut screen = schedules(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::ScheduleAdd(_) => {
                let failure = Failure::new(Code::Conflict, "the schedule 5f01 writes /data/x.csv already");
                Some(Err(failure.hint("name another output")))
            }
            _ => None,
        });
    });
    screen.click("New schedule");
    screen.type_into("When (UTC)", "0 25 * * *");
    assert!(screen.has_text("is no hour; 0 to 23 are allowed"));
    screen.type_into("When (UTC)", "0 2 * * *");
    screen.type_into("Table", "/data/in.csv");
    screen.type_into("File to write", "/data/x.xls");
    assert!(screen.has("The file to write ends with .csv or .parquet."));
    screen.type_into("File to write", "/data/x.csv");
    screen.click("Make schedule");
    assert!(screen.has_text("writes /data/x.csv already. Name another output."));
    screen.click("Cancel");
    assert!(!screen.has("Make schedule"));
}

#[test]
fn a_schedule_is_changed_paused_carried_out_and_removed() {
    let mut screen = schedules(WIDE, true, |_| {});
    screen.click("Change the schedule of wards-predicted.parquet");
    screen.type_into("When (UTC)", "@hourly");
    screen.click("Change schedule");
    let task = fake::schedules()[0].task.clone();
    let changed = ScheduleTask { cron: "@hourly".parse().unwrap(), ..task.clone() };
    assert!(sent(&screen, ScheduleEdit { id: "5f01".to_owned(), task: changed }));
    assert!(screen.has("Changed the schedule of wards-predicted.parquet"));
    screen.click("Pause the schedule of wards-predicted.parquet");
    let pause = |paused| SchedulePause { id: "5f01".to_owned(), paused };
    assert!(sent(&screen, pause(true)));
    assert!(screen.has("Paused the schedule"));
    screen.show("schedules-paused");
    // By the key: messages above may go while one is clicked.
    undo(&mut screen);
    assert!(sent(&screen, pause(false)), "{:?}", screen.fake.sent());
    screen.click("Go on with the schedule of prices-predicted.parquet");
    assert!(sent(&screen, SchedulePause { id: "5f03".to_owned(), paused: false }));
    screen.click("Predict prices-predicted.parquet now");
    assert!(sent(&screen, ScheduleRunNow { id: "5f03".to_owned() }));
    screen.click("Remove the schedule of wards-predicted.parquet");
    assert!(!sent(&screen, ScheduleRemove { id: "5f01".to_owned() }), "it is asked first");
    screen.click("Remove");
    assert!(sent(&screen, ScheduleRemove { id: "5f01".to_owned() }));
    undo(&mut screen);
    assert!(sent(&screen, ScheduleAdd { task }));
}

#[test]
fn what_is_at_work_tells_how_far_it_is_and_what_failed_tells_why() {
    let mut screen = schedules(WIDE, true, |_| {});
    assert!(screen.has("43 %, about 01:51 left") && screen.has("389,120 rows in 01:24"));
    let far = ScheduleFar { since_millis: fake::NOW_MILLIS - 90_000, n_rows: 393_216, share: None, rest_millis: None };
    screen.fake.event(Event::ScheduleProgress { id: "5f02".to_owned(), far });
    screen.settle();
    assert!(screen.has("393,216 rows so far") && screen.has("for 01:30"), "what is told later counts");
    screen.click("What prices-predicted.parquet did");
    assert!(screen.has_text("there is no such file"));
    screen.fake.forget_sent();
    screen.fake.event(Event::SchedulesChanged {});
    screen.settle();
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::ScheduleList(_))));
}

/// The sample's schedules with the second one as it is here.
fn with_second(change: impl Fn(&mut ScheduleInfo) + 'static) -> impl FnOnce(&FakeHandle) {
    move |fake: &FakeHandle| {
        fake.on(move |ask| match ask {
            Request::ScheduleList(_) => {
                let mut items = fake::schedules();
                items.get_mut(1).map(&change);
                Some(Ok(Reply::ScheduleList(Box::new(Schedules { items }))))
            }
            _ => None,
        });
    }
}

#[test]
fn what_is_at_work_is_stopped_and_goes_on_where_it_was() {
    let mut screen = schedules(WIDE, true, |_| {});
    assert!(!screen.has("Predict customers-predicted.parquet now"), "one button for both");
    screen.click("Stop predicting customers-predicted.parquet");
    assert!(sent(&screen, ScheduleStop { id: "5f02".to_owned() }));
    assert!(screen.has("The prediction stops; the next one goes on with the rows that are done"));
    undo(&mut screen);
    assert!(sent(&screen, ScheduleRunNow { id: "5f02".to_owned() }));
    // A prediction that is removed at work goes on: that is said before.
    screen.click("Remove the schedule of customers-predicted.parquet");
    assert!(screen.has_text("stop it first where it should not"));
    screen.click("Keep");
    screen.click("Remove the schedule of wards-predicted.parquet");
    assert!(!screen.has_text("stop it first"));

    let mut screen = schedules(WIDE, true, with_second(|item| item.runs[0].stopping = true));
    assert!(screen.has("stopping"));
    screen.fake.forget_sent();
    screen.click("Stop predicting customers-predicted.parquet");
    assert!(!sent(&screen, ScheduleStop { id: "5f02".to_owned() }), "once is enough");

    for (dark, theme) in [(true, "dark"), (false, "light")] {
        let stopped = with_second(|item| {
            let run = &mut item.runs[0];
            (run.stopped, run.n_rows, run.ended_millis) = (true, 393_216, Some(fake::NOW_MILLIS - 9_000));
        });
        let mut screen = schedules(WIDE, dark, stopped);
        assert!(screen.has("stopped") && screen.has("stopped on request"), "{theme}");
        assert!(screen.has("393,216 rows done, just now"), "{theme}");
        assert!(screen.has("Predict customers-predicted.parquet now"));
        screen.click("What customers-predicted.parquet did");
        assert!(
            screen
                .has_text("The last one was stopped on request, 393,216 rows done; the next one goes on behind these")
        );
        screen.show(&format!("schedules-stopped-{theme}"));
    }
    let refused = |fake: &FakeHandle| {
        fake.on(|ask| match ask {
            Request::ScheduleStop(_) => Some(Err(Failure::new(Code::Conflict, "the schedule 5f02 is not at work"))),
            _ => None,
        });
    };
    let mut screen = schedules(WIDE, true, refused);
    screen.click("Stop predicting customers-predicted.parquet");
    assert!(screen.has_text("The schedule 5f02 is not at work"));
}

#[test]
fn empty_slow_failing_and_looking_only_are_said() {
    let screen = schedules(WIDE, true, |fake| {
        fake.on(|ask| matches!(ask, Request::ScheduleList(_)).then(|| Ok(Reply::ScheduleList(Box::default()))));
    });
    assert!(screen.has_text("A schedule predicts a table again and again") && screen.has("Predict a table once"));
    let screen = schedules(WIDE, true, |fake| {
        fake.on(|ask| {
            matches!(ask, Request::ScheduleList(_))
                .then(|| Err(Failure::new(Code::Corrupt, "schedules.json is damaged")))
        });
    });
    assert!(screen.has_text("schedules.json is damaged") && screen.has("Try again"));
}
