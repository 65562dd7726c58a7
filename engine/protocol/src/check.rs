//! The rules of a workflow: what may be linked, which parameters fit, in which order nodes run. Pure and total: a half
//! drawn workflow is normal, so findings are [`Problem`]s and never errors.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    catalogue::{Catalogue, NodeKind, Param, ParamKind},
    network::ModelSpec,
    recipe::MAX_EXPRESSION_BYTES,
    workflow::{Endpoint, Link, Node, Workflow},
};

/// Most problems in one answer; the last one says how many more there are.
pub const MAX_PROBLEMS: usize = 200;

/// What is wrong with a workflow, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The node; `None` where it is the whole workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "node {node:?}")?;
            if let Some(port) = &self.port {
                write!(f, ", port {port:?}")?;
            }
            if let Some(param) = &self.param {
                write!(f, ", parameter {param:?}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

fn problem(message: impl Into<String>) -> Problem {
    Problem { node: None, port: None, param: None, message: message.into() }
}

impl Problem {
    fn node(mut self, id: &str) -> Self {
        self.node = Some(id.to_owned());
        self
    }
    fn port(mut self, name: &str) -> Self {
        self.port = Some(name.to_owned());
        self
    }
    fn param(mut self, name: &str) -> Self {
        self.param = Some(name.to_owned());
        self
    }
}

/// All problems of a workflow, in a stable order; none means that it can run as far as the document tells.
pub fn check(workflow: &Workflow, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = Vec::new();
    if workflow.nodes.is_empty() {
        problems.push(problem("the workflow has no nodes"));
    }
    let mut nodes: HashMap<&str, (&Node, Option<&NodeKind>)> = HashMap::with_capacity(workflow.nodes.len());
    for node in &workflow.nodes {
        if let Err(reason) = check_node_id(&node.id) {
            problems.push(problem(reason).node(&node.id));
        }
        let kind = catalogue.kind(&node.kind);
        if kind.is_none() {
            problems.push(problem(unknown_kind(&node.kind, catalogue)).node(&node.id));
        }
        if nodes.insert(&node.id, (node, kind)).is_some() {
            problems.push(problem("two nodes have this id").node(&node.id));
        }
    }
    let mut fed: BTreeSet<&Endpoint> = BTreeSet::new();
    for link in &workflow.links {
        if let Some(found) = check_ends(link, &nodes) {
            problems.push(found);
        } else if !fed.insert(&link.to) {
            problems.push(problem("more than one link leads to this input").node(&link.to.node).port(&link.to.port));
        }
    }
    for node in &workflow.nodes {
        let Some(kind) = catalogue.kind(&node.kind) else { continue };
        for input in &kind.inputs {
            let end = Endpoint { node: node.id.clone(), port: input.name.clone() };
            if !workflow.links.is_empty() && fed.contains(&end) {
                continue;
            }
            let message = format!("nothing is linked to this input; it takes a {}", input.port_type.as_str());
            problems.push(problem(message).node(&node.id).port(&input.name));
        }
        check_params(node, kind, &mut problems);
    }
    if let Err(cycle) = order(workflow) {
        problems.push(problem(format!("the links make a circle through {}", cycle.join(" → "))).node(&cycle[0]));
    }
    if problems.len() > MAX_PROBLEMS {
        let more = problems.len() - MAX_PROBLEMS + 1;
        problems.truncate(MAX_PROBLEMS - 1);
        problems.push(problem(format!("and {more} more problems")));
    }
    problems
}

fn check_node_id(id: &str) -> Result<(), String> {
    let legal =
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if legal { Ok(()) } else { Err("a node's id is 1 to 64 letters, digits, '_' or '-'".to_owned()) }
}

fn unknown_kind(id: &str, catalogue: &Catalogue) -> String {
    let group = id.split('.').next().unwrap_or_default();
    let near: Vec<&str> = catalogue
        .kinds
        .iter()
        .map(|kind| kind.id.as_str())
        .filter(|kind| kind.split('.').next() == Some(group))
        .collect();
    let id: String = id.chars().take(80).collect();
    if near.is_empty() {
        format!("there is no node kind {id:?}; it may come from a newer version of the program")
    } else {
        format!("there is no node kind {id:?}; known: {}", near.join(", "))
    }
}

fn check_ends(link: &Link, nodes: &HashMap<&str, (&Node, Option<&NodeKind>)>) -> Option<Problem> {
    let end = |endpoint: &Endpoint| nodes.get(endpoint.node.as_str()).copied();
    let Some((_, from_kind)) = end(&link.from) else {
        return Some(problem(format!("the link from {} begins at a node that is not there", link.from)));
    };
    let Some((_, to_kind)) = end(&link.to) else {
        return Some(problem(format!("the link to {} ends at a node that is not there", link.to)));
    };
    let (Some(from_kind), Some(to_kind)) = (from_kind, to_kind) else { return None };
    let Some(output) = from_kind.output(&link.from.port) else {
        return Some(
            problem(format!("a {} node has no such output", from_kind.id)).node(&link.from.node).port(&link.from.port),
        );
    };
    let Some(input) = to_kind.input(&link.to.port) else {
        return Some(
            problem(format!("a {} node has no such input", to_kind.id)).node(&link.to.node).port(&link.to.port),
        );
    };
    if output.port_type != input.port_type {
        let message =
            format!("takes a {} but {} gives a {}", input.port_type.as_str(), link.from, output.port_type.as_str());
        return Some(problem(message).node(&link.to.node).port(&link.to.port));
    }
    None
}

/// Whether a link may be added, and if not, why. For editors: asks before the link exists.
///
/// # Errors
/// The reason for the refusal.
pub fn check_link(workflow: &Workflow, link: &Link, catalogue: &Catalogue) -> Result<(), Problem> {
    let nodes = workflow.nodes.iter().map(|node| (node.id.as_str(), (node, catalogue.kind(&node.kind)))).collect();
    if let Some(found) = check_ends(link, &nodes) {
        return Err(found);
    }
    if workflow.links.iter().any(|other| other.to == link.to) {
        return Err(problem("this input is linked already").node(&link.to.node).port(&link.to.port));
    }
    let mut with = workflow.clone();
    with.links.push(link.clone());
    match order(&with) {
        Ok(_) => Ok(()),
        Err(cycle) => {
            Err(problem(format!("the link would make a circle through {}", cycle.join(" → "))).node(&link.to.node))
        }
    }
}

/// Node positions in an order in which inputs come first; ties in document order, so that the order is stable.
///
/// # Errors
/// The node ids of one circle.
pub fn order(workflow: &Workflow) -> Result<Vec<usize>, Vec<String>> {
    let index: HashMap<&str, usize> =
        workflow.nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
    let n = workflow.nodes.len();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); n];
    for link in &workflow.links {
        if let (Some(&from), Some(&to)) = (index.get(link.from.node.as_str()), index.get(link.to.node.as_str())) {
            after[from].push(to);
            before[to].push(from);
        }
    }
    let mut missing: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut ready: BTreeSet<usize> = (0..n).filter(|&at| missing[at] == 0).collect();
    let mut sorted = Vec::with_capacity(n);
    while let Some(at) = ready.pop_first() {
        sorted.push(at);
        for &next in &after[at] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.insert(next);
            }
        }
    }
    if sorted.len() == n {
        return Ok(sorted);
    }
    // Every node left over has an unsorted one before it, so walking backwards must come to a node twice.
    let mut at = (0..n).find(|&at| missing[at] > 0).unwrap_or(0);
    let mut path: Vec<usize> = Vec::new();
    let mut seen: HashMap<usize, usize> = HashMap::new();
    while let std::collections::hash_map::Entry::Vacant(entry) = seen.entry(at) {
        entry.insert(path.len());
        path.push(at);
        at = before[at].iter().copied().find(|&prev| missing[prev] > 0).unwrap_or(at);
    }
    let mut circle: Vec<usize> = path[seen[&at]..].iter().rev().copied().collect();
    let first = circle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(place, _)| place);
    circle.rotate_left(first);
    circle.push(circle[0]);
    let mut cycle: Vec<String> = circle.into_iter().map(|at| workflow.nodes[at].id.clone()).collect();
    if cycle.len() > 12 {
        let last = cycle.split_off(cycle.len() - 2);
        cycle.truncate(8);
        cycle.push("…".to_owned());
        cycle.extend(last);
    }
    Err(cycle)
}

