//! A model's card: who answers, how far the rollout is, both sides' figures, how near the guards are, why it ended.

use athanor_protocol::{
    api::ServedModel,
    rollout::{Rollout, RolloutMode, RolloutPhase, ShadowFigures, SideFigures},
};
use egui::{Align, Layout, RichText, Ui};

use super::{
    Act, bar,
    words::{self, percent},
};
use crate::{
    format,
    icons::ph,
    pages::endpoints::load::latency,
    theme::{self, Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Col, Kind},
};

/// Below this width the figures and the guards stand below each other.
const TWO_COLUMNS: f32 = 660.0;

/// What a card is drawn from.
pub(super) struct Shown<'a> {
    pub(super) served: &'a ServedModel,
    pub(super) rollout: Option<&'a Rollout>,
    /// Whether an act is under way.
    pub(super) busy: bool,
    pub(super) may_change: bool,
    pub(super) now: i64,
}

impl Shown<'_> {
    pub(super) fn ui(&self, ui: &mut Ui, acts: &mut Vec<Act>) {
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        self.head(ui, acts);
        let Some(rollout) = self.rollout else {
            widgets::muted(ui, &format!("Version {} answers every request.", self.served.version));
            return;
        };
        if rollout.phase == RolloutPhase::Running {
            bar::share_ui(ui, rollout);
            self.step_ui(ui, rollout);
        } else {
            self.ended_ui(ui, rollout);
        }
        ui.add_space(size::TINY_GAP);
        if ui.available_width() > TWO_COLUMNS {
            widgets::columns(ui, 2, |ui, at| if at == 0 { figures_ui(ui, rollout) } else { beside_ui(ui, rollout) });
        } else {
            figures_ui(ui, rollout);
            ui.add_space(size::TINY_GAP);
            beside_ui(ui, rollout);
        }
    }

    fn head(&self, ui: &mut Ui, acts: &mut Vec<Act>) {
        let theme = Theme::of(ui);
        ui.horizontal(|ui| {
            ui.set_height(size::CONTROL);
            let title = RichText::new(&self.served.model).font(theme::semibold(font_size::TITLE)).color(theme.text);
            ui.label(title);
            if let Some(rollout) = self.rollout {
                let (word, tone) = words::phase_title(rollout.phase);
                let color = if rollout.phase == RolloutPhase::Running { theme.accent } else { tone.color(theme) };
                widgets::small_pill(ui, color, word);
                widgets::tag(ui, words::mode_title(rollout.spec.mode));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.add_enabled_ui(self.may_change && !self.busy, |ui| self.buttons(ui, acts));
                if self.busy {
                    ui.add(egui::Spinner::new().size(size::ICON).color(theme.accent));
                }
            });
        });
    }

    /// From right to left, the main one first.
    fn buttons(&self, ui: &mut Ui, acts: &mut Vec<Act>) {
        let model = || self.served.model.clone();
        let why = "This workspace can only be looked at";
        match self.rollout {
            Some(rollout) if rollout.phase == RolloutPhase::Running => {
                let button = widgets::button(ui, Kind::Primary, Some(ph::ARROW_FAT_LINE_UP), "Promote");
                let help = format!("Version {} answers everything from now on", rollout.spec.candidate);
                if button.on_hover_text(help).on_disabled_hover_text(why).clicked() {
                    acts.push(Act::Promote(model()));
                }
                if rollout.step > 0 {
                    let button = widgets::button(ui, Kind::Secondary, Some(ph::ARROW_U_UP_LEFT), "One step back");
                    let before = rollout.spec.steps.get(rollout.step as usize - 1).map_or(0, |step| step.percent);
                    if button.on_hover_text(format!("Back to {before} %")).on_disabled_hover_text(why).clicked() {
                        acts.push(Act::Back(model()));
                    }
                }
                let button = widgets::button(ui, Kind::Secondary, Some(ph::X), "End");
                let help = format!("Version {} answers everything again", rollout.stable);
                if button.on_hover_text(help).on_disabled_hover_text(why).clicked() {
                    acts.push(Act::End(model()));
                }
            }
            ended => {
                let button = widgets::button(ui, Kind::Secondary, Some(ph::ARROWS_SPLIT), "Roll out a version");
                let help = "Let a new version take over step by step, or only watch it";
                if button.on_hover_text(help).on_disabled_hover_text(why).clicked() {
                    acts.push(Act::Ask { model: model(), candidate: None });
                }
                if let Some(rollout) = ended.filter(|ended| ended.phase == RolloutPhase::Promoted) {
                    let icon = ph::ARROW_COUNTER_CLOCKWISE;
                    let button = widgets::button(ui, Kind::Secondary, Some(icon), "Take it back");
                    let help = format!("Version {} answers everything again", rollout.stable);
                    if button.on_hover_text(help).on_disabled_hover_text(why).clicked() {
                        acts.push(Act::Back(model()));
                    }
                }
            }
        }
    }

    fn step_ui(&self, ui: &mut Ui, rollout: &Rollout) {
        let since = format::ago(rollout.started_at_millis, self.now);
        let line = words::step_line(rollout, self.now);
        let line = widgets::sentence(&format!("{line}; began {since}"));
        widgets::tight_wrapped(ui, |ui| {
            bar::steps_ui(ui, rollout);
            widgets::muted(ui, &line);
        });
        if let (Some(left), Some(step)) =
            (words::left_secs(rollout, self.now), rollout.spec.steps.get(rollout.step as usize))
        {
            let gone = 1.0 - left as f32 / step.secs.max(1) as f32;
            let width = ui.available_width();
            widgets::progress(ui, Some(gone), width).on_hover_text(format!("{} left", words::span(left)));
        }
    }

    fn ended_ui(&self, ui: &mut Ui, rollout: &Rollout) {
        let (_, tone) = words::phase_title(rollout.phase);
        let candidate = rollout.spec.candidate;
        let what = match rollout.phase {
            RolloutPhase::Promoted => format!("Version {candidate} took over from version {}", rollout.stable),
            RolloutPhase::RolledBack => {
                format!("Version {candidate} was taken back: version {} answers everything", rollout.stable)
            }
            _ => format!("Ended before anything came of it: version {} answers everything", rollout.stable),
        };
        let when = rollout.ended_at_millis.map(|at| format!(", {}", format::ago(at, self.now))).unwrap_or_default();
        let reason = rollout.reason.as_deref().map(widgets::sentence).unwrap_or_default();
        widgets::note(ui, tone, format!("{what}{when}. {reason}").trim());
    }
}

