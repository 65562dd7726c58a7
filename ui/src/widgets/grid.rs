//! A table that draws only the rows that are seen: sorting, selecting, columns that can be resized, copying.

use std::collections::BTreeSet;

use egui::{Align, CursorIcon, Key, Layout, RichText, Sense, Ui};
use egui_extras::{Column, TableBuilder};

use crate::{
    icons::{self, ph},
    theme::{Theme, font_size, mix, size},
};

/// A column.
#[derive(Debug, Clone)]
pub struct GridColumn {
    /// Its heading.
    pub title: String,
    /// Its width at first.
    pub width: f32,
    /// Whether a click on its heading sorts.
    pub sorts: bool,
    /// Whether it is a column of numbers: at the right, in figures of one width.
    pub numeric: bool,
}

impl GridColumn {
    /// A column of text.
    pub fn text(title: impl Into<String>, width: f32) -> Self {
        Self { title: title.into(), width, sorts: false, numeric: false }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<String>, width: f32) -> Self {
        Self { title: title.into(), width, sorts: false, numeric: true }
    }

    /// A click on its heading sorts.
    #[must_use]
    pub fn sortable(mut self) -> Self {
        self.sorts = true;
        self
    }
}

/// What a user did with a table in this frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GridDone {
    /// The heading that was clicked.
    pub sort: Option<usize>,
    /// The row that was clicked.
    pub clicked: Option<usize>,
    /// The row that was opened: double click or Enter.
    pub opened: Option<usize>,
    /// The row that was clicked with the other button.
    pub menu: Option<usize>,
    /// The first row that is seen and the one after the last.
    pub seen: [usize; 2],
    /// Whether the selection changed.
    pub selected: bool,
}

/// A table.
pub struct Grid<'a> {
    id: &'a str,
    columns: &'a [GridColumn],
    n_rows: usize,
    sorted: Option<(usize, bool)>,
    row_height: f32,
    header_height: f32,
    selection: Option<&'a mut BTreeSet<usize>>,
    scroll_to: Option<usize>,
    fills: bool,
}

impl<'a> Grid<'a> {
    /// A table of so many rows.
    pub fn new(id: &'a str, columns: &'a [GridColumn], n_rows: usize) -> Self {
        Self {
            id,
            columns,
            n_rows,
            sorted: None,
            row_height: size::ROW,
            header_height: 34.0,
            selection: None,
            scroll_to: None,
            fills: false,
        }
    }

    /// Which column it is sorted by, and whether the greatest come first.
    #[must_use]
    pub fn sorted(mut self, by: Option<(usize, bool)>) -> Self {
        self.sorted = by;
        self
    }

    /// Rows can be selected: click, Ctrl-click, Shift-click, arrow keys.
    #[must_use]
    pub fn select(mut self, selection: &'a mut BTreeSet<usize>) -> Self {
        self.selection = Some(selection);
        self
    }

    /// The last column takes the width that is left.
    #[must_use]
    pub fn fill(mut self) -> Self {
        self.fills = true;
        self
    }

    /// Another height of the header.
    #[must_use]
    pub fn header_height(mut self, height: f32) -> Self {
        self.header_height = height;
        self
    }

    /// Another height of rows.
    #[must_use]
    pub fn row_height(mut self, height: f32) -> Self {
        self.row_height = height;
        self
    }

    /// Scrolls a row into sight.
    #[must_use]
    pub fn scroll_to(mut self, row: Option<usize>) -> Self {
        self.scroll_to = row;
        self
    }

