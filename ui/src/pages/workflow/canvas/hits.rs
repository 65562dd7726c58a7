//! What the user does: at ports, at nodes, on empty ground.

use std::collections::{HashMap, HashSet};

use athanor_protocol::workflow::{Endpoint, Link};
use egui::{Id, PointerButton, Pos2, Rect, Response, Sense, Ui, Vec2, WidgetInfo, WidgetType};
use egui_snarl::NodeId;

use super::{Act, Canvas, Goal, Look, WireFrom, viewer::Pin};
use crate::{
    pages::workflow::{
        catalogue,
        edit::{Item, try_link},
        scene::{NodeView, Scene, comment_rect, port_color, wire, wire_point},
    },
    theme::Theme,
};

/// The node's menu: word, name of what it does, keys.
pub const NODE_MENU: [(&str, &str, &str); 9] = [
    ("Preview", "preview", "P"),
    ("Run to here", "run.to", ""),
    ("Run from here", "run.from", ""),
    ("Copy", "copy", "Ctrl C"),
    ("Cut", "cut", "Ctrl X"),
    ("Duplicate", "duplicate", "Ctrl D"),
    ("Group", "group", "Ctrl G"),
    ("Cut its links", "unlink", ""),
    ("Delete", "delete", "Del"),
];

impl Canvas {
    /// What happens at ports. The port under the pointer.
    #[allow(clippy::too_many_arguments, reason = "one frame's worth of what the snarl told")]
    pub(super) fn pins_ui(
        &mut self,
        ui: &Ui,
        look: &Look<'_>,
        pins: Vec<(Id, Pin)>,
        drawn: Vec<(Pin, Pin)>,
        cut: Vec<Pin>,
        pointer: Option<Pos2>,
        ground: &Response,
        acts: &mut Vec<Act>,
    ) -> Option<Pin> {
        let end = |(id, row, output): &Pin| -> Option<Endpoint> {
            let node = look.scene.node(id)?;
            let port = if *output { node.outputs.get(*row) } else { node.inputs.get(*row) }?;
            Some(Endpoint { node: id.clone(), port: port.name.clone() })
        };
        let mut over = None;
        let mut released = false;
        for (id, pin) in pins {
            let Some(response) = ui.ctx().read_response(id) else { continue };
            let Some(port) = end(&pin) else { continue };
            self.describe(ui, &response, || {
                let side = if pin.2 { "Output" } else { "Input" };
                let title = look.scene.node(&pin.0).map_or("", |node| node.title.as_str());
                WidgetInfo::labeled(WidgetType::Button, true, format!("{side} {} of {title}", port.port))
            });
            if response.drag_started_by(PointerButton::Primary) {
                let blocked = circle(look.scene, &pin.0, pin.2);
                self.wire = Some(WireFrom { end: port.clone(), output: pin.2, blocked });
            }
            released |= response.drag_stopped();
            if response.contains_pointer() {
                over = Some(pin.clone());
                self.port_tip(ui, look, &pin, &response);
            }
        }
        for pin in &cut {
            acts.extend(end(pin).map(|end| Act::Cut(end, pin.2)));
        }
        let linked = !drawn.is_empty();
        for (from, to) in &drawn {
            if let (Some(from), Some(to)) = (end(from), end(to)) {
                acts.push(Act::Link(Link { from, to }));
            }
        }
        if released && let Some(wire) = self.wire.take() {
            self.land(look, wire, linked || over.is_some(), pointer.filter(|_| ground.rect.is_positive()), acts);
        }
        over
    }

    /// A wire was let go: over a node's body it takes the first port that fits, over nothing it asks what to add.
    fn land(&self, look: &Look<'_>, wire: WireFrom, landed: bool, pointer: Option<Pos2>, acts: &mut Vec<Act>) {
        let Some(at) = pointer.filter(|_| !landed) else { return };
        match look.scene.node_under(at) {
            Some(node) if node.id == wire.end.node => {}
            Some(node) => {
                let ports = if wire.output { &node.inputs } else { &node.outputs };
                let with = Look {
                    wire: Some(wire.clone()),
                    scene: look.scene,
                    workflow: look.workflow,
                    selection: look.selection,
                    link: None,
                    states: look.states,
                    port: None,
                };
                let free = |row: &usize| {
                    let name = &ports[*row].name;
                    !wire.output
                        || !look.workflow.links.iter().any(|link| link.to.node == node.id && link.to.port == *name)
                };
                let fits: Vec<usize> =
                    (0..ports.len()).filter(|row| with.fits(node, *row, !wire.output) == Some(true)).collect();
                // One that does not fit is offered all the same: the refusal says why.
                let row = fits.iter().copied().find(free).or(fits.first().copied()).unwrap_or(0);
                if let Some(port) = ports.get(row) {
                    let other = Endpoint { node: node.id.clone(), port: port.name.clone() };
                    let (from, to) = if wire.output { (wire.end, other) } else { (other, wire.end) };
                    acts.push(Act::Link(Link { from, to }));
                }
            }
            None => acts.push(Act::Add(at, Some(wire))),
        }
    }

