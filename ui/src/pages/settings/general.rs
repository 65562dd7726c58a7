//! How it looks, and what new runs and the endpoint get.

use athanor_protocol::api::ThemeChoice;
use egui::{RichText, Ui};

use super::SettingsPage;
use crate::{
    icons::ph,
    pages::Cx,
    theme::{self, font_size, size},
    widgets,
};

const GIB: f64 = (1u64 << 30) as f64;

/// What is being typed or dragged and not set yet.
#[derive(Default)]
pub(super) struct Typed {
    /// The scale in percent while the slider is dragged.
    scale: Option<f64>,
    /// The seed's text while it is typed.
    seed: Option<String>,
    /// Text for the clipboard in the next frame.
    pub(super) copy: Option<String>,
}

/// A setting: its name and what it means at the left, its control at the right.
fn setting(ui: &mut Ui, name: &str, help: &str, add: impl FnOnce(&mut Ui)) {
    let control = (ui.available_width() * 0.5).clamp(150.0, 260.0);
    let room = (ui.available_width() - control - size::GAP).max(80.0);
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = size::GAP;
        ui.allocate_ui(egui::vec2(room, 0.0), |ui| {
            ui.set_width(room);
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 2.0;
                ui.add_space(size::TINY_GAP);
                let theme = theme::Theme::of(ui);
                ui.label(RichText::new(name).font(theme::medium(font_size::BODY)).color(theme.text));
                if !help.is_empty() {
                    ui.label(RichText::new(help).size(font_size::LABEL).color(theme.muted));
                }
            });
        });
        ui.allocate_ui(egui::vec2(control, 0.0), |ui| {
            ui.set_width(control);
            ui.vertical(add);
        });
    });
}

