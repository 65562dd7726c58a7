//! What a run leaves behind: its files, the machine it ran on, and where everything came from.

use athanor_protocol::{
    api::{Pick, PickKind, RunSaveArtifact, RunView},
    names::RunId,
    run::Artifact,
};
use egui::{RichText, Ui};

use super::run::go;
use crate::{
    desk::Ticket,
    format,
    icons::{self, ph},
    pages::{Cx, Go},
    theme::{self, font_size, size},
    widgets::{self, Grid, GridColumn, Kind},
    wire,
};

/// The tab with the files.
#[derive(Default)]
pub(super) struct Artifacts {
    picking: Option<(Ticket<Pick>, RunId, String)>,
    saving: Option<(Ticket<RunSaveArtifact>, String, f64)>,
}

impl Artifacts {
    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, view: &RunView, cx: &mut Cx<'_>) {
        self.poll(cx);
        let files = &view.detail.artifacts;
        if files.is_empty() {
            widgets::empty_state(
                ui,
                ph::FILES,
                "No files yet",
                "Models, reports and checkpoints are listed here once a step has made them.",
                None,
            );
            return;
        }
        if let Some((_, path, since)) = &self.saving
            && cx.desk.now_secs() - since > 0.25
        {
            widgets::loading(ui, &format!("Saving to {path}"));
        }
        let columns = [
            GridColumn::text("File", 240.0),
            GridColumn::text("Kind", 140.0),
            GridColumn::number("Size", 90.0),
            GridColumn::text("Digest", 230.0),
            GridColumn::text("", 100.0),
        ];
        let (mut save, mut copied) = (None, false);
        widgets::card(ui, |ui| {
            ui.set_height(ui.available_height().min(36.0 + files.len() as f32 * 36.0 + 6.0));
            Grid::new("artifacts", &columns, files.len()).row_height(36.0).show(
                ui,
                |_, _| {},
                |ui, row, column| {
                    let Some(file) = files.get(row) else { return };
                    match column {
                        0 => widgets::cell_text(ui, &file.name),
                        1 => {
                            let text = RichText::new(file.kind.replace('_', " ")).color(cx.theme.muted);
                            ui.add(egui::Label::new(text).truncate());
                        }
                        2 => widgets::cell_mono(ui, &format::bytes(file.n_bytes)),
                        3 => {
                            if digest(ui, &file.digest) {
                                copied = true;
                            }
                        }
                        _ => {
                            if widgets::icon_button(ui, ph::DOWNLOAD_SIMPLE, &format!("Save {} as", file.name))
                                .clicked()
                            {
                                save = Some(file.clone());
                            }
                        }
                    }
                },
            );
        });
        if copied {
            cx.toasts.ok("Copied the digest");
        }
        if let Some(file) = save {
            self.pick(cx, &view.detail.summary.id, &file);
        }
    }

    fn pick(&mut self, cx: &mut Cx<'_>, run: &RunId, file: &Artifact) {
        let (file_name, filter_name, extensions) = match file.kind.as_str() {
            "model_package" => {
                (format!("{}.athanor", file.name.trim_end_matches(".model")), "Models", vec!["athanor".to_owned()])
            }
            "report" => (format!("{}.json", file.name), "Reports", vec!["json".to_owned()]),
            _ => (file.name.clone(), "Files", vec![]),
        };
        let ask = Pick {
            kind: PickKind::Save,
            title: format!("Save {}", file.name),
            filter_name: filter_name.to_owned(),
            extensions,
            file_name,
            multiple: false,
        };
        self.picking = Some((cx.desk.ask(ask), run.clone(), file.name.clone()));
    }

    fn poll(&mut self, cx: &mut Cx<'_>) {
        if let Some((ticket, run, name)) = &self.picking
            && let Some(result) = cx.desk.take(*ticket)
        {
            match result {
                Ok(picked) => {
                    if let Some(path) = picked.paths.into_iter().next() {
                        let ask = RunSaveArtifact { run: run.clone(), name: name.clone(), path: path.clone() };
                        self.saving = Some((cx.desk.ask(ask), path, cx.desk.now_secs()));
                    }
                }
                Err(failure) => cx.toasts.failure(&failure),
            }
            self.picking = None;
        }
        if let Some((ticket, path, _)) = &self.saving
            && let Some(result) = cx.desk.take(*ticket)
        {
            match result {
                Ok(_) => cx.toasts.ok(format!("Saved {}", wire::shown_path(path))),
                Err(failure) => cx.toasts.failure(&failure),
            }
            self.saving = None;
        }
    }
}

/// A digest, shortened, with a button that copies it whole. True when it was copied.
fn digest(ui: &mut Ui, text: &str) -> bool {
    let theme = theme::Theme::of(ui);
    let copied = widgets::icon_button(ui, ph::COPY, &format!("Copy {text}")).clicked();
    if copied {
        ui.ctx().copy_text(text.to_owned());
    }
    let short: String = text.chars().take(23).collect();
    let shown = RichText::new(format!("{short}…")).font(theme::mono(font_size::LABEL)).color(theme.muted);
    ui.add(egui::Label::new(shown).truncate()).on_hover_text(text);
    copied
}

