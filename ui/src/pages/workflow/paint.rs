//! Draws the canvas: dots, frames, comments, wires, nodes. In points of the screen, so that text is sharp at every scale.

use athanor_protocol::run::StepState;
use egui::{
    Align2, Color32, CornerRadius, FontId, Mesh, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Vec2,
    emath::TSTransform,
    epaint::{CubicBezierShape, RectShape},
    text::{LayoutJob, TextFormat, TextWrapping},
};

use super::{
    canvas::{Look, told},
    edit::Item,
    scene::{GROUP_TITLE, LinkView, NODE_HEIGHT, NodeView, comment_rect, port_color, wire},
};
use crate::{
    icons::{self, ph},
    theme::{self, Theme, font_size, mix, radius},
    widgets,
};

/// Between dots, in the document's points.
const DOTS: f32 = 24.0;
/// Below this scale there is no text.
pub const TEXT_FROM: f32 = 0.34;

/// Collects shapes.
pub struct Brush<'a> {
    /// Measures text.
    pub painter: &'a Painter,
    /// From the document to the screen.
    pub view: TSTransform,
    /// What is seen of the screen.
    pub clip: Rect,
    /// The colours.
    pub theme: &'static Theme,
    /// What was drawn.
    pub shapes: Vec<Shape>,
}

