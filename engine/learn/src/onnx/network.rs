//! Networks as a graph: each operation of the plan, with the names and numbers of the saved weights.

use athanor_protocol::network::{Activation, PoolKind};

use super::{
    graph::{Graph, Name, float, int, ints},
    proto::elem,
};
use crate::{
    LearnError,
    network::{EPSILON, Head, NetworkModel, Op, Plan, from_safetensors},
};

/// What a model gives, before it is named.
pub(super) enum Answer {
    /// `float [N, n_classes]`.
    Probabilities(Name),
    /// `float [N, 1]`.
    Value(Name),
}

/// The network over `features`.
pub(super) fn network(graph: &mut Graph, model: &NetworkModel, features: &str) -> Result<Answer, LearnError> {
    let structure = model.structure();
    let plan = Plan::new(&structure.spec, structure.n_features, structure.n_outputs)?;
    let weights = from_safetensors(&model.weights()?, "weights")?;
    let mut slots = Vec::with_capacity(plan.slots.len());
    for slot in &plan.slots {
        let (shape, values) = weights
            .get(&slot.name)
            .ok_or_else(|| LearnError::Internal(format!("the network has no tensor {:?}", slot.name)))?;
        slots.push(graph.f32s(shape, values));
    }
    let mut layers = Layers { graph, slots, flow: features.to_owned(), is_image: false };
    if let Some(sides) = plan.image {
        layers.is_image = true;
        // 0 keeps the number of rows.
        let shape = [0, sides[0] as i64, sides[1] as i64, sides[2] as i64];
        let shape = layers.graph.i64s(&[4], &shape);
        layers.flow = layers.graph.op("Reshape", &[features, &shape]);
    }
    for op in &plan.ops {
        layers.add(op);
    }
    let Layers { flow, .. } = layers;
    Ok(match structure.head {
        Head::Classes => Answer::Probabilities(graph.with("Softmax", &[&flow], vec![int("axis", 1)])),
        Head::Number { mean, std } => {
            let value = graph.cast(&flow, elem::DOUBLE);
            let [mean, std] = [mean, std].map(|value| graph.number(value));
            let value = graph.op("Mul", &[&value, &std]);
            let value = graph.op("Add", &[&value, &mean]);
            Answer::Value(graph.cast(&value, elem::FLOAT))
        }
    })
}

struct Layers<'a> {
    graph: &'a mut Graph,
    /// The tensor of each slot of the plan.
    slots: Vec<Name>,
    flow: Name,
    is_image: bool,
}

impl Layers<'_> {
    /// The plan's own positions are in range: it made the slots.
    fn slot(&self, at: usize) -> Name {
        self.slots.get(at).cloned().unwrap_or_default()
    }

    fn add(&mut self, op: &Op) {
        let flow = self.flow.clone();
        let square = |side: usize| vec![side as i64; 2];
        self.flow = match op {
            Op::Linear { weight, bias } => {
                let (weight, bias) = (self.slot(*weight), self.slot(*bias));
                self.graph.op("Gemm", &[&flow, &weight, &bias])
            }
            Op::Activation(function) => self.activation(*function, &flow),
            // Only training drops values.
            Op::Dropout { .. } => flow,
            Op::BatchNorm { gamma, beta, mean, variance } => {
                let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(|&at| self.slot(at));
                let epsilon = vec![float("epsilon", EPSILON as f32)];
                self.graph.with("BatchNormalization", &[&flow, &gamma, &beta, &mean, &variance], epsilon)
            }
            Op::LayerNorm { gamma, beta } => {
                let (gamma, beta) = (self.slot(*gamma), self.slot(*beta));
                let last = if self.is_image { 3 } else { 1 };
                let axis = || vec![ints("axes", vec![last]), int("keepdims", 1)];
                let mean = self.graph.with("ReduceMean", &[&flow], axis());
                let centred = self.graph.op("Sub", &[&flow, &mean]);
                let squares = self.graph.op("Mul", &[&centred, &centred]);
                let variance = self.graph.with("ReduceMean", &[&squares], axis());
                let epsilon = self.graph.f32s(&[1], &[EPSILON as f32]);
                let variance = self.graph.op("Add", &[&variance, &epsilon]);
                let deviation = self.graph.op("Sqrt", &[&variance]);
                let scaled = self.graph.op("Div", &[&centred, &deviation]);
                let scaled = self.graph.op("Mul", &[&scaled, &gamma]);
                self.graph.op("Add", &[&scaled, &beta])
            }
            Op::Conv2d { weight, bias, stride, padding } => {
                let (weight, bias) = (self.slot(*weight), self.slot(*bias));
                let attributes = vec![ints("strides", square(*stride)), ints("pads", vec![*padding as i64; 4])];
                self.graph.with("Conv", &[&flow, &weight, &bias], attributes)
            }
            Op::Pool2d { kind, kernel, stride } => {
                let op_type = match kind {
                    PoolKind::Max => "MaxPool",
                    PoolKind::Mean => "AveragePool",
                };
                let attributes = vec![ints("kernel_shape", square(*kernel)), ints("strides", square(*stride))];
                self.graph.with(op_type, &[&flow], attributes)
            }
            Op::GlobalMeanPool => {
                self.is_image = false;
                let mean = self.graph.op("GlobalAveragePool", &[&flow]);
                self.graph.with("Flatten", &[&mean], vec![int("axis", 1)])
            }
            Op::Flatten if !self.is_image => flow,
            Op::Flatten => {
                self.is_image = false;
                self.graph.with("Flatten", &[&flow], vec![int("axis", 1)])
            }
        };
    }

    fn activation(&mut self, function: Activation, flow: &str) -> Name {
        let graph = &mut *self.graph;
        match function {
            Activation::Relu => graph.op("Relu", &[flow]),
            Activation::LeakyRelu => graph.with("LeakyRelu", &[flow], vec![float("alpha", 0.01)]),
            Activation::Tanh => graph.op("Tanh", &[flow]),
            Activation::Sigmoid => graph.op("Sigmoid", &[flow]),
            Activation::Silu => {
                let gate = graph.op("Sigmoid", &[flow]);
                graph.op("Mul", &[flow, &gate])
            }
            // The exact form: x/2 (1 + erf(x / √2)). An operator of its own comes only with opset 20.
            Activation::Gelu => {
                let root = graph.f32s(&[1], &[std::f32::consts::SQRT_2]);
                let [half, one] = [0.5, 1.0].map(|value| graph.f32s(&[1], &[value]));
                let inner = graph.op("Div", &[flow, &root]);
                let inner = graph.op("Erf", &[&inner]);
                let inner = graph.op("Add", &[&inner, &one]);
                let gated = graph.op("Mul", &[flow, &inner]);
                graph.op("Mul", &[&gated, &half])
            }
        }
    }
}
