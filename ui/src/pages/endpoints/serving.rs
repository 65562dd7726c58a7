//! Where the endpoint answers and how it is protected.

use athanor_protocol::api::{EndpointStart, EndpointStatus, Settings, TlsStatus};
use egui::{RichText, Ui};

use super::{EndpointsPage, Turn, rollouts::Rollouts};
use crate::{
    format,
    icons::ph,
    pages::{Cx, Go, Route, models::task_title},
    theme::size,
    toasts::Tone,
    widgets::{self, Col},
};

const DAY: i64 = 86_400_000;
/// Days before a certificate's end from which on that is said.
const SOON_DAYS: i64 = 30;

/// The height of an address to be copied.
const ADDRESS: f32 = 36.0;

/// The endpoint as the settings have it.
pub(super) fn start(settings: &Settings) -> EndpointStart {
    EndpointStart { port: settings.endpoint_port, options: settings.endpoint_options.clone() }
}

impl EndpointsPage {
    pub(super) fn status_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(status) = self.status.value() else { return };
        let theme = cx.theme;
        let mut go = None;
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            widgets::tight(ui, |ui| {
                widgets::heading(ui, "Endpoint of this machine", "");
                match (&self.turn, &status.url) {
                    (Some(Turn::Start(_)), _) => widgets::loading(ui, "Starting"),
                    (Some(Turn::Stop(_)), _) => widgets::loading(ui, "Stopping"),
                    (None, Some(_)) => {
                        widgets::small_pill(ui, theme.ok, "running");
                        if let Some(since) = status.since_millis {
                            let text = format!(
                                "since {} UTC, {}",
                                format::clock(since),
                                format::ago(since, cx.desk.now_millis())
                            );
                            widgets::muted(ui, &text);
                        }
                    }
                    (None, None) => {
                        widgets::small_pill(ui, theme.muted, "stopped");
                    }
                }
            });
            if let Some(problem) = &status.problem {
                widgets::note(ui, Tone::Bad, &format!("it stopped by itself: {problem}"));
            }
            match &status.url {
                Some(url) => {
                    addresses_ui(ui, cx, status, url);
                    security_ui(ui, cx, status);
                }
                None => {
                    let port = cx.desk.settings().endpoint_port;
                    let place = if port == 0 { "on a free port".to_owned() } else { format!("on port {port}") };
                    let text = format!(
                        "Started, it answers programs on this machine {place} with the versions that are in production."
                    );
                    widgets::muted(ui, &text);
                    self.options.ui(ui, cx);
                }
            }
            go = models_ui(ui, cx, status, &self.rollouts);
        });
        cx.go.extend(go);
    }
}

/// A name in a column of its own, and an address to be copied.
fn address_ui(ui: &mut Ui, cx: &mut Cx<'_>, name: &str, what: &str, address: &str) {
    ui.horizontal(|ui| {
        let width = size::FORM.min(ui.available_width());
        let (rect, _) = ui.allocate_exact_size(egui::vec2(44.0, ADDRESS), egui::Sense::hover());
        let middle = egui::Layout::left_to_right(egui::Align::Center);
        ui.scope_builder(egui::UiBuilder::new().max_rect(rect).layout(middle), |ui| widgets::muted(ui, name));
        ui.scope(|ui| {
            ui.set_max_width((width - 56.0).max(120.0));
            if widgets::copy_line(ui, what, address) {
                cx.toasts.ok(format!("Copied {what}"));
            }
        });
    });
}

fn addresses_ui(ui: &mut Ui, cx: &mut Cx<'_>, status: &EndpointStatus, url: &str) {
    address_ui(ui, cx, "HTTP", "the address", url);
    if let Some(grpc) = &status.grpc {
        address_ui(ui, cx, "gRPC", "the address for gRPC", grpc);
    }
}

/// What a certificate is and until when.
fn certificate_words(tls: &TlsStatus, now: i64) -> (Tone, String) {
    let whose = if tls.generated { "with a certificate of this workspace's making" } else { "with your certificate" };
    match tls.expires_at_millis {
        None => (Tone::Info, whose.to_owned()),
        Some(at) if at <= now => (Tone::Bad, format!("{whose}, which ended on {}", format::date(at))),
        Some(at) if at - now < SOON_DAYS * DAY => {
            let days = format::plural(((at - now) / DAY).unsigned_abs(), "day");
            (Tone::Warn, format!("{whose}, valid until {}: {days} are left", format::date(at)))
        }
        Some(at) => (Tone::Ok, format!("{whose}, valid until {}", format::date(at))),
    }
}

