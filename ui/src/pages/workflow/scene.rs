//! What stands where on the canvas: made from the document after each change, so that a frame only looks things up.

use std::collections::HashMap;

use athanor_protocol::{
    catalogue::{Catalogue, PortType},
    check::{Problem, check},
    workflow::{Link, Node, Workflow},
};
use egui::{Color32, Pos2, Rect, Vec2};

use super::{doc::Document, edit::Item, layout::layout, summary::summary};
use crate::theme::Theme;

/// A node's width.
pub const NODE_WIDTH: f32 = 208.0;
/// A node's height without rows of ports.
pub const NODE_HEIGHT: f32 = 54.0;
/// A row of ports.
pub const PORT_ROW: f32 = 22.0;
/// A group's title above its nodes.
pub const GROUP_TITLE: f32 = 26.0;
const GROUP_PAD: f32 = 16.0;

/// A port of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct PortView {
    /// Its name.
    pub name: String,
    /// What flows; `None` at kinds that this program does not know.
    pub port_type: Option<PortType>,
    /// What it is for.
    pub help: String,
    /// Its middle.
    pub at: Pos2,
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its id.
    pub id: String,
    /// Its kind's id.
    pub kind: String,
    /// What people call it.
    pub title: String,
    /// The choice that matters.
    pub summary: String,
    /// Where it is.
    pub rect: Rect,
    /// Inputs.
    pub inputs: Vec<PortView>,
    /// Outputs.
    pub outputs: Vec<PortView>,
    /// Whether the kind is known.
    pub known: bool,
    /// Whether it has a note.
    pub note: bool,
    /// Its problems as places in [`Scene::problems`].
    pub problems: Vec<usize>,
}

/// A link that can be drawn.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// Its place among the document's links.
    pub index: usize,
    /// Nodes at its ends, as places in [`Scene::nodes`].
    pub nodes: [usize; 2],
    /// Ports at its ends.
    pub ports: [usize; 2],
    /// What flows.
    pub port_type: Option<PortType>,
}

/// A frame around nodes.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub rect: Rect,
}

/// What stands where.
pub struct Scene {
    version: u64,
    content: u64,
    engine: u64,
    /// The nodes in document order.
    pub nodes: Vec<NodeView>,
    /// The links that have both ends.
    pub links: Vec<LinkView>,
    /// The groups.
    pub groups: Vec<GroupView>,
    /// All problems: the document's and the engine's.
    pub problems: Vec<Problem>,
    /// Around everything.
    pub bounds: Rect,
    index: HashMap<String, usize>,
}

/// The colour of what flows.
pub fn port_color(theme: &Theme, port_type: Option<PortType>) -> Color32 {
    match port_type {
        Some(PortType::Table) => theme.info,
        Some(PortType::Splits) => theme.series(3),
        Some(PortType::Model) => theme.accent,
        Some(PortType::Report) => theme.ok,
        None => theme.faint,
    }
}

type Linked<'a> = HashMap<&'a str, [Vec<&'a str>; 2]>;

/// The ports of nodes of unknown kinds, as far as links tell.
fn linked_ports<'a>(workflow: &'a Workflow, catalogue: &Catalogue) -> Linked<'a> {
    let mut linked: Linked<'a> = workflow
        .nodes
        .iter()
        .filter(|node| catalogue.kind(&node.kind).is_none())
        .map(|node| (node.id.as_str(), [vec![], vec![]]))
        .collect();
    if linked.is_empty() {
        return linked;
    }
    for link in &workflow.links {
        for (side, end) in [&link.to, &link.from].into_iter().enumerate() {
            if let Some(ports) = linked.get_mut(end.node.as_str())
                && ports[side].len() < 64
                && !ports[side].contains(&end.port.as_str())
            {
                ports[side].push(&end.port);
            }
        }
    }
    linked
}

