//! The page Runs: the list, one run, runs side by side.

mod acts;
mod cards;
mod columns;
mod compare;
mod curve;
mod curves;
mod evaluation;
mod facts;
mod import;
mod list;
mod logs;
mod matrix;
mod naming;
mod notes;
mod parallel;
mod plots;
mod report_plots;
mod rows;
mod run;
mod scatter;
mod series;

use athanor_protocol::api::Event;
use egui::{Key, Ui};

use self::{
    acts::Acts, compare::Compare, import::Importing, list::List, naming::Colors, notes::Notes, plots::Cursor,
    run::RunPane, series::SeriesStore,
};
use super::{Command, Cx, Go, Page, Route};
use crate::{icons::ph, widgets};

/// What the views of this page share.
#[derive(Default)]
struct Shared {
    acts: Acts,
    series: SeriesStore,
    colors: Colors,
    cursor: Cursor,
    notes: Notes,
}

/// What is seen.
#[derive(Default)]
enum View {
    #[default]
    List,
    Run(Box<RunPane>),
    Compare(Box<Compare>),
}

/// The page Runs.
#[derive(Default)]
pub struct RunsPage {
    shared: Shared,
    list: List,
    importing: Importing,
    view: View,
    /// Where Back leads from a run that was opened out of a comparison.
    before: Option<Box<Compare>>,
    /// Whether the last frame ended with a field, a menu or a question to which the next Escape belongs.
    escape_is_taken: bool,
}

impl RunsPage {
    fn back(&mut self) {
        self.view = match (std::mem::take(&mut self.view), self.before.take()) {
            (View::Run(_), Some(compare)) => View::Compare(compare),
            _ => View::List,
        };
    }
}

impl Page for RunsPage {
    fn title(&self) -> String {
        match &self.view {
            View::List => "Runs".to_owned(),
            View::Run(run) => run.title(),
            View::Compare(compare) => compare.title(),
        }
    }

    fn fact(&self, cx: &Cx<'_>) -> String {
        match &self.view {
            View::List => self.list.fact(),
            View::Run(run) => run.fact(cx),
            View::Compare(_) => String::new(),
        }
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        match &mut self.view {
            View::List => {
                let selected = self.list.selected();
                let are_chosen = selected.len() >= 2;
                if are_chosen {
                    if widgets::primary(ui, ph::SCALES, &format!("Compare {}", selected.len())).clicked() {
                        cx.go.push(Go::Compare(selected));
                    }
                } else if widgets::primary(ui, ph::PLAY, "New run")
                    .on_hover_text("Choose a workflow and run it")
                    .clicked()
                {
                    cx.go.push(Go::To(Route::Workflow));
                }
                if !are_chosen && cx.desk.may_change() {
                    let button = widgets::secondary(ui, ph::DOWNLOAD_SIMPLE, "Import");
                    if button.on_hover_text("Take over runs from MLflow").clicked() {
                        self.importing.ask();
                    }
                }
            }
            View::Run(run) => run.actions(ui, &mut self.shared, cx),
            View::Compare(_) => {}
        }
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.shared.cursor.begin(ui);
        self.importing.ui(ui, cx);
        let mut back = false;
        match &mut self.view {
            View::List => self.list.ui(ui, &mut self.shared, cx),
            View::Run(run) => back = run.ui(ui, &mut self.shared, cx),
            View::Compare(compare) => back = compare.ui(ui, &mut self.shared, &self.list.rows, cx),
        }
        if let Some(wait) = self.shared.series.flush(cx.desk) {
            ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
        }
        // A field loses the focus before the page sees the key, so what counts is how the last frame ended.
        let escape = !self.escape_is_taken
            && !matches!(self.view, View::List)
            && ui.input(|input| input.key_pressed(Key::Escape));
        let modal = matches!(&self.view, View::Run(run) if run.asks());
        self.escape_is_taken = modal || ui.ctx().egui_wants_keyboard_input() || egui::Popup::is_any_open(ui.ctx());
        if back || (escape && !modal) {
            self.back();
        }
    }

    fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        match event {
            Event::WorkspaceChanged { .. } => {
                self.shared.notes.save_all(cx);
                self.shared.series.clear();
                self.list.clear();
                self.importing.give_up(cx);
                self.view = View::List;
                self.before = None;
            }
            Event::RunChanged { run } => {
                self.list.rows.changed(run);
                if run.status.is_final() {
                    self.shared.series.invalidate_run(&run.id);
                }
            }
            Event::RunMetrics { run, points } => {
                self.list.rows.metrics(run, points);
                self.shared.series.append(run, points);
            }
            Event::Lagged {} => {
                self.list.rows.invalidate();
                self.shared.series.invalidate();
            }
            Event::Closing {} => self.shared.notes.save_all(cx),
            _ => {}
        }
        match &mut self.view {
            View::List => {}
            View::Run(run) => run.event(event),
            View::Compare(compare) => compare.event(event),
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        let gone = self.shared.acts.poll(cx);
        if !gone.is_empty() {
            self.list.remove(&gone);
            if matches!(&self.view, View::Run(run) if gone.contains(run.id())) {
                self.back();
            }
        }
        self.shared.notes.tick(cx);
        if self.importing.take(cx) {
            self.list.rows.invalidate();
        }
    }

    fn open(&mut self, go: &Go, _cx: &mut Cx<'_>) {
        match go {
            Go::Run(id) => {
                if matches!(&self.view, View::Run(run) if run.id() == id) {
                    return;
                }
                self.before = match std::mem::take(&mut self.view) {
                    View::Compare(compare) => Some(compare),
                    _ => None,
                };
                self.view = View::Run(Box::new(RunPane::new(id.clone())));
            }
            Go::Compare(runs) => {
                self.before = None;
                self.view = View::Compare(Box::new(Compare::new(runs.clone())));
            }
            Go::RunsOf(name) => {
                self.view = View::List;
                self.list.show_workflow(name);
            }
            _ => {}
        }
    }

    fn commands(&self, cx: &Cx<'_>) -> Vec<Command> {
        let mut commands = vec![];
        match &self.view {
            View::List => {
                let n = self.list.selected().len();
                if n >= 2 {
                    commands.push(Command::new("runs.compare", format!("Compare {n} runs"), ph::SCALES, ""));
                }
                if n >= 1 && cx.desk.may_change() {
                    commands.push(Command::new("runs.tag", "Tag the selected runs", ph::TAG, ""));
                    commands.push(Command::new("runs.delete", "Delete the selected runs", ph::TRASH, "Del"));
                }
                if cx.desk.may_change() {
                    commands.push(Command::new("runs.import", "Import runs from MLflow", ph::DOWNLOAD_SIMPLE, ""));
                }
                commands.push(Command::new("runs.search", "Search runs", ph::MAGNIFYING_GLASS, "Ctrl F"));
            }
            View::Run(run) => {
                commands.push(Command::new("runs.back", "Back to the runs", ph::ARROW_LEFT, "Esc"));
                commands.extend(run.commands(cx));
            }
            View::Compare(_) => commands.push(Command::new("runs.back", "Back to the runs", ph::ARROW_LEFT, "Esc")),
        }
        commands
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        match command {
            "runs.back" => self.back(),
            "runs.import" => self.importing.ask(),
            "runs.search" => self.list.find(),
            "runs.tag" => self.list.begin_tag(),
            "runs.compare" => cx.go.push(Go::Compare(self.list.selected())),
            "runs.delete" => self.list.delete_selected(&mut self.shared, cx),
            other => {
                if let View::Run(run) = &mut self.view {
                    run.command(other, &mut self.shared, cx);
                }
            }
        }
    }
}
