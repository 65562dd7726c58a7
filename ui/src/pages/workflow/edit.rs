//! Changes of the document, as plain functions on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use athanor_protocol::{
    catalogue::{Catalogue, NodeKind},
    check::check_link,
    workflow::{Comment, Endpoint, Group, Link, Node, Workflow},
};
use egui::{Pos2, Rect, Vec2};

/// A thing on the canvas.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A group, by id.
    Group(String),
    /// A comment, by id.
    Comment(String),
    /// A node, by id.
    Node(String),
}

/// Things that are chosen.
pub type Selection = BTreeSet<Item>;

/// Ids of the nodes among them; a group stands for its nodes.
pub fn nodes_of(workflow: &Workflow, selection: &Selection) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for item in selection {
        match item {
            Item::Node(id) => {
                ids.insert(id.clone());
            }
            Item::Group(id) => {
                let group = workflow.groups.iter().find(|group| group.id == *id);
                ids.extend(group.into_iter().flat_map(|group| group.nodes.iter().cloned()));
            }
            Item::Comment(_) => {}
        }
    }
    ids
}

fn fresh(base: &str, taken: &dyn Fn(&str) -> bool) -> String {
    let mut base: String = base
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
        .take(48)
        .collect();
    if base.is_empty() {
        base.push('n');
    }
    if !taken(&base) {
        return base;
    }
    (2u64..).map(|n| format!("{base}{n}")).find(|id| !taken(id)).unwrap_or(base)
}

/// An id for a new node of a kind: `filter`, `filter2`, …
pub fn new_node_id(workflow: &Workflow, kind: &str) -> String {
    let taken: HashSet<&str> = workflow.nodes.iter().map(|node| node.id.as_str()).collect();
    fresh(kind.rsplit('.').next().unwrap_or(kind), &|id| taken.contains(id))
}

/// Adds a node; its id.
pub fn add_node(workflow: &mut Workflow, kind: &str, at: Pos2) -> String {
    let id = new_node_id(workflow, kind);
    workflow.nodes.push(Node {
        id: id.clone(),
        kind: kind.to_owned(),
        title: String::new(),
        params: BTreeMap::new(),
        position: Some([at.x.round(), at.y.round()]),
        note: String::new(),
    });
    id
}

/// Adds a link where it would be right; a link that leads to the same input gives way.
///
/// # Errors
/// Why it would be wrong.
pub fn try_link(workflow: &Workflow, catalogue: &Catalogue, link: &Link) -> Result<Workflow, String> {
    if link.from.node == link.to.node {
        return Err("a node cannot feed itself".to_owned());
    }
    let mut next = workflow.clone();
    next.links.retain(|other| other.to != link.to);
    check_link(&next, link, catalogue).map_err(|problem| problem.message)?;
    next.links.push(link.clone());
    Ok(next)
}

/// The first link from one node to another that fits: an output to an input of its type, free inputs first.
pub fn fitting_link(workflow: &Workflow, catalogue: &Catalogue, from: &str, to: &str) -> Option<Link> {
    let kind = |id: &str| workflow.node(id).and_then(|node| catalogue.kind(&node.kind));
    let (from_kind, to_kind) = (kind(from)?, kind(to)?);
    let end = |node: &str, port: &str| Endpoint { node: node.to_owned(), port: port.to_owned() };
    let mut found = None;
    for output in &from_kind.outputs {
        for input in to_kind.inputs.iter().filter(|input| input.port_type == output.port_type) {
            let link = Link { from: end(from, &output.name), to: end(to, &input.name) };
            if !workflow.links.iter().any(|other| other.to == link.to) {
                return Some(link);
            }
            found.get_or_insert(link);
        }
    }
    found
}

/// Removes what is chosen. Of a group only the frame goes.
pub fn remove(workflow: &mut Workflow, selection: &Selection) {
    let is_chosen = |item: Item| selection.contains(&item);
    workflow.nodes.retain(|node| !is_chosen(Item::Node(node.id.clone())));
    workflow.comments.retain(|comment| !is_chosen(Item::Comment(comment.id.clone())));
    workflow.groups.retain(|group| !is_chosen(Item::Group(group.id.clone())));
    let gone: HashSet<&str> = selection
        .iter()
        .filter_map(|item| match item {
            Item::Node(id) => Some(id.as_str()),
            _ => None,
        })
        .collect();
    workflow.links.retain(|link| !gone.contains(link.from.node.as_str()) && !gone.contains(link.to.node.as_str()));
    for group in &mut workflow.groups {
        group.nodes.retain(|id| !gone.contains(id.as_str()));
    }
    workflow.groups.retain(|group| !group.nodes.is_empty());
}

