//! The tab of plots: what to draw, and the answer drawn.

use athanor_protocol::{
    Code, Failure,
    api::{DataPlot, PlotSpec, WorkCancel},
    table::{ColumnSchema, DataSource, DataType},
};
use egui::{RichText, Ui};

use super::{draw, picker};
use crate::{
    desk::{Desk, Remote},
    icons::ph,
    pages::Cx,
    theme::{Theme, font_size, size},
    widgets, work,
};

/// A kind of plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// How often values occur.
    #[default]
    Histogram,
    /// How often each value occurs.
    Bar,
    /// Quartiles.
    Box,
    /// Points.
    Scatter,
    /// Means along a column.
    Line,
    /// How columns go together.
    Correlation,
}

impl Kind {
    const ALL: [(Kind, &'static str); 6] = [
        (Kind::Histogram, "Histogram"),
        (Kind::Bar, "Bar"),
        (Kind::Box, "Box"),
        (Kind::Scatter, "Scatter"),
        (Kind::Line, "Line"),
        (Kind::Correlation, "Correlation"),
    ];

    /// One sentence.
    const fn says(self) -> &'static str {
        match self {
            Self::Histogram => "How the values of one column are spread.",
            Self::Bar => "How often each value occurs.",
            Self::Box => "Median, quartiles and outliers, side by side for groups.",
            Self::Scatter => "Two columns against each other, one point for each row of a sample.",
            Self::Line => "The mean of one column along another.",
            Self::Correlation => "How strongly the columns of numbers go together, from -1 to 1.",
        }
    }
}

/// The tab's state.
#[derive(Default)]
pub struct Plots {
    kind: Kind,
    columns: Vec<ColumnSchema>,
    x: String,
    y: String,
    group: String,
    n_bins: u32,
    answer: Remote<DataPlot>,
    /// What was asked for last, and the token by which it can be stopped.
    asked: Option<(PlotSpec, String)>,
    stopping: bool,
    drawn: draw::Drawn,
}

fn is_number(dtype: DataType) -> bool {
    dtype.is_numeric() && dtype != DataType::Bool
}

impl Plots {
    /// The columns that there are to plot.
    pub fn begin(&mut self, columns: &[ColumnSchema]) {
        self.columns = columns.to_vec();
        self.n_bins = 30;
        // Numbers with a fraction first: whole ones are often ids.
        let of = |dtype| columns.iter().filter(move |column| column.dtype == dtype);
        let rest = columns.iter().filter(|column| is_number(column.dtype) && column.dtype != DataType::Float);
        let mut numbers = of(DataType::Float).chain(rest).map(|column| &column.name);
        let first = numbers.next().or(columns.first().map(|column| &column.name));
        self.x = first.cloned().unwrap_or_default();
        self.y = numbers.next().cloned().unwrap_or_else(|| self.x.clone());
        if !columns.iter().any(|column| is_number(column.dtype)) {
            self.kind = Kind::Bar;
        }
    }

    /// Plots one column, as fits its type.
    pub fn show_column(&mut self, name: &str) {
        let Some(column) = self.columns.iter().find(|column| column.name == name) else { return };
        self.kind = if is_number(column.dtype) { Kind::Histogram } else { Kind::Bar };
        self.x = column.name.clone();
    }

