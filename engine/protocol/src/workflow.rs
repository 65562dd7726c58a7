//! The workflow document: nodes, typed links, parameters, and what people write beside them. Version 2; version 1 had no
//! comments and groups.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::error::{Code, Failure};

/// Most nodes in one workflow.
pub const MAX_NODES: usize = 10_000;
/// Most links in one workflow.
pub const MAX_LINKS: usize = 50_000;
/// Largest workflow file.
pub const MAX_WORKFLOW_BYTES: usize = 64 << 20;

/// One end of a link, written `node.port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The node's id.
    pub node: String,
    /// The port's name.
    pub port: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some((node, port)) if !node.is_empty() && !port.is_empty() => {
                Ok(Self { node: node.to_owned(), port: port.to_owned() })
            }
            _ => Err(format!("expected 'node.port', found {text:?}")),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A node: a kind of the catalogue with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Unique in the workflow: letters, digits, `_` and `-`, at most 64 bytes.
    pub id: String,
    /// The kind's id, for example `table.open`.
    pub kind: String,
    /// What people call it; the kind's title where empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Parameters that differ from the kind's defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Place on the canvas, in points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<[f32; 2]>,
    /// A note.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A link from an output port to an input port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The output.
    pub from: Endpoint,
    /// The input.
    pub to: Endpoint,
}

/// A remark on the canvas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    /// Unique among the comments: letters, digits, `_` and `-`, at most 64 bytes.
    pub id: String,
    /// What it says.
    pub text: String,
    /// Its upper left corner, in points.
    pub position: [f32; 2],
    /// Its width and height, in points.
    pub size: [f32; 2],
}

/// Nodes that belong together; drawn as a frame around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Unique among the groups: letters, digits, `_` and `-`, at most 64 bytes.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Ids of its nodes; ids of nodes that are not there count for nothing.
    pub nodes: Vec<String>,
}

/// The version that is written.
pub const VERSION: u32 = 2;

/// A workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Format version; [`VERSION`].
    pub version: u32,
    /// What people call it.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The links.
    pub links: Vec<Link>,
    /// Remarks on the canvas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<Comment>,
    /// Nodes that belong together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Workflow {
    /// Reads a document of any version that this program knows.
    ///
    /// # Errors
    /// [`Code::TooLarge`] over the limits, [`Code::Unsupported`] for a newer version, [`Code::BadData`] with line and
    /// column for anything that is no workflow.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        if text.len() > MAX_WORKFLOW_BYTES {
            return Err(Failure::new(
                Code::TooLarge,
                format!("a workflow file has at most {MAX_WORKFLOW_BYTES} bytes"),
            ));
        }
        #[derive(Deserialize)]
        struct Head {
            version: Option<u64>,
        }
        let not_json = |err: serde_json::Error| {
            Failure::new(Code::BadData, format!("this is no workflow: {err}"))
                .hint("a workflow is a JSON object with version, name, nodes and links")
        };
        let head: Head = serde_json::from_str(text).map_err(not_json)?;
        match head.version {
            Some(1 | 2) => {}
            Some(newer) => {
                return Err(Failure::new(
                    Code::Unsupported,
                    format!("the workflow has format version {newer}, this program reads versions 1 and 2"),
                )
                .hint("open it with the version of the program that saved it, or a newer one"));
            }
            None => return Err(Failure::new(Code::BadData, "this is no workflow: the field 'version' is missing")),
        }
        let workflow: Self = serde_json::from_str(text).map_err(not_json)?;
        let workflow = Self { version: VERSION, ..workflow };
        if workflow.nodes.len() > MAX_NODES || workflow.links.len() > MAX_LINKS {
            return Err(Failure::new(
                Code::TooLarge,
                format!("a workflow has at most {MAX_NODES} nodes and {MAX_LINKS} links"),
            ));
        }
        Ok(workflow)
    }

    /// Writes the newest version, pretty and stable, so that it diffs well.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A workflow without anything in it.
    pub fn empty(name: impl Into<String>) -> Self {
        Self {
            version: VERSION,
            name: name.into(),
            description: String::new(),
            nodes: vec![],
            links: vec![],
            comments: vec![],
            groups: vec![],
        }
    }

    /// A node by id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
}
