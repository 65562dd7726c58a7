//! The guided start: from a real table to a live endpoint in four steps. What is done is read from the engine, so a step
//! stays done wherever it was done, and goes on while the page is not seen.

use std::collections::BTreeMap;

use athanor_protocol::{
    Failure,
    api::{
        DataEntry, DataList, DataRows, EndpointGet, EndpointStart, EndpointTry, Event, KeyCreate, KeyCreated,
        ModelAlias, ModelRegister, ModelVersions, RowsPage, RunGet, RunList, RunSeries, RunStart, RunTag, RunView,
        SeriesKey, TryAnswer, WorkflowStarter,
    },
    metric::Split,
    names::RunId,
    registry::{KeyLimits, PRODUCTION, Scope},
    run::RunStatus,
    table::DataType,
};
use serde_json::Value;

use crate::{
    desk::{Desk, Remote, Ticket},
    pages::{Cx, data::one_row},
};

/// The table of the guided start.
pub const TABLE: &str = "breast_cancer.csv";
/// The column that it predicts.
pub const TARGET: &str = "diagnosis";
/// What the model is registered as.
pub const MODEL: &str = "breast_cancer";
/// Tag of the runs that were started here.
const TAG: [&str; 2] = ["from", "guided-start"];

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The table.
    Open,
    /// The run.
    Train,
    /// The model's version.
    Publish,
    /// The endpoint.
    Ask,
}

impl Step {
    /// All, in order.
    pub const ALL: [Step; 4] = [Step::Open, Step::Train, Step::Publish, Step::Ask];
}

/// How a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Done.
    Done,
    /// To be done now.
    Active,
    /// The engine is at it.
    Working,
    /// After another one.
    Waiting,
}

/// An action on its way.
enum Doing {
    Starter(Ticket<WorkflowStarter>),
    Start(Ticket<RunStart>),
    Register(Ticket<ModelRegister>),
    Promote(Ticket<ModelAlias>, u32),
    Endpoint(Ticket<EndpointStart>),
    Row(Ticket<DataRows>),
    Try(Ticket<EndpointTry>),
    Key(Ticket<KeyCreate>),
}

impl Doing {
    const fn step(&self) -> Step {
        match self {
            Self::Starter(_) | Self::Start(_) => Step::Train,
            Self::Register(_) | Self::Promote(..) => Step::Publish,
            Self::Endpoint(_) | Self::Row(_) | Self::Try(_) | Self::Key(_) => Step::Ask,
        }
    }

    const fn says(&self) -> &'static str {
        match self {
            Self::Starter(_) => "Making a workflow",
            Self::Start(_) => "Starting the run",
            Self::Register(_) => "Registering the model",
            Self::Promote(..) => "Making it the one that is served",
            Self::Endpoint(_) => "Starting the endpoint",
            Self::Row(_) => "Reading the row",
            Self::Try(_) => "Asking the model",
            Self::Key(_) => "Making a key",
        }
    }
}

/// The guided start.
#[derive(Default)]
pub struct Guide {
    tables: Remote<DataList>,
    runs: Remote<RunList>,
    run: Remote<RunGet>,
    versions: Remote<ModelVersions>,
    /// The endpoint.
    pub endpoint: Remote<EndpointGet>,
    curve: Remote<RunSeries>,
    curve_at: f64,
    curve_stale: bool,
    started: Option<RunId>,
    doing: Option<Doing>,
    doing_since: f64,
    failed: Option<(Step, Failure)>,
    /// The step that is unfolded though it is not the next one.
    pub unfolded: Option<Step>,
    /// The row that is asked about, from 0.
    pub row: u64,
    asked: Option<RowsPage>,
    /// What the model answered, for which row.
    pub answer: Option<(u64, TryAnswer)>,
    /// The key that was made, shown once.
    pub key: Option<KeyCreated>,
}