    fn spec(&self) -> Option<PlotSpec> {
        let group = (!self.group.is_empty()).then(|| self.group.clone());
        let known = |name: &str, number: bool| {
            self.columns.iter().any(|column| column.name == name && (!number || is_number(column.dtype)))
        };
        let (x, y) = (self.x.clone(), self.y.clone());
        let (can, spec) = match self.kind {
            Kind::Histogram => (known(&x, true), PlotSpec::Histogram { column: x, n_bins: self.n_bins, group }),
            Kind::Bar => (known(&x, false), PlotSpec::Bar { column: x, group }),
            Kind::Box => (known(&x, true), PlotSpec::Box { column: x, group }),
            Kind::Scatter => (known(&x, true) && known(&y, true), PlotSpec::Scatter { x, y, group }),
            Kind::Line => (known(&x, true) && known(&y, true), PlotSpec::Line { x, y, group }),
            Kind::Correlation => {
                let enough = self.columns.iter().filter(|column| is_number(column.dtype)).count() > 1;
                (enough, PlotSpec::Correlation { columns: vec![] })
            }
        };
        can.then_some(spec)
    }

    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, source: &DataSource) {
        egui::Frame::new().inner_margin(egui::Margin { left: 20, right: 20, top: 8, bottom: 16 }).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 12.0;
            egui::ScrollArea::horizontal().id_salt("plot-kinds").auto_shrink([false, true]).show(ui, |ui| {
                widgets::segments(ui, &mut self.kind, &Kind::ALL);
            });
            if self.kind != Kind::Correlation {
                self.pickers(ui);
            }
            let says = RichText::new(self.kind.says()).size(font_size::LABEL + 0.5).color(Theme::of(ui).muted);
            ui.label(says);
            let Some(spec) = self.spec() else {
                let text = match self.kind {
                    Kind::Correlation => "It takes at least two columns of numbers.",
                    _ => "It takes columns of numbers. Choose others, or a plot for words: Bar.",
                };
                widgets::empty_state(ui, ph::CHART_SCATTER, "Not with these columns", text, None);
                return;
            };
            let token = self.token_of(&spec, cx.desk);
            let ask = DataPlot { source: source.clone(), spec, token };
            if self.answer.keep(cx.desk, &ask) {
                self.drawn = draw::Drawn::default();
                self.stopping = false;
            }
            if let Some(failure) = self.answer.error().cloned() {
                // A column that is no number after all, for example.
                if widgets::failure(ui, &plain(failure)) {
                    self.answer.invalidate();
                }
                return;
            }
            let fits = self.answer.value_of().is_some_and(|of| of == &ask);
            if !fits {
                if self.answer.slow(cx.desk) {
                    let stop = work::line(ui, "Reading the columns", None, self.stopping);
                    if stop && cx.desk.may_ask() {
                        self.stopping = true;
                        cx.desk.tell(WorkCancel { token: ask.token.clone() }.into());
                    }
                } else {
                    ui.ctx().request_repaint_after_secs(0.1);
                }
            }
            // The last picture stays until the next one is there, where it is one of the same kind.
            let same_kind = self
                .answer
                .value_of()
                .is_some_and(|of| std::mem::discriminant(&of.spec) == std::mem::discriminant(&ask.spec));
            if let Some(data) = self.answer.value().filter(|_| same_kind) {
                let height = (ui.available_height() - 108.0).clamp(200.0, 900.0);
                let names = draw::Names { x: &self.x, y: &self.y, group: &self.group, columns: &self.columns };
                padded_card(ui, |ui| draw::show(ui, data, &mut self.drawn, &names, height));
            }
        });
    }

    /// Each plot that is asked for has a token of its own. What was asked for before, nobody waits for any more.
    fn token_of(&mut self, spec: &PlotSpec, desk: &mut Desk) -> String {
        if let Some((asked, token)) = &self.asked {
            if asked == spec {
                return token.clone();
            }
            desk.end_token(token);
            if self.answer.busy() && desk.may_ask() {
                desk.tell(WorkCancel { token: token.clone() }.into());
            }
        }
        let token = desk.new_token();
        self.asked = Some((spec.clone(), token.clone()));
        token
    }

    fn pickers(&mut self, ui: &mut Ui) {
        let names = |keep: &dyn Fn(DataType) -> bool| -> Vec<(&str, &str)> {
            let kept = self.columns.iter().filter(|column| keep(column.dtype));
            kept.map(|column| (column.name.as_str(), column.name.as_str())).collect()
        };
        let (numbers, all) = (names(&is_number), names(&|_| true));
        let mut groups = names(&|dtype| !matches!(dtype, DataType::Float | DataType::Datetime | DataType::Other));
        groups.insert(0, ("", "no groups"));
        let (x, y, group, n_bins) = (&mut self.x, &mut self.y, &mut self.group, &mut self.n_bins);
        let mut switched = false;
        let width = ((ui.available_width() - 32.0) / 3.0).clamp(110.0, 200.0);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 16.0;
            let pick = |ui: &mut Ui, name: &str, value: &mut String, options: &[(&str, &str)]| {
                place(ui, width, |ui| {
                    widgets::field(ui, name, "", None, |ui| picker::column(ui, name, value, options, width));
                });
            };
            match self.kind {
                Kind::Histogram | Kind::Box => pick(ui, "Column", x, &numbers),
                Kind::Bar => pick(ui, "Column", x, &all),
                Kind::Scatter | Kind::Line => {
                    pick(ui, "Across", x, &numbers);
                    pick(ui, "Up", y, &numbers);
                }
                Kind::Correlation => {}
            }
            if self.kind != Kind::Correlation {
                pick(ui, "Groups", group, &groups);
            }
            if self.kind == Kind::Histogram {
                place(ui, 110.0, |ui| {
                    widgets::field(ui, "Bins", "", None, |ui| {
                        let drag = egui::DragValue::new(n_bins).range(2..=200).speed(0.2);
                        let response = ui.add_sized([100.0, size::CONTROL - 2.0], drag);
                        response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::DragValue, true, "Bins"));
                    });
                });
            }
            if matches!(self.kind, Kind::Scatter | Kind::Line) {
                place(ui, 30.0, |ui| {
                    ui.add_space(20.0);
                    switched = widgets::icon_button(ui, ph::SWAP, "Exchange the axes").clicked();
                });
            }
        });
        if switched {
            std::mem::swap(&mut self.x, &mut self.y);
        }
    }
}

/// A place of this width in a line that wraps.
fn place(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui)) {
    let wanted = egui::vec2(width, 52.0);
    ui.allocate_ui_with_layout(wanted, egui::Layout::top_down(egui::Align::Min), |ui| {
        ui.set_width(width);
        add(ui);
    });
}

fn plain(failure: Failure) -> Failure {
    if failure.hint.is_some() || failure.code != Code::InvalidArgument {
        return failure;
    }
    failure.hint("choose other columns")
}

fn padded_card(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    widgets::card(ui, |ui| {
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        add(ui);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, dtype: DataType) -> ColumnSchema {
        ColumnSchema { name: name.to_owned(), dtype }
    }

    #[test]
    fn a_plot_is_asked_for_only_with_columns_that_it_can_take() {
        let mut plots = Plots::default();
        plots.begin(&[column("word", DataType::Text), column("a", DataType::Float), column("b", DataType::Int)]);
        assert_eq!((plots.kind, plots.x.as_str(), plots.y.as_str()), (Kind::Histogram, "a", "b"));
        assert!(plots.spec().is_some());
        plots.show_column("word");
        assert_eq!(plots.kind, Kind::Bar);
        for (kind, can) in
            [(Kind::Bar, true), (Kind::Histogram, false), (Kind::Scatter, false), (Kind::Correlation, true)]
        {
            plots.kind = kind;
            assert_eq!(plots.spec().is_some(), can, "{kind:?}");
        }
        plots.begin(&[column("word", DataType::Text)]);
        assert_eq!(plots.kind, Kind::Bar);
    }
}
