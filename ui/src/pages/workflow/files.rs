//! Documents and the engine: open, keep unsaved changes, save, rename, import, export.

use std::rc::Rc;

use athanor_protocol::{
    Code, Failure,
    api::{
        Link, Pick, PickKind, Request, WorkflowDelete, WorkflowDiscard, WorkflowDoc, WorkflowDraft, WorkflowExport,
        WorkflowImport, WorkflowList, WorkflowLoad, WorkflowRename, WorkflowSave,
    },
    workflow::Workflow,
};

use super::{WorkflowPage, doc::Document, editor::Editor, scene::place_all};
use crate::{
    desk::{Desk, Remote, Ticket},
    pages::Cx,
};

/// Unsaved changes are kept so long after the first of them.
const KEEP_SECS: f64 = 0.8;
/// What is remembered of the last open workflow.
const MEMORY: &str = "workflow.open";

/// A question in a dialog.
pub enum Dialog {
    /// Nothing is asked.
    None,
    /// A name to save under; the document keeps the other one where `copy`.
    SaveAs {
        /// The name.
        name: String,
    },
    /// Another name.
    Rename {
        /// The name.
        name: String,
    },
    /// Somebody saved since.
    Conflict {
        /// What the engine said.
        failure: Failure,
    },
    /// Start from a table.
    Starter(Box<super::starter::Starter>),
}

struct Saving {
    ticket: Ticket<WorkflowSave>,
    what: Rc<Workflow>,
    name: String,
}

/// What is under way with the engine.
pub struct Files {
    /// The saved workflows.
    pub list: Remote<WorkflowList>,
    /// The open question.
    pub dialog: Dialog,
    load: Option<(String, Ticket<WorkflowLoad>, f64)>,
    save: Option<Saving>,
    rename: Option<(String, Ticket<WorkflowRename>)>,
    delete: Option<(String, Option<String>, Ticket<WorkflowDelete>)>,
    pick: Option<(bool, Ticket<Pick>)>,
    import: Option<Ticket<WorkflowImport>>,
    export: Option<Ticket<WorkflowExport>>,
    draft: Option<(Ticket<WorkflowDraft>, u64)>,
    drafted: u64,
    due: Option<f64>,
    restored: bool,
    /// Why a workflow could not be opened, and which.
    pub failed: Option<(String, Failure)>,
    /// Whether that is because of its unsaved changes alone.
    pub draft_failed: bool,
    /// Whether unsaved changes were found when the workflow was opened.
    pub recovered: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            list: Remote::default(),
            dialog: Dialog::None,
            load: None,
            save: None,
            rename: None,
            delete: None,
            pick: None,
            import: None,
            export: None,
            draft: None,
            drafted: 0,
            due: None,
            restored: false,
            failed: None,
            draft_failed: false,
            recovered: false,
        }
    }
}

impl Files {
    /// The workflow that is being opened, where that takes long.
    pub fn loading(&self, desk: &Desk) -> Option<&str> {
        self.load.as_ref().filter(|(.., at)| desk.now_secs() - at > 0.25).map(|(name, ..)| name.as_str())
    }

    /// Whether a workflow is being opened.
    pub fn is_loading(&self) -> bool {
        self.load.is_some()
    }

    /// Whether it is being saved.
    pub fn is_saving(&self) -> bool {
        self.save.is_some()
    }

    /// Seconds until unsaved changes are kept.
    pub fn wait(&self, now: f64) -> Option<f64> {
        self.due.map(|due| (due - now).max(0.0))
    }

    fn file(name: &str, kind: PickKind) -> Pick {
        Pick {
            kind,
            title: if kind == PickKind::Save { "Save the workflow as a file" } else { "Open a workflow file" }
                .to_owned(),
            filter_name: "Workflows".to_owned(),
            extensions: vec!["json".to_owned()],
            file_name: format!("{name}.json"),
            multiple: false,
        }
    }
}

