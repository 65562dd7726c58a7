//! The page around the canvas: top bar, notices, panels, the list of problems, dialogs, the empty state.

use athanor_protocol::api::WorkflowEntry;
use egui::{Align, CentralPanel, Frame, Layout, Margin, Panel, RichText, ScrollArea, Ui};

use super::{
    WorkflowPage,
    canvas::Look,
    commands,
    edit::Item,
    editor::{Editor, Place},
    files::Dialog,
    minimap,
    preview::PreviewAsk,
    quick::QuickDone,
    starter::StarterDone,
};
use crate::{
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, radius, size},
    toasts::Tone,
    widgets::{self, DialogAsk},
};

/// Width of the palette, open and folded.
const SHELF: [f32; 2] = [196.0, 52.0];
/// Below this width of the page the palette folds.
const FOLD_SHELF_BELOW: f32 = 980.0;

/// What the menu offers for the open workflow: name, words, icon, keys.
pub const FILE_COMMANDS: [(&str, &str, &str, &str); 7] = [
    ("save", "Save", ph::FLOPPY_DISK, "Ctrl S"),
    ("save.as", "Save under another name", ph::FLOPPY_DISK_BACK, "Ctrl Shift S"),
    ("rename", "Rename this workflow", ph::TEXTBOX, ""),
    ("duplicate.workflow", "Duplicate this workflow", ph::COPY, ""),
    ("export", "Export to a file", ph::UPLOAD_SIMPLE, ""),
    ("discard", "Discard changes that were not saved", ph::ARROW_COUNTER_CLOCKWISE, ""),
    ("delete.workflow", "Delete this workflow", ph::TRASH, ""),
];

