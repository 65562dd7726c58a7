//! The page Data.

use egui::Ui;

use super::{Cx, Page};

/// The page Data.
#[derive(Default)]
pub struct DataPage {}

impl Page for DataPage {
    fn title(&self) -> String {
        "Data".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
