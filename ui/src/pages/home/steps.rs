//! The guided start, drawn: four steps under each other, the next one open.

use athanor_protocol::{
    api::Series,
    metric::{MetricPoint, Split},
    run::{RunStatus, StepState},
};
use egui::{Align, Align2, Color32, Layout, Pos2, Rect, RichText, Sense, Ui, Vec2, WidgetInfo, WidgetType};
use egui_plot::{Line, PlotPoints};

use super::{
    answer,
    guide::{Guide, State, Step, TABLE},
};
use crate::{
    format,
    icons::{self, ph},
    pages::{Cx, Go, Route},
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Width of the column with the steps' numbers.
const RAIL: f32 = 44.0;

/// What the user wants of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Open the sample workspace.
    Sample,
}

fn title(step: Step) -> &'static str {
    match step {
        Step::Open => "Open a real table",
        Step::Train => "Train a model",
        Step::Publish => "Publish it",
        Step::Ask => "Ask it",
    }
}

/// What a step is about, before it is done.
fn about(step: Step) -> &'static str {
    match step {
        Step::Open => "569 tumours, each measured in 30 ways and judged benign or malignant by a doctor.",
        Step::Train => {
            "A small network learns from most of the rows and is judged on rows that it never saw. It takes seconds."
        }
        Step::Publish => "The model becomes a version in the registry, and the one that is served.",
        Step::Ask => "An endpoint on this machine answers over HTTP. Send it a row and see what it says.",
    }
}

/// What came of a step, once it is done.
fn outcome(guide: &Guide, step: Step) -> String {
    match step {
        Step::Open => {
            let size = guide.table().and_then(|table| table.n_bytes).map(format::bytes).unwrap_or_default();
            format!("{TABLE}, {size}")
        }
        Step::Train => {
            let latest = guide.view().map(|view| view.detail.summary.latest.as_slice()).unwrap_or_default();
            match of_test(latest, "accuracy") {
                Some(accuracy) => format!("{:.1} % right on rows that it never saw", accuracy * 100.0),
                None => "Finished".to_owned(),
            }
        }
        Step::Publish => guide
            .version()
            .map_or_else(String::new, |(version, _)| format!("{}:{version} is in production", super::guide::MODEL)),
        Step::Ask => guide.url().map_or_else(|| "It answered".to_owned(), |url| format!("It answers at {url}")),
    }
}

/// The latest value of a metric on the test rows.
fn of_test(latest: &[MetricPoint], key: &str) -> Option<f64> {
    latest.iter().find(|point| point.split == Split::Test && point.key == key)?.value.finite()
}

/// Draws the steps.
pub fn show(ui: &mut Ui, guide: &mut Guide, cx: &mut Cx<'_>) -> Option<Asked> {
    let mut asked = None;
    // Where everything is done the answer stays on the screen.
    let open = guide.unfolded.or_else(|| guide.next()).or(Some(Step::Ask));
    for step in Step::ALL {
        let state = guide.state(step);
        let top = ui.cursor().top();
        let left = ui.cursor().left();
        let unfold = open == Some(step);
        let inner = ui.horizontal_top(|ui| {
            ui.add_space(RAIL);
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 6.0;
                ui.set_width(ui.available_width());
                heading(ui, guide, step, state, unfold);
                if unfold {
                    asked = body(ui, guide, step, state, cx).or(asked);
                }
                ui.add_space(if step == Step::Ask { 0.0 } else { 14.0 });
            });
        });
        let bottom = inner.response.rect.bottom();
        mark(ui, Pos2::new(left + 14.0, top + 15.0), step, state, bottom);
    }
    asked
}

/// The step's number or state, and the line to the next one.
fn mark(ui: &Ui, center: Pos2, step: Step, state: State, bottom: f32) {
    let theme = Theme::of(ui);
    let painter = ui.painter();
    if step != Step::Ask {
        let line = if state == State::Done { mix(theme.line, theme.ok, 0.6) } else { theme.line };
        let range = egui::Rangef::new(center.y + 18.0, bottom + ui.spacing().item_spacing.y - 4.0);
        painter.vline(center.x, range, egui::Stroke::new(1.5, line));
    }
    let (fill, line, ink) = match state {
        State::Done => (theme.tint(theme.ok), mix(theme.panel, theme.ok, 0.5), theme.ok),
        State::Active => (theme.accent, theme.accent, theme.on_accent),
        State::Working => (theme.soft, theme.accent, theme.accent),
        State::Waiting => (theme.panel, theme.line, theme.muted),
    };
    painter.circle(center, 14.0, fill, egui::Stroke::new(1.0, line));
    match state {
        State::Done => icons::paint(ui, center, ph::CHECK, 15.0, ink),
        _ => {
            let number = (step as usize + 1).to_string();
            painter.text(center, Align2::CENTER_CENTER, number, theme::semibold(font_size::BODY), ink);
        }
    }
}

