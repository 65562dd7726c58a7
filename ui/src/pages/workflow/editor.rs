//! An open workflow with everything that is shown of it, and what can be done with it.

use std::{collections::BTreeSet, rc::Rc};

use athanor_protocol::{
    catalogue::Catalogue,
    workflow::{Link, MAX_NODES, Workflow},
};
use egui::{Pos2, Rect, Vec2};

use super::{
    builder::Builder,
    canvas::{Act, Canvas, Goal, WireFrom, link_under},
    doc::{Document, Touch},
    edit::{self, Arrange, Item, Selection},
    engine::Engine,
    inspector::Inspector,
    preview::Preview,
    quick::Quick,
    running::Running,
    scene::{NODE_HEIGHT, NODE_WIDTH, Scene, auto_layout, node_size},
    shelf::Shelf,
};
use crate::pages::Cx;

/// Where something new goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// With its middle here, into the wire that lies here where it fits.
    At(Pos2),
    /// Here, linked to the end of a wire.
    Wire(Pos2, WireFrom),
    /// Behind the chosen node, linked to it where it fits; else into the middle.
    Next,
}

/// An open workflow.
pub struct Editor {
    /// The document.
    pub doc: Document,
    /// What stands where.
    pub scene: Scene,
    /// All kinds.
    pub catalogue: Rc<Catalogue>,
    /// What is chosen.
    pub selection: Selection,
    /// The chosen link, by its place.
    pub link: Option<usize>,
    /// The canvas.
    pub canvas: Canvas,
    /// The list to add from, at the pointer.
    pub quick: Option<Quick>,
    /// The palette.
    pub shelf: Shelf,
    /// The inspector.
    pub inspector: Inspector,
    /// What only the engine knows.
    pub engine: Engine,
    /// The run.
    pub running: Running,
    /// What comes out of a port.
    pub preview: Preview,
    /// The model builder.
    pub builder: Option<Builder>,
    /// Whether the list of problems is open.
    pub problems_open: bool,
    /// Whether the overview is shown.
    pub map_open: bool,
    /// Where it is in the document that the pointer was last.
    pub pointer: Option<Pos2>,
    /// Seconds since the program began.
    pub now: f64,
    /// What to say.
    pub says: Vec<String>,
    pasted: f32,
}

impl Editor {
    /// Opens a document; `number` counts the documents that were opened.
    pub fn new(doc: Document, catalogue: Rc<Catalogue>, number: u64) -> Self {
        Self {
            doc,
            scene: Scene::default(),
            catalogue,
            selection: Selection::new(),
            link: None,
            canvas: Canvas::new(number),
            quick: None,
            shelf: Shelf::default(),
            inspector: Inspector::default(),
            engine: Engine::default(),
            running: Running::default(),
            preview: Preview::default(),
            builder: None,
            problems_open: false,
            map_open: true,
            pointer: None,
            now: 0.0,
            says: vec![],
            pasted: 0.0,
        }
    }

    /// Changes the document.
    pub fn edit(&mut self, label: &str, key: Option<&str>, touch: Touch, change: impl FnOnce(&mut Workflow)) -> bool {
        self.doc.edit(label, key, touch, self.now, change)
    }

    /// Takes the last step back or does it again; its label.
    pub fn undo(&mut self, redo: bool) -> Option<String> {
        if self.canvas.drawing() {
            return Some(String::new());
        }
        let label = if redo { self.doc.redo() } else { self.doc.undo() };
        if label.is_some() {
            self.keep_scene();
            self.link = None;
            let (doc, scene) = (self.doc.share(), &self.scene);
            self.selection.retain(|item| scene.rect_of(&doc, item).is_some());
        }
        label
    }

    /// Brings what stands where up to date.
    pub fn keep_scene(&mut self) {
        let Self { doc, scene, catalogue, engine, .. } = self;
        scene.keep(doc, catalogue, engine.problems());
    }

    /// The chosen node, where it is one.
    pub fn chosen_node(&self) -> Option<&str> {
        let mut nodes = self.selection.iter();
        match (nodes.next(), nodes.next()) {
            (Some(Item::Node(id)), None) => Some(id),
            _ => None,
        }
    }

    /// Chooses one thing.
    pub fn choose(&mut self, item: Item) {
        self.selection = [item].into();
        self.link = None;
    }

    /// Chooses a thing and brings it into sight.
    pub fn jump(&mut self, item: Item) {
        if let Some(rect) = self.scene.rect_of(self.doc.now(), &item) {
            let seen = self.canvas.view().inverse() * self.canvas.rect();
            if !seen.contains_rect(rect) || self.canvas.view().scaling < 0.4 {
                self.canvas.go(Goal::Show(rect));
            }
        }
        self.choose(item);
    }

