//! The model builder: the layers of a network as blocks in the order in which data goes through them.

use athanor_protocol::network::{Activation, Layer, LayerProblem, LayerShape, ModelSpec, PoolKind};
use egui::{CursorIcon, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, Ui, Vec2, WidgetInfo, WidgetType};

use super::{editor::Editor, inspector::set};
use crate::{
    format,
    icons::{self, ph},
    theme::{self, Theme, font_size, radius, size},
    widgets,
};

/// The builder's state.
pub struct Builder {
    node: String,
    param: String,
    n_features: Option<usize>,
    n_outputs: usize,
    dragged: Option<usize>,
}

/// What is done to the layers.
enum Change {
    Move(usize, usize),
    Remove(usize),
    Set(usize, Layer),
    Add(Layer),
}

fn names() -> Vec<(&'static str, &'static str, Layer)> {
    vec![
        ("Linear", ph::DOTS_NINE, Layer::Linear { n_out: 64 }),
        ("Activation", ph::WAVE_SINE, Layer::Activation { function: Activation::Relu }),
        ("Dropout", ph::DROP_HALF, Layer::Dropout { probability: 0.2 }),
        ("Batch norm", ph::EQUALS, Layer::BatchNorm),
        ("Layer norm", ph::EQUALS, Layer::LayerNorm),
        ("Convolution", ph::GRID_FOUR, Layer::Conv2d { n_out: 16, kernel: 3, stride: 1, padding: 1 }),
        ("Pool", ph::ARROWS_IN, Layer::Pool2d { kind: PoolKind::Max, kernel: 2, stride: 2 }),
        ("Global mean pool", ph::ARROWS_IN_SIMPLE, Layer::GlobalMeanPool),
        ("Flatten", ph::ROWS, Layer::Flatten),
    ]
}

fn title(layer: &Layer) -> (&'static str, &'static str) {
    if matches!(layer, Layer::Output) {
        return ("Output", ph::TARGET);
    }
    let found = names().into_iter().find(|(.., other)| std::mem::discriminant(other) == std::mem::discriminant(layer));
    found.map_or(("Layer", ph::STACK), |(name, icon, _)| (name, icon))
}

/// The layers of a node's network; what stands there where it is no network yet.
fn read(editor: &Editor, node: &str, param: &str) -> ModelSpec {
    let value = editor.doc.now().node(node).and_then(|node| node.params.get(param)).cloned();
    let mut spec: ModelSpec =
        value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_else(|| ModelSpec::mlp(&[64, 32], 0.0));
    if !matches!(spec.layers.last(), Some(Layer::Output)) {
        spec.layers.push(Layer::Output);
    }
    spec
}

/// The shape of everything, as far as it can be told: one for each layer before the one that does not fit.
fn shapes(spec: &ModelSpec, n_features: usize, n_outputs: usize) -> (Vec<LayerShape>, Option<LayerProblem>) {
    match spec.shapes(n_features, n_outputs) {
        Ok(shapes) => (shapes, None),
        Err(problem) => {
            // The layers before it are right: they are told with an output of their own behind them.
            let mut part = spec.clone();
            part.layers.truncate(problem.index);
            let n = part.layers.len();
            part.layers.push(Layer::Flatten);
            part.layers.push(Layer::Output);
            let shapes = part.shapes(n_features, n_outputs).map(|shapes| shapes.into_iter().take(n).collect());
            (shapes.unwrap_or_default(), Some(problem))
        }
    }
}

fn apply(spec: &mut ModelSpec, change: Change) {
    let last = spec.layers.len().saturating_sub(1);
    match change {
        Change::Move(from, to) if from < last && from < spec.layers.len() => {
            let layer = spec.layers.remove(from);
            let to = if to > from { to - 1 } else { to };
            spec.layers.insert(to.min(last.saturating_sub(1)), layer);
        }
        Change::Remove(at) if at < last => {
            spec.layers.remove(at);
        }
        Change::Set(at, layer) if at < last => spec.layers[at] = layer,
        Change::Add(layer) => spec.layers.insert(last, layer),
        _ => {}
    }
}

/// `64`, `16 × 28 × 28`.
fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

impl Builder {
    /// A builder for a parameter of a node.
    pub fn new(node: &str, param: &str) -> Self {
        Self { node: node.to_owned(), param: param.to_owned(), n_features: None, n_outputs: 1, dragged: None }
    }

