//! The page Models: models and their versions, aliases that can be moved back, comparison, packages.

mod card;
mod compare;
mod compare_view;
mod deploy;
mod detail;
mod dialogs;
mod govern;
mod history;
mod list;
mod names;
mod on_rows;
mod retention;
mod stages;
mod versions;
mod work;

use athanor_protocol::{
    api::{Event, ModelList, ModelVersions, RunGet},
    governance::Stage,
    names::RunId,
    registry::ModelVersion,
};
use egui::{CentralPanel, Frame, Margin, Panel, Ui};

use super::{Command, Cx, Go, Page, keep_panel_width, paged::Paged, panel_width};
use crate::{desk::Remote, format, icons::ph, theme::size, widgets};

use self::{card::Card, govern::Govern, history::RulesSent, on_rows::OnRows, retention::Retention, work::Work};
pub(crate) use self::{
    detail::{task_title, type_title},
    dialogs::{buttons, failure_note},
    names::{metric_title, value as metric_value},
};

/// The list's least, default and greatest width.
const LIST: [f32; 3] = [180.0, 224.0, 360.0];
/// Below this width there is one column only.
const ONE_COLUMN: f32 = 780.0;
/// Below this width the list and the details are narrower at first.
const NARROW: f32 = 1000.0;

/// What stands in place of the versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aside {
    /// A version's card.
    Card(u32),
    /// What happened to the model.
    History,
}

/// What a user asked for in this frame.
#[derive(Debug, Clone, PartialEq)]
enum Act {
    Model(String),
    Version(u32),
    Mark(u32),
    Compare(bool),
    Move { alias: String, version: Option<u32>, label: String },
    AskAlias(u32),
    Verify(u32),
    Export(u32),
    Predict(u32),
    Deploy(u32),
    RollOut(u32),
    RollBack,
    AskStage(u32, Stage),
    AskDelete(u32),
    Restore(u32),
    Aside(Option<Aside>),
    Import,
    Run(RunId),
    MoreVersions,
    Again,
}

/// The page Models.
#[derive(Default)]
pub struct ModelsPage {
    models: Paged<ModelList>,
    versions: Paged<ModelVersions>,
    model: Option<String>,
    version: Option<u32>,
    search: String,
    /// Versions that are to be compared, in the order in which they were marked; at most two.
    marked: Vec<u32>,
    comparing: bool,
    all_params: bool,
    run: Remote<RunGet>,
    pair: [Remote<RunGet>; 2],
    work: Work,
    govern: Govern,
    rules: RulesSent,
    retention: Retention,
    aside: Option<Aside>,
    card: Card,
    on_rows: OnRows,
}

impl ModelsPage {
    fn chosen(&self) -> Option<&ModelVersion> {
        let version = self.version?;
        self.versions.items().iter().find(|item| item.version == version)
    }

    fn keep(&mut self, cx: &mut Cx<'_>) {
        self.models.keep(cx.desk, &ModelList::default());
        if self.models.has_more() && self.models.error().is_none() && self.models.items().len() < 5_000 {
            // The search looks through all names.
            self.models.more(cx.desk);
        }
        let known = |name: &String| self.models.items().iter().any(|model| model.name == *name);
        if self.models.is_loaded() && !self.models.has_more() && !self.model.as_ref().is_some_and(known) {
            let newest = self.models.items().iter().max_by_key(|model| model.updated_at_millis);
            let name = newest.map(|model| model.name.clone());
            self.choose(name);
        }
        let Some(model) = self.model.clone() else { return };
        self.govern.keep(cx, &model);
        self.versions.keep(cx.desk, &ModelVersions { model, after: None });
        if self.chosen().is_none() {
            self.version = self.versions.items().first().map(|item| item.version);
        }
        if let Some(run) = self.chosen().and_then(|item| item.run_id.clone()) {
            self.run.keep(cx.desk, &RunGet { run });
        }
    }

    fn choose(&mut self, model: Option<String>) {
        if self.model != model {
            self.model = model;
            self.version = None;
            self.marked.clear();
            self.comparing = false;
            self.aside = None;
        }
    }

    /// The version that production goes back to.
    fn back_to(&self) -> Option<u32> {
        let history = self.model.as_deref().and_then(|model| self.govern.of(model));
        stages::back_to(self.versions.items(), history).map(|(to, _)| to)
    }