impl Guide {
    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::WorkspaceChanged { .. } => *self = Self::default(),
            Event::Lagged {} => {
                self.tables.invalidate();
                self.runs.invalidate();
                self.run.invalidate();
                self.versions.invalidate();
                self.endpoint.invalidate();
                self.curve_stale = true;
            }
            Event::DataChanged {} => self.tables.invalidate(),
            Event::RunChanged { run } => {
                self.runs.invalidate();
                if Some(&run.id) == self.run_id().as_ref() {
                    self.run.invalidate();
                    self.curve_stale = true;
                }
            }
            Event::RunMetrics { run, .. } if Some(run) == self.run_id().as_ref() => self.curve_stale = true,
            Event::ModelsChanged {} => {
                self.versions.invalidate();
                self.run.invalidate();
            }
            Event::EndpointChanged { status } => {
                if let Some(known) = self.endpoint.value_mut() {
                    *known = status.clone();
                } else {
                    self.endpoint.invalidate();
                }
            }
            _ => {}
        }
    }

    /// The table, where the workspace knows it and the file is there.
    pub fn table(&self) -> Option<&DataEntry> {
        self.tables.value()?.items.iter().find(|entry| entry.name == TABLE && entry.n_bytes.is_some())
    }

    /// Whether it is known what the workspace has.
    pub fn is_known(&self) -> bool {
        self.tables.value().is_some() && self.runs.value().is_some()
    }

    /// Why it is not known.
    pub fn error(&self) -> Option<&Failure> {
        self.tables.error().or_else(|| self.runs.error())
    }

    /// Asks again for everything that could not be read.
    pub fn retry(&mut self) {
        self.tables.invalidate();
        self.runs.invalidate();
    }

    /// The run of step two.
    pub fn run_id(&self) -> Option<RunId> {
        self.started.clone().or_else(|| Some(self.runs.value()?.items.first()?.summary.id.clone()))
    }

    /// The run with its steps, as far as it is known.
    pub fn view(&self) -> Option<&RunView> {
        let id = self.run_id()?;
        self.run.value().filter(|view| view.detail.summary.id == id)
    }

    /// The run's state.
    pub fn status(&self) -> Option<RunStatus> {
        let id = self.run_id()?;
        if let Some(view) = self.view() {
            return Some(view.detail.summary.status);
        }
        let row = self.runs.value()?.items.iter().find(|row| row.summary.id == id);
        Some(row.map_or(RunStatus::Queued, |row| row.summary.status))
    }

    /// The run's version, and whether it is the one that is served.
    pub fn version(&self) -> Option<(u32, bool)> {
        let (_, version) = *self.view()?.versions.iter().find(|(model, _)| model == MODEL).as_ref()?;
        let served = self.versions.value().is_some_and(|page| {
            page.items
                .iter()
                .any(|item| item.version == *version && item.aliases.iter().any(|alias| alias == PRODUCTION))
        });
        Some((*version, served))
    }

    /// Loss of training and validation by step.
    pub fn curve(&self) -> Option<&[athanor_protocol::api::Series]> {
        let id = self.run_id()?;
        let of_it = self.curve.value_of().is_some_and(|ask| ask.series.iter().all(|key| key.run == id));
        self.curve.value().filter(|_| of_it).map(|answer| answer.series.as_slice())
    }

    /// Where the endpoint answers.
    pub fn url(&self) -> Option<&str> {
        self.endpoint.value()?.url.as_deref()
    }

    /// How a step is.
    pub fn state(&self, step: Step) -> State {
        let done = |step: Step| match step {
            Step::Open => self.table().is_some(),
            Step::Train => self.status() == Some(RunStatus::Finished),
            Step::Publish => self.version().is_some_and(|(_, served)| served),
            Step::Ask => self.answer.as_ref().is_some_and(|(_, answer)| answer.status == 200),
        };
        let working = self.doing.as_ref().is_some_and(|doing| doing.step() == step)
            || (step == Step::Train && matches!(self.status(), Some(RunStatus::Queued | RunStatus::Running)));
        if working {
            return State::Working;
        }
        let next = Step::ALL.into_iter().find(|step| !done(*step));
        match next {
            _ if done(step) && next.is_none_or(|next| step < next) => State::Done,
            Some(next) if next == step => State::Active,
            _ => State::Waiting,
        }
    }

    /// The step that is next.
    pub fn next(&self) -> Option<Step> {
        Step::ALL.into_iter().find(|step| matches!(self.state(*step), State::Active | State::Working))
    }

    /// What is on its way at a step, once people should see it.
    pub fn doing(&self, step: Step, desk: &Desk) -> Option<&'static str> {
        let doing = self.doing.as_ref().filter(|doing| doing.step() == step)?;
        (desk.now_secs() - self.doing_since > 0.2).then(|| doing.says())
    }

    /// Whether something is on its way.
    pub fn is_busy(&self) -> bool {
        self.doing.is_some()
    }

    /// What went wrong at a step.
    pub fn failure(&self, step: Step) -> Option<&Failure> {
        self.failed.as_ref().filter(|(at, _)| *at == step).map(|(_, failure)| failure)
    }

    /// The value of the target in the row that was asked about.
    pub fn truth(&self) -> Option<&str> {
        let page = self.asked.as_ref()?;
        let at = page.columns.iter().position(|column| column.name == TARGET)?;
        page.cells.get(at)?.first()?.as_deref()
    }

    /// Rows of the table, where that is known by now.
    pub fn n_rows(&self) -> Option<u64> {
        self.asked.as_ref()?.n_rows
    }

    /// Keeps what is shown up to date; called while the page is seen.
    pub fn keep(&mut self, desk: &mut Desk) {
        self.tables.keep(desk, &DataList {});
        self.runs.keep(desk, &RunList { text: TAG[1].to_owned(), limit: 1, ..RunList::default() });
        if let Some(run) = self.run_id() {
            self.run.keep(desk, &RunGet { run: run.clone() });
            // Not with every point: twice a second is as fast as eyes follow.
            if self.curve_stale && desk.now_secs() - self.curve_at > 0.5 {
                self.curve_stale = false;
                self.curve_at = desk.now_secs();
                self.curve.invalidate();
            }
            let series = [Split::Train, Split::Valid]
                .map(|split| SeriesKey { run: run.clone(), key: "loss".to_owned(), split })
                .to_vec();
            self.curve.keep(desk, &RunSeries { series, from_step: None, to_step: None, n_buckets: 240 });
            if self.view().is_some_and(|view| !view.versions.is_empty()) {
                self.versions.keep(desk, &ModelVersions { model: MODEL.to_owned(), after: None });
            }
        }
        self.endpoint.keep(desk, &EndpointGet {});
    }

    /// Whether the curve waits for its turn.
    pub fn is_live(&self) -> bool {
        self.curve_stale
    }

    fn begin(&mut self, desk: &Desk, doing: Doing) {
        self.failed = None;
        self.doing_since = desk.now_secs();
        self.doing = Some(doing);
    }

    /// Step two: a workflow for the table, and a run of it. Again: the same workflow, trained anew.
    pub fn train(&mut self, desk: &mut Desk) {
        let settings = desk.settings();
        let (device, seed) = (settings.device.clone(), settings.seed);
        if let Some(view) = self.view() {
            let node =
                view.detail.steps.iter().find(|step| step.kind.starts_with("train.")).map(|step| step.node.clone());
            let json = view.detail.workflow_json.clone();
            let ask = RunStart { json, device, seed, up_to: None, again_from: node, token: String::new() };
            let doing = Doing::Start(desk.ask(ask));
            return self.begin(desk, doing);
        }
        let Some(table) = self.table() else { return };
        let ask = WorkflowStarter {
            path: table.path.clone(),
            target: TARGET.to_owned(),
            learner: "train.mlp".to_owned(),
            register_as: None,
            test: 0.15,
            valid: 0.15,
        };
        let doing = Doing::Starter(desk.ask(ask));
        self.begin(desk, doing);
    }

    /// Step three: the run's model becomes a version, and the one that is served.
    pub fn publish(&mut self, desk: &mut Desk) {
        let Some(run) = self.run_id() else { return };
        let doing = match self.version() {
            Some((version, _)) => promote(desk, version),
            None => Doing::Register(desk.ask(ModelRegister { run, node: None, name: MODEL.to_owned() })),
        };
        self.begin(desk, doing);
    }

    /// Step four: the endpoint runs, and answers for a row of the table.
    pub fn ask(&mut self, desk: &mut Desk) {
        let doing = if self.url().is_some() {
            match self.row_request() {
                Some(ask) => Doing::Row(desk.ask(ask)),
                None => return,
            }
        } else {
            let settings = desk.settings();
            let (port, options) = (settings.endpoint_port, settings.endpoint_options.clone());
            Doing::Endpoint(desk.ask(EndpointStart { port, options }))
        };
        self.begin(desk, doing);
    }

    /// Makes a key, so that other programs can ask.
    pub fn make_key(&mut self, desk: &mut Desk) {
        let ask = KeyCreate {
            name: "guided start".to_owned(),
            scopes: vec![Scope::Predict],
            expires_at_millis: None,
            limits: KeyLimits::default(),
        };
        let doing = Doing::Key(desk.ask(ask));
        self.begin(desk, doing);
    }

    fn row_request(&self) -> Option<DataRows> {
        Some(one_row(&self.table()?.path, self.row))
    }

    /// Goes on with what was begun, also while the page is not seen.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        let Some(doing) = self.doing.take() else { return };
        let step = doing.step();
        match self.go_on(doing, cx) {
            Ok(next) => self.doing = next,
            Err(failure) => self.failed = Some((step, failure)),
        }
    }

    fn go_on(&mut self, doing: Doing, cx: &mut Cx<'_>) -> Result<Option<Doing>, Failure> {
        let desk = &mut *cx.desk;
        Ok(match doing {
            Doing::Starter(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    let json = result?.json;
                    let settings = desk.settings();
                    let (device, seed) = (settings.device.clone(), settings.seed);
                    let token = String::new();
                    let ask = RunStart { json, device, seed, up_to: None, again_from: None, token };
                    Some(Doing::Start(desk.ask(ask)))
                }
            },
            Doing::Start(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    let run = result?.run;
                    let tag = RunTag { run: run.clone(), key: TAG[0].to_owned(), value: Some(TAG[1].to_owned()) };
                    desk.tell(tag.into());
                    self.started = Some(run);
                    (self.answer, self.asked) = (None, None);
                    self.curve.clear();
                    None
                }
            },
            Doing::Register(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    let version = result?.version.version;
                    self.run.invalidate();
                    Some(promote(desk, version))
                }
            },
            Doing::Promote(ticket, version) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    let moved = result?;
                    self.versions.invalidate();
                    self.run.invalidate();
                    let alias = |version| ModelAlias { model: MODEL.to_owned(), alias: PRODUCTION.to_owned(), version };
                    if moved.previous != Some(version) {
                        let label = format!("Published {MODEL}:{version}");
                        cx.undo.push(
                            label.clone(),
                            vec![alias(moved.previous).into()],
                            vec![alias(Some(version)).into()],
                        );
                        cx.toasts.undoable(label);
                    }
                    None
                }
            },
            Doing::Endpoint(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    let status = result?;
                    if let Some(problem) = status.problem.clone().filter(|_| status.url.is_none()) {
                        return Err(Failure::new(athanor_protocol::Code::Unavailable, problem));
                    }
                    match self.endpoint.value_mut() {
                        Some(known) => *known = status,
                        None => self.endpoint.invalidate(),
                    }
                    self.row_request().map(|ask| Doing::Row(desk.ask(ask)))
                }
            },
            Doing::Row(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    let page = result?;
                    let values = values_of(&page);
                    self.asked = Some(page);
                    Some(Doing::Try(desk.ask(EndpointTry { model: MODEL.to_owned(), values, explain: false })))
                }
            },
            Doing::Try(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    self.answer = Some((self.row, result?));
                    None
                }
            },
            Doing::Key(ticket) => match desk.take(ticket) {
                None => Some(doing),
                Some(result) => {
                    self.key = Some(result?);
                    None
                }
            },
        })
    }
}

