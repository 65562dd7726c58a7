//! Everything about the chosen version.

use athanor_protocol::{
    governance::Stage,
    registry::ModelVersion,
    signature::{InputColumn, ModelSignature, Task},
    table::DataType,
};
use egui::{RichText, Ui};

use super::{
    Act, Aside, ModelsPage, is_production,
    names::{metric_title, split_title, value},
    stages::{stage_pill, verb},
    versions::{alias_tag, may_roll_out, promote, remove},
    work::Check,
};
use crate::{
    format,
    icons::ph,
    pages::Cx,
    theme::{self, Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Col},
};

/// What people call a type.
pub(crate) fn type_title(dtype: DataType) -> &'static str {
    match dtype {
        DataType::Bool => "true or false",
        DataType::Int => "whole number",
        DataType::Float => "number",
        DataType::Text => "text",
        DataType::Date => "date",
        DataType::Datetime => "date and time",
        DataType::Duration => "duration",
        DataType::Time => "time of day",
        DataType::Other => "other",
    }
}

/// What a model predicts, in words.
pub(crate) fn task_title(signature: &ModelSignature) -> String {
    match signature.task {
        Task::Binary => format!("{}, one of two classes", signature.target),
        Task::Multiclass => format!("{}, one of {} classes", signature.target, signature.classes.len()),
        Task::Regression => format!("{}, a number", signature.target),
    }
}