    /// Does what was done on the canvas.
    pub fn act(&mut self, act: Act, cx: &mut Cx<'_>) {
        match act {
            Act::Select(item, many) => {
                self.link = None;
                if many {
                    if !self.selection.remove(&item) {
                        self.selection.insert(item);
                    }
                } else {
                    self.selection = [item].into();
                }
                self.canvas.focus();
            }
            Act::SelectIn(rect, away) => self.select_in(rect, away),
            Act::Clear => {
                self.selection.clear();
                self.link = None;
            }
            Act::SelectLink(link) => {
                self.selection.clear();
                self.link = Some(link);
                self.canvas.focus();
            }
            Act::Open(item) => {
                self.choose(item);
                self.inspector.focus();
            }
            Act::Move(by) => self.shift(by),
            Act::Moved => {
                let ids = edit::nodes_of(self.doc.now(), &self.selection);
                let chosen = self.selection.clone();
                self.edit("Move", Some("move"), Touch::Places, |w| round_places(w, &ids, &chosen));
                self.doc.end_merge();
            }
            Act::Resize(id, by) => {
                let key = format!("resize {id}");
                self.edit("Resize comment", Some(&key), Touch::Places, |w| {
                    if let Some(comment) = w.comments.iter_mut().find(|comment| comment.id == id) {
                        comment.size = [(comment.size[0] + by.x).max(80.0), (comment.size[1] + by.y).max(48.0)];
                    }
                });
            }
            Act::Link(link) => self.draw_link(&link),
            Act::Cut(end, output) => {
                self.edit("Cut links", None, Touch::All, |w| {
                    w.links.retain(|link| if output { link.from != end } else { link.to != end });
                });
            }
            Act::Add(at, wire) => self.quick = Some(Quick::new(at, wire, "")),
            Act::Drop(kind, at) => self.add(&kind, Place::At(at)),
            Act::Menu(item, what) => {
                if !self.selection.contains(&item) {
                    self.choose(item);
                }
                super::commands::run(self, what, cx);
            }
        }
    }

    fn select_in(&mut self, rect: Rect, away: bool) {
        let workflow = self.doc.now();
        let nodes =
            self.scene.nodes.iter().filter(|node| node.rect.intersects(rect)).map(|node| Item::Node(node.id.clone()));
        let comments = workflow
            .comments
            .iter()
            .filter(|comment| super::scene::comment_rect(comment).intersects(rect))
            .map(|comment| Item::Comment(comment.id.clone()));
        let found: Vec<Item> = nodes.chain(comments).collect();
        for item in found {
            if away {
                self.selection.remove(&item);
            } else {
                self.selection.insert(item);
            }
        }
        self.link = None;
    }

    /// Moves what is chosen.
    pub fn shift(&mut self, by: Vec2) {
        let chosen = self.selection.clone();
        self.edit("Move", Some("move"), Touch::Places, |w| edit::shift(w, &chosen, by));
    }

    /// Draws a link, or says why not.
    pub fn draw_link(&mut self, link: &Link) {
        match edit::try_link(self.doc.now(), &self.catalogue, link) {
            Ok(next) => {
                self.edit("Link", None, Touch::All, |w| *w = next);
            }
            Err(why) => self.says.push(format!("This cannot be linked: {why}")),
        }
    }