/// What is chosen as a workflow of its own: for the clipboard.
pub fn copy(workflow: &Workflow, selection: &Selection) -> Workflow {
    let ids = nodes_of(workflow, selection);
    let mut part = Workflow::empty(workflow.name.clone());
    part.nodes = workflow.nodes.iter().filter(|node| ids.contains(&node.id)).cloned().collect();
    let inside = |link: &&Link| ids.contains(&link.from.node) && ids.contains(&link.to.node);
    part.links = workflow.links.iter().filter(inside).cloned().collect();
    let chosen = |comment: &&Comment| selection.contains(&Item::Comment(comment.id.clone()));
    part.comments = workflow.comments.iter().filter(chosen).cloned().collect();
    let whole = |group: &&Group| {
        selection.contains(&Item::Group(group.id.clone()))
            || (group.nodes.len() > 1 && group.nodes.iter().all(|id| ids.contains(id)))
    };
    part.groups = workflow.groups.iter().filter(whole).cloned().collect();
    part
}

/// Adds a copied part, moved by `by`, under new ids; what was added. Links that came from outside stay outside.
pub fn paste(workflow: &mut Workflow, part: &Workflow, by: Vec2) -> Selection {
    let mut added = Selection::new();
    let mut renamed: HashMap<&str, String> = HashMap::new();
    let mut taken: HashSet<String> = workflow.nodes.iter().map(|node| node.id.clone()).collect();
    let moved = |at: [f32; 2]| [(at[0] + by.x).round(), (at[1] + by.y).round()];
    for node in &part.nodes {
        let id = fresh(&base_of(&node.id), &|id| taken.contains(id));
        taken.insert(id.clone());
        renamed.insert(&node.id, id.clone());
        added.insert(Item::Node(id.clone()));
        workflow.nodes.push(Node { id, position: node.position.map(moved), ..node.clone() });
    }
    for link in &part.links {
        if let (Some(from), Some(to)) = (renamed.get(link.from.node.as_str()), renamed.get(link.to.node.as_str())) {
            workflow.links.push(Link {
                from: Endpoint { node: from.clone(), port: link.from.port.clone() },
                to: Endpoint { node: to.clone(), port: link.to.port.clone() },
            });
        }
    }
    for comment in &part.comments {
        let id = fresh(&base_of(&comment.id), &|id| workflow.comments.iter().any(|other| other.id == id));
        added.insert(Item::Comment(id.clone()));
        workflow.comments.push(Comment { id, position: moved(comment.position), ..comment.clone() });
    }
    for group in &part.groups {
        let id = fresh(&base_of(&group.id), &|id| workflow.groups.iter().any(|other| other.id == id));
        let nodes = group.nodes.iter().filter_map(|node| renamed.get(node.as_str()).cloned()).collect();
        workflow.groups.push(Group { id, title: group.title.clone(), nodes });
    }
    added
}

fn base_of(id: &str) -> String {
    id.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

/// Moves what is chosen. A group takes its nodes along.
pub fn shift(workflow: &mut Workflow, selection: &Selection, by: Vec2) {
    let ids = nodes_of(workflow, selection);
    for node in workflow.nodes.iter_mut().filter(|node| ids.contains(&node.id)) {
        let at = node.position.get_or_insert([0.0, 0.0]);
        *at = [at[0] + by.x, at[1] + by.y];
    }
    for comment in &mut workflow.comments {
        if selection.contains(&Item::Comment(comment.id.clone())) {
            comment.position = [comment.position[0] + by.x, comment.position[1] + by.y];
        }
    }
}

/// How things are put in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrange {
    /// Left edges in one line.
    Left,
    /// Upper edges in one line.
    Top,
    /// The same room between neighbours, from left to right.
    Across,
    /// The same room between neighbours, from top to bottom.
    Down,
}

