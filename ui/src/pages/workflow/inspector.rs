//! The panel at the right: settings of what is chosen, made from the catalogue.

use athanor_protocol::{
    api::{DataList, Pick},
    catalogue::ParamKind,
    workflow::{Endpoint, Link, Node, Workflow},
};
use egui::{Align, Id, Layout, RichText, ScrollArea, TextEdit, Ui, WidgetInfo, WidgetType};

use super::{
    builder::Builder,
    doc::Touch,
    edit::{self, Arrange, Item},
    editor::Editor,
    params::{Offer, ParamAsk, ParamsState, param_ui},
};
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size},
    widgets,
};

/// The panel's state.
#[derive(Default)]
pub struct Inspector {
    take_focus: bool,
    /// The parameter that gets the keyboard, where it is not the first.
    focus_on: Option<String>,
    params: ParamsState,
    tables: Remote<DataList>,
    pick: Option<(String, String, Ticket<Pick>)>,
    /// What shall go to the clipboard in the next frame.
    pub to_copy: Option<String>,
}

impl Inspector {
    /// Gives the first field the keyboard.
    pub fn focus(&mut self) {
        self.take_focus = true;
        self.focus_on = None;
    }

    /// Gives the field of this parameter the keyboard.
    pub fn focus_on(&mut self, param: &str) {
        self.take_focus = true;
        self.focus_on = Some(param.to_owned());
    }

    /// Whether somebody asked for it since it was drawn last.
    pub fn wanted(&self) -> bool {
        self.take_focus
    }

