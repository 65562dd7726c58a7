//! API keys: listed without their secrets, made, shown once, changed, given another secret, revoked.

mod form;

use athanor_protocol::{
    api::{KeyEntry, KeyList, KeyRevoke},
    registry::{ApiKeyInfo, KeyLimits, Scope},
};
use egui::{RichText, Ui};

use self::form::{Changing, Done, Making, Rotating};

use crate::{
    desk::Ticket,
    format,
    icons::ph,
    pages::{Cx, paged::Paged},
    theme::{self, Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Col, Confirm, Kind},
};

/// A secret to be shown once.
struct Secret {
    name: String,
    key: String,
    /// Until when the one before is valid, where there was one.
    old_until: Option<i64>,
}

/// The keys.
#[derive(Default)]
pub(super) struct Keys {
    list: Paged<KeyList>,
    making: Option<Making>,
    changing: Option<Changing>,
    rotating: Option<Rotating>,
    /// A secret that was made just now: it is shown until the user has kept it, and never again.
    made: Option<Secret>,
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

/// What is to be done with a key.
enum Act {
    Change(KeyEntry),
    Rotate(KeyEntry),
    Revoke(KeyEntry),
}

/// The cells of a key's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Name,
    Scopes,
    Created,
    Limits,
    Used,
    Expires,
    State,
    Buttons,
}

impl Cell {
    const ALL: [Self; 8] =
        [Self::Name, Self::Scopes, Self::Created, Self::Limits, Self::Used, Self::Expires, Self::State, Self::Buttons];
    const NARROW: [Self; 6] = [Self::Name, Self::Scopes, Self::Limits, Self::Expires, Self::State, Self::Buttons];
}

/// A failure with its hint, in a line.
fn said(failure: &athanor_protocol::Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{}: {hint}", failure.message),
        None => failure.message.clone(),
    }
}

/// Limits, each in a few words.
fn limits_words(limits: &KeyLimits) -> Vec<String> {
    let parts = [
        limits.requests_per_second.map(|n| format!("{} requests/s", format::number(n))),
        limits.rows_per_second.map(|n| format!("{} rows/s", format::number(n))),
        limits.requests_per_day.map(|n| format!("{} requests/day", format::count(n))),
        limits.rows_per_day.map(|n| format!("{} rows/day", format::count(n))),
    ];
    parts.into_iter().flatten().collect()
}

/// A line of a cell that has two.
fn small(ui: &mut Ui, text: &str) -> egui::Response {
    let color = Theme::of(ui).muted;
    ui.add(egui::Label::new(RichText::new(text).size(font_size::LABEL).color(color)).truncate())
}

fn limits_ui(ui: &mut Ui, key: &KeyEntry) {
    let details = &key.details;
    let words = limits_words(&details.limits);
    if words.is_empty() && details.n_requests_today == 0 {
        widgets::muted(ui, "no limit");
        return;
    }
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.add_space(4.0);
        if words.is_empty() {
            widgets::muted(ui, "no limit");
        } else {
            ui.add(egui::Label::new(RichText::new(words.join(", ")).color(Theme::of(ui).text)).truncate())
                .on_hover_text(words.join("\n"));
        }
        let of = |n: u64, quota: Option<u64>| match quota {
            Some(quota) => format!("{} of {}", format::count(n), format::count(quota)),
            None => format::count(n),
        };
        let limits = &details.limits;
        let requests = format!("{} requests", of(details.n_requests_today, limits.requests_per_day));
        let rows = format!("{} rows", of(details.n_rows_today, limits.rows_per_day));
        small(ui, &format!("today {requests}")).on_hover_text(format!("Today, by UTC: {requests}, {rows}"));
    });
}

