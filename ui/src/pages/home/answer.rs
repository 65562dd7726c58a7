//! The last step: a row is sent to the endpoint, and what comes back; then a key, so that other programs can ask too.

use egui::{Align2, Pos2, Rect, RichText, Sense, Ui, Vec2};

use super::{
    guide::{Guide, MODEL, State, TARGET, outputs},
    steps::{action, ends, inset},
};
use crate::{
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, mix},
    widgets,
};

/// Draws it.
pub fn show(ui: &mut Ui, guide: &mut Guide, state: State, cx: &mut Cx<'_>) {
    let known = guide.answer.as_ref().map(|(row, answer)| (*row, answer.clone()));
    if let Some((row, answer)) = known {
        inset(ui, |ui| {
            let theme = Theme::of(ui);
            ends(
                ui,
                |ui| {
                    let what = format!("Row {}", format::count(row + 1));
                    ui.label(RichText::new(what).font(theme::medium(font_size::BODY)).color(theme.text));
                    if let Some(truth) = guide.truth() {
                        widgets::muted(ui, &format!("{TARGET} in the table: {truth}"));
                    }
                },
                |ui| {
                    let took = format!("{} in {}", answer.status, millis(answer.micros));
                    ui.label(RichText::new(took).font(theme::mono(font_size::LABEL)).color(theme.muted));
                },
            );
            let all = outputs(&answer.body);
            if all.is_empty() {
                let text = serde_json::to_string_pretty(&answer.body).unwrap_or_default();
                widgets::code_block(ui, &text);
            }
            let right = all.first().is_some_and(|(class, _)| guide.truth() == Some(class.as_str()));
            for (at, (class, share)) in all.iter().enumerate() {
                bar(ui, class, *share, at == 0, at == 0 && right);
            }
        });
        ui.horizontal_wrapped(|ui| {
            ui.add_enabled_ui(!guide.is_busy(), |ui| {
                let last = guide.n_rows().unwrap_or(569).saturating_sub(1);
                if widgets::secondary(ui, ph::ARROW_RIGHT, "Ask about another row").clicked() {
                    // Steps of a number without a common divisor: all rows come by, and they are far from each other.
                    guide.row = (guide.row + 37) % (last + 1);
                    guide.ask(cx.desk);
                }
                if widgets::quiet(ui, ph::ARROW_CLOCKWISE, "Ask again").clicked() {
                    guide.ask(cx.desk);
                }
            });
        });
        key_ui(ui, guide, cx);
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let (text, icon) = match guide.url() {
            Some(_) => ("Ask about a row", ph::PAPER_PLANE_TILT),
            None => ("Start the endpoint and ask", ph::BROADCAST),
        };
        if action(ui, guide, state, icon, text, "Ask again", cx) {
            guide.ask(cx.desk);
        }
    });
}

/// A key for other programs, shown once, with a command that uses it.
fn key_ui(ui: &mut Ui, guide: &mut Guide, cx: &mut Cx<'_>) {
    let theme = Theme::of(ui);
    let Some(url) = guide.url().map(str::to_owned) else { return };
    let Some(key) = guide.key.as_ref().map(|created| created.key.clone()) else {
        ui.horizontal_wrapped(|ui| {
            ui.add_enabled_ui(!guide.is_busy() && cx.desk.may_change(), |ui| {
                if widgets::quiet(ui, ph::KEY, "Make a key for other programs").clicked() {
                    guide.make_key(cx.desk);
                }
            });
        });
        return;
    };
    let sent = guide.answer.as_ref().map(|(_, answer)| answer.sent.to_string()).unwrap_or_default();
    inset(ui, |ui| {
        ui.label(RichText::new("From any program").font(theme::medium(font_size::BODY)).color(theme.text));
        widgets::tight(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(icons::text(ph::WARNING, 15.0).color(theme.warn));
            widgets::muted(ui, "The key is shown only here and now. Copy it if you want to keep it.");
        });
        widgets::copy_line(ui, "the key", &key);
        let command = format!(
            "curl {url}/v1/models/{MODEL}/predict \\\n  -H 'authorization: Bearer {key}' \\\n  -H 'content-type: application/json' \\\n  -d '{}'",
            sent.replace('\'', "'\\''")
        );
        widgets::code_block(ui, &command);
    });
}

fn millis(micros: u64) -> String {
    if micros < 1_000 { format!("{micros} µs") } else { format!("{:.1} ms", micros as f64 / 1_000.0) }
}

/// A class with its probability.
fn bar(ui: &mut Ui, class: &str, share: f64, first: bool, right: bool) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width().min(520.0), 30.0), Sense::hover());
    let is_share = (0.0..=1.0).contains(&share);
    let fill = if first { theme.soft } else { mix(theme.panel, theme.text, 0.06) };
    ui.painter().rect_filled(rect, theme::radius::CONTROL, mix(theme.panel, theme.text, 0.03));
    if is_share {
        let part = Rect::from_min_size(rect.min, Vec2::new(rect.width() * share as f32, rect.height()));
        ui.painter().rect_filled(part, theme::radius::CONTROL, fill);
    }
    let font = if first { theme::semibold(font_size::BODY) } else { theme::regular(font_size::BODY) };
    let mut left = rect.left() + 12.0;
    if right {
        icons::paint(ui, Pos2::new(left + 8.0, rect.center().y), ph::CHECK_CIRCLE, 16.0, theme.ok);
        left += 24.0;
    }
    ui.painter().text(Pos2::new(left, rect.center().y), Align2::LEFT_CENTER, class, font, theme.text);
    let value = if is_share { format!("{:.1} %", share * 100.0) } else { format::number(share) };
    let at = Pos2::new(rect.right() - 12.0, rect.center().y);
    ui.painter().text(at, Align2::RIGHT_CENTER, &value, theme::mono(font_size::MONO), theme.text);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Label, true, format!("{class} {value}")));
}
