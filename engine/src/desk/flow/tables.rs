//! The tables that flow through a workflow, as far as they can be known without running it: files, plans, columns.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
};

use athanor_protocol::{
    Failure,
    catalogue::{Catalogue, NodeKind, ParamKind},
    check::{Problem, check, complete_params, order},
    recipe::{PlanStep, PreparePlan, Step},
    table::TableSchema,
    workflow::{Node, Workflow},
};
use serde_json::Value;

use super::{Desk, FileState, MAX_REMEMBERED, folders, lock};
use crate::{
    error::Result,
    flow::source,
    worker::nodes::{Params, prepare},
    workspace::Workspace,
};

/// Longer chains of steps are left to the run: their plans grow with each node.
const MAX_STEPS: usize = 300;

/// What is known of a workflow.
pub(super) struct Known {
    /// What is wrong with files and columns.
    pub(super) problems: Vec<Problem>,
    /// Nodes at which the document itself has problems, or which have problems here.
    pub(super) broken: BTreeSet<String>,
    /// The plan at the output of each table node.
    pub(super) plans: BTreeMap<String, PreparePlan>,
    /// The columns at the output of each node that has columns.
    pub(super) schemas: BTreeMap<String, TableSchema>,
}

fn problem(node: &Node, param: Option<&str>, message: impl Into<String>) -> Problem {
    Problem { node: Some(node.id.clone()), port: None, param: param.map(str::to_owned), message: message.into() }
}

/// Looks at every node in an order in which inputs come first. A half drawn workflow is normal: what cannot be known is
/// left out.
pub(super) fn look(desk: &Desk, workspace: &Workspace, workflow: &Workflow, catalogue: &Catalogue) -> Known {
    let mut known = Known {
        problems: vec![],
        broken: check(workflow, catalogue).into_iter().filter_map(|problem| problem.node).collect(),
        plans: BTreeMap::new(),
        schemas: BTreeMap::new(),
    };
    // With a circle nothing flows.
    let Ok(order) = order(workflow) else { return known };
    let mut feeds: HashMap<(&str, &str), &str> = HashMap::new();
    for link in &workflow.links {
        feeds.entry((&link.to.node, &link.to.port)).or_insert(&link.from.node);
    }
    for at in order {
        let node = &workflow.nodes[at];
        let Some(kind) = catalogue.kind(&node.kind) else { continue };
        let fed = |port: &str| feeds.get(&(node.id.as_str(), port)).copied();
        if let Err(found) = known.node(desk, workspace, node, kind, &fed) {
            known.broken.insert(node.id.clone());
            known.problems.extend(found);
        }
    }
    known
}

impl Known {
    fn node<'a>(
        &mut self,
        desk: &Desk,
        workspace: &Workspace,
        node: &Node,
        kind: &NodeKind,
        fed: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Vec<Problem>> {
        let params = complete_params(node, kind);
        if kind.id == "table.open" {
            return self.open(desk, workspace, node, &params);
        }
        let input = fed("table").or_else(|| fed("splits"));
        let Some(before) = input.and_then(|input| self.schemas.get(input)).cloned() else { return Ok(()) };
        // Shown also where the columns are wrong: it is there that people choose others.
        if kind.id == "split" {
            self.schemas.insert(node.id.clone(), before.clone());
        }
        let missing = missing_columns(node, kind, &params, &before);
        if !missing.is_empty() {
            return Err(missing);
        }
        let Some(name) = kind.id.strip_prefix("prepare.").filter(|_| !self.broken.contains(&node.id)) else {
            return Ok(());
        };
        let Some(mut plan) = input.and_then(|input| self.plans.get(input)).cloned() else { return Ok(()) };
        let right = match name {
            "join" => match fed("right").and_then(|input| self.plans.get(input)) {
                Some(right) => Some(right.clone()),
                None => return Ok(()),
            },
            _ => None,
        };
        let one = |failure: Failure| vec![problem(node, None, without_node(&failure.message))];
        let step = prepare::plan_step(&Params::new(&node.id, &params), name, right);
        let step = step.map_err(|err| one(err.into_failure()))?;
        plan.steps.push(PlanStep { node: node.id.clone(), step });
        if plan.steps.len() > MAX_STEPS {
            return Ok(());
        }
        let schema = schema_of(desk, &plan).map_err(one)?;
        self.plans.insert(node.id.clone(), plan);
        self.schemas.insert(node.id.clone(), schema);
        Ok(())
    }

