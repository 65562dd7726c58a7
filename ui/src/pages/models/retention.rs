//! Which versions cleaning keeps: the rules, what would go by them, and the cleaning itself after a question.

use athanor_protocol::{
    Failure,
    api::{ModelClean, ModelCleaned, ModelHistoryAnswer},
    governance::{DeletedVersion, Rules},
};
use egui::Ui;

use super::dialogs::failure_note;
use crate::{
    desk::Ticket,
    format,
    icons::ph,
    pages::Cx,
    theme::size,
    widgets::{self, Col, DialogAsk, Kind},
};

/// Rows of a list that are drawn at once; more scroll.
const MOST_ROWS: f32 = 6.0;
/// What the fields begin with.
const NEWEST: u32 = 5;
const DAYS: u32 = 90;

/// What is to be done with rules.
pub(super) enum Save {
    /// They are this model's own from now on.
    Model(Rules),
    /// They are those of all models without their own.
    Workspace(Rules),
}

/// Rules that are typed, and a cleaning that is looked at.
#[derive(Default)]
pub(super) struct Retention {
    /// The model, and what is typed for it.
    draft: Option<(String, Option<u32>, Option<u32>)>,
    looking: Option<Ticket<ModelClean>>,
    /// What would go.
    found: Option<ModelCleaned>,
    /// Whether it was understood that packages go for good.
    sure: bool,
    cleaning: Option<Ticket<ModelClean>>,
    failure: Option<Failure>,
}

/// A limit that is on or off.
fn limit_ui(ui: &mut Ui, value: &mut Option<u32>, text: &str, name: &str, first: u32, most: f64, unit: &str) {
    ui.horizontal(|ui| {
        ui.set_min_height(size::CONTROL);
        let mut on = value.is_some();
        if widgets::check_text(ui, &mut on, text).changed() {
            *value = on.then_some(first);
        }
        if let Some(value) = value {
            let mut number = f64::from(*value);
            if widgets::number_field(ui, name, &mut number, 1.0..=most, unit).changed() {
                *value = number.round().clamp(1.0, most) as u32;
            }
        }
    });
}

