//! Predictions by the clock: what is predicted when, what came of it; made, changed, paused, carried out now, removed.

mod form;
mod report;

use std::collections::BTreeMap;

use athanor_protocol::{
    Failure,
    api::{
        Done, ScheduleAdd, ScheduleInfo, ScheduleList, SchedulePause, ScheduleRemove, ScheduleReport, ScheduleRun,
        ScheduleRunNow,
    },
};
use egui::{RichText, Ui};

use self::form::Form;
pub(in crate::pages) use self::report::notes_ui;
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::ph,
    pages::{Cx, Go, Route},
    theme::{Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Col, Confirm},
};

/// A request whose answer is awaited.
enum Sent {
    Pause(Ticket<SchedulePause>, SchedulePause),
    Run(Ticket<ScheduleRunNow>),
    Remove(Ticket<ScheduleRemove>, Box<ScheduleInfo>),
}

/// What is to be done with a schedule.
enum Act {
    Pause(String, bool),
    Run(String),
    Edit(Box<ScheduleInfo>),
    Remove(Box<ScheduleInfo>),
    Open(Option<String>),
}

/// The schedules.
#[derive(Default)]
pub(super) struct Schedules {
    list: Remote<ScheduleList>,
    report: Remote<ScheduleReport>,
    /// Rows that are predicted so far, of those at work.
    far: BTreeMap<String, u64>,
    /// The schedule whose executions are shown.
    open: Option<String>,
    form: Option<Form>,
    removing: Confirm<Box<ScheduleInfo>>,
    sent: Vec<Sent>,
}

/// How a schedule is now: a word and its colour.
fn state(theme: &Theme, item: &ScheduleInfo) -> (&'static str, egui::Color32) {
    match item.runs.first() {
        Some(run) if run.ended_millis.is_none() => ("at work", theme.accent),
        _ if item.asked => ("about to begin", theme.accent),
        _ if item.paused => ("paused", theme.muted),
        Some(run) if run.failure.is_some() => ("failed", theme.bad),
        Some(_) => ("well", theme.ok),
        None => ("waits", theme.muted),
    }
}

/// What came of an execution.
fn outcome(run: &ScheduleRun) -> String {
    match (&run.failure, run.ended_millis) {
        (Some(failure), _) => widgets::sentence(&failure.message),
        (None, None) => "at work, or broken off and to go on".to_owned(),
        (None, Some(_)) => format::plural(run.n_rows, "row"),
    }
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
    pub(super) fn progress(&mut self, id: &str, n_rows: u64) {
        self.far.insert(id.to_owned(), n_rows);
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
        let wide = ui.available_width() > 940.0;
        let mut columns = vec![Col::fixed("When (UTC)", 124.0), Col::wide("Model"), Col::wide("From, to")];
        if wide {
            columns.push(Col::fixed("Next", 120.0));
        }
        columns.extend([
            Col::wide("Last"),
            Col::fixed("State", 100.0),
            Col { title: "", width: Some(168.0), right: true },
        ]);
        widgets::lines_header(ui, &columns);
        let now = cx.desk.now_millis();
        let mut act = None;
        for item in &list.items {
            let is_open = self.open.as_ref() == Some(&item.id);
            widgets::line_row(ui, &columns, 42.0, |ui, at| match if at >= 3 && !wide { at + 1 } else { at } {
                0 => widgets::cell_mono(ui, &item.task.cron.to_string()),
                1 => widgets::cell_text(ui, &item.task.model),
                2 => two(ui, file_name(&item.task.table), file_name(&item.task.output), || {
                    format!("{}\n→ {}", item.task.table, item.task.output)
                }),
                3 => {
                    let next = item.next_millis.map_or_else(|| "–".to_owned(), minute);
                    widgets::muted(ui, &next);
                }
                4 => last_ui(ui, item, now, self.far.get(&item.id).copied()),
                5 => {
                    let (word, color) = state(cx.theme, item);
                    let pill = widgets::small_pill(ui, color, word);
                    if let Some(next) = item.next_millis {
                        pill.on_hover_text(format!("Due next at {} UTC", minute(next)));
                    }
                }
                _ => act = act.take().or(buttons_ui(ui, cx, item, is_open)),
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
        let text = "It is not carried out any more, and what it has done is forgotten. Files that it wrote stay.";
        if let Some(info) = self.removing.ui(ui, "Remove this schedule?", text, "Remove") {
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

/// Two short lines in a cell.
fn two(ui: &mut Ui, first: &str, second: &str, help: impl FnOnce() -> String) {
    let theme = Theme::of(ui);
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.add_space(4.0);
        let help = help();
        ui.add(egui::Label::new(RichText::new(first).color(theme.text)).truncate()).on_hover_text(&help);
        let second = RichText::new(second).size(font_size::LABEL).color(theme.muted);
        ui.add(egui::Label::new(second).truncate()).on_hover_text(&help);
    });
}

fn last_ui(ui: &mut Ui, item: &ScheduleInfo, now: i64, far: Option<u64>) {
    let Some(run) = item.runs.first() else {
        widgets::muted(ui, "not yet");
        return;
    };
    let what = match far.filter(|_| run.ended_millis.is_none()) {
        Some(n_rows) => format!("{} so far", format::plural(n_rows, "row")),
        None => outcome(run),
    };
    let version = run.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let when = format::ago(run.ended_millis.unwrap_or(run.began_millis), now);
    let help = what.clone();
    two(ui, &what, &format!("{when}{version}"), || help);
}

fn buttons_ui(ui: &mut Ui, cx: &Cx<'_>, item: &ScheduleInfo, is_open: bool) -> Option<Act> {
    let mut act = None;
    let name = file_name(&item.task.output);
    if cx.desk.may_change() {
        if widgets::icon_button(ui, ph::TRASH, &format!("Remove the schedule of {name}")).clicked() {
            act = Some(Act::Remove(Box::new(item.clone())));
        }
        if widgets::icon_button(ui, ph::PENCIL_SIMPLE, &format!("Change the schedule of {name}")).clicked() {
            act = Some(Act::Edit(Box::new(item.clone())));
        }
        let (icon, verb) = if item.paused { (ph::PLAY_PAUSE, "Go on with") } else { (ph::PAUSE, "Pause") };
        if widgets::icon_button(ui, icon, &format!("{verb} the schedule of {name}")).clicked() {
            act = Some(Act::Pause(item.id.clone(), !item.paused));
        }
        let busy = item.asked || item.runs.first().is_some_and(|run| run.ended_millis.is_none());
        ui.add_enabled_ui(!busy, |ui| {
            if widgets::icon_button(ui, ph::PLAY, &format!("Predict {name} now")).clicked() {
                act = Some(Act::Run(item.id.clone()));
            }
        });
    }
    if !item.runs.is_empty() && widgets::toggle_icon(ui, ph::LIST, &format!("What {name} did"), is_open).clicked() {
        act = Some(Act::Open((!is_open).then(|| item.id.clone())));
    }
    act
}

/// What a note of a failure is in colour.
const fn tone(run: &ScheduleRun) -> Tone {
    match (&run.failure, run.ended_millis) {
        (Some(_), _) => Tone::Bad,
        (None, None) => Tone::Info,
        (None, Some(_)) => Tone::Ok,
    }
}
