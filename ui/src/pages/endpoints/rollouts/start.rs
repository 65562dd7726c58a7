//! The form of a new rollout: what is to happen is said in words before it does.

use athanor_protocol::{
    api::{ModelVersions, RolloutStart},
    rollout::{MAX_STEP_SECS, MAX_STEPS, RolloutGuards, RolloutMode, RolloutSpec, RolloutStep},
};
use egui::Ui;

use super::words;
use crate::{
    desk::Ticket,
    icons::ph,
    pages::{Cx, paged::Paged},
    theme::size,
    toasts::Tone,
    widgets::{self, DialogAsk, Kind},
};

const WIDTH: f32 = 780.0;
/// Below this width the parts of the form stand below each other.
const TWO_COLUMNS: f32 = 640.0;
/// Longest time of a step, in minutes.
const MOST_MINUTES: f64 = MAX_STEP_SECS as f64 / 60.0;

/// Shares of a linear rollout that people start from, each for so many minutes.
const LINEAR: [(f64, f64); 4] = [(5.0, 10.0), (25.0, 10.0), (50.0, 10.0), (100.0, 10.0)];

/// A limit that can be off.
#[derive(Clone, Copy)]
struct Limit {
    on: bool,
    value: f64,
}

impl Limit {
    fn get(self) -> Option<f64> {
        self.on.then_some(self.value)
    }
}

/// The form.
pub(super) struct Starting {
    pub(super) model: String,
    pub(super) stable: u32,
    versions: Paged<ModelVersions>,
    candidate: Option<u32>,
    mode: RolloutMode,
    percent: f64,
    finishes: bool,
    minutes: f64,
    steps: Vec<(f64, f64)>,
    sticky: bool,
    header: String,
    min_requests: f64,
    errors: Limit,
    slower: Limit,
    drift: Limit,
    pub(super) sent: Option<Ticket<RolloutStart>>,
    pub(super) trouble: Option<String>,
}

impl Starting {
    pub(super) fn new(model: String, stable: u32, candidate: Option<u32>) -> Self {
        Self {
            model,
            stable,
            versions: Paged::default(),
            candidate: candidate.filter(|candidate| *candidate != stable),
            mode: RolloutMode::Canary,
            percent: 10.0,
            finishes: false,
            minutes: 30.0,
            steps: LINEAR.to_vec(),
            sticky: false,
            header: "x-user-id".to_owned(),
            min_requests: 50.0,
            errors: Limit { on: true, value: 2.0 },
            slower: Limit { on: false, value: 1.5 },
            drift: Limit { on: false, value: 0.2 },
            sent: None,
            trouble: None,
        }
    }

    /// What the form says, whether or not it can be done.
    pub(super) fn spec(&self) -> RolloutSpec {
        let step = |percent: f64, minutes: f64| RolloutStep {
            percent: percent.round().clamp(0.0, 255.0) as u8,
            secs: (minutes * 60.0).round().clamp(0.0, f64::from(u32::MAX)) as u32,
        };
        let finishes = self.finishes && self.mode != RolloutMode::Shadow;
        let steps = match self.mode {
            RolloutMode::Linear => self.steps.iter().map(|&(percent, minutes)| step(percent, minutes)).collect(),
            _ => vec![step(self.percent, if finishes { self.minutes } else { 0.0 })],
        };
        let min_requests = self.min_requests.round().clamp(0.0, f64::from(u32::MAX)) as u32;
        RolloutSpec {
            candidate: self.candidate.unwrap_or(0),
            mode: self.mode,
            steps,
            finishes,
            sticky_header: self.sticky.then(|| self.header.trim().to_ascii_lowercase()),
            guards: RolloutGuards {
                min_requests,
                max_error_rate: self.errors.get().map(|percent| percent / 100.0),
                max_p99_ratio: self.slower.get(),
                max_drift: self.drift.get(),
            },
        }
    }

