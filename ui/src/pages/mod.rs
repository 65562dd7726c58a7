//! The places of the rail. Each is a page with its own state; they meet only through [`Cx`].

pub mod compute;
pub mod data;
pub mod endpoints;
pub mod home;
pub mod models;
pub mod paged;
mod paths;
pub mod runs;
pub mod settings;
pub mod workflow;

use athanor_protocol::{api::Event, names::RunId};
use egui::Ui;

use crate::{desk::Desk, icons::ph, theme::Theme, toasts::Toasts, undo::UndoStack};

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// Workspaces and the guided start.
    Home,
    /// Tables.
    Data,
    /// The canvas.
    Workflow,
    /// Runs.
    Runs,
    /// Registered models.
    Models,
    /// The endpoint and its keys.
    Endpoints,
    /// Devices.
    Compute,
    /// Settings.
    Settings,
}

impl Route {
    /// All, in the rail's order.
    pub const ALL: [Route; 8] = [
        Route::Home,
        Route::Data,
        Route::Workflow,
        Route::Runs,
        Route::Models,
        Route::Endpoints,
        Route::Compute,
        Route::Settings,
    ];

    /// What people read.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Data => "Data",
            Self::Workflow => "Workflow",
            Self::Runs => "Runs",
            Self::Models => "Models",
            Self::Endpoints => "Endpoints",
            Self::Compute => "Compute",
            Self::Settings => "Settings",
        }
    }

    /// Its icon.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Home => ph::HOUSE,
            Self::Data => ph::TABLE,
            Self::Workflow => ph::TREE_STRUCTURE,
            Self::Runs => ph::CHART_LINE,
            Self::Models => ph::CUBE,
            Self::Endpoints => ph::BROADCAST,
            Self::Compute => ph::CPU,
            Self::Settings => ph::GEAR_SIX,
        }
    }

    /// Whether it makes sense without an open workspace.
    pub const fn needs_workspace(self) -> bool {
        !matches!(self, Self::Home | Self::Compute | Self::Settings)
    }
}

/// Where to go, and what to open there.
#[derive(Debug, Clone, PartialEq)]
pub enum Go {
    /// A place as it was left.
    To(Route),
    /// A table, by its path.
    Table(String),
    /// Files that become tables; the last one is opened.
    Files(Vec<String>),
    /// A saved workflow, by its name.
    Workflow(String),
    /// A new workflow that begins with a table.
    NewWorkflow {
        /// The table's path; none begins empty.
        table: Option<String>,
    },
    /// A run.
    Run(RunId),
    /// Runs side by side.
    Compare(Vec<RunId>),
    /// A model.
    Model(String),
    /// The form that rolls a version of a model out.
    RollOut {
        /// The model.
        model: String,
        /// The version.
        version: u32,
    },
    /// Runs of a workflow.
    RunsOf(String),
}

impl Go {
    /// The place.
    pub const fn route(&self) -> Route {
        match self {
            Self::To(route) => *route,
            Self::Table(_) | Self::Files(_) => Route::Data,
            Self::Workflow(_) | Self::NewWorkflow { .. } => Route::Workflow,
            Self::Run(_) | Self::Compare(_) | Self::RunsOf(_) => Route::Runs,
            Self::Model(_) => Route::Models,
            Self::RollOut { .. } => Route::Endpoints,
        }
    }
}

/// What a page has at hand while it draws.
pub struct Cx<'a> {
    /// The connection.
    pub desk: &'a mut Desk,
    /// Messages.
    pub toasts: &'a mut Toasts,
    /// Undo of what the engine was told.
    pub undo: &'a mut UndoStack,
    /// Where to go after this frame.
    pub go: &'a mut Vec<Go>,
    /// The colours.
    pub theme: &'static Theme,
}

/// A command of the palette.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Names it to the page that offers it.
    pub id: String,
    /// What people read, a verb first.
    pub title: String,
    /// Its icon.
    pub icon: &'static str,
    /// Its keys, for example `Ctrl Enter`.
    pub keys: &'static str,
}

impl Command {
    /// A command.
    pub fn new(id: impl Into<String>, title: impl Into<String>, icon: &'static str, keys: &'static str) -> Self {
        Self { id: id.into(), title: title.into(), icon, keys }
    }
}

/// A place's page.
pub trait Page {
    /// The title in the top bar.
    fn title(&self) -> String;

    /// One muted fact beside it.
    fn fact(&self, _cx: &Cx<'_>) -> String {
        String::new()
    }

    /// At the right of the top bar, laid out from right to left: the primary action first.
    fn actions(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}

    /// The page itself. It fills what it is given, without margin.
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>);

    /// Something happened. Called for every page, also while it is not seen.
    fn event(&mut self, _event: &Event, _cx: &mut Cx<'_>) {}

    /// Called in every frame for every page, seen or not: for autosave and the like. Must be cheap.
    fn tick(&mut self, _cx: &mut Cx<'_>) {}

    /// Opens what the user wants to see here.
    fn open(&mut self, _go: &Go, _cx: &mut Cx<'_>) {}

    /// What the palette offers while this page is seen.
    fn commands(&self, _cx: &Cx<'_>) -> Vec<Command> {
        vec![]
    }

    /// Does one of them.
    fn run(&mut self, _command: &str, _cx: &mut Cx<'_>) {}

    /// Ctrl-Z and Ctrl-Shift-Z, for pages with an undo of their own: true when something was undone or redone.
    fn undo(&mut self, _redo: bool, _cx: &mut Cx<'_>) -> bool {
        false
    }
}

/// The width that a panel had when it was last seen, by its name.
pub fn panel_width(desk: &Desk, name: &str, default: f32) -> f32 {
    let width = desk.remembered(&format!("width.{name}")).and_then(|width| width.parse().ok());
    width.filter(|width: &f32| width.is_finite()).unwrap_or(default)
}

/// Remembers a panel's width once nobody drags it any more.
pub fn keep_panel_width(ui: &Ui, desk: &mut Desk, name: &str, default: f32, width: f32) {
    let resting = ui.input(|input| !input.pointer.any_down());
    if resting && (width - panel_width(desk, name, default)).abs() > 2.0 {
        desk.remember(&format!("width.{name}"), &format!("{width:.0}"));
    }
}

/// Draws the page's content in a column with the page's margin that scrolls up and down.
pub fn scrolled<R>(ui: &mut Ui, id: &str, add: impl FnOnce(&mut Ui) -> R) -> R {
    egui::ScrollArea::vertical()
        .id_salt(id)
        .auto_shrink([false, false])
        .show(ui, |ui| {
            egui::Frame::new()
                .inner_margin(egui::Margin::same(crate::theme::size::PAGE as i8))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    ui.spacing_mut().item_spacing.y = crate::theme::size::GAP;
                    add(ui)
                })
                .inner
        })
        .inner
}