impl WorkflowPage {
    /// The right of the top bar.
    pub(super) fn actions_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let mut what = None;
        if let Some(editor) = &mut self.editor {
            if editor.running.is_on() {
                if widgets::button(ui, widgets::Kind::Primary, Some(ph::STOP), "Stop")
                    .on_hover_text("Stop the run (Ctrl Enter)")
                    .clicked()
                {
                    editor.running.stop(cx.desk);
                }
            } else if widgets::primary(ui, ph::PLAY, "Run").on_hover_text("Run the workflow (Ctrl Enter)").clicked() {
                editor.start(cx, None, None);
            }
            let saved = editor.doc.is_saved();
            ui.add_enabled_ui(!saved && cx.desk.may_change(), |ui| {
                if widgets::icon_button(ui, ph::FLOPPY_DISK, "Save (Ctrl S)").clicked() {
                    what = Some("save".to_owned());
                }
            });
            let (can_undo, can_redo) = (editor.doc.can_undo(), editor.doc.can_redo());
            ui.add_enabled_ui(can_redo, |ui| {
                if widgets::icon_button(ui, ph::ARROW_U_UP_RIGHT, "Redo (Ctrl Shift Z)").clicked() {
                    editor.undo(true);
                }
            });
            ui.add_enabled_ui(can_undo, |ui| {
                if widgets::icon_button(ui, ph::ARROW_U_UP_LEFT, "Undo (Ctrl Z)").clicked() {
                    editor.undo(false);
                }
            });
        }
        if cx.desk.workspace().is_some() {
            let button = widgets::secondary(ui, ph::FOLDER_OPEN, "Workflows");
            widgets::menu(&button, 290.0, |ui| what = what.take().or(self.files_menu(ui, cx)));
        }
        if let Some(what) = what {
            self.menu_command(&what, cx);
        }
    }

    fn menu_command(&mut self, what: &str, cx: &mut Cx<'_>) {
        match what.strip_prefix("open.") {
            Some(name) => self.load(name, cx),
            None => {
                self.file_command(what, cx);
            }
        }
    }

    fn files_menu(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) -> Option<String> {
        self.files.list.keep(cx.desk, &Default::default());
        let mut what = None;
        let open = self.editor.as_ref().map(|editor| editor.doc.name.clone());
        ScrollArea::vertical().max_height(260.0).show(ui, |ui| match self.files.list.value() {
            Some(list) => {
                for entry in &list.items {
                    if entry_ui(ui, entry, cx.desk.now_millis(), open.as_deref() == Some(&entry.name)) {
                        what = Some(format!("open.{}", entry.name));
                    }
                }
                if list.items.is_empty() {
                    widgets::muted(ui, "No workflow is saved here yet.");
                }
            }
            None => widgets::loading(ui, "Looking for workflows"),
        });
        ui.separator();
        for (id, text, icon) in [
            ("new", "New workflow", ph::FILE_PLUS),
            ("from.table", "New from a table", ph::TABLE),
            ("import", "Import a file", ph::DOWNLOAD_SIMPLE),
        ] {
            if widgets::menu_item(ui, icon, text).clicked() {
                what = Some(id.to_owned());
            }
        }
        if let Some(editor) = &self.editor {
            ui.separator();
            for (id, text, icon, _) in FILE_COMMANDS {
                let may = id != "discard" || (editor.doc.was_saved() && !editor.doc.is_saved());
                ui.add_enabled_ui(may, |ui| {
                    if widgets::menu_item(ui, icon, text).clicked() {
                        what = Some(id.to_owned());
                    }
                });
            }
        }
        if what.is_some() {
            ui.close();
        }
        what
    }

    /// The page.
    pub(super) fn page_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.files.list.keep(cx.desk, &Default::default());
        self.restore(cx);
        self.dialogs(ui, cx);
        if let Some(name) = self.files.loading(cx.desk) {
            let text = format!("Opening {name}");
            ui.centered_and_justified(|ui| widgets::loading(ui, &text));
            return;
        }
        if let Some((name, failure)) = self.files.failed.clone() {
            self.failed_ui(ui, cx, &name, &failure);
            return;
        }
        let Some(mut editor) = self.editor.take() else {
            if !self.files.is_loading() {
                self.empty_ui(ui, cx);
            }
            return;
        };
        editor.now = cx.desk.now_secs();
        self.shortcuts(ui, &mut editor, cx);
        self.editor_ui(ui, &mut editor, cx);
        for text in std::mem::take(&mut editor.says) {
            cx.toasts.info(text);
        }
        if let Some(text) = editor.inspector.to_copy.take() {
            ui.ctx().copy_text(text);
        }
        let waits = [self.files.wait(editor.now), editor.engine.wait(editor.now), editor.preview.wait(editor.now)];
        if let Some(wait) = waits.into_iter().flatten().reduce(f64::min) {
            ui.ctx().request_repaint_after_secs(wait as f32 + 0.02);
        } else if editor.doc.version() != 1 && !editor.doc.is_saved() {
            ui.ctx().request_repaint_after_secs(0.9);
        }
        // A command of the page may have put another one in its place meanwhile.
        if self.editor.is_none() {
            self.editor = Some(editor);
        }
    }

    fn shortcuts(&mut self, ui: &Ui, editor: &mut Editor, cx: &mut Cx<'_>) {
        let take = |modifiers, key| ui.input_mut(|input| input.consume_key(modifiers, key));
        let save_as = take(egui::Modifiers::COMMAND.plus(egui::Modifiers::SHIFT), egui::Key::S);
        if save_as || take(egui::Modifiers::COMMAND, egui::Key::S) {
            let what = if save_as { "save.as" } else { "save" };
            // The document goes back in its place for the page's own commands.
            self.with_editor(editor, |page| {
                page.file_command(what, cx);
            });
        }
        if matches!(self.files.dialog, Dialog::None) {
            commands::keys(editor, ui, cx);
        }
    }

    fn with_editor(&mut self, editor: &mut Editor, with: impl FnOnce(&mut Self)) {
        let placeholder = Editor::new(
            super::doc::Document::new("", None, athanor_protocol::workflow::Workflow::empty(""), None),
            std::rc::Rc::clone(&self.catalogue),
            0,
        );
        self.editor = Some(std::mem::replace(editor, placeholder));
        with(self);
        if let Some(own) = self.editor.take() {
            *editor = own;
        }
    }

    fn editor_ui(&mut self, ui: &mut Ui, editor: &mut Editor, cx: &mut Cx<'_>) {
        let theme = Theme::of(ui);
        self.notices(ui, editor, cx);
        editor.keep_scene();
        editor.engine.keep(cx.desk, &editor.doc);
        let (name, content) = (editor.doc.now().name.clone(), editor.doc.content());
        if editor.running.keep(cx, &name, content) {
            editor.engine.invalidate();
            editor.preview.invalidate();
        }
        editor.keep_scene();
        {
            let Editor { running, engine, scene, .. } = editor;
            running.keep_states(scene.nodes.iter().map(|node| node.id.as_str()), |id| engine.is_cached(id));
        }
        if let Some(mut builder) = editor.builder.take() {
            let stays = CentralPanel::default()
                .frame(Frame::new().fill(theme.sunken))
                .show(ui, |ui| builder.ui(ui, editor))
                .inner;
            if stays {
                editor.builder = Some(builder);
            } else {
                editor.canvas.focus();
            }
            return;
        }
        let width = ui.available_width();
        let bar = |side: i8| {
            Frame::new().fill(theme.panel).inner_margin(Margin { left: side, right: side, top: 12, bottom: 8 })
        };
        let folded = width < FOLD_SHELF_BELOW;
        Panel::left("workflow-shelf")
            .exact_size(SHELF[usize::from(folded)])
            .resizable(false)
            .frame(bar(if folded { 8 } else { 12 }))
            .show(ui, |ui| {
                let catalogue = std::rc::Rc::clone(&editor.catalogue);
                if let Some(kind) = editor.shelf.ui(ui, &catalogue, folded) {
                    editor.add(&kind, Place::Next);
                }
            });
        let sheet = ui.ctx().content_rect().width() < size::SHEET_BELOW;
        if editor.inspector.wanted() {
            self.inspector_open = true;
        }
        if self.inspector_open && !(sheet && editor.selection.is_empty()) {
            let [least, usual, most] = size::INSPECTOR;
            let panel = Panel::right("workflow-inspector").resizable(true).default_size(usual).size_range(least..=most);
            panel.frame(bar(16)).show(ui, |ui| {
                let mut inspector = std::mem::take(&mut editor.inspector);
                inspector.ui(ui, editor, cx);
                if editor.inspector.wanted() {
                    inspector.focus();
                }
                inspector.to_copy = inspector.to_copy.take().or(editor.inspector.to_copy.take());
                editor.inspector = inspector;
            });
        }
        status_ui(ui, editor, &mut self.inspector_open);
        if editor.running.has_strip() {
            Panel::bottom("workflow-run")
                .exact_size(40.0)
                .resizable(false)
                .frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(14, 0)))
                .show(ui, |ui| {
                    let Editor { running, .. } = editor;
                    running.strip(ui, cx);
                });
        }
        if editor.preview.open {
            let panel = Panel::bottom("workflow-preview").resizable(true).default_size(280.0).size_range(120.0..=560.0);
            panel.frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(16, 10))).show(ui, |ui| {
                // Its height is the user's, not that of what is shown while the answer is on its way.
                ui.set_min_height(ui.available_height());
                let id = editor.chosen_node().map(str::to_owned);
                let Editor { preview, scene, doc, .. } = editor;
                let node = id.as_deref().and_then(|id| scene.node(id));
                if preview.ui(ui, cx.desk, doc, node) == PreviewAsk::Run {
                    editor.start(cx, id.clone(), None);
                }
            });
        }
        CentralPanel::default().frame(Frame::new().fill(theme.sunken)).show(ui, |ui| {
            self.canvas_ui(ui, editor, cx);
        });
    }

    fn canvas_ui(&mut self, ui: &mut Ui, editor: &mut Editor, cx: &mut Cx<'_>) {
        editor.keep_scene();
        let workflow = editor.doc.share();
        let acts = {
            let Editor { canvas, scene, selection, link, running, .. } = editor;
            let look = Look {
                scene,
                workflow: &workflow,
                selection,
                link: *link,
                states: &running.states,
                wire: None,
                port: None,
            };
            canvas.ui(ui, look)
        };
        let view = editor.canvas.view();
        if editor.quick.is_none() {
            let rect = editor.canvas.rect();
            editor.pointer = ui
                .input(|input| input.pointer.latest_pos())
                .filter(|at| rect.contains(*at))
                .map(|at| view.inverse() * at);
        }
        let changed = !acts.is_empty();
        for act in acts {
            editor.act(act, cx);
        }
        let mut tools = vec![];
        if workflow.nodes.is_empty() && workflow.comments.is_empty() && editor.quick.is_none() {
            hint_ui(ui, editor.canvas.rect());
        } else {
            minimap::ui(editor, ui, &mut tools);
        }
        for what in tools {
            commands::run(editor, what, cx);
        }
        if let Some(mut quick) = editor.quick.take() {
            let port_type = quick.wire.as_ref().and_then(|wire| {
                let node = editor.scene.node(&wire.end.node)?;
                let ports = if wire.output { &node.outputs } else { &node.inputs };
                ports.iter().find(|port| port.name == wire.end.port)?.port_type
            });
            let catalogue = std::rc::Rc::clone(&editor.catalogue);
            match quick.ui(ui, &catalogue, port_type, view * quick.at, editor.canvas.rect()) {
                QuickDone::Open => editor.quick = Some(quick),
                QuickDone::Closed => editor.canvas.focus(),
                QuickDone::Add(kind) => {
                    let place = match quick.wire.take() {
                        Some(wire) => Place::Wire(quick.at, wire),
                        None => Place::At(quick.at),
                    };
                    editor.add(&kind, place);
                }
            }
        }
        if changed {
            ui.ctx().request_repaint();
        }
    }

    fn notices(&mut self, ui: &mut Ui, editor: &mut Editor, cx: &mut Cx<'_>) {
        let theme = Theme::of(ui);
        let read_only = !cx.desk.may_change();
        if !self.files.recovered && !read_only {
            return;
        }
        let mut discard = false;
        Panel::top("workflow-notice")
            .frame(Frame::new().fill(theme.tint(theme.info)).inner_margin(Margin::symmetric(16, 6)))
            .show(ui, |ui| {
                ui.horizontal(|ui| {
                    ui.label(icons::text(Tone::Info.icon(), 16.0).color(theme.info));
                    if read_only {
                        ui.label("This workspace can be looked at but not changed; changes here are not kept.");
                        return;
                    }
                    ui.label("Recovered changes that were not saved.");
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        if widgets::icon_button(ui, ph::X, "Keep the recovered changes").clicked() {
                            self.files.recovered = false;
                        }
                        if editor.doc.was_saved() && widgets::link(ui, "Discard them").clicked() {
                            discard = true;
                        }
                    });
                });
            });
        if discard {
            self.with_editor(editor, |page| {
                page.file_command("discard", cx);
            });
        }
    }

    fn failed_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, name: &str, failure: &athanor_protocol::Failure) {
        let mut again = false;
        let mut close = false;
        let mut saved = false;
        crate::pages::scrolled(ui, "workflow-failed", |ui| {
            widgets::heading(ui, &format!("{name} cannot be opened"), "The file is left as it is.");
            again = widgets::failure(ui, failure);
            ui.horizontal(|ui| {
                if widgets::secondary(ui, ph::ARROW_LEFT, "Back").clicked() {
                    close = true;
                }
                if self.files.draft_failed && cx.desk.may_change() {
                    let text = "Drop the unsaved changes and open what was saved";
                    saved = widgets::button(ui, widgets::Kind::Danger, None, text).clicked();
                }
            });
        });
        if saved {
            self.load_saved(name, cx);
        } else if again {
            self.load(name, cx);
        } else if close {
            self.files.failed = None;
        }
    }

    fn empty_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let mut what = None;
        if let Some(failure) = self.files.list.error().cloned() {
            crate::pages::scrolled(ui, "workflow-list-failed", |ui| {
                if widgets::failure(ui, &failure) {
                    self.files.list.invalidate();
                }
            });
            return;
        }
        if self.files.list.value().is_none() {
            if self.files.list.slow(cx.desk) {
                ui.centered_and_justified(|ui| widgets::loading(ui, "Looking for workflows"));
            }
            return;
        }
        crate::pages::scrolled(ui, "workflow-empty", |ui| {
            let text = "A workflow says what happens to a table until a model comes out of it. Begin with a table, or with an empty canvas.";
            if widgets::empty_state(
                ui,
                ph::TREE_STRUCTURE,
                "Draw a workflow",
                text,
                Some((ph::TABLE, "Start from a table")),
            ) {
                what = Some("from.table".to_owned());
            }
            ui.vertical_centered(|ui| {
                if widgets::quiet(ui, ph::FILE_PLUS, "Empty canvas").clicked() {
                    what = Some("new".to_owned());
                }
            });
            if let Some(list) = self.files.list.value().filter(|list| !list.items.is_empty()) {
                let width = ui.available_width().min(520.0);
                let indent = (ui.available_width() - width) / 2.0;
                ui.horizontal(|ui| {
                    ui.add_space(indent);
                    ui.vertical(|ui| {
                        ui.set_width(width);
                        ui.spacing_mut().item_spacing.y = 2.0;
                        widgets::label(ui, "Saved here");
                        for entry in list.items.iter().take(100) {
                            if entry_ui(ui, entry, cx.desk.now_millis(), false) {
                                what = Some(format!("open.{}", entry.name));
                            }
                        }
                    });
                });
            }
        });
        if let Some(what) = what {
            self.menu_command(&what, cx);
        }
    }

    fn dialogs(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        match std::mem::replace(&mut self.files.dialog, Dialog::None) {
            Dialog::None => {}
            Dialog::SaveAs { mut name } => match name_dialog(ui, "Save the workflow", "Save", &mut name) {
                Some(true) => {
                    let own = self
                        .editor
                        .as_ref()
                        .filter(|editor| editor.doc.name == name)
                        .and_then(|editor| editor.doc.revision);
                    self.save_as(name.trim(), Some(own.unwrap_or(0)), cx);
                }
                Some(false) => {}
                None => self.files.dialog = Dialog::SaveAs { name },
            },
            Dialog::Rename { mut name } => match name_dialog(ui, "Rename the workflow", "Rename", &mut name) {
                Some(true) => self.rename(name.trim(), cx),
                Some(false) => {}
                None => self.files.dialog = Dialog::Rename { name },
            },
            Dialog::Conflict { failure } => {
                let mut chosen = None;
                let title = "Somebody else saved this workflow";
                let ((), ask) = widgets::dialog_parts(ui, "workflow-conflict", title, 440.0, |parts| {
                    parts.body(|ui| {
                        ui.label(widgets::sentence(&failure.message));
                        widgets::muted(ui, "Yours is kept as unsaved changes until you decide.");
                    });
                    parts.footer(|ui| {
                        ui.horizontal_wrapped(|ui| {
                            if widgets::primary(ui, ph::COPY, "Save as a copy").clicked() {
                                chosen = Some("copy");
                            }
                            if widgets::button(ui, widgets::Kind::Danger, None, "Overwrite theirs").clicked() {
                                chosen = Some("overwrite");
                            }
                            if widgets::button(ui, widgets::Kind::Secondary, None, "Cancel").clicked() {
                                chosen = Some("cancel");
                            }
                        })
                    });
                });
                let name = self.editor.as_ref().map(|editor| editor.doc.name.clone()).unwrap_or_default();
                match chosen {
                    Some("overwrite") => self.save_as(&name, None, cx),
                    Some("copy") => self.files.dialog = Dialog::SaveAs { name: format!("{name}-copy") },
                    Some(_) => {}
                    None if ask == DialogAsk::Close => {}
                    None => self.files.dialog = Dialog::Conflict { failure },
                }
            }
            Dialog::Starter(mut starter) => match starter.ui(ui, cx) {
                StarterDone::Open => self.files.dialog = Dialog::Starter(starter),
                StarterDone::Closed => {}
                StarterDone::Made(doc) => {
                    self.flush(cx.desk);
                    self.files.list.invalidate();
                    self.take_doc(&doc, cx);
                }
            },
        }
    }
}