    fn find(&self, version: u32) -> Option<&ModelVersion> {
        self.versions.items().iter().find(|item| item.version == version)
    }

    fn do_it(&mut self, act: Act, cx: &mut Cx<'_>) {
        let model = self.model.clone().unwrap_or_default();
        match act {
            Act::Model(name) => self.choose(Some(name)),
            Act::Version(version) => self.version = Some(version),
            Act::Mark(version) => match self.marked.iter().position(|marked| *marked == version) {
                Some(at) => {
                    self.marked.remove(at);
                }
                None => {
                    // A third one takes the place of the one that was marked first.
                    if self.marked.len() == 2 {
                        self.marked.remove(0);
                    }
                    self.marked.push(version);
                }
            },
            Act::Compare(on) => self.comparing = on,
            Act::Move { alias, version: Some(version), label } if self.is_refused(&model, &alias, version) => {
                self.govern.ask_stage(version, Stage::Approved, Some((alias, label)));
            }
            Act::RollBack => self.roll_back(cx, &model),
            Act::AskStage(version, stage) => self.govern.ask_stage(version, stage, None),
            Act::AskDelete(version) => {
                if let Some(item) = self.find(version).cloned() {
                    self.govern.ask_delete(&item);
                }
            }
            Act::Restore(version) => self.govern.restore(cx, &model, version),
            Act::Aside(aside) => self.aside = aside,
            Act::Move { alias, version, label } => self.work.move_alias(cx, &model, &alias, version, label),
            Act::AskAlias(version) => self.work.ask_alias(version),
            Act::Verify(version) => self.work.verify(cx, &model, version),
            // The engine would refuse what writes; buttons say so before.
            Act::Export(_) | Act::Predict(_) | Act::Deploy(_) | Act::Import if !cx.desk.may_change() => {
                cx.toasts.info("This workspace can only be looked at");
            }
            Act::Export(version) => self.work.export(cx, &model, version),
            Act::Predict(version) => self.work.ask_predict(&model, version),
            Act::Deploy(version) => self.work.deploying.ask(&model, version),
            Act::RollOut(version) => cx.go.push(Go::RollOut { model, version }),
            Act::Import => self.work.ask_import(),
            Act::Run(run) => cx.go.push(Go::Run(run)),
            Act::MoreVersions => self.versions.more(cx.desk),
            Act::Again => self.invalidate(),
        }
    }

    /// Whether an alias of the model may not point to a version, as far as it is known here; the engine looks again.
    fn is_refused(&self, model: &str, alias: &str, version: u32) -> bool {
        self.find(version).is_some_and(|item| self.govern.refuses(model, alias, item.stage))
    }

    fn roll_back(&mut self, cx: &mut Cx<'_>, model: &str) {
        let items = self.versions.items();
        match stages::back_to(items, self.govern.of(model)) {
            Some((_, true)) => self.govern.roll_back(cx, model),
            Some((to, false)) => {
                if let Some(act) =
                    items.iter().find(|item| is_production(item)).map(|item| versions::roll_back_to(item, to))
                {
                    self.do_it(act, cx);
                }
            }
            None => {}
        }
    }

    fn invalidate(&mut self) {
        self.models.invalidate();
        self.govern.history.invalidate();
        self.card.invalidate();
        self.versions.invalidate();
        self.run.invalidate();
        for run in &mut self.pair {
            run.invalidate();
        }
    }

