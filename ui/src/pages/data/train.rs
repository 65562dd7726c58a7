//! "Use for training": which column to predict, with what, from which share of the rows; then a workflow that does it.

use athanor_protocol::{
    Code, Failure,
    api::{RunStart, TableInfo, WorkflowDoc, WorkflowSave, WorkflowStarter},
    catalogue::Catalogue,
    names::check_model_name,
    table::{ColumnSchema, DataType, TableProfile},
};
use egui::{RichText, Ui};

use super::{add::file_name, head::summary_of, picker};
use crate::{
    desk::Ticket,
    format,
    icons::{self, ph},
    pages::{Cx, Go},
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
    work::Work,
};

/// Names that the column to predict often has.
const TARGETS: [&str; 18] = [
    "target",
    "label",
    "class",
    "y",
    "outcome",
    "diagnosis",
    "species",
    "cultivar",
    "quality",
    "progression",
    "churn",
    "survived",
    "price",
    "output",
    "response",
    "result",
    "category",
    "digit",
];
/// Whole numbers with at most so many values are taken for classes.
const MOST_CLASSES: u64 = 20;
/// The learners that are offered.
const LEARNERS: [&str; 3] = ["train.linear", "train.mlp", "train.trees"];

/// The column that is most likely to be predicted.
pub fn guess_target(columns: &[ColumnSchema]) -> Option<&str> {
    let usable = || columns.iter().filter(|column| can_be_predicted(column.dtype));
    let by_name = TARGETS.iter().find_map(|name| usable().find(|column| column.name.to_lowercase() == *name));
    let by_end = || {
        usable().find(|column| {
            let name = column.name.to_lowercase();
            TARGETS.iter().any(|target| target.len() > 3 && (name.ends_with(target) || name.starts_with(target)))
        })
    };
    by_name.or_else(by_end).or_else(|| usable().next_back()).map(|column| column.name.as_str())
}

fn can_be_predicted(dtype: DataType) -> bool {
    matches!(dtype, DataType::Bool | DataType::Int | DataType::Float | DataType::Text)
}

/// What predicting a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guess {
    /// One of so many classes; the number is known once the column is described.
    Classes(Option<u64>),
    /// A number.
    Number,
}

/// What predicting a column is, told from its type and its values as the engine does.
pub fn task_of(dtype: DataType, n_distinct: Option<u64>) -> Guess {
    match dtype {
        DataType::Float => Guess::Number,
        DataType::Int if n_distinct.is_none_or(|n| n > MOST_CLASSES) => Guess::Number,
        _ => Guess::Classes(n_distinct),
    }
}

/// A name for a model that is allowed, made from a table's.
fn model_name(table: &str) -> String {
    let stem = table.split('.').next().unwrap_or(table).to_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let name = name.trim_matches(['_', '-']).to_owned();
    if check_model_name(&name).is_ok() { name } else { "model".to_owned() }
}

/// How far the work after the button is.
enum Doing {
    Making(Ticket<WorkflowStarter>),
    Saving(Ticket<WorkflowSave>, Box<WorkflowDoc>),
    Starting(Work<RunStart>),
}

/// The panel's state.
pub struct TrainPanel {
    path: String,
    target: String,
    learner: String,
    register: bool,
    name: String,
    test: f64,
    valid: f64,
    run_it: bool,
    doing: Option<Doing>,
    failure: Option<Failure>,
    catalogue: Catalogue,
}

/// What the user wants of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Close the panel.
    Close,
}

impl TrainPanel {
    /// A panel for a table.
    pub fn new(path: &str, columns: &[ColumnSchema]) -> Self {
        Self {
            path: path.to_owned(),
            target: guess_target(columns).unwrap_or_default().to_owned(),
            learner: LEARNERS[1].to_owned(),
            register: true,
            name: model_name(file_name(path)),
            test: 0.15,
            valid: 0.15,
            run_it: false,
            doing: None,
            failure: None,
            catalogue: Catalogue::builtin(),
        }
    }

    /// The table.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Predicts this column.
    pub fn set_target(&mut self, column: &str) {
        column.clone_into(&mut self.target);
    }

