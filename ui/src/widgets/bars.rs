//! Shares: bars for probabilities, a stacked bar for parts of a whole, small meters.

use egui::{Align2, Color32, CornerRadius, Pos2, Rect, Response, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use crate::theme::{self, Theme, font_size, mix, size};

fn track(theme: &Theme) -> Color32 {
    if theme.dark { theme.sunken } else { mix(theme.sunken, theme.line, 0.4) }
}

/// A bar with its name at the left and its value at the right, `share` from 0 to 1.
pub fn share_bar(ui: &mut Ui, name: &str, share: f64, value: &str, color: Color32) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 24.0), Sense::hover());
    let said = format!("{name}: {value}");
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, &said));
    let name_width = (rect.width() * 0.34).clamp(60.0, 180.0);
    let value_width = 64.0;
    let mut job =
        egui::text::LayoutJob::simple_singleline(name.to_owned(), theme::regular(font_size::BODY), theme.text);
    job.wrap = egui::text::TextWrapping::truncate_at_width(name_width - 8.0);
    let galley = ui.painter().layout_job(job);
    let at = Pos2::new(rect.left(), rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.text);
    let bar = Rect::from_min_max(
        Pos2::new(rect.left() + name_width, rect.center().y - 4.0),
        Pos2::new((rect.right() - value_width).max(rect.left() + name_width), rect.center().y + 4.0),
    );
    let corner = CornerRadius::same(4);
    ui.painter().rect_filled(bar, corner, track(theme));
    let share = if share.is_finite() { share.clamp(0.0, 1.0) as f32 } else { 0.0 };
    if share > 0.0 {
        let part = Rect::from_min_size(bar.min, Vec2::new((bar.width() * share).max(4.0), bar.height()));
        ui.painter().rect_filled(part, corner, color);
    }
    let at = Pos2::new(rect.right(), rect.center().y);
    ui.painter().text(at, Align2::RIGHT_CENTER, value, theme::mono(font_size::MONO), theme.text);
    response.on_hover_text(said)
}

/// The width of a value at the right of a bar.
const VALUE: f32 = 76.0;

/// An amount above or below nothing, one of several under each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signed<'a> {
    /// Its name.
    pub name: &'a str,
    /// What stands muted beside the name.
    pub detail: &'a str,
    /// The amount.
    pub amount: f64,
    /// The least and the greatest amount of all, the least at most and the greatest at least 0.
    pub span: (f64, f64),
    /// The amount as it is written.
    pub value: &'a str,
}

/// A bar to the right of the common line of zero, or to its left, with its name and its value. The line goes on in the
/// next bar where there is no space between them.
pub fn signed_bar(ui: &mut Ui, signed: &Signed<'_>) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 26.0), Sense::hover());
    let Signed { name, detail, amount, span: (least, most), value } = *signed;
    let said = if detail.is_empty() { format!("{name}: {value}") } else { format!("{name} = {detail}: {value}") };
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, &said));
    let name_width = (rect.width() * 0.42).clamp(72.0, 260.0);
    let mut job = egui::text::LayoutJob::default();
    job.append(name, 0.0, egui::TextFormat::simple(theme::regular(font_size::BODY), theme.text));
    if !detail.is_empty() {
        job.append(detail, 8.0, egui::TextFormat::simple(theme::mono(font_size::MONO), theme.muted));
    }
    job.wrap = egui::text::TextWrapping::truncate_at_width(name_width - 12.0);
    let galley = ui.painter().layout_job(job);
    let at = Pos2::new(rect.left(), rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.text);
    let (left, right) = (rect.left() + name_width, (rect.right() - VALUE).max(rect.left() + name_width));
    let share = |amount: f64| {
        let share = (amount - least) / (most - least);
        if share.is_finite() { share.clamp(0.0, 1.0) as f32 } else { 0.0 }
    };
    let zero = egui::lerp(left..=right, share(0.0));
    ui.painter().vline(zero, rect.y_range(), egui::Stroke::new(1.0, mix(theme.line, theme.text, 0.15)));
    let y = (rect.center().y - 5.0)..=(rect.center().y + 5.0);
    if amount > 0.0 {
        let end = egui::lerp(left..=right, share(amount)).max(zero + 2.0);
        let corner = CornerRadius { ne: 3, se: 3, ..CornerRadius::ZERO };
        ui.painter().rect_filled(Rect::from_x_y_ranges(zero..=end, y), corner, theme.accent);
    } else if amount < 0.0 {
        let end = egui::lerp(left..=right, share(amount)).min(zero - 2.0);
        let corner = CornerRadius { nw: 3, sw: 3, ..CornerRadius::ZERO };
        ui.painter().rect_filled(Rect::from_x_y_ranges(end..=zero, y), corner, theme.info);
    }
    let ink = if amount == 0.0 { theme.muted } else { theme.text };
    let at = Pos2::new(rect.right(), rect.center().y);
    ui.painter().text(at, Align2::RIGHT_CENTER, value, theme::mono(font_size::MONO), ink);
    response
}