fn ports_of(node: &Node, catalogue: &Catalogue, linked: &Linked<'_>) -> [Vec<PortView>; 2] {
    let view = |name: &str, port_type, help: &str| PortView {
        name: name.to_owned(),
        port_type,
        help: help.to_owned(),
        at: Pos2::ZERO,
    };
    if let Some(kind) = catalogue.kind(&node.kind) {
        return [&kind.inputs, &kind.outputs]
            .map(|ports| ports.iter().map(|port| view(&port.name, Some(port.port_type), &port.help)).collect());
    }
    let help = "A port of a kind that this program does not know.";
    match linked.get(node.id.as_str()) {
        Some(ports) => [0, 1].map(|side| ports[side].iter().map(|name| view(name, None, help)).collect()),
        None => [vec![], vec![]],
    }
}

/// A node's size, by how many ports it has.
pub fn node_size(n_inputs: usize, n_outputs: usize) -> Vec2 {
    let rows = n_inputs.max(n_outputs);
    let height = if rows > 1 { NODE_HEIGHT + rows as f32 * PORT_ROW + 4.0 } else { NODE_HEIGHT };
    Vec2::new(NODE_WIDTH, height)
}

/// Gives a place to every node that has none.
pub fn place_all(workflow: &mut Workflow, catalogue: &Catalogue) {
    if workflow.nodes.iter().all(|node| node.position.is_some_and(|at| at.iter().all(|value| value.is_finite()))) {
        return;
    }
    let spots = auto_layout(workflow, catalogue);
    let all_new = workflow.nodes.iter().all(|node| node.position.is_none());
    let below = workflow.nodes.iter().filter_map(|node| node.position).map(|at| at[1]).fold(0.0, f32::max) + 160.0;
    for (node, [x, y]) in workflow.nodes.iter_mut().zip(spots) {
        if node.position.is_none_or(|at| !at.iter().all(|value| value.is_finite())) {
            node.position = Some(if all_new { [x, y] } else { [x, y + below] });
        }
    }
}

/// Places for all nodes.
pub fn auto_layout(workflow: &Workflow, catalogue: &Catalogue) -> Vec<[f32; 2]> {
    let sizes: Vec<[f32; 2]> = workflow
        .nodes
        .iter()
        .map(|node| {
            let (inputs, outputs) =
                catalogue.kind(&node.kind).map_or((1, 1), |kind| (kind.inputs.len(), kind.outputs.len()));
            node_size(inputs, outputs).into()
        })
        .collect();
    layout(workflow, &sizes)
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            version: 0,
            content: 0,
            engine: 0,
            nodes: vec![],
            links: vec![],
            groups: vec![],
            problems: vec![],
            bounds: Rect::NOTHING,
            index: HashMap::new(),
        }
    }
}

impl Scene {
    /// Brings it up to date; `engine` are the problems that only the engine sees and the number of that answer.
    pub fn keep(&mut self, document: &Document, catalogue: &Catalogue, engine: (u64, &[Problem])) {
        if document.content() != self.content || engine.0 != self.engine {
            (self.content, self.engine, self.version) = (document.content(), engine.0, document.version());
            self.rebuild(document.now(), catalogue, engine.1);
        } else if document.version() != self.version {
            self.version = document.version();
            self.place(document.now());
        }
    }