fn heading(ui: &mut Ui, guide: &mut Guide, step: Step, state: State, unfold: bool) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 30.0), Sense::click());
    let says = match state {
        State::Done => "done",
        State::Active => "next",
        State::Working => "at work",
        State::Waiting => "later",
    };
    response.widget_info(|| {
        let name = format!("Step {}, {}, {says}", step as usize + 1, title(step));
        WidgetInfo::selected(WidgetType::Button, true, unfold, name)
    });
    let ink = if state == State::Waiting { theme.muted } else { theme.text };
    let galley = ui.painter().layout_no_wrap(title(step).to_owned(), theme::semibold(font_size::TITLE - 1.0), ink);
    let at = Pos2::new(rect.left(), rect.center().y - galley.size().y / 2.0);
    let width = galley.size().x;
    ui.painter().galley(at, galley, ink);
    if state == State::Done && !unfold {
        let room = Rect::from_min_max(Pos2::new(rect.left() + width + 12.0, rect.top()), rect.max);
        let painter = ui.painter().with_clip_rect(room.intersect(ui.clip_rect()));
        let text = outcome(guide, step);
        painter.text(room.left_center(), Align2::LEFT_CENTER, text, theme::regular(font_size::BODY), theme.muted);
    }
    widgets::focus_ring(ui, &response, rect);
    if response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked() {
        guide.unfolded = if guide.unfolded == Some(step) { None } else { Some(step) };
    }
}

fn body(ui: &mut Ui, guide: &mut Guide, step: Step, state: State, cx: &mut Cx<'_>) -> Option<Asked> {
    let mut asked = None;
    let about = if state == State::Done { outcome(guide, step) } else { about(step).to_owned() };
    let text = RichText::new(about).color(Theme::of(ui).muted);
    ui.add(egui::Label::new(text).wrap().selectable(true));
    if let Some(failure) = guide.failure(step).cloned()
        && widgets::failure(ui, &failure)
    {
        act(guide, step, cx, &mut asked);
    }
    match step {
        Step::Open => open_ui(ui, guide, state, cx, &mut asked),
        Step::Train => train_ui(ui, guide, state, cx),
        Step::Publish => publish_ui(ui, guide, state, cx),
        Step::Ask => answer::show(ui, guide, state, cx),
    }
    if let Some(doing) = guide.doing(step, cx.desk) {
        widgets::loading(ui, doing);
    }
    asked
}

/// The step's own action.
fn act(guide: &mut Guide, step: Step, cx: &mut Cx<'_>, asked: &mut Option<Asked>) {
    match step {
        Step::Open => *asked = Some(Asked::Sample),
        Step::Train => guide.train(cx.desk),
        Step::Publish => guide.publish(cx.desk),
        Step::Ask => guide.ask(cx.desk),
    }
}

/// A step's button: loud where it is the next thing to do, quiet where it does a step again.
pub fn action(ui: &mut Ui, guide: &Guide, state: State, icon: &str, text: &str, again: &str, cx: &Cx<'_>) -> bool {
    if state == State::Working {
        return false;
    }
    let may = !guide.is_busy() && cx.desk.may_change();
    let clicked = ui
        .add_enabled_ui(may && state != State::Waiting, |ui| match state {
            State::Done => widgets::quiet(ui, ph::ARROW_CLOCKWISE, again).clicked(),
            State::Active => widgets::primary(ui, icon, text).clicked(),
            State::Working | State::Waiting => widgets::secondary(ui, icon, text).clicked(),
        })
        .inner;
    if state == State::Waiting {
        let color = Theme::of(ui).muted;
        ui.label(RichText::new("after the steps above").size(font_size::LABEL + 0.5).color(color));
    }
    clicked
}

fn open_ui(ui: &mut Ui, guide: &Guide, state: State, cx: &mut Cx<'_>, asked: &mut Option<Asked>) {
    ui.horizontal_wrapped(|ui| {
        if state == State::Done {
            if let Some(table) = guide.table()
                && widgets::secondary(ui, ph::TABLE, "Look at the table").clicked()
            {
                cx.go.push(Go::Table(table.path.clone()));
            }
        } else {
            if widgets::primary(ui, ph::FOLDER_OPEN, "Open the sample workspace").clicked() {
                *asked = Some(Asked::Sample);
            }
            if let Some(open) = cx.desk.workspace() {
                widgets::muted(
                    ui,
                    &format!("{} has no {TABLE}. It stays as it is, in the list of recent ones.", open.name),
                );
            }
        }
    });
}

fn train_ui(ui: &mut Ui, guide: &mut Guide, state: State, cx: &mut Cx<'_>) {
    let status = guide.status();
    if let (Some(status), Some(run)) = (status, guide.run_id()) {
        if state == State::Working && !status.is_final() {
            progress(ui, guide, cx);
        }
        if matches!(status, RunStatus::Failed | RunStatus::Cancelled) && guide.failure(Step::Train).is_none() {
            let failure = guide.view().and_then(|view| view.detail.summary.failure.clone());
            match failure.filter(|_| status == RunStatus::Failed) {
                Some(failure) => {
                    if widgets::failure(ui, &failure) {
                        guide.train(cx.desk);
                    }
                }
                None => drop(widgets::muted(ui, "The run was stopped. Train again to go on.")),
            }
        }
        if let Some(series) = guide.curve() {
            curve(ui, series, 150.0);
        }
        ui.horizontal_wrapped(|ui| {
            if action(ui, guide, state, ph::FLAME, "Train", "Train again", cx) {
                guide.train(cx.desk);
            }
            if widgets::quiet(ui, ph::CHART_LINE, "Look at the run").clicked() {
                cx.go.push(Go::Run(run.clone()));
            }
            if !status.is_final() && widgets::quiet(ui, ph::STOP, "Stop").clicked() {
                cx.desk.tell(athanor_protocol::api::RunCancel { run }.into());
            }
        });
        return;
    }
    ui.horizontal_wrapped(|ui| {
        if action(ui, guide, state, ph::FLAME, "Train", "Train again", cx) {
            guide.train(cx.desk);
        }
    });
}

