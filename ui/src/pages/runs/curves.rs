//! The curves of a run: a plot for each metric with its splits over each other. Only the plots that are seen are drawn,
//! and only their series are asked for, so that a run with thousands of metrics costs no more than one with ten.

use std::collections::HashMap;

use athanor_protocol::{
    api::{RunMetrics, SeriesKey},
    metric::{METRICS, MetricPoint, MetricValue, Split},
    names::RunId,
};
use egui::{Align, Color32, Layout, RichText, Ui, Vec2};

use super::{
    Shared,
    curve::{Look, XAxis},
    naming::{metric_words, value_text},
    plots::{self, CARD_HEIGHT, PLOT_HEIGHT, Trace},
    series::{Shown, buckets_for},
};
use crate::{
    desk::{Desk, Ticket},
    format,
    icons::ph,
    pages::Cx,
    theme::{self, Theme, font_size, size},
    widgets,
};

/// Names on a page.
const PAGE: u32 = 1000;
/// Most names that are loaded; the search finds the others.
const MOST: usize = 50_000;
const MEMORY: &str = "runs.look";

struct Part {
    split: Split,
    value: MetricValue,
    key: SeriesKey,
}

struct Group {
    key: String,
    title: String,
    parts: Vec<Part>,
}

/// The look that is chosen, its zoom, and what is remembered of it.
#[derive(Default)]
pub(super) struct LookBar {
    look: Look,
    read: bool,
    /// The steps that are seen where somebody zoomed in.
    zoom: Option<[u64; 2]>,
    zoomed: Option<[f64; 2]>,
    zoomed_at: f64,
    resets: u64,
}

impl LookBar {
    /// How to draw.
    pub(super) fn look(&self) -> Look {
        self.look
    }

    /// Which steps to ask for.
    pub(super) fn zoom(&self) -> Option<[u64; 2]> {
        self.zoom
    }

    /// Plots that are zoomed together; another one after each reset.
    pub(super) fn link(&self, name: &str) -> egui::Id {
        egui::Id::new((name, self.resets, self.look.x))
    }

    /// The controls.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if !self.read {
            self.read = true;
            if let Some(text) = cx.desk.remembered(MEMORY) {
                let mut words = text.split(' ');
                self.look.x = match words.next() {
                    Some("epoch") => XAxis::Epoch,
                    Some("time") => XAxis::Time,
                    _ => XAxis::Step,
                };
                self.look.log = words.next() == Some("log");
                self.look.smoothing =
                    words.next().and_then(|word| word.parse().ok()).unwrap_or(0.0f32).clamp(0.0, 0.99);
            }
        }
        let before = self.look;
        let axes = [(XAxis::Step, "Step"), (XAxis::Epoch, "Epoch"), (XAxis::Time, "Time")];
        if widgets::segments(ui, &mut self.look.x, &axes) {
            (self.zoom, self.zoomed) = (None, None);
        }
        widgets::switch(ui, &mut self.look.log, "Log").on_hover_text("A logarithmic y axis");
        let smoothing = &mut self.look.smoothing;
        let slider = ui.scope(|ui| {
            ui.spacing_mut().slider_width = 90.0;
            ui.spacing_mut().interact_size.y = 18.0;
            ui.visuals_mut().widgets.inactive.bg_fill = cx.theme.line;
            ui.visuals_mut().selection.bg_fill = cx.theme.accent;
            ui.add(egui::Slider::new(smoothing, 0.0..=0.99).show_value(false).trailing_fill(true))
        });
        let response = slider.inner.on_hover_text("Moving average: how much of what was before stays");
        response.widget_info(|| egui::WidgetInfo::slider(true, f64::from(self.look.smoothing), "Smoothing"));
        let shown =
            if self.look.smoothing > 0.0 { format!("smooth {:.2}", self.look.smoothing) } else { "smooth".to_owned() };
        ui.label(RichText::new(shown).color(cx.theme.muted));
        let how = "Drag to move. Drag with the right button to draw a box to zoom into. Ctrl and the wheel zoom. \
                   A double click shows everything again.";
        ui.label(crate::icons::text(ph::QUESTION, 15.0).color(cx.theme.muted)).on_hover_text(how);
        if self.zoomed.is_some() && widgets::quiet(ui, ph::CORNERS_OUT, "Whole range").clicked() {
            self.resets += 1;
            (self.zoom, self.zoomed) = (None, None);
        }
        if self.look != before {
            let axis = match self.look.x {
                XAxis::Step => "step",
                XAxis::Epoch => "epoch",
                XAxis::Time => "time",
            };
            let scale = if self.look.log { "log" } else { "linear" };
            cx.desk.remember(MEMORY, &format!("{axis} {scale} {:.2}", self.look.smoothing));
        }
    }

    /// What the plots of this frame say: after they stand still for a moment, finer points are asked for.
    pub(super) fn settle(&mut self, ui: &Ui, zoomed: Option<[f64; 2]>, now_secs: f64) {
        if zoomed != self.zoomed {
            (self.zoomed, self.zoomed_at) = (zoomed, now_secs);
        }
        let wanted = match self.zoomed {
            Some([low, high]) if self.look.x == XAxis::Step && high > low && high > 0.0 => {
                let margin = (high - low) / 4.0;
                Some([(low - margin).max(0.0).floor() as u64, (high + margin).ceil().min(9e15) as u64])
            }
            _ => None,
        };
        if wanted != self.zoom {
            let wait = self.zoomed_at + 0.3 - now_secs;
            if wait <= 0.0 || wanted.is_none() {
                self.zoom = wanted;
            } else {
                ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
            }
        }
    }
}

