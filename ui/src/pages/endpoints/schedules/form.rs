//! The form of a schedule: when, with which model, from which table, into which file.

use athanor_protocol::{
    Failure,
    api::{ModelList, Pick, PickKind, ScheduleAdd, ScheduleEdit, ScheduleInfo, ScheduleTask},
    cron::Cron,
};
use egui::Ui;

use super::{file_name, minute};
use crate::{
    desk::Ticket,
    pages::{
        Cx,
        models::failure_note,
        paged::Paged,
        paths::{TableField, path_field, pick_table, take_pick},
    },
    theme::size,
    widgets::{self, DialogAsk, Kind},
};

/// Times that are often wanted.
const OFTEN: [(&str, &str); 4] =
    [("0 * * * *", "Hourly"), ("0 3 * * *", "Each night"), ("0 3 * * mon", "Mondays"), ("0 3 1 * *", "Monthly")];
/// Coming times that are shown.
const SHOWN_TIMES: usize = 3;

enum Sent {
    Add(Ticket<ScheduleAdd>),
    /// What it is from then on, and what it was.
    Edit(Ticket<ScheduleEdit>, Box<[ScheduleEdit; 2]>),
}

/// The form.
pub(super) struct Form {
    /// The schedule that is changed.
    before: Option<ScheduleInfo>,
    models: Paged<ModelList>,
    when: String,
    model: String,
    table: TableField,
    to: String,
    /// Whether the user named the file to write; else it follows the table.
    to_is_own: bool,
    keep_input: bool,
    pick: Option<Ticket<Pick>>,
    sent: Option<Sent>,
    failure: Option<Failure>,
}

impl Form {
    pub(super) fn new() -> Self {
        Self {
            before: None,
            models: Paged::default(),
            when: "0 3 * * *".to_owned(),
            model: String::new(),
            table: TableField::default(),
            to: String::new(),
            to_is_own: false,
            keep_input: true,
            pick: None,
            sent: None,
            failure: None,
        }
    }

    pub(super) fn of(info: &ScheduleInfo) -> Self {
        let task = &info.task;
        Self {
            before: Some(info.clone()),
            when: task.cron.to_string(),
            model: task.model.clone(),
            table: TableField::new(task.table.clone()),
            to: task.output.clone(),
            to_is_own: true,
            keep_input: task.keep_input,
            ..Self::new()
        }
    }

    /// Takes in what has come; what is said once it is done.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> Option<String> {
        let result = match self.sent.as_ref()? {
            Sent::Add(ticket) => cx.desk.take(*ticket)?.map(|info| {
                let next = info.next_millis.map(|next| format!(", due at {} UTC", minute(next))).unwrap_or_default();
                format!("Made the schedule of {}{next}", file_name(&info.task.output))
            }),
            Sent::Edit(ticket, changed) => cx.desk.take(*ticket)?.map(|info| {
                let label = format!("Changed the schedule of {}", file_name(&info.task.output));
                let [ask, back] = &**changed;
                cx.undo.push(label.clone(), vec![back.clone().into()], vec![ask.clone().into()]);
                label
            }),
        };
        self.sent = None;
        match result {
            Ok(label) => Some(label),
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }

    /// What was typed; `None` where something is missing or wrong.
    fn task(&self) -> Option<ScheduleTask> {
        let (table, output) = (self.table.path.trim(), self.to.trim());
        let ends = output.to_lowercase();
        let is_table = ends.ends_with(".csv") || ends.ends_with(".parquet");
        if self.model.is_empty() || table.is_empty() || !is_table || table == output {
            return None;
        }
        Some(ScheduleTask {
            cron: self.when.parse().ok()?,
            model: self.model.clone(),
            table: table.to_owned(),
            output: output.to_owned(),
            keep_input: self.keep_input,
        })
    }

