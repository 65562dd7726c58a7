//! A table with any number of rows and columns of which only the cells that are seen are laid out; its first column and
//! its heading stay in place.

use egui::{Align2, Color32, Pos2, Rect, Sense, Stroke, Ui, Vec2};

use super::plots::shortened;
use crate::theme::{self, Theme, font_size, mix, size};

/// A cell.
pub(super) struct Cell {
    /// What stands in it.
    pub(super) text: String,
    /// Marked as the best of its row.
    pub(super) best: bool,
    /// Written quietly.
    pub(super) quiet: bool,
}

/// A heading of a column.
pub(super) struct Heading {
    /// What stands in it.
    pub(super) text: String,
    /// The colour of the dot before it.
    pub(super) color: Color32,
}

const FIRST: f32 = 220.0;
const WIDTH: f32 = 150.0;
const HEADER: f32 = 34.0;
/// Letters of JetBrains Mono at 12.5 that fit a column.
const LETTERS: usize = 17;

/// Draws it. `heading(column)`, `name(row)` and `cell(row, column)` are called for what is seen. Gives back the heading
/// that was clicked.
pub(super) fn show(
    ui: &mut Ui,
    id: &str,
    (n_rows, n_columns): (usize, usize),
    heading: impl Fn(usize) -> Heading,
    name: impl Fn(usize) -> (String, bool),
    cell: impl Fn(usize, usize) -> Cell,
) -> Option<usize> {
    let theme = Theme::of(ui);
    let row_height = size::ROW;
    let wanted = Vec2::new(FIRST + WIDTH * n_columns as f32, HEADER + row_height * n_rows as f32);
    let mut clicked = None;
    egui::ScrollArea::both().id_salt(id).auto_shrink([false, false]).show_viewport(ui, |ui, seen| {
        ui.set_min_size(wanted);
        let origin = ui.min_rect().min;
        let clip = ui.clip_rect();
        let first_row = ((seen.top() / row_height).floor().max(0.0) as usize).min(n_rows);
        let end_row = ((seen.bottom() / row_height).ceil() as usize).min(n_rows);
        let first_column = ((seen.left() / WIDTH).floor().max(0.0) as usize).min(n_columns);
        let end_column = ((seen.right() / WIDTH).ceil() as usize).min(n_columns);
        let (left, top) = (origin.x + seen.left(), origin.y + seen.top());
        let inner = Rect::from_min_max(Pos2::new(left + FIRST, top + HEADER), clip.max).intersect(clip);
        let mono = theme::mono(font_size::MONO);
        let cells = ui.painter().with_clip_rect(inner);
        let line = Stroke::new(1.0, mix(theme.panel, theme.line, 0.6));
        let pointer = ui.input(|input| input.pointer.hover_pos()).filter(|pos| clip.contains(*pos));
        for row in first_row..end_row {
            let y = origin.y + HEADER + row as f32 * row_height;
            ui.painter().hline(clip.x_range(), y + row_height, line);
            for column in first_column..end_column {
                let x = origin.x + FIRST + column as f32 * WIDTH;
                let shown = cell(row, column);
                let ink = match (shown.best, shown.quiet) {
                    (true, _) => theme.ok,
                    (_, true) => theme.muted,
                    _ => theme.text,
                };
                let rect = Rect::from_min_size(Pos2::new(x, y), Vec2::new(WIDTH, row_height));
                let at = Pos2::new(x + 8.0, rect.center().y);
                let text = shortened(&shown.text, if shown.best { LETTERS - 2 } else { LETTERS });
                let drawn = cells.text(at, Align2::LEFT_CENTER, text, mono.clone(), ink);
                if shown.best {
                    let at = Pos2::new(drawn.right() + 12.0, rect.center().y);
                    let font = egui::FontId::new(13.0, theme::icon_family());
                    cells.text(at, Align2::CENTER_CENTER, crate::icons::ph::TROPHY, font, theme.ok);
                }
                // What is under the pointer can be read whole and copied.
                if pointer.is_some_and(|pos| rect.contains(pos) && inner.contains(pos)) && !shown.text.is_empty() {
                    let response = ui.interact(rect, ui.id().with((id, row, column)), Sense::click());
                    if response.clicked() {
                        ui.ctx().copy_text(shown.text.clone());
                    }
                    response.on_hover_text(format!("{}\nClick to copy", shown.text));
                }
            }
        }
        let rows = ui.painter().with_clip_rect(
            Rect::from_min_max(Pos2::new(left, top + HEADER), Pos2::new(left + FIRST, clip.bottom())).intersect(clip),
        );
        rows.rect_filled(rows.clip_rect(), 0, theme.panel);
        for row in first_row..end_row {
            let y = origin.y + HEADER + row as f32 * row_height;
            rows.hline(rows.clip_rect().x_range(), y + row_height, line);
            let (text, quiet) = name(row);
            let rect = Rect::from_min_size(Pos2::new(left, y), Vec2::new(FIRST, row_height));
            let ink = if quiet { theme.muted } else { theme.text };
            let at = Pos2::new(left + 8.0, rect.center().y);
            let shown = shortened(&text, 30);
            rows.text(at, Align2::LEFT_CENTER, shown, theme::regular(font_size::BODY), ink);
            let response =
                ui.interact(rect.intersect(rows.clip_rect()), ui.id().with((id, "row", row)), Sense::hover());
            response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Label, true, &text));
            response.on_hover_text(text);
        }
        let heads = ui.painter().with_clip_rect(
            Rect::from_min_max(Pos2::new(left, top), Pos2::new(clip.right(), top + HEADER)).intersect(clip),
        );
        heads.rect_filled(heads.clip_rect(), 0, theme.panel);
        let heads = heads
            .with_clip_rect(Rect::from_min_max(Pos2::new(left + FIRST, top), heads.clip_rect().max).intersect(clip));
        for column in first_column..end_column {
            let x = origin.x + FIRST + column as f32 * WIDTH;
            let shown = heading(column);
            let rect = Rect::from_min_size(Pos2::new(x, top), Vec2::new(WIDTH, HEADER));
            heads.circle_filled(Pos2::new(x + 12.0, rect.center().y), 4.0, shown.color);
            let font = theme::medium(font_size::LABEL + 0.5);
            let text = shortened(&shown.text, 19);
            heads.text(Pos2::new(x + 22.0, rect.center().y), Align2::LEFT_CENTER, text, font, theme.text);
            let response =
                ui.interact(rect.intersect(heads.clip_rect()), ui.id().with((id, "head", column)), Sense::click());
            response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Link, true, &shown.text));
            let response = response.on_hover_cursor(egui::CursorIcon::PointingHand).on_hover_text(shown.text);
            if response.clicked() {
                clicked = Some(column);
            }
        }
        ui.painter().hline(clip.x_range(), top + HEADER, theme.border());
    });
    clicked
}