    /// Draws it. `cell(ui, row, column)` draws a cell; `header` draws what stands under a heading.
    pub fn show(
        self,
        ui: &mut Ui,
        mut header: impl FnMut(&mut Ui, usize),
        mut cell: impl FnMut(&mut Ui, usize, usize),
    ) -> GridDone {
        let theme = Theme::of(ui);
        let mut done = GridDone { seen: [usize::MAX, 0], ..GridDone::default() };
        let Self { id, columns, n_rows, sorted, row_height, header_height, mut selection, scroll_to, fills } = self;
        let table_id = ui.id().with(id);
        ui.scope(|ui| {
            ui.spacing_mut().item_spacing = egui::vec2(0.0, 0.0);
            ui.visuals_mut().selection.bg_fill = theme.soft;
            ui.visuals_mut().widgets.hovered.bg_fill = mix(theme.panel, theme.text, 0.04);
            let mut table = TableBuilder::new(ui)
                .id_salt(id)
                .striped(false)
                .resizable(true)
                .sense(Sense::click())
                .auto_shrink([false, false])
                .min_scrolled_height(0.0)
                .cell_layout(Layout::left_to_right(Align::Center));
            if let Some(row) = scroll_to {
                table = table.scroll_to_row(row, Some(Align::Center));
            }
            for (at, column) in columns.iter().enumerate() {
                let is_filling = fills && at + 1 == columns.len();
                let shape = if is_filling { Column::remainder() } else { Column::initial(column.width) };
                let least = if is_filling { column.width } else { 36.0 };
                table = table.column(shape.at_least(least).clip(true).resizable(!is_filling));
            }
            table
                .header(header_height, |mut row| {
                    for (at, column) in columns.iter().enumerate() {
                        row.col(|ui| {
                            let rect = ui.max_rect();
                            ui.painter().hline(rect.x_range(), rect.bottom(), theme.border());
                            ui.add_space(8.0);
                            ui.vertical(|ui| {
                                ui.add_space(6.0);
                                if heading(ui, column, sorted.filter(|(by, _)| *by == at).map(|(_, down)| down)) {
                                    done.sort = Some(at);
                                }
                                header(ui, at);
                            });
                        });
                    }
                })
                .body(|body| {
                    body.rows(row_height, n_rows, |mut row| {
                        let index = row.index();
                        done.seen = [done.seen[0].min(index), done.seen[1].max(index + 1)];
                        let is_selected = selection.as_ref().is_some_and(|set| set.contains(&index));
                        row.set_selected(is_selected);
                        for (at, column) in columns.iter().enumerate() {
                            let layout = if column.numeric {
                                Layout::right_to_left(Align::Center)
                            } else {
                                Layout::left_to_right(Align::Center)
                            };
                            row.col(|ui| {
                                ui.with_layout(layout, |ui| {
                                    ui.add_space(8.0);
                                    ui.spacing_mut().item_spacing.x = 6.0;
                                    cell(ui, index, at);
                                });
                            });
                        }
                        let response = row.response();
                        if response.clicked() {
                            done.clicked = Some(index);
                        }
                        if response.double_clicked() {
                            done.opened = Some(index);
                        }
                        if response.secondary_clicked() {
                            done.menu = Some(index);
                        }
                        if selection.is_some() {
                            response.on_hover_cursor(CursorIcon::PointingHand);
                        }
                    });
                });
        });
        if done.seen[0] > done.seen[1] {
            done.seen = [0, 0];
        }
        if let Some(selection) = &mut selection {
            select(ui, table_id, selection, n_rows, &mut done);
        }
        done
    }
}

fn heading(ui: &mut Ui, column: &GridColumn, sorted: Option<bool>) -> bool {
    let theme = Theme::of(ui);
    // Over numbers it stands at the right, as they do.
    let layout =
        if column.numeric { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
    let place = egui::vec2(ui.available_width(), 18.0);
    ui.allocate_ui_with_layout(place, layout, |ui| {
        if column.numeric {
            ui.add_space(8.0);
        }
        ui.spacing_mut().item_spacing.x = 4.0;
        let text = RichText::new(&column.title).size(font_size::LABEL + 0.5);
        let text = if sorted.is_some() { text.color(theme.text) } else { text.color(theme.muted) };
        let sense = if column.sorts { Sense::click() } else { Sense::hover() };
        let response = ui.add(egui::Label::new(text).sense(sense).truncate());
        if let Some(down) = sorted {
            ui.label(icons::text(if down { ph::CARET_DOWN } else { ph::CARET_UP }, 12.0).color(theme.accent));
        }
        column.sorts
            && response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text("Sort by this column").clicked()
    })
    .inner
}

/// Click, Ctrl-click, Shift-click, arrows, Home, End, Ctrl-A, Enter.
fn select(ui: &Ui, id: egui::Id, selection: &mut BTreeSet<usize>, n_rows: usize, done: &mut GridDone) {
    let anchor: Option<usize> = ui.data(|data| data.get_temp(id));
    let modifiers = ui.input(|input| input.modifiers);
    let before = selection.clone();
    if let Some(row) = done.clicked {
        match anchor {
            Some(from) if modifiers.shift => {
                selection.clear();
                selection.extend(from.min(row)..=from.max(row));
            }
            _ if modifiers.command => {
                if !selection.remove(&row) {
                    selection.insert(row);
                }
            }
            _ => *selection = [row].into(),
        }
        if !modifiers.shift {
            ui.data_mut(|data| data.insert_temp(id, row));
        }
    } else if n_rows > 0 && !selection.is_empty() && ui.memory(|memory| memory.focused().is_none()) {
        let at = anchor.unwrap_or(0).min(n_rows - 1);
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let to = if pressed(Key::ArrowDown) {
            Some((at + 1).min(n_rows - 1))
        } else if pressed(Key::ArrowUp) {
            Some(at.saturating_sub(1))
        } else if pressed(Key::Home) {
            Some(0)
        } else if pressed(Key::End) {
            Some(n_rows - 1)
        } else {
            None
        };
        if let Some(to) = to {
            if !modifiers.shift {
                selection.clear();
            }
            selection.insert(to);
            ui.data_mut(|data| data.insert_temp(id, to));
        }
        if pressed(Key::Enter) {
            done.opened = Some(at);
        }
    }
    done.selected = *selection != before;
}

/// Text of a cell.
pub fn cell_text(ui: &mut Ui, text: &str) {
    let color = Theme::of(ui).text;
    ui.add(egui::Label::new(RichText::new(text).color(color)).truncate().selectable(false));
}

/// A number, id or other text in figures of one width.
pub fn cell_mono(ui: &mut Ui, text: &str) {
    let theme = Theme::of(ui);
    ui.add(egui::Label::new(RichText::new(text).monospace().color(theme.text)).truncate().selectable(false));
}

/// A cell without a value.
pub fn cell_none(ui: &mut Ui) {
    let color = Theme::of(ui).faint;
    ui.label(RichText::new("–").color(color));
}
