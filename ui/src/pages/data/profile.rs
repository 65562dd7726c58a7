//! The profile: what the columns hold, and what of it is worth a look.

use athanor_protocol::{
    Failure,
    api::{DataProfile, Event, Link, WorkCancel},
    table::{ColumnSummary, DataSource, TableProfile},
};
use egui::{Align2, CursorIcon, Pos2, Rect, RichText, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use super::{
    detail,
    head::{percent, type_icon, type_name},
    table::padded,
};
use crate::{
    desk::{Desk, Ticket},
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Larger files are described only when the user asks for it.
pub const ASK_ABOVE_BYTES: u64 = 200_000_000;
/// Height of a column's row.
const ROW: f32 = 40.0;
/// Most findings that are shown before the user asks for all.
const FEW: usize = 4;

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Order {
    #[default]
    Table,
    Missing,
    Distinct,
}

/// How far the engine is.
#[derive(Debug, Clone, Default)]
struct Far {
    done: u64,
    total: u64,
    note: String,
}

/// The profile of a table.
pub struct Profile {
    token: String,
    ticket: Option<Ticket<DataProfile>>,
    asked_at: f64,
    value: Option<TableProfile>,
    error: Option<Failure>,
    far: Far,
    allowed: bool,
    stopped: bool,
    selected: Option<usize>,
    order: Order,
    search: String,
    all_findings: bool,
}

impl Profile {
    /// Nothing is known yet; progress comes under the token.
    pub fn new(token: String) -> Self {
        Self {
            token,
            ticket: None,
            asked_at: 0.0,
            value: None,
            error: None,
            far: Far::default(),
            allowed: false,
            stopped: false,
            selected: None,
            order: Order::Table,
            search: String::new(),
            all_findings: false,
        }
    }

    /// The profile, once it is known.
    pub fn value(&self) -> Option<&TableProfile> {
        self.value.as_ref()
    }

    /// Shows a column's details.
    pub fn select(&mut self, column: usize) {
        self.selected = Some(column);
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        if let Event::Progress { token, done, total, note } = event
            && *token == self.token
        {
            self.far = Far { done: *done, total: *total, note: note.clone() };
        }
    }

    /// Asks for it where that is due, and takes it in.
    pub fn keep(&mut self, desk: &mut Desk, source: &DataSource, n_bytes: u64) {
        if let Some(ticket) = self.ticket
            && let Some(result) = desk.take(ticket)
        {
            self.ticket = None;
            match result {
                Ok(answer) => self.value = Some(answer.profile),
                Err(_) if *desk.link() != Link::Up => {}
                Err(failure) => self.error = Some(failure),
            }
        }
        let due = n_bytes <= ASK_ABOVE_BYTES || self.allowed;
        let open = self.value.is_none() && self.ticket.is_none() && self.error.is_none() && !self.stopped;
        if due && open && *desk.link() == Link::Up {
            self.far = Far::default();
            self.asked_at = desk.now_secs();
            self.ticket = Some(desk.ask(DataProfile { source: source.clone(), token: self.token.clone() }));
        }
    }

    /// Draws it; the name of a column that the user wants plotted.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, n_bytes: u64) -> Option<String> {
        if self.value.is_some() {
            return self.shown(ui);
        }
        if let Some(failure) = self.error.clone() {
            padded(ui, |ui| {
                if widgets::failure(ui, &failure) {
                    self.error = None;
                }
            });
        } else if self.ticket.is_some() {
            if cx.desk.now_secs() - self.asked_at > 0.25 {
                self.waiting(ui, cx.desk);
            } else {
                ui.ctx().request_repaint_after_secs(0.1);
            }
        } else {
            let (title, text) = if self.stopped {
                ("Stopped", "The profile was stopped. The rows can be looked at all the same.".to_owned())
            } else {
                let size = format::bytes(n_bytes);
                ("Not described yet", format!("The table has {size}: describing every column reads all of it once."))
            };
            if widgets::empty_state(ui, ph::CHART_BAR, title, &text, Some((ph::PLAY, "Describe the columns"))) {
                (self.allowed, self.stopped) = (true, false);
            }
        }
        None
    }

    fn waiting(&mut self, ui: &mut Ui, desk: &mut Desk) {
        let theme = Theme::of(ui);
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() * 0.25).clamp(16.0, 160.0));
            ui.label(RichText::new("Describing the columns").font(theme::semibold(font_size::TITLE)).color(theme.text));
            ui.add_space(size::TINY_GAP);
            let share = (self.far.total > 0).then(|| self.far.done as f32 / self.far.total as f32);
            widgets::progress(ui, share, 280.0);
            let note = if self.far.note.is_empty() { "Reading the table" } else { &self.far.note };
            widgets::muted(ui, note);
            ui.add_space(size::SMALL_GAP);
            if widgets::secondary(ui, ph::STOP, "Stop").clicked() {
                if let Some(ticket) = self.ticket.take() {
                    desk.forget(ticket);
                    if desk.may_ask() {
                        desk.tell(WorkCancel { token: self.token.clone() }.into());
                    }
                }
                self.stopped = true;
            }
        });
    }

    fn shown(&mut self, ui: &mut Ui) -> Option<String> {
        let mut plot = None;
        let n_columns = self.value.as_ref().map_or(0, |profile| profile.columns.len());
        self.selected = self.selected.filter(|&at| at < n_columns);
        let wide = ui.available_width() > 720.0;
        if let (Some(at), Some(profile)) = (self.selected, &self.value) {
            let mut close = false;
            let draw = |ui: &mut Ui| detail::show(ui, &profile.columns[at], profile.n_rows);
            let asked = if wide {
                egui::Panel::right("column-detail")
                    .resizable(true)
                    .default_size(size::INSPECTOR[1])
                    .size_range(size::INSPECTOR[0]..=size::INSPECTOR[2])
                    .frame(egui::Frame::new().fill(Theme::of(ui).panel).inner_margin(egui::Margin::same(size::CARD)))
                    .show(ui, draw)
                    .inner
            } else {
                padded(ui, draw)
            };
            match asked {
                Some(detail::Asked::Close) => close = true,
                Some(detail::Asked::Plot) => plot = Some(profile.columns[at].name.clone()),
                None => {}
            }
            if close {
                self.selected = None;
            }
            if !wide {
                return plot;
            }
        }
        egui::Frame::new().inner_margin(egui::Margin { left: 20, right: 20, top: 8, bottom: 12 }).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 12.0;
            self.figures(ui);
            self.findings(ui);
            self.columns(ui);
        });
        plot
    }

    fn figures(&self, ui: &mut Ui) {
        let Some(profile) = &self.value else { return };
        let n_columns = profile.columns.len() as u64;
        let missing: u64 = profile.columns.iter().map(|column| column.n_missing).sum();
        let with_missing = profile.columns.iter().filter(|column| column.n_missing > 0).count() as u64;
        let numbers = profile.columns.iter().filter(|column| column.numbers.is_some()).count();
        let figures = [
            ("Rows", format::count(profile.n_rows), String::new()),
            ("Columns", format::count(n_columns), format!("{numbers} of numbers or times")),
            (
                "Missing values",
                percent(missing, profile.n_rows.saturating_mul(n_columns)),
                if with_missing == 0 {
                    "in no column".to_owned()
                } else {
                    format!("in {}", format::plural(with_missing, "column"))
                },
            ),
            (
                "Duplicate rows",
                format::count(profile.n_duplicate_rows),
                percent(profile.n_duplicate_rows, profile.n_rows) + " of all",
            ),
        ];
        widgets::card(ui, |ui| {
            ui.columns(figures.len(), |cells| {
                for (cell, (name, value, remark)) in cells.iter_mut().zip(&figures) {
                    widgets::figure(cell, name, value, remark);
                }
            });
        });
    }

    fn findings(&mut self, ui: &mut Ui) {
        let Some(profile) = &self.value else { return };
        let theme = Theme::of(ui);
        let mut list: Vec<(Option<usize>, String, String)> = vec![];
        if profile.n_duplicate_rows > 0 {
            let text = format!(
                "{} that stand there before: copies in both training and test rows make a model look too good",
                format::plural(profile.n_duplicate_rows, "row")
            );
            list.push((None, "Duplicates".to_owned(), text));
        }
        for (at, column) in profile.columns.iter().enumerate() {
            for finding in &column.findings {
                list.push((Some(at), column.name.clone(), finding.clone()));
            }
        }
        if list.is_empty() {
            ui.horizontal(|ui| {
                ui.label(icons::text(ph::CHECK_CIRCLE, 16.0).color(theme.ok));
                widgets::muted(ui, "Nothing stands out: no empty, constant or broken columns, no duplicates.");
            });
            return;
        }
        let n = if self.all_findings { list.len() } else { list.len().min(FEW) };
        let mut select = None;
        egui::ScrollArea::vertical().id_salt("findings").max_height(132.0).auto_shrink([false, true]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            for (column, name, text) in &list[..n] {
                widgets::tight(ui, |ui| {
                    ui.label(icons::text(ph::WARNING, 15.0).color(theme.warn));
                    match column {
                        Some(at) => {
                            if widgets::link(ui, name).clicked() {
                                select = Some(*at);
                            }
                        }
                        None => {
                            ui.label(RichText::new(name).font(theme::medium(font_size::BODY)).color(theme.text));
                        }
                    }
                    let text = RichText::new(widgets::sentence(text)).color(theme.muted);
                    ui.add(egui::Label::new(text).truncate().selectable(true));
                });
            }
        });
        if n < list.len() && widgets::link(ui, &format!("Show all {} findings", list.len())).clicked() {
            self.all_findings = true;
        }
        self.selected = select.or(self.selected);
    }

    fn columns(&mut self, ui: &mut Ui) {
        let Some(profile) = &self.value else { return };
        let words = self.search.trim().to_lowercase();
        let mut found: Vec<usize> = (0..profile.columns.len())
            .filter(|&at| words.is_empty() || profile.columns[at].name.to_lowercase().contains(&words))
            .collect();
        match self.order {
            Order::Table => {}
            Order::Missing => found.sort_by_key(|&at| std::cmp::Reverse(profile.columns[at].n_missing)),
            Order::Distinct => found.sort_by_key(|&at| std::cmp::Reverse(profile.columns[at].n_distinct)),
        }
        ui.horizontal(|ui| {
            let orders =
                [(Order::Table, "Table's order"), (Order::Missing, "Most missing"), (Order::Distinct, "Most distinct")];
            widgets::segments(ui, &mut self.order, &orders);
            if profile.columns.len() > 8 {
                let width = ui.available_width().min(240.0);
                widgets::search_field(ui, "Find a column", &mut self.search, width);
            }
        });
        let mut select = None;
        let selected = self.selected;
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            let cells = Cells::new(ui.available_width());
            cells.heading(ui);
            if found.is_empty() {
                ui.add_space(size::SMALL_GAP);
                widgets::muted(ui, "No column has this name.");
            }
            egui::ScrollArea::vertical().id_salt("profile-columns").auto_shrink([false, true]).show_rows(
                ui,
                ROW,
                found.len(),
                |ui, range| {
                    for &at in &found[range] {
                        if cells.row(ui, &profile.columns[at], profile.n_rows, selected == Some(at)) {
                            select = Some(at);
                        }
                    }
                },
            );
        });
        if let Some(at) = select {
            self.selected = if selected == Some(at) { None } else { Some(at) };
        }
    }
}

