//! The user interface's side of the connection: requests that wait, answers that came, and what every page shares.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    marker::PhantomData,
};

use athanor_protocol::{
    Code, Failure,
    api::{
        Ask, Client, Event, EventEnvelope, Hello, HelloAnswer, Host, Incoming, Link, NodeProgress, Reply, Request,
        RequestId, Settings, SettingsSet, WorkspaceInfo,
    },
    names::RunId,
    run::RunSummary,
};

use crate::work::Far;

/// Where nothing at all was heard for so long, though something was asked, the engine is asked whether it is there.
const QUIET_SECS: f64 = 8.0;
/// An engine that has not answered that after so long hangs.
const HANGS_SECS: f64 = 4.0;

/// Names a request whose answer has the type of `R`.
#[derive(Debug)]
pub struct Ticket<R> {
    id: RequestId,
    of: PhantomData<fn() -> R>,
}

impl<R> Clone for Ticket<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Ticket<R> {}

/// The connection, and what every page shares.
pub struct Desk {
    client: Box<dyn Client>,
    waiting: HashSet<RequestId>,
    forgotten: HashSet<RequestId>,
    answers: HashMap<RequestId, Result<Reply, Failure>>,
    link: Link,
    hello: Remote<Hello>,
    settings: Settings,
    settings_changed: bool,
    save: Option<Ticket<SettingsSet>>,
    save_at: f64,
    save_failed: bool,
    last_seq: u64,
    running: BTreeMap<RunId, RunAtWork>,
    heard_at: f64,
    probe: Option<(Ticket<Hello>, f64)>,
    /// How far the engine is, by tokens that are in use.
    far: HashMap<String, Far>,
    n_tokens: u64,
    now_secs: f64,
    epoch_millis: i64,
}

/// Whether what the user set is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsState {
    /// The engine has it.
    Saved,
    /// It is on its way, or will be in a moment.
    Saving,
    /// The engine refused it; a message said why.
    Failed,
}

/// A run at work, as the rail shows it.
#[derive(Debug, Clone)]
pub struct RunAtWork {
    /// How it is listed.
    pub summary: RunSummary,
    /// How far its steps are, by node.
    pub progress: BTreeMap<String, NodeProgress>,
}

impl RunAtWork {
    /// The step at work.
    pub fn current(&self) -> Option<&NodeProgress> {
        self.progress.values().find(|step| step.state == athanor_protocol::run::StepState::Running)
    }
}

impl Desk {
    /// A desk that has not heard of its engine yet.
    pub fn new(client: Box<dyn Client>) -> Self {
        Self {
            client,
            waiting: HashSet::new(),
            forgotten: HashSet::new(),
            answers: HashMap::new(),
            link: Link::Connecting,
            hello: Remote::default(),
            settings: Settings::default(),
            settings_changed: false,
            save: None,
            save_at: f64::MAX,
            save_failed: false,
            last_seq: 0,
            running: BTreeMap::new(),
            heard_at: 0.0,
            probe: None,
            far: HashMap::new(),
            n_tokens: 0,
            now_secs: 0.0,
            epoch_millis: 0,
        }
    }

    /// Sends a request.
    pub fn ask<R: Ask>(&mut self, request: R) -> Ticket<R> {
        let id = self.client.send(request.into());
        if self.waiting.is_empty() {
            // From here on something is to be heard.
            self.heard_at = self.now_secs;
        }
        self.waiting.insert(id);
        Ticket { id, of: PhantomData }
    }

    /// Sends a request whose answer nobody waits for; a failure still comes back from [`Desk::poll`].
    pub fn tell(&mut self, request: Request) -> RequestId {
        self.client.send(request)
    }

    /// Nobody waits for this answer any more, whatever it is.
    pub fn forget<R: Ask>(&mut self, ticket: Ticket<R>) {
        self.answers.remove(&ticket.id);
        if self.waiting.remove(&ticket.id) {
            self.forgotten.insert(ticket.id);
        }
    }

