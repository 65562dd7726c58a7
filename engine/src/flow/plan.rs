//! The plan: a checked workflow as steps in order, each with the content key of its result.
//!
//! A key is the digest of everything that the result depends on: the kind and its version, all parameters, the keys of
//! its inputs, the bytes of the files it opens, and for learning also seed, device and threads. Equal keys mean equal
//! results, so a result under its key is always current.
//!
//! **Architecture Invariant:** planning touches no disk, clock or network; what it needs of the world comes in
//! [`PlanInputs`].

use std::{collections::BTreeMap, fmt};

use athanor_protocol::{
    catalogue::Catalogue,
    check::{Problem, check, complete_params, order},
    job::JobStep,
    workflow::Workflow,
};
use serde_json::{Value, json};

/// A file that a node opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSource {
    /// Where it lies now.
    pub path: String,
    /// Its name without folders.
    pub name: String,
    /// `blake3:<hex>` of its bytes.
    pub digest: String,
}

/// What a plan needs to know of the world.
#[derive(Debug, Clone)]
pub struct PlanInputs {
    /// The file of each `table.open` node.
    pub sources: BTreeMap<String, ResolvedSource>,
    /// The run's seed.
    pub seed: u64,
    /// The device by name, never `auto`.
    pub device: String,
    /// CPU threads.
    pub threads: u32,
    /// The program's version: another version may compute other results.
    pub program: String,
}

/// Steps in an order in which inputs come first.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<JobStep>,
}

/// What stands in front of a step's metrics in a run: its node's name where several steps of its kind would otherwise
/// write one curve. It belongs to the run and not to the result, which other workflows share.
pub fn metric_prefix(steps: &[JobStep], step: &JobStep) -> String {
    let of_kind = |kind: &str| -> &'static str {
        if kind.starts_with("train.") {
            "train"
        } else if kind == "evaluate" {
            "evaluate"
        } else {
            ""
        }
    };
    let kind = of_kind(&step.kind);
    let several = !kind.is_empty() && steps.iter().filter(|other| of_kind(&other.kind) == kind).count() > 1;
    if several { format!("{}.", step.node) } else { String::new() }
}

/// Whether a kind changes something outside the cache, so that it is done by the engine after the worker.
pub fn is_effect(kind: &str) -> bool {
    kind == "register"
}

/// Makes the plan of a workflow.
///
/// # Errors
/// The workflow's problems.
pub fn plan(workflow: &Workflow, catalogue: &Catalogue, inputs: &PlanInputs) -> Result<Plan, Vec<Problem>> {
    plan_part(workflow, workflow, catalogue, inputs)
}

/// Makes the plan of some nodes of a workflow, with the keys that they have in the whole of it.
///
/// # Errors
/// The problems of the part.
pub fn plan_part(
    workflow: &Workflow,
    whole: &Workflow,
    catalogue: &Catalogue,
    inputs: &PlanInputs,
) -> Result<Plan, Vec<Problem>> {
    let problems = check(workflow, catalogue);
    if !problems.is_empty() {
        return Err(problems);
    }
    let circle =
        |_| vec![Problem { node: None, port: None, param: None, message: "the links make a circle".to_owned() }];
    let order = order(workflow).map_err(circle)?;
    let mut feeds: BTreeMap<(&str, &str), (&str, &str)> = BTreeMap::new();
    for link in &workflow.links {
        feeds.insert((&link.to.node, &link.to.port), (&link.from.node, &link.from.port));
    }
    let mut keys: BTreeMap<&str, String> = BTreeMap::new();
    let mut steps = Vec::with_capacity(order.len());
    for at in order {
        let node = &workflow.nodes[at];
        let Some(kind) = catalogue.kind(&node.kind) else { continue };
        let mut params = complete_params(node, kind);
        let mut extra = json!({});
        let learns = kind.id.starts_with("train.") || kind.id == "evaluate";
        if kind.id == "table.open" {
            let source = inputs.sources.get(&node.id);
            let missing = || Problem {
                node: Some(node.id.clone()),
                port: None,
                param: Some("path".to_owned()),
                message: "the file was not looked up".to_owned(),
            };
            let source = source.ok_or_else(|| vec![missing()])?;
            extra = json!({ "digest": source.digest, "name": source.name });
            params.insert("path".to_owned(), Value::from(source.path.clone()));
            params.insert("digest".to_owned(), Value::from(source.digest.clone()));
            params.insert("name".to_owned(), Value::from(source.name.clone()));
        } else if kind.id == "split" && params.get("seed").is_none_or(Value::is_null) {
            params.insert("seed".to_owned(), Value::from(inputs.seed));
        }
        if kind.id == "split" {
            // What is to be predicted is never filled; so what is fitted here depends on it.
            params.insert("targets".to_owned(), Value::from(targets_behind(whole, &node.id)));
        }
        if learns {
            extra = json!({ "seed": inputs.seed, "device": inputs.device, "threads": inputs.threads });
        }
        let mut step_inputs = BTreeMap::new();
        let mut input_keys = BTreeMap::new();
        for input in &kind.inputs {
            if let Some(&(from, port)) = feeds.get(&(node.id.as_str(), input.name.as_str())) {
                let key = keys.get(from).map(String::as_str).unwrap_or_default();
                input_keys.insert(input.name.clone(), format!("{key}.{port}"));
                step_inputs.insert(input.name.clone(), (from.to_owned(), port.to_owned()));
            }
        }
        // The path is where the bytes lie, the digest is what they are: only the second makes a result.
        let keyed: BTreeMap<&String, &Value> =
            params.iter().filter(|(name, _)| kind.id != "table.open" || *name != "path").collect();
        let of = json!({
            "kind": kind.id, "kind_version": kind.version, "program": inputs.program,
            "params": keyed, "inputs": input_keys, "extra": extra,
        });
        let key = blake3::hash(of.to_string().as_bytes()).to_hex().to_string();
        keys.insert(&node.id, key.clone());
        steps.push(JobStep { node: node.id.clone(), kind: kind.id.clone(), key, params, inputs: step_inputs });
    }
    Ok(Plan { steps })
}

