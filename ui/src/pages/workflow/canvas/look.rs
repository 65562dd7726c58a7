//! What the canvas draws and what it gives back.

use std::collections::{HashMap, HashSet};

use athanor_protocol::{
    run::StepState,
    workflow::{Endpoint, Link, Workflow},
};
use egui::{Pos2, Rect, Vec2};

use crate::pages::workflow::{
    edit::{Item, Selection},
    scene::{NodeView, Scene},
};

/// How a node stands in the current run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeState {
    /// Its state.
    pub state: Option<StepState>,
    /// What is being done.
    pub note: String,
    /// How much is done.
    pub share: Option<f32>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// One end of a wire that is being drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct WireFrom {
    /// The port.
    pub end: Endpoint,
    /// Whether it is an output.
    pub output: bool,
    /// Nodes that would close a circle.
    pub blocked: HashSet<String>,
}

/// What the canvas draws.
pub struct Look<'a> {
    /// What stands where.
    pub scene: &'a Scene,
    /// The document.
    pub workflow: &'a Workflow,
    /// What is chosen.
    pub selection: &'a Selection,
    /// The chosen link.
    pub link: Option<usize>,
    /// How nodes stand in the current run.
    pub states: &'a HashMap<String, NodeState>,
    /// The wire that is being drawn.
    pub wire: Option<WireFrom>,
    /// The port under the pointer.
    pub port: Option<(&'a str, usize, bool)>,
}

impl Look<'_> {
    /// Whether the wire that is being drawn may land on a port; `None` where none is being drawn.
    pub fn fits(&self, node: &NodeView, row: usize, output: bool) -> Option<bool> {
        let wire = self.wire.as_ref()?;
        let from = self.scene.node(&wire.end.node)?;
        let own = if wire.output { &from.outputs } else { &from.inputs };
        let from_type = own.iter().find(|port| port.name == wire.end.port)?.port_type;
        if node.id == wire.end.node && output == wire.output {
            let ports = if output { &node.outputs } else { &node.inputs };
            return (ports.get(row)?.name != wire.end.port).then_some(false);
        }
        let ports = if output { &node.outputs } else { &node.inputs };
        let port = ports.get(row)?;
        Some(output != wire.output && port.port_type == from_type && !wire.blocked.contains(&node.id))
    }
}

/// What a user did.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Chose a thing; with Ctrl or Shift besides the others.
    Select(Item, bool),
    /// Chose all within a rectangle.
    SelectIn(Rect, bool),
    /// Chose nothing.
    Clear,
    /// Chose a link.
    SelectLink(usize),
    /// Wants to see a thing's settings.
    Open(Item),
    /// Moved what is chosen.
    Move(Vec2),
    /// Let go of what was moved.
    Moved,
    /// Gave a comment another size.
    Resize(String, Vec2),
    /// Drew a wire to a port.
    Link(Link),
    /// Cut the links of a port.
    Cut(Endpoint, bool),
    /// Wants to add something here, linked to the wire's end.
    Add(Pos2, Option<WireFrom>),
    /// Dropped a kind from the palette.
    Drop(String, Pos2),
    /// Chose from a node's menu.
    Menu(Item, &'static str),
}

/// Where the view shall go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Everything in sight.
    Fit,
    /// This rectangle in the middle, at the scale as it is unless it does not fit.
    Show(Rect),
    /// This point in the middle.
    Center(Pos2),
    /// So many times the scale.
    Zoom(f32),
}