    /// The tables changed.
    pub fn invalidate(&mut self) {
        self.tables.invalidate();
    }

    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, editor: &mut Editor, cx: &mut Cx<'_>) {
        self.take_picked(editor, cx);
        ScrollArea::vertical().id_salt("workflow-inspector").auto_shrink([false, false]).show(ui, |ui| {
            // Room for the bar, so that it never covers a field.
            ui.set_width(ui.available_width() - 6.0);
            ui.spacing_mut().item_spacing.y = 12.0;
            let mut chosen = editor.selection.iter();
            match (chosen.next().cloned(), chosen.next()) {
                (Some(Item::Node(id)), None) => self.node_ui(ui, editor, cx, &id),
                (Some(Item::Comment(id)), None) => self.comment_ui(ui, editor, &id),
                (Some(Item::Group(id)), None) => self.group_ui(ui, editor, &id),
                (Some(_), Some(_)) => many_ui(ui, editor),
                (None, _) => self.workflow_ui(ui, editor),
            }
        });
        self.take_focus = false;
    }

    fn take_picked(&mut self, editor: &mut Editor, cx: &mut Cx<'_>) {
        let Some((node, param, ticket)) = &self.pick else { return };
        let Some(result) = cx.desk.take(*ticket) else { return };
        let (node, param) = (node.clone(), param.clone());
        self.pick = None;
        match result {
            Ok(picked) => {
                if let Some(path) = picked.paths.into_iter().next() {
                    set(editor, &node, &param, Some(path.into()));
                }
            }
            Err(failure) => cx.toasts.failure(&failure),
        }
    }

    fn title_edit(&mut self, ui: &mut Ui, name: &str, value: &str, hint: &str) -> Option<String> {
        let mut text = value.to_owned();
        let response = widgets::field(ui, name, "", None, |ui| widgets::line_edit(ui, name, &mut text, hint, false));
        if std::mem::take(&mut self.take_focus) {
            response.request_focus();
        }
        (response.changed() && text != value).then_some(text)
    }

    fn node_ui(&mut self, ui: &mut Ui, editor: &mut Editor, cx: &mut Cx<'_>, id: &str) {
        let theme = Theme::of(ui);
        let workflow = editor.doc.share();
        let Some(node) = workflow.node(id) else { return };
        let catalogue = std::rc::Rc::clone(&editor.catalogue);
        let kind = catalogue.kind(&node.kind);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.horizontal(|ui| {
                let icon = if kind.is_some() { icons::of_node(&node.kind) } else { ph::QUESTION };
                ui.label(icons::text(icon, 18.0).color(theme.accent));
                let title = kind.map_or(node.kind.as_str(), |kind| kind.title.as_str());
                ui.add(
                    egui::Label::new(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text))
                        .truncate(),
                );
            });
            let summary = kind.map_or("This program does not know this kind of node. It is kept as it is.", |kind| {
                kind.summary.as_str()
            });
            ui.label(RichText::new(summary).color(theme.muted));
        });
        if kind.is_some_and(|kind| kind.params.iter().any(|param| param.kind == ParamKind::Path)) {
            self.tables.keep(cx.desk, &DataList {});
        }
        let offer = Offer {
            columns: editor.engine.columns_into(&workflow, id),
            tables: self.tables.value().map(|list| list.items.as_slice()),
            desktop: cx.desk.is_desktop(),
            errors: errors(editor, id),
        };
        let mut asked = None;
        if let Some(kind) = kind {
            for param in &kind.params {
                let wanted = self.focus_on.as_ref().is_none_or(|name| *name == param.name);
                let first = wanted && std::mem::take(&mut self.take_focus);
                if let Some(ask) = param_ui(ui, &mut self.params, node, param, &offer, first) {
                    asked = Some((param.name.clone(), ask));
                }
            }
        } else {
            unknown_ui(ui, node);
        }
        let loose: Vec<String> =
            offer.errors.iter().filter(|(param, _)| param.is_none()).map(|(_, text)| text.clone()).collect();
        inputs_ui(ui, editor, &workflow, node);
        for text in loose {
            ui.horizontal_top(|ui| {
                ui.label(icons::text(ph::WARNING_CIRCLE, 14.0).color(theme.bad));
                ui.add(
                    egui::Label::new(RichText::new(widgets::sentence(&text)).color(theme.bad)).wrap().selectable(true),
                );
            });
        }
        widgets::rule(ui);
        let hint = kind.map_or("", |kind| kind.title.as_str());
        if let Some(title) = self.title_edit(ui, "Title", &node.title, hint) {
            editor.edit("Rename node", Some(&format!("title {id}")), Touch::All, |w| {
                if let Some(node) = w.nodes.iter_mut().find(|node| node.id == id) {
                    node.title = title;
                }
            });
        }
        let mut note = node.note.clone();
        let changed = widgets::field(ui, "Note", "", None, |ui| text_area(ui, "Note", &mut note, 2));
        if changed {
            editor.edit("Write note", Some(&format!("note {id}")), Touch::All, |w| {
                if let Some(node) = w.nodes.iter_mut().find(|node| node.id == id) {
                    node.note = note;
                }
            });
        }
        ui.horizontal(|ui| {
            ui.label(RichText::new(format!("id {id}")).font(theme::mono(font_size::LABEL)).color(theme.muted));
        });
        match asked {
            Some((param, ParamAsk::Set(value))) => set(editor, id, &param, value),
            Some((param, ParamAsk::Pick)) => {
                let request = Pick {
                    kind: athanor_protocol::api::PickKind::Open,
                    title: "Choose a table".to_owned(),
                    filter_name: "Tables".to_owned(),
                    extensions: ["csv", "tsv", "txt", "parquet"].map(str::to_owned).to_vec(),
                    file_name: String::new(),
                    multiple: false,
                };
                self.pick = Some((id.to_owned(), param, cx.desk.ask(request)));
            }
            Some((param, ParamAsk::Build)) => editor.builder = Some(Builder::new(id, &param)),
            None => {}
        }
    }

    fn comment_ui(&mut self, ui: &mut Ui, editor: &mut Editor, id: &str) {
        let workflow = editor.doc.share();
        let Some(comment) = workflow.comments.iter().find(|comment| comment.id == id) else { return };
        title_ui(ui, "Comment", "A remark on the canvas.");
        let mut text = comment.text.clone();
        let take = std::mem::take(&mut self.take_focus);
        let changed = widgets::field(ui, "Text", "", None, |ui| {
            let changed = text_area(ui, "Text", &mut text, 8);
            if take {
                ui.memory_mut(|memory| memory.request_focus(Id::new(("workflow-area", "Text"))));
            }
            changed
        });
        if changed {
            editor.edit("Write comment", Some(&format!("comment {id}")), Touch::All, |w| {
                if let Some(comment) = w.comments.iter_mut().find(|comment| comment.id == id) {
                    comment.text = text;
                }
            });
        }
        if widgets::secondary(ui, ph::TRASH, "Delete").clicked() {
            editor.delete();
        }
    }

    fn group_ui(&mut self, ui: &mut Ui, editor: &mut Editor, id: &str) {
        let workflow = editor.doc.share();
        let Some(group) = workflow.groups.iter().find(|group| group.id == id) else { return };
        title_ui(ui, "Group", &format::plural(group.nodes.len() as u64, "node"));
        if let Some(title) = self.title_edit(ui, "Title", &group.title, "Group") {
            editor.edit("Rename group", Some(&format!("group {id}")), Touch::All, |w| {
                if let Some(group) = w.groups.iter_mut().find(|group| group.id == id) {
                    group.title = title;
                }
            });
        }
        if widgets::secondary(ui, ph::SELECTION_SLASH, "Ungroup").clicked() {
            editor.ungroup();
        }
    }

    fn workflow_ui(&mut self, ui: &mut Ui, editor: &mut Editor) {
        let theme = Theme::of(ui);
        let workflow = editor.doc.share();
        let facts = format!(
            "{}, {}",
            format::plural(workflow.nodes.len() as u64, "node"),
            format::plural(workflow.links.len() as u64, "link")
        );
        title_ui(ui, &editor.doc.name.clone(), &facts);
        let mut text = workflow.description.clone();
        if widgets::field(ui, "Description", "", None, |ui| text_area(ui, "Description", &mut text, 3)) {
            editor.edit("Describe", Some("description"), Touch::All, |w| w.description = text);
        }
        if let Some(at) = editor.link
            && let Some(link) = workflow.links.get(at)
        {
            widgets::rule(ui);
            ui.label(RichText::new("Chosen link").font(theme::medium(font_size::BODY)));
            let name = |id: &str| editor.scene.node(id).map_or_else(|| id.to_owned(), |node| node.title.clone());
            widgets::muted(
                ui,
                &format!(
                    "{} ({}) to {} ({})",
                    name(&link.from.node),
                    link.from.port,
                    name(&link.to.node),
                    link.to.port
                ),
            );
            if widgets::secondary(ui, ph::LINK_BREAK, "Cut this link").clicked() {
                editor.delete();
            }
            return;
        }
        widgets::rule(ui);
        ui.spacing_mut().item_spacing.y = 6.0;
        for (keys, what) in [
            ("Space", "add a node; or just type its name"),
            ("Drag a port", "link; drop it on nothing to add what fits"),
            ("Shift drag", "choose several"),
            ("Enter", "edit the chosen node"),
            ("Tab", "next node"),
            ("F", "show everything"),
            ("Ctrl Enter", "run"),
        ] {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 8.0;
                let width = ui.available_width();
                let (rect, _) = ui.allocate_exact_size(egui::vec2(76.0, 18.0), egui::Sense::hover());
                let at = rect.left_center();
                ui.painter().text(at, egui::Align2::LEFT_CENTER, keys, theme::medium(font_size::LABEL), theme.text);
                let text = RichText::new(what).size(font_size::LABEL + 0.5).color(theme.muted);
                ui.allocate_ui(egui::vec2(width - 84.0, 18.0), |ui| ui.add(egui::Label::new(text).wrap()));
            });
        }
    }
}