    /// Adds a node of a kind.
    pub fn add(&mut self, kind: &str, place: Place) {
        if self.canvas.drawing() || !self.has_room(1) {
            return;
        }
        let Some(known) = self.catalogue.kind(kind).cloned() else { return };
        let size = node_size(known.inputs.len(), known.outputs.len());
        let mut next = self.doc.now().clone();
        let mut feeder = None;
        let at = match &place {
            Place::At(at) => *at - size / 2.0,
            Place::Wire(at, wire) if wire.output => *at - Vec2::new(0.0, size.y / 2.0),
            Place::Wire(at, _) => *at - Vec2::new(size.x, size.y / 2.0),
            Place::Next => match self.chosen_node().and_then(|id| self.scene.node(id)) {
                Some(node) => {
                    feeder = Some(node.id.clone());
                    Pos2::new(node.rect.right() + 72.0, node.rect.top())
                }
                None => self.canvas.middle() - size / 2.0,
            },
        };
        let at = if matches!(place, Place::Wire(..)) { at } else { self.free_place(at, size) };
        let id = edit::add_node(&mut next, &known.id, at);
        match &place {
            Place::Wire(_, wire) => {
                let (from, to) = if wire.output {
                    (wire.end.node.as_str(), id.as_str())
                } else {
                    (id.as_str(), wire.end.node.as_str())
                };
                if let Some(mut link) = edit::fitting_link(&next, &self.catalogue, from, to) {
                    if wire.output {
                        link.from = wire.end.clone();
                    } else {
                        link.to = wire.end.clone();
                    }
                    next = edit::try_link(&next, &self.catalogue, &link).unwrap_or(next);
                }
            }
            Place::At(at) => {
                if let Some(link) = link_under(&self.scene, *at, 14.0).and_then(|at| next.links.get(at).cloned()) {
                    next = self.splice(&next, &link, &id).unwrap_or(next);
                }
            }
            Place::Next => {
                if let Some(link) = feeder.and_then(|from| edit::fitting_link(&next, &self.catalogue, &from, &id)) {
                    next = edit::try_link(&next, &self.catalogue, &link).unwrap_or(next);
                }
            }
        }
        self.edit(&format!("Add {}", known.title), None, Touch::All, |w| *w = next);
        self.keep_scene();
        self.jump(Item::Node(id));
        self.canvas.focus();
    }

    /// Puts a node into a wire, where both halves fit.
    fn splice(&self, workflow: &Workflow, link: &Link, id: &str) -> Option<Workflow> {
        let mut next = workflow.clone();
        next.links.retain(|other| other != link);
        let mut first = edit::fitting_link(&next, &self.catalogue, &link.from.node, id)?;
        first.from = link.from.clone();
        let mut second = edit::fitting_link(&next, &self.catalogue, id, &link.to.node)?;
        second.to = link.to.clone();
        let next = edit::try_link(&next, &self.catalogue, &first).ok()?;
        edit::try_link(&next, &self.catalogue, &second).ok()
    }

    fn free_place(&self, at: Pos2, size: Vec2) -> Pos2 {
        let mut at = at;
        for _ in 0..40 {
            let rect = Rect::from_min_size(at, size).expand(8.0);
            if !self.scene.nodes.iter().any(|node| node.rect.intersects(rect)) {
                break;
            }
            at.y += NODE_HEIGHT + 26.0;
        }
        at
    }

    /// Removes what is chosen.
    pub fn delete(&mut self) {
        if self.canvas.drawing() {
            return;
        }
        if let Some(at) = self.link.take() {
            self.edit("Cut link", None, Touch::All, |w| {
                if at < w.links.len() {
                    w.links.remove(at);
                }
            });
        }
        let chosen = std::mem::take(&mut self.selection);
        if !chosen.is_empty() {
            self.edit("Delete", None, Touch::All, |w| edit::remove(w, &chosen));
        }
        self.keep_scene();
    }

    /// What is chosen as text for the clipboard.
    pub fn copy(&mut self) -> Option<String> {
        let part = edit::copy(self.doc.now(), &self.selection);
        if part.nodes.is_empty() && part.comments.is_empty() {
            return None;
        }
        self.pasted = 0.0;
        Some(part.to_json())
    }

    /// Whether so many more nodes fit; says so where they do not, since what is larger could not be opened again.
    fn has_room(&mut self, n_more: usize) -> bool {
        let fits = self.doc.now().nodes.len() + n_more <= MAX_NODES;
        if !fits {
            self.says.push(format!("A workflow has at most {} nodes", crate::format::count(MAX_NODES as u64)));
        }
        fits
    }

    /// Pastes text from the clipboard.
    pub fn paste(&mut self, text: &str) {
        if self.canvas.drawing() {
            return;
        }
        match Workflow::from_json(text) {
            Ok(mut part) => {
                super::scene::place_all(&mut part, &self.catalogue);
                self.insert("Paste", &part);
            }
            Err(_) => self.says.push("The clipboard holds no nodes".to_owned()),
        }
    }

    /// Copies what is chosen beside itself.
    pub fn duplicate(&mut self) {
        let part = edit::copy(self.doc.now(), &self.selection);
        let nothing = part.nodes.is_empty() && part.comments.is_empty();
        if !nothing && !self.canvas.drawing() {
            self.pasted = 0.0;
            self.insert("Duplicate", &part);
        }
    }

