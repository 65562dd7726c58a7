//! Cards, headings, key figures, progress.

use egui::{CornerRadius, Frame, InnerResponse, Margin, Pos2, Rect, Response, RichText, Sense, Ui, Vec2};

use crate::theme::{self, Theme, font_size, radius, size};

/// A card: a panel with a line of one point around it, as wide as there is room.
pub fn card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    let theme = Theme::of(ui);
    Frame::new()
        .fill(theme.panel)
        .stroke(theme.border())
        .corner_radius(radius::CARD)
        .inner_margin(Margin::same(size::CARD))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            add(ui)
        })
}

/// A card with a title and one muted fact beside it.
pub fn titled_card<R>(ui: &mut Ui, title: &str, fact: &str, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    card(ui, |ui| {
        heading(ui, title, fact);
        ui.add_space(size::TINY_GAP);
        add(ui)
    })
}

/// A line of text and small things, as high as its text; buttons make it higher.
pub fn tight<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    let height = std::mem::replace(&mut ui.spacing_mut().interact_size.y, 20.0);
    let inner = ui.horizontal(|ui| {
        ui.spacing_mut().interact_size.y = height;
        add(ui)
    });
    ui.spacing_mut().interact_size.y = height;
    inner
}

/// The same, going on in the next line where there is no room.
pub fn tight_wrapped<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    let height = std::mem::replace(&mut ui.spacing_mut().interact_size.y, 20.0);
    let inner = ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().interact_size.y = height;
        add(ui)
    });
    ui.spacing_mut().interact_size.y = height;
    inner
}

/// Columns of the same width beside each other, each from its top; `add(ui, at)` draws one.
pub fn columns(ui: &mut Ui, n: usize, mut add: impl FnMut(&mut Ui, usize)) {
    let n = n.max(1);
    let width = ((ui.available_width() - size::GAP * (n - 1) as f32) / n as f32).max(40.0);
    let top_left = ui.cursor().min;
    let mut height: f32 = 0.0;
    for at in 0..n {
        let left = top_left.x + at as f32 * (width + size::GAP);
        let place = Rect::from_min_size(Pos2::new(left, top_left.y), Vec2::new(width, ui.available_height()));
        let layout = egui::Layout::top_down(egui::Align::Min);
        let mut child = ui.new_child(egui::UiBuilder::new().id_salt(("column", at)).max_rect(place).layout(layout));
        child.set_width(width);
        add(&mut child, at);
        height = height.max(child.min_rect().height());
    }
    let all = width * n as f32 + size::GAP * (n - 1) as f32;
    ui.allocate_rect(Rect::from_min_size(top_left, Vec2::new(all, height)), Sense::hover());
}

/// A card's heading.
pub fn heading(ui: &mut Ui, title: &str, fact: &str) {
    let theme = Theme::of(ui);
    tight(ui, |ui| {
        ui.label(RichText::new(title).font(theme::semibold(14.5)).color(theme.text));
        if !fact.is_empty() {
            ui.label(RichText::new(fact).size(12.5).color(theme.muted));
        }
    });
}

/// A small label above something.
pub fn label(ui: &mut Ui, text: &str) -> Response {
    let color = Theme::of(ui).muted;
    ui.label(RichText::new(text).size(font_size::LABEL).color(color))
}

/// Secondary text.
pub fn muted(ui: &mut Ui, text: &str) -> Response {
    let color = Theme::of(ui).muted;
    ui.label(RichText::new(text).color(color))
}

/// A key figure with its name and a trend or a remark.
pub fn figure(ui: &mut Ui, name: &str, value: &str, remark: &str) -> Response {
    let theme = Theme::of(ui);
    let inner = ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        label(ui, name);
        ui.label(RichText::new(value).font(theme::semibold(font_size::FIGURE)).color(theme.text));
        if !remark.is_empty() {
            ui.label(RichText::new(remark).size(font_size::LABEL).color(theme.muted));
        }
    });
    inner.response
}

/// A progress bar; `None` is "nobody knows how much", drawn as a moving piece.
pub fn progress(ui: &mut Ui, share: Option<f32>, width: f32) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(width, 4.0), Sense::hover());
    let corner = CornerRadius::same(2);
    ui.painter().rect_filled(rect, corner, if theme.dark { theme.sunken } else { theme.line });
    let piece = match share {
        Some(share) => Rect::from_min_size(rect.min, Vec2::new(rect.width() * share.clamp(0.0, 1.0), rect.height())),
        None => {
            ui.ctx().request_repaint_after_secs(0.05);
            let t = ui.input(|input| input.time).rem_euclid(1.6) as f32 / 1.6;
            let from = rect.left() + rect.width() * (t * 1.3 - 0.3);
            Rect::from_min_max(
                Pos2::new(from.max(rect.left()), rect.top()),
                Pos2::new((from + rect.width() * 0.3).clamp(rect.left(), rect.right()), rect.bottom()),
            )
        }
    };
    ui.painter().rect_filled(piece, corner, theme.accent);
    response.widget_info(|| {
        let mut info = egui::WidgetInfo::new(egui::WidgetType::ProgressIndicator);
        info.value = share.map(f64::from);
        info
    });
    response
}

/// What is shown while an answer is on its way for long.
pub fn loading(ui: &mut Ui, what: &str) {
    ui.horizontal(|ui| {
        ui.add(egui::Spinner::new().size(16.0).color(Theme::of(ui).accent));
        muted(ui, what);
    });
}

/// A thin line across.
pub fn rule(ui: &mut Ui) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(rect, 0, theme.line);
}

/// Name and value in two columns, the value can be selected and copied.
pub fn facts(ui: &mut Ui, rows: &[(String, String)]) {
    let theme = Theme::of(ui);
    let font = egui::TextStyle::Body.resolve(ui.style());
    let width_of = |name: &String| ui.painter().layout_no_wrap(name.clone(), font.clone(), theme.muted).size().x;
    let widest = rows.iter().map(|(name, _)| width_of(name)).fold(0.0, f32::max);
    let width = widest.min(ui.available_width() * 0.5).ceil();
    ui.scope(|ui| {
        // Laid out in one pass: egui's grid would take its heights from the frame before, and there is none at rest.
        ui.spacing_mut().item_spacing = Vec2::new(16.0, 6.0);
        for (name, value) in rows {
            ui.horizontal_top(|ui| {
                ui.allocate_ui_with_layout(Vec2::new(width, 20.0), egui::Layout::top_down(egui::Align::Min), |ui| {
                    ui.set_width(width);
                    ui.add(egui::Label::new(RichText::new(name).color(theme.muted)).wrap());
                });
                ui.add(egui::Label::new(RichText::new(value).color(theme.text)).selectable(true).wrap());
            });
        }
    });
}
