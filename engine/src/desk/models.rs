//! Models, versions and aliases.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use athanor_protocol::{
    Code, Failure,
    api::{
        AliasMoved, Done, Event, ModelAlias, ModelExport, ModelImport, ModelList, ModelPage, ModelPredict,
        ModelRegister, ModelRegistered, ModelVerify, ModelVersions, PredictAnswer, VerifyAnswer, VersionPage,
    },
    registry::PRODUCTION,
    table::DataSource,
};
use athanor_store::{Page, PageRequest};

use super::{Desk, endpoint, schedule};
use crate::{
    predict::{BatchProgress, Job, predict_file},
    registry,
    runs::effects,
    workspace::Workspace,
};

/// Models, versions or keys on a page.
const PAGE: u32 = 100;
/// Between two words about how far a batch prediction is.
pub(super) const PROGRESS: Duration = Duration::from_millis(200);

/// A page of that many.
pub(super) fn page(after: Option<String>) -> PageRequest {
    PageRequest { size: PAGE, token: after }
}

pub(super) fn reference(model: &str, version: u32) -> String {
    format!("{model}:{version}")
}

/// A path that a user chose. A relative one would be taken from wherever the program was started.
fn chosen(path: &str, what: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(path);
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    Err(Failure::new(Code::InvalidArgument, format!("{what} needs a whole path, not {:?}", path.display().to_string()))
        .hint("write it from the root of the disk on"))
}

/// A path without links, as far as it is there; what is not there yet stays as it is.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)));
    match there {
        Some((above, found)) => found.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
        None => path.to_owned(),
    }
}

/// Whether a file would be one of those that the workspace keeps for itself (ARCHITECTURE.md lists them).
fn is_of_the_workspace(root: &Path, parent: &Path, name: &str) -> bool {
    // Not `data`: what is predicted of an uploaded table goes beside it.
    const FOLDERS: [&str; 7] = ["artifacts", "keys", "cache", "jobs", "workflows", "page", "captures"];
    const FILES: [&str; 5] = ["athanor.", "schedules.", "tables.", "window.", "."];
    // Names are compared as a disk does that does not tell large letters from small ones.
    let lower = |text: &str| text.to_lowercase();
    match parent.strip_prefix(root) {
        Err(_) => false,
        Ok(within) => match within.components().next() {
            None => FILES.iter().any(|own| lower(name).starts_with(own)) || FOLDERS.contains(&lower(name).as_str()),
            Some(first) => FOLDERS.contains(&lower(&first.as_os_str().to_string_lossy()).as_str()),
        },
    }
}

/// A file to write. What the workspace keeps for itself is not written over by a slip in a dialog.
pub(super) fn target(workspace: &Workspace, path: &str, what: &str) -> Result<PathBuf, Failure> {
    let path = chosen(path, what)?;
    if path.is_dir() || path.file_name().is_none() {
        return Err(Failure::new(Code::InvalidArgument, format!("{what} would replace a folder: {}", path.display()))
            .on(path.display().to_string())
            .hint("add a file name"));
    }
    if path.components().any(|part| part == std::path::Component::ParentDir) {
        let message = format!("{what} needs a path without '..': {}", path.display());
        return Err(Failure::new(Code::InvalidArgument, message).on(path.display().to_string()));
    }
    let parent = real(path.parent().unwrap_or(&path));
    let root = real(workspace.root());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if is_of_the_workspace(&root, &parent, &name) {
        return Err(Failure::new(
            Code::PermissionDenied,
            format!("{what} would write over files of the workspace itself: {}", path.display()),
        )
        .on(path.display().to_string())
        .hint("choose another folder"));
    }
    Ok(path)
}

pub(super) fn model_list(desk: &Arc<Desk>, ask: ModelList) -> Result<ModelPage, Failure> {
    let Page { items, next } = desk.workspace()?.store.models(&page(ask.after))?;
    Ok(ModelPage { items, next })
}

pub(super) fn model_versions(desk: &Arc<Desk>, ask: ModelVersions) -> Result<VersionPage, Failure> {
    let Page { items, next } = desk.workspace()?.store.versions(&ask.model, &page(ask.after))?;
    Ok(VersionPage { items, next })
}

