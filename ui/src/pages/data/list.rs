//! The tables that the workspace knows, in a narrow column.

use std::collections::HashMap;

use athanor_protocol::api::{DataEntry, DataList};
use egui::{Align2, CursorIcon, Pos2, Rect, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use crate::{
    desk::{Desk, Remote},
    format,
    icons::{self, ph},
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Height of a table in the list.
const ITEM: f32 = 46.0;

/// What the user wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Open a table.
    Open(String),
    /// Take it off the list.
    Remove(DataEntry),
    /// Type a path.
    Path,
    /// Fold the list.
    Fold,
}

/// The list's state.
#[derive(Default)]
pub struct Tables {
    /// The tables.
    pub list: Remote<DataList>,
    search: String,
    /// Rows of tables that were opened, by path.
    pub n_rows: HashMap<String, u64>,
}

impl Tables {
    /// A table by its path.
    pub fn find(&self, path: &str) -> Option<&DataEntry> {
        self.list.value()?.items.iter().find(|entry| entry.path == path)
    }

    /// Draws the list.
    pub fn ui(&mut self, ui: &mut Ui, desk: &Desk, open: Option<&str>) -> Option<Asked> {
        let mut asked = None;
        ui.horizontal(|ui| {
            widgets::heading(ui, "Tables", "");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                if widgets::icon_button(ui, ph::SIDEBAR_SIMPLE, "Fold the list").clicked() {
                    asked = Some(Asked::Fold);
                }
                if widgets::icon_button(ui, ph::CURSOR_TEXT, "Open by path").clicked() {
                    asked = Some(Asked::Path);
                }
            });
        });
        if let Some(failure) = self.list.error().cloned() {
            if widgets::failure(ui, &failure) {
                self.list.invalidate();
            }
            return asked;
        }
        let Some(entries) = self.list.value() else {
            if self.list.slow(desk) {
                widgets::loading(ui, "Looking for tables");
            }
            return asked;
        };
        if entries.items.is_empty() {
            widgets::muted(ui, "No tables yet. Open a CSV or Parquet file, or drop one on the window.");
            return asked;
        }
        let width = ui.available_width();
        if entries.items.len() > 5 || !self.search.is_empty() {
            widgets::search_field(ui, "Find a table", &mut self.search, width);
        }
        let words = self.search.trim().to_lowercase();
        let found: Vec<&DataEntry> =
            entries.items.iter().filter(|entry| entry.name.to_lowercase().contains(&words)).collect();
        if found.is_empty() {
            widgets::muted(ui, "No table has this name.");
        }
        egui::ScrollArea::vertical().id_salt("tables").auto_shrink([false, false]).show_rows(
            ui,
            ITEM,
            found.len(),
            |ui, range| {
                for entry in &found[range] {
                    let n_rows = self.n_rows.get(&entry.path).copied();
                    asked = item(ui, entry, n_rows, open == Some(&entry.path), desk).or(asked.take());
                }
            },
        );
        asked
    }
}

fn item(ui: &mut Ui, entry: &DataEntry, n_rows: Option<u64>, on: bool, desk: &Desk) -> Option<Asked> {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), ITEM), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::Button, true, on, &entry.name));
    let mut asked = None;
    let remove = Rect::from_center_size(Pos2::new(rect.right() - 18.0, rect.center().y), Vec2::splat(28.0));
    let over = ui.rect_contains_pointer(rect);
    if on {
        ui.painter().rect_filled(rect, radius::CONTROL, theme.soft);
    } else if over {
        ui.painter().rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.05));
    }
    let gone = entry.n_bytes.is_none();
    let icon = match (gone, entry.name.ends_with(".parquet")) {
        (true, _) => ph::FILE_X,
        (_, true) => ph::DATABASE,
        _ => ph::FILE_CSV,
    };
    let ink = if gone {
        theme.warn
    } else if on {
        theme.accent
    } else {
        theme.muted
    };
    icons::paint(ui, Pos2::new(rect.left() + 18.0, rect.center().y), icon, 17.0, ink);
    let room = Rect::from_min_max(
        Pos2::new(rect.left() + 36.0, rect.top()),
        Pos2::new(if over { remove.left() } else { rect.right() - 6.0 }, rect.bottom()),
    );
    let painter = ui.painter().with_clip_rect(room.intersect(ui.clip_rect()));
    let name_ink = if gone { theme.muted } else { theme.text };
    let name_at = Pos2::new(room.left(), rect.top() + 15.0);
    painter.text(name_at, Align2::LEFT_CENTER, &entry.name, theme::medium(font_size::BODY), name_ink);
    let fact = match (entry.n_bytes, n_rows) {
        (None, _) => "gone from the disk".to_owned(),
        (Some(n_bytes), Some(n_rows)) => format!("{}, {}", format::bytes(n_bytes), format::plural(n_rows, "row")),
        (Some(n_bytes), None) => format::bytes(n_bytes),
    };
    let fact_ink = if gone { theme.warn } else { theme.muted };
    let fact_at = Pos2::new(room.left(), rect.top() + 33.0);
    painter.text(fact_at, Align2::LEFT_CENTER, fact, theme::regular(font_size::LABEL), fact_ink);
    widgets::focus_ring(ui, &response, rect.shrink(2.0));
    if over || response.has_focus() {
        let inner = ui.scope_builder(egui::UiBuilder::new().max_rect(remove), |ui| {
            widgets::icon_button(ui, ph::X, &format!("Remove {} from the list", entry.name)).clicked()
        });
        if inner.inner {
            return Some(Asked::Remove(entry.clone()));
        }
    }
    if response.clicked() {
        asked = Some(Asked::Open(entry.path.clone()));
    }
    response.context_menu(|ui| {
        if ui.button("Open").clicked() {
            asked = Some(Asked::Open(entry.path.clone()));
        }
        if ui.button("Copy path").clicked() {
            ui.ctx().copy_text(entry.path.clone());
        }
        if ui.button("Remove from the list").clicked() {
            asked = Some(Asked::Remove(entry.clone()));
        }
    });
    let now = desk.now_millis();
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_ui(|ui| {
        ui.label(&entry.path);
        let when = match entry.modified_at_millis {
            Some(at) => format!("changed {}", format::ago(at, now)),
            None => "the file is gone: put it back, or remove it from the list".to_owned(),
        };
        ui.label(egui::RichText::new(when).size(font_size::LABEL).color(theme.muted));
        if entry.in_workspace {
            ui.label(egui::RichText::new("kept in the workspace").size(font_size::LABEL).color(theme.muted));
        }
    });
    asked
}

/// The list, folded: the open table's place is kept.
pub fn folded(ui: &mut Ui) -> Option<Asked> {
    ui.add_space(size::TINY_GAP);
    widgets::icon_button(ui, ph::SIDEBAR_SIMPLE, "Show the list").clicked().then_some(Asked::Fold)
}
