//! The dialog that begins a workflow with a table: table, target, learner, shares, a name to register under.

use athanor_protocol::{
    Failure,
    api::{DataList, DataOpen, Pick, PickKind, WorkflowDoc, WorkflowStarter},
    names::check_model_name,
    table::DataSource,
};
use egui::{RichText, Ui};

use super::summary::file_name;
use crate::{
    desk::{Remote, Ticket},
    format,
    icons::ph,
    pages::Cx,
    theme::Theme,
    widgets::{self, DialogAsk},
};

const LEARNERS: [(&str, &str); 4] = [
    ("train.trees", "Boosted trees"),
    ("train.linear", "Linear model"),
    ("train.mlp", "Neural network"),
    ("train.constant", "Constant (a baseline)"),
];

/// The dialog.
pub struct Starter {
    path: String,
    target: String,
    learner: String,
    register: bool,
    name: String,
    test: f64,
    valid: f64,
    tables: Remote<DataList>,
    opened: Remote<DataOpen>,
    pick: Option<Ticket<Pick>>,
    making: Option<(Ticket<WorkflowStarter>, f64)>,
    failure: Option<Failure>,
}

/// What came of it.
pub enum StarterDone {
    /// Still open.
    Open,
    /// Closed.
    Closed,
    /// A workflow.
    Made(Box<WorkflowDoc>),
}

impl Starter {
    /// Begins with this table, where one is given.
    pub fn new(table: Option<&str>) -> Self {
        Self {
            path: table.unwrap_or_default().to_owned(),
            target: String::new(),
            learner: LEARNERS[0].0.to_owned(),
            register: true,
            name: String::new(),
            test: 0.15,
            valid: 0.15,
            tables: Remote::default(),
            opened: Remote::default(),
            pick: None,
            making: None,
            failure: None,
        }
    }

