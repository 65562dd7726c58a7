//! The page Compute: the devices of this machine, and how busy it is.

mod devices;
mod load;

use athanor_protocol::api::{DevicesList, Event};
use egui::Ui;

use self::load::Load;
use super::{Command, Cx, Page};
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::ph,
    widgets,
};

/// The page Compute.
#[derive(Default)]
pub struct ComputePage {
    devices: Remote<DevicesList>,
    /// A new look for devices, and since when.
    looking: Option<(Ticket<DevicesList>, f64)>,
    load: Load,
}

impl ComputePage {
    fn look_again(&mut self, cx: &mut Cx<'_>) {
        if self.looking.is_none() {
            self.looking = Some((cx.desk.ask(DevicesList { refresh: true }), cx.desk.now_secs()));
        }
    }
}

impl Page for ComputePage {
    fn title(&self) -> String {
        "Compute".to_owned()
    }

    fn fact(&self, _: &Cx<'_>) -> String {
        self.devices.value().map_or_else(String::new, |found| format::plural(found.devices.len() as u64, "device"))
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.add_enabled_ui(self.looking.is_none(), |ui| {
            let response = widgets::secondary(ui, ph::ARROW_CLOCKWISE, "Look again");
            if response.on_hover_text("Look for graphics cards again").clicked() {
                self.look_again(cx);
            }
        });
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.devices.keep(cx.desk, &DevicesList::default());
        self.load.keep(ui, cx.desk);
        super::scrolled(ui, "compute", |ui| {
            self.devices_ui(ui, cx);
            self.load.ui(ui, cx);
        });
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        if let Some((ticket, _)) = self.looking
            && let Some(result) = cx.desk.take(ticket)
        {
            self.looking = None;
            match result {
                Ok(found) => {
                    let n = found.devices.len() as u64;
                    cx.toasts.ok(format!("Found {}", format::plural(n, "device")));
                    match self.devices.value_mut() {
                        Some(known) => *known = found,
                        None => self.devices.invalidate(),
                    }
                }
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
    }

    fn event(&mut self, event: &Event, _: &mut Cx<'_>) {
        if matches!(event, Event::Lagged {}) {
            self.devices.invalidate();
        }
    }

    fn commands(&self, _: &Cx<'_>) -> Vec<Command> {
        vec![Command::new("compute.look", "Look for devices again", ph::ARROW_CLOCKWISE, "")]
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        if command == "compute.look" {
            self.look_again(cx);
        }
    }
}
