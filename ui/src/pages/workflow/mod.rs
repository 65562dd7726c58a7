//! The page Workflow: the canvas with its palette, inspector, preview and model builder.
//!
//! The document is the truth (`doc::Document`); what stands where (`scene::Scene`) is made from it after each change, and
//! a frame draws no more than is seen.

mod bars;
mod builder;
mod canvas;
mod commands;
mod doc;
mod edit;
mod editor;
mod engine;
mod files;
mod inspector;
mod layout;
mod minimap;
mod paint;
mod params;
mod preview;
mod quick;
mod running;
mod scene;
mod shelf;
mod starter;
mod summary;

use std::rc::Rc;

use athanor_protocol::{api::Event, catalogue::Catalogue};
use egui::Ui;

use self::{editor::Editor, files::Files};
use super::{Command, Cx, Go, Page};
use crate::icons::ph;

thread_local! {
    static CATALOGUE: Rc<Catalogue> = Rc::new(Catalogue::builtin());
}

/// All kinds of nodes; made once.
fn catalogue() -> Rc<Catalogue> {
    CATALOGUE.with(Rc::clone)
}

/// The page Workflow.
pub struct WorkflowPage {
    editor: Option<Editor>,
    files: Files,
    catalogue: Rc<Catalogue>,
    opened: u64,
    frames_unseen: u32,
    inspector_open: bool,
}

impl Default for WorkflowPage {
    fn default() -> Self {
        Self {
            editor: None,
            files: Files::default(),
            catalogue: catalogue(),
            opened: 0,
            frames_unseen: 0,
            inspector_open: true,
        }
    }
}

impl Page for WorkflowPage {
    fn title(&self) -> String {
        "Workflow".to_owned()
    }

    fn fact(&self, cx: &Cx<'_>) -> String {
        let Some(editor) = &self.editor else { return String::new() };
        let state = if self.files.is_saving() {
            "saving"
        } else if !cx.desk.may_change() {
            "read only"
        } else if editor.doc.is_saved() {
            "saved"
        } else if editor.doc.was_saved() {
            "changes not saved"
        } else {
            "not saved yet"
        };
        format!("{}, {state}", editor.doc.name)
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.actions_ui(ui, cx);
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.frames_unseen = 0;
        self.page_ui(ui, cx);
    }

    fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        match event {
            Event::WorkspaceChanged { .. } => *self = Self { opened: self.opened, ..Self::default() },
            Event::Closing {} => self.closing(cx.desk),
            Event::WorkflowsChanged {} => self.files.list.invalidate(),
            Event::DataChanged {} | Event::Lagged {} => {
                self.files.list.invalidate();
                if let Some(editor) = &mut self.editor {
                    editor.engine.invalidate();
                    editor.inspector.invalidate();
                }
            }
            _ => {}
        }
        if let Some(editor) = &mut self.editor
            && editor.running.event(event)
        {
            editor.engine.invalidate();
            editor.preview.invalidate();
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        self.frames_unseen = self.frames_unseen.saturating_add(1);
        self.keep_files(cx);
    }

    fn open(&mut self, go: &Go, cx: &mut Cx<'_>) {
        match go {
            Go::Workflow(name) => {
                let is_open = self.editor.as_ref().is_some_and(|editor| editor.doc.name == *name);
                if !is_open {
                    self.load(&name.clone(), cx);
                }
            }
            Go::NewWorkflow { table: None } => self.begin(None, None, cx),
            Go::NewWorkflow { table } => {
                self.files.dialog = files::Dialog::Starter(Box::new(starter::Starter::new(table.as_deref())));
            }
            _ => {}
        }
    }

    fn commands(&self, _cx: &Cx<'_>) -> Vec<Command> {
        let mut commands = vec![
            Command::new("flow.new", "New workflow", ph::FILE_PLUS, ""),
            Command::new("flow.from.table", "New workflow from a table", ph::TABLE, ""),
            Command::new("flow.import", "Import a workflow file", ph::DOWNLOAD_SIMPLE, ""),
        ];
        if let Some(editor) = &self.editor {
            for (id, title, icon, keys) in bars::FILE_COMMANDS {
                commands.push(Command::new(format!("flow.{id}"), title, icon, keys));
            }
            commands.extend(commands::list(editor));
        }
        for entry in self.files.list.value().into_iter().flat_map(|list| &list.items).take(50) {
            let id = format!("flow.open.{}", entry.name);
            commands.push(Command::new(id, format!("Open workflow {}", entry.name), ph::TREE_STRUCTURE, ""));
        }
        commands
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        let Some(what) = command.strip_prefix("flow.") else { return };
        if let Some(name) = what.strip_prefix("open.") {
            self.load(name, cx);
        } else if !self.file_command(what, cx)
            && let Some(editor) = &mut self.editor
        {
            commands::run(editor, what, cx);
        }
    }

    fn undo(&mut self, redo: bool, _cx: &mut Cx<'_>) -> bool {
        self.editor.as_mut().and_then(|editor| editor.undo(redo)).is_some()
    }
}