    fn port_tip(&self, ui: &Ui, look: &Look<'_>, pin: &Pin, response: &Response) {
        let Some(node) = look.scene.node(&pin.0) else { return };
        let Some(port) = (if pin.2 { node.outputs.get(pin.1) } else { node.inputs.get(pin.1) }) else { return };
        let theme = Theme::of(ui);
        let what = port.port_type.map_or("unknown", athanor_protocol::catalogue::PortType::as_str);
        let refusal = match (&self.wire, look.fits(node, pin.1, pin.2)) {
            (Some(wire), Some(false)) => Some(refusal(look, wire, node, pin)),
            _ => None,
        };
        let at = self.view * (port.at + Vec2::new(0.0, 14.0));
        egui::Tooltip::always_open(ui.ctx().clone(), response.layer_id, response.id.with("tip"), at).show(|ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                let (rect, _) = ui.allocate_exact_size(Vec2::splat(10.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 4.0, port_color(theme, port.port_type));
                ui.label(egui::RichText::new(&port.name).font(crate::theme::medium(crate::theme::font_size::BODY)));
                if port.name != what {
                    ui.label(egui::RichText::new(what).color(theme.muted));
                }
            });
            match refusal {
                Some(why) => ui.label(egui::RichText::new(crate::widgets::sentence(&why)).color(theme.bad)),
                None => ui.label(egui::RichText::new(&port.help).color(theme.muted)),
            };
        });
    }

    /// What happens at nodes, comments and groups. The thing under the pointer.
    pub(super) fn items_ui(&mut self, ui: &Ui, look: &Look<'_>, acts: &mut Vec<Act>) -> Option<Item> {
        let modifiers = ui.input(|input| input.modifiers);
        let mut over = None;
        self.dragged =
            self.dragged.take().filter(|_| ui.input(|input| input.pointer.any_down() || input.pointer.any_released()));
        let snarl_id = self.snarl_id();
        let mut items: Vec<(&Item, &NodeId)> = self.ids.iter().collect();
        items.sort();
        let mut dragged = self.dragged.clone();
        for (item, id) in items {
            let frame = snarl_id.with(("snarl-node", *id)).with("frame");
            let Some(response) = ui.ctx().read_response(frame) else { continue };
            let on = look.selection.contains(item);
            self.describe(ui, &response, || WidgetInfo::selected(WidgetType::Button, true, on, label(look, item)));
            if response.hovered() {
                over = Some(item.clone());
            }
            let many = modifiers.command || modifiers.shift;
            if response.clicked() {
                acts.push(Act::Select(item.clone(), many));
            }
            if response.double_clicked() {
                acts.push(Act::Open(item.clone()));
            }
            if response.secondary_clicked() && !on {
                acts.push(Act::Select(item.clone(), false));
            }
            if response.drag_started_by(PointerButton::Primary) && !many {
                if !on {
                    acts.push(Act::Select(item.clone(), false));
                }
                dragged = Some(item.clone());
            }
            if response.dragged_by(PointerButton::Primary) && dragged.as_ref() == Some(item) {
                let by = response.drag_delta();
                if by != Vec2::ZERO {
                    acts.push(Act::Move(by));
                }
            }
            if response.drag_stopped() && dragged.take().is_some() {
                acts.push(Act::Moved);
            }
            response.context_menu(|ui| menu(ui, item, acts));
            if let Item::Node(id) = item
                && dragged.is_none()
                && self.wire.is_none()
            {
                node_tip(response, look, id);
            }
        }
        self.dragged = dragged;
        for comment in
            look.workflow.comments.iter().filter(|comment| look.selection.contains(&Item::Comment(comment.id.clone())))
        {
            let corner = self.view * comment_rect(comment).right_bottom();
            if !self.rect.contains(corner) {
                continue;
            }
            let grip = Rect::from_center_size(corner - Vec2::splat(5.0), Vec2::splat(18.0));
            // On the screen and above the snarl's layer, so that the view's own drag does not take it.
            let area = egui::Area::new(Id::new(("comment-grip", &comment.id)))
                .order(egui::Order::Middle)
                .fixed_pos(grip.min)
                .constrain(false);
            area.show(ui.ctx(), |ui| {
                let (_, response) = ui.allocate_exact_size(grip.size(), Sense::drag());
                response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, "Resize this comment"));
                if response.dragged() && response.drag_delta() != Vec2::ZERO {
                    acts.push(Act::Resize(comment.id.clone(), response.drag_delta() / self.view.scaling));
                }
                if response.drag_stopped() {
                    acts.push(Act::Moved);
                }
                response.on_hover_cursor(egui::CursorIcon::ResizeNwSe);
            });
        }
        over
    }

    /// What happens on empty ground and on wires. The wire under the pointer.
    #[allow(clippy::too_many_arguments, reason = "one frame's worth of what the snarl told")]
    pub(super) fn ground_ui(
        &mut self,
        ui: &Ui,
        look: &Look<'_>,
        ground: &Response,
        pointer: Option<Pos2>,
        snarl_id: Id,
        covered: bool,
        near: bool,
        acts: &mut Vec<Act>,
    ) -> Option<usize> {
        let modifiers = ui.input(|input| input.modifiers);
        let many = modifiers.command || modifiers.shift;
        let hovered = pointer.filter(|_| !covered && near && ground.contains_pointer() && self.wire.is_none());
        let link = hovered.and_then(|at| link_under(look.scene, at, 7.0 / self.view.scaling));
        if let Some(select) = ui.ctx().read_response(snarl_id.with("select")) {
            if select.drag_started_by(PointerButton::Primary) {
                self.marquee = ui.input(|input| input.pointer.press_origin()).map(|at| self.view.inverse() * at);
            }
            if select.drag_stopped()
                && let (Some(from), Some(to)) = (self.marquee.take(), ui.input(|input| input.pointer.latest_pos()))
            {
                acts.push(Act::SelectIn(Rect::from_two_pos(from, self.view.inverse() * to), modifiers.command));
            }
        }
        if !ui.input(|input| input.pointer.any_down()) {
            self.marquee = None;
        }
        if let Some(at) = pointer.filter(|_| ground.clicked_by(PointerButton::Primary)) {
            let comment = || look.workflow.comments.iter().rev().find(|comment| comment_rect(comment).contains(at));
            let far_node = || (!near).then(|| look.scene.node_under(at)).flatten();
            if let Some(link) = link {
                acts.push(Act::SelectLink(link));
            } else if let Some(node) = far_node() {
                acts.push(Act::Select(Item::Node(node.id.clone()), many));
            } else if let Some(comment) = comment() {
                acts.push(Act::Select(Item::Comment(comment.id.clone()), many));
            } else if !many {
                acts.push(Act::Clear);
            }
            self.take_focus = true;
        }
        if let Some(at) = pointer.filter(|_| ground.secondary_clicked()) {
            acts.push(link.map_or(Act::Add(at, None), Act::SelectLink));
        }
        if let Some(at) = pointer.filter(|_| ground.double_clicked()) {
            let comment = look.workflow.comments.iter().rev().find(|comment| comment_rect(comment).contains(at));
            if let Some(comment) = comment {
                acts.push(Act::Open(Item::Comment(comment.id.clone())));
            } else if !near && let Some(node) = look.scene.node_under(at) {
                self.goal = Some(Goal::Show(node.rect));
            }
        }
        if let Some(at) = pointer
            && ui.input(|input| input.pointer.any_released())
            && egui::DragAndDrop::has_payload_of_type::<String>(ui.ctx())
            && let Some(kind) = egui::DragAndDrop::take_payload::<String>(ui.ctx())
        {
            acts.push(Act::Drop((*kind).clone(), at));
        }
        if link.is_some() {
            ui.ctx().set_cursor_icon(egui::CursorIcon::PointingHand);
        }
        link
    }

    fn describe(&self, ui: &Ui, response: &Response, info: impl Fn() -> WidgetInfo) {
        response.widget_info(info);
        // The widget lies in the snarl's own coordinates; assistive technology wants the screen's.
        let rect = self.view * response.rect;
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_bounds(egui::accesskit::Rect {
                x0: rect.min.x.into(),
                y0: rect.min.y.into(),
                x1: rect.max.x.into(),
                y1: rect.max.y.into(),
            });
        });
    }
}