/// The curves of a run.
pub(super) struct Curves {
    run: RunId,
    system: bool,
    typed: String,
    typed_at: f64,
    text: Option<String>,
    ticket: Option<(Ticket<RunMetrics>, u32)>,
    asked_at: f64,
    error: Option<athanor_protocol::Failure>,
    points: Vec<MetricPoint>,
    total: u64,
    whole: bool,
    groups: Vec<Group>,
    places: HashMap<String, usize>,
    stale: bool,
    expanded: Option<String>,
    bar: LookBar,
}

/// Colour of a split: the same in every plot of a run.
fn split_color(theme: &Theme, split: Split) -> Color32 {
    match split {
        Split::Train => theme.series(1),
        Split::Valid => theme.series(0),
        Split::Test => theme.series(2),
        Split::System => theme.series(5),
    }
}

impl Curves {
    /// The curves of a run, or those of its machine.
    pub(super) fn new(run: RunId, system: bool) -> Self {
        Self {
            run,
            system,
            typed: String::new(),
            typed_at: 0.0,
            text: None,
            ticket: None,
            asked_at: 0.0,
            error: None,
            points: vec![],
            total: 0,
            whole: false,
            groups: vec![],
            places: HashMap::new(),
            stale: false,
            expanded: None,
            bar: LookBar::default(),
        }
    }

    /// The names may be old.
    pub(super) fn invalidate(&mut self) {
        self.stale = true;
        self.error = None;
    }

    /// New points of this run.
    pub(super) fn metrics(&mut self, points: &[MetricPoint]) {
        for point in points.iter().filter(|point| (point.split == Split::System) == self.system) {
            let group = self.places.get(&point.key).and_then(|&at| self.groups.get_mut(at));
            let part = group.and_then(|group| group.parts.iter_mut().find(|part| part.split == point.split));
            match part {
                Some(part) => part.value = point.value,
                // A name that is new: all are read again, for the search and the order.
                None => self.stale = true,
            }
        }
    }

    fn keep(&mut self, desk: &mut Desk) {
        if let Some((ticket, offset)) = self.ticket
            && let Some(result) = desk.take(ticket)
        {
            self.ticket = None;
            match result {
                Ok(page) => {
                    if offset == 0 {
                        self.points.clear();
                    }
                    let n = page.items.len();
                    self.points.extend(page.items);
                    self.total = page.total;
                    self.whole =
                        n < PAGE as usize || self.points.len() as u64 >= page.total || self.points.len() >= MOST;
                    self.error = None;
                    self.group();
                }
                Err(failure) => self.error = Some(failure),
            }
        }
        let now = desk.now_secs();
        let other = self.text.as_deref() != Some(self.typed.as_str()) && now >= self.typed_at + 0.2;
        if other {
            self.text = Some(self.typed.clone());
            self.error = None;
            self.ask(desk, 0);
        } else if self.ticket.is_none() && self.error.is_none() && self.text.is_some() {
            if self.stale && now >= self.asked_at + 1.0 {
                self.ask(desk, 0);
            } else if !self.whole && !self.points.is_empty() {
                self.ask(desk, self.points.len() as u32);
            }
        }
    }

