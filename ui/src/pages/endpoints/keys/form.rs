//! The forms of keys: what one may do and ask for, until when, and how long its old secret stays valid.

use athanor_protocol::{
    api::{KeyChange, KeyCreate, KeyEntry, KeyRotate},
    names::check_text,
    registry::{KeyLimits, Scope},
};
use egui::Ui;

use crate::{
    desk::Ticket,
    format,
    pages::Cx,
    theme::size,
    toasts::Tone,
    widgets::{self, DialogAsk, Kind},
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const WIDTH: f32 = 460.0;

/// When a key ends by itself, counted from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ends {
    /// Nothing changes.
    Stays,
    Never,
    Month,
    #[default]
    Quarter,
    Year,
}

impl Ends {
    /// What can be said of a key that is there; of a new one all but the first.
    const ALL: [(Ends, &'static str); 5] = [
        (Ends::Stays, "As it is"),
        (Ends::Never, "Never"),
        (Ends::Month, "30 days"),
        (Ends::Quarter, "90 days"),
        (Ends::Year, "1 year"),
    ];

    fn at(self, now_millis: i64, before: Option<i64>) -> Option<i64> {
        let days = match self {
            Self::Stays => return before,
            Self::Never => return None,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        };
        Some(now_millis + days * DAY)
    }
}

/// What a key may ask for, as it is typed; an empty field is no limit.
#[derive(Debug, Clone, Default, PartialEq)]
struct LimitsForm {
    texts: [String; 4],
}

/// The names of the fields, in the order of [`LimitsForm`].
const FIELDS: [&str; 4] = ["Requests in a second", "Rows in a second", "Requests in a day", "Rows in a day"];

/// A number as it is typed: groups may stand apart.
fn digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn rate(text: &str) -> Result<Option<f64>, String> {
    let text = digits(text);
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().ok().filter(|rate: &f64| rate.is_finite()).map(Some).ok_or_else(|| "a number is needed".to_owned())
}

fn quota(text: &str) -> Result<Option<u64>, String> {
    let text = digits(text);
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "a whole number is needed".to_owned())
}

impl LimitsForm {
    fn new(limits: &KeyLimits) -> Self {
        let text = |value: Option<String>| value.unwrap_or_default();
        Self {
            texts: [
                text(limits.requests_per_second.map(|rate| rate.to_string())),
                text(limits.rows_per_second.map(|rate| rate.to_string())),
                text(limits.requests_per_day.map(|quota| quota.to_string())),
                text(limits.rows_per_day.map(|quota| quota.to_string())),
            ],
        }
    }

    /// What a field says on its own.
    fn field(&self, at: usize) -> Result<KeyLimits, String> {
        let none = KeyLimits::default();
        let text = self.texts.get(at).map_or("", String::as_str);
        let limits = match at {
            0 => KeyLimits { requests_per_second: rate(text)?, ..none },
            1 => KeyLimits { rows_per_second: rate(text)?, ..none },
            2 => KeyLimits { requests_per_day: quota(text)?, ..none },
            _ => KeyLimits { rows_per_day: quota(text)?, ..none },
        };
        limits.check()?;
        Ok(limits)
    }

    /// What was typed; `None` where a field is wrong.
    fn limits(&self) -> Option<KeyLimits> {
        let field = |at| self.field(at).ok();
        Some(KeyLimits {
            requests_per_second: field(0)?.requests_per_second,
            rows_per_second: field(1)?.rows_per_second,
            requests_per_day: field(2)?.requests_per_day,
            rows_per_day: field(3)?.rows_per_day,
        })
    }

    fn ui(&mut self, ui: &mut Ui) {
        widgets::label(ui, "May ask for at most").on_hover_text("An empty field is no limit; days are by UTC");
        for row in [0, 2] {
            widgets::columns(ui, 2, |ui, column| {
                let at = row + column;
                let error = self.field(at).err();
                let (Some(name), Some(text)) = (FIELDS.get(at), self.texts.get_mut(at)) else { return };
                widgets::field(ui, name, "", error.as_deref(), |ui| {
                    widgets::line_edit(ui, name, text, "no limit", false)
                });
            });
        }
    }
}

fn trouble_ui(ui: &mut Ui, trouble: Option<&String>) {
    if let Some(trouble) = trouble {
        ui.add_space(size::TINY_GAP);
        widgets::note(ui, Tone::Bad, trouble);
    }
}