impl Brush<'_> {
    fn scale(&self) -> f32 {
        self.view.scaling
    }

    fn font(&self, font: FontId) -> FontId {
        // Half points: text stays sharp and the font's atlas small while people zoom.
        FontId::new(((font.size * self.scale() * 2.0).round() / 2.0).max(1.0), font.family)
    }

    fn text(&mut self, at: Pos2, anchor: Align2, text: &str, font: FontId, color: Color32, width: f32) {
        let job = LayoutJob {
            wrap: TextWrapping {
                max_width: width.max(1.0),
                max_rows: 1,
                break_anywhere: true,
                overflow_character: Some('…'),
            },
            ..LayoutJob::single_section(text.to_owned(), TextFormat::simple(self.font(font), color))
        };
        let galley = self.painter.layout_job(job);
        let rect = anchor.anchor_size(at, galley.size());
        self.shapes.push(Shape::galley(rect.min, galley, color));
    }

    fn icon(&mut self, at: Pos2, icon: &str, size: f32, color: Color32) {
        let font = self.font(FontId::new(size, theme::icon_family()));
        let galley = self.painter.layout_no_wrap(icon.to_owned(), font, color);
        self.shapes.push(Shape::galley(at - galley.size() / 2.0, galley, color));
    }

    fn corner(&self, radius: u8) -> CornerRadius {
        CornerRadius::same((f32::from(radius) * self.scale()).round().clamp(0.0, 40.0) as u8)
    }

    /// The grid of faint dots.
    pub fn dots(&mut self) {
        let mut step = DOTS * self.scale();
        while step < 16.0 {
            step *= 4.0;
        }
        let color = mix(self.theme.sunken, self.theme.text, if self.theme.dark { 0.13 } else { 0.14 });
        let size = if self.scale() > 0.6 { 1.6 } else { 1.2 };
        let first = |from: f32, origin: f32| origin + ((from - origin) / step).floor() * step;
        let mut mesh = Mesh::default();
        let mut y = first(self.clip.top(), self.view.translation.y);
        while y < self.clip.bottom() {
            let mut x = first(self.clip.left(), self.view.translation.x);
            while x < self.clip.right() {
                mesh.add_colored_rect(Rect::from_center_size(Pos2::new(x, y), Vec2::splat(size)), color);
                x += step;
            }
            y += step;
        }
        self.shapes.push(Shape::mesh(mesh));
    }

    /// The frames around groups.
    pub fn groups(&mut self, look: &Look<'_>) {
        for (view, group) in
            look.scene.groups.iter().filter_map(|view| {
                look.workflow.groups.iter().find(|group| group.id == view.id).map(|group| (view, group))
            })
        {
            let rect = self.view * view.rect;
            if !rect.intersects(self.clip) {
                continue;
            }
            let on = look.selection.contains(&Item::Group(view.id.clone()));
            let line = if on {
                Stroke::new(1.5, self.theme.accent)
            } else {
                Stroke::new(1.0, mix(self.theme.line, self.theme.text, 0.12))
            };
            let fill = self.theme.text.gamma_multiply(0.035);
            self.shapes.push(RectShape::new(rect, self.corner(radius::CARD), fill, line, StrokeKind::Inside).into());
            if self.scale() > TEXT_FROM * 0.6 {
                let at = rect.left_top() + Vec2::new(12.0, GROUP_TITLE / 2.0) * self.scale();
                let (font, color) = (theme::semibold(font_size::LABEL + 1.0), self.theme.muted);
                self.text(at, Align2::LEFT_CENTER, &group.title, font, color, rect.width() - 24.0 * self.scale());
            }
        }
    }

    /// The comments.
    pub fn comments(&mut self, look: &Look<'_>) {
        for comment in &look.workflow.comments {
            let rect = self.view * comment_rect(comment);
            if !rect.intersects(self.clip) {
                continue;
            }
            let on = look.selection.contains(&Item::Comment(comment.id.clone()));
            let ground = self.theme.tint(self.theme.warn);
            let line = if on {
                Stroke::new(2.0, self.theme.accent)
            } else {
                Stroke::new(1.0, mix(ground, self.theme.warn, 0.35))
            };
            self.shapes.push(RectShape::new(rect, self.corner(radius::NODE), ground, line, StrokeKind::Inside).into());
            if self.scale() < TEXT_FROM {
                continue;
            }
            let pad = 12.0 * self.scale();
            let (text, color) = if comment.text.is_empty() {
                ("Write a remark in the panel at the right", self.theme.faint)
            } else {
                (comment.text.as_str(), self.theme.text)
            };
            let font = self.font(theme::regular(font_size::BODY));
            let rows = ((rect.height() - 2.0 * pad) / (font.size * 1.3)).floor().max(1.0) as usize;
            let job = LayoutJob {
                wrap: TextWrapping {
                    max_width: (rect.width() - 2.0 * pad).max(1.0),
                    max_rows: rows,
                    break_anywhere: false,
                    overflow_character: Some('…'),
                },
                ..LayoutJob::single_section(text.chars().take(4000).collect(), TextFormat::simple(font, color))
            };
            let galley = self.painter.layout_job(job);
            self.shapes.push(Shape::galley(rect.min + Vec2::splat(pad), galley, color));
            let corner = rect.right_bottom() - Vec2::splat(4.0) * self.scale();
            for step in [4.0, 8.0] {
                let step = step * self.scale();
                let ends = [corner - Vec2::new(step, 0.0), corner - Vec2::new(0.0, step)];
                self.shapes.push(Shape::line_segment(ends, Stroke::new(1.0, self.theme.muted)));
            }
        }
    }

    /// The wires that are seen.
    pub fn links(&mut self, look: &Look<'_>, hovered: Option<usize>, far: bool) {
        let scene = self.view.inverse() * self.clip;
        for link in &look.scene.links {
            let [from, to] = look.scene.ends(link);
            let curve = wire(from, to);
            let around = Rect::from_points(&curve);
            if !around.intersects(scene) {
                continue;
            }
            self.link(look, link, curve, hovered == Some(link.index), far);
        }
    }

    fn link(&mut self, look: &Look<'_>, link: &LinkView, curve: [Pos2; 4], hovered: bool, far: bool) {
        let color = port_color(self.theme, link.port_type);
        let chosen = look.link == Some(link.index);
        let at_work = look
            .states
            .get(&look.scene.nodes[link.nodes[1]].id)
            .is_some_and(|state| state.state == Some(StepState::Running));
        let color = if hovered || chosen || at_work {
            color
        } else {
            mix(self.theme.sunken, color, if self.theme.dark { 0.8 } else { 0.85 })
        };
        let width = if far {
            1.0
        } else if hovered || chosen {
            3.0
        } else {
            2.0
        };
        let points = curve.map(|point| self.view * point);
        if far {
            self.shapes
                .push(Shape::line_segment([points[0], points[3]], Stroke::new(width, color.gamma_multiply(0.6))));
        } else {
            if chosen {
                let halo = Stroke::new(8.0, color.gamma_multiply(0.25));
                self.shapes
                    .push(CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, halo).into());
            }
            let stroke = Stroke::new(width, color);
            self.shapes.push(CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, stroke).into());
        }
    }

    /// All nodes as blocks, for when they are too small or too many to read.
    pub fn blocks(&mut self, look: &Look<'_>) {
        let mut mesh = Mesh::default();
        let card = mix(self.theme.panel, self.theme.text, 0.12);
        for node in &look.scene.nodes {
            let rect = self.view * node.rect;
            if !rect.intersects(self.clip) {
                continue;
            }
            let rect =
                if rect.width() < 3.0 { Rect::from_center_size(rect.center(), Vec2::new(3.0, 1.5)) } else { rect };
            let color = match look.states.get(&node.id).and_then(|state| state.state) {
                _ if look.selection.contains(&Item::Node(node.id.clone())) => self.theme.accent,
                Some(StepState::Running) => self.theme.accent,
                Some(StepState::Done) => self.theme.ok,
                Some(StepState::Failed) => self.theme.bad,
                _ if !node.problems.is_empty() => mix(card, self.theme.bad, 0.6),
                _ => card,
            };
            mesh.add_colored_rect(rect, color);
        }
        self.shapes.push(Shape::mesh(mesh));
    }

    /// A node.
    pub fn node(&mut self, look: &Look<'_>, node: &NodeView, hovered: bool, time: f64) {
        let theme = self.theme;
        let s = self.scale();
        let rect = self.view * node.rect;
        let on = look.selection.contains(&Item::Node(node.id.clone()));
        let state = look.states.get(&node.id);
        let step = state.and_then(|state| state.state);
        let line = match step {
            _ if on => Stroke::new(2.0, theme.accent),
            Some(StepState::Running) => Stroke::new(1.5, theme.accent),
            Some(StepState::Failed) => Stroke::new(1.5, theme.bad),
            _ if !node.known => Stroke::new(1.0, theme.bad),
            _ if hovered => Stroke::new(1.0, mix(theme.line, theme.text, 0.3)),
            _ => theme.border(),
        };
        let corner = self.corner(radius::NODE);
        if on {
            let halo = rect.expand(3.0);
            let soft = Stroke::new(3.0, theme.accent.gamma_multiply(0.25));
            self.shapes.push(RectShape::stroke(halo, self.corner(radius::NODE + 3), soft, StrokeKind::Inside).into());
        }
        self.shapes.push(RectShape::new(rect, corner, theme.panel, line, StrokeKind::Inside).into());
        let head = rect.top() + NODE_HEIGHT / 2.0 * s;
        let icon_at = Pos2::new(rect.left() + 24.0 * s, head);
        if s >= TEXT_FROM {
            let icon = if node.known { icons::of_node(&node.kind) } else { ph::QUESTION };
            self.icon(icon_at, icon, 19.0, if node.known { theme.accent } else { theme.bad });
            let left = rect.left() + 44.0 * s;
            let width = rect.right() - 36.0 * s - left;
            let (font, at) = (theme::semibold(font_size::BODY), Pos2::new(left, head - 9.0 * s));
            self.text(at, Align2::LEFT_CENTER, &node.title, font, theme.text, width);
            let failed = state.is_some_and(|state| state.failure.is_some());
            let (line, ink) = (told(look, node), if failed { theme.bad } else { theme.muted });
            let at = Pos2::new(left, head + 9.0 * s);
            self.text(at, Align2::LEFT_CENTER, line, theme::regular(font_size::LABEL + 0.5), ink, width);
            self.mark(node, step, Pos2::new(rect.right() - 21.0 * s, head), time);
        }
        if let Some(share) = state.and_then(|state| state.share)
            && step == Some(StepState::Running)
        {
            let bar = Rect::from_min_max(
                Pos2::new(rect.left() + 10.0 * s, rect.bottom() - 6.0 * s),
                Pos2::new(rect.right() - 10.0 * s, rect.bottom() - 3.0 * s),
            );
            let done = bar.with_max_x(bar.left() + bar.width() * share.clamp(0.0, 1.0));
            self.shapes.push(RectShape::filled(bar, 2, theme.line).into());
            self.shapes.push(RectShape::filled(done, 2, theme.accent).into());
        }
        self.ports(look, node, s);
    }

    fn mark(&mut self, node: &NodeView, step: Option<StepState>, at: Pos2, time: f64) {
        let theme = self.theme;
        match step {
            Some(StepState::Running) => {
                let turn = (time * 1.2).fract() as f32 * std::f32::consts::TAU;
                let radius = 6.5 * self.scale();
                let points = (0..=14).map(|step| at + Vec2::angled(turn + step as f32 / 14.0 * 4.4) * radius).collect();
                self.shapes.push(Shape::line(points, Stroke::new(1.8, theme.accent)));
            }
            Some(step) => {
                let (icon, color) = widgets::step_icon(theme, step);
                self.icon(at, icon, 16.0, color);
            }
            None if !node.problems.is_empty() => self.icon(at, ph::WARNING_CIRCLE, 16.0, theme.bad),
            None if node.note => self.icon(at, ph::NOTE, 15.0, theme.muted),
            None => {}
        }
    }

    fn ports(&mut self, look: &Look<'_>, node: &NodeView, s: f32) {
        let theme = self.theme;
        let labels = node.inputs.len().max(node.outputs.len()) > 1 && s >= TEXT_FROM;
        for (output, ports) in [(false, &node.inputs), (true, &node.outputs)] {
            for (row, port) in ports.iter().enumerate() {
                let at = self.view * port.at;
                let fits = look.fits(node, row, output);
                let color = match fits {
                    Some(false) => theme.line,
                    _ => port_color(theme, port.port_type),
                };
                let big = fits == Some(true) || look.port == Some((node.id.as_str(), row, output));
                let radius = if big { 6.5 } else { 5.0 } * s;
                self.shapes.push(Shape::circle_filled(at, radius + 1.5 * s, theme.panel));
                self.shapes.push(Shape::circle_filled(at, radius, color));
                if fits == Some(true) {
                    self.shapes.push(Shape::circle_stroke(
                        at,
                        radius + 3.0 * s,
                        Stroke::new(1.5, color.gamma_multiply(0.6)),
                    ));
                }
                if labels {
                    let (anchor, by) = if output { (Align2::RIGHT_CENTER, -14.0) } else { (Align2::LEFT_CENTER, 14.0) };
                    let (font, at) = (theme::regular(font_size::LABEL), at + Vec2::new(by * s, 0.0));
                    self.text(at, anchor, &port.name, font, theme.muted, 90.0 * s);
                }
            }
        }
    }

    /// The rectangle of a selection that is being drawn.
    pub fn marquee(&mut self, rect: Rect) {
        let fill = self.theme.accent.gamma_multiply(0.08);
        let line = Stroke::new(1.0, self.theme.accent);
        self.shapes.push(RectShape::new(self.view * rect, 2, fill, line, StrokeKind::Inside).into());
    }
}