    fn ask(&mut self, desk: &mut Desk, offset: u32) {
        if offset == 0 {
            self.stale = false;
            self.whole = false;
        }
        let typed = self.text.clone().unwrap_or_default();
        let text = if self.system && typed.is_empty() { "system/".to_owned() } else { typed };
        self.asked_at = desk.now_secs();
        self.ticket = Some((desk.ask(RunMetrics { run: self.run.clone(), text, offset, limit: PAGE }), offset));
    }

    /// Points with the same key stand in one plot: the usual ones first, then by name.
    fn group(&mut self) {
        let mut order: Vec<&MetricPoint> =
            self.points.iter().filter(|point| (point.split == Split::System) == self.system).collect();
        let rank = |key: &str| METRICS.iter().position(|info| info.key == key).unwrap_or(METRICS.len());
        order.sort_by_cached_key(|point| (rank(&point.key), point.key.as_str(), point.split));
        let mut groups: Vec<Group> = vec![];
        for point in order {
            let part = Part {
                split: point.split,
                value: point.value,
                key: SeriesKey { run: self.run.clone(), key: point.key.clone(), split: point.split },
            };
            match groups.last_mut().filter(|group| group.key == point.key) {
                Some(group) => group.parts.push(part),
                None => {
                    groups.push(Group { key: point.key.clone(), title: metric_words(&point.key), parts: vec![part] })
                }
            }
        }
        self.places = groups.iter().enumerate().map(|(at, group)| (group.key.clone(), at)).collect();
        self.groups = groups;
    }

    /// Draws them.
    pub(super) fn ui(&mut self, ui: &mut Ui, live: bool, shared: &mut Shared, cx: &mut Cx<'_>) {
        self.keep(cx.desk);
        if self.text.as_deref() != Some(self.typed.as_str()) {
            ui.ctx().request_repaint_after_secs(0.21);
        }
        if self.stale && self.ticket.is_none() {
            let wait = (self.asked_at + 1.0 - cx.desk.now_secs()).max(0.0);
            ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
        }
        self.toolbar(ui, cx);
        if let Some(failure) = self.error.clone() {
            if widgets::failure(ui, &failure) {
                self.invalidate();
            }
            return;
        }
        if self.groups.is_empty() {
            if self.ticket.is_some() || self.text.is_none() {
                if cx.desk.now_secs() - self.asked_at > 0.25 {
                    widgets::loading(ui, "Reading the metrics");
                }
            } else if !self.typed.is_empty() {
                widgets::empty_state(
                    ui,
                    ph::MAGNIFYING_GLASS,
                    "No metric fits",
                    "No metric of this run has this in its name.",
                    None,
                );
            } else {
                let text = if live {
                    "They come with the first step of training."
                } else {
                    "This run ended before it reported any."
                };
                widgets::empty_state(ui, ph::CHART_LINE, "No curves yet", text, None);
            }
            return;
        }
        let look = self.bar.look();
        let link = self.bar.link("run curves");
        let zoom = self.bar.zoom();
        let mut zoomed = None;
        let mut expand = None;
        if let Some(group) =
            self.expanded.as_ref().and_then(|key| self.places.get(key)).and_then(|&at| self.groups.get(at))
        {
            let height = (ui.available_height() - 26.0 - 2.0 * f32::from(size::CARD) - 8.0).max(160.0);
            let (range, toggled) = card(ui, group, height, true, (look, link, zoom), shared);
            zoomed = range;
            if toggled {
                expand = Some(None);
            }
        } else {
            let width = ui.available_width() - 8.0;
            let n_columns = ((width / 400.0).floor() as usize).clamp(1, 5);
            let cell = (width - (n_columns - 1) as f32 * size::GAP) / n_columns as f32;
            let n_rows = self.groups.len().div_ceil(n_columns);
            ui.scope(|ui| {
                ui.spacing_mut().item_spacing = Vec2::splat(size::GAP);
                egui::ScrollArea::vertical().id_salt("curves").auto_shrink([false, false]).show_rows(
                    ui,
                    CARD_HEIGHT,
                    n_rows,
                    |ui, rows| {
                        for row in rows {
                            ui.horizontal_top(|ui| {
                                for at in row * n_columns..((row + 1) * n_columns).min(self.groups.len()) {
                                    ui.allocate_ui_with_layout(
                                        Vec2::new(cell, CARD_HEIGHT),
                                        Layout::top_down(Align::Min),
                                        |ui| {
                                            let group = &self.groups[at];
                                            let (range, toggled) =
                                                card(ui, group, PLOT_HEIGHT, false, (look, link, zoom), shared);
                                            zoomed = zoomed.or(range);
                                            if toggled {
                                                expand = Some(Some(group.key.clone()));
                                            }
                                        },
                                    );
                                }
                            });
                        }
                    },
                );
            });
        }
        self.bar.settle(ui, zoomed, cx.desk.now_secs());
        if let Some(expanded) = expand {
            self.expanded = expanded;
        }
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.horizontal(|ui| {
            if !self.system {
                let width = if ui.available_width() > 900.0 { 240.0 } else { 170.0 };
                let response = widgets::search_field(ui, "Search metrics", &mut self.typed, width);
                if response.changed() {
                    self.typed_at = cx.desk.now_secs();
                    self.expanded = None;
                }
            }
            self.bar.ui(ui, cx);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if !self.whole && self.total > self.points.len() as u64 {
                    ui.add(egui::Spinner::new().size(14.0).color(cx.theme.accent));
                }
                let n = format::plural(self.groups.len() as u64, "metric");
                ui.add(egui::Label::new(RichText::new(n).color(cx.theme.muted)).truncate());
            });
        });
    }
}

