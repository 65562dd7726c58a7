//! The registry's verbs: register, promote, export, import, verify.

use std::{cell::RefCell, path::Path};

use athanor_learn::{
    package::{self, Package, SignatureStatus},
    predictor::Predictor,
};
use athanor_protocol::{
    Code, Failure,
    names::{ModelRef, RunId, check_model_name},
    package::FinalMetric,
    registry::ModelVersion,
};
use athanor_store::{Expected, NewAudit, NewVersion, StoreError};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    error::{EngineError, Result},
    files, steward,
    workspace::Workspace,
};

thread_local! {
    /// Who asks what this thread does now, where that is somebody else than the operating-system user.
    static ASKER: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does work on this thread for somebody else, for example a key's owner: the audit log names them.
pub fn on_behalf_of<T>(actor: &str, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<String>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ASKER.with(|asker| *asker.borrow_mut() = self.0.take());
        }
    }
    let _restore = Restore(ASKER.with(|asker| asker.borrow_mut().replace(actor.to_owned())));
    work()
}

/// Who does something, for the audit log: whoever asked for it, else the operating-system user.
pub fn actor() -> String {
    if let Some(asker) = ASKER.with(|asker| asker.borrow().clone()) {
        return asker;
    }
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// SHA-256 of a whole package file, lower-case hex: its name among the artifacts.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Appends a line to the audit log.
///
/// # Errors
/// If it cannot be written.
pub fn audit(workspace: &Workspace, action: &str, subject: &str, detail: serde_json::Value) -> Result<()> {
    let at_millis = workspace.clock.now_millis();
    let (action, subject) = (action.to_owned(), subject.to_owned());
    workspace.store.append_audit(&NewAudit { at_millis, actor: actor(), action, subject, detail })?;
    Ok(())
}

/// Signs a package with the workspace's key and registers it as the next version. The same package again is the version
/// that it was.
///
/// # Errors
/// If the package cannot be read, or the name is not allowed.
pub fn register(
    workspace: &Workspace,
    name: &str,
    run: Option<&RunId>,
    bytes: &[u8],
    metrics: &[FinalMetric],
) -> Result<(ModelVersion, bool)> {
    check_model_name(name)?;
    let package = Package::read(bytes)?;
    let mut manifest = package.manifest().clone();
    for metric in metrics {
        manifest.metrics.retain(|known| known.key != metric.key);
        manifest.metrics.push(metric.clone());
    }
    let parts =
        manifest.parts.iter().filter_map(|entry| Some((entry.part, package.part(entry.part)?.to_vec()))).collect();
    let signed = package::sign(package::build(manifest, parts)?, &workspace.signing_key()?)?;
    keep(workspace, name, run, &signed)
}

/// Keeps a signed package: first the file, then the row that points to it.
fn keep(workspace: &Workspace, name: &str, run: Option<&RunId>, signed: &[u8]) -> Result<(ModelVersion, bool)> {
    let package = Package::read(signed)?;
    let SignatureStatus::Signed { key } = package.signature() else {
        return Err(EngineError::new(Code::Internal, "a package is registered without a signature"));
    };
    let manifest = package.manifest();
    let sha256 = sha256(signed);
    workspace.artifacts.put(&sha256, signed)?;
    let new = NewVersion {
        run_id: run.cloned(),
        sha256: sha256.clone(),
        n_bytes: signed.len() as u64,
        signature: manifest.signature.clone(),
        metrics: manifest.metrics.clone(),
        signed_by: key.clone(),
        created_at_millis: workspace.clock.now_millis(),
    };
    let registered = workspace.store.register_as(name, &new, &steward::act(workspace, ""))?;
    if registered.restored {
        // A cleaning that ran in between may have removed the file of a version that was still marked as deleted.
        workspace.artifacts.put(&sha256, signed)?;
    }
    Ok((registered.version, registered.existed))
}

/// Moves an alias. Returns the version that it pointed to before.
///
/// # Errors
/// If the alias is not allowed or there is no such version.
pub fn set_alias(workspace: &Workspace, name: &str, alias: &str, version: u32) -> Result<Option<u32>> {
    Ok(steward::promote(workspace, name, alias, Some(version), "")?.from)
}

/// Takes an alias away. Returns the version that it pointed to.
///
/// # Errors
/// If there is no such alias.
pub fn remove_alias(workspace: &Workspace, name: &str, alias: &str) -> Result<u32> {
    let none = || {
        let failure = Failure::new(Code::NotFound, format!("the model {name:?} has no alias {alias:?}"));
        EngineError::Failure(failure.hint("'athanor models list' shows aliases"))
    };
    check_model_name(name)?;
    let act = steward::act(workspace, "");
    match workspace.store.move_alias(name, alias, None, Expected::Anything, &act) {
        Ok(moved) => moved.from.ok_or_else(none),
        Err(StoreError::NotFound { what: "alias", .. }) => Err(none()),
        Err(err) => Err(err.into()),
    }
}

/// The bytes of a registered version's package, checked against its digest, its content and the trusted keys.
///
/// # Errors
/// If there is no such version, or its file is missing, changed, or signed by a key that is not trusted.
pub fn load(workspace: &Workspace, version: &ModelVersion) -> Result<(Vec<u8>, Package)> {
    let (bytes, package) = whole(workspace, version)?;
    package.verify(&trusted(workspace)?).map_err(|err| of_version(version, err.into()))?;
    Ok((bytes, package))
}

/// The bytes of a version's package as they were registered, whoever signed them.
fn whole(workspace: &Workspace, version: &ModelVersion) -> Result<(Vec<u8>, Package)> {
    let subject = format!("{}:{}", version.model, version.version);
    let missing = |why: String| {
        let failure = Failure::new(Code::Corrupt, format!("the package of {subject} {why}")).on(subject.clone());
        EngineError::Failure(failure.hint("import it again from an exported copy, or register the run again"))
    };
    let path = workspace.artifacts.path(&version.sha256).ok_or_else(|| missing("has no digest".to_owned()))?;
    let bytes = files::read_limited(&path, package::MAX_PACKAGE_BYTES)
        .map_err(|err| missing(format!("cannot be read ({err})")))?;
    let package = Package::read(bytes.as_slice()).map_err(|err| missing(format!("is damaged ({err})")))?;
    if sha256(&bytes) != version.sha256 {
        return Err(missing("is not the file that was registered".to_owned()));
    }
    match package.signature() {
        SignatureStatus::Signed { key } if *key == version.signed_by => Ok((bytes, package)),
        _ => Err(missing("is not signed by the key that it was registered with".to_owned())),
    }
}

/// Names the version in an error about its package.
fn of_version(version: &ModelVersion, err: EngineError) -> EngineError {
    let mut failure = err.into_failure();
    let subject = format!("{}:{}", version.model, version.version);
    failure.message = format!("{subject}: {}", failure.message);
    failure.subject = Some(subject);
    EngineError::Failure(failure)
}

/// Checks a registered version as it lies there: every byte, the signature, and that it can be loaded. Returns whether
/// this workspace trusts the key that signed it.
///
/// # Errors
/// Names the version, and what was changed or missing.
pub fn verify_version(workspace: &Workspace, version: &ModelVersion) -> Result<bool> {
    let (_, package) = whole(workspace, version)?;
    Predictor::from_package(&package, "cpu").map_err(|err| of_version(version, err.into()))?;
    Ok(trusted(workspace)?.contains(&version.signed_by))
}

/// The version that a reference means.
///
/// # Errors
/// If there is none.
pub fn resolve(workspace: &Workspace, reference: &str) -> Result<ModelVersion> {
    let reference: ModelRef = reference.parse()?;
    workspace.store.resolve(&reference).map_err(|err| match err {
        err @ StoreError::NotFound { .. } => EngineError::Failure(
            Failure::from(err).hint("'athanor models list' and the page Models show which there are"),
        ),
        err => err.into(),
    })
}

/// The public keys that this workspace trusts: its own and those that were added.
///
/// # Errors
/// If they cannot be read.
pub fn trusted(workspace: &Workspace) -> Result<Vec<String>> {
    let mut keys = vec![workspace.signing_key()?.public_hex()];
    keys.extend(workspace.store.trusted_signers()?.into_iter().map(|signer| signer.public_key));
    Ok(keys)
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// SHA-256 of the file.
    pub sha256: String,
    /// The key that signed it.
    pub signed_by: String,
    /// Whether that key is this workspace's own or was added.
    pub trusted: bool,
    /// What it predicts.
    pub task: String,
    /// The predicted column.
    pub target: String,
    /// Number of input columns.
    pub n_inputs: usize,
    /// Where it comes from.
    pub workflow: String,
    /// The run that made it.
    pub run_id: String,
}

/// Checks a package file: content, signature and, where a workspace is given, trust.
///
/// # Errors
/// Names what was changed or missing.
pub fn verify(path: &Path, workspace: Option<&Workspace>, trust: &[String]) -> Result<Verified> {
    let bytes = files::read_limited(path, package::MAX_PACKAGE_BYTES)?;
    let package = named(path, Package::read(bytes.as_slice()).map_err(Into::into))?;
    let SignatureStatus::Signed { key } = package.signature() else {
        let failure = Failure::new(Code::Untrusted, format!("the package is not signed: {}", path.display()));
        return Err(EngineError::Failure(failure.hint("register it; a registered version is signed")));
    };
    let key = key.clone();
    named(path, package.verify(std::slice::from_ref(&key)).map_err(Into::into))?;
    // Bytes that are as they were signed may still be no model: it is loaded, as serving would load it.
    named(path, Predictor::from_package(&package, "cpu").map(drop).map_err(Into::into))?;
    let trust: Vec<String> = trust.iter().map(|key| key.to_ascii_lowercase()).collect();
    if !trust.is_empty() {
        named(path, package.verify(&trust).map_err(Into::into))?;
    }
    let mut keys = trust;
    if let Some(workspace) = workspace {
        keys.extend(trusted(workspace)?);
    }
    let manifest = package.manifest();
    Ok(Verified {
        sha256: sha256(package.as_bytes()),
        trusted: keys.contains(&key),
        signed_by: key,
        task: manifest.signature.task.as_str().to_owned(),
        target: manifest.signature.target.clone(),
        n_inputs: manifest.signature.inputs.len(),
        workflow: manifest.lineage.workflow.clone(),
        run_id: manifest.lineage.run_id.clone(),
    })
}

/// Puts the file's name in front of an error.
fn named<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|err| {
        let mut failure = err.into_failure();
        failure.message = format!("{}: {}", path.display(), failure.message);
        EngineError::Failure(failure)
    })
}

