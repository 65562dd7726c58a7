//! What a window or a page asks of the engine, and what the engine tells by itself.
//!
//! One request has one answer: [`Request`] goes in, [`Reply`] or a [`Failure`] comes out, and every request type names its
//! answer's type through [`Ask`]. What happens without being asked arrives as [`Event`]s with growing numbers. On every
//! transport the envelope is JSON: `{"method":"run_start","params":{…}}`, `{"method":"run_start","answer":{…}}`.
//!
//! The transports are a window's bridge, HTTP with server-sent events, and memory in tests; all are a [`Client`].

mod access;
mod client;
mod data;
mod deploy;
mod endpoint;
mod endpoint_options;
mod flow;
mod host;
mod import;
mod keys;
mod models;
mod monitor;
mod registry;
mod report;
mod rollout;
mod runs;
mod schedule;

pub use self::{
    client::*, data::*, deploy::*, endpoint::*, endpoint_options::*, flow::*, host::*, import::*, keys::*, models::*,
    monitor::*, registry::*, report::*, rollout::*, runs::*, schedule::*,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Failure},
    rollout::Rollout,
};

/// Largest request, in bytes of JSON.
pub const MAX_REQUEST_BYTES: usize = 96 << 20;
/// Most rows on one page of a table.
pub const MAX_PAGE_ROWS: u32 = 2_000;

/// A request with its answer's type.
pub trait Ask: Into<Request> + Clone {
    /// What comes back.
    type Answer;

    /// Takes the answer out of its envelope.
    ///
    /// # Errors
    /// [`Code::Internal`] if the reply is that of another request.
    fn answer(reply: Reply) -> Result<Self::Answer, Failure>;
}

