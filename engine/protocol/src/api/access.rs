//! Who may ask what: the one place that tells looking from changing.

use super::Request;

impl Request {
    /// Whether the request only looks: whoever may look but not change may send it.
    ///
    /// Every method is named, so that a new one cannot be forgotten. Methods that work on a document or a table which the
    /// asker names freely (`WorkflowInspect`, `WorkflowPreview`, `WorkflowStarter`) are no looking: they would read any
    /// file of the engine's machine. Tables are looked at only where [`Self::table_path`] is one that the workspace
    /// knows.
    pub const fn is_reading(&self) -> bool {
        match self {
            Self::Hello(_)
            | Self::SettingsGet(_)
            | Self::StorageUsage(_)
            | Self::DevicesList(_)
            | Self::SystemLoad(_)
            | Self::AuditList(_)
            | Self::DataList(_)
            | Self::DataOpen(_)
            | Self::DataRows(_)
            | Self::DataProfile(_)
            | Self::DataPlot(_)
            | Self::WorkflowList(_)
            | Self::WorkflowLoad(_)
            | Self::RunList(_)
            | Self::RunGet(_)
            | Self::RunMetrics(_)
            | Self::RunSeries(_)
            | Self::RunLogs(_)
            | Self::RunReports(_)
            | Self::ModelList(_)
            | Self::ModelVersions(_)
            | Self::ModelVerify(_)
            | Self::ModelHistory(_)
            | Self::ModelCardGet(_)
            | Self::EndpointGet(_)
            | Self::EndpointLoad(_)
            | Self::EndpointTry(_)
            | Self::RolloutGet(_)
            | Self::KeyList(_)
            | Self::ScheduleList(_)
            | Self::ScheduleReport(_)
            | Self::MonitorGet(_)
            | Self::AlertList(_) => true,
            Self::WorkspaceOpen(_)
            | Self::WorkspaceSample(_)
            | Self::WorkspaceForget(_)
            | Self::SettingsSet(_)
            | Self::StorageClean(_)
            | Self::WorkCancel(_)
            | Self::FileRead(_)
            | Self::Pick(_)
            | Self::DataAdd(_)
            | Self::DataRemove(_)
            | Self::DataUpload(_)
            | Self::WorkflowSave(_)
            | Self::WorkflowDraft(_)
            | Self::WorkflowDiscard(_)
            | Self::WorkflowRename(_)
            | Self::WorkflowDelete(_)
            | Self::WorkflowImport(_)
            | Self::WorkflowExport(_)
            | Self::WorkflowInspect(_)
            | Self::WorkflowPreview(_)
            | Self::WorkflowStarter(_)
            | Self::RunStart(_)
            | Self::RunCancel(_)
            | Self::RunResume(_)
            | Self::RunDelete(_)
            | Self::RunRestore(_)
            | Self::RunTag(_)
            | Self::RunNote(_)
            | Self::RunSaveArtifact(_)
            | Self::RunsImport(_)
            | Self::ModelAlias(_)
            | Self::ModelExport(_)
            | Self::ModelDeploy(_)
            | Self::ModelImport(_)
            | Self::ModelRegister(_)
            | Self::ModelPredict(_)
            | Self::ModelStage(_)
            | Self::ModelRules(_)
            | Self::ModelRollback(_)
            | Self::ModelDelete(_)
            | Self::ModelRestore(_)
            | Self::ModelClean(_)
            | Self::ModelCardEdit(_)
            | Self::ModelCompare(_)
            | Self::EndpointStart(_)
            | Self::EndpointStop(_)
            | Self::RolloutStart(_)
            | Self::RolloutPromote(_)
            | Self::RolloutAbort(_)
            | Self::RolloutBack(_)
            | Self::KeyCreate(_)
            | Self::KeyChange(_)
            | Self::KeyRotate(_)
            | Self::KeyRevoke(_)
            | Self::ScheduleAdd(_)
            | Self::ScheduleEdit(_)
            | Self::SchedulePause(_)
            | Self::ScheduleRunNow(_)
            | Self::ScheduleStop(_)
            | Self::ScheduleRemove(_)
            | Self::MonitorConfigure(_)
            | Self::AlertAcknowledge(_)
            | Self::AlertRetrain(_) => false,
        }
    }

    /// The table that a looking request names by its path.
    pub fn table_path(&self) -> Option<&str> {
        match self {
            Self::DataOpen(ask) => Some(&ask.source.path),
            Self::DataRows(ask) => Some(&ask.source.path),
            Self::DataProfile(ask) => Some(&ask.source.path),
            Self::DataPlot(ask) => Some(&ask.source.path),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{DataOpen, Hello, KeyCreate, ModelList},
        registry::KeyLimits,
        table::DataSource,
    };

    #[test]
    fn looking_is_told_from_changing_and_tables_by_their_path() {
        assert!(Request::from(Hello {}).is_reading());
        assert!(Request::from(ModelList::default()).is_reading());
        let key =
            KeyCreate { name: "a".to_owned(), scopes: vec![], expires_at_millis: None, limits: KeyLimits::default() };
        assert!(!Request::from(key).is_reading());
        let open = Request::from(DataOpen { source: DataSource::file("/etc/passwd") });
        assert_eq!((open.is_reading(), open.table_path()), (true, Some("/etc/passwd")));
    }
}
