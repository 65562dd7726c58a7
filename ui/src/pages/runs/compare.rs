//! Runs side by side: their curves over each other, what they were given, what came out, and how the two hang together.

use std::collections::{BTreeSet, HashMap, HashSet};

use athanor_protocol::{
    Code, Failure,
    api::{Event, RunGet, SeriesKey},
    metric::{METRICS, MetricValue, Split, metric_info},
    names::RunId,
    run::RunSummary,
};
use egui::{Align, Color32, Layout, RichText, Sense, Ui, Vec2};

use super::{
    Shared,
    curves::LookBar,
    matrix::{self, Cell, Heading},
    naming::{Colors, latest, metric_title, note_latest, run_name},
    parallel::Parallel,
    plots::{self, CARD_HEIGHT, PLOT_HEIGHT, Trace, series_look, shortened},
    rows::Rows,
    scatter::Scatter,
    series::{Shown, buckets_for},
};
use crate::{
    desk::Ticket,
    format,
    icons::{self, ph},
    pages::{Cx, Go},
    theme::{self, Theme, font_size, size},
    widgets,
};

/// Runs that are asked for at a time.
const AT_ONCE: usize = 8;
/// Points of all curves that are seen at a time.
const POINTS: usize = 30_000;
/// Most curves in a plot: more cannot be told apart.
const MOST: usize = 200;
const LEGEND: f32 = 210.0;

/// A view of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    #[default]
    Curves,
    Params,
    Metrics,
    Parallel,
    Scatter,
}

impl Tab {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Curves, "Curves"),
        (Self::Params, "Parameters"),
        (Self::Metrics, "Metrics"),
        (Self::Parallel, "Parallel"),
        (Self::Scatter, "Scatter"),
    ];
}

/// One of the runs.
pub(super) struct One {
    /// Which.
    pub(super) id: RunId,
    /// Its name.
    pub(super) name: String,
    /// Its colour's place.
    pub(super) place: usize,
    /// Whether its curves are shown.
    pub(super) shown: bool,
    state: State,
}

enum State {
    Waiting,
    Asked(Ticket<RunGet>),
    Gone(Failure),
    Here(Box<RunSummary>, Vec<(String, String)>),
}

impl One {
    /// The value of a parameter.
    pub(super) fn param(&self, key: &str) -> Option<&str> {
        match &self.state {
            State::Here(_, params) => params.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()),
            _ => None,
        }
    }

    /// The latest value of a metric.
    pub(super) fn metric(&self, split: Split, key: &str) -> Option<MetricValue> {
        match &self.state {
            State::Here(summary, _) => latest(&summary.latest, split, key).map(|point| point.value),
            _ => None,
        }
    }
}

/// What the runs have between them.
#[derive(Default)]
pub(super) struct Between {
    /// Parameters: those that differ first.
    pub(super) params: Vec<String>,
    /// How many of them differ.
    pub(super) n_differ: usize,
    /// Metrics, the usual ones first.
    pub(super) metrics: Vec<(Split, String)>,
    /// The best value of each of them, where one is better than another.
    best: Vec<Option<f64>>,
    /// Grows with every change.
    pub(super) version: u64,
}

/// Runs side by side.
pub(super) struct Compare {
    runs: Vec<One>,
    between: Between,
    changed: bool,
    refreshed_at: f64,
    tab: Tab,
    search: String,
    bar: LookBar,
    parallel: Parallel,
    scatter: Scatter,
}

impl Compare {
    /// These runs.
    pub(super) fn new(ids: Vec<RunId>) -> Self {
        let mut known = HashSet::new();
        let one = |id: RunId| One {
            name: super::naming::short(&id).to_owned(),
            id,
            place: 0,
            shown: true,
            state: State::Waiting,
        };
        Self {
            runs: ids.into_iter().filter(|id| known.insert(id.clone())).map(one).collect(),
            between: Between::default(),
            changed: true,
            refreshed_at: f64::NEG_INFINITY,
            tab: Tab::default(),
            search: String::new(),
            bar: LookBar::default(),
            parallel: Parallel::default(),
            scatter: Scatter::default(),
        }
    }