    /// Goes on with what was begun, also while the page is not seen.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        let Some(doing) = self.doing.take() else { return };
        match doing {
            Doing::Making(ticket) => match cx.desk.take(ticket) {
                None => self.doing = Some(Doing::Making(ticket)),
                Some(Ok(doc)) => {
                    let expected = Some(doc.revision);
                    let save = WorkflowSave { name: doc.name.clone(), json: doc.json.clone(), expected };
                    self.doing = Some(Doing::Saving(cx.desk.ask(save), Box::new(doc)));
                }
                Some(Err(failure)) => self.failure = Some(failure),
            },
            Doing::Saving(ticket, doc) => match cx.desk.take(ticket) {
                None => self.doing = Some(Doing::Saving(ticket, doc)),
                Some(Ok(_)) if self.run_it => {
                    let settings = cx.desk.settings();
                    let (device, seed) = (settings.device.clone(), settings.seed);
                    let json = doc.json.clone();
                    let start = |token| RunStart { json, device, seed, up_to: None, again_from: None, token };
                    self.doing = Some(Doing::Starting(Work::begin(cx.desk, start)));
                }
                Some(Ok(_)) => {
                    cx.toasts.ok(format!("Made the workflow {}", doc.name));
                    cx.go.push(Go::Workflow(doc.name.clone()));
                }
                Some(Err(failure)) => self.failure = Some(failure),
            },
            Doing::Starting(work) => match work.take(cx.desk) {
                None => self.doing = Some(Doing::Starting(work)),
                Some(Ok(started)) => cx.go.push(Go::Run(started.run)),
                Some(Err(failure)) if failure.code == Code::Cancelled => {
                    cx.toasts.info("Stopped before the run began; the workflow is kept");
                }
                Some(Err(failure)) => self.failure = Some(failure),
            },
        }
    }

    /// Draws it.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Cx<'_>,
        info: &TableInfo,
        profile: Option<&TableProfile>,
    ) -> Option<Asked> {
        let mut asked = None;
        ui.horizontal(|ui| {
            widgets::inspector_title(ui, "Use for training", "");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if widgets::icon_button(ui, ph::X, "Close the panel").clicked() {
                    asked = Some(Asked::Close);
                }
            });
        });
        egui::ScrollArea::vertical().id_salt("train-panel").auto_shrink([false, false]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 14.0;
            self.target_ui(ui, info, profile);
            self.learner_ui(ui);
            self.split_ui(ui, info, profile);
            self.register_ui(ui);
            self.go_ui(ui, cx);
        });
        asked
    }

    fn target_ui(&mut self, ui: &mut Ui, info: &TableInfo, profile: Option<&TableProfile>) {
        let theme = Theme::of(ui);
        let at = info.columns.iter().position(|column| column.name == self.target);
        let column = at.and_then(|at| info.columns.get(at));
        let summary = at.zip(column).and_then(|(at, column)| summary_of(profile, at, column));
        widgets::field(ui, "Column to predict", "", None, |ui| self.target_choice(ui, info));
        let Some(column) = column else { return };
        let (icon, text) = match task_of(column.dtype, summary.map(|summary| summary.n_distinct)) {
            Guess::Number => (ph::CHART_LINE_UP, "Regression: predicts a number.".to_owned()),
            Guess::Classes(Some(n)) => (ph::TAG, format!("Classification: predicts one of {n} classes.")),
            Guess::Classes(None) => (ph::TAG, "Classification: predicts a class.".to_owned()),
        };
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(icons::text(icon, 15.0).color(theme.accent));
            ui.label(RichText::new(text).color(theme.text))
                .on_hover_text("Told from the column's type and values; the Train step can be told otherwise");
        });
        let mut warnings = vec![];
        if let Some(summary) = summary {
            if summary.n_missing > 0 {
                warnings.push(format!(
                    "{} without a value cannot teach anything",
                    format::plural(summary.n_missing, "row")
                ));
            }
            if summary.n_distinct <= 1 {
                warnings.push("it has no two different values: there is nothing to learn".to_owned());
            }
            if column.dtype == DataType::Text && summary.n_distinct > 100 {
                warnings.push(format!(
                    "{} different words are too many classes to learn well",
                    format::count(summary.n_distinct)
                ));
            }
        }
        for warning in warnings {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.label(icons::text(ph::WARNING, 14.0).color(theme.warn));
                ui.label(RichText::new(widgets::sentence(&warning)).color(theme.muted));
            });
        }
    }

    fn target_choice(&mut self, ui: &mut Ui, info: &TableInfo) {
        let names =
            info.columns.iter().filter(|column| can_be_predicted(column.dtype)).map(|column| column.name.as_str());
        let options: Vec<(&str, &str)> = names.map(|name| (name, name)).collect();
        let width = ui.available_width();
        picker::column(ui, "Column to predict", &mut self.target, &options, width);
    }

    fn learner_ui(&mut self, ui: &mut Ui) {
        let theme = Theme::of(ui);
        widgets::label(ui, "Learner");
        ui.scope(|ui| {
            ui.spacing_mut().item_spacing.y = 6.0;
            for id in LEARNERS {
                let Some(kind) = self.catalogue.kind(id) else { continue };
                let on = self.learner == id;
                let (rect, response) =
                    ui.allocate_exact_size(egui::vec2(ui.available_width(), 50.0), egui::Sense::click());
                response
                    .widget_info(|| egui::WidgetInfo::selected(egui::WidgetType::RadioButton, true, on, &kind.title));
                let (fill, line) = match (on, response.hovered()) {
                    (true, _) => (theme.soft, theme.accent),
                    (false, true) => (mix(theme.panel, theme.text, 0.04), theme.line),
                    (false, false) => (theme.panel, theme.line),
                };
                let stroke = egui::Stroke::new(1.0, line);
                ui.painter().rect(rect, radius::CONTROL, fill, stroke, egui::StrokeKind::Inside);
                let ink = if on { theme.accent } else { theme.muted };
                icons::paint(ui, egui::pos2(rect.left() + 22.0, rect.center().y), icons::of_node(id), 18.0, ink);
                let painter = ui.painter().with_clip_rect(rect.shrink(6.0));
                let left = rect.left() + 42.0;
                painter.text(
                    egui::pos2(left, rect.top() + 17.0),
                    egui::Align2::LEFT_CENTER,
                    &kind.title,
                    theme::medium(font_size::BODY),
                    theme.text,
                );
                painter.text(
                    egui::pos2(left, rect.top() + 35.0),
                    egui::Align2::LEFT_CENTER,
                    &kind.summary,
                    theme::regular(font_size::LABEL + 0.5),
                    theme.muted,
                );
                widgets::focus_ring(ui, &response, rect);
                if response.on_hover_cursor(egui::CursorIcon::PointingHand).on_hover_text(&kind.summary).clicked() {
                    id.clone_into(&mut self.learner);
                }
            }
        });
    }

    fn split_ui(&mut self, ui: &mut Ui, info: &TableInfo, profile: Option<&TableProfile>) {
        let theme = Theme::of(ui);
        widgets::label(ui, "Rows");
        let n_rows = profile.map(|profile| profile.n_rows).or(info.n_rows);
        ui.scope(|ui| {
            ui.spacing_mut().item_spacing.y = 6.0;
            let width = ui.available_width();
            shares(ui, width, self.valid, self.test);
            let both = [
                ("Validation", "stops and tunes the training", &mut self.valid),
                ("Test", "judges the model, once", &mut self.test),
            ];
            for (name, help, share) in both {
                ui.horizontal(|ui| {
                    ui.allocate_ui_with_layout(
                        egui::vec2(70.0, 24.0),
                        egui::Layout::left_to_right(egui::Align::Center),
                        |ui| {
                            ui.set_min_width(70.0);
                            ui.label(RichText::new(name).color(theme.text)).on_hover_text(help);
                        },
                    );
                    let mut percent = (*share * 100.0).round();
                    widgets::slider(ui, name, &mut percent, 5.0..=40.0, 1.0, " %");
                    *share = percent / 100.0;
                });
            }
            let train = 1.0 - self.valid - self.test;
            let text = match n_rows {
                Some(n_rows) => {
                    let part = |share: f64| format::count((n_rows as f64 * share).round() as u64);
                    format!(
                        "{} to learn from, {} to tune by, {} to judge by",
                        part(train),
                        part(self.valid),
                        part(self.test)
                    )
                }
                None => format!("{:.0} % to learn from", train * 100.0),
            };
            ui.label(RichText::new(text).size(font_size::LABEL + 0.5).color(theme.muted));
            let is_class = info
                .columns
                .iter()
                .position(|column| column.name == self.target)
                .and_then(|at| Some((at, info.columns.get(at)?)))
                .is_some_and(|(at, column)| {
                    let n = summary_of(profile, at, column).map(|summary| summary.n_distinct);
                    matches!(task_of(column.dtype, n), Guess::Classes(_))
                });
            if is_class {
                let text = "Stratified: each class has its share in every part.";
                ui.label(RichText::new(text).size(font_size::LABEL + 0.5).color(theme.muted));
            }
        });
    }

    fn register_ui(&mut self, ui: &mut Ui) {
        widgets::switch(ui, &mut self.register, "Register the model");
        if self.register {
            let error = check_model_name(&self.name).err().map(|error| error.reason);
            widgets::field(ui, "Model name", "Each run adds a version under this name", error, |ui| {
                widgets::line_edit(ui, "Model name", &mut self.name, "my_model", false)
            });
        }
    }

    fn go_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if let Some(failure) = self.failure.clone()
            && widgets::failure(ui, &failure)
        {
            self.begin(cx);
        }
        let named = !self.register || check_model_name(&self.name).is_ok();
        let may = !self.target.is_empty() && named && self.doing.is_none() && cx.desk.may_change();
        let mut begin = None;
        ui.add_enabled_ui(may, |ui| {
            ui.horizontal_wrapped(|ui| {
                if widgets::primary(ui, ph::PLAY, "Create and run").clicked() {
                    begin = Some(true);
                }
                if widgets::secondary(ui, ph::TREE_STRUCTURE, "Create")
                    .on_hover_text("Makes the workflow and opens it")
                    .clicked()
                {
                    begin = Some(false);
                }
            });
        });
        if !cx.desk.may_change() {
            widgets::muted(ui, "This workspace can only be looked at.");
        }
        match &mut self.doing {
            Some(Doing::Making(_)) => widgets::loading(ui, "Making the workflow"),
            Some(Doing::Saving(..)) => widgets::loading(ui, "Saving it"),
            Some(Doing::Starting(work)) => work.ui(ui, cx.desk, "Starting the run"),
            None => {}
        }
        if let Some(run_it) = begin {
            self.run_it = run_it;
            self.begin(cx);
        }
    }

    fn begin(&mut self, cx: &mut Cx<'_>) {
        self.failure = None;
        if !cx.desk.may_change() {
            return;
        }
        let ask = WorkflowStarter {
            path: self.path.clone(),
            target: self.target.clone(),
            learner: self.learner.clone(),
            register_as: self.register.then(|| self.name.clone()),
            test: self.test,
            valid: self.valid,
        };
        self.doing = Some(Doing::Making(cx.desk.ask(ask)));
    }
}