    fn rebuild(&mut self, workflow: &Workflow, catalogue: &Catalogue, engine: &[Problem]) {
        self.index = workflow.nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect();
        let linked = linked_ports(workflow, catalogue);
        self.nodes = workflow
            .nodes
            .iter()
            .map(|node| {
                let kind = catalogue.kind(&node.kind);
                let [inputs, outputs] = ports_of(node, catalogue, &linked);
                let title = match kind {
                    _ if !node.title.is_empty() => node.title.clone(),
                    Some(kind) => kind.title.clone(),
                    None => node.kind.clone(),
                };
                NodeView {
                    id: node.id.clone(),
                    kind: kind.map_or_else(|| node.kind.clone(), |kind| kind.id.clone()),
                    title,
                    summary: summary(node, kind),
                    rect: Rect::from_min_size(Pos2::ZERO, node_size(inputs.len(), outputs.len())),
                    inputs,
                    outputs,
                    known: kind.is_some(),
                    note: !node.note.is_empty(),
                    problems: vec![],
                }
            })
            .collect();
        self.links.clear();
        for (index, link) in workflow.links.iter().enumerate() {
            if let Some(view) = self.link_view(index, link) {
                self.links.push(view);
            }
        }
        self.problems = check(workflow, catalogue);
        if workflow.nodes.is_empty() {
            self.problems.clear();
        }
        for found in engine {
            if !self.problems.contains(found) {
                self.problems.push(found.clone());
            }
        }
        for (at, problem) in self.problems.iter().enumerate() {
            if let Some(&node) = problem.node.as_ref().and_then(|id| self.index.get(id)) {
                self.nodes[node].problems.push(at);
            }
        }
        self.place(workflow);
    }

    fn link_view(&self, index: usize, link: &Link) -> Option<LinkView> {
        let from = *self.index.get(&link.from.node)?;
        let to = *self.index.get(&link.to.node)?;
        let out = self.nodes[from].outputs.iter().position(|port| port.name == link.from.port)?;
        let input = self.nodes[to].inputs.iter().position(|port| port.name == link.to.port)?;
        let port_type = self.nodes[from].outputs[out].port_type;
        Some(LinkView { index, nodes: [from, to], ports: [out, input], port_type })
    }

    fn place(&mut self, workflow: &Workflow) {
        self.bounds = Rect::NOTHING;
        for (view, node) in self.nodes.iter_mut().zip(&workflow.nodes) {
            let [x, y] = node.position.unwrap_or_default();
            // A file may hold any number; far away is where a canvas can still go.
            let at = Pos2::new(x.clamp(-1e6, 1e6), y.clamp(-1e6, 1e6));
            let at = if at.any_nan() { Pos2::ZERO } else { at };
            view.rect = Rect::from_min_size(at, view.rect.size());
            self.bounds |= view.rect;
            let rect = view.rect;
            let rows = view.inputs.len().max(view.outputs.len());
            for (ports, x) in [(&mut view.inputs, rect.left()), (&mut view.outputs, rect.right())] {
                for (row, port) in ports.iter_mut().enumerate() {
                    let y = if rows > 1 {
                        rect.top() + NODE_HEIGHT + (row as f32 + 0.5) * PORT_ROW - 2.0
                    } else {
                        rect.center().y
                    };
                    port.at = Pos2::new(x, y);
                }
            }
        }
        self.groups.clear();
        for group in &workflow.groups {
            let mut rect = Rect::NOTHING;
            for id in &group.nodes {
                if let Some(&at) = self.index.get(id) {
                    rect |= self.nodes[at].rect;
                }
            }
            if rect.is_positive() {
                let mut rect = rect.expand(GROUP_PAD);
                rect.min.y -= GROUP_TITLE - 4.0;
                self.bounds |= rect;
                self.groups.push(GroupView { id: group.id.clone(), rect });
            }
        }
        for comment in &workflow.comments {
            self.bounds |= comment_rect(comment);
        }
    }

    /// A node's place by its id.
    pub fn at(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// A node by its id.
    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.at(id).map(|at| &self.nodes[at])
    }

    /// Where a thing is.
    pub fn rect_of(&self, workflow: &Workflow, item: &Item) -> Option<Rect> {
        match item {
            Item::Node(id) => self.node(id).map(|node| node.rect),
            Item::Comment(id) => workflow.comments.iter().find(|comment| comment.id == *id).map(comment_rect),
            Item::Group(id) => self.groups.iter().find(|group| group.id == *id).map(|group| group.rect),
        }
    }

    /// The ends of a link.
    pub fn ends(&self, link: &LinkView) -> [Pos2; 2] {
        let from = self.nodes[link.nodes[0]].outputs.get(link.ports[0]).map_or(Pos2::ZERO, |port| port.at);
        let to = self.nodes[link.nodes[1]].inputs.get(link.ports[1]).map_or(Pos2::ZERO, |port| port.at);
        [from, to]
    }