/// The line under a node's title: what it does now, else the choice that matters.
pub fn told<'a>(look: &'a Look<'_>, node: &'a NodeView) -> &'a str {
    match look.states.get(&node.id) {
        Some(state) if state.failure.is_some() => state.failure.as_deref().unwrap_or_default(),
        Some(state) if !state.note.is_empty() => &state.note,
        _ => &node.summary,
    }
}

fn label(look: &Look<'_>, item: &Item) -> String {
    match item {
        Item::Node(id) => {
            look.scene.node(id).map_or_else(|| id.clone(), |node| format!("{}: {}", node.title, told(look, node)))
        }
        Item::Comment(id) => {
            let text = look
                .workflow
                .comments
                .iter()
                .find(|comment| comment.id == *id)
                .map_or("", |comment| comment.text.as_str());
            format!("Comment: {text}")
        }
        Item::Group(id) => {
            let title =
                look.workflow.groups.iter().find(|group| group.id == *id).map_or("", |group| group.title.as_str());
            format!("Group: {title}")
        }
    }
}

fn menu(ui: &mut Ui, item: &Item, acts: &mut Vec<Act>) {
    ui.set_min_width(180.0);
    for (text, what, keys) in NODE_MENU {
        let is_node = matches!(item, Item::Node(_));
        if !is_node && ["preview", "run.to", "run.from", "unlink"].contains(&what) {
            continue;
        }
        if ["copy", "delete"].contains(&what) && is_node {
            ui.separator();
        }
        let text = match (item, what) {
            (Item::Group(_), "group") => "Ungroup",
            _ => text,
        };
        let what = if text == "Ungroup" { "ungroup" } else { what };
        if ui
            .add(
                egui::Button::new(text)
                    .shortcut_text(keys)
                    .frame(false)
                    .min_size(Vec2::new(ui.available_width(), 26.0)),
            )
            .clicked()
        {
            acts.push(Act::Menu(item.clone(), what));
            ui.close();
        }
    }
}