/// The buttons at the end; `Some(false)` is "Cancel". Enter is the first one.
fn buttons(ui: &mut Ui, verb: &str, may: bool, busy: bool) -> Option<bool> {
    let mut answer = None;
    ui.horizontal(|ui| {
        let may = may && !busy;
        ui.add_enabled_ui(may, |ui| {
            let enter = widgets::enter_pressed(ui) && may;
            if widgets::button(ui, Kind::Primary, None, verb).clicked() || enter {
                answer = Some(true);
            }
        });
        if widgets::button(ui, Kind::Secondary, None, "Cancel").clicked() {
            answer = Some(false);
        }
        if busy {
            widgets::loading(ui, "");
        }
    });
    answer
}

/// What became of a form in a frame.
pub(super) enum Done<T> {
    /// It stays open.
    Open,
    /// It is to be closed.
    Closed,
    /// It is to be sent.
    Send(T),
}

impl<T> Done<T> {
    fn of(answer: Option<bool>, ask: DialogAsk, busy: bool, send: impl FnOnce() -> Option<T>) -> Self {
        match (answer, ask) {
            (Some(true), _) => send().map_or(Self::Open, Self::Send),
            (Some(false), _) => Self::Closed,
            // What is under way must be told of.
            (None, DialogAsk::Close) if !busy => Self::Closed,
            (None, _) => Self::Open,
        }
    }
}

/// The form of a new key.
#[derive(Default)]
pub(super) struct Making {
    name: String,
    predict: bool,
    read: bool,
    admin: bool,
    ends: Ends,
    limits: LimitsForm,
    pub(super) sent: Option<Ticket<KeyCreate>>,
    pub(super) trouble: Option<String>,
}

impl Making {
    pub(super) fn new() -> Self {
        Self { predict: true, ..Self::default() }
    }

    pub(super) fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> Done<KeyCreate> {
        let (answer, ask) = widgets::dialog_parts(ui, "key-new", "New API key", WIDTH, |parts| {
            parts.body(|ui| {
                let trouble = check_text("key name", &self.name, 128).err().map(|err| err.to_string());
                let field = widgets::field(ui, "Name", "", trouble.as_deref(), |ui| {
                    widgets::line_edit(ui, "Name", &mut self.name, "ward 4 tablet", false)
                });
                widgets::focus_first(&field);
                ui.add_space(size::SMALL_GAP);
                widgets::label(ui, "May");
                widgets::check_text(ui, &mut self.predict, "Ask for predictions");
                widgets::check_text(ui, &mut self.read, "Read what models take and how the endpoint does")
                    .on_hover_text("For collectors of metrics: it may ask for no prediction");
                widgets::check_text(ui, &mut self.admin, "Change what is served and everything else in this workspace");
                ui.add_space(size::SMALL_GAP);
                widgets::label(ui, "Ends by itself after");
                widgets::segments(ui, &mut self.ends, Ends::ALL.get(1..).unwrap_or_default());
                ui.add_space(size::SMALL_GAP);
                self.limits.ui(ui);
                trouble_ui(ui, self.trouble.as_ref());
            });
            let may = !self.name.trim().is_empty()
                && (self.predict || self.read || self.admin)
                && self.limits.limits().is_some();
            parts.footer(|ui| buttons(ui, "Make key", may, self.sent.is_some()))
        });
        Done::of(answer, ask, self.sent.is_some(), || {
            let scopes = [(self.predict, Scope::Predict), (self.read, Scope::Read), (self.admin, Scope::Admin)];
            Some(KeyCreate {
                name: self.name.trim().to_owned(),
                scopes: scopes.into_iter().filter(|(on, _)| *on).map(|(_, scope)| scope).collect(),
                expires_at_millis: self.ends.at(cx.desk.now_millis(), None),
                limits: self.limits.limits()?,
            })
        })
    }
}

/// The form that changes what a key may ask for and until when.
pub(super) struct Changing {
    pub(super) key: KeyEntry,
    ends: Ends,
    limits: LimitsForm,
    pub(super) sent: Option<(Ticket<KeyChange>, KeyChange)>,
    pub(super) trouble: Option<String>,
}

impl Changing {
    pub(super) fn new(key: &KeyEntry) -> Self {
        let limits = LimitsForm::new(&key.details.limits);
        Self { key: key.clone(), ends: Ends::Stays, limits, sent: None, trouble: None }
    }

