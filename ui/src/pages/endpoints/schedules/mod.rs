//! Predictions by the clock: what is predicted when, what came of it; made, changed, paused, carried out now, removed.

mod form;
mod report;
mod row;

use std::collections::BTreeMap;

use athanor_protocol::{
    Failure,
    api::{
        Done, ScheduleAdd, ScheduleFar, ScheduleInfo, ScheduleList, SchedulePause, ScheduleRemove, ScheduleReport,
        ScheduleRunNow, ScheduleStop,
    },
};
use egui::Ui;

use self::form::Form;
pub(in crate::pages) use self::report::notes_ui;
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::ph,
    pages::{Cx, Go, Route},
    theme::size,
    widgets::{self, Confirm},
};

/// A request whose answer is awaited.
enum Sent {
    Pause(Ticket<SchedulePause>, SchedulePause),
    Run(Ticket<ScheduleRunNow>),
    Stop(Ticket<ScheduleStop>, String),
    Remove(Ticket<ScheduleRemove>, Box<ScheduleInfo>),
}

/// What is to be done with a schedule.
enum Act {
    Pause(String, bool),
    Run(String),
    Stop(String),
    Edit(Box<ScheduleInfo>),
    Remove(Box<ScheduleInfo>),
    Open(Option<String>),
}

/// The schedules.
#[derive(Default)]
pub(super) struct Schedules {
    list: Remote<ScheduleList>,
    report: Remote<ScheduleReport>,
    /// How far those at work are, as it was told last.
    far: BTreeMap<String, ScheduleFar>,
    /// The schedule whose executions are shown.
    open: Option<String>,
    form: Option<Form>,
    removing: Confirm<Box<ScheduleInfo>>,
    sent: Vec<Sent>,
}

/// A moment to the minute.
fn minute(millis: i64) -> String {
    let clock = format::clock(millis);
    format!("{} {}", format::date(millis), clock.get(..5).unwrap_or(&clock))
}

/// The last part of a path, of any system.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

impl Schedules {
    pub(super) fn invalidate(&mut self) {
        self.list.invalidate();
        self.report.invalidate();
        self.far.clear();
    }

    /// A prediction goes on.
    pub(super) fn progress(&mut self, id: &str, far: &ScheduleFar) {
        self.far.insert(id.to_owned(), far.clone());
    }

