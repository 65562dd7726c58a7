//! One run: what it is, what can be done with it, and the tabs that look into it.

use athanor_protocol::{
    Code, Failure,
    api::{Event, ModelRegister, RunGet, RunView},
    names::{RunId, check_model_name},
    run::{RunStatus, RunSummary, StepState},
};
use egui::{Key, Modal, RichText, Ui};

use super::{
    Shared,
    curves::Curves,
    evaluation::Evaluation,
    facts,
    list::tag_text,
    logs::Logs,
    naming::{note_latest, run_name, short, took_millis},
};
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::{self, ph},
    pages::{Command, Cx, Go},
    theme::{self, font_size, size},
    widgets::{self, Kind},
};

/// A view into a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    #[default]
    Curves,
    System,
    Logs,
    Evaluation,
    Artifacts,
    Environment,
    Lineage,
}

impl Tab {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Curves, "Curves"),
        (Self::System, "System"),
        (Self::Logs, "Logs"),
        (Self::Evaluation, "Evaluation"),
        (Self::Artifacts, "Artifacts"),
        (Self::Environment, "Environment"),
        (Self::Lineage, "Lineage"),
    ];
}

#[derive(Default)]
struct RegisterDialog {
    open: bool,
    fresh: bool,
    name: String,
    node: Option<String>,
    ticket: Option<Ticket<ModelRegister>>,
    error: Option<Failure>,
}

#[derive(Default)]
struct NewTag {
    key: String,
    value: String,
}

/// One run.
pub(super) struct RunPane {
    id: RunId,
    view: Remote<RunGet>,
    tab: Tab,
    curves: Curves,
    system: Curves,
    logs: Logs,
    evaluation: Evaluation,
    artifacts: facts::Artifacts,
    register: RegisterDialog,
    new_tag: NewTag,
    note_open: bool,
    asked_at: f64,
    due: bool,
}

impl RunPane {
    /// A run by its id.
    pub(super) fn new(id: RunId) -> Self {
        Self {
            curves: Curves::new(id.clone(), false),
            system: Curves::new(id.clone(), true),
            logs: Logs::new(id.clone()),
            evaluation: Evaluation::new(id.clone()),
            artifacts: facts::Artifacts::default(),
            id,
            view: Remote::default(),
            tab: Tab::default(),
            register: RegisterDialog::default(),
            new_tag: NewTag::default(),
            note_open: false,
            asked_at: 0.0,
            due: false,
        }
    }

    /// Which run.
    pub(super) fn id(&self) -> &RunId {
        &self.id
    }

    /// Whether a question stands before the page.
    pub(super) fn asks(&self) -> bool {
        self.register.open
    }

    fn summary(&self) -> Option<&RunSummary> {
        self.view.value().map(|view| &view.detail.summary)
    }

    /// For the top bar.
    pub(super) fn title(&self) -> String {
        self.summary().map_or_else(|| format!("Run {}", short(&self.id)), run_name)
    }

    /// For the top bar.
    pub(super) fn fact(&self, cx: &Cx<'_>) -> String {
        let Some(run) = self.summary() else { return String::new() };
        let ago = format::ago(run.created_at_millis, cx.desk.now_millis());
        if run.attempt > 1 { format!("{ago}, attempt {}", run.attempt) } else { ago }
    }

    fn can_resume(run: &RunSummary) -> bool {
        matches!(run.status, RunStatus::Failed | RunStatus::Cancelled) && run.resumable
    }

    fn can_register(view: &RunView) -> bool {
        view.detail
            .steps
            .iter()
            .any(|step| step.kind.starts_with("train.") && matches!(step.state, StepState::Done | StepState::Cached))
    }

    /// The top bar's buttons.
    pub(super) fn actions(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        if !cx.desk.may_change() {
            return;
        }
        let Some(view) = self.view.value() else { return };
        let run = &view.detail.summary;
        let busy = shared.acts.busy();
        let (mut stop, mut resume, mut register) = (false, false, false);
        ui.add_enabled_ui(!busy, |ui| match run.status {
            RunStatus::Queued | RunStatus::Running => {
                stop = widgets::button(ui, Kind::Danger, Some(ph::STOP), "Stop").clicked();
            }
            RunStatus::Failed | RunStatus::Cancelled if run.resumable => {
                let hint = "Goes on from the last checkpoint and the steps that are done";
                resume = widgets::primary(ui, ph::PLAY, "Resume").on_hover_text(hint).clicked();
            }
            RunStatus::Finished if Self::can_register(view) => {
                register =
                    widgets::primary(ui, ph::CUBE, "Register").on_hover_text("Make its model a version").clicked();
            }
            _ => {}
        });
        if stop {
            shared.acts.cancel(cx, run);
        }
        if resume {
            shared.acts.resume(cx, run);
        }
        if run.status.is_final() && widgets::icon_button(ui, ph::TRASH, "Delete this run").clicked() {
            shared.acts.delete(cx, vec![self.id.clone()]);
        }
        if register {
            self.begin_register();
        }
    }

