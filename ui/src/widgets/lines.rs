//! Short tables that stand in a page: a heading, rows with a hair between them. Long ones are a [`super::Grid`].

use egui::{Align, Layout, Pos2, Rect, Response, RichText, Sense, Ui, UiBuilder, Vec2};

use crate::theme::{Theme, font_size, mix, size};

/// A column of a short table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Col<'a> {
    /// Its heading.
    pub title: &'a str,
    /// Its width in points; what is left over is shared by the columns without one.
    pub width: Option<f32>,
    /// Whether it stands at the right: numbers, buttons.
    pub right: bool,
}

impl<'a> Col<'a> {
    /// A column that takes its share of what is left.
    pub const fn wide(title: &'a str) -> Self {
        Self { title, width: None, right: false }
    }

    /// A column of a fixed width.
    pub const fn fixed(title: &'a str, width: f32) -> Self {
        Self { title, width: Some(width), right: false }
    }

    /// A column of numbers.
    pub const fn number(title: &'a str, width: f32) -> Self {
        Self { title, width: Some(width), right: true }
    }
}

/// The gap between columns.
const GAP: f32 = 12.0;

fn cells(columns: &[Col<'_>], rect: Rect) -> impl Iterator<Item = Rect> {
    let fixed: f32 = columns.iter().filter_map(|column| column.width).sum();
    let n_wide = columns.iter().filter(|column| column.width.is_none()).count().max(1) as f32;
    let gaps = columns.len().saturating_sub(1) as f32 * GAP;
    let share = ((rect.width() - fixed - gaps) / n_wide).max(48.0);
    let mut left = rect.left();
    columns.iter().map(move |column| {
        let width = column.width.unwrap_or(share);
        let cell = Rect::from_min_size(Pos2::new(left, rect.top()), Vec2::new(width, rect.height()));
        left += width + GAP;
        cell
    })
}

/// The headings.
pub fn lines_header(ui: &mut Ui, columns: &[Col<'_>]) {
    let theme = Theme::of(ui);
    line_row(ui, columns, 28.0, |ui, at| {
        let text = RichText::new(columns.get(at).map_or("", |column| column.title));
        ui.add(egui::Label::new(text.size(font_size::LABEL + 0.5).color(theme.muted)).truncate().selectable(false));
    });
}

/// A row; `cell(ui, column)` draws a cell from its left or right edge.
pub fn line_row(ui: &mut Ui, columns: &[Col<'_>], height: f32, mut cell: impl FnMut(&mut Ui, usize)) -> Response {
    let theme = Theme::of(ui);
    // The hair is the row's own: no gap between rows.
    let gap = std::mem::replace(&mut ui.spacing_mut().item_spacing.y, 0.0);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::hover());
    ui.spacing_mut().item_spacing.y = gap;
    if ui.is_rect_visible(rect) {
        ui.painter().hline(
            rect.x_range(),
            rect.bottom() - 0.5,
            egui::Stroke::new(1.0, mix(theme.panel, theme.line, 0.7)),
        );
        for (at, (place, column)) in cells(columns, rect).zip(columns).enumerate() {
            let layout =
                if column.right { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
            let mut child =
                ui.new_child(UiBuilder::new().id_salt((rect.top() as i32, at)).max_rect(place).layout(layout));
            child.set_clip_rect(
                child.clip_rect().intersect(place.expand2(Vec2::new(3.0, 0.0)).intersect(rect.expand(3.0))),
            );
            child.spacing_mut().item_spacing = Vec2::new(6.0, size::TINY_GAP);
            cell(&mut child, at);
        }
    }
    response
}