    /// Draws the form; false once it is to be closed.
    pub(super) fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) -> bool {
        self.versions.keep(cx.desk, &ModelVersions { model: self.model.clone(), after: None });
        let title = format!("Roll out a version of {}", self.model);
        let mut answer = None;
        let (_, ask) = widgets::dialog_parts(ui, "rollout", &title, WIDTH, |parts| {
            let problem = parts.body(|ui| {
                ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                ui.add_enabled_ui(self.sent.is_none(), |ui| {
                    if ui.available_width() > TWO_COLUMNS {
                        widgets::columns(ui, 2, |ui, at| {
                            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                            if at == 0 {
                                self.candidate_ui(ui, cx);
                                self.mode_ui(ui);
                            } else {
                                self.more_ui(ui);
                            }
                        });
                    } else {
                        self.candidate_ui(ui, cx);
                        self.mode_ui(ui);
                        self.more_ui(ui);
                    }
                });
                let spec = self.spec();
                ui.add_space(size::TINY_GAP);
                let problem = match self.candidate {
                    None => Some("choose the version that is to be rolled out".to_owned()),
                    Some(_) => spec.check().err().map(|failure| match &failure.hint {
                        Some(hint) => format!("{}: {hint}", failure.message),
                        None => failure.message,
                    }),
                };
                match (&problem, &self.trouble) {
                    (Some(problem), _) => widgets::note(ui, Tone::Warn, problem),
                    (None, Some(trouble)) => widgets::note(ui, Tone::Bad, trouble),
                    (None, None) => widgets::note(ui, Tone::Info, &words::summary(&spec, self.stable)),
                }
                problem
            });
            parts.footer(|ui| {
                ui.horizontal(|ui| {
                    ui.add_enabled_ui(problem.is_none() && self.sent.is_none(), |ui| {
                        if widgets::button(ui, Kind::Primary, None, "Start the rollout").clicked() {
                            answer = Some(true);
                        }
                    });
                    if widgets::button(ui, Kind::Secondary, None, "Cancel").clicked() {
                        answer = Some(false);
                    }
                    if self.sent.is_some() {
                        widgets::loading(ui, "");
                    }
                })
            });
        });
        match (answer, ask) {
            (Some(true), _) => {
                self.trouble = None;
                let ask = RolloutStart { model: self.model.clone(), spec: self.spec() };
                self.sent = Some(cx.desk.ask(ask));
                true
            }
            (Some(false), _) => false,
            // A rollout that is being started goes on being told of.
            (None, DialogAsk::Close) => self.sent.is_some(),
            (None, DialogAsk::Nothing) => true,
        }
    }

    fn candidate_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let options: Vec<(Option<u32>, String)> = self
            .versions
            .items()
            .iter()
            .filter(|item| item.version != self.stable)
            .map(|item| {
                let aliases =
                    if item.aliases.is_empty() { String::new() } else { format!(", {}", item.aliases.join(", ")) };
                (Some(item.version), format!("Version {}{aliases}", item.version))
            })
            .collect();
        if self.candidate.is_none() && self.versions.is_loaded() {
            // The newest that is newer than what answers now.
            self.candidate = options.first().and_then(|(version, _)| *version).filter(|newest| *newest > self.stable);
        }
        let help = "It must take and give what the version in production does";
        widgets::field(ui, "Version", help, None, |ui| {
            if let Some(failure) = self.versions.error() {
                widgets::muted(ui, &widgets::sentence(&failure.message));
            } else if self.versions.is_loaded() && options.is_empty() {
                widgets::muted(ui, &format!("There is no other version than {}, which answers now.", self.stable));
            } else {
                widgets::choice(ui, "rollout-version", "Version to roll out", &mut self.candidate, &options);
            }
        });
        if self.versions.has_more() && widgets::link(ui, "Show older versions").clicked() {
            self.versions.more(cx.desk);
        }
    }

    fn mode_ui(&mut self, ui: &mut Ui) {
        widgets::label(ui, "How");
        let modes = [(RolloutMode::Canary, "Canary"), (RolloutMode::Linear, "Linear"), (RolloutMode::Shadow, "Shadow")];
        widgets::segments(ui, &mut self.mode, &modes);
        match self.mode {
            RolloutMode::Linear => self.steps_ui(ui),
            mode => {
                ui.horizontal(|ui| {
                    let name = if mode == RolloutMode::Shadow { "Asked beside on" } else { "Answers" };
                    widgets::muted(ui, name);
                    widgets::number_field(ui, "Share", &mut self.percent, 1.0..=100.0, "%");
                    widgets::muted(ui, "of requests");
                });
            }
        }
        if self.mode != RolloutMode::Shadow {
            ui.horizontal(|ui| {
                let linear = self.mode == RolloutMode::Linear;
                let text = if linear { "Takes over after the last step" } else { "Takes over by itself after" };
                widgets::switch(ui, &mut self.finishes, text);
                if self.finishes && !linear {
                    widgets::number_field(
                        ui,
                        "Minutes until it takes over",
                        &mut self.minutes,
                        0.0..=MOST_MINUTES,
                        "min",
                    );
                }
            });
        }
    }

    fn steps_ui(&mut self, ui: &mut Ui) {
        let mut gone = None;
        let n_steps = self.steps.len();
        for (at, (percent, minutes)) in self.steps.iter_mut().enumerate() {
            ui.horizontal(|ui| {
                widgets::number_field(ui, &format!("Share of step {}", at + 1), percent, 1.0..=100.0, "%");
                widgets::muted(ui, "for");
                widgets::number_field(ui, &format!("Minutes of step {}", at + 1), minutes, 0.0..=MOST_MINUTES, "min");
                ui.add_enabled_ui(n_steps > 1, |ui| {
                    if widgets::icon_button(ui, ph::X, &format!("Remove step {}", at + 1)).clicked() {
                        gone = Some(at);
                    }
                });
            });
        }
        if let Some(at) = gone {
            self.steps.remove(at);
        }
        ui.add_enabled_ui(n_steps < MAX_STEPS, |ui| {
            if widgets::quiet(ui, ph::PLUS, "Add a step").clicked() {
                let (percent, minutes) = self.steps.last().copied().unwrap_or((5.0, 10.0));
                self.steps.push(((percent * 2.0).min(100.0), minutes));
            }
        });
    }

    fn more_ui(&mut self, ui: &mut Ui) {
        widgets::label(ui, "Goes back by itself when");
        let row = |ui: &mut Ui, limit: &mut Limit, text: &str, name: &str, most: f64, unit: &str| {
            ui.horizontal(|ui| {
                widgets::check_text(ui, &mut limit.on, text);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.add_enabled_ui(limit.on, |ui| {
                        widgets::number_field(ui, name, &mut limit.value, 0.0..=most, unit)
                    });
                });
            });
        };
        row(ui, &mut self.errors, "more of its requests fail than", "Most failures", 99.9, "%");
        row(ui, &mut self.slower, "its slowest take longer by", "Most times slower", 1000.0, "times");
        row(ui, &mut self.drift, "the inputs drift by more than", "Most drift", 1000.0, "");
        ui.horizontal(|ui| {
            widgets::muted(ui, "judged from the first");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                widgets::number_field(ui, "Least requests", &mut self.min_requests, 1.0..=1e9, "requests");
            });
        });
        ui.add_space(size::TINY_GAP);
        let help = "Requests with the same value in this header are always answered by the same version";
        widgets::switch(ui, &mut self.sticky, "Keep each client on one side, by the header").on_hover_text(help);
        if self.sticky {
            widgets::line_edit(ui, "Header", &mut self.header, "x-user-id", false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_says_what_can_be_done_from_the_beginning() {
        for mode in [RolloutMode::Canary, RolloutMode::Linear, RolloutMode::Shadow] {
            let mut form = Starting::new("wine".to_owned(), 6, Some(7));
            form.mode = mode;
            for finishes in [false, true] {
                form.finishes = finishes;
                assert_eq!(form.spec().check(), Ok(()), "{mode:?} {finishes}");
            }
        }
    }

    #[test]
    fn a_version_does_not_follow_itself() {
        let form = Starting::new("wine".to_owned(), 6, Some(6));
        assert_eq!(form.candidate, None);
        assert!(form.spec().check().is_err());
    }
}