/// Reads an answer of the engine; the document, what was saved, and whether there were unsaved changes.
///
/// # Errors
/// If the saved document or its draft cannot be read. A draft that a newer program kept is nothing to pass over: the next
/// edit would take its place.
fn read(doc: &WorkflowDoc, page: &WorkflowPage) -> Result<(Document, bool), Failure> {
    let saved = if doc.json.is_empty() { None } else { Some(Workflow::from_json(&doc.json)?) };
    let draft = doc.draft.as_deref().map(Workflow::from_json);
    let (now, recovered) = match (draft, &saved) {
        (Some(Ok(draft)), saved) => {
            let differs = Some(&draft) != saved.as_ref();
            (draft, differs)
        }
        (Some(Err(failure)), None) => return Err(failure),
        (Some(Err(failure)), Some(_)) => {
            let message = format!("its unsaved changes cannot be read: {}", failure.message);
            return Err(Failure { message, ..failure });
        }
        (None, Some(saved)) => (saved.clone(), false),
        (None, None) => (Workflow::empty(doc.name.clone()), false),
    };
    let mut now = now;
    let same = saved.as_ref() == Some(&now);
    place_all(&mut now, &page.catalogue);
    let saved = if same { Some(now.clone()) } else { saved };
    Ok((Document::new(&doc.name, Some(doc.revision), now, saved), recovered))
}

impl WorkflowPage {
    /// Opens a saved workflow.
    pub fn load(&mut self, name: &str, cx: &mut Cx<'_>) {
        self.flush(cx.desk);
        self.files.restored = true;
        let ticket = cx.desk.ask(WorkflowLoad { name: name.to_owned() });
        self.files.load = Some((name.to_owned(), ticket, cx.desk.now_secs()));
        self.files.failed = None;
        self.files.draft_failed = false;
    }

    /// Drops unsaved changes that cannot be read, and opens what was saved.
    pub fn load_saved(&mut self, name: &str, cx: &mut Cx<'_>) {
        cx.desk.tell(WorkflowDiscard { name: name.to_owned() }.into());
        self.load(name, cx);
    }

    /// Opens the workflow that was open last.
    pub fn restore(&mut self, cx: &mut Cx<'_>) {
        if self.files.restored || self.editor.is_some() || cx.desk.workspace().is_none() {
            return;
        }
        self.files.restored = true;
        if let Some(name) = cx.desk.remembered(MEMORY).filter(|name| !name.is_empty()).map(str::to_owned) {
            self.load(&name, cx);
        }
    }

    fn show(&mut self, doc: Document, cx: &mut Cx<'_>) {
        self.opened += 1;
        cx.desk.remember(MEMORY, &doc.name);
        self.files.drafted = doc.version();
        self.files.due = None;
        self.files.draft = None;
        self.files.failed = None;
        self.editor = Some(Editor::new(doc, Rc::clone(&self.catalogue), self.opened));
    }

    /// Takes over what the engine gave.
    pub fn take_doc(&mut self, doc: &WorkflowDoc, cx: &mut Cx<'_>) {
        match read(doc, self) {
            Ok((document, recovered)) => {
                self.show(document, cx);
                self.files.recovered = recovered;
            }
            Err(mut failure) => {
                self.editor = None;
                self.files.draft_failed = doc.draft.is_some() && Workflow::from_json(&doc.json).is_ok();
                if failure.code == Code::TooLarge {
                    failure = failure.hint("divide it into several workflows in a text editor, then open them");
                }
                self.files.failed = Some((doc.name.clone(), failure));
            }
        }
    }

    /// Begins an empty workflow under a name that is free.
    pub fn begin(&mut self, name: Option<&str>, content: Option<Workflow>, cx: &mut Cx<'_>) {
        self.flush(cx.desk);
        self.files.restored = true;
        let base = name.unwrap_or("untitled");
        let taken = |name: &str| {
            self.files.list.value().is_some_and(|list| list.items.iter().any(|entry| entry.name == name))
                || self.editor.as_ref().is_some_and(|editor| editor.doc.name == name)
        };
        let name = if taken(base) {
            (2u32..).map(|n| format!("{base}-{n}")).find(|name| !taken(name)).unwrap_or_default()
        } else {
            base.to_owned()
        };
        let mut workflow = content.unwrap_or_else(|| Workflow::empty(name.clone()));
        workflow.name.clone_from(&name);
        place_all(&mut workflow, &self.catalogue);
        let is_empty = workflow.nodes.is_empty();
        self.show(Document::new(&name, Some(0), workflow, None), cx);
        self.files.recovered = false;
        if !is_empty {
            self.files.drafted = 0;
        }
    }

