//! What can be done with an open workflow, by name: for keys, menus and the command palette.

use egui::{Event, Key, Modifiers, Ui, Vec2};

use super::{
    canvas::{Canvas, Goal},
    doc::Touch,
    edit::{Arrange, Item},
    editor::Editor,
    quick::Quick,
};
use crate::{
    icons::ph,
    pages::{Command, Cx},
};

/// Name, words, icon, keys.
const COMMANDS: [(&str, &str, &str, &str); 26] = [
    ("run", "Run the workflow", ph::PLAY, "Ctrl Enter"),
    ("stop", "Stop the run", ph::STOP, ""),
    ("run.to", "Run to the chosen node", ph::SKIP_FORWARD, ""),
    ("run.from", "Run again from the chosen node", ph::FAST_FORWARD, ""),
    ("preview", "Preview the chosen node", ph::EYE, "P"),
    ("add", "Add a node", ph::PLUS, "Space"),
    ("comment", "Add a comment", ph::NOTE, ""),
    ("fit", "Show everything", ph::FRAME_CORNERS, "F"),
    ("zoom.in", "Zoom in", ph::MAGNIFYING_GLASS_PLUS, "+"),
    ("zoom.out", "Zoom out", ph::MAGNIFYING_GLASS_MINUS, "-"),
    ("zoom.selection", "Show what is chosen", ph::CROSSHAIR, "Shift F"),
    ("map", "Show or hide the overview", ph::MAP_TRIFOLD, ""),
    ("tidy", "Lay out all nodes", ph::TREE_STRUCTURE, "Ctrl L"),
    ("align.left", "Align left edges", ph::ALIGN_LEFT, ""),
    ("align.top", "Align upper edges", ph::ALIGN_TOP, ""),
    ("spread.across", "Distribute across", ph::DOTS_THREE, ""),
    ("spread.down", "Distribute down", ph::DOTS_THREE_VERTICAL, ""),
    ("group", "Group the chosen nodes", ph::BOUNDING_BOX, "Ctrl G"),
    ("ungroup", "Ungroup", ph::SELECTION_SLASH, "Ctrl Shift G"),
    ("copy", "Copy the chosen nodes", ph::COPY, "Ctrl C"),
    ("duplicate", "Duplicate the chosen nodes", ph::COPY_SIMPLE, "Ctrl D"),
    ("unlink", "Cut the links of the chosen nodes", ph::LINK_BREAK, ""),
    ("delete", "Delete what is chosen", ph::TRASH, "Delete"),
    ("select.all", "Choose everything", ph::SELECTION_ALL, "Ctrl A"),
    ("problems", "Show the problems", ph::WARNING_CIRCLE, ""),
    ("inspect", "Edit the chosen node", ph::SLIDERS, "Enter"),
];

/// What the palette offers for an open workflow.
pub fn list(editor: &Editor) -> Vec<Command> {
    let mut commands: Vec<Command> = COMMANDS
        .iter()
        .filter(|(id, ..)| (*id == "stop") == editor.running.is_on() || !["run", "stop"].contains(id))
        .map(|(id, title, icon, keys)| Command::new(format!("flow.{id}"), *title, icon, keys))
        .collect();
    for kind in &editor.catalogue.kinds {
        commands.push(Command::new(
            format!("flow.add.{}", kind.id),
            format!("Add node: {}", kind.title),
            crate::icons::of_node(&kind.id),
            "",
        ));
    }
    commands
}

/// Does one of them. False where there is no such command.
pub fn run(editor: &mut Editor, what: &str, cx: &mut Cx<'_>) -> bool {
    match what {
        "run" => editor.start(cx, None, None),
        "stop" => editor.running.stop(cx.desk),
        "run.to" | "run.from" => match editor.chosen_node().map(str::to_owned) {
            Some(id) if what == "run.to" => editor.start(cx, Some(id), None),
            Some(id) => editor.start(cx, None, Some(id)),
            None => editor.says.push("Choose a node first".to_owned()),
        },
        "preview" => {
            editor.preview.open = !editor.preview.open || editor.chosen_node().is_some();
        }
        "add" => {
            let at = editor.pointer.unwrap_or_else(|| editor.canvas.middle());
            editor.quick = Some(Quick::new(at, None, ""));
        }
        "comment" => editor.comment(),
        "fit" => editor.canvas.go(Goal::Fit),
        "zoom.in" => editor.canvas.go(Goal::Zoom(1.25)),
        "zoom.out" => editor.canvas.go(Goal::Zoom(0.8)),
        "zoom.selection" => {
            let rects = editor.selection.iter().filter_map(|item| editor.scene.rect_of(editor.doc.now(), item));
            let around = rects.fold(egui::Rect::NOTHING, |around, rect| around | rect);
            editor.canvas.go(if around.is_positive() { Goal::Show(around) } else { Goal::Fit });
        }
        "map" => editor.map_open = !editor.map_open,
        "tidy" => editor.tidy(),
        "align.left" => editor.arrange(Arrange::Left),
        "align.top" => editor.arrange(Arrange::Top),
        "spread.across" => editor.arrange(Arrange::Across),
        "spread.down" => editor.arrange(Arrange::Down),
        "group" => editor.group(),
        "ungroup" => editor.ungroup(),
        // The egui context is not at hand here; the next frame puts it on the clipboard.
        "copy" => editor.inspector.to_copy = editor.copy(),
        "cut" => {
            editor.inspector.to_copy = editor.copy();
            editor.delete();
        }
        "duplicate" => editor.duplicate(),
        "unlink" => {
            let ids = super::edit::nodes_of(editor.doc.now(), &editor.selection);
            editor.edit("Cut links", None, Touch::All, |w| {
                w.links.retain(|link| !ids.contains(&link.from.node) && !ids.contains(&link.to.node));
            });
        }
        "delete" => editor.delete(),
        "select.all" => {
            let workflow = editor.doc.share();
            editor.link = None;
            editor.selection = workflow.nodes.iter().map(|node| Item::Node(node.id.clone())).collect();
            editor.selection.extend(workflow.comments.iter().map(|comment| Item::Comment(comment.id.clone())));
        }
        "problems" => editor.problems_open = !editor.problems_open,
        "inspect" => editor.inspector.focus(),
        other => match other.strip_prefix("add.") {
            Some(kind) => editor.add(kind, super::editor::Place::Next),
            None => return false,
        },
    }
    editor.keep_scene();
    true
}