impl ModelsPage {
    pub(super) fn detail_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>) {
        let Some(item) = self.chosen() else { return };
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        let created = format!("{} {}", format::date(item.created_at_millis), format::clock(item.created_at_millis));
        widgets::tight(ui, |ui| {
            let title = RichText::new(format!("Version {}", item.version));
            ui.label(title.font(theme::semibold(font_size::TITLE)).color(cx.theme.text));
            stage_pill(ui, item.stage);
            widgets::muted(ui, &format::ago(item.created_at_millis, cx.desk.now_millis()))
                .on_hover_text(format!("{created} UTC"));
        });
        aliases_ui(ui, item, cx.desk.may_change(), acts);
        ui.add_space(size::TINY_GAP);
        self.main_action(ui, cx, item, acts);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let with_icons = ui.available_width() > 380.0;
            let button = |ui: &mut Ui, icon, text| {
                widgets::button(ui, widgets::Kind::Secondary, with_icons.then_some(icon), text)
            };
            if button(ui, ph::TABLE, "Predict").on_hover_text("Predict a whole table into a file").clicked() {
                acts.push(Act::Predict(item.version));
            }
            if button(ui, ph::SEAL_CHECK, "Verify").on_hover_text("Check the package's bytes and signature").clicked() {
                acts.push(Act::Verify(item.version));
            }
            if button(ui, ph::ARTICLE, "Card").on_hover_text("What it is for, how good it is, where it ends").clicked()
            {
                acts.push(Act::Aside(Some(Aside::Card(item.version))));
            }
            let response = button(ui, ph::ROCKET_LAUNCH, "Deploy");
            if response.on_hover_text("Make a container image, a bundle or an ONNX file of it").clicked() {
                acts.push(Act::Deploy(item.version));
            }
            let response = button(ui, ph::EXPORT, "Export");
            if response.on_hover_text("Write the package to a file").clicked() {
                acts.push(Act::Export(item.version));
            }
        });
        if self.work.exporting() {
            widgets::loading(ui, "Writing the package");
        }
        if self.work.deploying.at_work() && widgets::link(ui, "Something is being made; show it").clicked() {
            acts.push(Act::Deploy(item.version));
        }
        self.check_ui(ui, cx, item);
        section(ui, cx.theme, "Metrics", "");
        metrics_ui(ui, item);
        let n = item.signature.inputs.len() as u64;
        section(ui, cx.theme, "Signature", &format!("takes {}", format::plural(n, "column")));
        signature_ui(ui, &item.signature);
        section(ui, cx.theme, "Lineage", "");
        self.lineage_ui(ui, cx, item, acts);
        section(ui, cx.theme, "Package", &format::bytes(item.n_bytes));
        widgets::label(ui, "SHA-256");
        if widgets::copy_line(ui, "the digest", &item.sha256) {
            cx.toasts.ok("Copied the digest");
        }
        widgets::label(ui, "Signed by");
        if widgets::copy_line(ui, "the signer's key", &item.signed_by) {
            cx.toasts.ok("Copied the signer's key");
        }
    }

    fn main_action(&self, ui: &mut Ui, cx: &Cx<'_>, item: &ModelVersion, acts: &mut Vec<Act>) {
        let may_change = cx.desk.may_change();
        ui.add_enabled_ui(may_change, |ui| {
            if !is_production(item) {
                let button = widgets::primary(ui, ph::ARROW_FAT_LINE_UP, "Promote to production");
                let button = button.on_hover_text("The endpoint answers with this version from then on");
                if button.on_disabled_hover_text("This workspace can only be looked at").clicked() {
                    acts.push(promote(item));
                }
            } else if let Some(to) = self.back_to() {
                let button = widgets::secondary(ui, ph::ARROW_COUNTER_CLOCKWISE, &format!("Roll back to version {to}"));
                if button.on_hover_text("The endpoint answers with the version before again").clicked() {
                    acts.push(Act::RollBack);
                }
            }
            let rolls_out = may_roll_out(item, self.versions.items());
            if item.stage == Stage::Candidate || rolls_out {
                ui.horizontal_wrapped(|ui| {
                    ui.spacing_mut().item_spacing.x = 6.0;
                    if rolls_out {
                        let button = widgets::secondary(ui, ph::ARROWS_SPLIT, "Roll out");
                        let help = "Step by step: it answers a share of the requests first, and goes back by itself";
                        let why = "This workspace can only be looked at";
                        if button.on_hover_text(help).on_disabled_hover_text(why).clicked() {
                            acts.push(Act::RollOut(item.version));
                        }
                    }
                    let stages = [Stage::Approved, Stage::Rejected];
                    for stage in stages.into_iter().filter(|_| item.stage == Stage::Candidate) {
                        if widgets::button(ui, widgets::Kind::Secondary, None, verb(stage)).clicked() {
                            acts.push(Act::AskStage(item.version, stage));
                        }
                    }
                });
            }
        });
    }

    fn check_ui(&self, ui: &mut Ui, cx: &Cx<'_>, item: &ModelVersion) {
        match self.work.check(&item.model, item.version) {
            None => {}
            Some(Check::Busy(_, since)) => {
                if cx.desk.now_secs() - since > 0.25 {
                    widgets::loading(ui, "Checking bytes and signature");
                }
            }
            Some(Check::Done(Ok(answer))) if answer.trusted => {
                widgets::note(
                    ui,
                    Tone::Ok,
                    "verified: bytes and signature are right, signed by a key that this workspace trusts",
                );
            }
            Some(Check::Done(Ok(_))) => {
                let text = "the bytes are what was signed, but this workspace does not trust the key that signed them";
                widgets::note(ui, Tone::Warn, text);
            }
            Some(Check::Done(Err(failure))) => {
                let hint = failure.hint.as_deref().map(widgets::sentence).unwrap_or_default();
                let text = format!("not verified: {} {hint}", widgets::sentence(&failure.message));
                widgets::note(ui, Tone::Bad, text.trim());
            }
        }
    }

    fn lineage_ui(&self, ui: &mut Ui, cx: &Cx<'_>, item: &ModelVersion, acts: &mut Vec<Act>) {
        let Some(run) = &item.run_id else {
            widgets::muted(ui, "Imported from a package file; no run of this workspace made it.");
            return;
        };
        widgets::tight(ui, |ui| {
            widgets::muted(ui, "Run");
            if widgets::link(ui, &format::short_id(run.as_str())).on_hover_text(run.as_str()).clicked() {
                acts.push(Act::Run(run.clone()));
            }
        });
        if self.run.value_of().map(|ask| &ask.run) != Some(run) {
            if self.run.error().is_some() {
                widgets::muted(ui, "What is known of the run cannot be read.");
            } else if self.run.slow(cx.desk) {
                widgets::loading(ui, "Looking up the run");
            }
            return;
        }
        let Some(view) = self.run.value() else { return };
        let summary = &view.detail.summary;
        let rows = [
            ("Workflow".to_owned(), summary.workflow.clone()),
            ("Device".to_owned(), summary.device.clone()),
            ("Seed".to_owned(), summary.seed.to_string()),
        ];
        widgets::facts(ui, &rows);
        for data in &view.detail.datasets {
            widgets::tight(ui, |ui| {
                ui.label(crate::icons::text(ph::TABLE, size::ICON - 1.0).color(cx.theme.muted));
                ui.add(egui::Label::new(RichText::new(&data.name).color(cx.theme.text)).truncate().selectable(true));
                widgets::muted(ui, &format::plural(data.n_rows, "row")).on_hover_text(&data.digest);
            });
        }
    }
}