/// Where the cells of a column's row are.
struct Cells {
    /// Left edges of: type, missing, distinct, then the numbers, then the chart; and the whole width.
    name: f32,
    missing: f32,
    distinct: f32,
    numbers: Vec<(&'static str, f32)>,
    chart: f32,
    width: f32,
}

impl Cells {
    fn new(width: f32) -> Self {
        let names: &[&'static str] = match width {
            ..520.0 => &[],
            520.0..760.0 => &["min", "median", "max"],
            _ => &["min", "median", "max", "mean", "std"],
        };
        let chart_width = 96.0;
        let chart = width - chart_width;
        let number = ((chart - 16.0) * 0.46 / names.len().max(1) as f32).min(92.0);
        let begin = chart - 16.0 - number * names.len() as f32;
        // Right edges, as numbers stand at the right.
        let numbers = names.iter().enumerate().map(|(at, name)| (*name, begin + number * (at + 1) as f32)).collect();
        let distinct = begin;
        let missing = distinct - 150.0;
        Self { name: 0.0, missing, distinct, numbers, chart, width }
    }

    fn heading(&self, ui: &mut Ui) {
        let theme = Theme::of(ui);
        let (rect, _) = ui.allocate_exact_size(Vec2::new(self.width, 24.0), Sense::hover());
        let font = theme::regular(font_size::LABEL);
        let painter = ui.painter();
        let y = rect.top() + 9.0;
        let put = |x: f32, align: Align2, text: &str| {
            painter.text(Pos2::new(rect.left() + x, y), align, text, font.clone(), theme.muted);
        };
        put(self.name, Align2::LEFT_CENTER, "Column");
        put(self.missing, Align2::LEFT_CENTER, "Missing");
        put(self.distinct, Align2::RIGHT_CENTER, "Distinct");
        for (name, x) in &self.numbers {
            put(*x, Align2::RIGHT_CENTER, name);
        }
        put(self.chart, Align2::LEFT_CENTER, "Values");
        painter.hline(rect.x_range(), rect.bottom() - 0.5, theme.border());
    }