    /// Takes the answer once it has come.
    pub fn take<R: Ask>(&mut self, ticket: Ticket<R>) -> Option<Result<R::Answer, Failure>> {
        let result = self.answers.remove(&ticket.id)?;
        Some(result.and_then(R::answer))
    }

    /// A token under which the engine tells how far it is, until [`Desk::end_token`].
    pub fn new_token(&mut self) -> String {
        self.n_tokens += 1;
        let token = format!("work{}x{}", self.epoch_millis, self.n_tokens);
        self.far.insert(token.clone(), Far::default());
        token
    }

    /// How far the engine is with what was asked under a token.
    pub fn far(&self, token: &str) -> Option<&Far> {
        self.far.get(token)
    }

    /// Nothing is done under a token any more.
    pub fn end_token(&mut self, token: &str) {
        self.far.remove(token);
    }

    /// Whether any answer is awaited.
    pub fn busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes in what has come. Returns the events, and the failures of requests that nobody waits for.
    ///
    /// `now_secs` grows steadily; `epoch_millis` is the wall clock.
    pub fn poll(&mut self, now_secs: f64, epoch_millis: i64) -> (Vec<Event>, Vec<Failure>) {
        (self.now_secs, self.epoch_millis) = (now_secs, epoch_millis);
        let (mut events, mut failures) = (vec![], vec![]);
        for incoming in self.client.poll() {
            self.heard_at = now_secs;
            match incoming {
                Incoming::Answer { id, result } => {
                    if self.waiting.remove(&id) {
                        self.answers.insert(id, result);
                    } else if !self.forgotten.remove(&id)
                        && let Err(failure) = result
                    {
                        failures.push(failure);
                    }
                }
                Incoming::Event(EventEnvelope { seq, event }) => {
                    // A gap, or an engine that counts anew: what is shown may be old. A transport tells of its own
                    // things (files on their way) under the number of the event before.
                    let follows = seq == self.last_seq || seq == self.last_seq + 1;
                    if self.last_seq != 0 && !follows && !matches!(event, Event::Lagged {}) {
                        events.push(Event::Lagged {});
                    }
                    self.last_seq = seq;
                    self.note(&event);
                    events.push(event);
                }
                Incoming::Link(link) => {
                    if link == Link::Up && self.link != Link::Up {
                        self.last_seq = 0;
                        self.hello.invalidate();
                        events.push(Event::Lagged {});
                    }
                    if !matches!(link, Link::Up) {
                        // No answer will come to what was sent before: it is asked again when the engine is back.
                        let away = match &link {
                            Link::Down { reason } if reason.contains("the engine") => reason.clone(),
                            Link::Down { reason } => format!("the engine cannot be reached: {reason}"),
                            _ => "the engine cannot be reached".to_owned(),
                        };
                        let away = Failure::new(Code::Unavailable, away)
                            .hint("nothing that you typed is lost: do it again once the engine is back");
                        for id in self.waiting.drain() {
                            self.answers.insert(id, Err(away.clone()));
                        }
                    }
                    self.link = link;
                }
            }
        }
        self.keep_probe();
        if self.link == Link::Up {
            let mut hello = std::mem::take(&mut self.hello);
            let came = hello.keep(self, &Hello {});
            if came
                && let Some(answer) = hello.value()
                && !self.settings_changed
            {
                self.settings = answer.settings.clone();
            }
            self.hello = hello;
        }
        if self.settings_changed && self.save.is_none() && self.now_secs >= self.save_at && self.link == Link::Up {
            self.settings_changed = false;
            self.save = Some(self.ask(SettingsSet { settings: self.settings.clone() }));
        }
        if let Some(ticket) = self.save
            && let Some(result) = self.take(ticket)
        {
            self.save = None;
            self.save_failed = result.is_err();
            failures.extend(result.err());
        }
        (events, failures)
    }

