//! The log of a run: follows its end until one scrolls up; only the lines that are seen are laid out.

use athanor_protocol::{
    Failure,
    api::{LogEntry, RunLogs},
    names::RunId,
};
use egui::{Align, Layout, RichText, Ui};

use crate::{
    desk::Ticket,
    format,
    icons::ph,
    pages::Cx,
    theme::{self, Theme, font_size, radius},
    widgets,
};

/// Lines in one answer.
const PAGE: u32 = 5000;
/// Most lines that are kept; the oldest go.
const MOST: usize = 200_000;
const ROW: f32 = 18.0;

/// Which lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Level {
    #[default]
    All,
    Warn,
    Error,
}

impl Level {
    fn fits(self, level: &str) -> bool {
        match self {
            Self::All => true,
            Self::Warn => level == "warn" || level == "error",
            Self::Error => level == "error",
        }
    }
}

/// The log.
pub(super) struct Logs {
    run: RunId,
    lines: Vec<LogEntry>,
    /// Places of the lines that are shown.
    shown: Vec<u32>,
    shown_of: (Level, String, usize),
    ticket: Option<Ticket<RunLogs>>,
    asked_at: f64,
    due: bool,
    loaded: bool,
    dropped: bool,
    error: Option<Failure>,
    level: Level,
    text: String,
    to_end: bool,
}

impl Logs {
    /// The log of a run.
    pub(super) fn new(run: RunId) -> Self {
        Self {
            run,
            lines: vec![],
            shown: vec![],
            shown_of: (Level::All, String::new(), 0),
            ticket: None,
            asked_at: f64::NEG_INFINITY,
            due: true,
            loaded: false,
            dropped: false,
            error: None,
            level: Level::All,
            text: String::new(),
            to_end: false,
        }
    }

    /// There are more lines.
    pub(super) fn more(&mut self) {
        self.due = true;
    }

    fn keep(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let now = cx.desk.now_secs();
        if let Some(ticket) = self.ticket
            && let Some(result) = cx.desk.take(ticket)
        {
            self.ticket = None;
            match result {
                Ok(page) => {
                    self.loaded = true;
                    self.due |= page.items.len() >= PAGE as usize;
                    let last = self.lines.last().map_or(0, |line| line.no);
                    self.lines.extend(page.items.into_iter().filter(|line| line.no > last));
                    if self.lines.len() > MOST {
                        self.lines.drain(..self.lines.len() - MOST * 3 / 4);
                        self.dropped = true;
                        self.shown_of.2 = 0;
                        self.shown.clear();
                    }
                }
                Err(failure) => self.error = Some(failure),
            }
        }
        if self.due && self.ticket.is_none() && self.error.is_none() {
            // Lines of a fast run come in bunches.
            let wait = self.asked_at + 0.25 - now;
            if wait > 0.0 && self.loaded {
                ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
            } else {
                self.due = false;
                self.asked_at = now;
                let after = self.lines.last().map_or(0, |line| line.no);
                self.ticket = Some(cx.desk.ask(RunLogs { run: self.run.clone(), after, limit: PAGE }));
            }
        }
    }

    fn sift(&mut self) {
        let (level, text, _) = &self.shown_of;
        if *level != self.level || *text != self.text {
            self.shown.clear();
            self.shown_of = (self.level, self.text.clone(), 0);
        }
        let wanted = self.text.to_lowercase();
        for (at, line) in self.lines.iter().enumerate().skip(self.shown_of.2) {
            if self.level.fits(&line.level) && (wanted.is_empty() || line.text.to_lowercase().contains(&wanted)) {
                self.shown.push(at as u32);
            }
        }
        self.shown_of.2 = self.lines.len();
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, live: bool, cx: &mut Cx<'_>) {
        self.keep(ui, cx);
        self.sift();
        let mut copy = false;
        ui.horizontal(|ui| {
            widgets::search_field(ui, "Search the log", &mut self.text, 240.0);
            widgets::segments(
                ui,
                &mut self.level,
                &[(Level::All, "All"), (Level::Warn, "Warnings"), (Level::Error, "Errors")],
            );
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                copy = widgets::quiet(ui, ph::COPY, "Copy").on_hover_text("Copy the lines that are shown").clicked();
                if widgets::icon_button(ui, ph::ARROW_LINE_DOWN, "Follow the end").clicked() {
                    self.to_end = true;
                }
                let n = format::plural(self.shown.len() as u64, "line");
                let n = if self.dropped { format!("newest {n}") } else { n };
                widgets::muted(ui, &n);
            });
        });
        if let Some(failure) = self.error.clone()
            && widgets::failure(ui, &failure)
        {
            self.error = None;
            self.due = true;
        }
        if self.shown.is_empty() {
            if !self.loaded {
                if self.error.is_none() && cx.desk.now_secs() - self.asked_at > 0.25 {
                    widgets::loading(ui, "Reading the log");
                }
            } else if self.lines.is_empty() {
                let text = if live {
                    "Lines come as soon as the worker has something to say."
                } else {
                    "This run has written no line."
                };
                widgets::empty_state(ui, ph::ARTICLE, "The log is empty", text, None);
            } else {
                widgets::empty_state(
                    ui,
                    ph::MAGNIFYING_GLASS,
                    "No line fits",
                    "No line has this text and level.",
                    None,
                );
            }
            return;
        }
        if copy {
            let lines = self.shown.iter().filter_map(|&at| self.lines.get(at as usize));
            let text: Vec<String> =
                lines.map(|line| format!("{} {:5} {}", format::clock(line.at_millis), line.level, line.text)).collect();
            ui.ctx().copy_text(text.join("\n"));
            cx.toasts.ok(format!("Copied {}", format::plural(text.len() as u64, "line")));
        }
        let theme = cx.theme;
        egui::Frame::new().fill(theme.sunken).stroke(theme.border()).corner_radius(radius::CARD).inner_margin(10).show(
            ui,
            |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                let mut area =
                    egui::ScrollArea::both().id_salt("log").auto_shrink([false, false]).stick_to_bottom(true);
                if std::mem::take(&mut self.to_end) {
                    area = area.vertical_scroll_offset(self.shown.len() as f32 * ROW);
                }
                area.show_rows(ui, ROW, self.shown.len(), |ui, rows| {
                    for line in self.shown.get(rows).unwrap_or(&[]).iter().filter_map(|&at| self.lines.get(at as usize))
                    {
                        log_line(ui, line);
                    }
                });
            },
        );
    }
}

fn log_line(ui: &mut Ui, line: &LogEntry) {
    let theme = Theme::of(ui);
    let color = match line.level.as_str() {
        "warn" => theme.warn,
        "error" => theme.bad,
        _ => theme.muted,
    };
    let font = theme::mono(font_size::LABEL + 0.5);
    ui.spacing_mut().interact_size.y = ROW;
    ui.horizontal(|ui| {
        ui.set_height(ROW);
        ui.spacing_mut().item_spacing.x = 12.0;
        ui.label(RichText::new(format::clock(line.at_millis)).font(font.clone()).color(theme.faint));
        let level = RichText::new(format!("{:5}", line.level)).font(font.clone()).color(color);
        ui.label(level);
        // A line of a megabyte is cut: nobody reads it, and laying it out would hold the frame.
        let text: String = line.text.chars().take(2_000).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let ink = if line.level == "error" { theme.bad } else { theme.text };
        ui.add(egui::Label::new(RichText::new(text).font(font).color(ink)).extend().selectable(true));
    });
}