    /// The topmost node at a point.
    pub fn node_under(&self, at: Pos2) -> Option<&NodeView> {
        self.nodes.iter().rev().find(|node| node.rect.contains(at))
    }
}

/// Where a comment is.
pub fn comment_rect(comment: &athanor_protocol::workflow::Comment) -> Rect {
    let [x, y] = comment.position.map(|value| if value.is_nan() { 0.0 } else { value.clamp(-1e6, 1e6) });
    let [w, h] = comment.size.map(|value| if value.is_nan() { 80.0 } else { value.clamp(60.0, 4000.0) });
    Rect::from_min_size(Pos2::new(x, y), Vec2::new(w, h.max(40.0)))
}

/// A wire's curve as points, from an output to an input.
pub fn wire(from: Pos2, to: Pos2) -> [Pos2; 4] {
    let reach = ((to.x - from.x).abs() * 0.5).max(((to.y - from.y).abs() * 0.3).min(80.0)).clamp(24.0, 220.0);
    [from, from + Vec2::new(reach, 0.0), to - Vec2::new(reach, 0.0), to]
}

/// A point of a wire.
pub fn wire_point(curve: &[Pos2; 4], t: f32) -> Pos2 {
    let s = 1.0 - t;
    let sum = curve[0].to_vec2() * (s * s * s)
        + curve[1].to_vec2() * (3.0 * s * s * t)
        + curve[2].to_vec2() * (3.0 * s * t * t)
        + curve[3].to_vec2() * (t * t * t);
    sum.to_pos2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(json: &str) -> Workflow {
        Workflow::from_json(json).unwrap()
    }

    #[test]
    fn unknown_kinds_keep_their_links_and_have_a_problem() {
        let w = workflow(
            r#"{"version":2,"name":"t","nodes":[{"id":"a","kind":"later.magic","position":[0,0]},{"id":"b","kind":"split","position":[300,0]}],
            "links":[{"from":"a.sparkles","to":"b.table"}]}"#,
        );
        let catalogue = Catalogue::builtin();
        let document = Document::new("t", None, w, None);
        let mut scene = Scene::default();
        scene.keep(&document, &catalogue, (0, &[]));
        assert!(!scene.nodes[0].known && !scene.nodes[0].problems.is_empty());
        assert_eq!((scene.links.len(), scene.nodes[0].outputs[0].name.as_str()), (1, "sparkles"));
        assert_eq!(scene.nodes[0].summary, "unknown kind later.magic");
    }

    #[test]
    fn odd_numbers_in_a_file_do_no_harm() {
        let mut w = workflow(
            r#"{"version":1,"name":"t","nodes":[{"id":"a","kind":"split","position":[1e30,-1e30]}],"links":[]}"#,
        );
        w.nodes[0].position = Some([f32::NAN, f32::INFINITY]);
        let catalogue = Catalogue::builtin();
        place_all(&mut w, &catalogue);
        let mut scene = Scene::default();
        scene.keep(&Document::new("t", None, w, None), &catalogue, (0, &[]));
        assert!(scene.bounds.is_finite());
    }

    #[test]
    fn the_engines_problems_stand_beside_the_documents() {
        let w = workflow(
            r#"{"version":2,"name":"t","nodes":[{"id":"a","kind":"table.open","position":[0,0]}],"links":[]}"#,
        );
        let catalogue = Catalogue::builtin();
        let document = Document::new("t", None, w, None);
        let mut scene = Scene::default();
        let own = Problem { node: Some("a".into()), port: None, param: None, message: "the file is gone".into() };
        scene.keep(&document, &catalogue, (1, std::slice::from_ref(&own)));
        assert_eq!(scene.nodes[0].problems.len(), 2);
        scene.keep(&document, &catalogue, (2, &[]));
        assert_eq!(scene.nodes[0].problems.len(), 1);
    }
}