fn promote(desk: &mut Desk, version: u32) -> Doing {
    let ask = ModelAlias { model: MODEL.to_owned(), alias: PRODUCTION.to_owned(), version: Some(version) };
    Doing::Promote(desk.ask(ask), version)
}

/// The row's values as a client would send them, without the target.
fn values_of(page: &RowsPage) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (column, cells) in page.columns.iter().zip(&page.cells) {
        if column.name == TARGET {
            continue;
        }
        let text = cells.first().and_then(Option::as_deref);
        let value = match (column.dtype, text) {
            (_, None) => Value::Null,
            (DataType::Int, Some(text)) => text.parse::<i64>().map_or(Value::Null, Value::from),
            (DataType::Float, Some(text)) => text.parse::<f64>().map_or(Value::Null, Value::from),
            (DataType::Bool, Some(text)) => Value::from(text == "true"),
            (_, Some(text)) => Value::from(text),
        };
        values.insert(column.name.clone(), value);
    }
    values
}

/// One class's probability, or the number, in the endpoint's answer.
pub fn outputs(body: &Value) -> Vec<(String, f64)> {
    let Some(first) = body.get("predictions").and_then(|rows| rows.get(0)) else { return vec![] };
    if let Some(classes) = first.get("probabilities").and_then(Value::as_object) {
        let mut all: Vec<(String, f64)> =
            classes.iter().filter_map(|(class, share)| Some((class.clone(), share.as_f64()?))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        return all;
    }
    first.get("value").and_then(Value::as_f64).map(|value| ("value".to_owned(), value)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use athanor_protocol::table::ColumnSchema;

    use super::*;

    #[test]
    fn a_row_is_sent_as_numbers_and_words_without_the_target() {
        let column = |name: &str, dtype| ColumnSchema { name: name.to_owned(), dtype };
        let page = RowsPage {
            offset: 0,
            columns: vec![
                column("radius", DataType::Float),
                column("n", DataType::Int),
                column("site", DataType::Text),
                column("gone", DataType::Float),
                column(TARGET, DataType::Text),
            ],
            cells: [Some("17.99"), Some("3"), Some("left"), None, Some("malignant")]
                .map(|cell| vec![cell.map(str::to_owned)])
                .to_vec(),
            n_rows: Some(569),
        };
        let text = serde_json::to_string(&values_of(&page)).unwrap();
        assert_eq!(text, r#"{"gone":null,"n":3,"radius":17.99,"site":"left"}"#);
    }

    #[test]
    fn answers_are_read_whatever_their_shape() {
        let body = serde_json::json!({"predictions": [{"label": "b", "probabilities": {"a": 0.1, "b": 0.9}}]});
        assert_eq!(outputs(&body), [("b".to_owned(), 0.9), ("a".to_owned(), 0.1)]);
        assert_eq!(outputs(&serde_json::json!({"predictions": [{"value": 2.5}]})), [("value".to_owned(), 2.5)]);
        assert!(outputs(&serde_json::json!({"code": "not_found"})).is_empty());
    }
}
