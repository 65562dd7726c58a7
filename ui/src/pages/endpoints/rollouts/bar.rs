//! Who answers: the share of each version on one bar, and how near a guard is.

use athanor_protocol::rollout::{Rollout, RolloutMode, RolloutPhase};
use egui::{Align2, Color32, CornerRadius, Pos2, Rect, Sense, Stroke, Ui, Vec2, WidgetInfo, WidgetType};

use crate::theme::{self, Theme, font_size, mix, radius};

const HEIGHT: f32 = 14.0;

/// The stable version's colour and the candidate's.
pub(super) fn sides(theme: &Theme) -> [Color32; 2] {
    [theme.series(1), theme.accent]
}

/// The share of requests that the candidate answers, or is asked on as a shadow; 0 to 100.
fn share(rollout: &Rollout) -> u8 {
    if rollout.phase == RolloutPhase::Promoted { 100 } else { rollout.percent().min(100) }
}

/// A bar in two colours under the names of both sides.
pub(super) fn share_ui(ui: &mut Ui, rollout: &Rollout) {
    let theme = Theme::of(ui);
    let [stable, candidate] = sides(theme);
    let percent = share(rollout);
    let is_shadow = rollout.spec.mode == RolloutMode::Shadow;
    let (left, right) = if is_shadow {
        let asked = format!("Version {} is asked beside it on {percent} %", rollout.spec.candidate);
        (format!("Version {} answers everything", rollout.stable), asked)
    } else {
        let right = format!("Version {} answers {percent} %", rollout.spec.candidate);
        (format!("Version {} answers {} %", rollout.stable, 100 - percent), right)
    };
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 22.0 + HEIGHT), Sense::hover());
    let said = format!("{left}, {}", right.to_lowercase());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, &said));
    let painter = ui.painter();
    let font = theme::medium(font_size::BODY);
    painter.circle_filled(Pos2::new(rect.left() + 5.0, rect.top() + 9.0), 4.0, stable);
    let at = Pos2::new(rect.left() + 15.0, rect.top() + 9.0);
    painter.text(at, Align2::LEFT_CENTER, left, font.clone(), theme.text);
    let at = Pos2::new(rect.right(), rect.top() + 9.0);
    let text = painter.text(at, Align2::RIGHT_CENTER, right, font, theme.text);
    painter.circle_filled(Pos2::new(text.left() - 9.0, at.y), 4.0, candidate);
    let bar = Rect::from_min_max(Pos2::new(rect.left(), rect.bottom() - HEIGHT), rect.max);
    if is_shadow {
        shadow_bar(ui, bar, percent, stable, candidate);
    } else {
        split_bar(ui, bar, percent, stable, candidate);
    }
}

fn split_bar(ui: &Ui, bar: Rect, percent: u8, stable: Color32, candidate: Color32) {
    let painter = ui.painter();
    let corner = radius::CONTROL;
    // A share that is there is always seen.
    let width = match percent {
        0 => 0.0,
        100 => bar.width(),
        percent => (bar.width() * f32::from(percent) / 100.0).max(6.0).min(bar.width()),
    };
    let middle = bar.right() - width;
    let round = |left: bool, right: bool| CornerRadius {
        nw: if left { corner } else { 0 },
        sw: if left { corner } else { 0 },
        ne: if right { corner } else { 0 },
        se: if right { corner } else { 0 },
    };
    if percent < 100 {
        let gap = if percent > 0 { 1.0 } else { 0.0 };
        painter.rect_filled(bar.with_max_x(middle - gap), round(true, percent == 0), stable);
    }
    if percent > 0 {
        painter.rect_filled(bar.with_min_x(middle), round(percent == 100, true), candidate);
    }
}

/// All of it in the stable version's colour; the candidate's part below, thin: it answers nothing.
fn shadow_bar(ui: &Ui, bar: Rect, percent: u8, stable: Color32, candidate: Color32) {
    let painter = ui.painter();
    painter.rect_filled(bar.with_max_y(bar.bottom() - 6.0), radius::BAR, stable);
    let width = bar.width() * f32::from(percent) / 100.0;
    let part = Rect::from_min_max(Pos2::new(bar.right() - width, bar.bottom() - 4.0), bar.max);
    painter.rect_filled(part, radius::BAR, candidate);
}

/// The shares of all steps, with the one that goes on marked.
pub(super) fn steps_ui(ui: &mut Ui, rollout: &Rollout) {
    let theme = Theme::of(ui);
    let steps = &rollout.spec.steps;
    if steps.len() < 2 {
        return;
    }
    let now = rollout.step as usize;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::new(4.0, 4.0);
        for (at, step) in steps.iter().enumerate() {
            let running = rollout.phase == RolloutPhase::Running;
            let is_now = running && at == now;
            let gone = at < now || rollout.phase == RolloutPhase::Promoted;
            let (ground, line, ink) = if is_now {
                (theme.soft, theme.accent, theme.text)
            } else if gone {
                (theme.tint(theme.ok), mix(theme.line, theme.ok, 0.4), theme.text)
            } else {
                (theme.sunken, theme.line, theme.muted)
            };
            let text = format!("{} %", step.percent);
            let galley = ui.painter().layout_no_wrap(text.clone(), theme::mono(font_size::LABEL), ink);
            let wanted = Vec2::new(galley.size().x + 16.0, 22.0);
            let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
            ui.painter().rect(rect, radius::CONTROL, ground, Stroke::new(1.0, line), egui::StrokeKind::Inside);
            ui.painter().galley(rect.center() - galley.size() / 2.0, galley, ink);
            response.widget_info(|| WidgetInfo::selected(WidgetType::Label, true, is_now, &text));
            let word = if is_now {
                "now"
            } else if gone {
                "done"
            } else {
                "to come"
            };
            response.on_hover_text(format!("{text} for {}: {word}", super::words::span(step.secs.into())));
        }
    });
}

/// How near a guard is: its name, a bar up to the limit, the value. `share` is value over limit; `None` is "not yet".
pub(super) fn guard_ui(ui: &mut Ui, name: &str, value: &str, share: Option<f64>, help: &str) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 38.0), Sense::hover());
    let said = format!("{name}: {value}");
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, &said));
    let share = share.filter(|share| share.is_finite()).map(|share| share.max(0.0));
    let (color, word) = match share {
        None => (theme.muted, ""),
        Some(share) if share >= 1.0 => (theme.bad, "over"),
        Some(share) if share >= 0.6 => (theme.warn, "near"),
        Some(_) => (theme.ok, ""),
    };
    let painter = ui.painter();
    let body = theme::regular(font_size::BODY);
    painter.text(rect.left_top(), Align2::LEFT_TOP, name, body.clone(), theme.text);
    let shown = if word.is_empty() { value.to_owned() } else { format!("{value}, {word}") };
    let ink = if word.is_empty() { theme.muted } else { color };
    painter.text(rect.right_top(), Align2::RIGHT_TOP, shown, body, ink);
    let bar = Rect::from_min_max(Pos2::new(rect.left(), rect.top() + 22.0), Pos2::new(rect.right(), rect.top() + 28.0));
    let track = if theme.dark { theme.sunken } else { mix(theme.sunken, theme.line, 0.4) };
    painter.rect_filled(bar, radius::BAR, track);
    if let Some(share) = share.filter(|share| *share > 0.0) {
        let width = (bar.width() * share.min(1.0) as f32).max(4.0);
        painter.rect_filled(Rect::from_min_size(bar.min, Vec2::new(width, bar.height())), radius::BAR, color);
    }
    response.on_hover_text(help);
}
