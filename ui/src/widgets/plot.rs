//! Plots as they look here: the legend outside, quiet lines, colours of the theme.

use egui::{Color32, RichText, Sense, Ui, Vec2};
use egui_plot::{HoverPosition, Plot};

use crate::theme::{Theme, font_size};

/// A plot with the look of this program; the caller adds lines in [`Plot::show`].
pub fn plot(id: &str, height: f32) -> Plot<'_> {
    Plot::new(id)
        .height(height)
        .show_background(false)
        .show_axes([true, true])
        .show_grid([true, true])
        .allow_boxed_zoom(true)
        .allow_double_click_reset(true)
        .allow_scroll(false)
        .allow_zoom([true, true])
        .set_margin_fraction(Vec2::new(0.02, 0.08))
        .label_formatter(|hover| match hover {
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                let value = format!("{}, {}", crate::format::number(position.x), crate::format::number(position.y));
                Some(if plot_name.is_empty() { value } else { format!("{plot_name}\n{value}") })
            }
            HoverPosition::Elsewhere { .. } => None,
        })
}

/// An entry of a legend: colour, name, whether it is shown. Returns the entry that was clicked.
pub fn legend(ui: &mut Ui, entries: &[(Color32, String, bool)]) -> Option<usize> {
    let theme = Theme::of(ui);
    let mut clicked = None;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 14.0;
        for (at, (color, name, shown)) in entries.iter().enumerate() {
            let inner = ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                let (rect, _) = ui.allocate_exact_size(Vec2::new(14.0, 14.0), Sense::hover());
                let color = if *shown { *color } else { theme.faint };
                ui.painter().circle_filled(rect.center(), 4.0, color);
                let ink = if *shown { theme.muted } else { theme.faint };
                let text = RichText::new(name).size(font_size::LABEL + 0.5).color(ink);
                ui.add(egui::Label::new(text).sense(Sense::click()).truncate())
            });
            if inner.inner.on_hover_text("Show or hide").clicked() {
                clicked = Some(at);
            }
        }
    });
    clicked
}
