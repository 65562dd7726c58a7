//! The page Endpoints.

use egui::Ui;

use super::{Cx, Page};

/// The page Endpoints.
#[derive(Default)]
pub struct EndpointsPage {}

impl Page for EndpointsPage {
    fn title(&self) -> String {
        "Endpoints".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
