//! Two cards above the list: curves of the runs that are selected, or of the newest ones.

use athanor_protocol::{
    api::SeriesKey,
    metric::{Split, metric_info},
    names::RunId,
};
use egui::{Align, Layout, RichText, Ui};

use super::{
    Shared,
    curve::Look,
    naming::{latest, metric_words, short},
    plots::{self, Trace, series_look},
    rows::Rows,
    series::{Shown, buckets_for},
};
use crate::{
    format,
    pages::Cx,
    theme::{self, font_size, size},
    widgets,
};

/// The newest runs that are drawn where none is selected.
const NEWEST: usize = 6;
/// Most runs that are drawn.
const MOST: usize = 100;
/// Most points of all curves on a card.
const POINTS: usize = 24_000;
const HEIGHT: f32 = 150.0;

/// What is worth a card, best first.
const WORTH: [(Split, &str); 9] = [
    (Split::Valid, "loss"),
    (Split::Valid, "accuracy"),
    (Split::Valid, "r2"),
    (Split::Valid, "rmse"),
    (Split::Test, "accuracy"),
    (Split::Test, "r2"),
    (Split::Test, "rmse"),
    (Split::Train, "loss"),
    (Split::Train, "accuracy"),
];

/// The cards.
#[derive(Default)]
pub(super) struct Cards {
    /// Which runs, and for each card the keys of their series.
    of: Vec<RunId>,
    keys: Vec<(Split, String, Vec<SeriesKey>)>,
    names: Vec<String>,
}

impl Cards {
    /// Draws them.
    pub(super) fn ui(&mut self, ui: &mut Ui, rows: &Rows, selected: &[RunId], shared: &mut Shared, cx: &mut Cx<'_>) {
        let runs: Vec<RunId> = if selected.is_empty() {
            rows.ids().take(NEWEST).cloned().collect()
        } else {
            selected.iter().take(MOST).cloned().collect()
        };
        if runs != self.of || self.keys.len() < 2 {
            self.choose(&runs, rows);
            self.of = runs;
        }
        if self.keys.is_empty() {
            return;
        }
        let width = (ui.available_width() - size::GAP) / 2.0;
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = size::GAP;
            for at in 0..self.keys.len() {
                ui.allocate_ui_with_layout(egui::vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
                    self.card(ui, at, rows, !selected.is_empty(), shared, cx);
                });
            }
        });
    }

    fn choose(&mut self, runs: &[RunId], rows: &Rows) {
        let has = |split, key: &str| {
            runs.iter().filter_map(|run| rows.find(run)).any(|row| latest(&row.summary.latest, split, key).is_some())
        };
        let mut chosen: Vec<(Split, &str)> = vec![];
        for (split, key) in WORTH {
            if chosen.len() < 2 && chosen.iter().all(|(_, other)| *other != key) && has(split, key) {
                chosen.push((split, key));
            }
        }
        let series = |split: Split, key: &str| {
            runs.iter().map(|run| SeriesKey { run: run.clone(), key: key.to_owned(), split }).collect()
        };
        self.keys = chosen.into_iter().map(|(split, key)| (split, key.to_owned(), series(split, key))).collect();
        let name = |run: &RunId| match rows.find(run) {
            Some(row) => format!("{} {}", row.summary.workflow, short(run)),
            None => short(run).to_owned(),
        };
        self.names = runs.iter().map(name).collect();
    }

    fn card(&self, ui: &mut Ui, at: usize, rows: &Rows, selected: bool, shared: &mut Shared, cx: &mut Cx<'_>) {
        let Some((split, key, keys)) = self.keys.get(at) else { return };
        let theme = cx.theme;
        let of_split = match split {
            Split::Train => "Training",
            Split::Valid => "Validation",
            Split::Test => "Test",
            Split::System => "System",
        };
        let info = metric_info(key).and_then(|info| info.higher_is_better);
        let values = keys.iter().filter_map(|key| {
            let row = rows.find(&key.run)?;
            latest(&row.summary.latest, key.split, &key.key)?.value.finite()
        });
        let best = values.reduce(|a, b| if info == Some(true) { a.max(b) } else { a.min(b) });
        let n = keys.len() as u64;
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::TINY_GAP;
            ui.horizontal(|ui| {
                let title = format!("{of_split} {}", metric_words(key).to_lowercase());
                ui.label(RichText::new(title).color(theme.muted));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let which =
                        if selected { format!("best of {} selected", n) } else { format!("best of the newest {n}") };
                    ui.label(RichText::new(which).size(font_size::LABEL).color(theme.muted));
                });
            });
            let figure = best.map_or("–".to_owned(), format::number);
            ui.label(RichText::new(figure).font(theme::semibold(font_size::FIGURE)).color(theme.text));
            let look = Look::default();
            let n_buckets = buckets_for(ui.available_width()).min((POINTS / keys.len().max(1)).max(32) as u32);
            for key in keys {
                shared.series.want(key, None, n_buckets, look);
            }
            let mut traces = Vec::with_capacity(keys.len());
            let mut loading = false;
            for (key, name) in keys.iter().zip(&self.names) {
                match shared.series.get(key) {
                    Shown::Ready(drawn) => {
                        let (color, dashed) = series_look(theme, shared.colors.place(&key.run));
                        traces.push(Trace { name, color, dashed, drawn });
                    }
                    Shown::Loading => loading = true,
                    Shown::Failed(_) => {}
                }
            }
            if traces.is_empty() && loading {
                ui.set_min_height(HEIGHT + 70.0);
                return;
            }
            plots::curves(ui, ("runs card", at), HEIGHT, look, None, &mut shared.cursor, &traces);
        });
    }
}