    /// For the palette.
    pub(super) fn commands(&self, cx: &Cx<'_>) -> Vec<Command> {
        let mut commands: Vec<Command> = Tab::ALL
            .iter()
            .map(|(_, title)| {
                Command::new(format!("run.tab.{title}"), format!("Show {}", title.to_lowercase()), ph::CHART_LINE, "")
            })
            .collect();
        let Some(view) = self.view.value().filter(|_| cx.desk.may_change()) else { return commands };
        let run = &view.detail.summary;
        if !run.status.is_final() {
            commands.push(Command::new("run.stop", "Stop this run", ph::STOP, ""));
        }
        if Self::can_resume(run) {
            commands.push(Command::new("run.resume", "Resume this run", ph::PLAY, ""));
        }
        if Self::can_register(view) {
            commands.push(Command::new("run.register", "Register its model", ph::CUBE, ""));
        }
        commands
    }

    /// Does one of them.
    pub(super) fn command(&mut self, command: &str, shared: &mut Shared, cx: &mut Cx<'_>) {
        let run = self.summary().cloned();
        match (command, run) {
            ("run.stop", Some(run)) => shared.acts.cancel(cx, &run),
            ("run.resume", Some(run)) => shared.acts.resume(cx, &run),
            ("run.register", Some(_)) => self.begin_register(),
            (other, _) => {
                let wanted = other.strip_prefix("run.tab.");
                if let Some((tab, _)) = Tab::ALL.iter().find(|(_, title)| wanted == Some(*title)) {
                    self.tab = *tab;
                }
            }
        }
    }

