//! API keys: listed without their secrets, made, shown once, revoked.

use athanor_protocol::{
    api::{KeyCreate, KeyCreated, KeyList, KeyRevoke},
    names::check_text,
    registry::{ApiKeyInfo, Scope},
};
use egui::{RichText, Ui};

use crate::{
    desk::Ticket,
    format,
    icons::ph,
    pages::{Cx, paged::Paged},
    theme::{self, Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Col, Confirm, DialogAsk, Kind},
};

const DAY: i64 = 86_400_000;

/// When a new key ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ends {
    Never,
    Month,
    #[default]
    Quarter,
    Year,
}

impl Ends {
    const ALL: [(Ends, &'static str); 4] =
        [(Ends::Never, "Never"), (Ends::Month, "30 days"), (Ends::Quarter, "90 days"), (Ends::Year, "1 year")];

    fn at(self, now_millis: i64) -> Option<i64> {
        let days = match self {
            Self::Never => return None,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        };
        Some(now_millis + days * DAY)
    }
}

/// The form of a new key.
struct Making {
    name: String,
    predict: bool,
    admin: bool,
    ends: Ends,
    sent: Option<Ticket<KeyCreate>>,
    trouble: Option<String>,
}

/// The keys.
#[derive(Default)]
pub(super) struct Keys {
    list: Paged<KeyList>,
    making: Option<Making>,
    /// The key that was made just now: its secret is shown until the user has kept it, and never again.
    made: Option<KeyCreated>,
    copied: bool,
    revoking: Confirm<(String, String)>,
    revoked: Vec<(Ticket<KeyRevoke>, String)>,
}

/// How a key is now.
fn state(theme: &Theme, key: &ApiKeyInfo, now: i64) -> (&'static str, egui::Color32) {
    if key.revoked_at_millis.is_some() {
        ("revoked", theme.muted)
    } else if key.expires_at_millis.is_some_and(|at| at <= now) {
        ("expired", theme.warn)
    } else {
        ("active", theme.ok)
    }
}

fn scope_title(scope: Scope) -> &'static str {
    match scope {
        Scope::Predict => "predict",
        Scope::Read => "read",
        Scope::Admin => "admin",
    }
}

impl Keys {
    pub(super) fn invalidate(&mut self) {
        self.list.invalidate();
    }

    pub(super) fn ask_new(&mut self) {
        self.making = Some(Making {
            name: String::new(),
            predict: true,
            admin: false,
            ends: Ends::default(),
            sent: None,
            trouble: None,
        });
    }

    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some(making) = &mut self.making
            && let Some(ticket) = making.sent
            && let Some(result) = cx.desk.take(ticket)
        {
            making.sent = None;
            match result {
                Ok(made) => {
                    (self.made, self.making, self.copied) = (Some(made), None, false);
                    self.list.invalidate();
                }
                Err(failure) => making.trouble = Some(failure.message),
            }
        }
        let revoked = std::mem::take(&mut self.revoked);
        for (ticket, name) in revoked {
            match cx.desk.take(ticket) {
                None => self.revoked.push((ticket, name)),
                Some(Ok(_)) => {
                    cx.toasts.ok(format!("Revoked the key {name}"));
                    self.list.invalidate();
                }
                Some(Err(failure)) => cx.toasts.failure(&failure),
            }
        }
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.list.keep(cx.desk, &KeyList::default());
        ui.horizontal(|ui| {
            let n = self.list.items().len() as u64;
            let fact = if self.list.is_loaded() { format::plural(n, "key") } else { String::new() };
            widgets::heading(ui, "API keys", &fact);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.add_enabled_ui(cx.desk.may_change(), |ui| {
                    if widgets::secondary(ui, ph::PLUS, "New key").clicked() {
                        self.ask_new();
                    }
                });
            });
        });
        if let Some(failure) = self.list.error() {
            if widgets::failure(ui, failure) {
                self.list.invalidate();
            }
        } else if !self.list.is_loaded() {
            if self.list.slow(cx.desk) {
                widgets::loading(ui, "Loading keys");
            }
        } else if self.list.items().is_empty() {
            widgets::muted(
                ui,
                "Every request to the endpoint carries a key. Make one for each client, so that one can be revoked alone.",
            );
        } else {
            self.table_ui(ui, cx);
        }
    }

    fn table_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let now = cx.desk.now_millis();
        let wide = ui.available_width() > 700.0;
        let mut columns = vec![Col::wide("Name"), Col::fixed("Scopes", 130.0)];
        if wide {
            columns.push(Col::fixed("Created", 92.0));
        }
        columns.extend([
            Col::fixed("Last used", 92.0),
            Col::fixed("Expires", 92.0),
            Col::fixed("State", 78.0),
            Col { title: "", width: Some(30.0), right: true },
        ]);
        widgets::lines_header(ui, &columns);
        let mut revoke = None;
        for key in self.list.items() {
            let (word, color) = state(cx.theme, key, now);
            let over = word != "active";
            widgets::line_row(ui, &columns, 38.0, |ui, at| match (if at >= 2 && !wide { at + 1 } else { at }, over) {
                (0, _) => {
                    let ink = if over { cx.theme.muted } else { cx.theme.text };
                    ui.add(egui::Label::new(RichText::new(&key.name).color(ink)).truncate().selectable(true));
                    let id = RichText::new(&key.id).font(theme::mono(font_size::LABEL)).color(cx.theme.muted);
                    ui.add(egui::Label::new(id).truncate().selectable(true)).on_hover_text("The key's public part");
                }
                (1, _) => key.scopes.iter().for_each(|scope| {
                    widgets::tag(ui, scope_title(*scope));
                }),
                (2, _) => {
                    widgets::muted(ui, &format::ago(key.created_at_millis, now))
                        .on_hover_text(format::date(key.created_at_millis));
                }
                (3, _) => match key.last_used_at_millis {
                    Some(at) => {
                        widgets::muted(ui, &format::ago(at, now));
                    }
                    None => {
                        widgets::muted(ui, "never");
                    }
                },
                (4, _) => {
                    widgets::muted(ui, &key.expires_at_millis.map_or_else(|| "never".to_owned(), format::date));
                }
                (5, _) => {
                    widgets::small_pill(ui, color, word);
                }
                (_, false) if cx.desk.may_change() => {
                    if widgets::icon_button(ui, ph::PROHIBIT, &format!("Revoke {}", key.name)).clicked() {
                        revoke = Some((key.id.clone(), key.name.clone()));
                    }
                }
                _ => {}
            });
        }
        if self.list.has_more() && widgets::link(ui, "Show more keys").clicked() {
            self.list.more(cx.desk);
        }
        if let Some(key) = revoke {
            self.revoking.ask(key, "");
        }
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let text = "Clients that use this key are refused from then on. This cannot be undone.";
        if let Some((id, name)) = self.revoking.ui(ui, "Revoke this key?", text, "Revoke") {
            self.revoked.push((cx.desk.ask(KeyRevoke { id }), name));
        }
        if let Some(made) = &self.made {
            let mut kept = false;
            // Neither Escape nor a click beside it closes this: the secret would be gone.
            widgets::dialog(ui, "key-made", "Keep this key now", 460.0, |ui| {
                widgets::note(ui, Tone::Warn, "this is the only time that the key is shown; nobody can read it later");
                ui.add_space(size::SMALL_GAP);
                widgets::label(ui, &made.info.name);
                if widgets::copy_line(ui, "the key", &made.key) {
                    self.copied = true;
                    cx.toasts.ok("Copied the key");
                }
                ui.add_space(size::GAP);
                ui.horizontal(|ui| {
                    let (kind, word) = if self.copied { (Kind::Secondary, "Copied") } else { (Kind::Primary, "Copy") };
                    if widgets::button(ui, kind, Some(if self.copied { ph::CHECK } else { ph::COPY }), word).clicked() {
                        ui.ctx().copy_text(made.key.clone());
                        self.copied = true;
                    }
                    let kind = if self.copied { Kind::Primary } else { Kind::Secondary };
                    kept = widgets::button(ui, kind, None, "I have kept it").clicked();
                });
            });
            if kept {
                self.made = None;
            }
        }
        if let Some(mut making) = self.making.take()
            && making.ui(ui, cx)
        {
            self.making = Some(making);
        }
    }
}

