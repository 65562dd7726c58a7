//! The node catalogue: every kind of node as data. What a node does lives elsewhere; what it is called, takes and gives,
//! lives here, and editor, checks, command line and documentation are made from it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What flows through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortType {
    /// A table with its preparation so far.
    Table,
    /// Training, validation and test rows with the fitted recipe.
    Splits,
    /// A trained model with its package.
    Model,
    /// An evaluation.
    Report,
}

impl PortType {
    /// The type in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Splits => "splits",
            Self::Model => "model",
            Self::Report => "report",
        }
    }
}

/// A port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Unique among the node's inputs or outputs.
    pub name: String,
    /// What flows.
    #[serde(rename = "type")]
    pub port_type: PortType,
    /// What it is for.
    pub help: String,
}

/// What a parameter holds and how it is edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ParamKind {
    /// A line of text.
    Text,
    /// A SQL expression over the columns.
    Expression,
    /// A file to read.
    Path,
    /// One column.
    Column,
    /// A list of columns.
    Columns,
    /// A number.
    Number {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// A whole number.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// True or false.
    Bool,
    /// One of a few.
    Choice {
        /// The values.
        options: Vec<String>,
    },
    /// A list of whole numbers, for example hidden layer sizes.
    Integers {
        /// Least value of each.
        min: i64,
        /// Greatest value of each.
        max: i64,
    },
    /// A list of texts, each in its own form described by the help, for example `column desc`.
    Texts,
    /// A network ([`crate::network::ModelSpec`]).
    Network,
    /// A JSON value: text, number or nothing.
    Any,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Unique in the node.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: ParamKind,
    /// The value where none is set; `null` means it must be set, or (for `optional`) means none.
    pub default: Value,
    /// Whether it may be left at `null`.
    pub optional: bool,
    /// One sentence.
    pub help: String,
}

/// A kind of node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeKind {
    /// The id, for example `prepare.filter`.
    pub id: String,
    /// Counts up when results change; part of every content key.
    pub version: u32,
    /// Ids that this kind had before; old workflows open under them.
    #[serde(default)]
    pub replaces: Vec<String>,
    /// What people read.
    pub title: String,
    /// One sentence.
    pub summary: String,
    /// Inputs; all must be linked, each once.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Parameters.
    pub params: Vec<Param>,
}

impl NodeKind {
    /// An input by name.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// An output by name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name == name)
    }

    /// A parameter by name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }
}

/// All kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Sorted by id.
    pub kinds: Vec<NodeKind>,
}

impl Catalogue {
    /// A kind by its id, or by an id that it replaces.
    pub fn kind(&self, id: &str) -> Option<&NodeKind> {
        let exact = self.kinds.binary_search_by(|kind| kind.id.as_str().cmp(id)).ok().map(|at| &self.kinds[at]);
        exact.or_else(|| self.kinds.iter().find(|kind| kind.replaces.iter().any(|old| old == id)))
    }

    /// The kinds that this program has.
    pub fn builtin() -> Self {
        let mut kinds = builtin::kinds();
        kinds.sort_by(|a, b| a.id.cmp(&b.id));
        Self { kinds }
    }
}

mod builtin {
    use super::*;

    fn port(name: &str, port_type: PortType, help: &str) -> Port {
        Port { name: name.to_owned(), port_type, help: help.to_owned() }
    }

    fn param(name: &str, kind: ParamKind, default: Value, help: &str) -> Param {
        Param { name: name.to_owned(), kind, default, optional: false, help: help.to_owned() }
    }

    fn optional(name: &str, kind: ParamKind, help: &str) -> Param {
        Param { name: name.to_owned(), kind, default: Value::Null, optional: true, help: help.to_owned() }
    }

    fn choice(options: &[&str]) -> ParamKind {
        ParamKind::Choice { options: options.iter().map(|&option| option.to_owned()).collect() }
    }

    fn number(min: f64, max: f64) -> ParamKind {
        ParamKind::Number { min, max }
    }

    fn integer(min: i64, max: i64) -> ParamKind {
        ParamKind::Integer { min, max }
    }