fn cell_ui(ui: &mut Ui, cx: &Cx<'_>, cell: Cell, key: &KeyEntry, now: i64, state: (&str, egui::Color32)) {
    let info = &key.info;
    match cell {
        Cell::Name => {
            let ink = if state.0 == "active" { cx.theme.text } else { cx.theme.muted };
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 1.0;
                ui.add_space(4.0);
                ui.add(egui::Label::new(RichText::new(&info.name).color(ink)).truncate().selectable(true));
                let id = RichText::new(&info.id).font(theme::mono(font_size::LABEL)).color(cx.theme.muted);
                let used = info
                    .last_used_at_millis
                    .map_or("never used".to_owned(), |at| format!("last used {}", format::ago(at, now)));
                ui.add(egui::Label::new(id).truncate().selectable(true))
                    .on_hover_text(format!("The key's public part; {used}"));
            });
        }
        Cell::Scopes => info.scopes.iter().for_each(|scope| {
            widgets::tag(ui, scope_title(*scope));
        }),
        Cell::Created => {
            widgets::muted(ui, &format::ago(info.created_at_millis, now))
                .on_hover_text(format::date(info.created_at_millis));
        }
        Cell::Limits => limits_ui(ui, key),
        Cell::Used => {
            widgets::muted(ui, &info.last_used_at_millis.map_or("never".to_owned(), |at| format::ago(at, now)));
        }
        Cell::Expires => {
            widgets::muted(ui, &info.expires_at_millis.map_or_else(|| "never".to_owned(), format::date));
        }
        Cell::State => {
            widgets::small_pill(ui, state.1, state.0);
            if let Some(until) = key.details.old_valid_until_millis.filter(|until| *until > now && state.0 == "active")
            {
                let text = format!(
                    "The secret before the last change is valid too, until {} {} UTC",
                    format::date(until),
                    format::clock(until)
                );
                widgets::small_icon(ui, ph::KEY, "Two secrets are valid").on_hover_text(text);
            }
        }
        Cell::Buttons => {}
    }
}

fn buttons_ui(ui: &mut Ui, key: &KeyEntry, word: &str) -> Option<Act> {
    let name = &key.info.name;
    let mut act = None;
    if word == "active" && widgets::icon_button(ui, ph::PROHIBIT, &format!("Revoke {name}")).clicked() {
        act = Some(Act::Revoke(key.clone()));
    }
    if word == "active" && widgets::icon_button(ui, ph::ARROWS_CLOCKWISE, &format!("New secret for {name}")).clicked() {
        act = Some(Act::Rotate(key.clone()));
    }
    if word != "revoked" && widgets::icon_button(ui, ph::PENCIL_SIMPLE, &format!("Change {name}")).clicked() {
        act = Some(Act::Change(key.clone()));
    }
    act
}

impl Keys {
    pub(super) fn invalidate(&mut self) {
        self.list.invalidate();
    }