    /// The columns that the node learns from, where they are known.
    fn known_features(&self, editor: &Editor) -> Option<usize> {
        let workflow = editor.doc.now();
        let columns = editor.engine.columns_into(workflow, &self.node)?;
        let node = workflow.node(&self.node)?;
        let chosen = node.params.get("features").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
        let target = node.params.get("target").and_then(serde_json::Value::as_str);
        let others = columns.iter().filter(|column| Some(column.name.as_str()) != target).count();
        Some(if chosen > 0 { chosen } else { others })
    }

    /// Draws it in place of the canvas. False when the user is done.
    pub fn ui(&mut self, ui: &mut Ui, editor: &mut Editor) -> bool {
        let theme = Theme::of(ui);
        if editor.doc.now().node(&self.node).is_none() {
            return false;
        }
        let mut spec = read(editor, &self.node, &self.param);
        let before = spec.clone();
        let known = self.known_features(editor);
        let n_features = spec.image.map_or_else(
            || self.n_features.or(known).unwrap_or(16),
            |image| image.iter().fold(1usize, |all, side| all.saturating_mul(*side)),
        );
        let (shapes, problem) = shapes(&spec, n_features, self.n_outputs);
        let total: u64 = shapes.iter().map(|shape| shape.n_parameters).sum();
        let mut stays = true;
        ui.painter().rect_filled(ui.max_rect(), 0, theme.sunken);
        egui::Frame::new().inner_margin(egui::Margin::same(size::PAGE as i8)).show(ui, |ui| {
            ui.horizontal(|ui| {
                if widgets::secondary(ui, ph::ARROW_LEFT, "Back to the canvas").clicked() {
                    stays = false;
                }
                let name = editor.scene.node(&self.node).map_or("", |node| node.title.as_str());
                ui.label(RichText::new(format!("Model of {name}")).font(theme::semibold(font_size::TITLE)));
                let facts = format!(
                    "{}, {}{}",
                    format::plural(spec.layers.len() as u64, "layer"),
                    format::plural(total, "parameter"),
                    if problem.is_some() { " so far" } else { "" }
                );
                widgets::muted(ui, &facts);
            });
            ui.add_space(size::SMALL_GAP);
            ScrollArea::vertical().id_salt("model-builder").auto_shrink([false, false]).show(ui, |ui| {
                let width = ui.available_width().min(760.0);
                let indent = ((ui.available_width() - width) / 2.0).max(0.0);
                ui.horizontal_top(|ui| {
                    ui.add_space(indent);
                    ui.vertical(|ui| {
                        ui.set_width(width - 12.0);
                        ui.spacing_mut().item_spacing.y = 6.0;
                        let first = problem
                            .as_ref()
                            .filter(|problem| problem.layer == "input" || problem.message.starts_with("an image"));
                        self.input_ui(ui, &mut spec, known, n_features, first);
                        let change = self.layers_ui(ui, &spec, &shapes, problem.as_ref());
                        if let Some(change) = change {
                            apply(&mut spec, change);
                        }
                        ui.add_space(size::SMALL_GAP);
                        presets(ui, &mut spec, n_features);
                    });
                });
            });
        });
        if ui.input_mut(|input| input.consume_key(egui::Modifiers::NONE, egui::Key::Escape)) {
            stays = false;
        }
        if spec != before {
            let value = serde_json::to_value(&spec).unwrap_or_default();
            set(editor, &self.node.clone(), &self.param.clone(), Some(value));
        }
        stays
    }

    fn input_ui(
        &mut self,
        ui: &mut Ui,
        spec: &mut ModelSpec,
        known: Option<usize>,
        n_features: usize,
        problem: Option<&LayerProblem>,
    ) {
        block(ui, problem.is_some(), |ui| {
            ui.horizontal(|ui| {
                ui.set_height(30.0);
                head(ui, ph::SIGN_IN, "Input");
                let mut image = spec.image.is_some();
                let options = [(false, "Table"), (true, "Image")];
                if widgets::segments(ui, &mut image, &options) {
                    spec.image = image.then_some([1, 28, 28]);
                }
                if let Some([channels, height, width]) = &mut spec.image {
                    whole(ui, "Channels", channels, 1..=4096);
                    whole(ui, "Height", height, 1..=4096);
                    whole(ui, "Width", width, 1..=4096);
                } else {
                    let mut n = n_features;
                    if whole(ui, "Features", &mut n, 1..=1_000_000) {
                        self.n_features = Some(n);
                    }
                }
                right(ui, &shape_text(&spec.image.map_or(vec![n_features], |image| image.to_vec())), "");
            });
            if spec.image.is_none() {
                let text = match known {
                    Some(n) => format!(
                        "{} come in; text columns become more than one feature each.",
                        format::plural(n as u64, "column")
                    ),
                    None => "The columns are not known yet, so the number is yours to set; training counts for itself."
                        .to_owned(),
                };
                ui.label(RichText::new(text).size(font_size::LABEL).color(Theme::of(ui).muted));
            }
            if let Some(problem) = problem {
                error(ui, &problem.message);
            }
        });
        arrow(ui);
    }

