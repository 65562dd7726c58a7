//! Choosing a column of many: a list that opens, with a search where there are more than fit.

use egui::Ui;

use crate::widgets;

/// More columns than these are searched.
const FEW: usize = 10;

/// Chooses one of `options`, pairs of a value and what people read; true when another one was chosen.
pub fn column(ui: &mut Ui, name: &str, value: &mut String, options: &[(&str, &str)], width: f32) -> bool {
    let shown =
        options.iter().find(|(option, _)| option == value).map_or("choose a column", |(_, text)| *text).to_owned();
    let id = ui.id().with(("column-picker", name));
    let mut changed = false;
    let response = egui::ComboBox::from_id_salt(("column", name))
        .selected_text(shown)
        .truncate()
        .width(width - 8.0)
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show_ui(ui, |ui| {
            ui.set_min_width((width - 24.0).max(140.0));
            let mut typed: String = ui.data(|data| data.get_temp(id)).unwrap_or_default();
            if options.len() > FEW {
                let room = ui.available_width();
                widgets::search_field(ui, "Find a column", &mut typed, room);
            }
            let words = typed.trim().to_lowercase();
            let found: Vec<&(&str, &str)> =
                options.iter().filter(|(_, text)| words.is_empty() || text.to_lowercase().contains(&words)).collect();
            if found.is_empty() {
                widgets::muted(ui, "No column has this name.");
            }
            egui::ScrollArea::vertical().max_height(260.0).show_rows(ui, 30.0, found.len(), |ui, range| {
                ui.spacing_mut().item_spacing.y = 0.0;
                for (option, text) in &found[range] {
                    let on = option == value;
                    if ui
                        .add(egui::Button::selectable(on, *text).min_size(egui::vec2(ui.available_width(), 30.0)))
                        .clicked()
                    {
                        changed = !on;
                        (*option).clone_into(value);
                        typed.clear();
                        ui.close();
                    }
                }
            });
            ui.data_mut(|data| data.insert_temp(id, typed));
        })
        .response;
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::ComboBox, true, name));
    changed
}