    pub(super) fn ask_new(&mut self) {
        self.making = Some(Making::new());
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
                    let secret = Secret { name: made.info.name, key: made.key, old_until: None };
                    (self.made, self.making, self.copied) = (Some(secret), None, false);
                    self.list.invalidate();
                }
                Err(failure) => making.trouble = Some(said(&failure)),
            }
        }
        self.take_rotated(cx);
        self.take_changed(cx);
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

    fn take_rotated(&mut self, cx: &mut Cx<'_>) {
        if let Some(rotating) = &mut self.rotating
            && let Some(ticket) = rotating.sent
            && let Some(result) = cx.desk.take(ticket)
        {
            rotating.sent = None;
            match result {
                Ok(rotated) => {
                    let name = rotating.key.info.name.clone();
                    let old_until = Some(rotated.old_valid_until_millis);
                    let secret = Secret { name, key: rotated.key, old_until };
                    (self.made, self.rotating, self.copied) = (Some(secret), None, false);
                    self.list.invalidate();
                }
                Err(failure) => rotating.trouble = Some(said(&failure)),
            }
        }
    }

    fn take_changed(&mut self, cx: &mut Cx<'_>) {
        if let Some(changing) = &mut self.changing
            && let Some((ticket, ask)) = &changing.sent
            && let Some(result) = cx.desk.take(*ticket)
        {
            match result {
                Ok(_) => {
                    let label = format!("Changed the key {}", changing.key.info.name);
                    match changing.back(cx.desk.now_millis()) {
                        Some(back) => {
                            cx.undo.push(label.clone(), vec![back.into()], vec![ask.clone().into()]);
                            cx.toasts.undoable(label);
                        }
                        None => cx.toasts.ok(label),
                    }
                    self.changing = None;
                    self.list.invalidate();
                }
                Err(failure) => {
                    changing.sent = None;
                    changing.trouble = Some(said(&failure));
                }
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
        let wide = ui.available_width() > 940.0;
        let mut columns = vec![Col::fixed("Name", 150.0), Col::fixed("Scopes", 124.0)];
        if wide {
            columns.push(Col::fixed("Created", 88.0));
        }
        columns.push(Col::wide("At most, and today"));
        if wide {
            columns.push(Col::fixed("Last used", 88.0));
        }
        columns.extend([
            Col::fixed("Expires", 84.0),
            Col::fixed("State", 84.0),
            Col { title: "", width: Some(98.0), right: true },
        ]);
        widgets::lines_header(ui, &columns);
        let mut act = None;
        for key in self.list.items() {
            let (word, color) = state(cx.theme, &key.info, now);
            let cells: &[Cell] = if wide { &Cell::ALL } else { &Cell::NARROW };
            widgets::line_row(ui, &columns, 42.0, |ui, at| match cells.get(at) {
                None => {}
                Some(Cell::Buttons) => {
                    if cx.desk.may_change() {
                        act = act.take().or(buttons_ui(ui, key, word));
                    }
                }
                Some(cell) => cell_ui(ui, cx, *cell, key, now, (word, color)),
            });
        }
        if self.list.has_more() && widgets::link(ui, "Show more keys").clicked() {
            self.list.more(cx.desk);
        }
        match act {
            Some(Act::Change(key)) => self.changing = Some(Changing::new(&key)),
            Some(Act::Rotate(key)) => self.rotating = Some(Rotating::new(&key)),
            Some(Act::Revoke(key)) => self.revoking.ask((key.info.id, key.info.name), ""),
            None => {}
        }
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let text = "Clients that use this key are refused from then on. This cannot be undone.";
        if let Some((id, name)) = self.revoking.ui(ui, "Revoke this key?", text, "Revoke") {
            self.revoked.push((cx.desk.ask(KeyRevoke { id }), name));
        }
        self.secret_ui(ui, cx);
        if let Some(mut making) = self.making.take() {
            match making.ui(ui, cx) {
                Done::Closed => {}
                Done::Open => self.making = Some(making),
                Done::Send(ask) => {
                    (making.trouble, making.sent) = (None, Some(cx.desk.ask(ask)));
                    self.making = Some(making);
                }
            }
        }
        if let Some(mut changing) = self.changing.take() {
            match changing.ui(ui, cx) {
                Done::Closed => {}
                Done::Open => self.changing = Some(changing),
                Done::Send(ask) => {
                    (changing.trouble, changing.sent) = (None, Some((cx.desk.ask(ask.clone()), ask)));
                    self.changing = Some(changing);
                }
            }
        }
        if let Some(mut rotating) = self.rotating.take() {
            match rotating.ui(ui, cx.desk.now_millis()) {
                Done::Closed => {}
                Done::Open => self.rotating = Some(rotating),
                Done::Send(ask) => {
                    (rotating.trouble, rotating.sent) = (None, Some(cx.desk.ask(ask)));
                    self.rotating = Some(rotating);
                }
            }
        }
    }

    /// A secret that was made just now.
    fn secret_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let Some(made) = &self.made else { return };
        let mut kept = false;
        // Neither Escape nor a click beside it closes this: the secret would be gone.
        widgets::dialog_parts(ui, "key-made", "Keep this key now", 460.0, |parts| {
            parts.body(|ui| {
                widgets::note(ui, Tone::Warn, "this is the only time that the key is shown; nobody can read it later");
                ui.add_space(size::SMALL_GAP);
                widgets::label(ui, &made.name);
                if widgets::copy_line(ui, "the key", &made.key) {
                    self.copied = true;
                    cx.toasts.ok("Copied the key");
                }
                if let Some(until) = made.old_until {
                    ui.add_space(size::TINY_GAP);
                    let text = if until <= cx.desk.now_millis() {
                        "The old secret is not valid any more.".to_owned()
                    } else {
                        let (day, time) = (format::date(until), format::clock(until));
                        format!("The old secret is valid until {day} {time} UTC.")
                    };
                    widgets::muted(ui, &text);
                }
            });
            parts.footer(|ui| {
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
        });
        if kept {
            self.made = None;
        }
    }
}