    /// Finds out whether an engine that says nothing is still there: a long question or an open dialog keeps it from
    /// nothing, so it answers another one at once.
    fn keep_probe(&mut self) {
        if let Some((ticket, _)) = self.probe
            && self.take(ticket).is_some()
        {
            self.probe = None;
        }
        let quiet = self.busy() && self.now_secs - self.heard_at > QUIET_SECS;
        if self.probe.is_none() && quiet && self.link == Link::Up {
            self.probe = Some((self.ask(Hello {}), self.now_secs));
        }
    }

    /// Whether the engine can be reached and yet answers nothing any more.
    pub fn hangs(&self) -> bool {
        self.link == Link::Up && self.probe.is_some_and(|(_, since)| self.now_secs - since > HANGS_SECS)
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::WorkspaceChanged { .. } => {
                self.running.clear();
                self.hello.invalidate();
            }
            Event::RunChanged { run } => {
                if run.status.is_final() {
                    self.running.remove(&run.id);
                } else {
                    let at_work = self.running.entry(run.id.clone());
                    at_work
                        .and_modify(|known| known.summary = (**run).clone())
                        .or_insert_with(|| RunAtWork { summary: (**run).clone(), progress: BTreeMap::new() });
                }
            }
            Event::RunStep { run, progress } => {
                if let Some(known) = self.running.get_mut(run) {
                    known.progress.insert(progress.node.clone(), progress.clone());
                }
            }
            Event::Progress { token, done, total, note } => {
                if let Some(far) = self.far.get_mut(token) {
                    *far = Far { done: *done, total: *total, note: note.clone() };
                }
            }
            _ => {}
        }
    }

    /// Whether the engine can be reached.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// What the engine said of itself.
    pub fn hello(&self) -> Option<&HelloAnswer> {
        self.hello.value()
    }

    /// Asks again who is there.
    pub fn refresh_hello(&mut self) {
        self.hello.invalidate();
    }

    /// The open workspace.
    pub fn workspace(&self) -> Option<&WorkspaceInfo> {
        self.hello().and_then(|hello| hello.workspace.as_ref())
    }

    /// Whether this is a window with the system's dialogs.
    pub fn is_desktop(&self) -> bool {
        self.hello().is_none_or(|hello| hello.host == Host::Desktop)
    }

    /// Whether questions may be asked that make the engine read files and work: a key for looking may not.
    pub fn may_ask(&self) -> bool {
        self.hello().is_none_or(|hello| hello.may_change)
    }

    /// Whether things may be changed: the key allows it and the workspace can be written.
    pub fn may_change(&self) -> bool {
        self.may_ask() && self.workspace().is_none_or(|open| !open.read_only)
    }

    /// Runs at work, in order of their ids (which is the order of their making).
    pub fn running(&self) -> impl Iterator<Item = &RunAtWork> {
        self.running.values()
    }

    /// A run at work.
    pub fn at_work(&self, run: &RunId) -> Option<&RunAtWork> {
        self.running.get(run)
    }

    /// Takes over runs that were at work before this client came.
    pub fn note_running(&mut self, run: &RunSummary) {
        if !run.status.is_final() {
            self.running
                .entry(run.id.clone())
                .or_insert_with(|| RunAtWork { summary: run.clone(), progress: BTreeMap::new() });
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings; they are saved half a second after the last change.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        let before = self.settings.clone();
        change(&mut self.settings);
        if self.settings != before {
            self.settings_changed = true;
            self.save_at = self.now_secs + 0.5;
        }
    }

    /// Whether what the user set is kept by the engine.
    pub fn settings_state(&self) -> SettingsState {
        if self.settings_changed || self.save.is_some() {
            SettingsState::Saving
        } else if self.save_failed {
            SettingsState::Failed
        } else {
            SettingsState::Saved
        }
    }

    /// What the user interface remembers under a name.
    pub fn remembered(&self, key: &str) -> Option<&str> {
        self.settings.memory.get(key).map(String::as_str)
    }

    /// Remembers something small.
    pub fn remember(&mut self, key: &str, value: &str) {
        if self.remembered(key) != Some(value) {
            self.change_settings(|settings| {
                settings.memory.insert(key.to_owned(), value.to_owned());
            });
        }
    }

    /// Seconds since the program began, for things that wait.
    pub fn now_secs(&self) -> f64 {
        self.now_secs
    }

    /// The wall clock, milliseconds since the Unix epoch.
    pub fn now_millis(&self) -> i64 {
        self.epoch_millis
    }

    /// Logs in with a key (browsers).
    pub fn log_in(&mut self, key: &str) {
        self.client.log_in(key);
    }

    /// Forgets the key (browsers).
    pub fn log_out(&mut self) {
        self.client.log_out();
    }
}

