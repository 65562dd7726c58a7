//! Files that a user names: typed, chosen in the system's dialog where there is one, or a table that the workspace knows.

use athanor_protocol::api::{DataList, Pick, PickKind};
use egui::Ui;

use super::Cx;
use crate::{
    desk::{Desk, Remote, Ticket},
    widgets::{self, Kind},
};

/// Endings of tables that can be read.
const TABLES: [&str; 4] = ["csv", "tsv", "txt", "parquet"];

/// Takes a chosen path in; a failure is said in a message.
pub(super) fn take_pick(cx: &mut Cx<'_>, pick: &mut Option<Ticket<Pick>>) -> Option<String> {
    let result = cx.desk.take((*pick)?)?;
    *pick = None;
    match result {
        Ok(picked) => picked.paths.into_iter().next(),
        Err(failure) => {
            cx.toasts.failure(&failure);
            None
        }
    }
}

/// A path with a button that opens the system's dialog, where there is one: whether that was pressed, and whether the path
/// was changed.
pub(super) fn path_field(ui: &mut Ui, desk: &Desk, name: &str, path: &mut String, hint: &str) -> (bool, bool) {
    path_field_with(ui, desk, name, "", None, path, hint)
}

/// [`path_field`] with help and what is wrong.
pub(super) fn path_field_with(
    ui: &mut Ui,
    desk: &Desk,
    name: &str,
    help: &str,
    error: Option<&str>,
    path: &mut String,
    hint: &str,
) -> (bool, bool) {
    let desktop = desk.is_desktop();
    let label = if desktop { name.to_owned() } else { format!("{name}, on the engine's machine") };
    let mut pressed = false;
    let changed = widgets::field(ui, &label, help, error, |ui| {
        ui.horizontal(|ui| {
            let room = ui.available_width() - if desktop { 96.0 } else { 0.0 };
            let edit = ui.scope(|ui| {
                ui.set_max_width(room);
                widgets::line_edit(ui, name, path, hint, false)
            });
            if desktop {
                let button = widgets::button(ui, Kind::Secondary, None, "Choose");
                let said = format!("Choose {}", name.to_lowercase());
                button.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, true, &said));
                pressed = button.clicked();
            }
            edit.inner.changed()
        })
        .inner
    });
    (pressed, changed)
}

/// The system's dialog for a table.
pub(super) fn pick_table(kind: PickKind, title: &str, file_name: String) -> Pick {
    let extensions: &[&str] = if kind == PickKind::Save { &["csv", "parquet"] } else { &TABLES };
    Pick {
        kind,
        title: title.to_owned(),
        filter_name: "Tables".to_owned(),
        extensions: extensions.iter().map(|&ending| ending.to_owned()).collect(),
        file_name,
        multiple: false,
    }
}

/// A table to read: one that the workspace knows, or any file.
#[derive(Default)]
pub(super) struct TableField {
    tables: Remote<DataList>,
    /// Its path.
    pub(super) path: String,
    pick: Option<Ticket<Pick>>,
}

impl TableField {
    /// A field that holds a path already.
    pub(super) fn new(path: String) -> Self {
        Self { path, ..Self::default() }
    }

    /// Draws it; true when another table was named. `title` is that of the system's dialog.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, title: &str) -> bool {
        self.tables.keep(cx.desk, &DataList {});
        let mut changed = false;
        if let Some(path) = take_pick(cx, &mut self.pick) {
            (self.path, changed) = (path, true);
        }
        let known: Vec<(String, String)> = self
            .tables
            .value()
            .map(|list| {
                let there = list.items.iter().filter(|table| table.n_bytes.is_some());
                there.map(|table| (table.path.clone(), table.name.clone())).collect()
            })
            .unwrap_or_default();
        if !known.is_empty() {
            changed |= widgets::field(ui, "Table of this workspace", "", None, |ui| {
                widgets::choice(ui, title, "Table of this workspace", &mut self.path, &known)
            });
        }
        let (pressed, typed) = path_field(ui, cx.desk, "Table", &mut self.path, "patients.csv");
        if pressed && self.pick.is_none() {
            self.pick = Some(cx.desk.ask(pick_table(PickKind::Open, title, String::new())));
        }
        changed | typed
    }
}