    /// Draws it; false once it is to be closed.
    pub(super) fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) -> bool {
        self.models.keep(cx.desk, &ModelList::default());
        if let Some(path) = take_pick(cx, &mut self.pick) {
            (self.to, self.to_is_own) = (path, true);
        }
        let title = if self.before.is_some() { "Change the schedule" } else { "New schedule" };
        let mut answer = None;
        let (_, ask) = widgets::dialog_parts(ui, "schedule", title, 480.0, |parts| {
            parts.body(|ui| {
                ui.add_enabled_ui(self.sent.is_none(), |ui| {
                    ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                    self.when_ui(ui, cx);
                    self.model_ui(ui);
                    self.tables_ui(ui, cx);
                });
                if let Some(failure) = &self.failure {
                    ui.add_space(size::TINY_GAP);
                    failure_note(ui, failure);
                }
            });
            let task = self.task();
            let changes = task.is_some() && self.before.as_ref().map(|info| &info.task) != task.as_ref();
            let verb = if self.before.is_some() { "Change schedule" } else { "Make schedule" };
            parts.footer(|ui| {
                ui.horizontal(|ui| {
                    ui.add_enabled_ui(changes && self.sent.is_none(), |ui| {
                        if widgets::button(ui, Kind::Primary, None, verb).clicked() {
                            answer = Some(true);
                        }
                    });
                    if widgets::button(ui, Kind::Secondary, None, "Cancel").clicked() {
                        answer = Some(false);
                    }
                    if self.sent.is_some() {
                        widgets::loading(ui, "");
                    }
                });
            });
        });
        match (answer, ask) {
            (Some(true), _) => {
                self.send(cx);
                true
            }
            (Some(false), _) => false,
            // What is being made must be told of.
            (None, DialogAsk::Close) => self.sent.is_some(),
            (None, DialogAsk::Nothing) => true,
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>) {
        let Some(task) = self.task() else { return };
        self.failure = None;
        self.sent = Some(match &self.before {
            None => Sent::Add(cx.desk.ask(ScheduleAdd { task })),
            Some(before) => {
                let of = |task| ScheduleEdit { id: before.id.clone(), task };
                let (ask, back) = (of(task), of(before.task.clone()));
                Sent::Edit(cx.desk.ask(ask.clone()), Box::new([ask, back]))
            }
        });
    }

    fn when_ui(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        let parsed = self.when.parse::<Cron>();
        let error = parsed.as_ref().err().map(ToString::to_string);
        let help = "Minute, hour, day of the month, month, day of the week, as cron has them; in UTC";
        let field = widgets::field(ui, "When (UTC)", help, error.as_deref(), |ui| {
            widgets::line_edit(ui, "When (UTC)", &mut self.when, "0 3 * * *", false)
        });
        widgets::focus_first(&field);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            for (cron, name) in OFTEN {
                let kind = if self.when == cron { Kind::Primary } else { Kind::Secondary };
                if widgets::small_button(ui, kind, name).on_hover_text(cron).clicked() {
                    cron.clone_into(&mut self.when);
                }
            }
        });
        if let Ok(cron) = parsed {
            let mut at = cx.desk.now_millis();
            let mut times = vec![];
            while let Some(next) = cron.next_after(at).filter(|_| times.len() < SHOWN_TIMES) {
                times.push(minute(next));
                at = next;
            }
            widgets::muted(ui, &format!("Next: {}", times.join(", ")));
        }
    }

    fn model_ui(&mut self, ui: &mut Ui) {
        let mut options: Vec<(String, String)> = vec![];
        for model in self.models.items() {
            options.extend(model.aliases.iter().map(|(alias, version)| {
                let name = format!("{}@{alias}", model.name);
                (name.clone(), format!("{name} (now version {version})"))
            }));
            let newest = format!("{}:{}", model.name, model.latest);
            options.push((newest.clone(), format!("{newest} (the newest)")));
        }
        if self.model.is_empty() {
            let first = options.iter().find(|(name, _)| name.ends_with("@production")).or_else(|| options.first());
            self.model = first.map(|(name, _)| name.clone()).unwrap_or_default();
        } else if !options.iter().any(|(name, _)| *name == self.model) {
            options.insert(0, (self.model.clone(), self.model.clone()));
        }
        let help = "An alias is looked up each time: the schedule follows it";
        widgets::field(ui, "Model", help, None, |ui| {
            if self.models.is_loaded() && options.is_empty() {
                widgets::muted(ui, "There is no model yet: train and register one first.");
            } else {
                widgets::choice(ui, "schedule-model", "Model to predict with", &mut self.model, &options);
            }
        });
        if self.models.has_more() {
            widgets::muted(ui, "Only the first models are listed.");
        }
    }

    fn tables_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.table.ui(ui, cx, "Choose a table to predict") && !self.to_is_own {
            self.to = predicted(&self.table.path);
        }
        let (pressed, changed) = path_field(ui, cx.desk, "File to write", &mut self.to, "predicted.csv");
        self.to_is_own |= changed;
        if pressed && self.pick.is_none() {
            let name = if self.to.is_empty() { "predicted.csv" } else { file_name(&self.to) };
            self.pick =
                Some(cx.desk.ask(pick_table(PickKind::Save, "Where to write the predictions", name.to_owned())));
        }
        let to = self.to.trim().to_lowercase();
        if !to.is_empty() && !to.ends_with(".csv") && !to.ends_with(".parquet") {
            widgets::muted(ui, "The file to write ends with .csv or .parquet.");
        } else if !to.is_empty() && self.to.trim() == self.table.path.trim() {
            widgets::muted(ui, "The file to write must not be the table itself.");
        } else {
            widgets::muted(ui, "It is written anew each time.");
        }
        widgets::switch(ui, &mut self.keep_input, "Put the table's columns in front");
    }
}

/// A file to write, named after the table.
fn predicted(table: &str) -> String {
    let name = file_name(table);
    if name.is_empty() {
        return String::new();
    }
    let folder = table.get(..table.len() - name.len()).unwrap_or_default();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "csv"));
    let ending = if ending.eq_ignore_ascii_case("parquet") { "parquet" } else { "csv" };
    format!("{folder}{stem}-predicted.{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_to_write_is_named_after_its_table() {
        for (table, expect) in [
            ("/data/wards.csv", "/data/wards-predicted.csv"),
            ("C:\\data\\wards.PARQUET", "C:\\data\\wards-predicted.parquet"),
            ("wards.txt", "wards-predicted.csv"),
            ("", ""),
        ] {
            assert_eq!(predicted(table), expect);
        }
    }

    #[test]
    fn times_that_are_often_wanted_are_ones() {
        for (cron, name) in OFTEN {
            assert!(cron.parse::<Cron>().is_ok_and(|parsed| parsed.to_string() == cron), "{name}");
        }
    }
}
