//! A version's card: what it is for, how good it is and how sure that is, what it was made of, where it ends.

mod figures;
mod texts;

use athanor_protocol::{
    api::{ModelCardAnswer, ModelCardGet},
    card::ModelCard,
};
use egui::{Align, Layout, RichText, Ui};

use self::texts::Texts;
use super::{
    Act, ModelsPage,
    compare_view::{back_head, selectable},
    detail::type_title,
    stages::stage_pill,
    versions::alias_tag,
};
use crate::{
    desk::Remote,
    format,
    icons::ph,
    pages::Cx,
    theme::{Theme, size},
    toasts::Tone,
    widgets::{self, Col},
};

/// The card that is shown.
#[derive(Default)]
pub(super) struct Card {
    remote: Remote<ModelCardGet>,
    texts: Texts,
}

impl Card {
    pub(super) fn invalidate(&mut self) {
        self.remote.invalidate();
    }

    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if self.texts.take(cx) {
            self.remote.invalidate();
        }
    }
}

impl ModelsPage {
    pub(super) fn card_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, version: u32, acts: &mut Vec<Act>) {
        let model = self.model.clone().unwrap_or_default();
        let ask = ModelCardGet { model: model.clone(), version };
        self.card.remote.keep(cx.desk, &ask);
        back_head(ui, cx.theme, &format!("{model} version {version}: card"), acts);
        if let Some(failure) = self.card.remote.error() {
            if widgets::failure(ui, failure) {
                self.card.remote.invalidate();
            }
            return;
        }
        let (true, Some(answer)) = (self.card.remote.value_of() == Some(&ask), self.card.remote.value()) else {
            if self.card.remote.slow(cx.desk) {
                widgets::loading(ui, "Reading the package and the run");
            }
            return;
        };
        let answer = answer.clone();
        let card = &answer.card;
        widgets::card(ui, |ui| {
            head_ui(ui, cx, &answer);
            self.card.texts.ui(ui, cx, &model, version, &card.texts);
        });
        let n_judged = if card.n_judged > 0 {
            format!("on {} that it had not learned from", format::plural(card.n_judged, "row"))
        } else {
            String::new()
        };
        widgets::titled_card(ui, "How good it is", &n_judged, |ui| figures::metrics_ui(ui, &card.metrics));
        if !card.slices.is_empty() {
            widgets::titled_card(ui, "In groups", "the same figures on parts of those rows", |ui| {
                figures::slices_ui(ui, &card.slices);
            });
        }
        for note in &card.notes {
            widgets::note(ui, Tone::Info, note);
        }
        if ui.available_width() > 820.0 {
            widgets::columns(ui, 2, |ui, at| {
                widgets::card(ui, |ui| if at == 0 { made_ui(ui, card, acts) } else { limits_ui(ui, card) });
            });
        } else {
            widgets::card(ui, |ui| made_ui(ui, card, acts));
            widgets::card(ui, |ui| limits_ui(ui, card));
        }
    }
}

fn head_ui(ui: &mut Ui, cx: &mut Cx<'_>, answer: &ModelCardAnswer) {
    ui.horizontal(|ui| {
        ui.set_height(size::CONTROL);
        widgets::heading(ui, "What people say of it", "");
        stage_pill(ui, answer.card.stage);
        answer.card.aliases.iter().for_each(|alias| alias_tag(ui, alias));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let button = widgets::secondary(ui, ph::COPY, "Copy as Markdown");
            let help =
                format!("The whole card as a document; athanor models card {} -o FILE.md writes it", answer.card.model);
            if button.on_hover_text(help).clicked() {
                ui.ctx().copy_text(answer.markdown.clone());
                cx.toasts.ok("Copied the card as Markdown");
            }
        });
    });
}

/// Data, learner, lineage.
fn made_ui(ui: &mut Ui, card: &ModelCard, acts: &mut Vec<Act>) {
    widgets::heading(ui, "What it was made of", "");
    for data in &card.datasets {
        widgets::tight(ui, |ui| {
            ui.label(crate::icons::text(ph::TABLE, size::ICON - 1.0).color(Theme::of(ui).muted));
            widgets::cell_text(ui, &data.name);
            widgets::muted(ui, &format::plural(data.n_rows, "row")).on_hover_text(&data.digest);
        });
    }
    let mut rows = vec![("Predicts".to_owned(), super::task_title(&card.signature))];
    match &card.train {
        Some(train) => {
            let threads = format::plural(train.threads.into(), "thread");
            rows.push(("Learner".to_owned(), format!("{}, seed {}", train.learner.name(), train.seed)));
            rows.push(("Device".to_owned(), format!("{}, {threads}", train.device)));
        }
        None => rows.push(("Learner".to_owned(), "made by another program".to_owned())),
    }
    if !card.split.is_empty() {
        let parts: Vec<String> = card.split.iter().map(|(name, value)| format!("{name} {value}")).collect();
        rows.push(("Split".to_owned(), parts.join(", ")));
    }
    if !card.workflow.is_empty() {
        rows.push(("Workflow".to_owned(), card.workflow.clone()));
    }
    let created = format!("{} {} UTC", format::date(card.created_at_millis), format::clock(card.created_at_millis));
    rows.push(("Registered".to_owned(), created));
    let versions: Vec<String> = card.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    if !versions.is_empty() {
        rows.push(("Programs".to_owned(), versions.join(", ")));
    }
    widgets::facts(ui, &rows);
    match &card.run {
        Some(run) => {
            if widgets::link(ui, "Show the run that made it").on_hover_text(run.as_str()).clicked() {
                acts.push(Act::Run(run.clone()));
            }
        }
        None => {
            widgets::muted(ui, "No run of this workspace made it.");
        }
    }
}

/// What training has seen of each column.
fn limits_ui(ui: &mut Ui, card: &ModelCard) {
    widgets::heading(ui, "What it has seen", "outside of it, nothing is known");
    let columns = [Col::wide("Column"), Col::wide("From, to"), Col::number("Missing", 64.0)];
    widgets::lines_header(ui, &columns);
    for input in &card.limits {
        let seen = match (&input.range, input.values.as_slice()) {
            (Some([low, high]), _) => format!("{} to {}", format::number(*low), format::number(*high)),
            (None, []) => type_title(input.dtype).to_owned(),
            (None, values) => values.join(", "),
        };
        let response = widgets::line_row(ui, &columns, 26.0, |ui, at| match at {
            0 => selectable(ui, &input.name, Theme::of(ui).text),
            1 => {
                let text = RichText::new(&seen).color(Theme::of(ui).text);
                ui.add(egui::Label::new(text).truncate().selectable(true)).on_hover_text(&seen);
            }
            _ => {
                let share = format!("{} %", format::number((input.missing * 1_000.0).round() / 10.0));
                widgets::muted(ui, &share);
            }
        });
        let may = if input.nullable { "may be missing in a request" } else { "must be there in a request" };
        response.on_hover_text(format!("{}: {}, {may}", input.name, type_title(input.dtype)));
    }
}