    fn layers_ui(
        &mut self,
        ui: &mut Ui,
        spec: &ModelSpec,
        shapes: &[LayerShape],
        problem: Option<&LayerProblem>,
    ) -> Option<Change> {
        let mut change = None;
        let mut rects: Vec<Rect> = vec![];
        let last = spec.layers.len().saturating_sub(1);
        for (at, layer) in spec.layers.iter().enumerate() {
            let wrong = problem.filter(|problem| {
                problem.index == at && problem.layer != "input" && !problem.message.starts_with("an image")
            });
            let shape = shapes.get(at);
            let rect = ui.push_id(("layer", at), |ui| {
                block(ui, wrong.is_some(), |ui| {
                    ui.horizontal(|ui| {
                        ui.set_height(30.0);
                        if at == last {
                            self.output_ui(ui);
                        } else if let Some(found) = self.layer_ui(ui, layer, at) {
                            change = Some(found);
                        }
                        let (shape, n) = shape.map_or((String::new(), String::new()), |shape| {
                            let n = if shape.n_parameters > 0 {
                                format!("{} parameters", format::count(shape.n_parameters))
                            } else {
                                String::new()
                            };
                            (shape_text(&shape.shape), n)
                        });
                        if at != last
                            && let Some(found) = tools(ui, at, last)
                        {
                            change = Some(found);
                        }
                        right(ui, &shape, &n);
                    });
                    if let Some(problem) = wrong {
                        error(ui, &problem.message);
                    }
                })
            });
            rects.push(rect.response.rect);
            if at + 1 == last {
                // New layers go in front of the output.
                if let Some(layer) = add_menu(ui) {
                    change = Some(Change::Add(layer));
                }
            }
        }
        if last == 0
            && let Some(layer) = add_menu(ui)
        {
            change = Some(Change::Add(layer));
        }
        self.drag_ui(ui, &rects, last).or(change)
    }

    /// Where the block that is dragged would land.
    fn drag_ui(&mut self, ui: &Ui, rects: &[Rect], last: usize) -> Option<Change> {
        let from = self.dragged?;
        let pointer = ui.input(|input| input.pointer.latest_pos())?;
        let to = rects[..last].iter().filter(|rect| rect.center().y < pointer.y).count();
        let theme = Theme::of(ui);
        let y = match rects.get(to) {
            Some(rect) => rect.top() - 3.0,
            None => rects.last()?.top() - 3.0,
        };
        let x = rects.first()?.x_range();
        ui.painter().hline(x, y, Stroke::new(3.0, theme.accent));
        if ui.input(|input| input.pointer.any_released()) {
            self.dragged = None;
            return (to != from && to != from + 1).then_some(Change::Move(from, to));
        }
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
        None
    }