fn rate(side: &SideFigures) -> Option<f64> {
    (side.n_requests > 0).then(|| side.n_failed as f64 / side.n_requests as f64)
}

/// Both sides beside each other.
fn figures_ui(ui: &mut Ui, rollout: &Rollout) {
    let theme = Theme::of(ui);
    let figures = &rollout.figures;
    let titles = [format!("Version {}", rollout.stable), format!("Version {}", rollout.spec.candidate)];
    let columns = [Col::wide("So far"), Col::number(&titles[0], 92.0), Col::number(&titles[1], 92.0)];
    widgets::lines_header(ui, &columns);
    let sides = [&figures.stable, &figures.candidate];
    let value = |row: usize, side: &SideFigures| match row {
        0 => Some(format::count(side.n_requests)),
        1 => rate(side).map(percent),
        _ if side.n_requests == 0 => None,
        2 => Some(latency(side.p50_micros as f64)),
        _ => Some(latency(side.p99_micros as f64)),
    };
    for (row, (name, help)) in [
        ("Requests", "How many each side was asked"),
        ("Failed", "By the version's fault; refused requests of clients do not count"),
        ("Median", "Half of the answers were faster"),
        ("99th percentile", "99 of 100 answers were faster"),
    ]
    .into_iter()
    .enumerate()
    {
        let response = widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => widgets::cell_text(ui, name),
            _ => match sides.get(at - 1).and_then(|side| value(row, side)) {
                Some(text) => widgets::cell_mono(ui, &text),
                None => widgets::cell_none(ui),
            },
        });
        response.on_hover_text(help);
    }
    for (n, what) in [(figures.n_retried, "failed there"), (figures.n_spilled, "found no room there")] {
        if n > 0 {
            let text = format!("{} {what}; version {} answered.", format::plural(n, "request"), rollout.stable);
            ui.add_space(size::TINY_GAP);
            ui.add(egui::Label::new(RichText::new(text).color(theme.muted)).wrap());
        }
    }
}

/// The comparison of a shadow, then the guards.
fn beside_ui(ui: &mut Ui, rollout: &Rollout) {
    if rollout.spec.mode == RolloutMode::Shadow {
        shadow_ui(ui, &rollout.figures.shadow);
        ui.add_space(size::SMALL_GAP);
    }
    guards_ui(ui, rollout);
}

