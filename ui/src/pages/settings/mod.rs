//! The page Settings.

use egui::Ui;

use super::{Cx, Page};

/// The page Settings.
#[derive(Default)]
pub struct SettingsPage {}

impl Page for SettingsPage {
    fn title(&self) -> String {
        "Settings".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
