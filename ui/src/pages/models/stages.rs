//! Stages: how far a version has come in the eyes of people, in words and colours, and the way back of production.

use athanor_protocol::{
    api::ModelHistoryAnswer,
    governance::{MoveKind, Stage},
    registry::{ModelVersion, PRODUCTION},
};
use egui::{Response, Ui};

use super::is_production;
use crate::{theme::Theme, widgets};

/// A stage as people call it.
pub(super) const fn stage_title(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "no stage",
        Stage::Candidate => "waits for approval",
        Stage::Approved => "approved",
        Stage::Rejected => "rejected",
        Stage::Archived => "archived",
    }
}

/// What sets a stage, as a button says it.
pub(super) const fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "Clear the stage",
        Stage::Candidate => "Put forward",
        Stage::Approved => "Approve",
        Stage::Rejected => "Reject",
        Stage::Archived => "Archive",
    }
}

/// What was done, as a message begins.
pub(super) const fn said(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "Cleared the stage of",
        Stage::Candidate => "Put forward",
        Stage::Approved => "Approved",
        Stage::Rejected => "Rejected",
        Stage::Archived => "Archived",
    }
}

/// Its colour.
pub(super) fn stage_color(theme: &Theme, stage: Stage) -> egui::Color32 {
    match stage {
        Stage::None | Stage::Archived => theme.muted,
        Stage::Candidate => theme.info,
        Stage::Approved => theme.ok,
        Stage::Rejected => theme.bad,
    }
}

/// A stage's pill; nothing where nobody has said anything.
pub(super) fn stage_pill(ui: &mut Ui, stage: Stage) -> Option<Response> {
    let color = stage_color(Theme::of(ui), stage);
    (stage != Stage::None).then(|| widgets::small_pill(ui, color, stage_title(stage)))
}

/// The version that production goes back to, and whether the engine's history tells it.
pub(super) fn back_to(items: &[ModelVersion], history: Option<&ModelHistoryAnswer>) -> Option<(u32, bool)> {
    let now = items.iter().find(|item| is_production(item))?;
    let moves = history.map(|history| history.moves.as_slice()).unwrap_or_default();
    let came = moves
        .iter()
        .find(|step| step.alias == PRODUCTION && step.to == Some(now.version) && step.kind == MoveKind::Move);
    match came.and_then(|step| step.from) {
        Some(from) => Some((from, true)),
        // Nothing is known of how it came there: the version before.
        None => now.version.checked_sub(1).filter(|version| *version > 0).map(|version| (version, false)),
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn the_way_back_is_the_one_by_which_it_came() {
        let items: Vec<ModelVersion> = (1..=7).rev().map(fake::model_version).collect();
        let mut history = fake::history();
        assert_eq!(back_to(&items, Some(&history)), Some((5, true)));
        history.moves[0].from = Some(3);
        assert_eq!(back_to(&items, Some(&history)), Some((3, true)));
        history.moves.clear();
        assert_eq!(back_to(&items, Some(&history)), Some((5, false)));
        assert_eq!(back_to(&items, None), Some((5, false)));
        assert_eq!(back_to(&items[..1], None), None, "version 7 is not in production");
    }
}
