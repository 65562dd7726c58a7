//! The page Models.

use egui::Ui;

use super::{Cx, Page};

/// The page Models.
#[derive(Default)]
pub struct ModelsPage {}

impl Page for ModelsPage {
    fn title(&self) -> String {
        "Models".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