/// How far the run is.
fn progress(ui: &mut Ui, guide: &Guide, cx: &Cx<'_>) {
    let live = guide.run_id().and_then(|run| cx.desk.at_work(&run)).and_then(|run| run.current());
    let known = guide.view().and_then(|view| view.progress.iter().find(|step| step.state == StepState::Running));
    let step = live.or(known);
    let share = step.filter(|step| step.total > 0).map(|step| step.done as f32 / step.total as f32);
    let note = match step {
        Some(step) if !step.note.is_empty() => format!("{}: {}", step.node, step.note),
        Some(step) => step.node.clone(),
        None => "Waiting for a worker".to_owned(),
    };
    let width = ui.available_width().min(420.0);
    widgets::progress(ui, share, width);
    widgets::muted(ui, &note);
}

/// Loss by step, for training and validation.
fn curve(ui: &mut Ui, series: &[Series], height: f32) {
    let theme = Theme::of(ui);
    if series.iter().all(|line| line.buckets.len() < 2) {
        return;
    }
    let colors = [theme.series(0), theme.series(1)];
    let names = ["training loss", "validation loss"];
    let lines: Vec<(Color32, &str, Vec<[f64; 2]>)> = series
        .iter()
        .zip(colors.into_iter().zip(names))
        .filter(|(line, _)| line.buckets.len() > 1)
        .map(|(line, (color, name))| {
            let points =
                line.buckets.iter().filter_map(|bucket| Some([bucket.step_max as f64, bucket.last?])).collect();
            (color, name, points)
        })
        .collect();
    let width = ui.available_width().min(640.0);
    ui.allocate_ui(Vec2::new(width, height), |ui| {
        widgets::quiet_plot(ui, "guide-curve", height, ("", format::number), ("", format::number))
            .allow_drag(false)
            .allow_zoom(false)
            .allow_boxed_zoom(false)
            .include_y(0.0)
            .show(ui, |plot| {
                for (color, name, points) in &lines {
                    plot.line(Line::new(*name, PlotPoints::from(points.clone())).color(*color).width(1.8));
                }
            });
    });
    widgets::tight(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        for (color, name, _) in &lines {
            let (rect, _) = ui.allocate_exact_size(Vec2::new(12.0, 14.0), Sense::hover());
            ui.painter().circle_filled(rect.center(), 4.0, *color);
            ui.label(RichText::new(*name).size(font_size::LABEL).color(theme.muted));
            ui.add_space(8.0);
        }
    });
}

fn publish_ui(ui: &mut Ui, guide: &mut Guide, state: State, cx: &mut Cx<'_>) {
    ui.horizontal_wrapped(|ui| {
        if state == State::Done {
            if widgets::quiet(ui, ph::CUBE, "Look at the model").clicked() {
                cx.go.push(Go::Model(super::guide::MODEL.to_owned()));
            }
        } else if action(ui, guide, state, ph::ROCKET_LAUNCH, "Publish", "Publish again", cx) {
            guide.publish(cx.desk);
        }
    });
}

/// A quiet frame for what a step shows.
pub fn inset<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let theme = Theme::of(ui);
    egui::Frame::new()
        .fill(mix(theme.panel, theme.sunken, 0.6))
        .corner_radius(radius::NODE)
        .inner_margin(14)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            add(ui)
        })
        .inner
}

/// The end: everything is done, and where to go from here.
pub fn finished(ui: &mut Ui, cx: &mut Cx<'_>) {
    let theme = Theme::of(ui);
    inset(ui, |ui| {
        ui.label(RichText::new("That was all of it").font(theme::semibold(font_size::BODY + 1.0)).color(theme.text));
        widgets::muted(ui, "Now with a table of your own: drop a CSV or Parquet file on the window.");
        ui.horizontal_wrapped(|ui| {
            if widgets::primary(ui, ph::TABLE, "Open a table of your own").clicked() {
                cx.go.push(Go::To(Route::Data));
            }
            if widgets::quiet(ui, ph::BROADCAST, "Look at the endpoint").clicked() {
                cx.go.push(Go::To(Route::Endpoints));
            }
        });
    });
}

/// A row with something at its right end.
pub fn ends(ui: &mut Ui, left: impl FnOnce(&mut Ui), right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        left(ui);
        ui.with_layout(Layout::right_to_left(Align::Center), right);
    });
}
