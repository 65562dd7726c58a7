//! The list's columns: which are shown, how wide, what stands in them.

use athanor_protocol::{
    api::{RunOrder, RunRow},
    metric::Split,
};

use super::{
    naming::{latest, metric_path, metric_title, parse_metric, value_text},
    rows::Rows,
};
use crate::widgets::GridColumn;

/// Where the choice of columns is remembered.
pub(super) const MEMORY: &str = "runs.columns";

/// A column that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Col {
    /// The check box.
    Check,
    /// The run's name.
    Name,
    /// Its state.
    Status,
    /// What it trained.
    Learner,
    /// A metric.
    Metric(Split, String),
    /// A parameter.
    Param(String),
    /// How long it took.
    Duration,
    /// When it was created.
    Created,
    /// On which device.
    Device,
    /// The seed.
    Seed,
    /// Its tags.
    Tags,
}

impl Col {
    /// Its heading.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Check => String::new(),
            Self::Name => "Run".to_owned(),
            Self::Status => "State".to_owned(),
            Self::Learner => "Learner".to_owned(),
            Self::Metric(split, key) => metric_title(*split, key),
            Self::Param(name) => name.clone(),
            Self::Duration => "Time".to_owned(),
            Self::Created => "Created".to_owned(),
            Self::Device => "Where".to_owned(),
            Self::Seed => "Seed".to_owned(),
            Self::Tags => "Tags".to_owned(),
        }
    }

    /// What the engine sorts by for it.
    pub(super) fn order(&self) -> Option<RunOrder> {
        match self {
            Self::Metric(split, key) => Some(RunOrder::Metric { key: key.clone(), split: *split }),
            Self::Duration => Some(RunOrder::Duration),
            Self::Created => Some(RunOrder::Created),
            _ => None,
        }
    }

    /// How it looks in the grid.
    pub(super) fn grid(&self) -> GridColumn {
        let title = self.title();
        let column = match self {
            Self::Check => GridColumn::text(title, 36.0),
            Self::Name => GridColumn::text(title, 178.0),
            Self::Status => GridColumn::text(title, 96.0),
            Self::Learner => GridColumn::text(title, 112.0),
            Self::Metric(..) => GridColumn::number(title, 106.0),
            Self::Param(_) => GridColumn::text(title, 120.0),
            Self::Duration => GridColumn::number(title, 70.0),
            Self::Created => GridColumn::text(title, 98.0),
            Self::Device => GridColumn::text(title, 78.0),
            Self::Seed => GridColumn::number(title, 72.0),
            Self::Tags => GridColumn::text(title, 110.0),
        };
        if self.order().is_some() { column.sortable() } else { column }
    }

    /// What stands in it, for columns of plain text; `None` where there is nothing, or where it is drawn anew each time.
    pub(super) fn text(&self, row: &RunRow) -> Option<String> {
        match self {
            Self::Learner => (!row.learners.is_empty()).then(|| row.learners.join(", ")),
            Self::Metric(split, key) => {
                latest(&row.summary.latest, *split, key).map(|point| value_text(key, point.value))
            }
            Self::Param(name) => row.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
            Self::Device => Some(row.summary.device.clone()),
            Self::Seed => Some(row.summary.seed.to_string()),
            _ => None,
        }
    }

    fn word(&self) -> String {
        match self {
            Self::Check => "check".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Status => "state".to_owned(),
            Self::Learner => "learner".to_owned(),
            Self::Metric(split, key) => format!("metric:{}", metric_path(*split, key)),
            Self::Param(name) => format!("param:{name}"),
            Self::Duration => "time".to_owned(),
            Self::Created => "created".to_owned(),
            Self::Device => "where".to_owned(),
            Self::Seed => "seed".to_owned(),
            Self::Tags => "tags".to_owned(),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        if let Some(path) = word.strip_prefix("metric:") {
            return parse_metric(path).map(|(split, key)| Self::Metric(split, key));
        }
        if let Some(name) = word.strip_prefix("param:") {
            return Some(Self::Param(name.to_owned()));
        }
        FIXED.into_iter().find(|col| col.word() == word)
    }
}

/// The columns that every run has and that can be hidden.
pub(super) const FIXED: [Col; 6] = [Col::Learner, Col::Duration, Col::Created, Col::Device, Col::Tags, Col::Seed];