fn shadow_ui(ui: &mut Ui, shadow: &ShadowFigures) {
    let theme = Theme::of(ui);
    widgets::label(ui, "Compared with what was answered");
    if shadow.n_rows == 0 {
        widgets::muted(ui, "Nothing was compared yet.");
    } else {
        let agreed = shadow.n_agreed as f64 / shadow.n_rows as f64;
        widgets::share_bar(ui, "The same answer", agreed, &percent(agreed), theme.ok);
        let rows = [
            ("Compared".to_owned(), {
                let requests = format::plural(shadow.n_compared, "request");
                format!("{requests}, {}", format::plural(shadow.n_rows, "row"))
            }),
            ("Mean difference".to_owned(), format::number(shadow.mean_difference)),
            ("Largest difference".to_owned(), format::number(shadow.max_difference)),
        ];
        widgets::facts(ui, &rows);
    }
    if shadow.n_dropped > 0 {
        let text = format!("{} left out: no room or time for them.", format::plural(shadow.n_dropped, "request"));
        widgets::muted(ui, &text);
    }
}

/// What takes it back by itself, and how near that is.
fn guards_ui(ui: &mut Ui, rollout: &Rollout) {
    let (guards, figures) = (&rollout.spec.guards, &rollout.figures);
    let (stable, candidate) = (&figures.stable, &figures.candidate);
    widgets::label(ui, "Taken back by itself when over");
    if guards.max_error_rate.is_none() && guards.max_p99_ratio.is_none() && guards.max_drift.is_none() {
        widgets::muted(ui, "Nothing: you decide.");
        return;
    }
    let min = u64::from(guards.min_requests);
    let early = format!("from {} requests on", format::count(min));
    let may_judge = candidate.n_requests >= min;
    if let Some(limit) = guards.max_error_rate {
        let found = rate(candidate).filter(|_| may_judge);
        let value = match found {
            Some(found) => format!("{} of {}", percent(found), percent(limit)),
            None => format!("{}, {early}", percent(limit)),
        };
        let share = found.map(|found| if limit > 0.0 { found / limit } else { f64::from(u8::from(found > 0.0)) * 2.0 });
        let help =
            "Judged by the lower end of a 99 percent interval, and never for what the other version fails as well";
        bar::guard_ui(ui, "Failed requests", &value, share, help);
    }
    if let Some(limit) = guards.max_p99_ratio {
        let known = may_judge && stable.n_requests >= min && stable.p99_micros > 0;
        let found = known.then(|| candidate.p99_micros as f64 / stable.p99_micros as f64);
        let times = |ratio: f64| format!("{}×", format::number((ratio * 100.0).round() / 100.0));
        let value = match found {
            Some(found) => format!("{} of {}", times(found), times(limit)),
            None => format!("{}, {early}", times(limit)),
        };
        let help = "The 99th percentile of the candidate over that of the stable version; below a millisecond nothing \
                    is told apart";
        bar::guard_ui(ui, "Slowest requests", &value, found.map(|found| found / limit), help);
    }
    if let Some(limit) = guards.max_drift {
        let value = match figures.drift {
            Some(found) => format!("{} of {}", format::number(found), format::number(limit)),
            None => format!("{}, nothing told yet", format::number(limit)),
        };
        let share =
            figures.drift.map(|found| if limit > 0.0 { found / limit } else { f64::from(u8::from(found > 0.0)) * 2.0 });
        bar::guard_ui(ui, "Drift of the inputs", &value, share, "As monitoring tells it");
    }
}

/// What a rollout's end is told with, where nobody here asked for it.
pub(super) fn told(rollout: &Rollout) -> Option<(Tone, String)> {
    let (_, tone) = words::phase_title(rollout.phase);
    let (model, candidate) = (&rollout.model, rollout.spec.candidate);
    let what = match rollout.phase {
        RolloutPhase::Running => return None,
        RolloutPhase::Promoted => format!("{model} version {candidate} took over"),
        RolloutPhase::RolledBack => {
            format!("{model} version {candidate} was taken back; version {} answers", rollout.stable)
        }
        RolloutPhase::Aborted => format!("The rollout of {model} version {candidate} was ended"),
    };
    Some((tone, what))
}