    pub(super) fn ask_new(&mut self) {
        self.form = Some(Form::new());
    }

    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some(form) = &mut self.form
            && let Some(label) = form.take(cx)
        {
            self.form = None;
            self.list.invalidate();
            cx.toasts.ok(label);
        }
        let sent = std::mem::take(&mut self.sent);
        for item in sent {
            let came: Option<Result<(), Failure>> = match &item {
                Sent::Pause(ticket, ask) => cx.desk.take(*ticket).map(|result| {
                    result.map(|Done {}| {
                        let label = if ask.paused { "Paused the schedule" } else { "The schedule goes on" };
                        let back = SchedulePause { id: ask.id.clone(), paused: !ask.paused };
                        cx.undo.push(label, vec![back.into()], vec![ask.clone().into()]);
                        cx.toasts.undoable(label);
                    })
                }),
                Sent::Run(ticket) => cx
                    .desk
                    .take(*ticket)
                    .map(|result| result.map(|Done {}| cx.toasts.ok("The prediction begins within a second"))),
                Sent::Stop(ticket, id) => cx.desk.take(*ticket).map(|result| {
                    result.map(|Done {}| {
                        let (again, stop) = (ScheduleRunNow { id: id.clone() }, ScheduleStop { id: id.clone() });
                        cx.undo.push("Stop the prediction", vec![again.into()], vec![stop.into()]);
                        cx.toasts.undoable("The prediction stops; the next one goes on with the rows that are done");
                    })
                }),
                Sent::Remove(ticket, info) => cx.desk.take(*ticket).map(|result| {
                    result.map(|Done {}| {
                        // What it has done is forgotten; what it does comes back.
                        let undo = ScheduleAdd { task: info.task.clone() };
                        cx.undo.push("Remove the schedule", vec![undo.into()], vec![]);
                        cx.toasts.undoable("Removed the schedule; what it wrote stays");
                    })
                }),
            };
            match came {
                None => self.sent.push(item),
                Some(result) => {
                    self.list.invalidate();
                    if let Err(failure) = result {
                        cx.toasts.failure(&failure);
                    }
                }
            }
        }
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.list.keep(cx.desk, &ScheduleList {});
        let mut act = None;
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                let n = self.list.value().map(|list| list.items.len() as u64);
                let fact = n.map(|n| format::plural(n, "schedule")).unwrap_or_default();
                widgets::heading(ui, "Predictions by the clock", &fact);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.add_enabled_ui(cx.desk.may_change(), |ui| {
                        if widgets::secondary(ui, ph::PLUS, "New schedule").clicked() {
                            self.form = Some(Form::new());
                        }
                    });
                });
            });
            act = self.list_ui(ui, cx);
        });
        self.open_ui(ui, cx);
        match act {
            Some(Act::Pause(id, paused)) => {
                let ask = SchedulePause { id, paused };
                self.sent.push(Sent::Pause(cx.desk.ask(ask.clone()), ask));
            }
            Some(Act::Run(id)) => self.sent.push(Sent::Run(cx.desk.ask(ScheduleRunNow { id }))),
            Some(Act::Stop(id)) => {
                self.sent.push(Sent::Stop(cx.desk.ask(ScheduleStop { id: id.clone() }), id));
            }
            Some(Act::Edit(info)) => self.form = Some(Form::of(&info)),
            Some(Act::Remove(info)) => self.removing.ask(info, ""),
            Some(Act::Open(id)) => self.open = id,
            None => {}
        }
    }

    fn list_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) -> Option<Act> {
        if let Some(failure) = self.list.error() {
            if widgets::failure(ui, failure) {
                self.list.invalidate();
            }
            return None;
        }
        let Some(list) = self.list.value() else {
            if self.list.slow(cx.desk) {
                widgets::loading(ui, "Loading schedules");
            }
            return None;
        };
        if list.items.is_empty() {
            let text = "A schedule predicts a table again and again, each night for example, and writes the predictions to \
                        a file. It is carried out while this window or 'athanor serve' has the workspace open; what was \
                        missed is made up for once.";
            widgets::muted(ui, text);
            if widgets::link(ui, "Predict a table once").on_hover_text("On the page Models").clicked() {
                cx.go.push(Go::To(Route::Models));
            }
            return None;
        }
        let (cells, columns): (Vec<_>, Vec<_>) = row::columns(ui.available_width()).into_iter().unzip();
        widgets::lines_header(ui, &columns);
        let mut act = None;
        for item in &list.items {
            let is_open = self.open.as_ref() == Some(&item.id);
            let seen = row::Seen::of(item, self.far.get(&item.id));
            widgets::line_row(ui, &columns, seen.height(), |ui, at| {
                let asked = cells.get(at).and_then(|cell| seen.cell_ui(ui, cx, *cell, is_open));
                act = act.take().or(asked);
            });
        }
        act
    }

    /// The executions of the schedule that is open, and the report of the last one.
    fn open_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(id) = self.open.clone() else { return };
        let Some(item) = self.list.value().and_then(|list| list.items.iter().find(|item| item.id == id)).cloned()
        else {
            return;
        };
        self.report.keep(cx.desk, &ScheduleReport { id });
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            widgets::heading(ui, &format!("What {} did", file_name(&item.task.output)), "the last 20 times");
            if report::ui(ui, cx, &item, &mut self.report) {
                self.open = None;
            }
        });
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let mut text =
            "It is not carried out any more, and what it has done is forgotten. Files that it wrote stay.".to_owned();
        if self.removing.thing().is_some_and(|info| row::is_begun(info)) {
            text += " The prediction that is at work goes on to its end: stop it first where it should not.";
        }
        if let Some(info) = self.removing.ui(ui, "Remove this schedule?", &text, "Remove") {
            let ticket = cx.desk.ask(ScheduleRemove { id: info.id.clone() });
            self.sent.push(Sent::Remove(ticket, info));
        }
        if let Some(mut form) = self.form.take()
            && form.ui(ui, cx)
        {
            self.form = Some(form);
        }
    }
}
