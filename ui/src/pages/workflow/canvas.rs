//! The canvas. The document is the truth: the snarl holds only those nodes that are seen, at the places that the document
//! says, and gives back what the user does with them; all drawing is in [`super::paint`].

use std::collections::{HashMap, HashSet};

use athanor_protocol::{
    run::StepState,
    workflow::{Endpoint, Link, Workflow},
};
use egui::{
    Color32, EventFilter, Frame, Id, PointerButton, Pos2, Rect, Response, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo,
    WidgetType, emath::TSTransform,
};
use egui_snarl::{
    InPin, NodeId, OutPin, Snarl,
    ui::{
        BackgroundPattern, NodeLayout, PinPlacement, PinWireInfo, SelectionStyle, SnarlPin, SnarlStyle, SnarlViewer,
        SnarlWidget, WireStyle,
    },
};

use super::{
    edit::{Item, Selection},
    paint::{Brush, TEXT_FROM},
    scene::{GROUP_TITLE, NodeView, Scene, comment_rect, port_color, wire, wire_point},
};
use crate::theme::Theme;

/// The least and greatest scale.
const SCALE: [f32; 2] = [0.002, 2.0];
/// More nodes than this at once are drawn as blocks.
const MOST_CARDS: usize = 500;
/// The part of a comment by which it is moved, from its upper edge.
const COMMENT_GRIP: f32 = 24.0;

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

/// The canvas.
pub struct Canvas {
    name: u64,
    snarl: Snarl<Item>,
    ids: HashMap<Item, NodeId>,
    view: TSTransform,
    goal: Option<Goal>,
    rect: Rect,
    wire: Option<WireFrom>,
    marquee: Option<Pos2>,
    dragged: Option<Item>,
    take_focus: bool,
    fresh: bool,
}

/// A port by node, place and side.
type Pin = (String, usize, bool);

struct Spot {
    at: Pos2,
    color: Color32,
}

impl SnarlPin for Spot {
    fn pin_rect(&self, _x: f32, _y0: f32, _y1: f32, size: f32) -> Rect {
        Rect::from_center_size(self.at, Vec2::splat(size))
    }

    fn draw(self, _: &SnarlStyle, _: &egui::Style, _: Rect, _: &egui::Painter) -> PinWireInfo {
        PinWireInfo { color: self.color, style: WireStyle::Bezier3 }
    }
}

struct Viewer<'a> {
    look: &'a Look<'a>,
    theme: &'static Theme,
    view: TSTransform,
    set: bool,
    pins: Vec<(Id, Pin)>,
    drawn: Vec<(Pin, Pin)>,
    cut: Vec<Pin>,
}

impl Viewer<'_> {
    fn size(&self, item: &Item) -> Vec2 {
        let rect = self.look.scene.rect_of(self.look.workflow, item).map_or(Vec2::splat(8.0), |rect| rect.size());
        match item {
            Item::Node(_) => rect,
            Item::Group(_) => Vec2::new(rect.x, GROUP_TITLE),
            Item::Comment(_) => Vec2::new(rect.x, COMMENT_GRIP),
        }
    }

    fn node(&self, item: &Item) -> Option<&NodeView> {
        match item {
            Item::Node(id) => self.look.scene.node(id),
            _ => None,
        }
    }

    fn spot(&mut self, item: &Item, row: usize, output: bool, ui: &Ui) -> Spot {
        let found = self.node(item).and_then(|node| {
            let port = if output { node.outputs.get(row) } else { node.inputs.get(row) };
            port.map(|port| (node.id.clone(), port.at, port.port_type))
        });
        match found {
            Some((id, at, port_type)) => {
                // The snarl makes the port's widget under the next id, as soon as this has returned.
                self.pins.push((ui.next_auto_id(), (id, row, output)));
                Spot { at, color: port_color(self.theme, port_type) }
            }
            None => Spot { at: Pos2::ZERO, color: Color32::TRANSPARENT },
        }
    }

    fn pin(snarl: &Snarl<Item>, node: NodeId, row: usize, output: bool) -> Option<Pin> {
        match snarl.get_node(node) {
            Some(Item::Node(id)) => Some((id.clone(), row, output)),
            _ => None,
        }
    }
}