impl SettingsPage {
    pub(super) fn look_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if let Some(text) = self.typed.copy.take() {
            ui.ctx().copy_text(text);
            cx.toasts.ok("Copied the folder");
        }
        let may_change = cx.desk.hello().is_none_or(|hello| hello.may_change);
        widgets::titled_card(ui, "Look", "", |ui| {
            ui.spacing_mut().item_spacing.y = size::GAP;
            ui.add_enabled_ui(may_change, |ui| {
                setting(ui, "Theme", "", |ui| {
                    let mut choice = cx.desk.settings().theme;
                    let options =
                        [(ThemeChoice::System, "System"), (ThemeChoice::Light, "Light"), (ThemeChoice::Dark, "Dark")];
                    if widgets::segments(ui, &mut choice, &options) {
                        cx.desk.change_settings(|settings| settings.theme = choice);
                    }
                });
                setting(ui, "Size of everything", "Applied when you let go", |ui| self.scale_ui(ui, cx));
                setting(ui, "Motion", "Spinners and things that slide", |ui| {
                    let mut reduced = cx.desk.settings().reduced_motion;
                    if widgets::switch(ui, &mut reduced, "Leave out motion").changed() {
                        cx.desk.change_settings(|settings| settings.reduced_motion = reduced);
                    }
                });
            });
        });
    }

    fn scale_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let now = f64::from(cx.desk.settings().scale) * 100.0;
        let mut scale = self.typed.scale.unwrap_or(now.round());
        let response = widgets::slider(ui, "Size of everything", &mut scale, 70.0..=200.0, 5.0, " %");
        if response.changed() {
            self.typed.scale = Some(scale);
        }
        // A drag is over when it is let go; keys and typing take effect at once.
        let dragged = response.dragged() || ui.input(|input| input.pointer.any_down());
        if let Some(scale) = self.typed.scale {
            if dragged {
                let size = font_size::BODY * (scale / now.max(1.0)) as f32;
                let text =
                    RichText::new("This is how large text will be").font(theme::regular(size)).color(cx.theme.text);
                ui.add(egui::Label::new(text).truncate());
            } else {
                self.typed.scale = None;
                cx.desk.change_settings(|settings| settings.scale = (scale / 100.0).clamp(0.7, 2.0) as f32);
            }
        }
    }

    pub(super) fn runs_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let may_change = cx.desk.hello().is_none_or(|hello| hello.may_change);
        widgets::titled_card(ui, "New runs", "", |ui| {
            ui.spacing_mut().item_spacing.y = size::GAP;
            ui.add_enabled_ui(may_change, |ui| {
                setting(ui, "Device", "Automatic takes the fastest", |ui| self.device_ui(ui, cx));
                setting(ui, "Seed", "The same seed gives the same run again", |ui| self.seed_ui(ui, cx));
                setting(ui, "Threads", "0 uses all cores", |ui| {
                    let mut threads = f64::from(cx.desk.settings().threads);
                    if widgets::number_field(ui, "Threads", &mut threads, 0.0..=1024.0, "").changed() {
                        cx.desk.change_settings(|settings| settings.threads = threads.round() as u32);
                    }
                });
                setting(ui, "Most memory", "0 allows nine tenths of the machine's", |ui| {
                    let mut limit = (cx.desk.settings().memory_limit_bytes as f64 / GIB * 10.0).round() / 10.0;
                    if widgets::number_field(ui, "Most memory", &mut limit, 0.0..=4096.5, "GiB").changed() {
                        cx.desk.change_settings(|settings| settings.memory_limit_bytes = (limit * GIB) as u64);
                    }
                });
            });
        });
        widgets::titled_card(ui, "Endpoint", "", |ui| {
            ui.add_enabled_ui(may_change, |ui| {
                setting(ui, "Port", "0 takes one that is free; counts from the next start on", |ui| {
                    let mut port = f64::from(cx.desk.settings().endpoint_port);
                    if widgets::number_field(ui, "Port", &mut port, 0.0..=65535.0, "").changed() {
                        cx.desk.change_settings(|settings| settings.endpoint_port = port.round() as u16);
                    }
                });
            });
        });
    }

    fn device_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let mut device = cx.desk.settings().device.clone();
        let mut options = vec![("auto".to_owned(), "Automatic".to_owned())];
        if let Some(found) = self.devices.value() {
            if let Some(auto) = found.devices.iter().find(|device| device.name == found.auto)
                && let Some((_, text)) = options.first_mut()
            {
                *text = format!("Automatic ({})", auto.title);
            }
            options.extend(found.devices.iter().map(|device| (device.name.clone(), device.title.clone())));
        }
        if !options.iter().any(|(name, _)| *name == device) {
            let text = if self.devices.value().is_some() { format!("{device} (not there)") } else { device.clone() };
            options.push((device.clone(), text));
        }
        if widgets::choice(ui, "settings-device", "Device", &mut device, &options) {
            cx.desk.change_settings(|settings| settings.device = device);
        }
    }

    fn seed_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let now = cx.desk.settings().seed;
        let mut text = self.typed.seed.clone().unwrap_or_else(|| now.to_string());
        let trouble = text.trim().parse::<u64>().is_err().then_some("a whole number from 0 is needed");
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let width = (ui.available_width() - 40.0).min(150.0);
            let edit = ui.scope(|ui| {
                ui.set_max_width(width);
                widgets::line_edit(ui, "Seed", &mut text, "42", false)
            });
            let edit = edit.inner;
            if edit.changed() {
                if let Ok(seed) = text.trim().parse::<u64>() {
                    cx.desk.change_settings(|settings| settings.seed = seed);
                }
                self.typed.seed = Some(text.clone());
            } else if !edit.has_focus() {
                // What is no number is dropped with the focus.
                self.typed.seed = None;
            }
            if widgets::icon_button(ui, ph::DICE_FIVE, "Another seed").clicked() {
                let seed = cx.desk.now_millis().unsigned_abs() % 1_000_000;
                self.typed.seed = None;
                cx.desk.change_settings(|settings| settings.seed = seed);
            }
        });
        if let Some(trouble) = trouble {
            ui.label(RichText::new(widgets::sentence(trouble)).size(12.0).color(cx.theme.bad));
        }
    }
}
