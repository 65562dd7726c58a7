//! What a workflow changes outside its cache, done by the engine after the worker: registering models.

use athanor_protocol::{
    Code, Failure,
    check::Problem,
    governance::Stage,
    job::{JobSpec, JobStep},
    metric::Split,
    names::{check_alias, check_model_name},
    package::FinalMetric,
    registry::ModelVersion,
    workflow::Workflow,
};
use serde::Serialize;

use crate::{
    error::{EngineError, Result},
    files, registry, steward,
    worker::PACKAGE_FILE,
    workspace::Workspace,
};

/// A version that a run registered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Registered {
    /// The node.
    pub node: String,
    /// The registered model's name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// Whether this very package was registered before.
    pub existed: bool,
    /// The alias that points to it now.
    pub alias: Option<String>,
}

/// Checks names before hours of training end in a refused name.
///
/// # Errors
/// The problems.
pub fn check(workflow: &Workflow) -> Result<()> {
    let problems = problems(workflow);
    if problems.is_empty() { Ok(()) } else { Err(EngineError::Workflow(problems)) }
}

/// What is wrong with the names that a workflow would register.
pub fn problems(workflow: &Workflow) -> Vec<Problem> {
    let mut problems = vec![];
    for node in workflow.nodes.iter().filter(|node| node.kind == "register") {
        let text = |name: &str| node.params.get(name).and_then(|value| value.as_str());
        let name = text("name").map_or(Ok(()), check_model_name).err().map(|err| ("name", err));
        let alias = text("alias").map_or(Ok(()), check_alias).err().map(|err| ("alias", err));
        for (param, err) in name.into_iter().chain(alias) {
            let (node, param) = (Some(node.id.clone()), Some(param.to_owned()));
            problems.push(Problem { node, port: None, param, message: err.to_string() });
        }
    }
    problems
}

/// Does the effects of a job whose work is done.
///
/// # Errors
/// If a package cannot be read, signed or registered; what was registered before stays.
pub fn apply(workspace: &Workspace, job: &JobSpec) -> Result<Vec<Registered>> {
    let mut registered = vec![];
    for step in job.steps.iter().filter(|step| step.kind == "register") {
        let text = |name: &str| step.params.get(name).and_then(|value| value.as_str());
        let (package, metrics) = model_of(workspace, job, step, "model")?;
        let run = Some(&job.run_id);
        let name = text("name").unwrap_or_default();
        let (version, existed) = registry::register(workspace, name, run, &package, &metrics)?;
        let alias = match text("alias") {
            Some(alias) => point(workspace, &version, alias)?.then(|| alias.to_owned()),
            None => None,
        };
        registered.push(Registered {
            node: step.node.clone(),
            model: version.model,
            version: version.version,
            existed,
            alias,
        });
    }
    Ok(registered)
}

/// Moves an alias to a version that a run has made; whether it did. Where the alias needs an approval that the version
/// cannot have yet, the version is put forward as a candidate instead: the work of the run is not lost by it.
fn point(workspace: &Workspace, version: &ModelVersion, alias: &str) -> Result<bool> {
    let (rules, _) = workspace.store.rules(Some(&version.model))?;
    if !rules.protects(alias) || version.stage == Stage::Approved {
        registry::set_alias(workspace, &version.model, alias, version.version)?;
        return Ok(true);
    }
    if version.stage == Stage::None {
        let reason = format!("its run wants {alias:?} to point to it");
        steward::set_stage(workspace, &version.model, version.version, Stage::Candidate, false, &reason)?;
    }
    Ok(false)
}

/// The package that feeds a port, and the metrics that the job found for it: what training said and what an evaluation
/// of the same model said.
fn model_of(workspace: &Workspace, job: &JobSpec, step: &JobStep, port: &str) -> Result<(Vec<u8>, Vec<FinalMetric>)> {
    let missing =
        || EngineError::new(Code::Internal, format!("node {:?}: nothing feeds the input {port:?}", step.node));
    let (from, _) = step.inputs.get(port).ok_or_else(missing)?;
    let trained = job.steps.iter().find(|step| step.node == *from).ok_or_else(missing)?;
    let path = workspace.cache.folder(&trained.key)?.join(PACKAGE_FILE);
    let bytes = files::read_limited(&path, athanor_learn::package::MAX_PACKAGE_BYTES)?;
    let mut metrics = vec![];
    for judged in job.steps.iter().filter(|step| step.kind == "evaluate") {
        if judged.inputs.get("model").is_some_and(|(of, _)| of == from) && workspace.cache.has(&judged.key) {
            for point in workspace.cache.outcome(&judged.key)?.metrics {
                let key = format!("{}/{}", Split::Test.as_str(), point.key);
                metrics.push(FinalMetric { key, value: point.value });
            }
        }
    }
    Ok((bytes, metrics))
}

/// Registers the model that a finished run trained, by its node or the only one there is.
///
/// # Errors
/// If the run has not finished, trained no model, or several and none was named.
pub fn register_from_run(
    workspace: &Workspace,
    run: &athanor_protocol::names::RunId,
    node: Option<&str>,
    name: &str,
) -> Result<(athanor_protocol::registry::ModelVersion, bool)> {
    check_model_name(name)?;
    let job = crate::worker::read_job(&workspace.job_folder(run))?;
    let trained: Vec<&JobStep> = job.steps.iter().filter(|step| step.kind.starts_with("train.")).collect();
    let refuse = |code, message: String, hint: &str| {
        Err(EngineError::Failure(Failure::new(code, message).on(run.to_string()).hint(hint)))
    };
    let chosen = match (node, trained.as_slice()) {
        (Some(node), _) => trained.iter().find(|step| step.node == node).copied(),
        (None, [only]) => Some(*only),
        (None, []) => return refuse(Code::NotFound, format!("run {run} trains no model"), "name another run"),
        (None, _) => {
            let names: Vec<&str> = trained.iter().map(|step| step.node.as_str()).collect();
            let message = format!("run {run} trains several models: {}", names.join(", "));
            return refuse(Code::InvalidArgument, message, "name one with --node");
        }
    };
    let Some(chosen) = chosen else {
        let shown = node.unwrap_or_default();
        return refuse(
            Code::NotFound,
            format!("run {run} has no training node {shown:?}"),
            "'athanor runs show' lists its steps",
        );
    };
    if !workspace.cache.has(&chosen.key) {
        return refuse(
            Code::Conflict,
            format!("run {run} has not finished training"),
            "resume it first: athanor runs resume",
        );
    }
    let step =
        JobStep { inputs: [("model".to_owned(), (chosen.node.clone(), "model".to_owned()))].into(), ..chosen.clone() };
    let (package, metrics) = model_of(workspace, &job, &step, "model")?;
    registry::register(workspace, name, Some(run), &package, &metrics)
}