    fn open(
        &mut self,
        desk: &Desk,
        workspace: &Workspace,
        node: &Node,
        params: &BTreeMap<String, Value>,
    ) -> Result<(), Vec<Problem>> {
        let path = params.get("path").and_then(Value::as_str).unwrap_or_default();
        if path.is_empty() || self.broken.contains(&node.id) {
            return Ok(());
        }
        let at_path = |failure: Failure| vec![problem(node, Some("path"), without_node(&failure.message))];
        let full = source::find(node, path, &folders(workspace)).map_err(|err| at_path(err.into_failure()))?;
        let full = std::path::absolute(&full).unwrap_or(full).display().to_string();
        let mut params = params.clone();
        params.insert("path".to_owned(), Value::from(full));
        let source = prepare::source(&Params::new(&node.id, &params));
        let source = source.map_err(|err| vec![problem(node, None, without_node(&err.to_string()))])?;
        let plan = PreparePlan { source, steps: vec![] };
        let schema = schema_of(desk, &plan).map_err(at_path)?;
        self.plans.insert(node.id.clone(), plan);
        self.schemas.insert(node.id.clone(), schema);
        Ok(())
    }
}

/// The message without the node and the step in front of it: a problem says its node itself.
fn without_node(message: &str) -> String {
    let rest = message.strip_prefix("node ").and_then(|rest| rest.split_once(": "));
    let rest = rest.map_or(message, |(_, rest)| rest);
    rest.to_owned()
}

/// Parameters that name columns which are not there.
fn missing_columns(
    node: &Node,
    kind: &NodeKind,
    params: &BTreeMap<String, Value>,
    schema: &TableSchema,
) -> Vec<Problem> {
    let mut found = vec![];
    for param in &kind.params {
        let names: Vec<&str> = match (&param.kind, params.get(&param.name)) {
            (ParamKind::Column, Some(Value::String(name))) => vec![name],
            (ParamKind::Columns, Some(Value::Array(names))) => names.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        let missing: Vec<&str> = names.into_iter().filter(|name| schema.column(name).is_none()).collect();
        let Some(first) = missing.first() else { continue };
        let mut message = format!("there is no column {first:?}");
        if missing.len() > 1 {
            // Writing to a string cannot fail.
            let _ = write!(message, ", and {} more are missing", missing.len() - 1);
        }
        let there: Vec<&str> = schema.columns.iter().take(8).map(|column| column.name.as_str()).collect();
        let more = if schema.columns.len() > there.len() { ", …" } else { "" };
        let _ = write!(message, "; there are {}{more}", there.join(", "));
        found.push(problem(node, Some(&param.name), message));
    }
    found
}

/// The states of all files that a plan reads: what is found out holds for as long as they stay.
pub(super) fn states(plan: &PreparePlan) -> String {
    let mut text = format!("{:?}", FileState::of(plan.source.path.as_ref()));
    for step in &plan.steps {
        if let Step::Join { right, .. } = &step.step {
            text.push_str(&states(right));
        }
    }
    text
}

/// The columns after a plan. Opens the files unless this very plan was asked about before.
fn schema_of(desk: &Desk, plan: &PreparePlan) -> Result<TableSchema, Failure> {
    let text = serde_json::to_string(plan).unwrap_or_default() + &states(plan);
    let key = blake3::hash(text.as_bytes()).to_hex().to_string();
    if let Some(known) = lock(&desk.flow.schemas).get(&key) {
        return known.clone();
    }
    let schema = athanor_datasets::plan_schema(plan).map_err(Failure::from);
    let mut schemas = lock(&desk.flow.schemas);
    if schemas.len() >= MAX_REMEMBERED {
        schemas.clear();
    }
    schemas.insert(key, schema.clone());
    schema
}