    fn begin_register(&mut self) {
        let Some(view) = self.view.value() else { return };
        let name = view.versions.first().map_or_else(|| view.detail.summary.workflow.clone(), |(name, _)| name.clone());
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        self.register = RegisterDialog { open: true, fresh: true, name, ..RegisterDialog::default() };
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::RunChanged { run } if run.id == self.id => {
                if let Some(view) = self.view.value_mut() {
                    view.detail.summary = (**run).clone();
                }
                self.due = true;
                self.evaluation.invalidate();
                if run.status.is_final() {
                    // A short run may have told its numbers before this page asked for their names.
                    self.curves.invalidate();
                    self.system.invalidate();
                }
            }
            Event::RunStep { run, progress } if *run == self.id => {
                if let Some(view) = self.view.value_mut() {
                    match view.progress.iter_mut().find(|step| step.node == progress.node) {
                        Some(step) => *step = progress.clone(),
                        None => view.progress.push(progress.clone()),
                    }
                    if let Some(step) = view.detail.steps.iter_mut().find(|step| step.node == progress.node) {
                        step.state = progress.state;
                        step.millis = progress.millis;
                    }
                }
                if matches!(progress.state, StepState::Done | StepState::Failed) {
                    self.due = true;
                    self.evaluation.invalidate();
                }
            }
            Event::RunMetrics { run, points } if *run == self.id => {
                if let Some(view) = self.view.value_mut() {
                    note_latest(&mut view.detail.summary.latest, points);
                }
                self.curves.metrics(points);
                self.system.metrics(points);
            }
            Event::RunLog { run } if *run == self.id => self.logs.more(),
            Event::ModelsChanged {} => self.due = true,
            Event::Lagged {} => {
                self.due = true;
                self.curves.invalidate();
                self.system.invalidate();
                self.logs.more();
                self.evaluation.invalidate();
            }
            _ => {}
        }
    }

    /// Draws it; true for Back.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) -> bool {
        let now = cx.desk.now_secs();
        if self.due {
            let wait = self.asked_at + 0.5 - now;
            if wait <= 0.0 {
                (self.due, self.asked_at) = (false, now);
                self.view.invalidate();
            } else {
                ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
            }
        }
        self.view.keep(cx.desk, &RunGet { run: self.id.clone() });
        if let Some(wait) = shared.notes.wait(now) {
            ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
        }
        let mut back = false;
        egui::Frame::new().inner_margin(egui::Margin::symmetric(size::PAGE as i8, 16)).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP + size::TINY_GAP;
            if let Some(failure) = self.view.error().cloned() {
                if failure.code == Code::NotFound {
                    let text =
                        "It was deleted here or in another window. Deleted runs can be brought back from the list.";
                    back = widgets::empty_state(
                        ui,
                        ph::TRASH,
                        "This run is no longer there",
                        text,
                        Some((ph::ARROW_LEFT, "Back to the runs")),
                    );
                    return;
                }
                if widgets::failure(ui, &failure) {
                    self.view.invalidate();
                }
            }
            if self.view.value().is_none() {
                if self.view.error().is_none() && self.view.slow(cx.desk) {
                    widgets::loading(ui, "Reading the run");
                }
                if widgets::link(ui, "Back to the runs").clicked() {
                    back = true;
                }
                return;
            }
            back |= self.header(ui, shared, cx);
            self.tabs(ui, shared, cx);
        });
        self.register_ui(ui, cx);
        back
    }

    fn header(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) -> bool {
        let mut back = false;
        let Some(view) = self.view.value() else { return false };
        let run = &view.detail.summary;
        let now = cx.desk.now_millis();
        let theme = cx.theme;
        let (mut removed, mut added) = (None, None);
        ui.horizontal_wrapped(|ui| {
            ui.set_min_height(size::CONTROL);
            back = widgets::icon_button(ui, ph::ARROW_LEFT, "Back to the runs").clicked();
            widgets::status_pill(ui, run.status);
            if let Some(millis) = took_millis(run, now) {
                ui.label(icons::text(ph::CLOCK, 15.0).color(theme.muted)).on_hover_text("How long the attempt took");
                ui.label(RichText::new(format::duration_millis(millis)).monospace().color(theme.muted));
                if !run.status.is_final() {
                    ui.ctx().request_repaint_after_secs(1.0);
                }
            }
            ui.label(icons::text(ph::CPU, 15.0).color(theme.muted)).on_hover_text("Where it ran");
            ui.label(RichText::new(&run.device).color(theme.muted));
            ui.label(icons::text(ph::FINGERPRINT, 15.0).color(theme.muted)).on_hover_text("The run's id");
            let id = RichText::new(run.id.as_str()).font(theme::mono(font_size::LABEL)).color(theme.muted);
            ui.add(egui::Label::new(id).selectable(true));
            for (key, value) in &run.tags {
                let text = tag_text(key, value);
                widgets::tag(ui, &text);
                if cx.desk.may_change() && small_x(ui, &format!("Remove the tag {text}")) {
                    removed = Some((key.clone(), value.clone()));
                }
            }
            if cx.desk.may_change() {
                added = self.new_tag.ui(ui);
                let text = if self.note_open { "Hide the note" } else { "Write a note" };
                if widgets::toggle_icon(ui, ph::NOTE_PENCIL, text, self.note_open).clicked() {
                    self.note_open = !self.note_open;
                }
            }
        });
        if let Some((key, value)) = removed {
            shared.acts.tag(cx, &self.id, &key, None, Some(value));
        }
        if let Some((key, value)) = added {
            let before = run.tags.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone());
            shared.acts.tag(cx, &self.id, &key, Some(value), before);
        }
        if !run.status.is_final() {
            progress(ui, view, cx);
        }
        if let Some(failure) = &run.failure {
            run_failure(ui, failure, run.status);
        }
        shared.notes.settle(&self.id, &view.detail.note);
        let note = shared.notes.text(&self.id).unwrap_or(&view.detail.note);
        if self.note_open || !note.is_empty() {
            let mut text = note.to_owned();
            let edit = egui::TextEdit::multiline(&mut text)
                .hint_text(RichText::new("What is worth knowing about this run").color(theme.faint))
                .margin(egui::Margin::symmetric(10, 7))
                .desired_rows(1)
                .desired_width(f32::INFINITY);
            let response = ui.add_enabled(cx.desk.may_change(), edit);
            response.widget_info(|| {
                let mut info = egui::WidgetInfo::labeled(egui::WidgetType::TextEdit, true, "Note");
                info.current_text_value = Some(text.clone());
                info
            });
            if response.changed() {
                shared.notes.write(&self.id, text, cx.desk.now_secs());
            }
            if response.lost_focus() {
                shared.notes.save(&self.id);
            }
            match shared.notes.error(&self.id).cloned() {
                Some(failure) => {
                    if widgets::failure(ui, &failure) {
                        shared.notes.save(&self.id);
                    }
                }
                None if shared.notes.unsaved(&self.id) => {
                    widgets::label(ui, "Saving…");
                }
                None => {}
            }
        }
        back
    }

    fn tabs(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        widgets::segments(ui, &mut self.tab, &Tab::ALL);
        let Self { view, tab, curves, system, logs, evaluation, artifacts, .. } = self;
        let Some(view) = view.value() else { return };
        let live = !view.detail.summary.status.is_final();
        match tab {
            Tab::Curves => curves.ui(ui, live, shared, cx),
            Tab::System => system.ui(ui, live, shared, cx),
            Tab::Logs => logs.ui(ui, live, cx),
            Tab::Evaluation => evaluation.ui(ui, live, cx),
            Tab::Artifacts => artifacts.ui(ui, view, cx),
            Tab::Environment => facts::environment(ui, view, cx),
            Tab::Lineage => facts::lineage(ui, view, cx),
        }
    }

    fn register_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        if let Some(ticket) = self.register.ticket
            && let Some(result) = cx.desk.take(ticket)
        {
            self.register.ticket = None;
            match result {
                Ok(done) => {
                    self.register.open = false;
                    let version = format!("{}:{}", done.version.model, done.version.version);
                    if done.existed {
                        cx.toasts.info(format!("This model is registered already, as {version}"));
                    } else {
                        cx.toasts.ok(format!("Registered as {version}"));
                    }
                    self.due = true;
                }
                Err(failure) => self.register.error = Some(failure),
            }
        }
        if !self.register.open {
            return;
        }
        let nodes: Vec<String> = self.view.value().map_or_else(Vec::new, |view| {
            let trained = view.detail.steps.iter().filter(|step| step.kind.starts_with("train."));
            trained.map(|step| step.node.clone()).collect()
        });
        let dialog = &mut self.register;
        if nodes.len() > 1 && dialog.node.is_none() {
            dialog.node = nodes.last().cloned();
        }
        let (mut go, mut close) = (false, false);
        let modal = Modal::new(egui::Id::new("register model")).frame(widgets::modal_frame(ui)).show(ui.ctx(), |ui| {
            ui.set_width(380.0);
            ui.label(RichText::new("Register the model").font(theme::semibold(font_size::TITLE)).color(cx.theme.text));
            ui.add_space(size::TINY_GAP);
            widgets::muted(ui, "It becomes the next version under this name, signed and ready to publish.");
            ui.add_space(size::SMALL_GAP);
            let name = widgets::text_field(ui, "Model name", &mut dialog.name, "breast-cancer");
            if std::mem::take(&mut dialog.fresh) {
                name.request_focus();
            }
            if name.changed() {
                dialog.error = None;
            }
            let bad = check_model_name(&dialog.name).err();
            if let (Some(bad), false) = (&bad, dialog.name.is_empty()) {
                ui.label(RichText::new(widgets::sentence(bad.reason)).size(font_size::LABEL + 0.5).color(cx.theme.bad));
            }
            if nodes.len() > 1 {
                let options: Vec<_> = nodes.iter().map(|node| (Some(node.clone()), node.clone())).collect();
                widgets::field(ui, "Which of the trained models", "", None, |ui| {
                    widgets::choice(ui, "register-node", "Which of the trained models", &mut dialog.node, &options);
                });
            }
            if let Some(failure) = &dialog.error {
                let text = RichText::new(widgets::sentence(&failure.message)).color(cx.theme.bad);
                ui.add(egui::Label::new(text).wrap().selectable(true));
                if let Some(hint) = &failure.hint {
                    widgets::muted(ui, &widgets::sentence(hint));
                }
            }
            ui.add_space(size::SMALL_GAP);
            let enter = ui.input(|input| input.key_pressed(Key::Enter));
            ui.horizontal(|ui| {
                let may = bad.is_none() && dialog.ticket.is_none();
                ui.add_enabled_ui(may, |ui| {
                    go = widgets::primary(ui, ph::CUBE, "Register model").clicked() || (enter && may);
                });
                close = widgets::button(ui, Kind::Secondary, None, "Cancel").clicked();
                if dialog.ticket.is_some() {
                    ui.add(egui::Spinner::new().size(16.0).color(cx.theme.accent));
                }
            });
        });
        if go {
            dialog.error = None;
            let ask = ModelRegister { run: self.id.clone(), node: dialog.node.clone(), name: dialog.name.clone() };
            dialog.ticket = Some(cx.desk.ask(ask));
        }
        if close || modal.should_close() {
            dialog.open = false;
        }
    }
}