    fn body(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>) {
        if !self.models.is_loaded() {
            return self.not_loaded(ui, cx, acts);
        }
        if self.models.items().is_empty() {
            return self.empty(ui, cx, acts);
        }
        if ui.available_width() < ONE_COLUMN {
            super::scrolled(ui, "models-one-column", |ui| {
                self.model_choice(ui, acts);
                if self.comparing {
                    self.compare_ui(ui, cx, acts);
                } else if let Some(aside) = self.aside {
                    self.aside_ui(ui, cx, aside, acts);
                } else {
                    self.versions_card(ui, cx, acts, Some(320.0));
                    widgets::card(ui, |ui| self.detail_ui(ui, cx, acts));
                }
            });
            return;
        }
        let frame = Frame::new().fill(cx.theme.bg).inner_margin(Margin::symmetric(12, 16));
        let narrow = ui.available_width() < NARROW;
        let default = if narrow { LIST[0] + 8.0 } else { LIST[1] };
        let width = panel_width(cx.desk, "models", default);
        let shown = Panel::left("models-list")
            .resizable(true)
            .default_size(width)
            .size_range(LIST[0]..=LIST[2])
            .frame(frame)
            .show(ui, |ui| self.list_ui(ui, cx, acts));
        keep_panel_width(ui, cx.desk, "models", default, shown.response.rect.width());
        if self.comparing {
            super::scrolled(ui, "models-compare", |ui| self.compare_ui(ui, cx, acts));
            return;
        }
        if let Some(aside) = self.aside {
            super::scrolled(ui, "models-aside", |ui| self.aside_ui(ui, cx, aside, acts));
            return;
        }
        let [least, default, most] = size::INSPECTOR;
        let default = if narrow { least + 20.0 } else { default + 20.0 };
        let shown = Panel::right("models-detail")
            .resizable(true)
            .default_size(panel_width(cx.desk, "models.detail", default))
            .size_range(least..=most)
            .frame(Frame::new().fill(cx.theme.panel).inner_margin(0))
            .show(ui, |ui| {
                egui::ScrollArea::vertical().id_salt("models-detail").auto_shrink([false, false]).show(ui, |ui| {
                    Frame::new().inner_margin(size::CARD).show(ui, |ui| self.detail_ui(ui, cx, acts));
                });
            });
        keep_panel_width(ui, cx.desk, "models.detail", default, shown.response.rect.width());
        CentralPanel::default().frame(Frame::new().inner_margin(size::GAP)).show(ui, |ui| {
            self.versions_card(ui, cx, acts, None);
        });
    }

    fn aside_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, aside: Aside, acts: &mut Vec<Act>) {
        match aside {
            Aside::Card(version) => self.card_ui(ui, cx, version, acts),
            Aside::History => self.history_ui(ui, cx, acts),
        }
    }

    fn not_loaded(&self, ui: &mut Ui, cx: &Cx<'_>, acts: &mut Vec<Act>) {
        Frame::new().inner_margin(size::PAGE).show(ui, |ui| {
            if let Some(failure) = self.models.error() {
                if widgets::failure(ui, failure) {
                    acts.push(Act::Again);
                }
            } else if self.models.slow(cx.desk) {
                widgets::loading(ui, "Loading models");
            }
        });
    }

    fn empty(&self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>) {
        let text = "A model gets here when a workflow with a Register node runs, when you register what a run trained \
                    on its page, or when you import a package file.";
        if widgets::empty_state(ui, ph::CUBE, "No models yet", text, Some((ph::TREE_STRUCTURE, "Open the workflow"))) {
            cx.go.push(Go::To(super::Route::Workflow));
        }
        if !cx.desk.may_change() {
            return;
        }
        ui.vertical_centered(|ui| {
            if widgets::quiet(ui, ph::DOWNLOAD_SIMPLE, "Import a model").clicked() {
                acts.push(Act::Import);
            }
        });
    }
}

impl Page for ModelsPage {
    fn title(&self) -> String {
        "Models".to_owned()
    }

    fn fact(&self, _: &Cx<'_>) -> String {
        if self.models.is_loaded() { format::plural(self.models.items().len() as u64, "model") } else { String::new() }
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.add_enabled_ui(cx.desk.may_change(), |ui| {
            let response = widgets::secondary(ui, ph::DOWNLOAD_SIMPLE, "Import");
            if response.on_hover_text("Register a model package from a file").clicked() {
                self.work.ask_import();
            }
        });
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.keep(cx);
        let mut acts = vec![];
        self.body(ui, cx, &mut acts);
        let model = self.model.clone().unwrap_or_default();
        self.work.ui(ui, cx, &model, self.versions.items());
        self.govern.dialogs_ui(ui, cx, &model, self.versions.items());
        self.retention.dialogs_ui(ui, cx);
        for act in acts {
            self.do_it(act, cx);
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        let model = self.model.clone().unwrap_or_default();
        let mut changed = self.work.take(cx);
        changed |= self.govern.take(cx, &model);
        changed |= self.rules.take(cx);
        changed |= self.retention.take(cx);
        self.card.take(cx);
        self.on_rows.take(cx);
        for (alias, version, label) in std::mem::take(&mut self.govern.promoted) {
            self.work.move_alias(cx, &model, &alias, Some(version), label);
        }
        if changed {
            self.invalidate();
        }
    }

    fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        match event {
            Event::ModelsChanged {} | Event::Lagged {} => self.invalidate(),
            Event::WorkspaceChanged { .. } => {
                self.work.give_up(cx);
                *self = Self::default();
            }
            _ => {}
        }
    }

