//! Models and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    names::RunId,
    registry::{ModelSummary, ModelVersion},
};

/// Asks for a page of models, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelList {
    /// The token of the page before.
    pub after: Option<String>,
}

/// A page of models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelPage {
    /// The models.
    pub items: Vec<ModelSummary>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Asks for a page of a model's versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersions {
    /// The model.
    pub model: String,
    /// The token of the page before.
    pub after: Option<String>,
}

/// A page of versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionPage {
    /// The versions.
    pub items: Vec<ModelVersion>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Moves or removes an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAlias {
    /// The model.
    pub model: String,
    /// The alias.
    pub alias: String,
    /// Where it points now; `None` removes it.
    pub version: Option<u32>,
}

/// What an alias pointed to before: moving it back undoes the move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMoved {
    /// The version before; `None` where there was no such alias.
    pub previous: Option<u32>,
}

/// Checks a version's bytes and signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVerify {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyAnswer {
    /// Whether the signing key is one that this workspace trusts.
    pub trusted: bool,
    /// The key that signed it.
    pub signed_by: String,
    /// SHA-256 of the package.
    pub sha256: String,
}

/// Writes a package to a place of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelExport {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// Where to.
    pub path: String,
}

/// Registers a package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelImport {
    /// The file.
    pub path: String,
    /// The model's name.
    pub name: String,
    /// A public key that is trusted from now on. A package by a stranger is refused as `Untrusted` with the key as its
    /// subject; who knows whose key that is asks again with it here.
    #[serde(default)]
    pub trust: Option<String>,
}

/// Registers what a run trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRegister {
    /// The run.
    pub run: RunId,
    /// The training node; may be left out where there is one.
    pub node: Option<String>,
    /// The model's name.
    pub name: String,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRegistered {
    /// The version.
    pub version: ModelVersion,
    /// Whether this very package was registered before.
    pub existed: bool,
}

/// Predicts a whole table into a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPredict {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// The table.
    pub from: String,
    /// The file to write; its ending tells the format.
    pub to: String,
    /// Whether the input's columns stand in front.
    pub keep_input: bool,
    /// For the progress events.
    pub token: String,
}

/// What a batch prediction did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PredictAnswer {
    /// The version that predicted.
    pub version: u32,
    /// Rows that were predicted.
    pub n_rows: u64,
    /// Rows of these that an earlier, broken run had predicted already.
    pub n_resumed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Columns with missing values that were imputed, and how many.
    pub missing: BTreeMap<String, u64>,
    /// Text columns and how many of their values training has never seen.
    pub new_categories: BTreeMap<String, u64>,
    /// Columns of numbers and how many of their values lie outside of what training has seen.
    pub out_of_range: BTreeMap<String, u64>,
}