fn name_dialog(ui: &Ui, title: &str, verb: &str, name: &mut String) -> Option<bool> {
    let mut done = None;
    let ((), ask) = widgets::dialog_parts(ui, title, title, 380.0, |parts| {
        let error = athanor_protocol::names::check_name("workflow name", name.trim()).err().map(|err| err.to_string());
        parts.body(|ui| {
            let response = widgets::field(ui, "Name", "", error.as_deref().filter(|_| !name.is_empty()), |ui| {
                widgets::line_edit(ui, "Name", name, "breast-cancer", false)
            });
            if ui.memory(|memory| memory.focused().is_none()) {
                response.request_focus();
            }
        });
        parts.footer(|ui| {
            ui.horizontal(|ui| {
                ui.add_enabled_ui(error.is_none(), |ui| {
                    let enter = ui.input(|input| input.key_pressed(egui::Key::Enter)) && error.is_none();
                    if widgets::button(ui, widgets::Kind::Primary, None, verb).clicked() || enter {
                        done = Some(true);
                    }
                });
                if widgets::button(ui, widgets::Kind::Secondary, None, "Cancel").clicked() {
                    done = Some(false);
                }
            })
        });
    });
    done.or((ask == DialogAsk::Close).then_some(false))
}

fn entry_ui(ui: &mut Ui, entry: &WorkflowEntry, now: i64, on: bool) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), 34.0), egui::Sense::click());
    response
        .widget_info(|| egui::WidgetInfo::selected(egui::WidgetType::Button, true, on, format!("Open {}", entry.name)));
    if on {
        ui.painter().rect_filled(rect, radius::CONTROL, theme.soft);
    } else if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, radius::CONTROL, theme::mix(theme.panel, theme.text, 0.06));
    }
    let y = rect.center().y;
    let (icon, ink) =
        if entry.problem.is_some() { (ph::WARNING_CIRCLE, theme.bad) } else { (ph::TREE_STRUCTURE, theme.muted) };
    icons::paint(ui, egui::pos2(rect.left() + 18.0, y), icon, 15.0, ink);
    let facts = match (&entry.problem, entry.n_nodes) {
        (Some(_), _) => "cannot be read".to_owned(),
        (None, Some(n)) => {
            format!("{}, {}", format::plural(u64::from(n), "node"), format::ago(entry.saved_at_millis, now))
        }
        (None, None) => format::ago(entry.saved_at_millis, now),
    };
    let facts = if entry.has_draft { format!("changes not saved, {facts}") } else { facts };
    let facts = ui.painter().layout_no_wrap(facts, theme::regular(font_size::LABEL), theme.muted);
    let clip = rect.with_max_x(rect.right() - facts.size().x - 18.0);
    let painter = ui.painter().with_clip_rect(clip);
    painter.text(
        egui::pos2(rect.left() + 36.0, y),
        egui::Align2::LEFT_CENTER,
        &entry.name,
        theme::regular(font_size::BODY),
        theme.text,
    );
    ui.painter().galley(egui::pos2(rect.right() - 10.0 - facts.size().x, y - facts.size().y / 2.0), facts, theme.muted);
    let response = response.on_hover_cursor(egui::CursorIcon::PointingHand);
    let response = match &entry.problem {
        Some(problem) => response.on_hover_text(widgets::sentence(problem)),
        None => response,
    };
    response.clicked()
}