    fn row(&self, ui: &mut Ui, column: &ColumnSummary, n_rows: u64, on: bool) -> bool {
        let theme = Theme::of(ui);
        let (rect, response) = ui.allocate_exact_size(Vec2::new(self.width, ROW), Sense::click());
        response.widget_info(|| WidgetInfo::selected(WidgetType::Button, true, on, format!("Column {}", column.name)));
        let ground = rect.expand2(Vec2::new(8.0, 0.0));
        if on {
            ui.painter().rect_filled(ground, radius::CONTROL, theme.soft);
        } else if response.hovered() {
            ui.painter().rect_filled(ground, radius::CONTROL, mix(theme.panel, theme.text, 0.04));
        }
        let y = rect.center().y;
        let at = |x: f32| Pos2::new(rect.left() + x, y);
        icons::paint(ui, at(self.name + 8.0), type_icon(column.dtype), 15.0, theme.muted);
        let room = Rect::from_min_max(rect.min, Pos2::new(rect.left() + self.missing - 12.0, rect.bottom()));
        let painter = ui.painter().with_clip_rect(room.intersect(ui.clip_rect()));
        let ink = if column.findings.is_empty() { theme.text } else { theme.warn };
        painter.text(at(self.name + 24.0), Align2::LEFT_CENTER, &column.name, theme::medium(font_size::BODY), ink);
        let mono = theme::mono(font_size::MONO);
        let painter = ui.painter();
        // Missing: a bar and its share.
        let track = Rect::from_min_size(at(self.missing) - Vec2::new(0.0, 2.0), Vec2::new(44.0, 4.0));
        painter.rect_filled(track, 2, if theme.dark { theme.sunken } else { theme.line });
        let share = if n_rows > 0 { column.n_missing as f32 / n_rows as f32 } else { 0.0 };
        let part = Rect::from_min_size(track.min, Vec2::new(track.width() * share.clamp(0.0, 1.0), 4.0));
        painter.rect_filled(part, 2, theme.warn);
        let ink = if column.n_missing > 0 { theme.text } else { theme.muted };
        let text = percent(column.n_missing, n_rows);
        painter.text(at(self.missing + 52.0), Align2::LEFT_CENTER, text, theme::regular(font_size::LABEL + 0.5), ink);
        let distinct = format::count(column.n_distinct);
        painter.text(at(self.distinct), Align2::RIGHT_CENTER, distinct, mono.clone(), theme.text);
        if let Some(numbers) = &column.numbers {
            for (name, x) in &self.numbers {
                let value = match *name {
                    "min" => numbers.min,
                    "median" => numbers.quantiles[2],
                    "max" => numbers.max,
                    "mean" => numbers.mean,
                    _ => numbers.std,
                };
                let text = detail::value_text(column.dtype, value);
                painter.text(at(*x), Align2::RIGHT_CENTER, text, mono.clone(), theme.text);
            }
        } else if let Some((_, x)) = self.numbers.last() {
            let most = column.top.first().map(|top| format!("mostly {}", top.value)).unwrap_or_default();
            let room = Rect::from_min_max(at(self.distinct + 16.0), at(*x)).expand2(Vec2::new(0.0, 12.0));
            let painter = painter.with_clip_rect(room.intersect(ui.clip_rect()));
            let font = theme::regular(font_size::LABEL + 0.5);
            painter.text(at(self.distinct + 16.0), Align2::LEFT_CENTER, most, font, theme.muted);
        }
        let chart =
            Rect::from_min_size(at(self.chart) - Vec2::new(0.0, 13.0), Vec2::new(self.width - self.chart - 4.0, 26.0));
        super::head::bars(painter, chart, &super::head::heights(column), mix(theme.panel, theme.info, 0.75));
        painter.hline(rect.x_range(), rect.bottom() - 0.5, egui::Stroke::new(1.0, mix(theme.panel, theme.line, 0.5)));
        widgets::focus_ring(ui, &response, rect);
        response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(type_name(column.dtype)).clicked()
    }
}