impl Making {
    /// Draws the form; false once it is to be closed.
    fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) -> bool {
        let mut answer = None;
        let (_, ask) = widgets::dialog(ui, "key-new", "New API key", 420.0, |ui| {
            let trouble = check_text("key name", &self.name, 128).err().map(|err| err.to_string());
            let trouble = trouble.or_else(|| self.trouble.clone());
            let field = widgets::field(ui, "Name", "", trouble.as_deref(), |ui| {
                widgets::line_edit(ui, "Name", &mut self.name, "ward 4 tablet", false)
            });
            widgets::focus_first(&field);
            ui.add_space(size::SMALL_GAP);
            widgets::label(ui, "May");
            widgets::check_text(ui, &mut self.predict, "Ask for predictions");
            widgets::check_text(ui, &mut self.admin, "Change what is served and everything else in this workspace");
            ui.add_space(size::SMALL_GAP);
            widgets::label(ui, "Ends by itself after");
            widgets::segments(ui, &mut self.ends, &Ends::ALL);
            ui.add_space(size::GAP);
            ui.horizontal(|ui| {
                let may = !self.name.trim().is_empty() && (self.predict || self.admin) && self.sent.is_none();
                ui.add_enabled_ui(may, |ui| {
                    let enter = widgets::enter_pressed(ui) && may;
                    if widgets::button(ui, Kind::Primary, None, "Make key").clicked() || enter {
                        answer = Some(true);
                    }
                });
                if widgets::button(ui, Kind::Secondary, None, "Cancel").clicked() {
                    answer = Some(false);
                }
            });
        });
        match (answer, ask) {
            (Some(true), _) => {
                let scopes = [(self.predict, Scope::Predict), (self.admin, Scope::Admin)];
                let scopes = scopes.into_iter().filter(|(on, _)| *on).map(|(_, scope)| scope).collect();
                let expires_at_millis = self.ends.at(cx.desk.now_millis());
                self.trouble = None;
                self.sent =
                    Some(cx.desk.ask(KeyCreate { name: self.name.trim().to_owned(), scopes, expires_at_millis }));
                true
            }
            (Some(false), _) => false,
            // A key that is being made must be shown.
            (None, DialogAsk::Close) => self.sent.is_some(),
            (None, DialogAsk::Nothing) => true,
        }
    }
}
