//! A schedule in the list: what came of it last or how far it is, and what can be done with it.

use athanor_protocol::api::{ScheduleFar, ScheduleInfo, ScheduleRun};
use egui::{RichText, Ui};

use super::{Act, file_name, minute};
use crate::{
    format,
    icons::ph,
    pages::Cx,
    theme::{Theme, font_size},
    toasts::Tone,
    widgets::{self, Col},
};

/// Below this width what is done stands in one column.
const COMPACT: f32 = 700.0;
/// Above this width there is room for when it is due next.
const WIDE: f32 = 940.0;
/// The height of a row, and of one with a bar.
const ROW: f32 = 42.0;
const ROW_AT_WORK: f32 = 52.0;

/// What stands in a column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    When,
    Model,
    Tables,
    /// All of the three, where there is little room.
    What,
    Next,
    Last,
    State,
    Buttons,
}

/// The columns that there is room for.
pub(super) fn columns(width: f32) -> Vec<(Cell, Col<'static>)> {
    let mut columns = if width < COMPACT {
        vec![(Cell::What, Col::wide("Writes"))]
    } else {
        vec![
            (Cell::When, Col::fixed("When (UTC)", 124.0)),
            (Cell::Model, Col::wide("Model")),
            (Cell::Tables, Col::wide("From, to")),
        ]
    };
    if width > WIDE {
        columns.push((Cell::Next, Col::fixed("Next", 120.0)));
    }
    columns.extend([
        (Cell::Last, Col::wide("Last")),
        (Cell::State, Col::fixed("State", 100.0)),
        (Cell::Buttons, Col { title: "", width: Some(168.0), right: true }),
    ]);
    columns
}

/// Whether a prediction was begun and has not ended.
pub(super) fn is_begun(item: &ScheduleInfo) -> bool {
    item.runs.first().is_some_and(|run| run.ended_millis.is_none())
}

/// What came of an execution.
pub(super) fn outcome(run: &ScheduleRun) -> String {
    match (&run.failure, run.ended_millis) {
        (Some(failure), _) => widgets::sentence(&failure.message),
        (None, None) if run.stopping => "stopping".to_owned(),
        (None, None) => "at work, or broken off and to go on".to_owned(),
        (None, Some(_)) if run.stopped => format!("stopped on request, {} done", format::plural(run.n_rows, "row")),
        (None, Some(_)) => format::plural(run.n_rows, "row"),
    }
}

/// What a note of an outcome is in colour.
pub(super) const fn tone(run: &ScheduleRun) -> Tone {
    match (&run.failure, run.ended_millis) {
        (Some(_), _) => Tone::Bad,
        (None, None) => Tone::Info,
        (None, Some(_)) if run.stopped => Tone::Warn,
        (None, Some(_)) => Tone::Ok,
    }
}

/// Two short lines in a cell.
fn two(ui: &mut Ui, first: &str, second: &str, help: impl FnOnce() -> String) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.add_space(4.0);
        lines(ui, first, second, &help());
    });
}

fn lines(ui: &mut Ui, first: &str, second: &str, help: &str) {
    let theme = Theme::of(ui);
    ui.add(egui::Label::new(RichText::new(first).color(theme.text)).truncate()).on_hover_text(help);
    let second = RichText::new(second).size(font_size::LABEL).color(theme.muted);
    ui.add(egui::Label::new(second).truncate()).on_hover_text(help);
}

/// How far a prediction is, in two short lines and in full.
fn far_words(far: &ScheduleFar, now: i64) -> [String; 3] {
    let rows = format::plural(far.n_rows, "row");
    let took = format::duration_millis(now - far.since_millis);
    let share = far.share.map(|share| format!("{:.0} %", share * 100.0));
    let rest = far.rest_millis.map(|rest| format!("about {} left", format::duration_millis(rest)));
    let first: Vec<&str> = [share.as_deref(), rest.as_deref()].into_iter().flatten().collect();
    let (first, second) = if first.is_empty() {
        (format!("{rows} so far"), format!("for {took}"))
    } else {
        (first.join(", "), format!("{rows} in {took}"))
    };
    let full = format!("{first}; {second}");
    [first, second, full]
}

/// A schedule with what was told of it last.
pub(super) struct Seen<'a> {
    item: &'a ScheduleInfo,
    /// How far it is, where it is at work.
    far: Option<&'a ScheduleFar>,
}

impl<'a> Seen<'a> {
    /// `told` is newer than what the list says.
    pub(super) fn of(item: &'a ScheduleInfo, told: Option<&'a ScheduleFar>) -> Self {
        Self { item, far: told.or(item.far.as_ref()).filter(|_| is_begun(item)) }
    }

    pub(super) fn height(&self) -> f32 {
        if self.far.is_some() { ROW_AT_WORK } else { ROW }
    }