/// The lowest line: problems, what is chosen, switches of panels.
fn status_ui(ui: &mut Ui, editor: &mut Editor, inspector_open: &mut bool) {
    let theme = Theme::of(ui);
    Panel::bottom("workflow-status")
        .exact_size(34.0)
        .resizable(false)
        .frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(12, 0)))
        .show(ui, |ui| {
            ui.horizontal_centered(|ui| {
                let n = editor.scene.problems.len();
                let text = if n == 0 { "No problems".to_owned() } else { format::plural(n as u64, "problem") };
                let (icon, ink) = if n == 0 { (ph::CHECK_CIRCLE, theme.ok) } else { (ph::WARNING_CIRCLE, theme.bad) };
                if !editor.scene.nodes.is_empty() {
                    ui.label(icons::text(icon, 15.0).color(ink));
                    let label = RichText::new(text).size(12.5).color(theme.muted);
                    if n == 0 {
                        ui.label(label);
                    } else if ui.add(egui::Button::new(label).frame(false)).clicked() {
                        editor.problems_open = !editor.problems_open;
                    }
                }
                if let Some(failure) = editor.engine.error() {
                    ui.label(icons::text(ph::PLUGS, 14.0).color(theme.warn));
                    let text = RichText::new(widgets::sentence(&failure.message)).size(12.5).color(theme.muted);
                    ui.add(egui::Label::new(text).truncate());
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if widgets::toggle_icon(ui, ph::SIDEBAR_SIMPLE, "Show or hide the settings", *inspector_open)
                        .clicked()
                    {
                        *inspector_open = !*inspector_open;
                    }
                    if widgets::toggle_icon(ui, ph::TABLE, "Show or hide the preview (P)", editor.preview.open)
                        .clicked()
                    {
                        editor.preview.open = !editor.preview.open;
                    }
                    let n = editor.selection.len();
                    if n > 1 {
                        ui.label(RichText::new(format!("{n} chosen")).size(12.5).color(theme.muted));
                    }
                });
            });
        });
    if editor.problems_open && !editor.scene.problems.is_empty() {
        let panel = Panel::bottom("workflow-problems").resizable(true).default_size(170.0).size_range(90.0..=420.0);
        panel.frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(16, 10))).show(ui, |ui| {
            problems_ui(ui, editor);
        });
    }
}

