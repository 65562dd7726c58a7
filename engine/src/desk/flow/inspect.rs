//! What only the engine knows of a workflow. Asked a second after each edit, so it reads no more than the beginning of
//! each file, and what was found out before is not found out again.

use std::collections::BTreeSet;

use athanor_protocol::{
    Failure,
    api::{Inspection, PortColumns, WorkflowInspect},
    catalogue::{Catalogue, PortType},
    check::check,
    job::JobStep,
    workflow::Workflow,
};

use super::{Desk, FlowState, Shared, folders, part_of, read, tables};
use crate::{
    error::Result,
    flow::{
        plan::{ResolvedSource, is_effect, plan_part},
        source,
    },
    runs::{self, effects},
    workspace::Workspace,
};

/// Larger files are not read whole for an inspection: whether results of theirs are there is known after they were read
/// for a run.
const MAX_DIGESTED_BYTES: u64 = 256 << 20;

pub(in crate::desk) fn workflow_inspect(desk: Shared<'_>, ask: WorkflowInspect) -> Result<Inspection, Failure> {
    let workspace = desk.workspace()?;
    let workflow = read(&ask.json)?;
    let catalogue = Catalogue::builtin();
    let known = tables::look(desk, &workspace, &workflow, &catalogue);
    let mut problems = effects::problems(&workflow);
    problems.extend(known.problems.iter().cloned());
    let mut columns = vec![];
    for node in &workflow.nodes {
        let (Some(kind), Some(schema)) = (catalogue.kind(&node.kind), known.schemas.get(&node.id)) else { continue };
        for port in &kind.outputs {
            if matches!(port.port_type, PortType::Table | PortType::Splits) {
                let (node, port, columns_there) = (node.id.clone(), port.name.clone(), schema.columns.clone());
                columns.push(PortColumns { node, port, columns: columns_there });
            }
        }
    }
    let steps = steps(desk, &workspace, &workflow, &catalogue, ask.seed, &ask.device, &known.broken)?;
    let there = steps.into_iter().filter(|step| !is_effect(&step.kind) && workspace.cache.has(&step.key));
    let cached = there.map(|step| step.node).collect();
    Ok(Inspection { problems, columns, cached })
}

/// The plan of those nodes of a workflow that are whole, with all that they need.
///
/// # Errors
/// If there is no such device.
pub(super) fn steps(
    desk: &Desk,
    workspace: &Workspace,
    workflow: &Workflow,
    catalogue: &Catalogue,
    seed: u64,
    device: &str,
    broken: &BTreeSet<String>,
) -> Result<Vec<JobStep>, Failure> {
    let mut broken = broken.clone();
    let mut sources = std::collections::BTreeMap::new();
    for node in workflow.nodes.iter().filter(|node| node.kind == "table.open") {
        if broken.contains(&node.id) {
            continue;
        }
        match resolved(&desk.flow, workspace, node) {
            Some(source) => drop(sources.insert(node.id.clone(), source)),
            None => drop(broken.insert(node.id.clone())),
        }
    }
    let whole = whole_nodes(workflow, broken);
    let part = part_of(workflow, &|id| whole.contains(id));
    if part.nodes.is_empty() || !check(&part, catalogue).is_empty() {
        return Ok(vec![]);
    }
    let options = super::super::runs::options(desk, device, seed)?;
    let device = super::super::host::device_of(desk, device)?;
    let inputs = runs::plan_inputs(sources, &options, device)?;
    Ok(plan_part(&part, workflow, catalogue, &inputs).map(|plan| plan.steps).unwrap_or_default())
}

fn resolved(
    flow: &FlowState,
    workspace: &Workspace,
    node: &athanor_protocol::workflow::Node,
) -> Option<ResolvedSource> {
    let path = node.params.get("path")?.as_str()?;
    let full = source::find(node, path, &folders(workspace)).ok()?;
    let digest = flow.digest(&full, Some(MAX_DIGESTED_BYTES), &mut |_| true).ok()??;
    let name = full.file_name()?.to_string_lossy().into_owned();
    Some(ResolvedSource { path: full.display().to_string(), name, digest })
}

/// Nodes that are not broken and depend on none that is.
fn whole_nodes(workflow: &Workflow, broken: BTreeSet<String>) -> BTreeSet<String> {
    let Ok(order) = athanor_protocol::check::order(workflow) else { return BTreeSet::new() };
    let mut inputs: std::collections::HashMap<&str, Vec<&str>> = std::collections::HashMap::new();
    for link in &workflow.links {
        inputs.entry(&link.to.node).or_default().push(&link.from.node);
    }
    let mut whole: BTreeSet<String> = BTreeSet::new();
    for at in order {
        let id = workflow.nodes[at].id.as_str();
        let fed = inputs.get(id).map(Vec::as_slice).unwrap_or_default();
        if !broken.contains(id) && fed.iter().all(|from| whole.contains(*from)) {
            whole.insert(id.to_owned());
        }
    }
    whole
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