fn section(ui: &mut Ui, theme: &Theme, title: &str, fact: &str) {
    ui.add_space(size::SMALL_GAP);
    widgets::rule(ui);
    ui.add_space(size::TINY_GAP);
    widgets::tight(ui, |ui| {
        ui.label(RichText::new(title).font(theme::semibold(font_size::BODY)).color(theme.text));
        if !fact.is_empty() {
            ui.label(RichText::new(fact).size(12.5).color(theme.muted));
        }
    });
}

fn aliases_ui(ui: &mut Ui, item: &ModelVersion, may_change: bool, acts: &mut Vec<Act>) {
    widgets::tight_wrapped(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for alias in &item.aliases {
            alias_tag(ui, alias);
            if may_change
                && widgets::small_icon(ui, ph::X, &format!("Remove {alias} from version {}", item.version)).clicked()
            {
                acts.push(remove(item, alias));
            }
        }
        if item.aliases.is_empty() {
            widgets::muted(ui, "No aliases");
        }
        if may_change && widgets::small_icon(ui, ph::PLUS, &format!("New alias for version {}", item.version)).clicked()
        {
            acts.push(Act::AskAlias(item.version));
        }
    });
}

fn metrics_ui(ui: &mut Ui, item: &ModelVersion) {
    if item.metrics.is_empty() {
        widgets::muted(ui, "The package holds no metrics.");
        return;
    }
    let columns = [Col::wide(""), Col::fixed("", 72.0), Col::number("", 64.0)];
    for metric in &item.metrics {
        widgets::line_row(ui, &columns, 26.0, |ui, at| match at {
            0 => widgets::cell_text(ui, &metric_title(&metric.key)),
            1 => {
                widgets::muted(ui, split_title(&metric.key));
            }
            _ => value_label(ui, &value(metric.value.to_f64())),
        });
    }
}

/// A number that can be selected and copied.
fn value_label(ui: &mut Ui, text: &str) {
    let color = Theme::of(ui).text;
    ui.add(egui::Label::new(RichText::new(text).monospace().color(color)).selectable(true));
}

fn signature_ui(ui: &mut Ui, signature: &ModelSignature) {
    widgets::tight_wrapped(ui, |ui| {
        widgets::muted(ui, "Predicts");
        ui.add(egui::Label::new(task_title(signature)).selectable(true).wrap());
    });
    if !signature.classes.is_empty() {
        widgets::tight_wrapped(ui, |ui| {
            ui.spacing_mut().item_spacing = egui::Vec2::splat(4.0);
            for class in signature.classes.iter().take(60) {
                widgets::tag(ui, class);
            }
            if signature.classes.len() > 60 {
                widgets::muted(ui, &format!("and {} more", signature.classes.len() - 60));
            }
        });
    }
    let columns = [Col::wide("Column"), Col::fixed("Type", 104.0)];
    widgets::lines_header(ui, &columns);
    let shown = |ui: &mut Ui, input: &InputColumn| {
        widgets::line_row(ui, &columns, 26.0, |ui, at| {
            if at == 0 {
                let text = RichText::new(&input.name).monospace().color(Theme::of(ui).text);
                ui.add(egui::Label::new(text).truncate().selectable(true));
            } else {
                let text = if input.nullable {
                    format!("{}?", type_title(input.dtype))
                } else {
                    type_title(input.dtype).to_owned()
                };
                let response = widgets::muted(ui, &text);
                if input.nullable {
                    response.on_hover_text("May be missing");
                }
            }
        });
    };
    let many = signature.inputs.len() > 12;
    if many {
        egui::ScrollArea::vertical().id_salt("inputs").max_height(312.0).show_rows(
            ui,
            26.0,
            signature.inputs.len(),
            |ui, rows| {
                for input in signature.inputs.get(rows).unwrap_or_default() {
                    shown(ui, input);
                }
            },
        );
    } else {
        signature.inputs.iter().for_each(|input| shown(ui, input));
    }
}