macro_rules! methods {
    ($( $(#[$doc:meta])* $method:ident : $ask:ty => $answer:ty ),+ $(,)?) => {
        /// A request in its envelope.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method", content = "params", rename_all = "snake_case")]
        pub enum Request { $( $(#[$doc])* $method(Box<$ask>), )+ }

        /// An answer in its envelope.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method", content = "answer", rename_all = "snake_case")]
        pub enum Reply { $( $(#[$doc])* $method(Box<$answer>), )+ }

        impl Request {
            /// The method's name, for logs.
            pub const fn method(&self) -> &'static str {
                match self { $( Self::$method(_) => stringify!($method), )+ }
            }
        }

        $(
            impl From<$ask> for Request {
                fn from(ask: $ask) -> Self { Self::$method(Box::new(ask)) }
            }
            impl Ask for $ask {
                type Answer = $answer;
                fn answer(reply: Reply) -> Result<$answer, Failure> {
                    match reply {
                        Reply::$method(answer) => Ok(*answer),
                        _ => Err(Failure::new(Code::Internal, concat!("the reply is not that of ", stringify!($method)))),
                    }
                }
            }
        )+
    };
}

/// An answer that says no more than "done".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {}

methods! {
    /// Who is there.
    Hello: Hello => HelloAnswer,
    /// Opens or makes a workspace; the window changes to it.
    WorkspaceOpen: WorkspaceOpen => WorkspaceInfo,
    /// Makes a workspace with real tables and a workflow to try.
    WorkspaceSample: WorkspaceSample => WorkspaceInfo,
    /// Takes a workspace off the list of recent ones; the folder stays.
    WorkspaceForget: WorkspaceForget => Done,
    /// What the user has set.
    SettingsGet: SettingsGet => Settings,
    /// Sets it.
    SettingsSet: SettingsSet => Settings,
    /// How the workspace's disk space is used.
    StorageUsage: StorageUsage => StorageReport,
    /// Frees what can be made again.
    StorageClean: StorageClean => StorageCleaned,
    /// Lets the user choose a file or folder in the system's own dialog.
    Pick: Pick => Picked,
    /// Devices of this machine.
    DevicesList: DevicesList => Devices,
    /// How busy this machine is.
    SystemLoad: SystemLoad => LoadNow,
    /// The audit log.
    AuditList: AuditList => AuditPage,
    /// Stops what tells of its progress under a token: a profile, a plot, a prediction, the start of a run.
    WorkCancel: WorkCancel => Done,
    /// A piece of a file of the workspace, for a client on another machine.
    FileRead: FileRead => FilePiece,

    /// The tables that the workspace knows.
    DataList: DataList => DataEntries,
    /// Adds a file to them.
    DataAdd: DataAdd => DataEntry,
    /// Takes it off the list; the file stays where it is.
    DataRemove: DataRemove => Done,
    /// Keeps a file that a browser sent.
    DataUpload: DataUpload => DataUploaded,
    /// Opens a table: its columns and size.
    DataOpen: DataOpen => TableInfo,
    /// Rows of a table.
    DataRows: DataRows => RowsPage,
    /// Everything about a table's columns.
    DataProfile: DataProfile => ProfileAnswer,
    /// Numbers for a plot of a table.
    DataPlot: DataPlot => PlotData,

    /// Saved workflows.
    WorkflowList: WorkflowList => WorkflowEntries,
    /// Reads one, with what was not saved when the window last ended.
    WorkflowLoad: WorkflowLoad => WorkflowDoc,
    /// Saves one.
    WorkflowSave: WorkflowSave => WorkflowSaved,
    /// Keeps unsaved changes.
    WorkflowDraft: WorkflowDraft => Done,
    /// Drops unsaved changes.
    WorkflowDiscard: WorkflowDiscard => Done,
    /// Gives it another name.
    WorkflowRename: WorkflowRename => Done,
    /// Deletes it; it can be undone by saving it again.
    WorkflowDelete: WorkflowDelete => Done,
    /// Reads a workflow file from anywhere into the workspace.
    WorkflowImport: WorkflowImport => WorkflowDoc,
    /// Writes a workflow to a file anywhere.
    WorkflowExport: WorkflowExport => Done,
    /// What only the engine knows of a workflow: problems with files and names, columns at each port, what is cached.
    WorkflowInspect: WorkflowInspect => Inspection,
    /// What comes out of a port.
    WorkflowPreview: WorkflowPreview => Preview,
    /// A workflow that trains on a table, ready to run.
    WorkflowStarter: WorkflowStarter => WorkflowDoc,

    /// Starts a run.
    RunStart: RunStart => RunStarted,
    /// Stops a run.
    RunCancel: RunCancel => Done,
    /// Goes on with a run.
    RunResume: RunResume => Done,
    /// Marks runs as deleted.
    RunDelete: RunDelete => Done,
    /// Takes the mark away.
    RunRestore: RunRestore => Done,
    /// Sets or removes a tag.
    RunTag: RunTag => Done,
    /// Sets the note.
    RunNote: RunNote => Done,
    /// A page of runs.
    RunList: RunList => RunPage,
    /// Everything about a run but its metrics' history.
    RunGet: RunGet => RunView,
    /// A page of a run's metric names with their latest values.
    RunMetrics: RunMetrics => MetricPage,
    /// Series for drawing.
    RunSeries: RunSeries => SeriesAnswer,
    /// Lines of log.
    RunLogs: RunLogs => LogPage,
    /// Evaluations of a run.
    RunReports: RunReports => ReportsAnswer,
    /// Writes a run's file to a place of the user's.
    RunSaveArtifact: RunSaveArtifact => Done,
    /// Takes over the runs of an MLflow store.
    RunsImport: RunsImport => RunsImported,

    /// Registered models.
    ModelList: ModelList => ModelPage,
    /// Versions of a model.
    ModelVersions: ModelVersions => VersionPage,
    /// Moves or removes an alias.
    ModelAlias: ModelAlias => AliasMoved,
    /// Checks a version's bytes and signature.
    ModelVerify: ModelVerify => VerifyAnswer,
    /// Writes a version's package to a place of the user's.
    ModelExport: ModelExport => Done,
    /// Makes a version into something that runs elsewhere.
    ModelDeploy: ModelDeploy => Deployed,
    /// Registers a package file.
    ModelImport: ModelImport => ModelRegistered,
    /// Registers what a run trained.
    ModelRegister: ModelRegister => ModelRegistered,
    /// Predicts a whole table into a file.
    ModelPredict: ModelPredict => PredictAnswer,
    /// Sets a version's stage.
    ModelStage: ModelStage => StageSet,
    /// What happened to a model.
    ModelHistory: ModelHistory => ModelHistoryAnswer,
    /// Sets the rules of a model or of the workspace.
    ModelRules: ModelRules => crate::governance::Rules,
    /// Takes an alias back, or undoes its last move.
    ModelRollback: ModelRollback => crate::governance::AliasMove,
    /// Marks a version as deleted.
    ModelDelete: ModelDelete => Done,
    /// Takes the mark away.
    ModelRestore: ModelRestore => Done,
    /// Removes packages of deleted versions and marks what the rules do not keep.
    ModelClean: ModelClean => ModelCleaned,
    /// A version's card.
    ModelCardGet: ModelCardGet => ModelCardAnswer,
    /// Writes a text of a card.
    ModelCardEdit: ModelCardEdit => crate::governance::CardText,
    /// Compares two versions on the same rows.
    ModelCompare: ModelCompare => crate::card::Comparison,

    /// Whether the endpoint runs, and what it serves.
    EndpointGet: EndpointGet => EndpointStatus,
    /// Starts it.
    EndpointStart: EndpointStart => EndpointStatus,
    /// Stops it.
    EndpointStop: EndpointStop => EndpointStatus,
    /// Requests, latency and errors over the last minutes.
    EndpointLoad: EndpointLoad => EndpointSeries,
    /// Asks a served model, as a client would.
    EndpointTry: EndpointTry => TryAnswer,
    /// A model's newest rollout.
    RolloutGet: RolloutGet => RolloutAnswer,
    /// Starts one.
    RolloutStart: RolloutStart => Rollout,
    /// Lets its candidate take over now.
    RolloutPromote: RolloutPromote => Rollout,
    /// Ends it.
    RolloutAbort: RolloutAbort => Rollout,
    /// Goes one step back.
    RolloutBack: RolloutBack => Rollout,
    /// API keys.
    KeyList: KeyList => KeyPage,
    /// Makes one.
    KeyCreate: KeyCreate => KeyCreated,
    /// Sets what one may ask for and until when.
    KeyChange: KeyChange => Done,
    /// Gives one another secret.
    KeyRotate: KeyRotate => KeyRotated,
    /// Revokes one.
    KeyRevoke: KeyRevoke => Done,

    /// Predictions by the clock.
    ScheduleList: ScheduleList => Schedules,
    /// Makes one.
    ScheduleAdd: ScheduleAdd => ScheduleInfo,
    /// Changes one.
    ScheduleEdit: ScheduleEdit => ScheduleInfo,
    /// Lets one rest, or go on.
    SchedulePause: SchedulePause => Done,
    /// Carries one out now.
    ScheduleRunNow: ScheduleRunNow => Done,
    /// Stops the prediction that one is at.
    ScheduleStop: ScheduleStop => Done,
    /// Removes one.
    ScheduleRemove: ScheduleRemove => Done,
    /// What one's last prediction did.
    ScheduleReport: ScheduleReport => ScheduleReportAnswer,

    /// How a model is watched, and what was found.
    MonitorGet: MonitorGet => MonitorView,
    /// Sets how a model is watched.
    MonitorConfigure: MonitorConfigure => crate::monitor::MonitorConfig,
    /// Alerts.
    AlertList: AlertList => AlertPage,
    /// Notes that somebody has seen an alert.
    AlertAcknowledge: AlertAcknowledge => crate::monitor::Alert,
    /// Starts a run on newer data.
    AlertRetrain: AlertRetrain => AlertRetrained,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventEnvelope {
    /// Grows by one with each event of this engine; a gap means that some were missed and everything shown must be asked
    /// for again.
    pub seq: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What the engine tells by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Another workspace is open now.
    WorkspaceChanged {
        /// Which; `None` where none is open.
        workspace: Option<WorkspaceInfo>,
    },
    /// A run was made, changed its state, tags or note, or was deleted.
    RunChanged {
        /// How it is listed now.
        run: Box<crate::run::RunSummary>,
    },
    /// A step of a run changed its state.
    RunStep {
        /// The run.
        run: crate::names::RunId,
        /// How far the step is.
        progress: NodeProgress,
    },
    /// New metric points, at most some hundreds; what is missing can be asked for.
    RunMetrics {
        /// The run.
        run: crate::names::RunId,
        /// The points.
        points: Vec<crate::metric::MetricPoint>,
    },
    /// New lines of log are there.
    RunLog {
        /// The run.
        run: crate::names::RunId,
    },
    /// Tables were added or removed.
    DataChanged {},
    /// A workflow was saved, renamed or deleted.
    WorkflowsChanged {},
    /// Models, versions or aliases changed.
    ModelsChanged {},
    /// Keys changed.
    KeysChanged {},
    /// The endpoint started, stopped or serves something else.
    EndpointChanged {
        /// How it is now.
        status: EndpointStatus,
    },
    /// A rollout began, changed its share, or ended.
    RolloutChanged {
        /// How it is now.
        rollout: Box<Rollout>,
    },
    /// Schedules changed, or one was begun or has ended.
    SchedulesChanged {},
    /// A schedule's prediction goes on.
    ScheduleProgress {
        /// Which.
        id: String,
        /// How far it is.
        far: ScheduleFar,
    },
    /// A period of a served version was judged.
    MonitorReported {
        /// The model.
        model: String,
    },
    /// An alert was raised, resolved or acknowledged.
    AlertChanged {
        /// How it is now.
        alert: Box<crate::monitor::Alert>,
    },
    /// A long request goes on.
    Progress {
        /// The request's own token.
        token: String,
        /// Units done.
        done: u64,
        /// Units in all; 0 where unknown.
        total: u64,
        /// What is being done.
        note: String,
    },
    /// Files were dropped on the window.
    FilesDropped {
        /// Their paths.
        paths: Vec<String>,
    },
    /// Files hang over the window.
    FilesHover {
        /// Whether they do now.
        over: bool,
    },
    /// The user wants to close the window: unsaved work should be kept now.
    Closing {},
    /// Events were left out because the reader was slow; everything shown must be asked for again.
    Lagged {},
}