    /// Saves, or asks for a name where the document never had one of its own.
    pub fn save(&mut self, cx: &mut Cx<'_>) {
        let Some(editor) = &self.editor else { return };
        if !editor.doc.was_saved() && editor.doc.name.starts_with("untitled") {
            self.files.dialog = Dialog::SaveAs { name: editor.doc.now().name.clone() };
            return;
        }
        let (name, expected) = (editor.doc.name.clone(), editor.doc.revision);
        self.save_as(&name, expected, cx);
    }

    /// Saves under a name; `expected` is the revision that may be overwritten, `None` any.
    pub fn save_as(&mut self, name: &str, expected: Option<u64>, cx: &mut Cx<'_>) {
        let Some(editor) = &mut self.editor else { return };
        if !cx.desk.may_change() {
            cx.toasts.info("This workspace can be looked at but not changed");
            return;
        }
        if self.files.save.is_some() {
            return;
        }
        let mut what = editor.doc.share();
        if what.name != name {
            let mut named = (*what).clone();
            name.clone_into(&mut named.name);
            what = Rc::new(named);
        }
        let ticket = cx.desk.ask(WorkflowSave { name: name.to_owned(), json: what.to_json(), expected });
        self.files.save = Some(Saving { ticket, what, name: name.to_owned() });
    }

    /// Sends unsaved changes to the engine now.
    pub fn flush(&mut self, desk: &mut Desk) {
        let Some(editor) = &self.editor else { return };
        if editor.doc.version() == self.files.drafted || !desk.may_change() || self.files.draft.is_some() {
            // One at a time: the answer that is awaited is followed by the next.
            let waits = self.files.draft.is_some() && editor.doc.version() != self.files.drafted;
            if !waits || !desk.may_change() {
                return;
            }
        }
        let version = editor.doc.version();
        let name = editor.doc.name.clone();
        if editor.doc.is_saved() {
            desk.tell(WorkflowDiscard { name }.into());
            self.files.drafted = version;
        } else {
            let ticket = desk.ask(WorkflowDraft { name, json: editor.doc.now().to_json() });
            self.files.draft = Some((ticket, version));
            self.files.drafted = version;
        }
        self.files.due = None;
    }

    /// Takes in what has come, and keeps unsaved changes where it is time to.
    pub fn keep_files(&mut self, cx: &mut Cx<'_>) {
        self.keep_draft(cx);
        if let Some((name, ticket, _)) = &self.files.load
            && let Some(result) = cx.desk.take(*ticket)
        {
            let name = name.clone();
            self.files.load = None;
            match result {
                Ok(doc) => self.take_doc(&doc, cx),
                // The last open one may be of another workspace: that is no failure to speak of.
                Err(failure) if failure.code == Code::NotFound && self.editor.is_none() && self.opened == 0 => {
                    cx.desk.remember(MEMORY, "");
                }
                Err(failure) => self.files.failed = Some((name, failure)),
            }
        }
        self.keep_save(cx);
        self.keep_names(cx);
        self.keep_picks(cx);
    }

