//! A first look at the bytes of a file from elsewhere, before anything is allocated for them.
//!
//! A message of two bytes becomes a structure of hundreds, so what there is has to be counted first. The wire format of
//! protobuf is a list of fields, each with its number, its kind and its length; nothing else is read here.

use super::corrupt;
use crate::LearnError;

/// Most nodes of a graph.
pub(super) const MAX_NODES: usize = 10_000;
/// Most messages, names and texts of a file.
const MAX_ITEMS: usize = 500_000;

/// A message whose fields are looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
}

impl Message {
    /// The message in a field; `None` for texts, numbers and messages of texts alone.
    fn inside(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Value, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            _ => return None,
        })
    }
}

/// Counts nodes and items.
///
/// # Errors
/// If the bytes are no such message, end too early, hold too much, or a graph is nested in a node.
pub(super) fn scan(bytes: &[u8]) -> Result<(), LearnError> {
    let mut counts = Counts::default();
    counts.message(bytes, Message::Model)
}

#[derive(Default)]
struct Counts {
    n_nodes: usize,
    n_items: usize,
}

impl Counts {
    /// The depth is that of [`Message::inside`], which has no way back to a graph: recursion ends.
    fn message(&mut self, bytes: &[u8], message: Message) -> Result<(), LearnError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let (field, kind) = (key >> 3, key & 7);
            match kind {
                0 => {
                    varint(&mut rest)?;
                }
                1 => {
                    take(&mut rest, 8)?;
                }
                5 => {
                    take(&mut rest, 4)?;
                }
                2 => {
                    let n_bytes = varint(&mut rest)?;
                    let inner = take(&mut rest, n_bytes)?;
                    self.n_items += 1;
                    if self.n_items > MAX_ITEMS {
                        return Err(too_many("messages, names and texts", MAX_ITEMS));
                    }
                    if message == Message::Attribute && matches!(field, 6 | 11) {
                        return Err(corrupt("a graph is nested in a node (If, Loop, Scan), which is not run here"));
                    }
                    if let Some(inside) = message.inside(field) {
                        if inside == Message::Node {
                            self.n_nodes += 1;
                            if self.n_nodes > MAX_NODES {
                                return Err(too_many("nodes", MAX_NODES));
                            }
                        }
                        self.message(inner, inside)?;
                    }
                }
                _ => return Err(corrupt("it is no ONNX file: its bytes are no protobuf message")),
            }
        }
        Ok(())
    }
}

fn too_many(what: &str, limit: usize) -> LearnError {
    LearnError::TooLarge { what: "onnx".to_owned(), message: format!("it has more than {limit} {what}") }
}

fn varint(rest: &mut &[u8]) -> Result<u64, LearnError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some((&byte, after)) = rest.split_first() else { return Err(corrupt("the file ends too early")) };
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(corrupt("it is no ONNX file: its bytes are no protobuf message"))
}

fn take<'a>(rest: &mut &'a [u8], n_bytes: u64) -> Result<&'a [u8], LearnError> {
    let taken = usize::try_from(n_bytes).ok().and_then(|n| rest.split_at_checked(n));
    let Some((inner, after)) = taken else { return Err(corrupt("the file ends too early")) };
    *rest = after;
    Ok(inner)
}
