//! Plots as they look here: the legend outside, quiet lines, colours of the theme.

use egui::{Color32, RichText, Sense, Ui, Vec2};
use egui_plot::{AxisHints, GridInput, GridMark, HoverPosition, Plot};

use crate::theme::{self, Theme, font_size, mix};

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

/// Marks at 1, 2, 5, 10 and so on, about so many points from each other, all of the same weight.
fn even_marks(input: &GridInput, apart: f64) -> Vec<GridMark> {
    // The smallest step that is offered is eight points wide.
    let least = input.base_step_size * apart / 8.0;
    let (low, high) = input.bounds;
    if !(least > 0.0 && least.is_finite() && low.is_finite() && high.is_finite()) {
        return vec![];
    }
    let unit = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * unit).find(|step| *step >= least).unwrap_or(least);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    let n = last - first;
    if !(0.0..200.0).contains(&n) {
        return vec![];
    }
    (0..=n as u32).map(|at| GridMark { value: (first + f64::from(at)) * step, step_size: step }).collect()
}

/// The same with a quiet grid and small figures at axes with names; `x` and `y` write the figures.
pub fn quiet_plot<'a>(
    ui: &Ui,
    id: &'a str,
    height: f32,
    (x_name, x): (&str, impl Fn(f64) -> String + 'a),
    (y_name, y): (&str, impl Fn(f64) -> String + 'a),
) -> Plot<'a> {
    let theme = Theme::of(ui);
    let font = theme::regular(font_size::LABEL);
    let label = |name: &str| RichText::new(name).font(font.clone()).color(theme.muted);
    let spacing = egui::Rangef::new(8.0, 16.0);
    let across = AxisHints::new_x()
        .label(label(x_name))
        .formatter(move |mark, _| x(mark.value))
        .label_spacing(spacing)
        .tick_label_font(font.clone())
        .tick_label_color(theme.muted);
    let up = AxisHints::new_y()
        .label(label(y_name))
        .formatter(move |mark, _| y(mark.value))
        .label_spacing(spacing)
        .min_thickness(30.0)
        .tick_label_font(font.clone())
        .tick_label_color(theme.muted);
    plot(id, height)
        .grid_color(mix(theme.panel, theme.line, 0.8))
        .grid_fade(1.0)
        .grid_spacing(egui::Rangef::new(8.0, 20.0))
        .x_grid_spacer(|input| even_marks(&input, 72.0))
        .y_grid_spacer(|input| even_marks(&input, 36.0))
        .custom_x_axes(vec![across])
        .custom_y_axes(vec![up])
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
