//! The palette at the left: kinds to drag onto the canvas.

use athanor_protocol::catalogue::{Catalogue, NodeKind};
use egui::{
    Align2, CursorIcon, Id, Key, LayerId, Order, Pos2, Rect, ScrollArea, Sense, StrokeKind, Ui, Vec2, WidgetInfo,
    WidgetType,
};

use crate::{
    icons::{self, ph},
    palette::score,
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Groups by how kinds' ids begin, in the order of work.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Data", &["table."]),
    ("Prepare", &["prepare.", "split"]),
    ("Learn", &["train."]),
    ("Judge & publish", &["evaluate", "register", ""]),
];

/// A kind's place in the order of work.
pub fn rank(id: &str) -> usize {
    GROUPS.iter().position(|(_, begins)| begins.iter().any(|begin| id.starts_with(begin))).unwrap_or(GROUPS.len())
}

/// The palette's state.
#[derive(Default)]
pub struct Shelf {
    search: String,
    /// What was typed on the canvas just now.
    pub typed: String,
    /// When.
    pub typed_at: f64,
}

impl Shelf {
    /// Draws it; gives back the kind that was double-clicked or chosen with Enter. `folded` shows icons only.
    pub fn ui(&mut self, ui: &mut Ui, catalogue: &Catalogue, folded: bool) -> Option<String> {
        let mut add = None;
        if !folded {
            let width = ui.available_width();
            let field = widgets::search_field(ui, "Find a node", &mut self.search, width);
            if field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) && !self.search.is_empty() {
                let first =
                    super::quick::fitting(catalogue, &self.search, None, None).first().map(|kind| kind.id.clone());
                add = first;
                self.search.clear();
            }
            ui.add_space(size::TINY_GAP);
        }
        ScrollArea::vertical().id_salt("workflow-shelf").auto_shrink([false, false]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = if folded { 2.0 } else { 6.0 };
            let mut any = false;
            for (at, (title, _)) in GROUPS.iter().enumerate() {
                let mut kinds: Vec<&NodeKind> = catalogue
                    .kinds
                    .iter()
                    .filter(|kind| {
                        rank(&kind.id) == at
                            && (score(&kind.title, &self.search).is_some()
                                || score(&kind.summary, &self.search).is_some())
                    })
                    .collect();
                if kinds.is_empty() {
                    continue;
                }
                kinds.sort_by_key(|kind| order(&kind.id));
                any = true;
                if folded {
                    ui.add_space(4.0);
                } else {
                    ui.add_space(2.0);
                    widgets::label(ui, title);
                }
                for kind in kinds {
                    if item(ui, kind, folded) {
                        add = Some(kind.id.clone());
                    }
                }
            }
            if !any {
                widgets::muted(ui, "No node has this in its name.");
            }
        });
        add
    }
}

/// The order of work within a group: what most people need comes first.
fn order(id: &str) -> usize {
    const FIRST: [&str; 18] = [
        "prepare.filter",
        "prepare.select",
        "prepare.derive",
        "prepare.cast",
        "prepare.fill",
        "prepare.join",
        "prepare.group",
        "prepare.sort",
        "prepare.sample",
        "prepare.deduplicate",
        "split",
        "train.trees",
        "train.linear",
        "train.mlp",
        "train.network",
        "train.cnn",
        "train.constant",
        "evaluate",
    ];
    FIRST.iter().position(|first| *first == id).unwrap_or(FIRST.len())
}

fn item(ui: &mut Ui, kind: &NodeKind, folded: bool) -> bool {
    let height = if folded { 32.0 } else { 30.0 };
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, &kind.title));
    card(ui.painter(), ui, rect, kind, folded, response.hovered() || response.has_focus());
    widgets::focus_ring(ui, &response, rect);
    response.dnd_set_drag_payload(kind.id.clone());
    if response.dragged()
        && let Some(at) = ui.input(|input| input.pointer.interact_pos())
    {
        let layer = LayerId::new(Order::Tooltip, Id::new("workflow-shelf-ghost"));
        let painter = ui.ctx().layer_painter(layer);
        card(&painter, ui, Rect::from_center_size(at, Vec2::new(172.0, 32.0)), kind, false, true);
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
    }
    let enter = response.has_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    let doubled = response.double_clicked();
    let tip = if folded { format!("{}. {}", kind.title, kind.summary) } else { kind.summary.clone() };
    response.on_hover_cursor(CursorIcon::Grab).on_hover_ui(|ui| {
        ui.set_max_width(260.0);
        ui.label(tip);
        widgets::label(ui, "Drag onto the canvas, or double-click.");
    });
    enter || doubled
}

fn card(painter: &egui::Painter, ui: &Ui, rect: Rect, kind: &NodeKind, folded: bool, over: bool) {
    let theme = Theme::of(ui);
    let icon = if kind.id.is_empty() { ph::SQUARE } else { icons::of_node(&kind.id) };
    let font = egui::FontId::new(size::ICON, theme::icon_family());
    if folded {
        if over {
            painter.rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.07));
        }
        painter.text(rect.center(), Align2::CENTER_CENTER, icon, font, theme.muted);
        return;
    }
    let line = if over { mix(theme.line, theme.text, 0.25) } else { theme.line };
    painter.rect(rect, radius::CONTROL, theme.raised, egui::Stroke::new(1.0, line), StrokeKind::Inside);
    painter.text(Pos2::new(rect.left() + 18.0, rect.center().y), Align2::CENTER_CENTER, icon, font, theme.muted);
    let at = Pos2::new(rect.left() + 36.0, rect.center().y);
    painter.text(at, Align2::LEFT_CENTER, &kind.title, theme::regular(font_size::BODY), theme.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_group() {
        for kind in Catalogue::builtin().kinds {
            assert!(rank(&kind.id) < GROUPS.len(), "{}", kind.id);
        }
        assert_eq!((rank("split"), rank("train.mlp"), rank("register"), rank("later.kind")), (1, 2, 3, 3));
    }
}
