//! The snarl's side: it draws nothing of its own but the wire under construction, and notes what the user does.

use egui::{Color32, Frame, Id, Pos2, Rect, Sense, Ui, Vec2, emath::TSTransform};
use egui_snarl::{
    InPin, NodeId, OutPin, Snarl,
    ui::{BackgroundPattern, PinWireInfo, SnarlPin, SnarlStyle, SnarlViewer, WireStyle},
};

use super::{COMMENT_GRIP, Look};
use crate::{
    pages::workflow::{
        edit::Item,
        scene::{GROUP_TITLE, NodeView, port_color},
    },
    theme::Theme,
};

/// A port by node, place and side.
pub(super) type Pin = (String, usize, bool);

pub(super) struct Spot {
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

pub(super) struct Viewer<'a> {
    pub(super) look: &'a Look<'a>,
    pub(super) theme: &'static Theme,
    pub(super) view: TSTransform,
    pub(super) set: bool,
    pub(super) pins: Vec<(Id, Pin)>,
    pub(super) drawn: Vec<(Pin, Pin)>,
    pub(super) cut: Vec<Pin>,
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