fn check_params(node: &Node, kind: &NodeKind, problems: &mut Vec<Problem>) {
    for name in node.params.keys() {
        if kind.param(name).is_none() {
            let known: Vec<&str> = kind.params.iter().map(|param| param.name.as_str()).collect();
            let message = format!("a {} node has no such parameter; it has {}", kind.id, known.join(", "));
            problems.push(problem(message).node(&node.id).param(name));
        }
    }
    for param in &kind.params {
        let value = node.params.get(&param.name).unwrap_or(&param.default);
        if let Err(message) = check_value(param, value) {
            problems.push(problem(message).node(&node.id).param(&param.name));
        }
    }
}

/// Whether a value fits a parameter.
///
/// # Errors
/// What would fit.
pub fn check_value(param: &Param, value: &Value) -> Result<(), String> {
    if value.is_null() {
        return if param.optional { Ok(()) } else { Err("must be set".to_owned()) };
    }
    let text = |max: usize| -> Result<(), String> {
        match value.as_str() {
            None => Err("must be text".to_owned()),
            Some(text) if text.trim().is_empty() => Err("must not be empty".to_owned()),
            Some(text) if text.len() > max => Err(format!("has more than {max} bytes")),
            Some(text) if text.contains('\0') => Err("holds a NUL character".to_owned()),
            Some(_) => Ok(()),
        }
    };
    let texts = || -> Result<(), String> {
        let list = value.as_array().ok_or("must be a list of texts")?;
        if list.len() > 100_000 {
            return Err("has more than 100000 entries".to_owned());
        }
        if list
            .iter()
            .all(|entry| entry.as_str().is_some_and(|text| !text.is_empty() && text.len() <= MAX_EXPRESSION_BYTES))
        {
            Ok(())
        } else {
            Err("must be a list of texts that are not empty".to_owned())
        }
    };
    let integer = |value: &Value, min: i64, max: i64| match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Ok(()),
        Some(number) => Err(format!("is {number}, it must be from {min} to {max}")),
        None => Err("must be a whole number".to_owned()),
    };
    match &param.kind {
        ParamKind::Text | ParamKind::Column | ParamKind::Path => text(4096),
        ParamKind::Expression => text(MAX_EXPRESSION_BYTES),
        ParamKind::Columns if !param.default.is_array() => texts().and_then(|()| {
            if value.as_array().is_some_and(Vec::is_empty) {
                Err("must name at least one column".to_owned())
            } else {
                Ok(())
            }
        }),
        ParamKind::Columns | ParamKind::Texts => texts(),
        ParamKind::Number { min, max } => match value.as_f64() {
            Some(number) if number >= *min && number <= *max => Ok(()),
            Some(number) => Err(format!("is {number}, it must be from {min} to {max}")),
            None => Err("must be a number".to_owned()),
        },
        ParamKind::Integer { min, max } => integer(value, *min, *max),
        ParamKind::Integers { min, max } => {
            let list = value.as_array().ok_or("must be a list of whole numbers")?;
            if list.len() > 1000 {
                return Err("has more than 1000 entries".to_owned());
            }
            list.iter().try_for_each(|entry| integer(entry, *min, *max))
        }
        ParamKind::Bool if value.is_boolean() => Ok(()),
        ParamKind::Bool => Err("must be true or false".to_owned()),
        ParamKind::Choice { options } => match value.as_str() {
            Some(text) if options.iter().any(|option| option == text) => Ok(()),
            _ => Err(format!("must be one of {}", options.join(", "))),
        },
        ParamKind::Network => {
            serde_json::from_value::<ModelSpec>(value.clone()).map(drop).map_err(|err| format!("is no network: {err}"))
        }
        ParamKind::Any if value.is_string() || value.is_number() || value.is_boolean() => Ok(()),
        ParamKind::Any => Err("must be a text, a number, true or false".to_owned()),
    }
}

