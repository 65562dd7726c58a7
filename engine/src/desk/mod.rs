//! The desk: answers what a window or a page asks ([`athanor_protocol::api`]), and tells what happens.
//!
//! One desk serves any number of clients: the window through Tauri's bridge, browsers through HTTP. It holds the open
//! workspace, the runs of this process, and the endpoint. Every request is answered on the caller's thread and may block;
//! transports call it from threads of their own.
//!
//! **Architecture Invariant:** no panic leaves [`Desk::handle`]; a request that breaks down is an `internal` failure, and
//! the next one is answered.
//!
//! **Architecture Invariant:** persisted first, then published.

mod data;
mod deploy;
mod endpoint;
mod endpoint_options;
mod events;
mod flow;
mod host;
mod import;
mod keys;
mod models;
mod monitor;
mod reading;
mod rollout;
mod runs;
mod schedule;
mod steward;
#[cfg(test)]
mod test_desk;
#[cfg(test)]
pub(crate) mod test_models;
mod works;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    api::{Event, Host, Reply, Request},
};

pub use self::{
    endpoint::EndpointSetup,
    events::{Events, Subscription},
};
use crate::workspace::Workspace;

/// How a desk is set up.
#[derive(Debug, Clone)]
pub struct DeskOptions {
    /// What shows the user interface.
    pub host: Host,
    /// The program that is a worker when called with `worker`.
    pub program: PathBuf,
    /// Where settings and the list of recent workspaces are kept; a folder of this user's.
    pub config_folder: PathBuf,
    /// Where new workspaces go by default.
    pub default_folder: PathBuf,
}

/// Longest that the end of the program waits for what is being packed, imported or predicted, which is told to stop.
const LAST_WORKS: Duration = Duration::from_secs(3);

/// The desk.
pub struct Desk {
    options: DeskOptions,
    workspace: RwLock<Option<Arc<Workspace>>>,
    events: Events,
    runs: runs::Running,
    endpoint: endpoint::Endpoints,
    host: host::HostState,
    data: data::DataState,
    flow: flow::FlowState,
    works: works::Works,
}

/// Whether a request writes into the open workspace. What writes elsewhere, or leads to another workspace, does not.
fn writes(request: &Request) -> bool {
    let elsewhere = matches!(
        request,
        Request::WorkspaceOpen(_)
            | Request::WorkspaceSample(_)
            | Request::WorkspaceForget(_)
            | Request::SettingsSet(_)
            | Request::Pick(_)
            | Request::WorkCancel(_)
            | Request::FileRead(_)
            | Request::WorkflowExport(_)
            | Request::WorkflowInspect(_)
            | Request::WorkflowPreview(_)
            | Request::RunSaveArtifact(_)
            | Request::ModelExport(_)
            | Request::ModelPredict(_)
            | Request::ModelCompare(_)
            | Request::EndpointStop(_)
    );
    !elsewhere && !request.is_reading()
}

impl Desk {
    /// A desk without a workspace.
    ///
    /// # Errors
    /// If the settings' folder cannot be made. Settings that cannot be read are replaced by the defaults and set aside.
    pub fn new(options: DeskOptions) -> Result<Arc<Self>, Failure> {
        // Before the first client of HTTP is made.
        athanor_serve::use_ring();
        Ok(Arc::new(Self {
            host: host::HostState::new(&options)?,
            options,
            workspace: RwLock::default(),
            events: Events::new(),
            runs: runs::Running::default(),
            endpoint: endpoint::Endpoints::default(),
            data: data::DataState::default(),
            flow: flow::FlowState::default(),
            works: works::Works::default(),
        }))
    }

    /// Events from now on.
    pub fn subscribe(&self) -> Subscription {
        self.events.subscribe()
    }

    /// Tells all clients.
    pub fn publish(&self, event: Event) {
        self.events.publish(event);
    }

    /// The open workspace.
    ///
    /// # Errors
    /// `Conflict` where none is open.
    pub fn workspace(&self) -> Result<Arc<Workspace>, Failure> {
        let open = self.workspace.read().unwrap_or_else(PoisonError::into_inner).clone();
        open.ok_or_else(|| {
            Failure::new(Code::Conflict, "no workspace is open").hint("open or make one on the Home page")
        })
    }

    /// Answers a request; may block for as long as the work takes.
    ///
    /// # Errors
    /// What went wrong, to which thing, and what to do.
    pub fn handle(self: &Arc<Self>, request: Request) -> Result<Reply, Failure> {
        let method = request.method();
        let this = std::panic::AssertUnwindSafe(|| self.dispatch(request));
        std::panic::catch_unwind(this).unwrap_or_else(|_| {
            tracing::error!(method, "a request broke down");
            Err(Failure::new(Code::Internal, format!("the request {method} broke down"))
                .hint("this is a defect of the program; what was saved is safe"))
        })
    }

    /// Stops the endpoint and the runs of this process in order: workers keep their checkpoints, runs their true state.
    pub fn shut_down(self: &Arc<Self>) {
        endpoint::shut_down(self);
        self.host.stop_schedules();
        self.works.stop_all(LAST_WORKS);
        runs::shut_down(self);
    }

