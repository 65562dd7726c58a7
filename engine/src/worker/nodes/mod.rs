//! What each kind of node does. A runner reads its inputs' folders, writes its own, and says what it came to.
//!
//! **Architecture Invariant:** node kinds never call each other; they meet only through the files in the cache.

pub(crate) mod evaluate;
pub(crate) mod judged;
pub(crate) mod prepare;
mod spec;
pub(crate) mod split;
mod train;

use std::{collections::BTreeMap, path::Path};

use athanor_protocol::{Code, Failure};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::StepContext;
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    flow::cache::Outcome,
};

/// Does one step.
pub(super) fn run(ctx: &StepContext<'_>) -> Result<Outcome> {
    let kind = ctx.step.kind.as_str();
    match kind.split_once('.') {
        Some(("table", "open")) => prepare::open(ctx),
        Some(("prepare", step)) => prepare::step(ctx, step),
        Some(("train", learner)) => train::run(ctx, learner),
        _ if kind == "split" => split::run(ctx),
        _ if kind == "evaluate" => evaluate::run(ctx),
        _ => Err(EngineError::Failure(
            Failure::new(Code::Unsupported, format!("node {:?}: this worker cannot do {kind:?}", ctx.step.node))
                .hint("the worker is of another version than the program that planned the run"),
        )),
    }
}

/// Typed access to a step's parameters, with errors that name node and parameter.
pub(crate) struct Params<'a> {
    node: &'a str,
    values: &'a BTreeMap<String, Value>,
}

impl<'a> Params<'a> {
    /// The parameters of a node, complete.
    pub(crate) fn new(node: &'a str, values: &'a BTreeMap<String, Value>) -> Self {
        Self { node, values }
    }

    pub(super) fn of(ctx: &'a StepContext<'_>) -> Self {
        Self { node: &ctx.step.node, values: &ctx.step.params }
    }

    /// The parameter as the type that the catalogue promises; `null` only fits an `Option`.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.values.get(name).unwrap_or(&Value::Null);
        T::deserialize(value).map_err(|err| self.refuse(name, &format!("{err}")))
    }

    pub(crate) fn refuse(&self, name: &str, what: &str) -> EngineError {
        let message = format!("node {:?}, parameter {name:?}: {what}", self.node);
        EngineError::Failure(Failure::new(Code::InvalidArgument, message).on(self.node))
    }
}

/// Adds the node to an error of a library, which knows columns and steps but no nodes.
pub(super) fn at_node<E: Into<EngineError>>(node: &str) -> impl FnOnce(E) -> EngineError + '_ {
    move |err| {
        let mut failure = err.into().into_failure();
        if !failure.message.contains(&format!("node {node:?}")) {
            failure.message = format!("node {node:?}: {}", failure.message);
        }
        failure.subject.get_or_insert_with(|| node.to_owned());
        EngineError::Failure(failure)
    }
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(std::io::Error::from).at("write", path)?;
    files::write_atomic(path, &bytes)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = files::read_limited(path, 256 << 20)?;
    serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", path)
}
