//! Splitting: the one place where rows are read, divided and written down, and where the preparation learns.

use std::path::Path;

use athanor_datasets::PreparedTable;
use athanor_protocol::{
    Code, Failure,
    recipe::{FittedRecipe, SplitSpec},
};
use serde::{Deserialize, Serialize};

use super::{Params, StepContext, at_node, prepare, read_json, write_json};
use crate::{
    error::{EngineError, Result},
    flow::cache::Outcome,
};

const VALUE: &str = "splits.json";

/// What a splits port carries, beside the rows in Parquet files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SplitsValue {
    pub(super) recipe: FittedRecipe,
    pub(super) digest: String,
    pub(super) datasets: Vec<athanor_protocol::package::DatasetUsed>,
}

/// Which rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Train,
    Valid,
    Test,
    /// The training rows with the columns that go into the fitted recipe.
    RawTrain,
}

impl Part {
    /// The part's file in the folder of a split.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Train => "train.parquet",
            Self::Valid => "valid.parquet",
            Self::Test => "test.parquet",
            Self::RawTrain => "raw_train.parquet",
        }
    }
}

pub(super) fn read_value(folder: &Path) -> Result<SplitsValue> {
    read_json(&folder.join(VALUE))
}

pub(super) fn read_part(folder: &Path, part: Part) -> Result<PreparedTable> {
    Ok(PreparedTable::read(&folder.join(part.file()))?)
}

pub(super) fn run(ctx: &StepContext<'_>) -> Result<Outcome> {
    let params = Params::of(ctx);
    let mut value = prepare::read_value(ctx, "table")?;
    let targets: Vec<String> = params.get::<Option<Vec<String>>>("targets")?.unwrap_or_default();
    prepare::spare_targets(&mut value.plan, &targets).map_err(at_node(&ctx.step.node))?;
    let (valid, seed, stratify) = (params.get("valid")?, params.get("seed")?, params.get("stratify")?);
    let spec = match params.get::<Option<u32>>("n_folds")? {
        Some(n_folds) => SplitSpec::KFold { n_folds, fold: params.get("fold")?, valid, stratify, seed },
        None => SplitSpec::Random { valid, test: params.get("test")?, stratify, seed },
    };
    let stop = || ctx.stop.reason().is_some();
    let prepared = athanor_datasets::prepare(&value.plan, &spec, &stop).map_err(at_node(&ctx.step.node))?;
    for dataset in &prepared.sources {
        // The run was planned for the bytes that were there then; other bytes would be kept under a wrong key.
        let planned = value
            .digests
            .iter()
            .filter(|(path, _)| Path::new(path).file_name().is_some_and(|name| *name == *dataset.name));
        if !planned.clone().any(|(_, digest)| *digest == dataset.digest) {
            let message =
                format!("node {:?}: the file {:?} changed after the run was planned", ctx.step.node, dataset.name);
            return Err(EngineError::Failure(
                Failure::new(Code::Conflict, message).on(dataset.name.clone()).hint("run the workflow again"),
            ));
        }
    }
    let tables = [
        (Part::Train, &prepared.train),
        (Part::Valid, &prepared.valid),
        (Part::Test, &prepared.test),
        (Part::RawTrain, &prepared.raw_train),
    ];
    for (part, table) in tables {
        table.write(&ctx.out.join(part.file()))?;
    }
    let (train, valid, test) = (prepared.train.n_rows(), prepared.valid.n_rows(), prepared.test.n_rows());
    let value = SplitsValue { recipe: prepared.recipe, digest: prepared.digest, datasets: prepared.sources.clone() };
    write_json(&ctx.out.join(VALUE), &value)?;
    let notes = vec![format!("{train} training, {valid} validation and {test} test rows")];
    Ok(Outcome { datasets: prepared.sources, notes, ..Outcome::default() })
}
