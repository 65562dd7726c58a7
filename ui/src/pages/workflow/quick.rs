//! The list to add from at the pointer: found by typing, only kinds that fit where a wire waits.

use athanor_protocol::catalogue::{Catalogue, NodeKind, PortType};
use egui::{Align2, Area, Frame, Id, Key, Modifiers, Order, Pos2, Rect, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use super::{canvas::WireFrom, scene::port_color};
use crate::{
    icons,
    palette::score,
    theme::{self, Theme, font_size, radius, size},
    widgets,
};

/// The list to add from.
pub struct Quick {
    /// Where the new node goes, in the document.
    pub at: Pos2,
    /// The wire that waits.
    pub wire: Option<WireFrom>,
    typed: String,
    chosen: usize,
    fresh: bool,
}

/// What came of it.
pub enum QuickDone {
    /// Still open.
    Open,
    /// Closed without a choice.
    Closed,
    /// This kind.
    Add(String),
}

impl Quick {
    /// A list at a point, with what was typed so far.
    pub fn new(at: Pos2, wire: Option<WireFrom>, typed: &str) -> Self {
        Self { at, wire, typed: typed.to_owned(), chosen: 0, fresh: true }
    }

    /// Draws it at a point of the screen, within `bounds`.
    pub fn ui(
        &mut self,
        ui: &Ui,
        catalogue: &Catalogue,
        port_type: Option<PortType>,
        at: Pos2,
        bounds: Rect,
    ) -> QuickDone {
        let found = fitting(catalogue, &self.typed, self.wire.as_ref().map(|wire| wire.output), port_type);
        self.chosen = self.chosen.min(found.len().saturating_sub(1));
        let mut done = QuickDone::Open;
        let wanted = Vec2::new(300.0, 380.0);
        let room = bounds.shrink(8.0);
        let corner = Pos2::new(
            at.x.min(room.right() - wanted.x).max(room.left()),
            at.y.min(room.bottom() - wanted.y).max(room.top()),
        );
        let area = Area::new(Id::new("workflow-quick-add")).order(Order::Foreground).fixed_pos(corner);
        let inner = area.show(ui.ctx(), |ui| {
            Frame::popup(ui.style()).inner_margin(8).show(ui, |ui| {
                ui.set_width(wanted.x - 16.0);
                let hint = if self.wire.is_some() { "Add a node that fits" } else { "Add a node" };
                let width = ui.available_width();
                let field = widgets::search_field(ui, hint, &mut self.typed, width);
                if std::mem::take(&mut self.fresh) {
                    field.request_focus();
                    put_cursor_at_end(ui, field.id, &self.typed);
                }
                if field.changed() {
                    self.chosen = 0;
                }
                let n = found.len();
                ui.input_mut(|input| {
                    if input.consume_key(Modifiers::NONE, Key::ArrowDown) {
                        self.chosen = (self.chosen + 1).min(n.saturating_sub(1));
                    }
                    if input.consume_key(Modifiers::NONE, Key::ArrowUp) {
                        self.chosen = self.chosen.saturating_sub(1);
                    }
                    if input.consume_key(Modifiers::NONE, Key::Escape) {
                        done = QuickDone::Closed;
                    }
                    if (input.consume_key(Modifiers::NONE, Key::Enter) || input.consume_key(Modifiers::NONE, Key::Tab))
                        && let Some(kind) = found.get(self.chosen)
                    {
                        done = QuickDone::Add(kind.id.clone());
                    }
                });
                if found.is_empty() {
                    widgets::muted(ui, "No node has this in its name.");
                }
                egui::ScrollArea::vertical().max_height(300.0).auto_shrink([false, true]).show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 1.0;
                    for (row, kind) in found.iter().enumerate() {
                        if entry(ui, kind, row == self.chosen) {
                            done = QuickDone::Add(kind.id.clone());
                        }
                    }
                });
            });
        });
        let outside = ui.input(|input| {
            input.pointer.any_pressed()
                && input.pointer.interact_pos().is_some_and(|at| !inner.response.rect.contains(at))
        });
        if outside && matches!(done, QuickDone::Open) {
            done = QuickDone::Closed;
        }
        done
    }
}