impl NewTag {
    /// A button that opens two small fields; gives back the tag that was written.
    fn ui(&mut self, ui: &mut Ui) -> Option<(String, String)> {
        let button = widgets::icon_button(ui, ph::TAG, "Add a tag");
        let mut done = None;
        let mut close = false;
        egui::Popup::from_toggle_button_response(&button)
            .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
            .show(|ui| {
                ui.set_width(220.0);
                widgets::text_field(ui, "Tag", &mut self.key, "stage");
                widgets::text_field(ui, "Value (may be empty)", &mut self.value, "candidate");
                let enter = ui.input(|input| input.key_pressed(Key::Enter));
                ui.add_enabled_ui(!self.key.trim().is_empty(), |ui| {
                    if widgets::button(ui, Kind::Secondary, Some(ph::CHECK), "Set tag").clicked()
                        || (enter && ui.is_enabled())
                    {
                        done = Some((self.key.trim().to_owned(), self.value.trim().to_owned()));
                        close = true;
                    }
                });
            });
        if close {
            *self = Self::default();
            egui::Popup::close_all(ui.ctx());
        }
        done
    }
}

fn small_x(ui: &mut Ui, name: &str) -> bool {
    let theme = theme::Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(18.0), egui::Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, true, name));
    let ink = if response.hovered() { theme.text } else { theme.faint };
    icons::paint(ui, rect.center(), ph::X, 12.0, ink);
    widgets::focus_ring(ui, &response, rect);
    response.on_hover_text(name).clicked()
}

