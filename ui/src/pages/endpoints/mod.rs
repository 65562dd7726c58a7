//! The page Endpoints: the endpoint of this machine, its load, a form to try it, snippets, keys.

mod answer;
mod explanation;
mod form;
mod keys;
mod load;
mod monitoring;
mod options;
mod rollouts;
mod schedules;
mod serving;
mod snippets;

use std::collections::BTreeMap;

use athanor_protocol::{
    Failure,
    api::{EndpointGet, EndpointStart, EndpointStatus, EndpointStop, EndpointTry, Event, ServedModel, TryAnswer},
};
use egui::Ui;

pub(in crate::pages) use self::schedules::notes_ui;
use self::{
    form::Form, keys::Keys, load::Load, monitoring::Monitoring, options::Options, rollouts::Rollouts,
    schedules::Schedules, snippets::Language,
};
use super::{Command, Cx, Go, Page};
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::ph,
    theme::size,
    widgets,
};

/// The port that snippets name while the endpoint does not run and takes a free one.
const SAMPLE_PORT: u16 = 8080;

/// The parts of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    /// The endpoint, its load, trying it, snippets.
    #[default]
    Serve,
    /// Versions that take over.
    Rollouts,
    /// Drift and alerts.
    Monitoring,
    /// Predictions by the clock.
    Schedules,
    /// API keys.
    Keys,
}

impl Tab {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Serve, "Serving"),
        (Self::Rollouts, "Rollouts"),
        (Self::Monitoring, "Monitoring"),
        (Self::Schedules, "Schedules"),
        (Self::Keys, "Keys"),
    ];
}

/// A start or stop that is under way.
enum Turn {
    Start(Ticket<EndpointStart>),
    Stop(Ticket<EndpointStop>),
}

/// The page Endpoints.
#[derive(Default)]
pub struct EndpointsPage {
    status: Remote<EndpointGet>,
    tab: Tab,
    turn: Option<Turn>,
    options: Options,
    load: Load,
    rollouts: Rollouts,
    monitoring: Monitoring,
    schedules: Schedules,
    keys: Keys,
    model: Option<String>,
    form: Form,
    /// Whether an answer is to be explained.
    explains: bool,
    asked: Option<Ticket<EndpointTry>>,
    answer: Option<(String, Result<TryAnswer, Failure>)>,
    language: Language,
}

impl EndpointsPage {
    fn is_running(&self) -> bool {
        self.status.value().is_some_and(|status| status.url.is_some())
    }

    fn set_status(&mut self, status: &EndpointStatus) {
        let before = self.status.value().and_then(|old| old.since_millis);
        if before != status.since_millis {
            self.load.clear();
        }
        if let Some(known) = self.status.value_mut() {
            known.clone_from(status);
        }
        self.status.invalidate();
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if self.turn.is_some() || !cx.desk.may_change() {
            return;
        }
        if let Some(problem) = self.options.check(cx.desk) {
            self.tab = Tab::Serve;
            cx.toasts.failure(&problem.into());
            return;
        }
        self.turn = Some(Turn::Start(cx.desk.ask(serving::start(cx.desk.settings()))));
    }

    fn stop(&mut self, cx: &mut Cx<'_>) {
        if self.turn.is_none() && cx.desk.may_change() {
            self.turn = Some(Turn::Stop(cx.desk.ask(EndpointStop {})));
        }
    }

    fn take(&mut self, cx: &mut Cx<'_>) {
        let result = match &self.turn {
            Some(Turn::Start(ticket)) => cx.desk.take(*ticket).map(|result| (true, result)),
            Some(Turn::Stop(ticket)) => cx.desk.take(*ticket).map(|result| (false, result)),
            None => None,
        };
        if let Some((start, result)) = result {
            self.turn = None;
            match result {
                Ok(status) => {
                    let (started, stopped) = (serving::start(cx.desk.settings()).into(), EndpointStop {}.into());
                    if start {
                        self.options.done();
                        cx.undo.push("Start the endpoint", vec![stopped], vec![started]);
                        let url = status.url.clone().unwrap_or_default();
                        cx.toasts.ok(format!("The endpoint answers at {url}"));
                    } else {
                        cx.undo.push("Stop the endpoint", vec![started], vec![stopped]);
                        cx.toasts.undoable("The endpoint does not answer any more");
                    }
                    self.set_status(&status);
                }
                Err(failure) => {
                    cx.toasts.failure(&failure);
                    if start && self.options.refuse(&failure) {
                        self.tab = Tab::Serve;
                    }
                    self.status.invalidate();
                }
            }
        }
        if let Some(ticket) = self.asked
            && let Some(result) = cx.desk.take(ticket)
        {
            self.asked = None;
            self.answer = Some((self.model.clone().unwrap_or_default(), result));
        }
        self.keys.take(cx);
        self.rollouts.take(cx);
        self.monitoring.take(cx);
        self.schedules.take(cx);
    }