/// Keys while the canvas has the keyboard.
pub fn keys(editor: &mut Editor, ui: &Ui, cx: &mut Cx<'_>) {
    let focused = ui.memory(|memory| memory.focused());
    let on_canvas = focused.is_none() || focused == Some(Canvas::focus_id());
    let popup = egui::Popup::is_any_open(ui.ctx()) || ui.memory(|memory| memory.top_modal_layer().is_some());
    let take = |modifiers, key| ui.input_mut(|input| input.consume_key(modifiers, key));
    if take(Modifiers::COMMAND, Key::Enter) {
        run(editor, if editor.running.is_on() { "stop" } else { "run" }, cx);
    }
    if !on_canvas || popup || editor.quick.is_some() || editor.builder.is_some() {
        return;
    }
    if let Some(redo) = undo_key(ui) {
        editor.undo(redo);
        return;
    }
    let command = |what| (Modifiers::COMMAND, what);
    let plain = |what| (Modifiers::NONE, what);
    for ((modifiers, key), what) in [
        ((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::G), "ungroup"),
        (command(Key::G), "group"),
        (command(Key::A), "select.all"),
        (command(Key::D), "duplicate"),
        (command(Key::L), "tidy"),
        (plain(Key::Delete), "delete"),
        (plain(Key::Backspace), "delete"),
        (plain(Key::Enter), "inspect"),
        (plain(Key::Space), "add"),
    ] {
        if take(modifiers, key) {
            run(editor, what, cx);
            if what == "add" {
                drop_text(ui);
            }
        }
    }
    if focused.is_some() {
        if take(Modifiers::SHIFT, Key::Tab) {
            editor.cycle(true);
        }
        if take(Modifiers::NONE, Key::Tab) {
            editor.cycle(false);
        }
    }
    if take(Modifiers::NONE, Key::Escape) {
        if editor.selection.is_empty() && editor.link.is_none() {
            ui.memory_mut(|memory| memory.surrender_focus(Canvas::focus_id()));
        }
        editor.selection.clear();
        editor.link = None;
    }
    for (key, by) in [
        (Key::ArrowLeft, Vec2::new(-10.0, 0.0)),
        (Key::ArrowRight, Vec2::new(10.0, 0.0)),
        (Key::ArrowUp, Vec2::new(0.0, -10.0)),
        (Key::ArrowDown, Vec2::new(0.0, 10.0)),
    ] {
        for (modifiers, times) in [(Modifiers::NONE, 1.0), (Modifiers::SHIFT, 5.0)] {
            if !editor.selection.is_empty() && take(modifiers, key) {
                editor.shift(by * times);
            }
        }
    }
    clipboard(editor, ui);
    typed(editor, ui, cx);
}

/// Whether undo (`false`) or redo (`true`) was pressed.
pub fn undo_key(ui: &Ui) -> Option<bool> {
    let take = |modifiers, key| ui.input_mut(|input| input.consume_key(modifiers, key));
    if take(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z) || take(Modifiers::COMMAND, Key::Y) {
        return Some(true);
    }
    take(Modifiers::COMMAND, Key::Z).then_some(false)
}

fn clipboard(editor: &mut Editor, ui: &Ui) {
    let events = ui.input(|input| input.events.clone());
    for event in events {
        match event {
            Event::Copy => {
                if let Some(text) = editor.copy() {
                    ui.ctx().copy_text(text);
                }
            }
            Event::Cut => {
                if let Some(text) = editor.copy() {
                    ui.ctx().copy_text(text);
                    editor.delete();
                }
            }
            Event::Paste(text) => editor.paste(&text),
            _ => {}
        }
    }
}

fn drop_text(ui: &Ui) {
    ui.input_mut(|input| input.events.retain(|event| !matches!(event, Event::Text(_))));
}

/// Typing on the canvas opens the list to add from. `F` alone fits the view; when more is typed, it was a word after all.
fn typed(editor: &mut Editor, ui: &Ui, cx: &mut Cx<'_>) {
    let modifiers = ui.input(|input| input.modifiers);
    if modifiers.command || modifiers.alt {
        return;
    }
    let text: String = ui.input(|input| {
        input
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    });
    if text.trim().is_empty() {
        return;
    }
    drop_text(ui);
    let began = editor.shelf.typed_at;
    let before = if editor.now - began < 0.7 { std::mem::take(&mut editor.shelf.typed) } else { String::new() };
    match text.as_str() {
        "F" => {
            run(editor, "zoom.selection", cx);
        }
        "f" | "p" if before.is_empty() => {
            (editor.shelf.typed, editor.shelf.typed_at) = (text.clone(), editor.now);
            run(editor, if text == "f" { "fit" } else { "preview" }, cx);
        }
        "+" | "=" => {
            run(editor, "zoom.in", cx);
        }
        "-" => {
            run(editor, "zoom.out", cx);
        }
        _ => {
            let at = editor.pointer.unwrap_or_else(|| editor.canvas.middle());
            editor.quick = Some(Quick::new(at, None, &format!("{before}{text}")));
        }
    }
}