    fn keep_draft(&mut self, cx: &mut Cx<'_>) {
        if let Some((ticket, _)) = self.files.draft
            && let Some(result) = cx.desk.take(ticket)
        {
            self.files.draft = None;
            if let Err(failure) = result {
                // Tried again a moment later; said once, since messages with the same words are one message.
                self.files.drafted = 0;
                self.files.due = Some(cx.desk.now_secs() + 3.0);
                // Of an engine that is away the frame tells already.
                if *cx.desk.link() == Link::Up {
                    cx.toasts.failure(&failure);
                }
            }
        }
        let Some(editor) = &self.editor else { return };
        if editor.doc.version() == self.files.drafted || !cx.desk.may_change() {
            return;
        }
        let due = *self.files.due.get_or_insert(cx.desk.now_secs() + KEEP_SECS);
        if self.files.draft.is_none() && (cx.desk.now_secs() >= due || self.frames_unseen > 1) {
            self.flush(cx.desk);
        }
    }

    fn keep_save(&mut self, cx: &mut Cx<'_>) {
        let Some(saving) = &self.files.save else { return };
        let Some(result) = cx.desk.take(saving.ticket) else { return };
        let Some(saving) = self.files.save.take() else { return };
        let Some(editor) = &mut self.editor else { return };
        match result {
            Ok(saved) => {
                let old = editor.doc.name.clone();
                if editor.doc.name != saving.name {
                    // The other document keeps what was saved of it.
                    cx.desk.tell(WorkflowDiscard { name: old }.into());
                    editor.doc.name.clone_from(&saving.name);
                    cx.desk.remember(MEMORY, &saving.name);
                }
                if editor.doc.now().name != saving.name {
                    let name = saving.name.clone();
                    editor.edit("Save as", None, super::doc::Touch::Places, |w| w.name = name);
                }
                editor.doc.mark_saved(saving.what, saved.revision);
                if editor.doc.is_saved() {
                    self.files.drafted = editor.doc.version();
                    self.files.due = None;
                }
                self.files.recovered = false;
                self.files.list.invalidate();
                cx.toasts.ok(format!("Saved {}", saving.name));
            }
            Err(failure) if failure.code == Code::Conflict => self.files.dialog = Dialog::Conflict { failure },
            Err(failure) => cx.toasts.failure(&failure),
        }
    }