pub(super) fn model_alias(desk: &Arc<Desk>, ask: ModelAlias) -> Result<AliasMoved, Failure> {
    let workspace = desk.workspace()?;
    let previous = match ask.version {
        Some(version) => registry::set_alias(&workspace, &ask.model, &ask.alias, version)?,
        None => Some(registry::remove_alias(&workspace, &ask.model, &ask.alias)?),
    };
    desk.publish(Event::ModelsChanged {});
    if ask.alias == PRODUCTION && previous != ask.version {
        serves_something_else(desk);
    } else {
        endpoint::refresh(desk);
    }
    Ok(AliasMoved { previous })
}

/// A running endpoint tells by itself once it has changed; one that is stopped would serve something else now.
pub(super) fn serves_something_else(desk: &Arc<Desk>) {
    if endpoint::is_running(desk) {
        endpoint::refresh(desk);
    } else {
        endpoint::tell(desk);
    }
}

pub(super) fn model_verify(desk: &Arc<Desk>, ask: ModelVerify) -> Result<VerifyAnswer, Failure> {
    let workspace = desk.workspace()?;
    let version = registry::resolve(&workspace, &reference(&ask.model, ask.version))?;
    let trusted = registry::verify_version(&workspace, &version)?;
    Ok(VerifyAnswer { trusted, signed_by: version.signed_by, sha256: version.sha256 })
}

pub(super) fn model_export(desk: &Arc<Desk>, ask: ModelExport) -> Result<Done, Failure> {
    let workspace = desk.workspace()?;
    let to = target(&workspace, &ask.path, "the export")?;
    registry::export(&workspace, &reference(&ask.model, ask.version), &to)?;
    Ok(Done {})
}

pub(super) fn model_import(desk: &Arc<Desk>, ask: ModelImport) -> Result<ModelRegistered, Failure> {
    let workspace = desk.workspace()?;
    let from = chosen(&ask.path, "the import")?;
    let imported = registry::import(&workspace, &from, &ask.name, ask.trust.as_deref());
    let (version, existed) = imported.map_err(|err| {
        let mut failure = err.into_failure();
        if failure.code == Code::Untrusted && ask.trust.is_none() && failure.subject.is_some() {
            failure.hint = Some("compare the key with the one that its owner names, then trust it".to_owned());
        }
        failure
    })?;
    desk.publish(Event::ModelsChanged {});
    Ok(ModelRegistered { version, existed })
}

pub(super) fn model_register(desk: &Arc<Desk>, ask: ModelRegister) -> Result<ModelRegistered, Failure> {
    let workspace = desk.workspace()?;
    let (version, existed) = effects::register_from_run(&workspace, &ask.run, ask.node.as_deref(), &ask.name)?;
    desk.publish(Event::ModelsChanged {});
    Ok(ModelRegistered { version, existed })
}

pub(super) fn model_predict(desk: &Arc<Desk>, ask: ModelPredict) -> Result<PredictAnswer, Failure> {
    let workspace = desk.workspace()?;
    let to = target(&workspace, &ask.to, "the prediction")?;
    let ending = to.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    if !matches!(ending.as_deref(), Some("csv" | "parquet")) {
        let message = format!("the predictions must go to a file that ends in .csv or .parquet: {}", to.display());
        return Err(Failure::new(Code::InvalidArgument, message).on(to.display().to_string()));
    }
    let mut source = DataSource::file(&ask.from);
    if Path::new(&ask.from).is_relative() {
        // As everywhere: a relative name of a table starts at the workspace.
        source.path = workspace.root().join(&ask.from).to_string_lossy().into_owned();
    }
    let reference = reference(&ask.model, ask.version);
    let job = Job { reference: &reference, source: &source, to: &to, keep_input: ask.keep_input, device: "cpu" };
    let mut told: Option<Instant> = None;
    let mut progress = |far: BatchProgress| {
        if told.is_none_or(|told| told.elapsed() >= PROGRESS) {
            told = Some(Instant::now());
            let (token, note) = (ask.token.clone(), format!("{} rows predicted", far.n_rows));
            // In thousandths of the table: its rows are not counted beforehand.
            let (done, total) = far.share.map_or((far.n_rows, 0), |share| ((share * 1_000.0) as u64, 1_000));
            desk.publish(Event::Progress { token, done, total, note });
        }
    };
    let working = desk.works.begin(&ask.token);
    Ok(schedule::answer(predict_file(&workspace, &job, &working.flag, &mut progress)?))
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