/// Metrics that are shown where nothing was chosen, best first.
const USUAL: [(Split, &str); 10] = [
    (Split::Valid, "accuracy"),
    (Split::Valid, "loss"),
    (Split::Test, "accuracy"),
    (Split::Valid, "r2"),
    (Split::Valid, "rmse"),
    (Split::Test, "r2"),
    (Split::Test, "rmse"),
    (Split::Test, "roc_auc"),
    (Split::Train, "loss"),
    (Split::Test, "log_loss"),
];

/// The columns that are shown, and what they were made from.
#[derive(Debug, Default)]
pub(super) struct Columns {
    chosen: Option<Vec<Col>>,
    shown: Vec<Col>,
    /// The same for the grid.
    grid: Vec<GridColumn>,
}

impl Columns {
    /// The columns in order.
    pub(super) fn shown(&self) -> &[Col] {
        &self.shown
    }

    /// The same for the grid.
    pub(super) fn grid(&self) -> &[GridColumn] {
        &self.grid
    }

    /// Whether a column is shown.
    pub(super) fn has(&self, col: &Col) -> bool {
        self.shown.contains(col)
    }

    /// Makes the columns from what is remembered, or from what the rows have. True when they changed.
    pub(super) fn refresh(&mut self, remembered: Option<&str>, rows: &Rows) -> bool {
        if self.chosen.is_none()
            && let Some(words) = remembered.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok())
        {
            self.chosen = Some(words.iter().filter_map(|word| Col::parse(word)).collect());
        }
        let mut shown = vec![Col::Check, Col::Name, Col::Status];
        match &self.chosen {
            Some(chosen) => shown.extend(chosen.iter().cloned()),
            None => {
                let have = |&&(split, key): &&(Split, &str)| rows.metric_names.contains(&(split, key.to_owned()));
                let usual = USUAL.iter().filter(have).take(2).map(|&(split, key)| Col::Metric(split, key.to_owned()));
                shown.push(Col::Learner);
                shown.extend(usual);
                shown.extend([Col::Duration, Col::Created, Col::Device, Col::Tags]);
            }
        }
        if shown == self.shown {
            return false;
        }
        self.grid = shown.iter().map(Col::grid).collect();
        self.shown = shown;
        true
    }

    /// Shows or hides a column; gives back what to remember.
    pub(super) fn toggle(&mut self, col: &Col) -> String {
        let shown = || self.shown.iter().skip(3).cloned().collect();
        let mut chosen: Vec<Col> = self.chosen.clone().unwrap_or_else(shown);
        match chosen.iter().position(|other| other == col) {
            Some(at) => {
                chosen.remove(at);
            }
            None => {
                // Figures stand together, before the facts that every run has.
                let at = match col {
                    Col::Metric(..) | Col::Param(_) => {
                        let facts = |col: &Col| {
                            matches!(col, Col::Duration | Col::Created | Col::Device | Col::Tags | Col::Seed)
                        };
                        chosen.iter().position(facts).unwrap_or(chosen.len())
                    }
                    Col::Learner => 0,
                    _ => chosen.len(),
                };
                chosen.insert(at, col.clone());
            }
        }
        let words: Vec<String> = chosen.iter().map(Col::word).collect();
        self.chosen = Some(chosen);
        serde_json::to_string(&words).unwrap_or_default()
    }

    /// Forgets the choice; what the rows have decides.
    pub(super) fn reset(&mut self) {
        self.chosen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_remembered_as_itself() {
        let mut all = FIXED.to_vec();
        all.extend([Col::Metric(Split::Test, "a/b:c".to_owned()), Col::Param("train.epochs".to_owned())]);
        for col in all {
            assert_eq!(Col::parse(&col.word()), Some(col));
        }
        assert_eq!(Col::parse("nonsense"), None);
        assert_eq!(Col::parse("check"), None);
    }

    #[test]
    fn a_chosen_column_comes_and_goes() {
        let (rows, mut columns) = (Rows::default(), Columns::default());
        assert!(columns.refresh(None, &rows));
        let col = Col::Param("train.epochs".to_owned());
        let words = columns.toggle(&col);
        assert!(columns.refresh(Some(&words), &rows) && columns.has(&col));
        assert!(columns.grid().len() == columns.shown().len());
        columns.toggle(&col);
        columns.toggle(&Col::Tags);
        columns.refresh(None, &rows);
        assert!(!columns.has(&col) && !columns.has(&Col::Tags));
        let mut other = Columns::default();
        other.refresh(Some("[\"metric:valid/loss\",\"bad\"]"), &rows);
        assert_eq!(other.shown()[3..], [Col::Metric(Split::Valid, "loss".to_owned())]);
    }
}