impl SnarlViewer<Item> for Viewer<'_> {
    fn title(&mut self, _: &Item) -> String {
        String::new()
    }

    fn node_frame(&mut self, _: Frame, _: NodeId, _: &[InPin], _: &[OutPin], _: &Snarl<Item>) -> Frame {
        Frame::NONE
    }

    fn header_frame(&mut self, _: Frame, _: NodeId, _: &[InPin], _: &[OutPin], _: &Snarl<Item>) -> Frame {
        Frame::NONE
    }

    fn show_header(&mut self, node: NodeId, _: &[InPin], _: &[OutPin], ui: &mut Ui, snarl: &mut Snarl<Item>) {
        if let Some(item) = snarl.get_node(node) {
            let size = self.size(item);
            ui.allocate_exact_size(size, Sense::hover());
        }
    }

    fn inputs(&mut self, item: &Item) -> usize {
        self.node(item).map_or(0, |node| node.inputs.len())
    }

    fn outputs(&mut self, item: &Item) -> usize {
        self.node(item).map_or(0, |node| node.outputs.len())
    }

    fn show_input(&mut self, pin: &InPin, ui: &mut Ui, snarl: &mut Snarl<Item>) -> impl SnarlPin + 'static {
        match snarl.get_node(pin.id.node) {
            Some(item) => self.spot(item, pin.id.input, false, ui),
            None => Spot { at: Pos2::ZERO, color: Color32::TRANSPARENT },
        }
    }

    fn show_output(&mut self, pin: &OutPin, ui: &mut Ui, snarl: &mut Snarl<Item>) -> impl SnarlPin + 'static {
        match snarl.get_node(pin.id.node) {
            Some(item) => self.spot(item, pin.id.output, true, ui),
            None => Spot { at: Pos2::ZERO, color: Color32::TRANSPARENT },
        }
    }

    fn connect(&mut self, from: &OutPin, to: &InPin, snarl: &mut Snarl<Item>) {
        let from = Self::pin(snarl, from.id.node, from.id.output, true);
        let to = Self::pin(snarl, to.id.node, to.id.input, false);
        self.drawn.extend(from.zip(to));
    }

    fn disconnect(&mut self, _: &OutPin, _: &InPin, _: &mut Snarl<Item>) {}

    fn drop_outputs(&mut self, pin: &OutPin, snarl: &mut Snarl<Item>) {
        self.cut.extend(Self::pin(snarl, pin.id.node, pin.id.output, true));
    }

    fn drop_inputs(&mut self, pin: &InPin, snarl: &mut Snarl<Item>) {
        self.cut.extend(Self::pin(snarl, pin.id.node, pin.id.input, false));
    }

    fn draw_background(
        &mut self,
        _: Option<&BackgroundPattern>,
        _: &Rect,
        _: &SnarlStyle,
        _: &egui::Style,
        _: &egui::Painter,
        _: &Snarl<Item>,
    ) {
    }

    fn current_transform(&mut self, to_global: &mut TSTransform, _: &mut Snarl<Item>) {
        if self.set || !to_global.is_valid() {
            *to_global = self.view;
        }
        self.view = *to_global;
    }
}

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
    /// A canvas for the document that was opened as the `name`-th.
    pub fn new(name: u64) -> Self {
        Self {
            name: name << 16,
            snarl: Snarl::new(),
            ids: HashMap::new(),
            view: TSTransform::IDENTITY,
            goal: Some(Goal::Fit),
            rect: Rect::NOTHING,
            wire: None,
            marquee: None,
            dragged: None,
            take_focus: true,
            fresh: true,
        }
    }

    /// The widget that has the keyboard while the canvas has it.
    pub fn focus_id() -> Id {
        Id::new("workflow-canvas-keys")
    }

    /// Moves the view.
    pub fn go(&mut self, goal: Goal) {
        self.goal = Some(goal);
    }

    /// Gives the canvas the keyboard.
    pub fn focus(&mut self) {
        self.take_focus = true;
    }

    /// Whether a wire is being drawn: nothing may take its node away.
    pub fn drawing(&self) -> bool {
        self.wire.is_some()
    }

    /// From the document to the screen.
    pub fn view(&self) -> TSTransform {
        self.view
    }

    /// Where it is on the screen.
    pub fn rect(&self) -> Rect {
        self.rect
    }

    /// The middle of what is seen, in the document.
    pub fn middle(&self) -> Pos2 {
        if self.rect.is_positive() { self.view.inverse() * self.rect.center() } else { Pos2::ZERO }
    }

    fn snarl_id(&self) -> Id {
        Id::new(("workflow-canvas", self.name))
    }

    fn reach_goal(&mut self, bounds: Rect) {
        let Some(goal) = self.goal.take() else { return };
        let screen = self.rect;
        let at_scale = |scale: f32, middle: Pos2| {
            let scale = scale.clamp(SCALE[0], SCALE[1]);
            TSTransform::new(screen.center().to_vec2() - middle.to_vec2() * scale, scale)
        };
        let fit = |bounds: Rect, most: f32| {
            let room = bounds.expand2(Vec2::new(56.0, 64.0));
            let scale = (screen.width() / room.width()).min(screen.height() / room.height());
            at_scale(scale.min(most), room.center())
        };
        self.view = match goal {
            Goal::Fit if bounds.is_positive() => fit(bounds, 1.0),
            Goal::Fit => at_scale(1.0, Pos2::ZERO),
            Goal::Show(rect) => fit(rect, self.view.scaling.clamp(0.6, 1.5)),
            Goal::Center(at) => at_scale(self.view.scaling, at),
            Goal::Zoom(by) => at_scale(self.view.scaling * by, self.middle()),
        };
        self.fresh = true;
    }

    /// Puts the things that are seen into the snarl and takes the others out.
    fn sync(&mut self, look: &Look<'_>, near: bool) {
        let seen = (self.view.inverse() * self.rect).expand(40.0);
        let mut wanted: HashMap<Item, Pos2> = HashMap::new();
        if near {
            for group in look.scene.groups.iter().filter(|group| group.rect.intersects(seen)) {
                wanted.insert(Item::Group(group.id.clone()), group.rect.min);
            }
            for comment in &look.workflow.comments {
                let rect = comment_rect(comment);
                if rect.intersects(seen) {
                    wanted.insert(Item::Comment(comment.id.clone()), rect.min);
                }
            }
            for node in look.scene.nodes.iter().filter(|node| node.rect.intersects(seen)) {
                wanted.insert(Item::Node(node.id.clone()), node.rect.min);
            }
        }
        // What is being dragged or linked must stay, wherever the view goes.
        let held =
            self.wire.as_ref().map(|wire| Item::Node(wire.end.node.clone())).into_iter().chain(self.dragged.clone());
        for item in held {
            if let Some(rect) = look.scene.rect_of(look.workflow, &item) {
                wanted.insert(item, rect.min);
            }
        }
        let Self { snarl, ids, .. } = self;
        ids.retain(|item, id| {
            let stays = wanted.contains_key(item);
            if !stays {
                snarl.remove_node(*id);
            }
            stays
        });
        let mut wanted: Vec<(Item, Pos2)> = wanted.into_iter().collect();
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        for (item, at) in wanted {
            match ids.get(&item).and_then(|id| snarl.get_node_info_mut(*id)) {
                Some(node) => node.pos = at,
                None => {
                    let id = snarl.insert_node(at, item.clone());
                    ids.insert(item, id);
                }
            }
        }
    }

    fn style(theme: &Theme) -> SnarlStyle {
        SnarlStyle {
            node_layout: Some(NodeLayout::coil()),
            collapsible: Some(false),
            header_drag_space: Some(Vec2::ZERO),
            pin_size: Some(18.0),
            pin_placement: Some(PinPlacement::Outside { margin: 0.0 }),
            wire_width: Some(2.0),
            bg_frame: Some(Frame::NONE),
            min_scale: Some(SCALE[0]),
            max_scale: Some(SCALE[1]),
            centering: Some(false),
            select_stoke: Some(Stroke::new(1.0, theme.accent)),
            select_fill: Some(theme.accent.gamma_multiply(0.08)),
            select_style: Some(SelectionStyle::default()),
            crisp_magnified_text: Some(false),
            ..SnarlStyle::new()
        }
    }

    /// Draws it and gives back what the user did.
    pub fn ui(&mut self, ui: &mut Ui, look: Look<'_>) -> Vec<Act> {
        let theme = Theme::of(ui);
        let mut acts = vec![];
        self.rect = ui.available_rect_before_wrap();
        let keys = ui.interact(self.rect, Self::focus_id(), Sense::focusable_noninteractive());
        keys.widget_info(|| WidgetInfo::labeled(WidgetType::Other, true, "Canvas"));
        if std::mem::take(&mut self.take_focus) {
            keys.request_focus();
        }
        let all = EventFilter { tab: true, horizontal_arrows: true, vertical_arrows: true, escape: true };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(Self::focus_id(), all));
        self.reach_goal(look.scene.bounds);
        // A wire whose end was let go while nobody looked.
        if self.wire.is_some() && !ui.input(|input| input.pointer.any_down() || input.pointer.any_released()) {
            self.wire = None;
            self.name += 1;
            self.fresh = true;
        }
        let seen = (self.view.inverse() * self.rect).expand(40.0);
        let n_seen = look.scene.nodes.iter().filter(|node| node.rect.intersects(seen)).take(MOST_CARDS + 1).count();
        let near = n_seen <= MOST_CARDS && self.view.scaling > TEXT_FROM * 0.6;
        self.sync(&look, near);
        let look = Look { wire: self.wire.clone(), ..look };

        ui.painter().rect_filled(self.rect, 0, theme.sunken);
        let painter = ui.painter_at(self.rect);
        let below = painter.add(Shape::Noop);
        let snarl_id = self.snarl_id();
        let mut viewer = Viewer {
            look: &look,
            theme,
            view: self.view,
            set: std::mem::take(&mut self.fresh),
            pins: vec![],
            drawn: vec![],
            cut: vec![],
        };
        let mut area = ui.new_child(egui::UiBuilder::new().max_rect(self.rect));
        area.set_clip_rect(self.rect);
        area.spacing_mut().item_spacing = Vec2::ZERO;
        let ground =
            SnarlWidget::new().id(snarl_id).style(Self::style(theme)).show(&mut self.snarl, &mut viewer, &mut area);
        ui.advance_cursor_after_rect(self.rect);
        let Viewer { view, pins, drawn, cut, .. } = viewer;
        self.view = view;

        let pointer = ui
            .input(|input| input.pointer.latest_pos())
            .filter(|at| self.rect.contains(*at))
            .map(|at| view.inverse() * at);
        let port = self.pins_ui(ui, &look, pins, drawn, cut, pointer, &ground, &mut acts);
        let hovered = self.items_ui(ui, &look, &mut acts);
        let link =
            self.ground_ui(ui, &look, &ground, pointer, snarl_id, port.is_some() || hovered.is_some(), near, &mut acts);

        let look = Look { port: port.as_ref().map(|(id, row, output)| (id.as_str(), *row, *output)), ..look };
        let time = ui.input(|input| input.time);
        let mut brush = Brush { painter: &painter, view, clip: self.rect, theme, shapes: vec![] };
        brush.dots();
        brush.groups(&look);
        brush.comments(&look);
        brush.links(&look, link, !near);
        if near {
            let seen = view.inverse() * self.rect.expand(12.0);
            for node in look.scene.nodes.iter().filter(|node| node.rect.intersects(seen)) {
                let over = matches!(&hovered, Some(Item::Node(id)) if *id == node.id);
                brush.node(&look, node, over, time);
            }
        } else {
            brush.blocks(&look);
        }
        if let (Some(from), Some(to)) = (self.marquee, pointer) {
            brush.marquee(Rect::from_two_pos(from, to));
        }
        let shapes = std::mem::take(&mut brush.shapes);
        painter.set(below, Shape::Vec(shapes));
        if look.states.values().any(|state| state.state == Some(StepState::Running)) && ui.style().animation_time > 0.0
        {
            ui.ctx().request_repaint_after_secs(0.05);
        }
        acts
    }

    /// What happens at ports. The port under the pointer.
    #[allow(clippy::too_many_arguments, reason = "one frame's worth of what the snarl told")]
    fn pins_ui(
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
    fn items_ui(&mut self, ui: &Ui, look: &Look<'_>, acts: &mut Vec<Act>) -> Option<Item> {
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
    fn ground_ui(
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

fn label(look: &Look<'_>, item: &Item) -> String {
    match item {
        Item::Node(id) => {
            look.scene.node(id).map_or_else(|| id.clone(), |node| format!("{}: {}", node.title, node.summary))
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
    let catalogue = super::catalogue();
    match super::edit::try_link(look.workflow, &catalogue, &Link { from, to }) {
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