fn problems_ui(ui: &mut Ui, editor: &mut Editor) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Problems").font(theme::semibold(14.5)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::icon_button(ui, ph::X, "Close the problems").clicked() {
                editor.problems_open = false;
            }
        });
    });
    let list: Vec<(String, String)> = editor
        .scene
        .problems
        .iter()
        .take(200)
        .map(|problem| {
            let node =
                problem.node.as_ref().map(|id| editor.scene.node(id).map_or(id.as_str(), |node| node.title.as_str()));
            let part = problem.param.as_deref().map(super::params::title).or(problem.port.clone());
            let subject = match (node, part) {
                (Some(node), Some(part)) => format!("{node}: {}", part.to_lowercase()),
                (Some(node), None) => node.to_owned(),
                _ => String::new(),
            };
            (subject, problem.message.clone())
        })
        .collect();
    let mut clicked = None;
    ScrollArea::vertical().id_salt("workflow-problem-list").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 6.0;
        clicked = widgets::problems(ui, &list);
    });
    let problem = clicked.and_then(|at| editor.scene.problems.get(at));
    if let Some((Some(id), param)) = problem.map(|problem| (problem.node.clone(), problem.param.clone())) {
        editor.jump(Item::Node(id));
        match param {
            Some(param) => editor.inspector.focus_on(&param),
            None => editor.inspector.focus(),
        }
    }
}

/// What to do on an empty canvas.
fn hint_ui(ui: &Ui, canvas: egui::Rect) {
    let theme = Theme::of(ui);
    let painter = ui
        .ctx()
        .layer_painter(egui::LayerId::new(egui::Order::Middle, egui::Id::new("workflow-hint")))
        .with_clip_rect(canvas);
    let center = canvas.center();
    let font = egui::FontId::new(34.0, theme::icon_family());
    painter.text(center - egui::vec2(0.0, 44.0), egui::Align2::CENTER_CENTER, ph::TREE_STRUCTURE, font, theme.faint);
    painter.text(
        center,
        egui::Align2::CENTER_CENTER,
        "This canvas is empty",
        theme::semibold(font_size::TITLE),
        theme.text,
    );
    let text = "Drag a node here from the left, or just type what you want to add.";
    painter.text(
        center + egui::vec2(0.0, 26.0),
        egui::Align2::CENTER_CENTER,
        text,
        theme::regular(font_size::BODY),
        theme.muted,
    );
}