    /// The model that is tried: the one that was chosen, else the first.
    fn served(&self) -> Option<&ServedModel> {
        let models = &self.status.value()?.models;
        models.iter().find(|served| Some(&served.model) == self.model.as_ref()).or_else(|| models.first())
    }

    fn content(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if let Some(failure) = self.status.error() {
            if widgets::failure(ui, failure) {
                self.status.invalidate();
            }
        } else if self.status.value().is_none() {
            if self.status.slow(cx.desk) {
                widgets::loading(ui, "Looking at the endpoint");
            }
            return;
        }
        widgets::segments(ui, &mut self.tab, &Tab::ALL);
        if let Some(status) = self.status.value() {
            self.rollouts.keep(ui, cx, status, self.tab == Tab::Rollouts);
        }
        match self.tab {
            Tab::Serve => self.serve_ui(ui, cx),
            Tab::Rollouts => {
                if let Some(status) = self.status.value() {
                    self.rollouts.ui(ui, cx, status);
                }
            }
            Tab::Monitoring => {
                if let Some(status) = self.status.value() {
                    self.monitoring.ui(ui, cx, status);
                }
            }
            Tab::Schedules => self.schedules.ui(ui, cx),
            Tab::Keys => {
                widgets::card(ui, |ui| self.keys.ui(ui, cx));
            }
        }
    }

    fn serve_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.status_ui(ui, cx);
        if self.is_running() {
            self.load.keep(ui, cx.desk);
            widgets::titled_card(ui, "Load", "the last five minutes", |ui| self.load.ui(ui, cx.desk));
        }
        if self.served().is_some() {
            if ui.available_width() > 820.0 {
                widgets::columns(ui, 2, |ui, at| {
                    widgets::card(ui, |ui| if at == 0 { self.try_ui(ui, cx) } else { self.snippets_ui(ui, cx) });
                });
            } else {
                widgets::card(ui, |ui| self.try_ui(ui, cx));
                widgets::card(ui, |ui| self.snippets_ui(ui, cx));
            }
        }
    }

    fn try_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(served) = self.served().cloned() else { return };
        self.form.set(&served.signature, &served.example);
        let running = self.is_running();
        let today = format::date(cx.desk.now_millis());
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        widgets::heading(ui, "Try it", &format!("{} version {}", served.model, served.version));
        let names: Vec<(String, String)> = self
            .status
            .value()
            .map(|status| status.models.iter().map(|served| (served.model.clone(), served.model.clone())).collect())
            .unwrap_or_default();
        ui.horizontal(|ui| {
            if names.len() > 1 {
                let mut name = served.model.clone();
                ui.scope(|ui| {
                    ui.set_max_width(180.0);
                    if widgets::choice(ui, "try-model", "Model to try", &mut name, &names) {
                        (self.model, self.answer) = (Some(name), None);
                    }
                });
            }
            let example = widgets::button(ui, widgets::Kind::Quiet, Some(ph::MAGIC_WAND), "Fill with an example");
            if example.on_hover_text("Values from the middle of what training saw, where that is known").clicked() {
                self.form.fill(&today);
            }
            if !self.form.is_empty() && widgets::icon_button(ui, ph::ERASER, "Empty all fields").clicked() {
                self.form.clear();
            }
        });
        let entered = self.form.ui(ui);
        let mut ask = false;
        ui.horizontal(|ui| {
            ui.add_enabled_ui(running && self.asked.is_none(), |ui| {
                let why = "Start the endpoint first";
                ask = widgets::secondary(ui, ph::PAPER_PLANE_RIGHT, "Ask").on_disabled_hover_text(why).clicked();
            });
            widgets::switch(ui, &mut self.explains, "Explain")
                .on_hover_text("Say what each column adds to the answer, compared with a typical row of training");
            if self.asked.is_some() {
                widgets::loading(ui, "Waiting for the answer");
            } else if !running {
                widgets::muted(ui, "The endpoint does not run.");
            } else if self.form.tried && self.form.n_wrong() > 0 {
                widgets::muted(ui, &format!("{} to be filled", format::plural(self.form.n_wrong() as u64, "field")));
            }
        });
        if (ask || entered) && running && self.asked.is_none() {
            self.form.tried = true;
            if let Some(row) = self.form.row() {
                let values: BTreeMap<_, _> = row.into_iter().collect();
                self.model = Some(served.model.clone());
                self.asked =
                    Some(cx.desk.ask(EndpointTry { model: served.model.clone(), values, explain: self.explains }));
            }
        }
        let Some((model, answer)) = &self.answer else { return };
        if *model != served.model {
            return;
        }
        widgets::rule(ui);
        match answer {
            Ok(answer) => {
                if answer::answer_ui(ui, answer, &served.signature) {
                    cx.toasts.ok("Copied");
                }
            }
            Err(failure) => {
                if widgets::failure(ui, failure) {
                    self.answer = None;
                }
            }
        }
    }

    fn snippets_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(served) = self.served() else { return };
        let today = format::date(cx.desk.now_millis());
        let url = self.status.value().and_then(|status| status.url.clone()).unwrap_or_else(|| {
            let port = Some(cx.desk.settings().endpoint_port).filter(|port| *port != 0).unwrap_or(SAMPLE_PORT);
            format!("http://127.0.0.1:{port}")
        });
        let code = snippets::snippet(self.language, &url, &served.model, &self.form.sample(&today), self.explains);
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        widgets::heading(ui, "Use it from a program", "");
        let options = [
            (Language::Curl, "curl"),
            (Language::Python, "Python"),
            (Language::Rust, "Rust"),
            (Language::Oip, "OIP v2"),
        ];
        widgets::segments(ui, &mut self.language, &options);
        if widgets::code_block(ui, &code) {
            cx.toasts.ok("Copied the snippet");
        }
        widgets::muted(
            ui,
            "It reads the key from the environment variable ATHANOR_KEY; the values are those of the form.",
        );
    }
}