/// Puts nodes in line. `rects` tell where they are now.
pub fn arrange(workflow: &mut Workflow, rects: &[(String, Rect)], how: Arrange) {
    let mut rects = rects.to_vec();
    let mut to: HashMap<String, Pos2> = HashMap::new();
    let least = |by: fn(&Rect) -> f32| rects.iter().map(|(_, rect)| by(rect)).fold(f32::INFINITY, f32::min);
    match how {
        Arrange::Left => {
            let x = least(Rect::left);
            to.extend(rects.iter().map(|(id, rect)| (id.clone(), Pos2::new(x, rect.top()))));
        }
        Arrange::Top => {
            let y = least(Rect::top);
            to.extend(rects.iter().map(|(id, rect)| (id.clone(), Pos2::new(rect.left(), y))));
        }
        Arrange::Across | Arrange::Down if rects.len() > 2 => {
            let axis = usize::from(how == Arrange::Down);
            rects.sort_by(|a, b| a.1.min[axis].total_cmp(&b.1.min[axis]));
            let from = rects[0].1.min[axis];
            let until = rects.iter().map(|(_, rect)| rect.max[axis]).fold(f32::NEG_INFINITY, f32::max);
            let filled: f32 = rects.iter().map(|(_, rect)| rect.size()[axis]).sum();
            let room = (until - from - filled) / (rects.len() - 1) as f32;
            let mut at = from;
            for (id, rect) in &rects {
                let mut corner = rect.min;
                corner[axis] = at;
                at += rect.size()[axis] + room;
                to.insert(id.clone(), corner);
            }
        }
        Arrange::Across | Arrange::Down => {}
    }
    for node in &mut workflow.nodes {
        if let Some(at) = to.get(&node.id) {
            node.position = Some([at.x.round(), at.y.round()]);
        }
    }
}

/// Draws a frame around nodes; they leave the groups that they were in. Its id.
pub fn group(workflow: &mut Workflow, ids: &BTreeSet<String>) -> Option<String> {
    if ids.is_empty() {
        return None;
    }
    for group in &mut workflow.groups {
        group.nodes.retain(|id| !ids.contains(id));
    }
    workflow.groups.retain(|group| !group.nodes.is_empty());
    let id = fresh("group", &|id| workflow.groups.iter().any(|other| other.id == id));
    let nodes = workflow.nodes.iter().filter(|node| ids.contains(&node.id)).map(|node| node.id.clone()).collect();
    workflow.groups.push(Group { id: id.clone(), title: "Group".to_owned(), nodes });
    Some(id)
}

/// Adds a comment; its id.
pub fn comment(workflow: &mut Workflow, at: Pos2) -> String {
    let id = fresh("comment", &|id| workflow.comments.iter().any(|other| other.id == id));
    workflow.comments.push(Comment {
        id: id.clone(),
        text: String::new(),
        position: [at.x.round(), at.y.round()],
        size: [220.0, 96.0],
    });
    id
}