/// An amount in line with those of [`signed_bar`]: where they begin, or their sum.
pub fn amount(ui: &mut Ui, name: &str, value: &str, is_sum: bool) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 28.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, format!("{name}: {value}")));
    let (font, ink) = if is_sum {
        (theme::semibold(font_size::BODY), theme.text)
    } else {
        (theme::regular(font_size::BODY), theme.muted)
    };
    ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, name, font, ink);
    ui.painter().text(rect.right_center(), Align2::RIGHT_CENTER, value, theme::mono(font_size::MONO), ink);
    response
}

/// Parts of a whole beside each other; `whole` may be more than their sum. Returns the part under the pointer.
pub fn stacked_bar(ui: &mut Ui, parts: &[(u64, Color32)], whole: u64, height: f32) -> Option<usize> {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::hover());
    let corner = (height / 2.0) as u8;
    ui.painter().rect_filled(rect, corner, track(theme));
    let sum = parts.iter().fold(0u64, |sum, (n, _)| sum.saturating_add(*n));
    let whole = whole.max(sum).max(1) as f64;
    let pointer = response.hover_pos().map(|at| at.x);
    let (mut left, mut under) = (rect.left(), None);
    let last = parts.iter().rposition(|(n, _)| *n > 0);
    for (at, (n, color)) in parts.iter().enumerate() {
        let width = (*n as f64 / whole) as f32 * rect.width();
        if width <= 0.0 {
            continue;
        }
        let part = Rect::from_min_size(Pos2::new(left, rect.top()), Vec2::new(width, height));
        let mut round = CornerRadius::ZERO;
        if left <= rect.left() {
            (round.nw, round.sw) = (corner, corner);
        }
        if Some(at) == last && left + width >= rect.right() - 0.5 {
            (round.ne, round.se) = (corner, corner);
        }
        // A hair between neighbours, where there is room for it.
        let seen = if width > 3.0 && Some(at) != last { part.with_max_x(part.right() - 1.0) } else { part };
        ui.painter().rect_filled(seen, round, *color);
        if pointer.is_some_and(|x| x >= left && x < left + width) {
            under = Some(at);
        }
        left += width;
    }
    under
}

/// A small upright bar, `share` from 0 to 1, for one of many like it.
pub fn meter(ui: &mut Ui, share: f32, wanted: Vec2, color: Color32) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
    ui.painter().rect_filled(rect, 3, track(theme));
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let top = rect.bottom() - rect.height() * share;
    if share > 0.0 {
        let part = rect.with_min_y(top.min(rect.bottom() - 2.0));
        ui.painter().rect_filled(part, 3, color);
    }
    response
}

/// A dot of a colour in a line of text.
pub fn dot(ui: &mut Ui, color: Color32) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::new(10.0, size::ICON), Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.0, color);
    response
}