impl Page for EndpointsPage {
    fn title(&self) -> String {
        "Endpoints".to_owned()
    }

    fn fact(&self, _: &Cx<'_>) -> String {
        match self.status.value() {
            Some(status) if status.url.is_some() => {
                format!("serves {}", format::plural(status.models.len() as u64, "model"))
            }
            Some(_) => "stopped".to_owned(),
            None => String::new(),
        }
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.status.value().is_none() {
            return;
        }
        ui.add_enabled_ui(cx.desk.may_change() && self.turn.is_none(), |ui| {
            if self.is_running() {
                if widgets::secondary(ui, ph::STOP, "Stop").on_hover_text("Requests are refused from then on").clicked()
                {
                    self.stop(cx);
                }
            } else if widgets::primary(ui, ph::PLAY, "Start").on_hover_text("Answer requests on this machine").clicked()
            {
                self.start(cx);
            }
        });
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.status.keep(cx.desk, &EndpointGet {});
        super::scrolled(ui, "endpoints", |ui| self.content(ui, cx));
        self.keys.dialogs_ui(ui, cx);
        self.rollouts.dialogs_ui(ui, cx);
        self.monitoring.dialogs_ui(ui, cx);
        self.schedules.dialogs_ui(ui, cx);
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        self.take(cx);
    }

    fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        match event {
            Event::EndpointChanged { status } => self.set_status(status),
            Event::ModelsChanged {} => {
                self.status.invalidate();
                self.rollouts.invalidate();
            }
            Event::RolloutChanged { rollout } => self.rollouts.changed(rollout, cx),
            Event::AlertChanged { alert } => self.monitoring.changed(alert, cx),
            Event::MonitorReported { model } => self.monitoring.reported(model),
            Event::SchedulesChanged {} => self.schedules.invalidate(),
            Event::ScheduleProgress { id, far } => self.schedules.progress(id, far),
            Event::KeysChanged {} => self.keys.invalidate(),
            Event::Lagged {} => {
                self.status.invalidate();
                self.keys.invalidate();
                self.rollouts.invalidate();
                self.monitoring.invalidate();
                self.schedules.invalidate();
            }
            Event::WorkspaceChanged { .. } => *self = Self::default(),
            _ => {}
        }
    }

    fn open(&mut self, go: &Go, _: &mut Cx<'_>) {
        if let Go::RollOut { model, version } = go {
            self.tab = Tab::Rollouts;
            self.rollouts.ask_new(model, Some(*version));
        }
    }

    fn commands(&self, cx: &Cx<'_>) -> Vec<Command> {
        if !cx.desk.may_change() || self.status.value().is_none() {
            return vec![];
        }
        let turn = if self.is_running() {
            Command::new("endpoints.stop", "Stop the endpoint", ph::STOP, "")
        } else {
            Command::new("endpoints.start", "Start the endpoint", ph::PLAY, "")
        };
        let mut commands = vec![turn];
        if let Some(served) = self.served() {
            let title = format!("Roll out a version of {}", served.model);
            commands.push(Command::new("endpoints.roll_out", title, ph::ARROWS_SPLIT, ""));
        }
        commands.push(Command::new("endpoints.schedule", "Make a schedule of predictions", ph::CLOCK, ""));
        commands.push(Command::new("endpoints.key", "Make an API key", ph::KEY, ""));
        commands
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        match command {
            "endpoints.start" => self.start(cx),
            "endpoints.stop" => self.stop(cx),
            "endpoints.roll_out" => {
                if let Some(model) = self.served().map(|served| served.model.clone()) {
                    self.tab = Tab::Rollouts;
                    self.rollouts.ask_new(&model, None);
                }
            }
            "endpoints.schedule" => {
                self.tab = Tab::Schedules;
                self.schedules.ask_new();
            }
            "endpoints.key" => {
                self.tab = Tab::Keys;
                self.keys.ask_new();
            }
            _ => {}
        }
    }
}