fn put_cursor_at_end(ui: &Ui, id: Id, text: &str) {
    let mut state = egui::TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
    let end = egui::text::CCursor::new(text.chars().count());
    state.cursor.set_char_range(Some(egui::text::CCursorRange::one(end)));
    egui::TextEdit::store_state(ui.ctx(), id, state);
}

fn entry(ui: &mut Ui, kind: &NodeKind, on: bool) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 40.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::Button, true, on, format!("Add {}", kind.title)));
    if on {
        ui.painter().rect_filled(rect, radius::CONTROL, theme.soft);
        response.scroll_to_me(None);
    } else if response.hovered() {
        ui.painter().rect_filled(rect, radius::CONTROL, theme.sunken);
    }
    icons::paint(
        ui,
        Pos2::new(rect.left() + 18.0, rect.center().y),
        icons::of_node(&kind.id),
        size::ICON,
        theme.accent,
    );
    let left = rect.left() + 38.0;
    let painter = ui.painter().with_clip_rect(rect.shrink2(Vec2::new(26.0, 0.0)));
    painter.text(
        Pos2::new(left, rect.center().y - 8.0),
        Align2::LEFT_CENTER,
        &kind.title,
        theme::medium(font_size::BODY),
        theme.text,
    );
    painter.text(
        Pos2::new(left, rect.center().y + 9.0),
        Align2::LEFT_CENTER,
        &kind.summary,
        theme::regular(font_size::LABEL),
        theme.muted,
    );
    for (at, port) in kind.outputs.iter().enumerate() {
        let center = Pos2::new(rect.right() - 12.0, rect.center().y + at as f32 * 10.0);
        ui.painter().circle_filled(center, 4.0, port_color(theme, Some(port.port_type)));
    }
    response.on_hover_text(&kind.summary).clicked()
}

/// Kinds by what was typed, best first; only those with a port of the type on the side that a wire needs.
pub fn fitting<'a>(
    catalogue: &'a Catalogue,
    typed: &str,
    from_output: Option<bool>,
    port_type: Option<PortType>,
) -> Vec<&'a NodeKind> {
    let fits = |kind: &NodeKind| match from_output {
        None => true,
        Some(output) => {
            let ports = if output { &kind.inputs } else { &kind.outputs };
            ports.iter().any(|port| Some(port.port_type) == port_type)
        }
    };
    let mut found: Vec<(i32, usize, &NodeKind)> = catalogue
        .kinds
        .iter()
        .filter(|kind| fits(kind))
        .filter_map(|kind| {
            let by_title = score(&kind.title, typed).map(|score| score * 4);
            let by_summary = score(&kind.summary, typed).or_else(|| score(&kind.id, typed));
            Some((by_title.or(by_summary)?, super::shelf::rank(&kind.id), kind))
        })
        .collect();
    found.sort_by_key(|(score, rank, _)| (-score, *rank));
    found.into_iter().map(|(.., kind)| kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_finds_kinds_and_a_wire_leaves_only_those_that_fit() {
        let catalogue = Catalogue::builtin();
        let titles = |typed, output, port_type| -> Vec<&str> {
            fitting(&catalogue, typed, output, port_type).into_iter().map(|kind| kind.title.as_str()).collect()
        };
        assert_eq!(titles("", None, None).len(), catalogue.kinds.len());
        assert_eq!(titles("filter", None, None)[0], "Filter rows");
        assert_eq!(titles("ilter", None, None)[0], "Filter rows");
        assert_eq!(titles("", Some(true), Some(PortType::Model)), ["Evaluate", "Register"]);
        assert_eq!(titles("", Some(false), Some(PortType::Splits)), ["Split"]);
        assert!(titles("", Some(true), Some(PortType::Report)).is_empty());
        assert!(titles("zzz", None, None).is_empty());
    }
}
