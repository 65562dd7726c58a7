//! What the endpoint said.

use athanor_protocol::{api::TryAnswer, explanation::Explanation, signature::ModelSignature};
use egui::{RichText, Ui};
use serde::Deserialize as _;
use serde_json::Value;

use super::{explanation::explanation_ui, snippets::pretty};
use crate::{
    format,
    theme::{self, Theme, font_size, size},
    toasts::Tone,
    widgets,
};

/// Most probabilities that are drawn.
const MOST_BARS: usize = 20;

/// Draws an answer; true when something was copied.
pub(super) fn answer_ui(ui: &mut Ui, answer: &TryAnswer, signature: &ModelSignature) -> bool {
    let theme = Theme::of(ui);
    let ok = (200..300).contains(&answer.status);
    widgets::tight(ui, |ui| {
        let color = if ok { theme.ok } else { theme.bad };
        widgets::small_pill(ui, color, &format!("HTTP {}", answer.status));
        let took = if answer.micros >= 1000 {
            format!("{} ms", format::number((answer.micros as f64 / 100.0).round() / 10.0))
        } else {
            format!("{} µs", answer.micros)
        };
        widgets::muted(ui, &format!("answered in {took}"));
    });
    if ok {
        prediction_ui(ui, theme, &answer.body, signature);
        let explanation = answer.body.get("explanations").and_then(|list| list.get(0));
        if let Some(explanation) = explanation.and_then(|one| Explanation::deserialize(one).ok()) {
            explanation_ui(ui, &explanation, signature);
        }
    } else {
        let text = |key: &str| answer.body.get(key).and_then(Value::as_str);
        let mut what = widgets::sentence(text("error").unwrap_or("the endpoint refused the request"));
        if let Some(hint) = text("hint") {
            what = format!("{what} {}", widgets::sentence(hint));
        }
        widgets::note(ui, Tone::Bad, &what);
    }
    let mut copied = false;
    widgets::fold(ui, "raw-answer", "Raw answer", false, |ui| {
        copied |= widgets::code_block(ui, &pretty(&answer.body));
    });
    widgets::fold(ui, "raw-request", "Raw request", false, |ui| {
        copied |= widgets::code_block(ui, &pretty(&answer.sent));
    });
    copied
}

fn prediction_ui(ui: &mut Ui, theme: &Theme, body: &Value, signature: &ModelSignature) {
    let Some(prediction) = body.get("predictions").and_then(|list| list.get(0)) else {
        widgets::muted(ui, "The answer holds no prediction.");
        return;
    };
    let shown = match (prediction.get("label").and_then(Value::as_str), prediction.get("value").and_then(Value::as_f64))
    {
        (Some(label), _) => label.to_owned(),
        (None, Some(value)) => format::number(value),
        (None, None) => prediction.to_string(),
    };
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        widgets::label(ui, &format!("Predicted {}", signature.target));
        let text = RichText::new(&shown).font(theme::semibold(font_size::FIGURE)).color(theme.text);
        ui.add(egui::Label::new(text).wrap().selectable(true));
    });
    let Some(probabilities) = prediction.get("probabilities").and_then(Value::as_object) else { return };
    ui.add_space(size::TINY_GAP);
    // In the order of the model's classes; the most likely ones where there are many.
    let mut list: Vec<(&str, f64)> = signature
        .classes
        .iter()
        .filter_map(|class| Some((class.as_str(), probabilities.get(class)?.as_f64()?)))
        .collect();
    let n_left_out = list.len().saturating_sub(MOST_BARS);
    if n_left_out > 0 {
        list.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        list.truncate(MOST_BARS);
    }
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        for (class, probability) in list {
            let color = if class == shown { theme.accent } else { theme.info };
            widgets::share_bar(ui, class, probability, &format!("{:.1} %", probability * 100.0), color);
        }
    });
    if n_left_out > 0 {
        widgets::muted(ui, &format!("and {} less likely ones", format::count(n_left_out as u64)));
    }
}