    /// Refuses what would write into a workspace that can only be looked at, whichever of its files would be the first
    /// to say so.
    fn check_writable(&self, request: &Request) -> Result<(), Failure> {
        match self.host.info() {
            Some(open) if open.read_only && writes(request) => {
                let message = format!("workspace {:?} can be looked at but not changed", open.name);
                let hint = "its folder or disk cannot be written: make it writable, or copy the workspace to where you \
                            may write and open the copy";
                Err(Failure::new(Code::PermissionDenied, message).on(open.path).hint(hint))
            }
            _ => Ok(()),
        }
    }

    fn dispatch(self: &Arc<Self>, request: Request) -> Result<Reply, Failure> {
        self.check_writable(&request)?;
        macro_rules! answer {
            ($( $method:ident => $call:path ),+ $(,)?) => {
                match request { $( Request::$method(ask) => Ok(Reply::$method(Box::new($call(self, *ask)?))), )+ }
            };
        }
        answer! {
            Hello => host::hello,
            WorkspaceOpen => host::workspace_open,
            WorkspaceSample => host::workspace_sample,
            WorkspaceForget => host::workspace_forget,
            SettingsGet => host::settings_get,
            SettingsSet => host::settings_set,
            StorageUsage => host::storage_usage,
            StorageClean => host::storage_clean,
            Pick => host::pick,
            DevicesList => host::devices_list,
            SystemLoad => host::system_load,
            AuditList => host::audit_list,
            DataList => data::data_list,
            DataAdd => data::data_add,
            DataRemove => data::data_remove,
            DataUpload => data::data_upload,
            DataOpen => data::data_open,
            DataRows => data::data_rows,
            DataProfile => data::data_profile,
            DataPlot => data::data_plot,
            WorkCancel => works::work_cancel,
            FileRead => reading::file_read,
            WorkflowList => flow::workflow_list,
            WorkflowLoad => flow::workflow_load,
            WorkflowSave => flow::workflow_save,
            WorkflowDraft => flow::workflow_draft,
            WorkflowDiscard => flow::workflow_discard,
            WorkflowRename => flow::workflow_rename,
            WorkflowDelete => flow::workflow_delete,
            WorkflowImport => flow::workflow_import,
            WorkflowExport => flow::workflow_export,
            WorkflowInspect => flow::workflow_inspect,
            WorkflowPreview => flow::workflow_preview,
            WorkflowStarter => flow::workflow_starter,
            RunStart => runs::run_start,
            RunCancel => runs::run_cancel,
            RunResume => runs::run_resume,
            RunDelete => runs::run_delete,
            RunRestore => runs::run_restore,
            RunTag => runs::run_tag,
            RunNote => runs::run_note,
            RunList => runs::run_list,
            RunGet => runs::run_get,
            RunMetrics => runs::run_metrics,
            RunSeries => runs::run_series,
            RunLogs => runs::run_logs,
            RunReports => runs::run_reports,
            RunSaveArtifact => runs::run_save_artifact,
            RunsImport => import::runs_import,
            ModelList => models::model_list,
            ModelVersions => models::model_versions,
            ModelAlias => models::model_alias,
            ModelVerify => models::model_verify,
            ModelExport => models::model_export,
            ModelDeploy => deploy::model_deploy,
            ModelImport => models::model_import,
            ModelRegister => models::model_register,
            ModelPredict => models::model_predict,
            ModelStage => steward::model_stage,
            ModelHistory => steward::model_history,
            ModelRules => steward::model_rules,
            ModelRollback => steward::model_rollback,
            ModelDelete => steward::model_delete,
            ModelRestore => steward::model_restore,
            ModelClean => steward::model_clean,
            ModelCardGet => steward::model_card_get,
            ModelCardEdit => steward::model_card_edit,
            ModelCompare => steward::model_compare,
            EndpointGet => endpoint::endpoint_get,
            EndpointStart => endpoint::endpoint_start,
            EndpointStop => endpoint::endpoint_stop,
            EndpointLoad => endpoint::endpoint_load,
            EndpointTry => endpoint::endpoint_try,
            RolloutGet => rollout::rollout_get,
            RolloutStart => rollout::rollout_start,
            RolloutPromote => rollout::rollout_promote,
            RolloutAbort => rollout::rollout_abort,
            RolloutBack => rollout::rollout_back,
            KeyList => keys::key_list,
            KeyCreate => keys::key_create,
            KeyChange => keys::key_change,
            KeyRotate => keys::key_rotate,
            KeyRevoke => keys::key_revoke,
            ScheduleList => schedule::schedule_list,
            ScheduleAdd => schedule::schedule_add,
            ScheduleEdit => schedule::schedule_edit,
            SchedulePause => schedule::schedule_pause,
            ScheduleRunNow => schedule::schedule_run_now,
            ScheduleStop => schedule::schedule_stop,
            ScheduleRemove => schedule::schedule_remove,
            ScheduleReport => schedule::schedule_report,
            MonitorGet => monitor::monitor_get,
            MonitorConfigure => monitor::monitor_configure,
            AlertList => monitor::alert_list,
            AlertAcknowledge => monitor::alert_acknowledge,
            AlertRetrain => monitor::alert_retrain,
        }
    }
}