    /// Draws it.
    pub fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) -> StarterDone {
        self.tables.keep(cx.desk, &DataList {});
        if self.path.is_empty()
            && let Some(first) =
                self.tables.value().and_then(|list| list.items.iter().find(|table| table.n_bytes.is_some()))
        {
            self.path.clone_from(&first.path);
        }
        if !self.path.is_empty() {
            let came = self.opened.keep(cx.desk, &DataOpen { source: DataSource::file(self.path.clone()) });
            if came && let Some(info) = self.opened.value() {
                // What people predict stands last more often than anywhere else.
                let there = info.columns.iter().any(|column| column.name == self.target);
                if !there {
                    self.target = info.columns.last().map(|column| column.name.clone()).unwrap_or_default();
                }
                self.name = model_name(&info.name);
            }
        }
        if let Some(ticket) = self.pick
            && let Some(result) = cx.desk.take(ticket)
        {
            self.pick = None;
            match result {
                Ok(picked) => {
                    if let Some(path) = picked.paths.into_iter().next() {
                        self.path = path;
                    }
                }
                Err(failure) => self.failure = Some(failure),
            }
        }
        if let Some((ticket, _)) = self.making
            && let Some(result) = cx.desk.take(ticket)
        {
            self.making = None;
            match result {
                Ok(doc) => return StarterDone::Made(Box::new(doc)),
                Err(failure) => self.failure = Some(failure),
            }
        }
        let (closed, ask) = widgets::dialog_parts(ui, "workflow-starter", "Start from a table", 460.0, |parts| {
            let filled = parts.body(|ui| self.form(ui, cx));
            parts.footer(|ui| self.buttons(ui, cx, filled))
        });
        if closed || ask == DialogAsk::Close { StarterDone::Closed } else { StarterDone::Open }
    }

    /// The fields; whether everything that is needed is there.
    fn form(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) -> bool {
        ui.spacing_mut().item_spacing.y = 10.0;
        widgets::muted(
            ui,
            "Makes a workflow that splits the table, trains, evaluates and registers: ready to run, yours to change.",
        );
        widgets::field(ui, "Table", "", None, |ui| {
            ui.horizontal(|ui| {
                let known = self.tables.value().map(|list| list.items.as_slice()).unwrap_or_default();
                let shown = if self.path.is_empty() { "choose a table".to_owned() } else { file_name(&self.path) };
                let combo =
                    egui::ComboBox::from_id_salt("starter-table").selected_text(shown).width(240.0).show_ui(ui, |ui| {
                        for table in known.iter().take(300) {
                            if ui
                                .selectable_label(table.path == self.path, &table.name)
                                .on_hover_text(&table.path)
                                .clicked()
                            {
                                self.path.clone_from(&table.path);
                            }
                        }
                    });
                combo.response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::ComboBox, true, "Table"));
                if cx.desk.is_desktop() && widgets::secondary(ui, ph::FOLDER_OPEN, "Browse").clicked() {
                    self.pick = Some(cx.desk.ask(Pick {
                        kind: PickKind::Open,
                        title: "Choose a table".to_owned(),
                        filter_name: "Tables".to_owned(),
                        extensions: ["csv", "tsv", "txt", "parquet"].map(str::to_owned).to_vec(),
                        file_name: String::new(),
                        multiple: false,
                    }));
                }
            });
        });
        if let Some(failure) = self.opened.error().cloned()
            && widgets::failure(ui, &failure)
        {
            self.opened.invalidate();
        }
        if self.opened.slow(cx.desk) {
            widgets::loading(ui, "Opening the table");
        }
        if let Some(info) = self.opened.value().filter(|_| self.opened.error().is_none()) {
            let options: Vec<(String, String)> = info
                .columns
                .iter()
                .map(|column| (column.name.clone(), format!("{} ({})", column.name, column.dtype.as_str())))
                .collect();
            widgets::field(ui, "Predict", "The column that the model shall tell.", None, |ui| {
                widgets::choice(ui, "starter-target", "Predict", &mut self.target, &options);
            });
        }
        let learners: Vec<(String, String)> =
            LEARNERS.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect();
        widgets::field(ui, "Learner", "Can be changed later; trees are a good first try on tables.", None, |ui| {
            widgets::choice(ui, "starter-learner", "Learner", &mut self.learner, &learners);
        });
        ui.horizontal(|ui| {
            for (name, value) in [("Validation rows", &mut self.valid), ("Test rows", &mut self.test)] {
                widgets::field(ui, name, "", None, |ui| {
                    let mut percent = *value * 100.0;
                    widgets::number_field(ui, name, &mut percent, 0.0..=45.0, "%");
                    *value = (percent.round() / 100.0).clamp(0.0, 0.45);
                });
            }
        });
        let mut error = None;
        widgets::switch(ui, &mut self.register, "Register the model");
        if self.register {
            error = check_model_name(self.name.trim()).err().map(|err| err.to_string());
            widgets::field(ui, "Register as", "", error.as_deref().filter(|_| !self.name.is_empty()), |ui| {
                widgets::line_edit(ui, "Register as", &mut self.name, "iris", false);
            });
        }
        if let Some(failure) = self.failure.clone()
            && widgets::failure(ui, &failure)
        {
            self.failure = None;
        }
        if !cx.desk.may_change() {
            widgets::muted(ui, "This workspace can only be looked at, so no workflow can be made in it.");
        }
        !self.path.is_empty() && !self.target.is_empty() && error.is_none()
    }

    /// The buttons; true when it is to be closed.
    fn buttons(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, filled: bool) -> bool {
        let theme = Theme::of(ui);
        let mut closed = false;
        ui.horizontal(|ui| {
            let may = filled && self.making.is_none() && cx.desk.may_change();
            ui.add_enabled_ui(may, |ui| {
                if widgets::primary(ui, ph::TREE_STRUCTURE, "Make the workflow").clicked() {
                    self.failure = None;
                    let request = WorkflowStarter {
                        path: self.path.clone(),
                        target: self.target.clone(),
                        learner: self.learner.clone(),
                        register_as: self.register.then(|| self.name.trim().to_owned()),
                        test: self.test,
                        valid: self.valid,
                    };
                    self.making = Some((cx.desk.ask(request), cx.desk.now_secs()));
                }
            });
            if widgets::button(ui, widgets::Kind::Secondary, None, "Cancel").clicked() {
                closed = true;
            }
            if self.making.is_some_and(|(_, at)| cx.desk.now_secs() - at > 0.25) {
                ui.add(egui::Spinner::new().size(16.0).color(theme.accent));
            }
            if let Some(n) = self.opened.value().and_then(|info| info.n_rows) {
                ui.label(RichText::new(format::plural(n, "row")).color(theme.muted));
            }
        });
        closed
    }
}

/// A legal model name from a file's name.
fn model_name(file: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "model".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_becomes_a_models_name() {
        for (file, expect) in
            [("Breast Cancer.csv", "breast-cancer"), ("_x.parquet", "x"), ("...", "model"), ("iris", "iris")]
        {
            assert_eq!(model_name(file), expect);
            assert!(check_model_name(&model_name(file)).is_ok());
        }
    }
}