/// Writes a registered version's package to a file.
///
/// # Errors
/// If there is no such version, its package is damaged, or the file cannot be written.
pub fn export(workspace: &Workspace, reference: &str, to: &Path) -> Result<ModelVersion> {
    let version = resolve(workspace, reference)?;
    let (bytes, _) = load(workspace, &version)?;
    files::write_atomic(to, &bytes)?;
    let subject = format!("{}:{}", version.model, version.version);
    audit(workspace, "model.export", &subject, json!({ "sha256": version.sha256 }))?;
    Ok(version)
}

/// Registers a package or an ONNX file from elsewhere. A package's signature must be by a trusted key, or by one that is named here, which is
/// then trusted from now on.
///
/// # Errors
/// If the package was changed, is not signed, or its key is not trusted.
pub fn import(workspace: &Workspace, path: &Path, name: &str, trust: Option<&str>) -> Result<(ModelVersion, bool)> {
    check_model_name(name)?;
    let trust = trust.map(str::to_ascii_lowercase);
    let trust = trust.as_deref();
    let bytes = files::read_limited(path, package::MAX_PACKAGE_BYTES)?;
    if crate::onnx::is_onnx(path, &bytes) {
        return crate::onnx::import(workspace, path, name, &bytes);
    }
    let package = named(path, Package::read(bytes.as_slice()).map_err(Into::into))?;
    let mut keys = trusted(workspace)?;
    keys.extend(trust.map(str::to_owned));
    if let Err(err) = package.verify(&keys) {
        let mut failure = EngineError::from(err).into_failure();
        failure.message = format!("{}: {}", path.display(), failure.message);
        if let (None, SignatureStatus::Signed { key }) = (trust, package.signature()) {
            failure.hint = Some(format!("if you know whose key this is: --trust {key}"));
            failure.subject = Some(key.clone());
        }
        return Err(EngineError::Failure(failure));
    }
    named(path, Predictor::from_package(&package, "cpu").map(drop).map_err(Into::into))?;
    let now = workspace.clock.now_millis();
    if let (Some(key), SignatureStatus::Signed { key: signed }) = (trust, package.signature())
        && key == signed
    {
        workspace.store.trust_signer(
            key,
            &format!("of {}", path.file_name().unwrap_or_default().to_string_lossy()),
            now,
        )?;
        audit(workspace, "signer.trust", key, json!({}))?;
    }
    keep(workspace, name, None, &bytes)
}
