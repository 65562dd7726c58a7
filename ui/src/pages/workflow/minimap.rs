//! The overview at the lower right of the canvas, and the buttons at the lower left.

use egui::{
    Area, Frame, Id, Margin, Mesh, Order, Pos2, Rect, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
    WidgetType,
};

use super::{
    canvas::{Goal, NodeState},
    edit::Item,
    editor::Editor,
};
use crate::{
    icons::ph,
    theme::{Theme, font_size, mix, radius},
    widgets,
};

const MAP: Vec2 = Vec2::new(168.0, 112.0);
const MARGIN: f32 = 12.0;

/// Draws both.
pub fn ui(editor: &mut Editor, ui: &Ui, acts: &mut Vec<&'static str>) {
    let canvas = editor.canvas.rect();
    if canvas.width() < 200.0 || canvas.height() < 160.0 {
        return;
    }
    tools(editor, ui, canvas, acts);
    if editor.map_open && canvas.width() > 420.0 && canvas.height() > 260.0 && editor.scene.bounds.is_positive() {
        map(editor, ui, canvas);
    }
}

fn tools(editor: &Editor, ui: &Ui, canvas: Rect, acts: &mut Vec<&'static str>) {
    let theme = Theme::of(ui);
    let at = canvas.left_bottom() + Vec2::new(MARGIN, -MARGIN - 36.0);
    Area::new(Id::new("workflow-tools")).order(Order::Middle).fixed_pos(at).constrain(false).show(ui.ctx(), |ui| {
        frame(theme).show(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            ui.horizontal(|ui| {
                for (icon, text, what) in [
                    (ph::MINUS, "Zoom out", "zoom.out"),
                    (ph::PLUS, "Zoom in", "zoom.in"),
                    (ph::FRAME_CORNERS, "Show everything (F)", "fit"),
                    (ph::TREE_STRUCTURE, "Lay out all nodes (Ctrl L)", "tidy"),
                    (ph::NOTE, "Add a comment", "comment"),
                ] {
                    if widgets::icon_button(ui, icon, text).clicked() {
                        acts.push(what);
                    }
                    if what == "zoom.out" {
                        let scale = format!("{:.0} %", editor.canvas.view().scaling * 100.0);
                        let text = egui::RichText::new(scale).size(font_size::LABEL).color(theme.muted);
                        ui.add_sized([40.0, 28.0], egui::Label::new(text));
                    }
                }
                if widgets::toggle_icon(ui, ph::MAP_TRIFOLD, "Show or hide the overview", editor.map_open).clicked() {
                    acts.push("map");
                }
            });
        });
    });
}

fn frame(theme: &Theme) -> Frame {
    Frame::new().fill(theme.panel).stroke(theme.border()).corner_radius(radius::NODE).inner_margin(Margin::same(3))
}

fn map(editor: &mut Editor, ui: &Ui, canvas: Rect) {
    let theme = Theme::of(ui);
    let at = canvas.right_bottom() - MAP - Vec2::splat(MARGIN);
    Area::new(Id::new("workflow-map")).order(Order::Middle).fixed_pos(at).constrain(false).show(ui.ctx(), |ui| {
        let (rect, response) = ui.allocate_exact_size(MAP, Sense::click_and_drag());
        response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, "Overview: click to go there"));
        let painter = ui.painter_at(rect);
        painter.rect(rect, radius::NODE, theme.panel, theme.border(), StrokeKind::Inside);
        let view = editor.canvas.view();
        let seen = view.inverse() * canvas;
        let all = (editor.scene.bounds | seen).expand(40.0);
        let inner = rect.shrink(6.0);
        let scale = (inner.width() / all.width()).min(inner.height() / all.height());
        let place = |at: Pos2| inner.center() + (at - all.center()) * scale;
        let block = mix(theme.panel, theme.text, 0.28);
        let mut mesh = Mesh::default();
        for node in &editor.scene.nodes {
            let small = Rect::from_min_max(place(node.rect.min), place(node.rect.max));
            let small =
                if small.width() < 2.0 { Rect::from_center_size(small.center(), Vec2::new(2.0, 1.5)) } else { small };
            let chosen = editor.selection.contains(&Item::Node(node.id.clone()));
            mesh.add_colored_rect(small, color(theme, block, chosen, editor.running.states.get(&node.id)));
        }
        painter.add(Shape::mesh(mesh));
        let window = Rect::from_min_max(place(seen.min), place(seen.max)).intersect(rect.shrink(1.0));
        painter.rect(window, 3, theme.accent.gamma_multiply(0.08), Stroke::new(1.0, theme.accent), StrokeKind::Inside);
        if (response.clicked() || response.dragged())
            && let Some(pointer) = response.interact_pointer_pos()
        {
            editor.canvas.go(Goal::Center(all.center() + (pointer - inner.center()) / scale));
            ui.ctx().request_repaint();
        }
    });
}

fn color(theme: &Theme, block: egui::Color32, chosen: bool, state: Option<&NodeState>) -> egui::Color32 {
    use athanor_protocol::run::StepState;
    match state.and_then(|state| state.state) {
        _ if chosen => theme.accent,
        Some(StepState::Running) => theme.accent,
        Some(StepState::Done) => theme.ok,
        Some(StepState::Failed) => theme.bad,
        _ => block,
    }
}