fn title_ui(ui: &mut Ui, title: &str, fact: &str) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        widgets::inspector_title(ui, title, fact);
    });
}

fn many_ui(ui: &mut Ui, editor: &mut Editor) {
    let n = editor.selection.len() as u64;
    title_ui(ui, &format!("{n} things chosen"), "Move them together, or put them in line.");
    let mut how = None;
    for row in [
        [(ph::ALIGN_LEFT, "Align left", Arrange::Left), (ph::ALIGN_TOP, "Align top", Arrange::Top)],
        [(ph::DOTS_THREE, "Spread across", Arrange::Across), (ph::DOTS_THREE_VERTICAL, "Spread down", Arrange::Down)],
    ] {
        ui.horizontal_wrapped(|ui| {
            for (icon, text, arrange) in row {
                if widgets::secondary(ui, icon, text).clicked() {
                    how = Some(arrange);
                }
            }
        });
    }
    if let Some(how) = how {
        editor.arrange(how);
    }
    ui.horizontal_wrapped(|ui| {
        if widgets::secondary(ui, ph::BOUNDING_BOX, "Group").clicked() {
            editor.group();
        }
        if widgets::secondary(ui, ph::COPY_SIMPLE, "Duplicate").clicked() {
            editor.duplicate();
        }
        if widgets::secondary(ui, ph::TRASH, "Delete").clicked() {
            editor.delete();
        }
    });
}

fn unknown_ui(ui: &mut Ui, node: &Node) {
    let text = serde_json::to_string_pretty(&node.params).unwrap_or_default();
    if !node.params.is_empty() {
        widgets::code_block(ui, &text);
    }
}

