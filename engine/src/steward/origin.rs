//! Where a version comes from: the node of its run that trained it, and what the run found out about it.

use std::collections::BTreeMap;

use athanor_learn::package::{MAX_PACKAGE_BYTES, Package};
use athanor_protocol::{
    job::{JobSpec, JobStep},
    registry::ModelVersion,
    run::RunDetail,
};
use serde::de::DeserializeOwned;

use crate::{files, worker, workspace::Workspace};

/// Most bytes of a report or of judged rows.
const MAX_BYTES: u64 = 256 << 20;

/// The run of a version as far as it is still known here. Nothing of it is needed to serve, so anything may be missing.
pub(super) struct Origin {
    pub(super) detail: RunDetail,
    job: Option<JobSpec>,
    /// The training node.
    trained: Option<String>,
}

impl Origin {
    /// `None` for an imported version, or where the run is not in this workspace.
    pub(super) fn of(workspace: &Workspace, version: &ModelVersion, package: &Package) -> Option<Self> {
        let run = version.run_id.as_ref()?;
        let detail = workspace.store.run(run).ok()?;
        let job = worker::read_job(&workspace.job_folder(run)).ok();
        let trained = trained(workspace, &detail, package);
        Some(Self { detail, job, trained })
    }

    /// The step of a kind that works with this model, or that it was made by.
    fn judged(&self) -> Option<&JobStep> {
        let trained = self.trained.as_deref()?;
        let is_of = |step: &&JobStep| {
            step.kind == "evaluate" && step.inputs.get("model").is_some_and(|(node, _)| node == trained)
        };
        self.job.as_ref()?.steps.iter().find(is_of)
    }

    /// The split that the model was trained on.
    pub(super) fn split(&self) -> Option<&JobStep> {
        let steps = &self.job.as_ref()?.steps;
        let find = |node: &str| steps.iter().find(|step| step.node == node);
        let (node, _) = find(self.trained.as_deref()?)?.inputs.get("splits")?;
        find(node)
    }

    /// Parameters of the split, as text.
    pub(super) fn split_params(&self) -> Vec<(String, String)> {
        let params = self.split().map(|split| split.params.clone()).unwrap_or_default();
        let text = |(name, value): (String, serde_json::Value)| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        };
        BTreeMap::from_iter(params).into_iter().filter_map(text).collect()
    }

    /// What the evaluation of this model left under a kind: read where it is whole.
    pub(super) fn artifact<T: DeserializeOwned>(&self, workspace: &Workspace, kind: &str) -> Option<T> {
        let of_kind: Vec<_> = self.detail.artifacts.iter().filter(|artifact| artifact.kind == kind).collect();
        let artifact = match (self.judged(), of_kind.as_slice()) {
            (Some(step), found) => found.iter().find(|one| one.name.split('.').next() == Some(&step.node))?,
            // Without its job, the only one there is can be meant, but not where several were trained.
            (None, [only]) => only,
            _ => return None,
        };
        let path = workspace.artifacts.path(&artifact.digest)?;
        let bytes = files::read_limited(&path, MAX_BYTES).ok()?;
        (files::digest_bytes(&bytes) == artifact.digest).then_some(())?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// The node whose package has the same parts: signing and registering change the manifest, never a part.
fn trained(workspace: &Workspace, detail: &RunDetail, package: &Package) -> Option<String> {
    let packages = detail.artifacts.iter().filter(|artifact| artifact.kind == "model_package");
    for artifact in packages {
        let bytes = workspace
            .artifacts
            .path(&artifact.digest)
            .and_then(|path| files::read_limited(&path, MAX_PACKAGE_BYTES).ok());
        let Some(other) = bytes.and_then(|bytes| Package::read(bytes).ok()) else { continue };
        if other.manifest().parts == package.manifest().parts {
            return artifact.name.split('.').next().map(str::to_owned);
        }
    }
    None
}