    fn layer_ui(&mut self, ui: &mut Ui, layer: &Layer, at: usize) -> Option<Change> {
        let theme = Theme::of(ui);
        let (rect, grip) = ui.allocate_exact_size(Vec2::new(18.0, 28.0), Sense::drag());
        let (name, icon) = title(layer);
        grip.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, format!("Drag layer {}, {name}", at + 1)));
        icons::paint(
            ui,
            rect.center(),
            ph::DOTS_SIX_VERTICAL,
            16.0,
            if grip.hovered() { theme.text } else { theme.faint },
        );
        if grip.drag_started() {
            self.dragged = Some(at);
        }
        grip.on_hover_cursor(CursorIcon::Grab);
        head(ui, icon, name);
        let mut next = layer.clone();
        match &mut next {
            Layer::Linear { n_out } => {
                whole(ui, "Units", n_out, 1..=65_536);
            }
            Layer::Activation { function } => {
                let options = [
                    (Activation::Relu, "ReLU"),
                    (Activation::LeakyRelu, "Leaky ReLU"),
                    (Activation::Gelu, "GELU"),
                    (Activation::Silu, "SiLU"),
                    (Activation::Tanh, "Tanh"),
                    (Activation::Sigmoid, "Sigmoid"),
                ]
                .map(|(function, name)| (function, name.to_owned()));
                widgets::choice(ui, &format!("activation-{at}"), "Function", function, &options);
            }
            Layer::Dropout { probability } => {
                let label = widgets::label(ui, "Probability");
                let response = ui.add(
                    egui::DragValue::new(probability)
                        .range(0.0..=0.99)
                        .clamp_existing_to_range(false)
                        .speed(0.01)
                        .max_decimals(3),
                );
                response.labelled_by(label.id);
            }
            Layer::Conv2d { n_out, kernel, stride, padding } => {
                whole(ui, "Channels", n_out, 1..=4096);
                whole(ui, "Kernel", kernel, 1..=64);
                whole(ui, "Stride", stride, 1..=64);
                whole(ui, "Padding", padding, 0..=64);
            }
            Layer::Pool2d { kind, kernel, stride } => {
                let options = [(PoolKind::Max, "Greatest"), (PoolKind::Mean, "Mean")];
                widgets::segments(ui, kind, &options);
                whole(ui, "Window", kernel, 1..=64);
                whole(ui, "Stride", stride, 1..=64);
            }
            Layer::BatchNorm | Layer::LayerNorm | Layer::GlobalMeanPool | Layer::Flatten | Layer::Output => {}
        }
        (next != *layer).then_some(Change::Set(at, next))
    }

    fn output_ui(&mut self, ui: &mut Ui) {
        ui.add_space(26.0);
        head(ui, ph::TARGET, "Output");
        whole(ui, "Outputs", &mut self.n_outputs, 1..=100_000);
        let tip = "One for a number or two classes, else one for each class. Training sets it by the target; here it is for the shapes shown.";
        ui.label(icons::text(ph::INFO, 14.0).color(Theme::of(ui).muted)).on_hover_text(tip);
    }
}

fn head(ui: &mut Ui, icon: &str, name: &str) {
    let theme = Theme::of(ui);
    ui.label(icons::text(icon, 17.0).color(theme.accent));
    let (rect, _) = ui.allocate_exact_size(Vec2::new(112.0, 28.0), Sense::hover());
    let at = Pos2::new(rect.left(), rect.center().y);
    ui.painter().text(at, egui::Align2::LEFT_CENTER, name, theme::semibold(font_size::BODY), theme.text);
}

fn block(ui: &mut Ui, wrong: bool, add: impl FnOnce(&mut Ui)) -> Rect {
    let theme = Theme::of(ui);
    let line = if wrong { Stroke::new(1.5, theme.bad) } else { theme.border() };
    let frame = egui::Frame::new()
        .fill(theme.panel)
        .stroke(line)
        .corner_radius(radius::NODE)
        .inner_margin(egui::Margin::symmetric(12, 7));
    frame
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            add(ui);
        })
        .response
        .rect
}

fn error(ui: &mut Ui, text: &str) {
    let theme = Theme::of(ui);
    ui.horizontal(|ui| {
        ui.label(icons::text(ph::WARNING_CIRCLE, 14.0).color(theme.bad));
        ui.add(egui::Label::new(RichText::new(widgets::sentence(text)).color(theme.bad)).wrap().selectable(true));
    });
}

fn arrow(ui: &mut Ui) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 6.0), Sense::hover());
    ui.painter().vline(rect.center().x, rect.y_range(), Stroke::new(1.0, theme.line));
}

/// What comes out, at the right.
fn right(ui: &mut Ui, shape: &str, n: &str) {
    let theme = Theme::of(ui);
    let rect = ui.max_rect();
    let at = Pos2::new(rect.right() - 98.0, rect.center().y);
    let painter = ui.painter();
    if n.is_empty() {
        painter.text(at, egui::Align2::RIGHT_CENTER, shape, theme::mono(font_size::MONO), theme.text);
    } else {
        painter.text(
            at - Vec2::new(0.0, 7.0),
            egui::Align2::RIGHT_CENTER,
            shape,
            theme::mono(font_size::MONO),
            theme.text,
        );
        painter.text(
            at + Vec2::new(0.0, 8.0),
            egui::Align2::RIGHT_CENTER,
            n,
            theme::regular(font_size::LABEL),
            theme.muted,
        );
    }
}