/// How the connection is protected, and who may come in besides keys.
fn security_ui(ui: &mut Ui, cx: &mut Cx<'_>, status: &EndpointStatus) {
    widgets::tight_wrapped(ui, |ui| match &status.tls {
        Some(tls) => {
            let (tone, words) = certificate_words(tls, cx.desk.now_millis());
            widgets::small_pill(ui, tone.color(cx.theme), "TLS");
            widgets::muted(ui, &words);
            let copy = widgets::small_icon(ui, ph::COPY, "Copy the certificate's path");
            let help = "Clients that are to trust it need this file; it holds no secret";
            if copy.on_hover_text(format!("{}\n{help}", tls.certificate)).clicked() {
                ui.ctx().copy_text(tls.certificate.clone());
                cx.toasts.ok("Copied the certificate's path");
            }
        }
        None => {
            widgets::small_pill(ui, cx.theme.muted, "no TLS");
            widgets::muted(ui, "only programs on this machine can reach it");
        }
    });
    if let Some(tls) = status.tls.as_ref().filter(|tls| tls.client_certificates) {
        widgets::tight_wrapped(ui, |ui| {
            widgets::small_pill(ui, cx.theme.ok, "mTLS");
            let words = if tls.client_is_key {
                "clients must have a certificate, which stands for a key that may predict"
            } else {
                "clients must have a certificate and a key"
            };
            widgets::muted(ui, words);
        });
    }
    if let Some(issuer) = &status.token_issuer {
        widgets::tight_wrapped(ui, |ui| {
            widgets::small_pill(ui, cx.theme.ok, "JWT");
            widgets::muted(ui, &format!("tokens of {issuer} are taken in the place of keys"));
        });
    }
}

/// What is served; a click leads to the model.
fn models_ui(ui: &mut Ui, cx: &Cx<'_>, status: &EndpointStatus, rollouts: &Rollouts) -> Option<Go> {
    let mut go = None;
    if status.models.is_empty() {
        widgets::note(ui, Tone::Info, "nothing is in production: promote a version of a model first");
        if widgets::link(ui, "Open Models").clicked() {
            go = Some(Go::To(Route::Models));
        }
        return go;
    }
    let title = if status.url.is_some() { "Serves" } else { "Would serve" };
    let columns = [Col::wide(title), Col::fixed("Version", 110.0), Col::wide("Predicts"), Col::number("Takes", 90.0)];
    widgets::lines_header(ui, &columns);
    for served in &status.models {
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => {
                if widgets::link(ui, &served.model).on_hover_text("Show this model").clicked() {
                    go = Some(Go::Model(served.model.clone()));
                }
            }
            1 => {
                ui.label(RichText::new(served.version.to_string()).monospace().color(cx.theme.text));
                if let Some(rollout) = rollouts.running(&served.model) {
                    let text = format!("{} at {} %", rollout.spec.candidate, rollout.percent());
                    widgets::small_pill(ui, cx.theme.accent, &text)
                        .on_hover_text(format!("Version {} is being rolled out", rollout.spec.candidate));
                }
            }
            2 => widgets::cell_text(ui, &task_title(&served.signature)),
            _ => {
                widgets::muted(ui, &format::plural(served.signature.inputs.len() as u64, "column"));
            }
        });
    }
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_said_before_it_is_too_late() {
        let now = 1_000 * DAY;
        let tls = |days: i64| TlsStatus { expires_at_millis: Some(now + days * DAY), ..TlsStatus::default() };
        for (days, expect) in [(397, Tone::Ok), (31, Tone::Ok), (29, Tone::Warn), (0, Tone::Bad), (-5, Tone::Bad)] {
            assert_eq!(certificate_words(&tls(days), now).0, expect, "{days}");
        }
        assert_eq!(certificate_words(&TlsStatus::default(), now).0, Tone::Info);
        let (_, words) = certificate_words(&TlsStatus { generated: true, ..tls(10) }, now);
        assert!(
            words.starts_with("with a certificate of this workspace's making") && words.ends_with("10 days are left")
        );
    }
}
