//! How the workspace's disk space is used, and what of it can go.

use athanor_protocol::api::{StorageClean, StoragePart, StorageReport, StorageUsage};
use egui::{Align, Layout, Ui};

use crate::{
    desk::{Remote, Ticket},
    format,
    icons::ph,
    pages::Cx,
    theme::size,
    widgets::{self, Col, Confirm, Kind},
};

/// The storage of the workspace.
#[derive(Default)]
pub(super) struct Storage {
    usage: Remote<StorageUsage>,
    asking: Confirm<StoragePart>,
    cleaning: Option<(Ticket<StorageClean>, StoragePart)>,
}

fn title(part: StoragePart) -> &'static str {
    match part {
        StoragePart::Database => "Database",
        StoragePart::Artifacts => "Packages and reports",
        StoragePart::Cache => "Results kept for reuse",
        StoragePart::Jobs => "Jobs and checkpoints",
        StoragePart::Data => "Tables",
        StoragePart::Workflows => "Workflows",
    }
}

/// What goes when a part is cleaned.
fn what_goes(part: StoragePart) -> &'static str {
    match part {
        StoragePart::Cache => {
            "Steps whose results are gone are done again when a run needs them. Runs, models and tables stay."
        }
        StoragePart::Jobs => {
            "Checkpoints of runs that are over go; these runs cannot be resumed any more. Their metrics and models stay."
        }
        _ => "Only what can be made again goes.",
    }
}

impl Storage {
    pub(super) fn invalidate(&mut self) {
        self.usage.invalidate();
    }

    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some((ticket, part)) = self.cleaning
            && let Some(result) = cx.desk.take(ticket)
        {
            self.cleaning = None;
            self.usage.invalidate();
            match result {
                Ok(cleaned) => {
                    let freed = format::bytes(cleaned.freed_bytes);
                    cx.toasts.ok(format!("Freed {freed} of {}", title(part).to_lowercase()));
                }
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.usage.keep(cx.desk, &StorageUsage {});
        let fact = self.usage.value().map_or_else(String::new, |report| {
            let used: u64 = report.items.iter().map(|item| item.n_bytes).sum();
            format!("{} used, {} free on the disk", format::bytes(used), format::bytes(report.free_bytes))
        });
        ui.horizontal(|ui| {
            widgets::heading(ui, "Storage", &fact);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if self.usage.slow(cx.desk) {
                    widgets::loading(ui, "");
                } else if widgets::icon_button(ui, ph::ARROW_CLOCKWISE, "Measure again").clicked() {
                    self.usage.invalidate();
                }
            });
        });
        if let Some(failure) = self.usage.error() {
            if widgets::failure(ui, failure) {
                self.usage.invalidate();
            }
        } else if let Some(report) = self.usage.value() {
            let clean = table_ui(ui, cx, report, self.cleaning.map(|(_, part)| part));
            if let Some(part) = clean {
                self.asking.ask(part, "");
            }
        } else if self.usage.slow(cx.desk) {
            widgets::loading(ui, "Measuring the workspace's folder");
        }
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let Some(part) = self.asking.thing().copied() else { return };
        let heading = format!("Clean {}?", title(part).to_lowercase());
        if let Some(part) = self.asking.ui(ui, &heading, what_goes(part), "Clean") {
            self.cleaning = Some((cx.desk.ask(StorageClean { part }), part));
        }
    }
}

/// Draws the parts; gives back the one that is to be cleaned.
fn table_ui(ui: &mut Ui, cx: &Cx<'_>, report: &StorageReport, cleaning: Option<StoragePart>) -> Option<StoragePart> {
    let theme = cx.theme;
    let color = |at: usize| theme.series(at + 1);
    let parts: Vec<(u64, egui::Color32)> =
        report.items.iter().enumerate().map(|(at, item)| (item.n_bytes, color(at))).collect();
    ui.add_space(size::TINY_GAP);
    let under = widgets::stacked_bar(ui, &parts, 0, 12.0);
    if let Some(item) = under.and_then(|at| report.items.get(at)) {
        let text = format!("{}: {}", title(item.part), format::bytes(item.n_bytes));
        egui::Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), ui.id().with("part"), egui::PopupAnchor::Pointer)
            .show(|ui| ui.label(text));
    }
    ui.add_space(size::TINY_GAP);
    let columns = [
        Col::wide("Part"),
        Col::number("Size", 68.0),
        Col::number("Files", 48.0),
        Col::number("Can go", 68.0),
        Col { title: "", width: Some(62.0), right: true },
    ];
    widgets::lines_header(ui, &columns);
    let mut clean = None;
    for (at, item) in report.items.iter().enumerate() {
        widgets::line_row(ui, &columns, 36.0, |ui, column| match column {
            0 => {
                widgets::dot(ui, color(at));
                widgets::cell_text(ui, title(item.part));
            }
            1 => widgets::cell_mono(ui, &format::bytes(item.n_bytes)),
            2 => widgets::cell_mono(ui, &format::count(item.n_files)),
            3 if item.cleanable_bytes > 0 => widgets::cell_mono(ui, &format::bytes(item.cleanable_bytes)),
            3 => widgets::cell_none(ui),
            _ if cleaning == Some(item.part) => widgets::loading(ui, ""),
            _ if item.cleanable_bytes > 0 => {
                ui.add_enabled_ui(cx.desk.may_change() && cleaning.is_none(), |ui| {
                    let button = widgets::small_button(ui, Kind::Secondary, "Clean");
                    let name = format!("Clean {}", title(item.part).to_lowercase());
                    button.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, true, &name));
                    if button.clicked() {
                        clean = Some(item.part);
                    }
                });
            }
            _ => {}
        });
    }
    clean
}