impl Retention {
    /// Takes in what has come; true when the lists may be old now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        if let Some(ticket) = self.looking
            && let Some(result) = cx.desk.take(ticket)
        {
            self.looking = None;
            match result {
                Ok(found) => (self.found, self.sure, self.failure) = (Some(found), false, None),
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
        let Some(ticket) = self.cleaning else { return false };
        let Some(result) = cx.desk.take(ticket) else { return false };
        self.cleaning = None;
        match result {
            Ok(done) => {
                let (removed, marked) = (done.removed.len() as u64, done.marked.len() as u64);
                cx.toasts.ok(format!(
                    "Removed {} ({}), marked {} as deleted",
                    format::plural(removed, "package"),
                    format::bytes(done.freed_bytes),
                    format::plural(marked, "version")
                ));
                self.found = None;
            }
            Err(failure) => self.failure = Some(failure),
        }
        true
    }

    /// Asks what would go.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        if self.looking.is_none() && self.cleaning.is_none() {
            self.looking = Some(cx.desk.ask(ModelClean { dry_run: true }));
        }
    }

    pub(super) fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Cx<'_>,
        model: &str,
        history: &ModelHistoryAnswer,
    ) -> Option<Save> {
        let rules = &history.rules;
        let known = (rules.keep_newest, rules.keep_days);
        let (mut newest, mut days) = match &self.draft {
            Some((of, newest, days)) if of == model => (*newest, *days),
            _ => known,
        };
        let mut save = None;
        widgets::label(ui, "Cleaning keeps");
        ui.add_enabled_ui(cx.desk.may_change(), |ui| {
            limit_ui(ui, &mut newest, "the newest", "Newest versions to keep", NEWEST, 100_000.0, "versions");
            limit_ui(ui, &mut days, "what is not older than", "Days to keep", DAYS, 36_500.0, "days");
        });
        let words = match (newest, days) {
            (None, None) => "With neither, every version is kept.",
            _ => {
                "And always: what an alias points to or would go back to, what a rollout needs, and what is approved. \
                 Nothing that is served goes."
            }
        };
        widgets::muted(ui, words);
        let changed = (newest, days) != known;
        self.draft = changed.then(|| (model.to_owned(), newest, days));
        ui.horizontal_wrapped(|ui| {
            if changed {
                let wanted = Rules { keep_newest: newest, keep_days: days, ..rules.clone() };
                if widgets::button(ui, Kind::Primary, None, "Save for this model").clicked() {
                    save = Some(Save::Model(wanted.clone()));
                }
                if !history.own_rules && widgets::button(ui, Kind::Secondary, None, "Save for the workspace").clicked()
                {
                    save = Some(Save::Workspace(wanted));
                }
                if widgets::button(ui, Kind::Quiet, None, "Discard").clicked() {
                    self.draft = None;
                }
            } else {
                ui.add_enabled_ui(self.looking.is_none() && cx.desk.may_change(), |ui| {
                    let help = "Nothing goes by this: it is listed first, for all models of the workspace";
                    if widgets::secondary(ui, ph::BROOM, "What would go").on_hover_text(help).clicked() {
                        self.look(cx);
                    }
                });
                if self.looking.is_some() {
                    widgets::loading(ui, "Looking through the versions");
                }
            }
        });
        if save.is_some() {
            self.draft = None;
        }
        save
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let Some(found) = self.found.clone() else { return };
        let nothing = found.removed.is_empty() && found.marked.is_empty();
        let mut answer = None;
        let (_, ask) = widgets::dialog_parts(ui, "clean", "Clean versions of the whole workspace", 560.0, |parts| {
            parts.body(|ui| {
                ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                if nothing {
                    widgets::muted(ui, "Nothing would go: no version is deleted, and the rules keep all others.");
                }
                if !found.removed.is_empty() {
                    let n = format::plural(found.removed.len() as u64, "package");
                    let fact = format!("{n}, {}", format::bytes(found.freed_bytes));
                    widgets::heading(ui, "Goes for good", &fact);
                    widgets::muted(ui, "Versions that were deleted before; they can't be restored afterwards.");
                    list_ui(ui, "removed", &found.removed);
                    widgets::check_text(ui, &mut self.sure, &format!("Remove {n} for good"));
                }
                if !found.marked.is_empty() {
                    let n = format::plural(found.marked.len() as u64, "version");
                    widgets::heading(ui, "Is marked as deleted", &n);
                    widgets::muted(ui, "By the rules; each can be restored until the next cleaning.");
                    list_ui(ui, "marked", &found.marked);
                }
                if let Some(failure) = &self.failure {
                    failure_note(ui, failure);
                }
            });
            parts.footer(|ui| {
                ui.horizontal(|ui| {
                    let busy = self.cleaning.is_some();
                    if !nothing {
                        let may = !busy && (self.sure || found.removed.is_empty());
                        ui.add_enabled_ui(may, |ui| {
                            if widgets::button(ui, Kind::Danger, None, "Clean").clicked() {
                                answer = Some(true);
                            }
                        });
                    }
                    if widgets::button(ui, Kind::Secondary, None, "Close").clicked() {
                        answer = Some(false);
                    }
                    if busy {
                        widgets::loading(ui, "Cleaning");
                    }
                });
            });
        });
        match (answer, ask) {
            (Some(true), _) => {
                self.failure = None;
                self.cleaning = Some(cx.desk.ask(ModelClean { dry_run: false }));
            }
            (Some(false), _) => self.found = None,
            (None, DialogAsk::Close) if self.cleaning.is_none() => self.found = None,
            _ => {}
        }
    }
}

fn list_ui(ui: &mut Ui, id: &str, list: &[DeletedVersion]) {
    let columns = [Col::wide("Version"), Col::number("Size", 80.0), Col::fixed("By", 90.0), Col::wide("Why")];
    widgets::lines_header(ui, &columns);
    let height = MOST_ROWS * size::ROW;
    egui::ScrollArea::vertical().id_salt(("clean", id)).max_height(height).show_rows(
        ui,
        size::ROW,
        list.len(),
        |ui, rows| {
            for gone in list.get(rows).unwrap_or_default() {
                widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
                    0 => widgets::cell_mono(ui, &format!("{}:{}", gone.model, gone.version)),
                    1 => widgets::cell_mono(ui, &format::bytes(gone.n_bytes)),
                    2 => widgets::cell_text(ui, &gone.actor),
                    _ if gone.reason.is_empty() => widgets::cell_none(ui),
                    _ => widgets::cell_text(ui, &widgets::sentence(&gone.reason)),
                });
            }
        },
    );
}