/// A plot on its card. Gives back the range that it was zoomed to, and whether it shall be made large or small.
fn card(
    ui: &mut Ui,
    group: &Group,
    height: f32,
    large: bool,
    (look, link, zoom): (Look, egui::Id, Option<[u64; 2]>),
    shared: &mut Shared,
) -> (Option<[f64; 2]>, bool) {
    let theme = Theme::of(ui);
    let mut toggled = false;
    let zoomed = widgets::card(ui, |ui| {
        ui.spacing_mut().item_spacing.y = size::TINY_GAP;
        let n_buckets = buckets_for(ui.available_width());
        for part in &group.parts {
            shared.series.want(&part.key, zoom, n_buckets, look);
        }
        ui.allocate_ui_with_layout(Vec2::new(ui.available_width(), 22.0), Layout::right_to_left(Align::Center), |ui| {
            let (icon, text) = if large {
                (ph::ARROWS_IN_SIMPLE, format!("Show all plots beside {}", group.key))
            } else {
                (ph::ARROWS_OUT_SIMPLE, format!("Enlarge {}", group.key))
            };
            toggled = widgets::icon_button(ui, icon, &text).clicked();
            for part in group.parts.iter().rev() {
                let color = split_color(theme, part.split);
                ui.label(
                    RichText::new(value_text(&part.key.key, part.value))
                        .font(theme::mono(font_size::LABEL))
                        .color(theme.text),
                );
                ui.label(RichText::new(part.split.as_str()).size(font_size::LABEL).color(theme.muted));
                let (dot, _) = ui.allocate_exact_size(Vec2::splat(8.0), egui::Sense::hover());
                ui.painter().circle_filled(dot.center(), 3.5, color);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let title = RichText::new(&group.title).font(theme::medium(font_size::BODY)).color(theme.text);
                ui.add(egui::Label::new(title).truncate()).on_hover_text(&group.key);
            });
        });
        let Shared { series, cursor, .. } = shared;
        let mut traces = Vec::with_capacity(group.parts.len());
        for part in &group.parts {
            match series.get(&part.key) {
                Shown::Ready(drawn) => traces.push(Trace {
                    name: part.split.as_str(),
                    color: split_color(theme, part.split),
                    dashed: false,
                    drawn,
                }),
                Shown::Loading => {}
                Shown::Failed(failure) => {
                    ui.add(
                        egui::Label::new(RichText::new(widgets::sentence(&failure.message)).color(theme.bad)).wrap(),
                    );
                }
            }
        }
        if traces.is_empty() {
            // The place is kept, so that nothing jumps when the points come.
            ui.allocate_space(Vec2::new(ui.available_width(), height));
            return None;
        }
        plots::curves(ui, ("curve", &group.key, large, link), height, look, Some(link), cursor, &traces).zoomed
    })
    .inner;
    (zoomed, toggled)
}
