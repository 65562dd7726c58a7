//! The models at the left.

use athanor_protocol::registry::{ModelSummary, PRODUCTION};
use egui::{Color32, CornerRadius, CursorIcon, Pos2, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use super::{Act, ModelsPage};
use crate::{
    format,
    pages::Cx,
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

const HEIGHT: f32 = 54.0;

impl ModelsPage {
    pub(super) fn list_ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, acts: &mut Vec<Act>) {
        let width = ui.available_width();
        widgets::search_field(ui, "Search models", &mut self.search, width);
        ui.add_space(size::TINY_GAP);
        let found = self.found();
        if found.is_empty() {
            widgets::muted(ui, "No model has this in its name.");
            return;
        }
        ui.spacing_mut().item_spacing.y = 2.0;
        let now = cx.desk.now_millis();
        egui::ScrollArea::vertical().id_salt("models").auto_shrink([false, false]).show_rows(
            ui,
            HEIGHT,
            found.len(),
            |ui, rows| {
                for &at in found.get(rows).unwrap_or_default() {
                    if let Some(model) = self.models.items().get(at) {
                        let on = self.model.as_deref() == Some(model.name.as_str());
                        if row(ui, model, on, now) {
                            acts.push(Act::Model(model.name.clone()));
                        }
                    }
                }
            },
        );
    }

    /// The places of the models that the search finds.
    fn found(&self) -> Vec<usize> {
        let text = self.search.trim().to_lowercase();
        let holds = |model: &ModelSummary| {
            text.is_empty()
                || model.name.to_lowercase().contains(&text)
                || model.aliases.iter().any(|(alias, _)| alias.to_lowercase().contains(&text))
        };
        self.models.items().iter().enumerate().filter(|(_, model)| holds(model)).map(|(at, _)| at).collect()
    }

    /// The same in one line, where there is no room for a list.
    pub(super) fn model_choice(&self, ui: &mut Ui, acts: &mut Vec<Act>) {
        let options: Vec<(String, String)> =
            self.models.items().iter().map(|model| (model.name.clone(), model.name.clone())).collect();
        let mut name = self.model.clone().unwrap_or_default();
        let changed =
            widgets::field(ui, "Model", "", None, |ui| widgets::choice(ui, "model", "Model", &mut name, &options));
        if changed {
            acts.push(Act::Model(name));
        }
    }
}

fn row(ui: &mut Ui, model: &ModelSummary, on: bool, now: i64) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), HEIGHT), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::Button, true, on, &model.name));
    let ground = if on {
        theme.soft
    } else if response.hovered() {
        mix(theme.bg, theme.text, 0.05)
    } else {
        Color32::TRANSPARENT
    };
    ui.painter().rect_filled(rect, CornerRadius::same(radius::CONTROL), ground);
    let left = rect.left() + 12.0;
    let served = model.aliases.iter().find(|(alias, _)| alias == PRODUCTION).map(|(_, version)| *version);
    let mark = served
        .map(|version| ui.painter().layout_no_wrap(format!("v{version}"), theme::mono(font_size::LABEL), theme.ok));
    let mark_width = mark.as_ref().map_or(0.0, |galley| galley.size().x + 20.0);
    let line = |text: String, font, color, width: f32| {
        let mut job = egui::text::LayoutJob::simple_singleline(text, font, color);
        job.wrap = egui::text::TextWrapping::truncate_at_width(width);
        ui.painter().layout_job(job)
    };
    let name = line(model.name.clone(), theme::medium(font_size::BODY), theme.text, rect.width() - 24.0 - mark_width);
    ui.painter().galley(Pos2::new(left, rect.top() + 9.0), name, theme.text);
    let fact = format!(
        "{}, {}",
        format::plural(u64::from(model.n_versions), "version"),
        format::ago(model.updated_at_millis, now)
    );
    let fact = line(fact, theme::regular(font_size::LABEL), theme.muted, rect.width() - 24.0);
    ui.painter().galley(Pos2::new(left, rect.top() + 29.0), fact, theme.muted);
    if let Some(galley) = mark {
        let at = Pos2::new(rect.right() - 10.0 - galley.size().x, rect.top() + 10.0);
        ui.painter().circle_filled(Pos2::new(at.x - 8.0, at.y + galley.size().y / 2.0), 3.0, theme.ok);
        ui.painter().galley(at, galley, theme.ok);
    }
    widgets::focus_ring(ui, &response, rect.shrink(2.0));
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    let aliases: Vec<String> =
        model.aliases.iter().map(|(alias, version)| format!("{alias}: version {version}")).collect();
    let response = if aliases.is_empty() { response } else { response.on_hover_text(aliases.join("\n")) };
    response.clicked() || (response.gained_focus() && ui.input(|input| !input.pointer.any_down()))
}