/// Sets a parameter; the kind's default is not written down.
pub fn set_param(node: &mut Node, kind: &NodeKind, name: &str, value: serde_json::Value) {
    if kind.param(name).is_some_and(|param| param.default == value) {
        node.params.remove(name);
    } else {
        node.params.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain() -> Workflow {
        let mut w = Workflow::empty("t");
        for (kind, x) in [("table.open", 0.0), ("split", 300.0), ("train.trees", 600.0), ("evaluate", 900.0)] {
            add_node(&mut w, kind, Pos2::new(x, 0.0));
        }
        for (from, to) in
            [("open.table", "split.table"), ("split.splits", "trees.splits"), ("trees.model", "evaluate.model")]
        {
            w.links.push(Link { from: from.parse().unwrap(), to: to.parse().unwrap() });
        }
        w
    }

    fn chosen(ids: &[&str]) -> Selection {
        ids.iter().map(|id| Item::Node((*id).to_owned())).collect()
    }

    #[test]
    fn ids_are_free_and_legal() {
        let mut w = Workflow::empty("t");
        let ids: Vec<String> =
            ["split", "split", "a.b.odd name", "."].iter().map(|kind| add_node(&mut w, kind, Pos2::ZERO)).collect();
        assert_eq!(ids, ["split", "split2", "odd_name", "n"]);
    }

    #[test]
    fn a_wrong_link_is_refused_and_an_occupied_input_gives_way() {
        let catalogue = Catalogue::builtin();
        let mut w = chain();
        let link = |from: &str, to: &str| Link { from: from.parse().unwrap(), to: to.parse().unwrap() };
        for (from, to, why) in [
            ("open.table", "trees.splits", "takes a splits"),
            ("evaluate.report", "evaluate.model", "itself"),
            ("open.nothing", "split.table", "no such output"),
        ] {
            let found = try_link(&w, &catalogue, &link(from, to)).unwrap_err();
            assert!(found.contains(why), "{found}");
        }
        let filter = add_node(&mut w, "prepare.filter", Pos2::ZERO);
        let next = try_link(&w, &catalogue, &link(&format!("{filter}.table"), "split.table")).unwrap();
        assert_eq!(next.links.iter().filter(|link| link.to.node == "split").count(), 1);
        let w = try_link(&next, &catalogue, &link("open.table", "filter.table")).unwrap();
        let sort = {
            let mut w = w.clone();
            add_node(&mut w, "prepare.sort", Pos2::ZERO);
            w.links.push(link("filter.table", "sort.table"));
            w
        };
        assert!(try_link(&sort, &catalogue, &link("sort.table", "filter.table")).unwrap_err().contains("circle"));
    }

    #[test]
    fn a_fitting_link_prefers_free_inputs() {
        let catalogue = Catalogue::builtin();
        let w = chain();
        let found = fitting_link(&w, &catalogue, "split", "evaluate").unwrap();
        assert_eq!((found.from.to_string(), found.to.to_string()), ("split.splits".into(), "evaluate.splits".into()));
        assert!(fitting_link(&w, &catalogue, "evaluate", "open").is_none());
        assert!(fitting_link(&w, &catalogue, "nobody", "open").is_none());
    }

    #[test]
    fn removing_takes_links_along_and_leaves_no_empty_group() {
        let mut w = chain();
        group(&mut w, &["split".to_owned()].into()).unwrap();
        remove(&mut w, &chosen(&["split"]));
        assert_eq!((w.nodes.len(), w.links.len(), w.groups.len()), (3, 1, 0));
    }

    #[test]
    fn a_pasted_copy_has_ids_of_its_own_and_its_inner_links() {
        let mut w = chain();
        w.nodes[1].params.insert("test".to_owned(), json!(0.2));
        let part = copy(&w, &chosen(&["split", "trees"]));
        assert_eq!((part.nodes.len(), part.links.len()), (2, 1));
        let text = part.to_json();
        let added = paste(&mut w, &Workflow::from_json(&text).unwrap(), Vec2::splat(24.0));
        assert_eq!(added, chosen(&["split2", "trees2"]));
        assert_eq!(w.node("split2").unwrap().params["test"], json!(0.2));
        assert_eq!(w.node("split2").unwrap().position, Some([324.0, 24.0]));
        assert!(w.links.iter().any(|link| link.from.to_string() == "split2.splits" && link.to.node == "trees2"));
    }

    #[test]
    fn a_group_moves_and_copies_with_its_nodes() {
        let mut w = chain();
        let id = group(&mut w, &["split".to_owned(), "trees".to_owned()].into()).unwrap();
        let of_group: Selection = [Item::Group(id)].into();
        shift(&mut w, &of_group, Vec2::new(10.0, 5.0));
        assert_eq!(w.node("trees").unwrap().position, Some([610.0, 5.0]));
        let part = copy(&w, &of_group);
        assert_eq!((part.nodes.len(), part.groups.len()), (2, 1));
        paste(&mut w, &part, Vec2::ZERO);
        assert_eq!(w.groups[1].nodes, ["split2", "trees2"]);
    }

    #[test]
    fn nodes_are_put_in_line() {
        let mut w = chain();
        let rects: Vec<(String, Rect)> = [("open", 0.0, 5.0), ("split", 310.0, 9.0), ("trees", 900.0, 2.0)]
            .iter()
            .map(|(id, x, y)| ((*id).to_owned(), Rect::from_min_size(Pos2::new(*x, *y), Vec2::new(100.0, 50.0))))
            .collect();
        let place = |w: &Workflow, id: &str| w.node(id).unwrap().position.unwrap();
        arrange(&mut w, &rects, Arrange::Top);
        assert_eq!(place(&w, "split"), [310.0, 2.0]);
        arrange(&mut w, &rects, Arrange::Left);
        assert_eq!(place(&w, "trees"), [0.0, 2.0]);
        arrange(&mut w, &rects, Arrange::Across);
        assert_eq!(place(&w, "split"), [450.0, 9.0]);
        arrange(&mut w, &rects[..1], Arrange::Down);
    }

    #[test]
    fn a_default_is_not_written_down() {
        let catalogue = Catalogue::builtin();
        let mut w = chain();
        let kind = catalogue.kind("split").unwrap();
        set_param(&mut w.nodes[1], kind, "test", json!(0.2));
        assert_eq!(w.nodes[1].params.len(), 1);
        set_param(&mut w.nodes[1], kind, "test", json!(0.15));
        assert!(w.nodes[1].params.is_empty());
    }
}