    /// For the top bar.
    pub(super) fn title(&self) -> String {
        format!("Compare {}", format::plural(self.runs.len() as u64, "run"))
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::RunChanged { run } => {
                if let Some(State::Here(summary, _)) = self.state_of(&run.id) {
                    **summary = (**run).clone();
                    self.changed = true;
                }
            }
            Event::RunMetrics { run, points } => {
                if let Some(State::Here(summary, _)) = self.state_of(run) {
                    note_latest(&mut summary.latest, points);
                    self.changed = true;
                }
            }
            Event::Lagged {} => {
                for run in &mut self.runs {
                    run.state = State::Waiting;
                }
            }
            _ => {}
        }
    }

    fn state_of(&mut self, id: &RunId) -> Option<&mut State> {
        self.runs.iter_mut().find(|run| run.id == *id).map(|run| &mut run.state)
    }

    fn keep(&mut self, rows: &Rows, cx: &mut Cx<'_>) {
        let mut in_flight = self.runs.iter().filter(|run| matches!(run.state, State::Asked(_))).count();
        for run in &mut self.runs {
            match &run.state {
                State::Waiting => {
                    // What the list knows need not be asked for.
                    if let Some(row) = rows.find(&run.id) {
                        run.name = run_name(&row.summary);
                        run.state = State::Here(Box::new(row.summary.clone()), row.params.clone());
                        self.changed = true;
                    } else if in_flight < AT_ONCE {
                        in_flight += 1;
                        run.state = State::Asked(cx.desk.ask(RunGet { run: run.id.clone() }));
                    }
                }
                State::Asked(ticket) => {
                    let Some(result) = cx.desk.take(*ticket) else { continue };
                    self.changed = true;
                    run.state = match result {
                        Ok(view) => {
                            run.name = run_name(&view.detail.summary);
                            State::Here(Box::new(view.detail.summary), view.detail.params)
                        }
                        Err(failure) => State::Gone(failure),
                    };
                }
                State::Gone(_) | State::Here(..) => {}
            }
        }
    }

    /// What the runs have between them, made anew twice a second at most: it goes through all of them.
    fn refresh(&mut self, ui: &Ui, now_secs: f64, colors: &mut Colors) {
        if !self.changed {
            return;
        }
        let wait = self.refreshed_at + 0.5 - now_secs;
        if wait > 0.0 && self.runs.len() > 50 {
            ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
            return;
        }
        (self.changed, self.refreshed_at) = (false, now_secs);
        // The colours of the list, where they tell these runs apart; else one after the other.
        let places: Vec<usize> = self.runs.iter().map(|run| colors.place(&run.id)).collect();
        let distinct: BTreeSet<usize> = places.iter().map(|place| place % 16).collect();
        for (at, run) in self.runs.iter_mut().enumerate() {
            run.place = if distinct.len() == places.len() { places[at] } else { at };
        }
        let (mut params, mut metrics) = (BTreeSet::new(), BTreeSet::new());
        for run in &self.runs {
            if let State::Here(summary, own) = &run.state {
                for (key, _) in own {
                    if !params.contains(key) {
                        params.insert(key.clone());
                    }
                }
                let seen = summary.latest.iter().filter(|point| point.split != Split::System);
                metrics.extend(seen.map(|point| (point.split, point.key.clone())));
            }
        }
        let here: Vec<&One> = self.runs.iter().filter(|run| matches!(run.state, State::Here(..))).collect();
        let differs = |key: &String| {
            let mut values = here.iter().map(|run| run.param(key));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        let (differing, same): (Vec<String>, Vec<String>) = params.into_iter().partition(differs);
        let rank = |key: &str| METRICS.iter().position(|info| info.key == key).unwrap_or(METRICS.len());
        let split_rank = |split: Split| match split {
            Split::Valid => 0,
            Split::Test => 1,
            Split::Train => 2,
            Split::System => 3,
        };
        let mut metrics: Vec<(Split, String)> = metrics.into_iter().collect();
        metrics.sort_by_cached_key(|(split, key)| (rank(key), key.clone(), split_rank(*split)));
        let mut best: HashMap<(Split, &str), f64> = HashMap::new();
        for run in &here {
            let State::Here(summary, _) = &run.state else { continue };
            for point in &summary.latest {
                let better = metric_info(&point.key).and_then(|info| info.higher_is_better);
                if let (Some(higher), Some(value)) = (better, point.value.finite()) {
                    let known = best.entry((point.split, point.key.as_str())).or_insert(value);
                    *known = if higher { known.max(value) } else { known.min(value) };
                }
            }
        }
        let best = metrics.iter().map(|(split, key)| best.get(&(*split, key.as_str())).copied()).collect();
        self.between = Between {
            n_differ: differing.len(),
            params: differing.into_iter().chain(same).collect(),
            metrics,
            best,
            version: self.between.version + 1,
        };
    }

    /// Draws it; true for Back.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared, rows: &Rows, cx: &mut Cx<'_>) -> bool {
        self.keep(rows, cx);
        self.refresh(ui, cx.desk.now_secs(), &mut shared.colors);
        let mut back = false;
        egui::Frame::new().inner_margin(egui::Margin::symmetric(size::PAGE as i8, 16)).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP + size::TINY_GAP;
            ui.horizontal(|ui| {
                back = widgets::icon_button(ui, ph::ARROW_LEFT, "Back to the runs").clicked();
                widgets::segments(ui, &mut self.tab, &Tab::ALL);
                let waiting =
                    self.runs.iter().filter(|run| matches!(run.state, State::Waiting | State::Asked(_))).count();
                if waiting > 0 {
                    widgets::loading(ui, &format!("{} to come", format::plural(waiting as u64, "run")));
                }
            });
            if self.runs.is_empty() {
                let text = "Select some in the list and press Compare.";
                back |= widgets::empty_state(
                    ui,
                    ph::SCALES,
                    "No runs to compare",
                    text,
                    Some((ph::ARROW_LEFT, "To the runs")),
                );
                return;
            }
            let height = ui.available_height();
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = size::GAP;
                ui.allocate_ui_with_layout(Vec2::new(LEGEND, height), Layout::top_down(Align::Min), |ui| {
                    self.legend(ui, cx)
                });
                ui.allocate_ui_with_layout(
                    Vec2::new(ui.available_width(), height),
                    Layout::top_down(Align::Min),
                    |ui| {
                        ui.spacing_mut().item_spacing = Vec2::splat(size::SMALL_GAP);
                        match self.tab {
                            Tab::Curves => self.curves(ui, shared, cx),
                            Tab::Params => self.params(ui, cx),
                            Tab::Metrics => self.metrics(ui, cx),
                            Tab::Parallel => {
                                if let Some(runs) = self.parallel.ui(ui, &self.runs, &self.between, cx) {
                                    cx.go.push(Go::Compare(runs));
                                }
                            }
                            Tab::Scatter => {
                                if let Some(run) = self.scatter.ui(ui, &self.runs, &self.between, cx) {
                                    cx.go.push(Go::Run(run));
                                }
                            }
                        }
                    },
                );
            });
        });
        back
    }

    fn legend(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let mut open = None;
        widgets::card(ui, |ui| {
            ui.set_height(ui.available_height());
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.horizontal(|ui| {
                widgets::label(ui, &format::plural(self.runs.iter().filter(|run| run.shown).count() as u64, "curve"));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let all = self.runs.iter().all(|run| run.shown);
                    if widgets::link(ui, if all { "Hide all" } else { "Show all" }).clicked() {
                        for run in &mut self.runs {
                            run.shown = !all;
                        }
                    }
                });
            });
            let n = self.runs.len();
            let dashes = self.runs.iter().filter(|run| run.shown).count() <= plots::DASHES;
            egui::ScrollArea::vertical().id_salt("legend").auto_shrink([false, false]).show_rows(
                ui,
                26.0,
                n,
                |ui, range| {
                    for run in self.runs.get_mut(range).unwrap_or(&mut []) {
                        match legend_row(ui, run, dashes) {
                            Some(LegendDo::Toggle) => run.shown = !run.shown,
                            Some(LegendDo::Open) => open = Some(run.id.clone()),
                            None => {}
                        }
                    }
                },
            );
        });
        if let Some(run) = open {
            cx.go.push(Go::Run(run));
        }
    }

    fn curves(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        ui.horizontal(|ui| {
            widgets::search_field(ui, "Search metrics", &mut self.search, 150.0);
            self.bar.ui(ui, cx);
        });
        let wanted = self.search.to_lowercase();
        let fits = |(split, key): &&(Split, String)| {
            wanted.is_empty() || metric_title(*split, key).to_lowercase().contains(&wanted) || key.contains(&wanted)
        };
        let metrics: Vec<&(Split, String)> = self.between.metrics.iter().filter(fits).collect();
        if metrics.is_empty() {
            self.nothing(ui, "No metric to draw", "None of these runs has reported a metric with this in its name.");
            return;
        }
        let look = self.bar.look();
        let link = self.bar.link("compare curves");
        let zoom = self.bar.zoom();
        let n_shown = self.runs.iter().filter(|run| run.shown).count();
        let runs: Vec<&One> = self.runs.iter().filter(|run| run.shown).take(MOST).collect();
        if n_shown > MOST {
            widgets::muted(
                ui,
                &format!(
                    "The first {MOST} of {} are drawn: hide some to see others.",
                    format::plural(n_shown as u64, "curve")
                ),
            );
        }
        let width = ui.available_width() - 8.0;
        let n_columns = ((width / 380.0).floor() as usize).clamp(1, 4);
        let cell = (width - (n_columns - 1) as f32 * size::GAP) / n_columns as f32;
        let n_rows = metrics.len().div_ceil(n_columns);
        let seen = n_columns * ((ui.available_height() / CARD_HEIGHT).ceil() as usize + 1).min(n_rows);
        let most = (POINTS / (runs.len() * seen).max(1)).max(64) as u32;
        let mut zoomed = None;
        ui.scope(|ui| {
            ui.spacing_mut().item_spacing = Vec2::splat(size::GAP);
            egui::ScrollArea::vertical().id_salt("compare curves").auto_shrink([false, false]).show_rows(
                ui,
                CARD_HEIGHT,
                n_rows,
                |ui, rows| {
                    for row in rows {
                        ui.horizontal_top(|ui| {
                            for (split, key) in metrics.iter().skip(row * n_columns).take(n_columns) {
                                ui.allocate_ui_with_layout(
                                    Vec2::new(cell, CARD_HEIGHT),
                                    Layout::top_down(Align::Min),
                                    |ui| {
                                        let title = metric_title(*split, key);
                                        let range = widgets::card(ui, |ui| {
                                            ui.spacing_mut().item_spacing.y = size::TINY_GAP;
                                            ui.allocate_ui(Vec2::new(ui.available_width(), 22.0), |ui| {
                                                let text = RichText::new(&title)
                                                    .font(theme::medium(font_size::BODY))
                                                    .color(cx.theme.text);
                                                ui.add(egui::Label::new(text).truncate());
                                            });
                                            let n_buckets = buckets_for(ui.available_width()).min(most);
                                            let keys: Vec<SeriesKey> = runs
                                                .iter()
                                                .map(|run| SeriesKey {
                                                    run: run.id.clone(),
                                                    key: key.clone(),
                                                    split: *split,
                                                })
                                                .collect();
                                            overlaid(ui, &title, &runs, &keys, (look, link, zoom, n_buckets), shared)
                                        })
                                        .inner;
                                        zoomed = zoomed.or(range);
                                    },
                                );
                            }
                        });
                    }
                },
            );
        });
        self.bar.settle(ui, zoomed, cx.desk.now_secs());
    }

    fn nothing(&self, ui: &mut Ui, title: &str, text: &str) {
        let waiting = self.runs.iter().any(|run| matches!(run.state, State::Waiting | State::Asked(_)));
        let refused = self.runs.iter().find_map(|run| match &run.state {
            State::Gone(failure) if failure.code != Code::NotFound => Some(failure.clone()),
            _ => None,
        });
        if let Some(failure) = refused {
            widgets::failure(ui, &failure);
        } else if !waiting {
            widgets::empty_state(ui, ph::SCALES, title, text, None);
        }
    }

    fn heading(&self, theme: &Theme, column: usize) -> Heading {
        let run = &self.runs[column];
        Heading { text: run.name.clone(), color: series_look(theme, run.place).0 }
    }

    fn open_column(&self, clicked: Option<usize>, cx: &mut Cx<'_>) {
        if let Some(run) = clicked.and_then(|at| self.runs.get(at)) {
            cx.go.push(Go::Run(run.id.clone()));
        }
    }

    fn params(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let n_differ = self.between.n_differ;
        let fact = format!("{} of {} differ", n_differ, format::plural(self.between.params.len() as u64, "parameter"));
        ui.horizontal(|ui| {
            widgets::search_field(ui, "Search parameters", &mut self.search, 200.0);
            widgets::muted(ui, &fact);
        });
        let wanted = self.search.to_lowercase();
        let fits = |(_, key): &(usize, &String)| wanted.is_empty() || key.to_lowercase().contains(&wanted);
        let params: Vec<(usize, &String)> = self.between.params.iter().enumerate().filter(fits).collect();
        if params.is_empty() {
            self.nothing(ui, "No parameter to compare", "None of these runs has a parameter with this in its name.");
            return;
        }
        let clicked = widgets::card(ui, |ui| {
            ui.set_height(ui.available_height());
            matrix::show(
                ui,
                "params",
                (params.len(), self.runs.len()),
                |column| self.heading(cx.theme, column),
                |row| (params[row].1.clone(), params[row].0 >= n_differ),
                |row, column| {
                    let value = self.runs[column].param(params[row].1);
                    Cell { text: value.unwrap_or("–").to_owned(), best: false, quiet: params[row].0 >= n_differ }
                },
            )
        })
        .inner;
        self.open_column(clicked, cx);
    }

    fn metrics(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.horizontal(|ui| {
            widgets::search_field(ui, "Search metrics", &mut self.search, 200.0);
            widgets::muted(ui, "the last value of each run, the best marked");
        });
        let wanted = self.search.to_lowercase();
        let fits = |(split, key): &&(Split, String)| {
            wanted.is_empty() || metric_title(*split, key).to_lowercase().contains(&wanted)
        };
        let metrics: Vec<(&(Split, String), Option<f64>)> = self
            .between
            .metrics
            .iter()
            .zip(self.between.best.iter().copied())
            .filter(|(metric, _)| fits(metric))
            .collect();
        if metrics.is_empty() {
            self.nothing(ui, "No metric to compare", "None of these runs has reported a metric with this in its name.");
            return;
        }
        let clicked = widgets::card(ui, |ui| {
            ui.set_height(ui.available_height());
            matrix::show(
                ui,
                "metrics",
                (metrics.len(), self.runs.len()),
                |column| self.heading(cx.theme, column),
                |row| (metric_title(metrics[row].0.0, &metrics[row].0.1), false),
                |row, column| {
                    let ((split, key), best) = metrics[row];
                    let value = self.runs[column].metric(*split, key);
                    let is_best = best.is_some() && value.and_then(MetricValue::finite) == best;
                    Cell {
                        text: value.map_or_else(|| "–".to_owned(), format::metric),
                        best: is_best && self.runs.len() > 1,
                        quiet: value.is_none(),
                    }
                },
            )
        })
        .inner;
        self.open_column(clicked, cx);
    }
}