    fn prepare(id: &str, title: &str, summary: &str, params: Vec<Param>) -> NodeKind {
        NodeKind {
            id: format!("prepare.{id}"),
            version: 1,
            replaces: vec![],
            title: title.to_owned(),
            summary: summary.to_owned(),
            inputs: vec![port("table", PortType::Table, "The table to change.")],
            outputs: vec![port("table", PortType::Table, "The changed table.")],
            params,
        }
    }

    fn train(id: &str, title: &str, summary: &str, own: Vec<Param>) -> NodeKind {
        let mut params = vec![
            param("target", ParamKind::Column, Value::Null, "The column to predict."),
            param("features", ParamKind::Columns, json!([]), "The columns to learn from; none means all others."),
            param(
                "task",
                choice(&["auto", "classification", "regression"]),
                json!("auto"),
                "What to predict: classes or a number; auto tells from the target's values.",
            ),
        ];
        params.extend(own);
        NodeKind {
            id: format!("train.{id}"),
            version: 1,
            replaces: vec![],
            title: title.to_owned(),
            summary: summary.to_owned(),
            inputs: vec![port("splits", PortType::Splits, "Training and validation rows.")],
            outputs: vec![port("model", PortType::Model, "The trained model.")],
            params,
        }
    }

    fn optim(epochs: i64, batch_size: i64, learning_rate: f64, weight_decay: f64, patience: i64) -> Vec<Param> {
        vec![
            param("epochs", integer(1, 1_000_000), json!(epochs), "Passes over the training rows."),
            param("batch_size", integer(1, 1_000_000), json!(batch_size), "Rows in one step."),
            param("learning_rate", number(1e-12, 1e3), json!(learning_rate), "Step size at the start."),
            param("weight_decay", number(0.0, 1e3), json!(weight_decay), "Pulls weights towards zero."),
            param("optimizer", choice(&["adam", "sgd"]), json!("adam"), "AdamW, or gradient descent with momentum."),
            param("schedule", choice(&["constant", "cosine"]), json!("cosine"), "How the step size changes."),
            param(
                "patience",
                integer(0, 1_000_000),
                json!(patience),
                "Stops after this many epochs without a better validation loss and keeps the best weights; 0 never stops early.",
            ),
            param(
                "checkpoint_every_steps",
                integer(0, i64::MAX),
                json!(200),
                "Steps between checkpoints, besides each epoch's end; 0 for epochs only.",
            ),
        ]
    }

