//! The page Compute.

use egui::Ui;

use super::{Cx, Page};

/// The page Compute.
#[derive(Default)]
pub struct ComputePage {}

impl Page for ComputePage {
    fn title(&self) -> String {
        "Compute".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