    fn open(&mut self, go: &Go, _: &mut Cx<'_>) {
        if let Go::Model(name) = go {
            self.search.clear();
            self.choose(Some(name.clone()));
            self.models.invalidate();
        }
    }

    fn commands(&self, cx: &Cx<'_>) -> Vec<Command> {
        let mut commands = vec![];
        if cx.desk.may_change() {
            commands.push(Command::new("models.import", "Import a model", ph::DOWNLOAD_SIMPLE, ""));
        }
        let Some(item) = self.chosen() else { return commands };
        let name = format!("{} version {}", item.model, item.version);
        if cx.desk.may_change() && !is_production(item) {
            let title = format!("Promote {name} to production");
            commands.push(Command::new("models.promote", title, ph::ARROW_FAT_LINE_UP, ""));
            if self.versions.items().iter().any(is_production) {
                commands.push(Command::new("models.roll_out", format!("Roll out {name}"), ph::ARROWS_SPLIT, ""));
            }
        }
        if cx.desk.may_change() && self.back_to().is_some() {
            let title = format!("Roll back {}", item.model);
            commands.push(Command::new("models.roll_back", title, ph::ARROW_COUNTER_CLOCKWISE, ""));
        }
        if cx.desk.may_change() {
            for (id, stage, icon) in [
                ("models.approve", Stage::Approved, ph::CHECK_CIRCLE),
                ("models.reject", Stage::Rejected, ph::X_CIRCLE),
            ] {
                if item.stage != stage {
                    commands.push(Command::new(id, format!("{} {name}", stages::verb(stage)), icon, ""));
                }
            }
        }
        commands.push(Command::new("models.card", format!("Show the card of {name}"), ph::ARTICLE, ""));
        let title = format!("Show the history of {}", item.model);
        if cx.desk.may_change() {
            commands.push(Command::new("models.clean", "Clean versions", ph::BROOM, ""));
        }
        commands.push(Command::new("models.history", title, ph::CLOCK_COUNTER_CLOCKWISE, ""));
        commands.push(Command::new("models.verify", format!("Verify {name}"), ph::SEAL_CHECK, ""));
        commands.push(Command::new("models.export", format!("Export {name}"), ph::EXPORT, ""));
        commands.push(Command::new("models.predict", format!("Predict a table with {name}"), ph::TABLE, ""));
        if self.marked.len() == 2 {
            commands.push(Command::new("models.compare", "Compare the marked versions", ph::SCALES, ""));
        }
        commands
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        let Some(item) = self.chosen() else {
            if command == "models.import" {
                self.do_it(Act::Import, cx);
            }
            return;
        };
        let version = item.version;
        if command == "models.clean" {
            return self.retention.look(cx);
        }
        let act = match command {
            "models.import" => Some(Act::Import),
            "models.promote" => Some(versions::promote(item)),
            "models.roll_back" => Some(Act::RollBack),
            "models.card" => Some(Act::Aside(Some(Aside::Card(version)))),
            "models.history" => Some(Act::Aside(Some(Aside::History))),
            "models.approve" => Some(Act::AskStage(version, Stage::Approved)),
            "models.reject" => Some(Act::AskStage(version, Stage::Rejected)),
            "models.roll_out" => Some(Act::RollOut(version)),
            "models.verify" => Some(Act::Verify(version)),
            "models.export" => Some(Act::Export(version)),
            "models.predict" => Some(Act::Predict(version)),
            "models.compare" => Some(Act::Compare(true)),
            _ => None,
        };
        if let Some(act) = act {
            self.do_it(act, cx);
        }
    }
}

fn is_production(version: &ModelVersion) -> bool {
    version.aliases.iter().any(|alias| alias == athanor_protocol::registry::PRODUCTION)
}