    pub(super) fn kinds() -> Vec<NodeKind> {
        let mut kinds = vec![
            NodeKind {
                id: "table.open".to_owned(),
                version: 1,
                replaces: vec![],
                title: "Open table".to_owned(),
                summary: "Reads a CSV or Parquet file.".to_owned(),
                inputs: vec![],
                outputs: vec![port("table", PortType::Table, "The table.")],
                params: vec![
                    param("path", ParamKind::Path, Value::Null, "The file; relative to the workflow's own folder."),
                    param("format", choice(&["auto", "csv", "parquet"]), json!("auto"), "The file's format."),
                    optional(
                        "separator",
                        ParamKind::Text,
                        "The separator of a CSV file, one character; found out where it is not set.",
                    ),
                    optional(
                        "has_header",
                        ParamKind::Bool,
                        "Whether the first line holds names; found out where it is not set.",
                    ),
                    param("decimal_comma", ParamKind::Bool, json!(false), "Whether numbers are written 1,5."),
                    param(
                        "null_values",
                        ParamKind::Texts,
                        json!([]),
                        "Words that mean missing, besides the empty field.",
                    ),
                ],
            },
            prepare(
                "select",
                "Select columns",
                "Keeps or drops columns.",
                vec![
                    param("columns", ParamKind::Columns, Value::Null, "The columns."),
                    param("drop", ParamKind::Bool, json!(false), "Drop them instead of keeping them."),
                ],
            ),
            prepare(
                "cast",
                "Change type",
                "Changes the type of columns.",
                vec![
                    param("columns", ParamKind::Columns, Value::Null, "The columns."),
                    param(
                        "to",
                        choice(&["bool", "int", "float", "text", "date", "datetime"]),
                        Value::Null,
                        "The new type.",
                    ),
                    param(
                        "on_error",
                        choice(&["fail", "missing"]),
                        json!("fail"),
                        "What to do with a value that does not fit.",
                    ),
                ],
            ),
            prepare(
                "filter",
                "Filter rows",
                "Keeps the rows for which a condition holds.",
                vec![param(
                    "predicate",
                    ParamKind::Expression,
                    Value::Null,
                    "A SQL condition, for example: age > 30 AND bmi IS NOT NULL.",
                )],
            ),
            prepare(
                "derive",
                "Derive column",
                "Computes a column from others, row by row.",
                vec![
                    param(
                        "column",
                        ParamKind::Text,
                        Value::Null,
                        "The new column's name; an existing one is replaced.",
                    ),
                    param(
                        "expression",
                        ParamKind::Expression,
                        Value::Null,
                        "A SQL expression, for example: worst_radius / mean_radius.",
                    ),
                ],
            ),
            prepare(
                "fill",
                "Fill missing",
                "Fills missing values; what it learns, it learns from training rows alone.",
                vec![
                    param("columns", ParamKind::Columns, json!([]), "The columns; none means all that fit."),
                    param("with", choice(&["mean", "median", "mode", "value"]), json!("median"), "What to fill with."),
                    optional("value", ParamKind::Any, "The value, where 'with' is 'value'."),
                ],
            ),
            prepare(
                "deduplicate",
                "Remove duplicates",
                "Keeps the first of equal rows.",
                vec![param(
                    "columns",
                    ParamKind::Columns,
                    json!([]),
                    "The columns that make rows equal; none means all.",
                )],
            ),
            prepare(
                "sort",
                "Sort rows",
                "Sorts rows by columns.",
                vec![param(
                    "by",
                    ParamKind::Texts,
                    Value::Null,
                    "Columns, each with 'desc' behind it for greatest first.",
                )],
            ),
            prepare(
                "sample",
                "Sample rows",
                "Keeps a random part of the rows.",
                vec![
                    optional("n_rows", integer(0, i64::MAX), "How many rows."),
                    optional("fraction", number(0.0, 1.0), "Which share of the rows, where no number is set."),
                    param("seed", integer(0, i64::MAX), json!(0), "The seed."),
                ],
            ),
            NodeKind {
                id: "prepare.join".to_owned(),
                version: 1,
                replaces: vec![],
                title: "Join tables".to_owned(),
                summary: "Adds the columns of another table.".to_owned(),
                inputs: vec![
                    port("table", PortType::Table, "The left table."),
                    port("right", PortType::Table, "The right table."),
                ],
                outputs: vec![port("table", PortType::Table, "The joined table.")],
                params: vec![
                    param(
                        "on",
                        ParamKind::Texts,
                        Value::Null,
                        "Columns that must be equal; 'left = right' where names differ.",
                    ),
                    param(
                        "how",
                        choice(&["inner", "left", "semi", "anti", "full"]),
                        json!("inner"),
                        "Which rows stay.",
                    ),
                ],
            },
            prepare(
                "group",
                "Group rows",
                "One row for each group, with computed columns.",
                vec![
                    param("by", ParamKind::Columns, Value::Null, "The columns that make a group."),
                    param(
                        "aggregates",
                        ParamKind::Texts,
                        Value::Null,
                        "Each as 'name = function(column)'; functions: count, sum, mean, median, min, max, std, distinct, first, last.",
                    ),
                ],
            ),
            NodeKind {
                id: "split".to_owned(),
                version: 1,
                replaces: vec![],
                title: "Split".to_owned(),
                summary: "Divides rows into training, validation and test, and fits what the preparation learns."
                    .to_owned(),
                inputs: vec![port("table", PortType::Table, "The table.")],
                outputs: vec![port("splits", PortType::Splits, "The three parts.")],
                params: vec![
                    param("valid", number(0.0, 0.9), json!(0.15), "Share of validation rows."),
                    param("test", number(0.0, 0.9), json!(0.15), "Share of test rows."),
                    optional("stratify", ParamKind::Column, "The column whose shares are kept equal in each part."),
                    optional("n_folds", integer(2, 1000), "Makes one of this many folds the test part instead."),
                    param("fold", integer(0, 999), json!(0), "Which fold, from 0."),
                    optional("seed", integer(0, i64::MAX), "The seed; the run's where it is not set."),
                ],
            },
            train("constant", "Constant", "Always says the same: the baseline to beat.", vec![]),
            train("linear", "Linear model", "Linear or logistic regression.", optim(200, 32, 0.02, 0.1, 0)),
            train("mlp", "Neural network", "Fully connected layers.", {
                let mut params = vec![
                    param(
                        "hidden",
                        ParamKind::Integers { min: 1, max: 65_536 },
                        json!([64, 32]),
                        "Size of each hidden layer.",
                    ),
                    param("dropout", number(0.0, 0.95), json!(0.0), "Share of hidden values set to zero in training."),
                ];
                params.extend(optim(150, 32, 0.003, 1e-4, 20));
                params
            }),
            train("cnn", "Image network", "Two convolutions and a hidden layer, for images kept as pixel columns.", {
                let mut params = vec![
                    param(
                        "image",
                        ParamKind::Integers { min: 1, max: 4096 },
                        Value::Null,
                        "Channels, height and width; the feature columns are pixels in row-major order.",
                    ),
                    param(
                        "channels",
                        ParamKind::Integers { min: 1, max: 4096 },
                        json!([16, 32]),
                        "Output channels of the two convolutions.",
                    ),
                    param("hidden", integer(1, 65_536), json!(64), "Size of the hidden layer."),
                    param("dropout", number(0.0, 0.95), json!(0.25), "Share of hidden values set to zero in training."),
                ];
                params.extend(optim(30, 64, 0.002, 1e-4, 8));
                params
            }),
            train("network", "Custom network", "Layers in the order that you put them.", {
                let mut params = vec![param("network", ParamKind::Network, Value::Null, "The layers.")];
                params.extend(optim(100, 32, 0.003, 1e-4, 20));
                params
            }),
            train(
                "trees",
                "Boosted trees",
                "Gradient-boosted decision trees.",
                vec![
                    param("n_rounds", integer(1, 100_000), json!(300), "Boosting rounds."),
                    param("learning_rate", number(1e-6, 1.0), json!(0.05), "Shrinkage of each round."),
                    param("n_leaves", integer(2, 65_536), json!(15), "Most leaves in a tree."),
                    param("min_rows_in_leaf", integer(1, 1_000_000), json!(10), "Fewest training rows in a leaf."),
                    param("feature_fraction", number(0.01, 1.0), json!(0.8), "Share of the features that a tree sees."),
                    param("bagging_fraction", number(0.01, 1.0), json!(0.9), "Share of the rows that a round sees."),
                    param("l2", number(0.0, 1e6), json!(1.0), "Penalty on leaf values."),
                    param(
                        "patience",
                        integer(0, 100_000),
                        json!(30),
                        "Stops after this many rounds without a better validation loss; 0 grows all.",
                    ),
                ],
            ),
            NodeKind {
                id: "evaluate".to_owned(),
                version: 2,
                replaces: vec![],
                title: "Evaluate".to_owned(),
                summary: "Judges the model on the test rows.".to_owned(),
                inputs: vec![
                    port("model", PortType::Model, "The model."),
                    port("splits", PortType::Splits, "The rows; those for testing are used."),
                ],
                outputs: vec![port("report", PortType::Report, "Metrics, curves, important columns, worst rows.")],
                params: vec![],
            },
        ];
        kinds.push(NodeKind {
            id: "register".to_owned(),
            version: 1,
            replaces: vec![],
            title: "Register".to_owned(),
            summary: "Signs the model's package and registers it as the next version.".to_owned(),
            inputs: vec![port("model", PortType::Model, "The model.")],
            outputs: vec![],
            params: vec![
                param("name", ParamKind::Text, Value::Null, "The registered model's name."),
                optional("alias", ParamKind::Text, "An alias that moves to the new version, for example production."),
            ],
        });
        kinds
    }
}
