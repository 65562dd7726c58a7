//! Tables: open, describe, prepare and split; the only crate that knows Polars.
//!
//! [`open`] looks at a bounded first part of a file. [`plan_schema`] checks a plan without reading rows. [`prepare()`]
//! reads, does the steps, splits, learns from the training rows, and returns the three parts with the
//! [fitted recipe](athanor_protocol::recipe::FittedRecipe). [`Replay`] does the recipe to new rows, by the same code.
//! [`read_batches`] and [`TableWriter`] stream tables that are larger than memory. [`Pager`] shows any rows of one, and
//! [`Dataset::plot`] gives the numbers of a plot.
//!
//! **Architecture Invariant:** no Polars type in a public signature.
//!
//! **Architecture Invariant:** `open` reads at most the bounded sample that the schema needs, `plan_schema` reads no
//! more than `open`; everything that reads rows says so.
//!
//! **Architecture Invariant:** what is learned from data is learned from the training part alone and returned as a
//! fitted recipe; applying one is a pure function, the same one that serving uses.
//!
//! **Architecture Invariant:** the same file bytes, plan and seed give the same rows in the same order and the same
//! digest, whatever the number of threads.
//!
//! **Architecture Invariant:** knows nothing of runs, models, tensors or workflow nodes but their labels. Sync: the
//! caller owns the thread. A panic inside Polars becomes an error at this crate's border.
//!
//! ```
//! use athanor_datasets::{open, prepare, Replay};
//! use athanor_protocol::recipe::{FillWith, PlanStep, PreparePlan, SplitSpec, Step};
//! use athanor_protocol::table::DataSource;
//!
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("cars.csv");
//! std::fs::write(&path, "kg,kw\n900,40\n,80\n1500,110\n1100,55\n").unwrap();
//! let source = DataSource::file(path.to_str().unwrap());
//! assert_eq!(open(&source).unwrap().schema().columns.len(), 2);
//!
//! let derive = Step::Derive { column: "ratio".into(), expression: "kw / kg".into() };
//! let fill = Step::Fill { columns: vec!["kg".into()], with: FillWith::Median };
//! let steps = [fill, derive].map(|step| PlanStep { node: step.name().into(), step }).to_vec();
//! let split = SplitSpec::Random { valid: 0.0, test: 0.25, stratify: None, seed: 1 };
//! let prepared = prepare(&PreparePlan { source, steps }, &split, &|| false).unwrap();
//! assert_eq!((prepared.train.n_rows(), prepared.test.n_rows()), (3, 1));
//!
//! let replay = Replay::new(&prepared.recipe).unwrap();
//! let again = replay.apply(&prepared.raw_train.frame(&[]).unwrap()).unwrap();
//! assert_eq!(again, prepared.train.frame(&[]).unwrap());
//! ```
#![warn(missing_docs)]

mod blocks;
mod csv;
mod dataset;
mod describe;
mod error;
mod exec;
mod expr;
mod frame;
mod kernels;
mod page;
mod plot;
mod prepare;
mod recipe;
mod replay;
mod show;
mod source;
mod split;
mod steps;
mod stream;
mod table;
mod values;
mod words;

pub use blocks::{Block, Blocks, Types, read_blocks};
pub use dataset::{Dataset, open};
pub use describe::DescribeOptions;
pub use error::DatasetError;
pub use page::{MAX_PAGE_CELLS, Page, Pager};
pub use prepare::{Prepared, plan_schema, prepare};
pub use recipe::restrict;
pub use replay::Replay;
pub use show::cell_text;
pub use stream::{BatchReader, TableWriter, csv_lines, read_batches};
pub use table::PreparedTable;

/// The version of Polars that this program was built with; part of every model's lineage.
pub fn polars_version() -> &'static str {
    polars::VERSION
}