    fn keep_names(&mut self, cx: &mut Cx<'_>) {
        if let Some((to, ticket)) = &self.files.rename
            && let Some(result) = cx.desk.take(*ticket)
        {
            let to = to.clone();
            self.files.rename = None;
            match (result, &mut self.editor) {
                (Ok(_), Some(editor)) => {
                    let from = std::mem::replace(&mut editor.doc.name, to.clone());
                    let was_saved = editor.doc.is_saved();
                    let name = to.clone();
                    editor.edit("Rename", None, super::doc::Touch::Places, |w| w.name = name);
                    if was_saved && let Some(revision) = editor.doc.revision {
                        let now = editor.doc.share();
                        editor.doc.mark_saved(now, revision);
                        self.files.drafted = editor.doc.version();
                    }
                    cx.desk.remember(MEMORY, &to);
                    cx.toasts.ok(format!("{from} is called {to} now"));
                }
                (Ok(_), None) => {}
                (Err(failure), _) => cx.toasts.failure(&failure),
            }
        }
        if let Some((name, json, ticket)) = &self.files.delete
            && let Some(result) = cx.desk.take(*ticket)
        {
            let (name, json) = (name.clone(), json.clone());
            self.files.delete = None;
            match result {
                Ok(_) => {
                    if let Some(json) = json {
                        let back = WorkflowSave { name: name.clone(), json, expected: None };
                        let again = WorkflowDelete { name: name.clone() };
                        cx.undo.push(format!("Delete {name}"), vec![back.into()], vec![again.into()]);
                    }
                    cx.toasts.undoable(format!("Deleted {name}"));
                    self.editor = None;
                    cx.desk.remember(MEMORY, "");
                    self.files.list.invalidate();
                }
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
    }

    fn keep_picks(&mut self, cx: &mut Cx<'_>) {
        if let Some((save, ticket)) = self.files.pick
            && let Some(result) = cx.desk.take(ticket)
        {
            self.files.pick = None;
            match result.map(|picked| picked.paths.into_iter().next()) {
                Ok(Some(path)) if save => {
                    if let Some(editor) = &self.editor {
                        self.files.export =
                            Some(cx.desk.ask(WorkflowExport { json: editor.doc.now().to_json(), path }));
                    }
                }
                Ok(Some(path)) => self.files.import = Some(cx.desk.ask(WorkflowImport { path })),
                Ok(None) => {}
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
        if let Some(ticket) = self.files.import
            && let Some(result) = cx.desk.take(ticket)
        {
            self.files.import = None;
            match result {
                Ok(doc) => {
                    self.flush(cx.desk);
                    self.files.list.invalidate();
                    self.take_doc(&doc, cx);
                    cx.toasts.ok(format!("Imported {}", doc.name));
                }
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
        if let Some(ticket) = self.files.export
            && let Some(result) = cx.desk.take(ticket)
        {
            self.files.export = None;
            match result {
                Ok(_) => cx.toasts.ok("The workflow was written to the file"),
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
    }

    /// Does what the menu of workflows offers. False where there is no such thing.
    pub fn file_command(&mut self, what: &str, cx: &mut Cx<'_>) -> bool {
        let open = self.editor.as_ref().map(|editor| (editor.doc.name.clone(), editor.doc.share()));
        match (what, open) {
            ("new", _) => self.begin(None, None, cx),
            ("from.table", _) => self.files.dialog = Dialog::Starter(Box::new(super::starter::Starter::new(None))),
            ("import", _) => self.files.pick = Some((false, cx.desk.ask(Files::file("workflow", PickKind::Open)))),
            ("save", Some(_)) => self.save(cx),
            ("save.as", Some((name, _))) => self.files.dialog = Dialog::SaveAs { name: format!("{name}-copy") },
            ("rename", Some((name, _))) => self.files.dialog = Dialog::Rename { name },
            ("duplicate.workflow", Some((name, workflow))) => {
                self.begin(Some(&format!("{name}-copy")), Some((*workflow).clone()), cx)
            }
            ("export", Some((name, _))) => {
                self.files.pick = Some((true, cx.desk.ask(Files::file(&name, PickKind::Save))))
            }
            ("discard", Some((name, _))) => {
                if let Some(editor) = &mut self.editor
                    && editor.doc.revert()
                {
                    editor.keep_scene();
                    editor.selection.clear();
                    cx.desk.tell(WorkflowDiscard { name }.into());
                    self.files.drafted = editor.doc.version();
                    self.files.recovered = false;
                    cx.toasts.undoable("Went back to what was saved");
                }
            }
            ("delete.workflow", Some((name, workflow))) => {
                // A draft on its way would bring the deleted one back.
                self.files.drafted = self.editor.as_ref().map_or(0, |editor| editor.doc.version());
                let json = Some(workflow.to_json());
                self.files.delete = Some((name.clone(), json, cx.desk.ask(WorkflowDelete { name })));
            }
            _ => return false,
        }
        true
    }

    /// Gives the open workflow another name.
    pub fn rename(&mut self, to: &str, cx: &mut Cx<'_>) {
        let Some(editor) = &mut self.editor else { return };
        let name = editor.doc.name.clone();
        if !editor.doc.was_saved() && self.files.drafted <= 1 {
            // Nothing of it is with the engine yet.
            to.clone_into(&mut editor.doc.name);
            let to = to.to_owned();
            editor.edit("Rename", None, super::doc::Touch::Places, |w| w.name = to);
            return;
        }
        self.flush(cx.desk);
        self.files.rename = Some((to.to_owned(), cx.desk.ask(WorkflowRename { name, to: to.to_owned() })));
    }

    /// The window closes: what is not saved goes to the engine at once.
    pub fn closing(&mut self, desk: &mut Desk) {
        let Some(editor) = &self.editor else { return };
        if !editor.doc.is_saved() && desk.may_change() && editor.doc.version() != self.files.drafted {
            let draft = WorkflowDraft { name: editor.doc.name.clone(), json: editor.doc.now().to_json() };
            self.files.drafted = editor.doc.version();
            desk.tell(Request::from(draft));
        }
    }
}