/// Problems of a node by parameter.
fn errors(editor: &Editor, id: &str) -> Vec<(Option<String>, String)> {
    let Some(node) = editor.scene.node(id) else { return vec![] };
    node.problems
        .iter()
        .filter_map(|at| editor.scene.problems.get(*at))
        .map(|problem| {
            let text = match &problem.port {
                Some(port) if problem.param.is_none() => format!("{port}: {}", problem.message),
                _ => problem.message.clone(),
            };
            (problem.param.clone(), text)
        })
        .collect()
}

/// Sets a parameter, or goes back to its default.
pub fn set(editor: &mut Editor, id: &str, param: &str, value: Option<serde_json::Value>) {
    let catalogue = std::rc::Rc::clone(&editor.catalogue);
    let label = format!("Change {}", param.replace('_', " "));
    let key = format!("param {id}.{param}");
    editor.edit(&label, Some(&key), Touch::All, |w| {
        let Some(node) = w.nodes.iter_mut().find(|node| node.id == id) else { return };
        match (value, catalogue.kind(&node.kind)) {
            (Some(value), Some(kind)) => edit::set_param(node, kind, param, value),
            (Some(value), None) => {
                node.params.insert(param.to_owned(), value);
            }
            (None, _) => {
                node.params.remove(param);
            }
        }
    });
}

/// Where each input comes from; also the way to link without a mouse.
fn inputs_ui(ui: &mut Ui, editor: &mut Editor, workflow: &Workflow, node: &Node) {
    let Some(view) = editor.scene.node(&node.id).cloned() else { return };
    if view.inputs.is_empty() || !view.known {
        return;
    }
    widgets::rule(ui);
    let mut change = None;
    for input in &view.inputs {
        let now = workflow
            .links
            .iter()
            .find(|link| link.to.node == node.id && link.to.port == input.name)
            .map(|link| &link.from);
        let name = |end: &Endpoint| {
            let source = editor.scene.node(&end.node);
            let title = source.map_or(end.node.as_str(), |node| node.title.as_str());
            if source.is_some_and(|node| node.outputs.len() > 1) {
                format!("{title}, {}", end.port)
            } else {
                title.to_owned()
            }
        };
        let label = if view.inputs.len() > 1 { format!("Input {}", input.name) } else { "Input".to_owned() };
        widgets::field(ui, &label, &input.help, None, |ui| {
            let shown = now.map_or_else(|| "nothing linked".to_owned(), name);
            let response = egui::ComboBox::from_id_salt(("workflow-input", &node.id, &input.name))
                .selected_text(shown)
                .width(ui.available_width())
                .show_ui(ui, |ui| {
                    if now.is_some() && ui.selectable_label(false, "nothing").clicked() {
                        change = Some((input.name.clone(), None));
                    }
                    let sources = editor.scene.nodes.iter().filter(|source| source.id != node.id);
                    let ends = sources.flat_map(|source| {
                        let fits = source.outputs.iter().filter(|output| output.port_type == input.port_type);
                        fits.map(|output| Endpoint { node: source.id.clone(), port: output.name.clone() })
                    });
                    for end in ends.take(200) {
                        if ui.selectable_label(now == Some(&end), format!("{} ({})", name(&end), end.node)).clicked() {
                            change = Some((input.name.clone(), Some(end)));
                        }
                    }
                })
                .response;
            response.widget_info(|| WidgetInfo::labeled(WidgetType::ComboBox, true, &label));
        });
    }
    if let Some((port, from)) = change {
        let to = Endpoint { node: node.id.clone(), port };
        match from {
            Some(from) => editor.draw_link(&Link { from, to }),
            None => {
                editor.edit("Cut link", None, Touch::All, |w| w.links.retain(|link| link.to != to));
            }
        }
    }
}

/// Several lines of text. True when they changed.
pub fn text_area(ui: &mut Ui, name: &str, value: &mut String, rows: usize) -> bool {
    let edit = TextEdit::multiline(value)
        .id(Id::new(("workflow-area", name)))
        .desired_rows(rows)
        .desired_width(f32::INFINITY)
        .margin(egui::Margin::symmetric(10, 7));
    let response = ui.with_layout(Layout::top_down(Align::Min), |ui| ui.add(edit)).inner;
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(WidgetType::TextEdit, true, name);
        info.current_text_value = Some(value.clone());
        info
    });
    response.changed()
}