fn node_tip(response: Response, look: &Look<'_>, id: &str) {
    let Some(node) = look.scene.node(id) else { return };
    let note = look.workflow.node(id).map(|node| node.note.as_str()).filter(|note| !note.is_empty());
    let failure = look.states.get(id).and_then(|state| state.failure.as_deref());
    if node.problems.is_empty() && note.is_none() && failure.is_none() {
        return;
    }
    response.on_hover_ui(|ui| {
        let theme = Theme::of(ui);
        ui.set_max_width(320.0);
        for text in
            failure.into_iter().chain(node.problems.iter().take(6).map(|at| look.scene.problems[*at].message.as_str()))
        {
            ui.label(egui::RichText::new(crate::widgets::sentence(text)).color(theme.bad));
        }
        if let Some(note) = note {
            ui.label(egui::RichText::new(note).color(theme.muted));
        }
    });
}

/// Why a wire may not land on a port.
fn refusal(look: &Look<'_>, wire: &WireFrom, node: &NodeView, pin: &Pin) -> String {
    if pin.2 == wire.output {
        return if wire.output { "an output cannot feed an output" } else { "an input cannot feed an input" }
            .to_owned();
    }
    let port = if pin.2 { node.outputs.get(pin.1) } else { node.inputs.get(pin.1) };
    let other = Endpoint { node: node.id.clone(), port: port.map(|port| port.name.clone()).unwrap_or_default() };
    let (from, to) = if wire.output { (wire.end.clone(), other) } else { (other, wire.end.clone()) };
    let catalogue = catalogue();
    match try_link(look.workflow, &catalogue, &Link { from, to }) {
        Err(why) => why,
        Ok(_) => "this does not fit".to_owned(),
    }
}

/// The nodes to which a wire from here would close a circle.
fn circle(scene: &Scene, node: &str, output: bool) -> HashSet<String> {
    let Some(start) = scene.at(node) else { return HashSet::new() };
    let mut near: HashMap<usize, Vec<usize>> = HashMap::new();
    for link in &scene.links {
        let [from, to] = link.nodes;
        let (here, there) = if output { (to, from) } else { (from, to) };
        near.entry(here).or_default().push(there);
    }
    let (mut seen, mut todo) = (HashSet::from([start]), vec![start]);
    while let Some(at) = todo.pop() {
        for &next in near.get(&at).into_iter().flatten() {
            if seen.insert(next) {
                todo.push(next);
            }
        }
    }
    seen.into_iter().map(|at| scene.nodes[at].id.clone()).collect()
}

/// The wire at a point, within `reach`.
pub fn link_under(scene: &Scene, at: Pos2, reach: f32) -> Option<usize> {
    let mut found: Option<(f32, usize)> = None;
    for link in &scene.links {
        let [from, to] = scene.ends(link);
        let curve = wire(from, to);
        if !Rect::from_points(&curve).expand(reach).contains(at) {
            continue;
        }
        let least = (0..=32).map(|step| wire_point(&curve, step as f32 / 32.0)).collect::<Vec<_>>();
        let near = least
            .windows(2)
            .map(|ends| {
                let (a, b) = (ends[0], ends[1]);
                let along = b - a;
                let t = ((at - a).dot(along) / along.length_sq().max(1e-6)).clamp(0.0, 1.0);
                (a + along * t).distance(at)
            })
            .fold(f32::INFINITY, f32::min);
        if near <= reach && found.is_none_or(|(best, _)| near < best) {
            found = Some((near, link.index));
        }
    }
    found.map(|(_, index)| index)
}
