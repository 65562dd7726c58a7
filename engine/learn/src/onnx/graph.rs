//! A graph while it is written: nodes in order, constants, and names that never collide.

use super::proto::{AttributeProto, ML_DOMAIN, NodeProto, TensorProto, elem, kind};

/// The name of a tensor in the graph.
pub(super) type Name = String;

/// Nodes and constants of one graph.
pub(super) struct Graph {
    /// Begins every name of ours; no name that was given begins so.
    prefix: String,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
}

impl Graph {
    /// An empty graph whose names avoid those that are `taken`.
    pub(super) fn new<'a>(taken: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut prefix = "_".to_owned();
        while taken.clone().any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        Self { prefix, nodes: Vec::new(), constants: Vec::new() }
    }

    /// A standard operator with one output.
    pub(super) fn op(&mut self, op_type: &str, inputs: &[&str]) -> Name {
        self.with(op_type, inputs, Vec::new())
    }

    /// A standard operator with attributes and one output.
    pub(super) fn with(&mut self, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Name {
        let output = format!("{}{}_{}", self.prefix, op_type.to_lowercase(), self.nodes.len());
        self.node("", op_type, inputs, attributes, output)
    }

    /// An operator of `ai.onnx.ml` with one output.
    pub(super) fn ml(&mut self, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Name {
        let output = format!("{}{}_{}", self.prefix, op_type.to_lowercase(), self.nodes.len());
        self.node(ML_DOMAIN, op_type, inputs, attributes, output)
    }

    /// Gives a tensor the name of an output.
    pub(super) fn output(&mut self, name: &str, from: &str) {
        self.node("", "Identity", &[from], Vec::new(), name.to_owned());
    }

    fn node(
        &mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        output: Name,
    ) -> Name {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: format!("{}node_{}", self.prefix, self.nodes.len()),
            op_type: op_type.to_owned(),
            attribute,
            domain: domain.to_owned(),
            ..NodeProto::default()
        });
        output
    }

    /// Changes the type of a tensor's values.
    pub(super) fn cast(&mut self, tensor: &str, to: i32) -> Name {
        self.with("Cast", &[tensor], vec![int("to", i64::from(to))])
    }

    /// Puts tensors side by side; one alone is left as it is.
    pub(super) fn side_by_side(&mut self, tensors: &[Name]) -> Name {
        match tensors {
            [one] => one.clone(),
            several => {
                let inputs: Vec<&str> = several.iter().map(String::as_str).collect();
                self.with("Concat", &inputs, vec![int("axis", 1)])
            }
        }
    }

    fn constant(&mut self, mut tensor: TensorProto) -> Name {
        tensor.name = format!("{}constant_{}", self.prefix, self.constants.len());
        let name = tensor.name.clone();
        self.constants.push(tensor);
        name
    }

    pub(super) fn f32s(&mut self, shape: &[usize], values: &[f32]) -> Name {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(TensorProto { dims: dims(shape), data_type: elem::FLOAT, raw_data, ..TensorProto::default() })
    }

    pub(super) fn f64s(&mut self, shape: &[usize], values: &[f64]) -> Name {
        self.constant(f64_tensor(shape, values))
    }

    pub(super) fn i64s(&mut self, shape: &[usize], values: &[i64]) -> Name {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(TensorProto { dims: dims(shape), data_type: elem::INT64, raw_data, ..TensorProto::default() })
    }

    pub(super) fn bools(&mut self, shape: &[usize], values: &[bool]) -> Name {
        let raw_data = values.iter().map(|&value| u8::from(value)).collect();
        self.constant(TensorProto { dims: dims(shape), data_type: elem::BOOL, raw_data, ..TensorProto::default() })
    }

    pub(super) fn texts(&mut self, values: &[String]) -> Name {
        let string_data = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        let dims = dims(&[values.len()]);
        self.constant(TensorProto { dims, data_type: elem::STRING, string_data, ..TensorProto::default() })
    }

    /// A number for every row, `[1, 1]`.
    pub(super) fn number(&mut self, value: f64) -> Name {
        self.f64s(&[1, 1], &[value])
    }
}

fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&side| side as i64).collect()
}

/// A tensor of 64-bit floats without a name, for attributes.
pub(super) fn f64_tensor(shape: &[usize], values: &[f64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { dims: dims(shape), data_type: elem::DOUBLE, raw_data, ..TensorProto::default() }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind, ..AttributeProto::default() }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, kind::INT) }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, kind::FLOAT) }
}

pub(super) fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: s.as_bytes().to_vec(), ..attribute(name, kind::STRING) }
}

pub(super) fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { ints, ..attribute(name, kind::INTS) }
}

pub(super) fn texts<'a>(name: &str, values: impl Iterator<Item = &'a str>) -> AttributeProto {
    AttributeProto {
        strings: values.map(|value| value.as_bytes().to_vec()).collect(),
        ..attribute(name, kind::STRINGS)
    }
}

pub(super) fn tensor(name: &str, mut t: TensorProto) -> AttributeProto {
    t.name = name.to_owned();
    AttributeProto { t: Some(t), ..attribute(name, kind::TENSOR) }
}