/// The tab with the machine and its program.
pub(super) fn environment(ui: &mut Ui, view: &RunView, _cx: &mut Cx<'_>) {
    let detail = &view.detail;
    scrolled_tab(ui, "environment", |ui| {
        widgets::titled_card(ui, "Environment", "what is needed to do it again", |ui| {
            let mut rows = detail.environment.clone();
            rows.push(("device".to_owned(), detail.summary.device.clone()));
            rows.push(("seed".to_owned(), detail.summary.seed.to_string()));
            rows.push((
                "same again".to_owned(),
                match detail.summary.reproducibility {
                    Some(athanor_protocol::learner::Reproducibility::Bitwise) => {
                        "to the bit, on the same kind of device"
                    }
                    Some(athanor_protocol::learner::Reproducibility::WithinTolerance) => "within rounding",
                    None => "not known before training has started",
                }
                .to_owned(),
            ));
            if let Some(owner) = &detail.owner {
                rows.push(("at work on".to_owned(), format!("{}, process {}", owner.host, owner.pid)));
            }
            widgets::facts(ui, &rows);
        });
    });
}

fn scrolled_tab(ui: &mut Ui, id: &str, add: impl FnOnce(&mut Ui)) {
    egui::ScrollArea::vertical().id_salt(id).auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = size::GAP;
        add(ui);
        ui.add_space(size::GAP);
    });
}

/// The tab with what went in, what was done and what came of it.
pub(super) fn lineage(ui: &mut Ui, view: &RunView, cx: &mut Cx<'_>) {
    let detail = &view.detail;
    let theme = cx.theme;
    scrolled_tab(ui, "lineage", |ui| {
        widgets::titled_card(ui, "Came from", "", |ui| {
            ui.spacing_mut().item_spacing.y = size::TINY_GAP;
            ui.horizontal(|ui| {
                ui.label(icons::text(ph::TREE_STRUCTURE, 16.0).color(theme.muted));
                if widgets::link(ui, &detail.summary.workflow).on_hover_text("Open the workflow").clicked() {
                    go(cx, Go::Workflow(detail.summary.workflow.clone()));
                }
                widgets::muted(ui, "as it was when the run began");
                if widgets::button(ui, Kind::Quiet, Some(ph::COPY), "Copy as JSON").clicked() {
                    ui.ctx().copy_text(detail.workflow_json.clone());
                    cx.toasts.ok("Copied the workflow");
                }
            });
            for (at, data) in detail.datasets.iter().enumerate() {
                ui.push_id(at, |ui| {
                    ui.horizontal(|ui| {
                        ui.label(icons::text(ph::TABLE, 16.0).color(theme.muted));
                        ui.add(egui::Label::new(&data.name).selectable(true));
                        widgets::muted(ui, &format::plural(data.n_rows, "row"));
                        if digest(ui, &data.digest) {
                            cx.toasts.ok("Copied the digest");
                        }
                    });
                });
            }
            if detail.datasets.is_empty() {
                widgets::muted(ui, "No table was read yet.");
            }
        });
        widgets::titled_card(ui, "Steps", "", |ui| steps(ui, view));
        widgets::titled_card(ui, "Parameters", "", |ui| {
            if detail.params.is_empty() {
                widgets::muted(ui, "All parameters are the usual ones.");
            } else {
                widgets::facts(ui, &detail.params);
            }
        });
        widgets::titled_card(ui, "Became", "", |ui| {
            ui.spacing_mut().item_spacing.y = size::TINY_GAP;
            for (name, version) in &view.versions {
                ui.horizontal(|ui| {
                    ui.label(icons::text(ph::CUBE, 16.0).color(theme.muted));
                    if widgets::link(ui, &format!("{name}:{version}")).on_hover_text("Open the model").clicked() {
                        go(cx, Go::Model(name.clone()));
                    }
                });
            }
            if view.versions.is_empty() {
                widgets::muted(ui, "No version of a model was registered from it.");
            }
        });
    });
}

fn steps(ui: &mut Ui, view: &RunView) {
    let theme = theme::Theme::of(ui);
    ui.spacing_mut().interact_size.y = 20.0;
    egui::Grid::new("steps").num_columns(5).min_row_height(24.0).min_col_width(16.0).spacing([16.0, 4.0]).show(
        ui,
        |ui| {
            for step in &view.detail.steps {
                let (icon, color) = widgets::step_icon(theme, step.state);
                ui.label(icons::text(icon, 16.0).color(color)).on_hover_text(state_text(step.state));
                ui.horizontal(|ui| {
                    ui.label(icons::text(icons::of_node(&step.kind), 16.0).color(theme.muted));
                    ui.label(RichText::new(&step.node).font(theme::medium(font_size::BODY)).color(theme.text));
                });
                ui.label(RichText::new(&step.kind).monospace().color(theme.muted));
                let took = step.millis.map_or_else(|| "–".to_owned(), took);
                ui.label(RichText::new(took).monospace().color(theme.muted));
                ui.label(RichText::new(state_text(step.state)).color(theme.muted));
                ui.end_row();
            }
        },
    );
}

fn took(millis: u64) -> String {
    if millis < 1000 {
        format!("{millis} ms")
    } else {
        format::duration_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

fn state_text(state: athanor_protocol::run::StepState) -> &'static str {
    use athanor_protocol::run::StepState::{Cached, Done, Failed, Pending, Running};
    match state {
        Pending => "not started",
        Cached => "result was there already",
        Running => "at work",
        Done => "done",
        Failed => "failed",
    }
}