fn progress(ui: &mut Ui, view: &RunView, cx: &Cx<'_>) {
    let running = view.progress.iter().find(|step| step.state == StepState::Running);
    let n_done = view.progress.iter().filter(|step| matches!(step.state, StepState::Done | StepState::Cached)).count();
    let share = running.filter(|step| step.total > 0).map(|step| step.done as f32 / step.total as f32);
    ui.horizontal(|ui| {
        let text = match running {
            Some(step) if step.note.is_empty() => step.node.clone(),
            Some(step) => format!("{}: {}", step.node, step.note),
            None => "Waiting for a worker".to_owned(),
        };
        ui.label(RichText::new(text).font(theme::medium(font_size::BODY)).color(cx.theme.text));
        widgets::muted(ui, &format!("{} of {} steps done", n_done, view.progress.len()));
    });
    widgets::progress(ui, share, ui.available_width());
}

/// Why a run ended, in place.
fn run_failure(ui: &mut Ui, failure: &Failure, status: RunStatus) {
    let theme = theme::Theme::of(ui);
    let color = if status == RunStatus::Cancelled { theme.muted } else { theme.bad };
    egui::Frame::new()
        .fill(theme.tint(color))
        .stroke(egui::Stroke::new(1.0, theme::mix(theme.line, color, 0.4)))
        .corner_radius(theme::radius::CARD)
        .inner_margin(egui::Margin::symmetric(14, 10))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                ui.label(icons::text(ph::WARNING_CIRCLE, 18.0).color(color));
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 2.0;
                    let mut what = widgets::sentence(&failure.message);
                    if let Some(subject) = &failure.subject {
                        what = format!("{subject}: {what}");
                    }
                    let what = RichText::new(what).font(theme::medium(font_size::BODY)).color(theme.text);
                    ui.add(egui::Label::new(what).wrap().selectable(true));
                    if let Some(hint) = &failure.hint {
                        let hint = RichText::new(widgets::sentence(hint)).color(theme.muted);
                        ui.add(egui::Label::new(hint).wrap().selectable(true));
                    }
                });
            });
        });
}

/// Goes where a click in the lineage leads.
pub(super) fn go(cx: &mut Cx<'_>, go: Go) {
    cx.go.push(go);
}