/// A whole number with its name. True when it changed.
fn whole(ui: &mut Ui, name: &str, value: &mut usize, range: std::ops::RangeInclusive<usize>) -> bool {
    let label = widgets::label(ui, name);
    let speed = (*value as f64 * 0.01).max(0.1);
    ui.add(egui::DragValue::new(value).range(range).clamp_existing_to_range(false).speed(speed))
        .labelled_by(label.id)
        .changed()
}

fn tools(ui: &mut Ui, at: usize, last: usize) -> Option<Change> {
    let rect = ui.max_rect();
    let mut change = None;
    let area = Rect::from_min_max(Pos2::new(rect.right() - 92.0, rect.top()), rect.max);
    let mut tools =
        ui.new_child(egui::UiBuilder::new().max_rect(area).layout(egui::Layout::right_to_left(egui::Align::Center)));
    tools.spacing_mut().item_spacing.x = 0.0;
    if widgets::icon_button(&mut tools, ph::TRASH, &format!("Remove layer {}", at + 1)).clicked() {
        change = Some(Change::Remove(at));
    }
    tools.add_enabled_ui(at + 1 < last, |ui| {
        if widgets::icon_button(ui, ph::CARET_DOWN, &format!("Move layer {} down", at + 1)).clicked() {
            change = Some(Change::Move(at, at + 2));
        }
    });
    tools.add_enabled_ui(at > 0, |ui| {
        if widgets::icon_button(ui, ph::CARET_UP, &format!("Move layer {} up", at + 1)).clicked() {
            change = Some(Change::Move(at, at - 1));
        }
    });
    change
}

fn add_menu(ui: &mut Ui) -> Option<Layer> {
    let mut chosen = None;
    ui.horizontal(|ui| {
        let button = widgets::quiet(ui, ph::PLUS, "Add a layer");
        widgets::menu(&button, 190.0, |ui| {
            for (name, icon, layer) in names() {
                if widgets::menu_item(ui, icon, name).clicked() {
                    chosen = Some(layer);
                    ui.close();
                }
            }
        });
    });
    chosen
}

fn presets(ui: &mut Ui, spec: &mut ModelSpec, n_features: usize) {
    ui.horizontal_wrapped(|ui| {
        widgets::muted(ui, "Begin again with");
        let side = (n_features as f64).sqrt().round().max(4.0) as usize;
        let image = spec.image.unwrap_or(if side * side == n_features { [1, side, side] } else { [1, 28, 28] });
        for (name, preset) in [
            ("no hidden layer", ModelSpec::linear()),
            ("two hidden layers", ModelSpec::mlp(&[64, 32], 0.1)),
            ("a small image network", ModelSpec::small_cnn(image, [16, 32], 64, 0.25)),
        ] {
            if widgets::link(ui, name).clicked() {
                *spec = preset;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_move_and_the_output_stays_last() {
        let mut spec = ModelSpec::mlp(&[8, 4], 0.0);
        let names = |spec: &ModelSpec| spec.layers.iter().map(Layer::name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&spec), "linear activation linear activation output");
        apply(&mut spec, Change::Add(Layer::Dropout { probability: 0.5 }));
        apply(&mut spec, Change::Move(4, 0));
        assert_eq!(names(&spec), "dropout linear activation linear activation output");
        apply(&mut spec, Change::Move(0, 5));
        assert_eq!(names(&spec), "linear activation linear activation dropout output");
        apply(&mut spec, Change::Move(0, 2));
        assert_eq!(names(&spec), "activation linear linear activation dropout output");
        for change in [Change::Remove(5), Change::Move(5, 0), Change::Set(5, Layer::Flatten), Change::Move(0, 99)] {
            apply(&mut spec, change);
            assert_eq!(spec.layers.last(), Some(&Layer::Output));
        }
        apply(&mut spec, Change::Remove(0));
        assert_eq!(spec.layers.len(), 5);
    }

    #[test]
    fn shapes_are_told_up_to_the_layer_that_does_not_fit() {
        let mut spec = ModelSpec::small_cnn([1, 8, 8], [4, 8], 16, 0.0);
        assert!(shapes(&spec, 64, 3).1.is_none());
        spec.layers.remove(5);
        let (told, problem) = shapes(&spec, 64, 3);
        assert_eq!((told.len(), problem.map(|problem| problem.index)), (5, Some(5)));
        assert_eq!(shape_text(&told[4].shape), "8 × 4 × 4");
        assert_eq!(shapes(&spec, 63, 3).1.map(|problem| problem.index), Some(0));
    }
}
