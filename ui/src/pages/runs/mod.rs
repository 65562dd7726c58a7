//! The page Runs.

use egui::Ui;

use super::{Cx, Page};

/// The page Runs.
#[derive(Default)]
pub struct RunsPage {}

impl Page for RunsPage {
    fn title(&self) -> String {
        "Runs".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
