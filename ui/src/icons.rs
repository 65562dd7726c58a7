//! Icons by what they mean here, and the one way to draw them.

use egui::{Align2, Color32, Pos2, RichText, Ui};
pub(crate) use egui_phosphor::regular as ph;

use crate::theme;

/// An icon as text, in the icons' own font.
pub fn text(icon: &str, size: f32) -> RichText {
    RichText::new(icon).font(egui::FontId::new(size, theme::icon_family()))
}

/// Draws an icon with its middle at a point.
pub fn paint(ui: &Ui, center: Pos2, icon: &str, size: f32, color: Color32) {
    ui.painter().text(center, Align2::CENTER_CENTER, icon, egui::FontId::new(size, theme::icon_family()), color);
}

/// The icon of a kind of node.
pub fn of_node(kind: &str) -> &'static str {
    match kind {
        "table.open" => ph::FILE_CSV,
        "prepare.filter" => ph::FUNNEL,
        "prepare.select" => ph::COLUMNS,
        "prepare.derive" => ph::FUNCTION,
        "prepare.cast" => ph::SWAP,
        "prepare.fill" | "prepare.fill_missing" => ph::ERASER,
        "prepare.sort" => ph::SORT_ASCENDING,
        "prepare.group" => ph::STACK,
        "prepare.join" => ph::INTERSECT,
        "prepare.sample" => ph::DICE_FIVE,
        "prepare.deduplicate" => ph::COPY_SIMPLE,
        "split" => ph::ARROWS_SPLIT,
        "train.linear" => ph::CHART_LINE_UP,
        "train.mlp" | "train.network" => ph::GRAPH,
        "train.cnn" => ph::IMAGE,
        "train.trees" => ph::TREE_STRUCTURE,
        "evaluate" => ph::CHART_BAR,
        "register" => ph::CUBE,
        kind if kind.starts_with("train.") => ph::FLAME,
        kind if kind.starts_with("prepare.") => ph::WRENCH,
        _ => ph::SQUARE,
    }
}