/// A node's parameters with the kind's defaults filled in: what content keys and runners see.
pub fn complete_params(node: &Node, kind: &NodeKind) -> BTreeMap<String, Value> {
    kind.params
        .iter()
        .map(|param| (param.name.clone(), node.params.get(&param.name).unwrap_or(&param.default).clone()))
        .collect()
}

/// Sets `NODE.PARAM=VALUE` as a command line gives it: the text is read as the parameter's kind asks (lists as JSON or
/// separated by commas; `null` resets an optional one).
///
/// # Errors
/// What is wrong with it, naming node and parameter.
pub fn set_param(workflow: &mut Workflow, catalogue: &Catalogue, assignment: &str) -> Result<(), Problem> {
    let usage = || problem(format!("{assignment:?} is no assignment; write NODE.PARAM=VALUE"));
    let (target, text) = assignment.split_once('=').ok_or_else(usage)?;
    let (node_id, name) = target.trim().split_once('.').ok_or_else(usage)?;
    let known = || workflow.nodes.iter().take(40).map(|node| node.id.as_str()).collect::<Vec<_>>().join(", ");
    let Some(at) = workflow.nodes.iter().position(|node| node.id == node_id) else {
        return Err(problem(format!("there is no such node; there are {}", known())).node(node_id));
    };
    let Some(kind) = catalogue.kind(&workflow.nodes[at].kind) else {
        return Err(problem(unknown_kind(&workflow.nodes[at].kind, catalogue)).node(node_id));
    };
    let Some(param) = kind.param(name) else {
        let names: Vec<&str> = kind.params.iter().map(|param| param.name.as_str()).collect();
        return Err(problem(format!("there is no such parameter; there are {}", names.join(", ")))
            .node(node_id)
            .param(name));
    };
    let value = parse_value(&param.kind, text);
    check_value(param, &value).map_err(|message| problem(message).node(node_id).param(name))?;
    workflow.nodes[at].params.insert(name.to_owned(), value);
    Ok(())
}

fn parse_value(kind: &ParamKind, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    let as_json = || serde_json::from_str::<Value>(text).unwrap_or_else(|_| as_text());
    if text == "null" {
        return Value::Null;
    }
    match kind {
        ParamKind::Text | ParamKind::Column | ParamKind::Path | ParamKind::Expression | ParamKind::Choice { .. } => {
            as_text()
        }
        ParamKind::Number { .. }
        | ParamKind::Integer { .. }
        | ParamKind::Bool
        | ParamKind::Network
        | ParamKind::Any => as_json(),
        ParamKind::Columns | ParamKind::Texts | ParamKind::Integers { .. } if text.trim_start().starts_with('[') => {
            as_json()
        }
        ParamKind::Columns | ParamKind::Texts => {
            text.split(',').map(|part| part.trim()).filter(|part| !part.is_empty()).map(Value::from).collect()
        }
        ParamKind::Integers { .. } => text
            .split(',')
            .map(|part| serde_json::from_str(part.trim()).unwrap_or_else(|_| Value::from(part.trim())))
            .collect(),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