    fn insert(&mut self, label: &str, part: &Workflow) {
        self.pasted += 32.0;
        let mut by = Vec2::splat(self.pasted);
        // What would land out of sight comes to where the user looks.
        let mut around = Rect::NOTHING;
        for node in &part.nodes {
            let at = Pos2::from(node.position.unwrap_or_default());
            around |= Rect::from_min_size(at, Vec2::new(NODE_WIDTH, NODE_HEIGHT));
        }
        for comment in &part.comments {
            around |= super::scene::comment_rect(comment);
        }
        let seen = self.canvas.view().inverse() * self.canvas.rect();
        if seen.is_positive() && around.is_finite() && !seen.intersects(around.translate(by)) {
            by = seen.center() - around.center();
        }
        if !self.has_room(part.nodes.len()) {
            return;
        }
        let mut added = Selection::new();
        self.edit(label, None, Touch::All, |w| added = edit::paste(w, part, by));
        self.selection = added;
        self.link = None;
        self.keep_scene();
    }

    /// Puts the chosen nodes in line.
    pub fn arrange(&mut self, how: Arrange) {
        let ids = edit::nodes_of(self.doc.now(), &self.selection);
        let rects: Vec<(String, Rect)> = ids
            .into_iter()
            .filter_map(|id| self.scene.node(&id).map(|node| node.rect).map(|rect| (id, rect)))
            .collect();
        if rects.len() < 2 {
            self.says.push("Choose two or more nodes first".to_owned());
            return;
        }
        self.edit("Arrange", None, Touch::Places, |w| edit::arrange(w, &rects, how));
    }

    /// Lays everything out anew.
    pub fn tidy(&mut self) {
        let spots = auto_layout(self.doc.now(), &self.catalogue);
        self.edit("Lay out", None, Touch::Places, |w| {
            for (node, spot) in w.nodes.iter_mut().zip(spots) {
                node.position = Some(spot);
            }
        });
        self.keep_scene();
        self.canvas.go(Goal::Fit);
    }

    /// Draws a frame around the chosen nodes.
    pub fn group(&mut self) {
        let ids = edit::nodes_of(self.doc.now(), &self.selection);
        let mut made = None;
        self.edit("Group", None, Touch::All, |w| made = edit::group(w, &ids));
        match made {
            Some(id) => {
                self.choose(Item::Group(id));
                self.inspector.focus();
            }
            None => self.says.push("Choose nodes first".to_owned()),
        }
        self.keep_scene();
    }

    /// Takes the frame away from the chosen groups, or from the groups of the chosen nodes.
    pub fn ungroup(&mut self) {
        let chosen = self.selection.clone();
        self.edit("Ungroup", None, Touch::All, |w| {
            w.groups.retain(|group| {
                !chosen.contains(&Item::Group(group.id.clone()))
                    && !group.nodes.iter().any(|id| chosen.contains(&Item::Node(id.clone())))
            });
        });
        self.selection.retain(|item| !matches!(item, Item::Group(_)));
        self.keep_scene();
    }

    /// Adds a comment.
    pub fn comment(&mut self) {
        let at = self.pointer.unwrap_or_else(|| self.canvas.middle() - Vec2::new(110.0, 48.0));
        let mut made = String::new();
        self.edit("Add comment", None, Touch::All, |w| made = edit::comment(w, at));
        self.choose(Item::Comment(made));
        self.inspector.focus();
    }

    /// Chooses the next or the previous node, from left to right.
    pub fn cycle(&mut self, back: bool) {
        let mut order: Vec<(&Rect, &str)> =
            self.scene.nodes.iter().map(|node| (&node.rect, node.id.as_str())).collect();
        order.sort_by(|a, b| a.0.left().total_cmp(&b.0.left()).then(a.0.top().total_cmp(&b.0.top())));
        if order.is_empty() {
            return;
        }
        let now = self.selection.iter().find_map(|item| match item {
            Item::Node(id) => order.iter().position(|(_, other)| other == id),
            _ => None,
        });
        let n = order.len();
        let next = match (now, back) {
            (Some(at), false) => (at + 1) % n,
            (Some(at), true) => (at + n - 1) % n,
            (None, _) => 0,
        };
        let id = order[next].1.to_owned();
        self.jump(Item::Node(id));
    }
}

fn round_places(workflow: &mut Workflow, ids: &BTreeSet<String>, chosen: &Selection) {
    for node in workflow.nodes.iter_mut().filter(|node| ids.contains(&node.id)) {
        node.position = node.position.map(|at| at.map(f32::round));
    }
    for comment in workflow.comments.iter_mut().filter(|comment| chosen.contains(&Item::Comment(comment.id.clone()))) {
        comment.position = comment.position.map(f32::round);
        comment.size = comment.size.map(f32::round);
    }
}
