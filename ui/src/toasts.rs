//! Short messages at the lower right: what was done, what went wrong.

use athanor_protocol::{Failure, error::Severity};
use egui::{Align2, Area, Frame, Id, Margin, Order, RichText, Ui, Vec2};

use crate::{
    icons::{self, ph},
    theme::{self, Theme, font_size, radius, size},
    widgets,
};

/// Most messages at once; older ones go.
const MOST: usize = 4;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Done.
    Ok,
    /// To know.
    Info,
    /// Something can be mended.
    Warn,
    /// Something is wrong.
    Bad,
}

impl Tone {
    /// Its icon.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Ok => ph::CHECK_CIRCLE,
            Self::Info => ph::INFO,
            Self::Warn => ph::WARNING,
            Self::Bad => ph::X_CIRCLE,
        }
    }

    /// Its colour.
    pub fn color(self, theme: &Theme) -> egui::Color32 {
        match self {
            Self::Ok => theme.ok,
            Self::Info => theme.info,
            Self::Warn => theme.warn,
            Self::Bad => theme.bad,
        }
    }
}

struct Toast {
    tone: Tone,
    text: String,
    hint: Option<String>,
    undo: bool,
    until: f64,
}

/// The messages on the screen.
#[derive(Default)]
pub struct Toasts {
    list: Vec<Toast>,
    now: f64,
}

/// What a user did with the messages in this frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToastAsk {
    /// Nothing.
    Nothing,
    /// "Undo" was pressed.
    Undo,
}

impl Toasts {
    fn add(&mut self, toast: Toast) {
        // The same thing said again is said once.
        self.list.retain(|other| other.text != toast.text);
        self.list.push(toast);
        if self.list.len() > MOST {
            self.list.remove(0);
        }
    }

    /// Something was done.
    pub fn ok(&mut self, text: impl Into<String>) {
        self.add(Toast { tone: Tone::Ok, text: text.into(), hint: None, undo: false, until: self.now + 4.0 });
    }

    /// Something was done that can be undone.
    pub fn undoable(&mut self, text: impl Into<String>) {
        self.add(Toast { tone: Tone::Ok, text: text.into(), hint: None, undo: true, until: self.now + 8.0 });
    }

    /// Something to know.
    pub fn info(&mut self, text: impl Into<String>) {
        self.add(Toast { tone: Tone::Info, text: text.into(), hint: None, undo: false, until: self.now + 5.0 });
    }

    /// Something happened that nobody here asked for; stays until it is closed, or for long.
    pub fn news(&mut self, tone: Tone, text: impl Into<String>, reason: Option<String>) {
        let hint = reason.as_deref().map(widgets::sentence);
        self.add(Toast { tone, text: text.into(), hint, undo: false, until: self.now + 15.0 });
    }

    /// Something went wrong; stays until it is closed, or for long.
    pub fn failure(&mut self, failure: &Failure) {
        let tone = match failure.code.meaning().1 {
            Severity::Info => Tone::Info,
            Severity::Warning => Tone::Warn,
            Severity::Error => Tone::Bad,
        };
        let (text, hint) = (widgets::sentence(&failure.message), failure.hint.as_deref().map(widgets::sentence));
        self.add(Toast { tone, text, hint, undo: false, until: self.now + 15.0 });
    }

    /// The messages that are shown, newest last.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|toast| toast.text.as_str())
    }

    /// Draws them.
    pub fn ui(&mut self, ui: &Ui) -> ToastAsk {
        let ctx = ui.ctx().clone();
        self.now = ctx.input(|input| input.time);
        let now = self.now;
        self.list.retain(|toast| toast.until > now);
        if self.list.is_empty() {
            return ToastAsk::Nothing;
        }
        let theme = Theme::on(ui.visuals().dark_mode);
        let (mut asked, mut closed) = (ToastAsk::Nothing, None);
        Area::new(Id::new("toasts"))
            .order(Order::Foreground)
            .anchor(Align2::RIGHT_BOTTOM, Vec2::splat(-size::PAGE))
            .show(&ctx, |ui| {
                ui.set_max_width(400.0);
                for (at, toast) in self.list.iter().enumerate() {
                    let frame = Frame::new()
                        .fill(theme.raised)
                        .stroke(theme.border())
                        .corner_radius(radius::CARD)
                        .shadow(ui.visuals().popup_shadow)
                        .inner_margin(Margin::symmetric(12, 10));
                    frame.show(ui, |ui| {
                        ui.horizontal_top(|ui| {
                            ui.label(icons::text(toast.tone.icon(), 18.0).color(toast.tone.color(theme)));
                            ui.vertical(|ui| {
                                ui.set_width(280.0);
                                ui.label(RichText::new(&toast.text).font(theme::medium(font_size::BODY)));
                                if let Some(hint) = &toast.hint {
                                    ui.label(RichText::new(hint).color(theme.muted));
                                }
                                if toast.undo && widgets::link(ui, "Undo").clicked() {
                                    asked = ToastAsk::Undo;
                                    closed = Some(at);
                                }
                            });
                            if widgets::icon_button(ui, ph::X, "Close this message").clicked() {
                                closed = Some(at);
                            }
                        });
                    });
                }
            });
        if let Some(at) = closed {
            self.list.remove(at);
        }
        let next = self.list.iter().map(|toast| toast.until).fold(f64::MAX, f64::min);
        ctx.request_repaint_after_secs((next - now).clamp(0.05, 60.0) as f32);
        asked
    }
}
