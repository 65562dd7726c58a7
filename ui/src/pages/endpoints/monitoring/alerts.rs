//! Alerts: what they say, whether somebody has seen them, and the way to a new version.

use athanor_protocol::{
    api::{AlertAcknowledge, AlertList},
    monitor::{Alert, AlertKind},
};
use egui::{RichText, Ui};

use super::retrain::Retraining;
use crate::{
    desk::Ticket,
    format, icons,
    pages::{Cx, paged::Paged},
    theme::{Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Kind},
};

/// Acts on alerts that are under way.
#[derive(Default)]
pub(super) struct Acts {
    seen: Vec<(Ticket<AlertAcknowledge>, u64)>,
    pub(super) retraining: Retraining,
}

/// What an alert is about, in words.
const fn kind_title(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::DataDrift => "data drift",
        AlertKind::PredictionDrift => "prediction drift",
        AlertKind::DataQuality => "data quality",
        AlertKind::ModelQuality => "model quality",
    }
}

/// How loud an alert is, and its state in words.
fn state(alert: &Alert, now: i64) -> (Tone, String) {
    match (alert.resolved_at_millis, alert.acknowledged_at_millis) {
        (Some(at), _) => (Tone::Ok, format!("went away {}", format::ago(at, now))),
        (None, Some(at)) => {
            let by = alert.acknowledged_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            (Tone::Warn, format!("seen{by} {}", format::ago(at, now)))
        }
        (None, None) => (Tone::Bad, "open".to_owned()),
    }
}

impl Acts {
    /// Takes in what has come; true when the lists may be old now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        self.retraining.take(cx);
        let mut changed = false;
        let seen = std::mem::take(&mut self.seen);
        for (ticket, id) in seen {
            match cx.desk.take(ticket) {
                None => self.seen.push((ticket, id)),
                Some(Ok(_)) => {
                    changed = true;
                    cx.toasts.ok("Noted that you have seen the alert");
                }
                Some(Err(failure)) => {
                    changed = true;
                    cx.toasts.failure(&failure);
                }
            }
        }
        changed
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, list: &mut Paged<AlertList>) {
        for alert in list.items() {
            self.alert_ui(ui, cx, alert);
            widgets::rule(ui);
        }
        if list.has_more() && widgets::link(ui, "Show older alerts").clicked() {
            list.more(cx.desk);
        }
    }

    fn alert_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, alert: &Alert) {
        let theme = Theme::of(ui);
        let now = cx.desk.now_millis();
        let (tone, word) = state(alert, now);
        ui.horizontal_top(|ui| {
            ui.label(icons::text(tone.icon(), size::ICON + 2.0).color(tone.color(theme)));
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = size::TINY_GAP;
                let text = RichText::new(widgets::sentence(&alert.message)).color(theme.text);
                ui.add(egui::Label::new(text).wrap().selectable(true));
                let column = if alert.column.is_empty() { String::new() } else { format!(" of {}", alert.column) };
                let fact = format!(
                    "{}{column}, version {}, raised {}, {word}",
                    kind_title(alert.kind),
                    alert.model_version,
                    format::ago(alert.raised_at_millis, now)
                );
                ui.label(RichText::new(fact).size(font_size::LABEL + 0.5).color(theme.muted));
                if alert.resolved_at_millis.is_none() {
                    self.buttons_ui(ui, cx, alert);
                }
                self.retraining.state_ui(ui, cx, alert.id);
            });
        });
    }

    fn buttons_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, alert: &Alert) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let under_way = self.seen.iter().any(|(_, id)| *id == alert.id);
            if alert.acknowledged_at_millis.is_none() {
                ui.add_enabled_ui(cx.desk.may_change() && !under_way, |ui| {
                    let button = widgets::small_button(ui, Kind::Secondary, "I have seen it");
                    if button.on_hover_text("It stays open until the next reports are well").clicked() {
                        self.seen.push((cx.desk.ask(AlertAcknowledge { id: alert.id }), alert.id));
                    }
                });
            }
            self.retraining.buttons_ui(ui, cx, alert);
        });
    }
}
