//! How versions are approved, promoted, taken back and cleaned away: stages, the history of aliases, rules, texts of
//! cards.

use serde::{Deserialize, Serialize};

use crate::registry::PRODUCTION;

/// Longest reason or text of a card, in bytes.
pub const MAX_CARD_TEXT_BYTES: usize = 16 << 10;
/// The parts of a card that people write.
pub const CARD_FIELDS: [&str; 7] =
    ["intended_use", "out_of_scope", "limitations", "ethics", "licence", "owner", "notes"];

/// How far a version has come in the eyes of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody has said anything.
    #[default]
    None,
    /// Put forward, waits for approval.
    Candidate,
    /// May be served.
    Approved,
    /// Must not be served.
    Rejected,
    /// Kept for the record.
    Archived,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 5] = [Self::None, Self::Candidate, Self::Approved, Self::Rejected, Self::Archived];

    /// The stage as it is written in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Candidate => "candidate",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Archived => "archived",
        }
    }

    /// The other way round.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// A version changed its stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageChange {
    /// The version.
    pub version: u32,
    /// The stage before.
    pub from: Stage,
    /// The stage since then.
    pub to: Stage,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who: the operating-system user or a key's id.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
}

/// How an alias came to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveKind {
    /// Somebody named the version.
    Move,
    /// Back to the version before.
    RollBack,
    /// A move was undone: back as well.
    UndoMove,
    /// A way back was undone: forth again.
    UndoRollBack,
}

impl MoveKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Move, Self::RollBack, Self::UndoMove, Self::UndoRollBack];

    /// The kind as it is written in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::RollBack => "roll_back",
            Self::UndoMove => "undo_move",
            Self::UndoRollBack => "undo_roll_back",
        }
    }

    /// The other way round.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A move of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMove {
    /// The alias.
    pub alias: String,
    /// Where it pointed before; `None` where it was not there.
    pub from: Option<u32>,
    /// Where it points since then; `None` where it was taken away.
    pub to: Option<u32>,
    /// How it came to it.
    pub kind: MoveKind,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who: the operating-system user or a key's id.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
}

/// What a workspace or a model asks of its versions. By default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Aliases that may point to approved versions only.
    pub needs_approval: Vec<String>,
    /// Whoever registered a version may not approve it.
    pub forbid_self_approval: bool,
    /// The newest versions that cleaning keeps, however old they are.
    pub keep_newest: Option<u32>,
    /// Cleaning keeps versions that are not older than so many days.
    pub keep_days: Option<u32>,
}

impl Rules {
    /// Whether an alias may point to approved versions only.
    pub fn protects(&self, alias: &str) -> bool {
        self.needs_approval.iter().any(|other| other == alias)
    }

    /// Rules under which what is served must be approved by somebody else.
    pub fn production_needs_approval() -> Self {
        Self { needs_approval: vec![PRODUCTION.to_owned()], forbid_self_approval: true, ..Self::default() }
    }
}

/// A version that was marked as deleted. Its number is never used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedVersion {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// SHA-256 of the package.
    pub sha256: String,
    /// Size of the package.
    pub n_bytes: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
    /// When its package was removed; until then it can be restored.
    pub cleaned_at_millis: Option<i64>,
}

/// A text of a card, as it was written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardText {
    /// Which part, one of [`CARD_FIELDS`].
    pub field: String,
    /// The text; empty where it was taken away.
    pub text: String,
    /// Counts up from 1 with each change.
    pub revision: u32,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who wrote it.
    pub actor: String,
}