    /// Draws a cell.
    pub(super) fn cell_ui(&self, ui: &mut Ui, cx: &Cx<'_>, cell: Cell, is_open: bool) -> Option<Act> {
        let task = &self.item.task;
        let help = || format!("{}\n→ {}", task.table, task.output);
        match cell {
            Cell::When => widgets::cell_mono(ui, &task.cron.to_string()),
            Cell::Model => widgets::cell_text(ui, &task.model),
            Cell::Tables => two(ui, file_name(&task.table), file_name(&task.output), help),
            Cell::What => {
                let (when, model) = (task.cron.to_string(), &task.model);
                let full = || format!("{when} (UTC)\n{model}\n{}", help());
                two(ui, file_name(&task.output), &format!("{when}, {model}"), full);
            }
            Cell::Next => {
                widgets::muted(ui, &self.item.next_millis.map_or_else(|| "–".to_owned(), minute));
            }
            Cell::Last => self.last_ui(ui, cx.desk.now_millis()),
            Cell::State => self.state_ui(ui),
            Cell::Buttons => return self.buttons_ui(ui, cx, is_open),
        }
        None
    }

    /// What came of it last, or how far it is.
    fn last_ui(&self, ui: &mut Ui, now: i64) {
        let Some(run) = self.item.runs.first() else {
            widgets::muted(ui, "not yet");
            return;
        };
        if let Some(far) = self.far {
            let [first, second, full] = far_words(far, now);
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 1.0;
                ui.add_space(4.0);
                lines(ui, &first, &second, &full);
                ui.add_space(3.0);
                let width = ui.available_width();
                widgets::progress(ui, far.share.map(|share| share as f32), width);
            });
            return;
        }
        let what = outcome(run);
        let version = run.version.map(|version| format!(", version {version}")).unwrap_or_default();
        let when = format::ago(run.ended_millis.unwrap_or(run.began_millis), now);
        if run.stopped {
            let second = format!("{} done, {when}", format::plural(run.n_rows, "row"));
            return two(ui, "stopped on request", &second, || format!("{what}; the next one goes on behind these"));
        }
        let help = what.clone();
        two(ui, &what, &format!("{when}{version}"), || help);
    }

    /// How it is now: a word and its colour.
    fn state(&self, theme: &Theme) -> (&'static str, egui::Color32) {
        match self.item.runs.first() {
            Some(run) if run.ended_millis.is_none() && run.stopping => ("stopping", theme.muted),
            Some(run) if run.ended_millis.is_none() && self.far.is_some() => ("at work", theme.accent),
            Some(run) if run.ended_millis.is_none() => ("begun", theme.accent),
            _ if self.item.asked => ("about to begin", theme.accent),
            _ if self.item.paused => ("paused", theme.muted),
            Some(run) if run.failure.is_some() => ("failed", theme.bad),
            Some(run) if run.stopped => ("stopped", theme.warn),
            Some(_) => ("well", theme.ok),
            None => ("waits", theme.muted),
        }
    }

    fn state_ui(&self, ui: &mut Ui) {
        let (word, color) = self.state(Theme::of(ui));
        let pill = widgets::small_pill(ui, color, word);
        if let Some(next) = self.item.next_millis.filter(|_| !is_begun(self.item)) {
            pill.on_hover_text(format!("Due next at {} UTC", minute(next)));
        }
    }

    fn buttons_ui(&self, ui: &mut Ui, cx: &Cx<'_>, is_open: bool) -> Option<Act> {
        let (item, mut act) = (self.item, None);
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
            if is_begun(item) || item.asked {
                let stopping = is_begun(item) && item.runs.first().is_some_and(|run| run.stopping);
                ui.add_enabled_ui(!stopping, |ui| {
                    if widgets::icon_button(ui, ph::STOP, &format!("Stop predicting {name}")).clicked() {
                        act = Some(Act::Stop(item.id.clone()));
                    }
                });
            } else if widgets::icon_button(ui, ph::PLAY, &format!("Predict {name} now")).clicked() {
                act = Some(Act::Run(item.id.clone()));
            }
        }
        let what = format!("What {name} did");
        if !item.runs.is_empty() && widgets::toggle_icon(ui, ph::LIST, &what, is_open).clicked() {
            act = Some(Act::Open((!is_open).then(|| item.id.clone())));
        }
        act
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_says_what_is_known() {
        let far = ScheduleFar { since_millis: 0, n_rows: 131_072, share: Some(0.434), rest_millis: Some(110_000) };
        let [first, second, full] = far_words(&far, 84_000);
        assert_eq!((first.as_str(), second.as_str()), ("43 %, about 01:50 left", "131,072 rows in 01:24"));
        assert_eq!(full, "43 %, about 01:50 left; 131,072 rows in 01:24");
        let [first, ..] = far_words(&ScheduleFar { rest_millis: None, ..far.clone() }, 84_000);
        assert_eq!(first, "43 %");
        let [first, second, _] = far_words(&ScheduleFar { share: None, rest_millis: None, ..far }, 84_000);
        assert_eq!((first.as_str(), second.as_str()), ("131,072 rows so far", "for 01:24"));
    }
}