/// An answer that is kept up to date: the last one stays on the screen while the next one is on its way.
pub struct Remote<R: Ask> {
    asked: Option<R>,
    ticket: Option<Ticket<R>>,
    value: Option<R::Answer>,
    value_of: Option<R>,
    error: Option<Failure>,
    stale: bool,
    asked_at: f64,
}

impl<R: Ask> Default for Remote<R> {
    fn default() -> Self {
        Self { asked: None, ticket: None, value: None, value_of: None, error: None, stale: false, asked_at: 0.0 }
    }
}

impl<R: Ask> Remote<R> {
    /// Asks, whatever was asked before.
    pub fn ask(&mut self, desk: &mut Desk, request: R) {
        self.asked = Some(request.clone());
        self.ticket = Some(desk.ask(request));
        self.asked_at = desk.now_secs();
        self.stale = false;
    }

    /// Takes the answer in; true in the frame in which one came, good or bad.
    pub fn poll(&mut self, desk: &mut Desk) -> bool {
        let Some(ticket) = self.ticket else { return false };
        let Some(result) = desk.take(ticket) else { return false };
        self.ticket = None;
        match result {
            Ok(value) => {
                self.value = Some(value);
                self.value_of.clone_from(&self.asked);
                self.error = None;
            }
            // An engine that was away has not refused: ask again when it is back.
            Err(failure) if failure.code == Code::Unavailable && *desk.link() != Link::Up => self.stale = true,
            Err(failure) => self.error = Some(failure),
        }
        true
    }

    /// The last good answer.
    pub fn value(&self) -> Option<&R::Answer> {
        self.value.as_ref()
    }

    /// The last good answer, to be changed in place until the next one comes.
    pub fn value_mut(&mut self) -> Option<&mut R::Answer> {
        self.value.as_mut()
    }

    /// The request that the last good answer belongs to.
    pub fn value_of(&self) -> Option<&R> {
        self.value_of.as_ref()
    }

    /// Why the last request failed.
    pub fn error(&self) -> Option<&Failure> {
        self.error.as_ref()
    }

    /// Whether an answer is on its way.
    pub fn busy(&self) -> bool {
        self.ticket.is_some()
    }

    /// Whether an answer has been on its way for so long that people should see it.
    pub fn slow(&self, desk: &Desk) -> bool {
        self.busy() && desk.now_secs() - self.asked_at > 0.25
    }

    /// The answer may be old; [`Remote::keep`] asks again.
    pub fn invalidate(&mut self) {
        self.stale = true;
        self.error = None;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<R: Ask + PartialEq> Remote<R> {
    /// Keeps the answer to this request at hand: asks when it is another one than before or the answer may be old, one at
    /// a time, and takes in what has come. True in the frame in which an answer came.
    pub fn keep(&mut self, desk: &mut Desk, request: &R) -> bool {
        let came = self.poll(desk);
        let other = self.asked.as_ref() != Some(request);
        if other {
            self.error = None;
        }
        let retry_ok = self.error.is_none();
        if self.ticket.is_none() && retry_ok && (other || self.stale) && *desk.link() != Link::LoggedOut {
            self.ask(desk, request.clone());
        }
        came
    }
}