/// The three parts of the rows side by side.
fn shares(ui: &mut Ui, width: f32, valid: f64, test: f64) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(egui::vec2(width, size::SMALL_GAP), egui::Sense::hover());
    let parts = [(1.0 - valid - test, theme.series(1)), (valid, theme.series(5)), (test, theme.series(3))];
    let mut left = rect.left();
    for (share, color) in parts {
        let part =
            egui::Rect::from_min_size(egui::pos2(left, rect.top()), egui::vec2(width * share as f32, rect.height()));
        ui.painter().rect_filled(part.shrink2(egui::vec2(1.0, 0.0)), 2, color);
        left += width * share as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[(&str, DataType)]) -> Vec<ColumnSchema> {
        names.iter().map(|(name, dtype)| ColumnSchema { name: (*name).to_owned(), dtype: *dtype }).collect()
    }

    #[test]
    fn the_target_is_guessed_by_name_else_the_last_column_that_can_be_one() {
        use DataType::{Date, Float, Int, Text};
        for (names, expect) in [
            (vec![("diagnosis", Text), ("radius", Float)], Some("diagnosis")),
            (vec![("a", Float), ("Species", Text), ("b", Float)], Some("Species")),
            (vec![("price_eur", Float), ("b", Float)], Some("price_eur")),
            (vec![("a", Float), ("b", Int), ("when", Date)], Some("b")),
            (vec![("when", Date)], None),
            (vec![], None),
        ] {
            assert_eq!(guess_target(&columns(&names)), expect);
        }
    }

    #[test]
    fn the_task_follows_from_type_and_values() {
        for (dtype, n, expect) in [
            (DataType::Float, Some(2), Guess::Number),
            (DataType::Int, Some(10), Guess::Classes(Some(10))),
            (DataType::Int, Some(346), Guess::Number),
            (DataType::Text, None, Guess::Classes(None)),
            (DataType::Bool, Some(2), Guess::Classes(Some(2))),
        ] {
            assert_eq!(task_of(dtype, n), expect);
        }
    }

    #[test]
    fn a_model_gets_an_allowed_name_from_any_table() {
        for (table, expect) in [
            ("breast_cancer.csv", "breast_cancer"),
            ("Kunden 2026!.csv", "kunden_2026"),
            ("ß.csv", "model"),
            ("con.csv", "model"),
        ] {
            assert_eq!(model_name(table), expect);
        }
    }
}
