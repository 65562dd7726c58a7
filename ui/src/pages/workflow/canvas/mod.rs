//! The canvas. The document is the truth: the snarl holds only those nodes that are seen, at the places that the document
//! says, and gives back what the user does with them; all drawing is in [`super::paint`].

mod hits;
mod look;
mod viewer;

use std::collections::HashMap;

use athanor_protocol::run::StepState;
use egui::{
    EventFilter, Frame, Id, Pos2, Rect, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, WidgetType, emath::TSTransform,
};
use egui_snarl::{
    NodeId, Snarl,
    ui::{NodeLayout, PinPlacement, SelectionStyle, SnarlStyle, SnarlWidget},
};

use self::viewer::Viewer;
pub use self::{
    hits::{link_under, told},
    look::{Act, Goal, Look, NodeState, WireFrom},
};
use super::{
    edit::Item,
    paint::{Brush, TEXT_FROM},
    scene::comment_rect,
};
use crate::theme::Theme;

/// The least and greatest scale.
const SCALE: [f32; 2] = [0.002, 2.0];
/// More nodes than this at once are drawn as blocks.
const MOST_CARDS: usize = 500;
/// The part of a comment by which it is moved, from its upper edge.
const COMMENT_GRIP: f32 = 24.0;

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
    /// The view that showed everything, and the room that it was made for.
    fitted: Option<(TSTransform, Rect)>,
}

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
            fitted: None,
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
            let room = bounds.expand2(Vec2::new(40.0, 56.0));
            let scale = (screen.width() / room.width()).min(screen.height() / room.height());
            at_scale(scale.min(most), room.center())
        };
        self.view = match goal {
            Goal::Fit if bounds.is_positive() => fit(bounds, 1.25),
            Goal::Fit => at_scale(1.0, Pos2::ZERO),
            Goal::Show(rect) => fit(rect, self.view.scaling.clamp(0.6, 1.5)),
            Goal::Center(at) => at_scale(self.view.scaling, at),
            Goal::Zoom(by) => at_scale(self.view.scaling * by, self.middle()),
        };
        self.fitted = (goal == Goal::Fit).then_some((self.view, self.rect));
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
        // While nobody has moved the view that showed everything, it goes on to do so as the room for it changes.
        if let Some((view, rect)) = self.fitted
            && view == self.view
            && rect != self.rect
            && self.goal.is_none()
        {
            self.goal = Some(Goal::Fit);
        }
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
}