/// The targets of the learners that a split feeds, sorted.
fn targets_behind(workflow: &Workflow, split: &str) -> Vec<String> {
    let fed =
        workflow.links.iter().filter(|link| link.from.node == split).filter_map(|link| workflow.node(&link.to.node));
    let targets =
        fed.filter(|node| node.kind.starts_with("train.")).filter_map(|node| node.params.get("target")?.as_str());
    let sorted: std::collections::BTreeSet<String> = targets.map(str::to_owned).collect();
    sorted.into_iter().collect()
}

/// What is to be done with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Its result is there, or nobody needs it.
    Cached,
    /// It must be done.
    Work,
    /// It is done by the engine after the worker.
    Effect,
}

/// Which steps are needed, given which results are there: from the ends backwards, a step is work if it is wanted and its
/// result is not there.
pub fn needs(plan: &Plan, has: &dyn Fn(&str) -> bool) -> Vec<Need> {
    let index: BTreeMap<&str, usize> =
        plan.steps.iter().enumerate().map(|(at, step)| (step.node.as_str(), at)).collect();
    let mut consumed = vec![false; plan.steps.len()];
    for step in &plan.steps {
        for (from, _) in step.inputs.values() {
            if let Some(&at) = index.get(from.as_str()) {
                consumed[at] = true;
            }
        }
    }
    let mut wanted: Vec<bool> = consumed.iter().map(|consumed| !consumed).collect();
    let mut needs = vec![Need::Cached; plan.steps.len()];
    for at in (0..plan.steps.len()).rev() {
        let step = &plan.steps[at];
        if is_effect(&step.kind) {
            needs[at] = Need::Effect;
        } else if wanted[at] && !has(&step.key) {
            needs[at] = Need::Work;
        } else {
            continue;
        }
        for (from, _) in step.inputs.values() {
            if let Some(&before) = index.get(from.as_str()) {
                wanted[before] = true;
            }
        }
    }
    needs
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{} {} {}", &step.key[..8.min(step.key.len())], step.node, step.kind)?;
            for (port, (from, from_port)) in &step.inputs {
                write!(f, " {port}<{from}.{from_port}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use athanor_protocol::check::set_param;

    use super::*;

    const FLOW: &str = r#"{"version":1,"name":"t","nodes":[
        {"id":"open","kind":"table.open","params":{"path":"a.csv"}},
        {"id":"filter","kind":"prepare.filter","params":{"predicate":"x > 1"}},
        {"id":"split","kind":"split"},
        {"id":"lin","kind":"train.linear","params":{"target":"y"}},
        {"id":"trees","kind":"train.trees","params":{"target":"y"}},
        {"id":"report","kind":"evaluate"},
        {"id":"publish","kind":"register","params":{"name":"m"}}],
        "links":[{"from":"open.table","to":"filter.table"},{"from":"filter.table","to":"split.table"},
        {"from":"split.splits","to":"lin.splits"},{"from":"split.splits","to":"trees.splits"},
        {"from":"lin.model","to":"report.model"},{"from":"split.splits","to":"report.splits"},
        {"from":"lin.model","to":"publish.model"}]}"#;

    fn inputs() -> PlanInputs {
        let source = ResolvedSource { path: "/data/a.csv".into(), name: "a.csv".into(), digest: "blake3:0".into() };
        PlanInputs {
            sources: [("open".to_owned(), source)].into(),
            seed: 7,
            device: "cpu".into(),
            threads: 2,
            program: "0.1.0".into(),
        }
    }

    fn keys(change: impl FnOnce(&mut Workflow, &mut PlanInputs)) -> BTreeMap<String, String> {
        let mut workflow = Workflow::from_json(FLOW).unwrap();
        let mut inputs = inputs();
        change(&mut workflow, &mut inputs);
        let plan = plan(&workflow, &Catalogue::builtin(), &inputs).unwrap();
        plan.steps.into_iter().map(|step| (step.node, step.key)).collect()
    }

    fn changed(change: impl FnOnce(&mut Workflow, &mut PlanInputs)) -> Vec<String> {
        let (before, after) = (keys(|_, _| {}), keys(change));
        before.iter().filter(|(node, key)| after[*node] != **key).map(|(node, _)| node.clone()).collect()
    }

    #[test]
    fn a_key_changes_with_what_the_result_depends_on_and_nothing_else() {
        let set = |assignment: &'static str| {
            changed(move |workflow, _| set_param(workflow, &Catalogue::builtin(), assignment).unwrap())
        };
        assert_eq!(set("lin.epochs=3"), ["lin", "publish", "report"]);
        assert_eq!(set("trees.n_rounds=3"), ["trees"]);
        assert_eq!(set("filter.predicate=x > 2"), ["filter", "lin", "publish", "report", "split", "trees"]);
        assert_eq!(set("open.path=elsewhere/a.csv"), [""; 0], "the bytes are the same");
        assert_eq!(set("lin.epochs=200"), [""; 0], "the default written down");
        assert_eq!(set("lin.target=z"), ["lin", "publish", "report", "split", "trees"], "a target is never filled");
        assert_eq!(changed(|_, inputs| inputs.device = "webgpu:0".into()), ["lin", "publish", "report", "trees"]);
        assert_eq!(changed(|_, inputs| inputs.seed = 8), ["lin", "publish", "report", "split", "trees"]);
        assert_eq!(changed(|_, inputs| inputs.sources.get_mut("open").unwrap().digest = "blake3:1".into()).len(), 7);
        assert_eq!(changed(|workflow, _| workflow.nodes[1].title = "Only adults".into()), [""; 0]);
    }

    #[test]
    fn only_what_is_wanted_and_not_there_is_work() {
        let plan = plan(&Workflow::from_json(FLOW).unwrap(), &Catalogue::builtin(), &inputs()).unwrap();
        let ask = |there: &[&str]| {
            let there: BTreeSet<&str> = plan
                .steps
                .iter()
                .filter(|step| there.contains(&step.node.as_str()))
                .map(|step| step.key.as_str())
                .collect();
            let needs = needs(&plan, &|key| there.contains(key));
            let work = plan.steps.iter().zip(needs).filter(|(_, need)| *need == Need::Work);
            work.map(|(step, _)| step.node.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ask(&[]), "open filter split lin trees report");
        assert_eq!(ask(&["open", "filter", "split", "lin", "trees", "report"]), "");
        assert_eq!(ask(&["lin", "trees", "report"]), "", "inputs of what is there need not be there");
        assert_eq!(ask(&["open", "filter", "split", "trees"]), "lin report");
        assert_eq!(ask(&["lin", "trees"]), "open filter split report");
    }

    #[test]
    fn a_plan_reads_as_its_steps_in_order() {
        let plan = plan(&Workflow::from_json(FLOW).unwrap(), &Catalogue::builtin(), &inputs()).unwrap();
        let text: Vec<String> = plan.to_string().lines().map(|line| line[9..].to_owned()).collect();
        assert_eq!(
            text,
            [
                "open table.open",
                "filter prepare.filter table<open.table",
                "split split table<filter.table",
                "lin train.linear splits<split.splits",
                "trees train.trees splits<split.splits",
                "report evaluate model<lin.model splits<split.splits",
                "publish register model<lin.model",
            ]
        );
    }
}