enum LegendDo {
    Toggle,
    Open,
}

fn legend_row(ui: &mut Ui, run: &One, dashes: bool) -> Option<LegendDo> {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 26.0), Sense::click());
    response.widget_info(|| {
        egui::WidgetInfo::selected(egui::WidgetType::Checkbox, true, run.shown, format!("Show {}", run.name))
    });
    let over = response.hovered();
    if over {
        ui.painter().rect_filled(rect, theme::radius::CONTROL, theme.sunken);
    }
    let (color, dashed) = series_look(theme, run.place);
    let color: Color32 = if run.shown { color } else { theme.faint };
    let y = rect.center().y;
    let from = rect.left() + 4.0;
    if dashed && dashes {
        ui.painter().hline(from..=from + 5.0, y, egui::Stroke::new(2.5, color));
        ui.painter().hline(from + 8.0..=from + 13.0, y, egui::Stroke::new(2.5, color));
    } else {
        ui.painter().hline(from..=from + 13.0, y, egui::Stroke::new(2.5, color));
    }
    let ink = if run.shown { theme.text } else { theme.muted };
    let gone = matches!(run.state, State::Gone(_));
    let text = if gone { format!("{} is gone", run.name) } else { shortened(&run.name, 20) };
    let at = egui::pos2(rect.left() + 24.0, y);
    ui.painter().text(at, egui::Align2::LEFT_CENTER, text, theme::regular(font_size::LABEL + 1.0), ink);
    let mut done = response.clicked().then_some(LegendDo::Toggle);
    if over || response.has_focus() {
        let place = egui::Rect::from_center_size(egui::pos2(rect.right() - 12.0, y), Vec2::splat(22.0));
        let open = ui.interact(place, ui.id().with(("open", run.id.as_str())), Sense::click());
        open.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, true, format!("Open {}", run.name)));
        icons::paint(ui, place.center(), ph::ARROW_SQUARE_OUT, 14.0, theme.muted);
        if open.on_hover_text("Open this run").clicked() {
            done = Some(LegendDo::Open);
        }
    }
    match &run.state {
        State::Gone(failure) => response.on_hover_text(widgets::sentence(&failure.message)),
        _ => response.on_hover_text(&run.name),
    };
    done
}