    pub(super) fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> Done<KeyChange> {
        let now = cx.desk.now_millis();
        let title = format!("Change the key {}", self.key.info.name);
        let before = self.key.info.expires_at_millis;
        let (answer, ask) = widgets::dialog_parts(ui, "key-change", &title, WIDTH, |parts| {
            parts.body(|ui| {
                widgets::label(ui, "Ends by itself after").on_hover_text("Counted from now");
                widgets::segments(ui, &mut self.ends, &Ends::ALL);
                let text = match before {
                    None => "It does not end by itself.".to_owned(),
                    Some(at) if at <= now => {
                        format!("It ended on {}; with a new end it is valid again.", format::date(at))
                    }
                    Some(at) => format!("It ends on {}.", format::date(at)),
                };
                widgets::muted(ui, &text);
                ui.add_space(size::SMALL_GAP);
                self.limits.ui(ui);
                trouble_ui(ui, self.trouble.as_ref());
            });
            let limits = self.limits.limits();
            let changes = self.ends != Ends::Stays || limits.is_some_and(|limits| limits != self.key.details.limits);
            parts.footer(|ui| buttons(ui, "Change key", limits.is_some() && changes, self.sent.is_some()))
        });
        Done::of(answer, ask, self.sent.is_some(), || {
            Some(KeyChange {
                id: self.key.info.id.clone(),
                expires_at_millis: self.ends.at(now, before),
                limits: self.limits.limits()?,
            })
        })
    }

    /// What takes it back; `None` where the key had ended before.
    pub(super) fn back(&self, now: i64) -> Option<KeyChange> {
        let info = &self.key.info;
        let may = info.expires_at_millis.is_none_or(|at| at > now);
        may.then(|| KeyChange {
            id: info.id.clone(),
            expires_at_millis: info.expires_at_millis,
            limits: self.key.details.limits,
        })
    }
}

/// The form that gives a key another secret.
pub(super) struct Rotating {
    pub(super) key: KeyEntry,
    grace_millis: i64,
    pub(super) sent: Option<Ticket<KeyRotate>>,
    pub(super) trouble: Option<String>,
}

impl Rotating {
    pub(super) fn new(key: &KeyEntry) -> Self {
        Self { key: key.clone(), grace_millis: DAY, sent: None, trouble: None }
    }

    pub(super) fn ui(&mut self, ui: &Ui, now: i64) -> Done<KeyRotate> {
        let title = format!("New secret for {}", self.key.info.name);
        let (answer, ask) = widgets::dialog_parts(ui, "key-rotate", &title, WIDTH, |parts| {
            parts.body(|ui| {
                ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                let text = "The key keeps its name, what it may do, its limits and its end. Clients need the new secret \
                            before the old one ends.";
                widgets::muted(ui, text);
                widgets::label(ui, "The old secret stays valid for");
                let spans = [(0, "No time"), (HOUR, "1 hour"), (DAY, "1 day"), (7 * DAY, "7 days"), (30 * DAY, "30 days")];
                widgets::segments(ui, &mut self.grace_millis, &spans);
                if self.grace_millis == 0 {
                    widgets::note(ui, Tone::Warn, "clients that have the old secret are refused from then on");
                }
                if let Some(until) = self.key.details.old_valid_until_millis.filter(|until| *until > now) {
                    let text = format!(
                        "it was given another secret lately: the one before, which is valid until {} {} UTC, ends now",
                        format::date(until),
                        format::clock(until)
                    );
                    widgets::note(ui, Tone::Warn, &text);
                }
                trouble_ui(ui, self.trouble.as_ref());
            });
            parts.footer(|ui| buttons(ui, "Make a new secret", true, self.sent.is_some()))
        });
        Done::of(answer, ask, self.sent.is_some(), || {
            Some(KeyRotate { id: self.key.info.id.clone(), grace_millis: self.grace_millis })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(texts: [&str; 4]) -> LimitsForm {
        LimitsForm { texts: texts.map(str::to_owned) }
    }

    #[test]
    fn limits_are_read_as_they_are_typed() {
        let limits = KeyLimits {
            requests_per_second: Some(2.5),
            rows_per_second: None,
            requests_per_day: Some(10_000),
            rows_per_day: None,
        };
        assert_eq!(form([" 2.5 ", "", "10 000", " "]).limits(), Some(limits));
        assert_eq!(LimitsForm::new(&limits).limits(), Some(limits));
        assert_eq!(form(["", "", "", ""]).limits(), Some(KeyLimits::default()));
    }

    #[test]
    fn a_wrong_limit_is_said_at_its_field() {
        for (at, text) in
            [(0, "many"), (0, "inf"), (0, "0"), (1, "-1"), (2, "1.5"), (3, "0"), (2, "99999999999999999999")]
        {
            let mut wrong = form(["1", "1", "1", "1"]);
            wrong.texts[at] = text.to_owned();
            let errors: Vec<usize> = (0..4).filter(|at| wrong.field(*at).is_err()).collect();
            assert_eq!((errors, wrong.limits()), (vec![at], None), "{text}");
        }
    }
}
