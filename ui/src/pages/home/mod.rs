//! The page Home.

use egui::Ui;

use super::{Cx, Page};

/// The page Home.
#[derive(Default)]
pub struct HomePage {}

impl Page for HomePage {
    fn title(&self) -> String {
        "Home".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