fn overlaid(
    ui: &mut Ui,
    title: &str,
    runs: &[&One],
    keys: &[SeriesKey],
    (look, link, zoom, n_buckets): (super::curve::Look, egui::Id, Option<[u64; 2]>, u32),
    shared: &mut Shared,
) -> Option<[f64; 2]> {
    let theme = Theme::of(ui);
    for key in keys {
        shared.series.want(key, zoom, n_buckets, look);
    }
    let Shared { series, cursor, .. } = shared;
    let mut traces = Vec::with_capacity(keys.len());
    let mut loading = false;
    for (run, key) in runs.iter().zip(keys) {
        match series.get(key) {
            // A run that does not have this metric has no line.
            Shown::Ready(drawn) if drawn.n_points > 0 => {
                let (color, dashed) = series_look(theme, run.place);
                traces.push(Trace { name: &run.name, color, dashed, drawn });
            }
            Shown::Loading => loading = true,
            Shown::Ready(_) | Shown::Failed(_) => {}
        }
    }
    if traces.is_empty() && loading {
        ui.allocate_space(Vec2::new(ui.available_width(), PLOT_HEIGHT));
        return None;
    }
    plots::curves(ui, ("overlaid", title, link), PLOT_HEIGHT, look, Some(link), cursor, &traces).zoomed
}
