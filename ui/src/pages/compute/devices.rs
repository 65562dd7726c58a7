//! Devices as cards.

use athanor_protocol::api::{DeviceEntry, Devices};
use egui::{RichText, Ui};

use super::ComputePage;
use crate::{
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Kind},
};

/// The name that lets the engine choose.
const AUTO: &str = "auto";

fn kind_title(kind: &str) -> &str {
    match kind {
        "cpu" => "Processor",
        "discrete_gpu" => "Graphics card",
        "integrated_gpu" => "Graphics in the processor",
        "virtual_gpu" => "Virtual graphics card",
        "software" => "Software renderer",
        other => other,
    }
}

impl ComputePage {
    pub(super) fn devices_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.looking.is_some_and(|(_, since)| cx.desk.now_secs() - since > 0.25) {
            widgets::loading(ui, "Looking for devices; this may take some seconds");
        }
        if let Some(failure) = self.devices.error() {
            if widgets::failure(ui, failure) {
                self.devices.invalidate();
            }
            return;
        }
        let Some(found) = self.devices.value() else {
            if self.devices.slow(cx.desk) {
                widgets::loading(ui, "Looking for devices");
            }
            return;
        };
        let mut chosen = None;
        cards(ui, cx, found, &mut chosen);
        if let Some(name) = chosen {
            let text = if name == AUTO {
                "New runs take the device that is fastest".to_owned()
            } else {
                let title = found
                    .devices
                    .iter()
                    .find(|device| device.name == name)
                    .map_or(name.as_str(), |device| &device.title);
                format!("New runs use {title}")
            };
            cx.desk.change_settings(|settings| settings.device.clone_from(&name));
            cx.toasts.ok(text);
        }
    }
}

fn cards(ui: &mut Ui, cx: &Cx<'_>, found: &Devices, chosen: &mut Option<String>) {
    let set = cx.desk.settings().device.clone();
    let may_change = cx.desk.hello().is_none_or(|hello| hello.may_change);
    if let Some(problem) = &found.problem {
        widgets::note(ui, Tone::Warn, &format!("graphics cards could not be looked at: {problem}"));
    }
    let known = set == AUTO || found.devices.iter().any(|device| device.name == set);
    if !known {
        widgets::note(ui, Tone::Warn, &format!("new runs are set to {set}, which is not there now"));
    }
    if set != AUTO {
        widgets::tight(ui, |ui| {
            widgets::muted(ui, "New runs use a device that you chose.");
            ui.add_enabled_ui(may_change, |ui| {
                if widgets::link(ui, "Let the program choose").clicked() {
                    *chosen = Some(AUTO.to_owned());
                }
            });
        });
    }
    let n_columns = ((ui.available_width() / 300.0) as usize).clamp(1, 4).min(found.devices.len().max(1));
    for row in found.devices.chunks(n_columns) {
        let height = ui.data(|data| data.get_temp::<f32>(ui.id().with("device-height"))).unwrap_or(0.0);
        let mut highest: f32 = 0.0;
        widgets::columns(ui, n_columns, |ui, at| {
            let Some(device) = row.get(at) else { return };
            let shown = Shown {
                device,
                is_auto: device.name == found.auto,
                is_set: device.name == set || (set == AUTO && device.name == found.auto),
                is_chosen: device.name == set,
                may_change,
            };
            widgets::card(ui, |ui| {
                let top = ui.cursor().top();
                if shown.ui(ui, cx.theme) {
                    *chosen = Some(device.name.clone());
                }
                let own = ui.min_rect().bottom() - top;
                highest = highest.max(own);
                // Cards of one row are as high as the highest of them.
                if own < height {
                    ui.add_space(height - own - ui.spacing().item_spacing.y);
                }
            });
        });
        if (highest - height).abs() > 0.5 {
            ui.data_mut(|data| data.insert_temp(ui.id().with("device-height"), highest));
            ui.ctx().request_repaint();
        }
    }
}

struct Shown<'a> {
    device: &'a DeviceEntry,
    is_auto: bool,
    /// Whether new runs get it.
    is_set: bool,
    /// Whether it was named by the user.
    is_chosen: bool,
    may_change: bool,
}

impl Shown<'_> {
    /// Draws the device; true when new runs shall use it.
    fn ui(&self, ui: &mut Ui, theme: &Theme) -> bool {
        let device = self.device;
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        let icon = if device.kind == "cpu" { ph::CPU } else { ph::GRAPHICS_CARD };
        ui.horizontal(|ui| {
            let ink = if self.is_set { theme.accent } else { theme.muted };
            ui.label(icons::text(icon, 24.0).color(ink));
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 1.0;
                let title = RichText::new(&device.title).font(theme::semibold(14.5)).color(theme.text);
                ui.add(egui::Label::new(title).truncate().selectable(true));
                widgets::label(ui, kind_title(&device.kind));
            });
        });
        let mut rows = vec![("Name".to_owned(), device.name.clone())];
        if let Some(memory) = device.memory_bytes {
            rows.push(("Memory".to_owned(), format::bytes(memory)));
        }
        widgets::facts(ui, &rows);
        if let Some(problem) = &device.problem {
            widgets::tight_wrapped(ui, |ui| {
                ui.label(icons::text(ph::WARNING, size::ICON).color(theme.warn));
                let text = RichText::new(widgets::sentence(problem)).size(font_size::BODY - 1.0).color(theme.muted);
                ui.add(egui::Label::new(text).wrap().selectable(true));
            });
        }
        let mut clicked = false;
        ui.horizontal(|ui| {
            if self.is_set {
                widgets::small_pill(ui, theme.accent, "used for new runs");
            }
            if self.is_auto {
                widgets::small_pill(ui, theme.info, "automatic choice")
                    .on_hover_text("What new runs get where no device is named");
            }
            if !self.is_set {
                ui.add_enabled_ui(self.may_change, |ui| {
                    let button = widgets::button(ui, Kind::Secondary, None, "Use for new runs");
                    let name = format!("Use {} for new runs", device.title);
                    button.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, self.may_change, &name));
                    clicked = button.clicked();
                });
            } else if !self.is_chosen && self.may_change {
                let pin = widgets::small_icon(ui, ph::PUSH_PIN, &format!("Always use {}", device.title));
                clicked = pin.clicked();
            }
        });
        clicked
    }
}
