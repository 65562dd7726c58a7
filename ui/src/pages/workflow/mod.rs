//! The page Workflow.

use egui::Ui;

use super::{Cx, Page};

/// The page Workflow.
#[derive(Default)]
pub struct WorkflowPage {}

impl Page for WorkflowPage {
    fn title(&self) -> String {
        "Workflow".to_owned()
    }

    fn ui(&mut self, _ui: &mut Ui, _cx: &mut Cx<'_>) {}
}
