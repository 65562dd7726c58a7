//! States: always a colour with a word.

use athanor_protocol::run::{RunStatus, StepState};
use egui::{Align2, Color32, Response, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use crate::{
    icons::ph,
    theme::{self, Theme, font_size, radius},
};

/// A pill: a word on a quiet ground of its colour.
pub fn pill(ui: &mut Ui, color: Color32, text: &str) -> Response {
    let theme = Theme::of(ui);
    let font = theme::medium(font_size::LABEL + 0.5);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, color);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x + 18.0, 22.0), Sense::hover());
    ui.painter().rect_filled(rect, radius::CARD, theme.tint(color));
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, color);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, text));
    response
}

/// A pill as low as a tag, to stand beside tags.
pub fn small_pill(ui: &mut Ui, color: Color32, text: &str) -> Response {
    let theme = Theme::of(ui);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::medium(font_size::LABEL), color);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x + 14.0, 20.0), Sense::hover());
    ui.painter().rect_filled(rect, radius::CONTROL, theme.tint(color));
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, color);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, text));
    response
}

/// A run's colour.
pub fn status_color(theme: &Theme, status: RunStatus) -> Color32 {
    match status {
        RunStatus::Queued => theme.info,
        RunStatus::Running => theme.accent,
        RunStatus::Finished => theme.ok,
        RunStatus::Failed => theme.bad,
        RunStatus::Cancelled => theme.muted,
    }
}

/// A run's state.
pub fn status_pill(ui: &mut Ui, status: RunStatus) -> Response {
    let color = status_color(Theme::of(ui), status);
    pill(ui, color, status.as_str())
}

/// A step's icon and colour.
pub fn step_icon(theme: &Theme, state: StepState) -> (&'static str, Color32) {
    match state {
        StepState::Pending => (ph::CIRCLE_DASHED, theme.faint),
        StepState::Cached => (ph::LIGHTNING, theme.info),
        StepState::Running => (ph::CIRCLE_NOTCH, theme.accent),
        StepState::Done => (ph::CHECK_CIRCLE, theme.ok),
        StepState::Failed => (ph::X_CIRCLE, theme.bad),
    }
}

/// A small tag, for aliases and tags.
pub fn tag(ui: &mut Ui, text: &str) -> Response {
    let theme = Theme::of(ui);
    let font = theme::mono(font_size::LABEL);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, theme.muted);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x + 14.0, 20.0), Sense::hover());
    ui.painter().rect(rect, radius::CONTROL, theme.sunken, theme.border(), egui::StrokeKind::Inside);
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, theme::mono(font_size::LABEL), theme.muted);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, text));
    response
}
