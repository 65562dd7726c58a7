//! From prepared rows to named outputs: what serving and batch prediction use.
//!
//! A predictor is everything of a package but the replay of its recipe, which belongs to the crate that knows tables:
//! the caller replays [`Predictor::recipe`] and gives the resulting rows to [`Predictor::predict`].

use std::sync::Arc;

use athanor_protocol::{
    columns::Frame,
    package::PartName,
    recipe::FittedRecipe,
    signature::{ModelSignature, Task},
};

use crate::{
    encode::FittedEncoder,
    error::LearnError,
    model::{Predictions, TrainedModel},
    network::Head,
    onnx::OnnxModel,
    package::Package,
};

/// What a model says of some rows, under the names of [`athanor_protocol::signature`].
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// Number of rows.
    pub n_rows: usize,
    /// The classes in the order of the probabilities; empty for regression.
    pub classes: Arc<[Arc<str>]>,
    /// `label`: the class with the greatest probability, the first of equals, `[n_rows]`. For classification.
    pub label: Option<Vec<Arc<str>>>,
    /// `probabilities`, row-major, `[n_rows, n_classes]`. For classification.
    pub probabilities: Option<Vec<f32>>,
    /// `value`, `[n_rows]`. For regression.
    pub value: Option<Vec<f64>>,
}

/// A model that is ready to answer. Safe to use from many threads at once.
#[derive(Debug)]
pub struct Predictor {
    signature: ModelSignature,
    recipe: FittedRecipe,
    inner: Inner,
    classes: Arc<[Arc<str>]>,
}

/// What answers.
#[derive(Debug)]
enum Inner {
    /// A model of ours with its encoder.
    Own { encoder: FittedEncoder, model: TrainedModel },
    /// A file from elsewhere, which takes the columns as they are. It runs on the CPU, whatever the device.
    Onnx(OnnxModel),
}

impl Predictor {
    /// Loads a package's model onto a device (`cpu`, `vulkan:0`, …; never `auto`).
    ///
    /// Whether the package is signed by somebody who is trusted is not asked here: call [`Package::verify`] first.
    ///
    /// # Errors
    /// If the encoder, the model or the weights are not what they should be, newer than this program, or do not fit
    /// each other or the manifest's signature; if the device is not there.
    pub fn from_package(package: &Package, device: &str) -> Result<Self, LearnError> {
        if let Some(bytes) = package.part(PartName::Onnx) {
            crate::device::resolve(device)?;
            return Self::from_onnx(package, bytes);
        }
        let encoder = FittedEncoder::from_json(package.needed(PartName::Encoder)?)?;
        let model =
            TrainedModel::from_parts(package.needed(PartName::Model)?, package.part(PartName::Weights), device)?;
        Self::new(package.manifest().signature.clone(), package.recipe()?, encoder, model)
    }

    fn from_onnx(package: &Package, bytes: &[u8]) -> Result<Self, LearnError> {
        let (signature, recipe) = (package.manifest().signature.clone(), package.recipe()?);
        let model = OnnxModel::open(bytes)?;
        let is_as_it_is = recipe.steps.is_empty() && recipe.input == recipe.output;
        let has_columns = recipe.input.columns.iter().map(|column| (&column.name, column.dtype));
        let is_whole = has_columns.eq(signature.inputs.iter().map(|input| (&input.name, input.dtype)));
        if *model.signature() != signature || !is_as_it_is || !is_whole {
            let message = "what it takes and gives is not what the manifest's signature or the recipe says".to_owned();
            return Err(LearnError::Corrupt { part: "onnx".to_owned(), message });
        }
        let classes = signature.classes.iter().map(|class| Arc::from(class.as_str())).collect();
        Ok(Self { signature, recipe, inner: Inner::Onnx(model), classes })
    }

    /// Puts a model together with what was fitted with it.
    ///
    /// # Errors
    /// [`LearnError::Corrupt`] if they do not fit each other: the encoder gives another number of features than the model
    /// takes, needs a column that the recipe does not give, or has other classes or another task than the signature.
    pub fn new(
        signature: ModelSignature,
        recipe: FittedRecipe,
        encoder: FittedEncoder,
        model: TrainedModel,
    ) -> Result<Self, LearnError> {
        let refuse = |part: &str, message: String| Err(LearnError::Corrupt { part: part.to_owned(), message });
        let has_classes = signature.classes.iter().map(String::as_str).eq(class_names(&encoder));
        if signature.task != task_of(&encoder) || !has_classes {
            return refuse("encoder", "its task or classes are not those of the manifest's signature".to_owned());
        }
        if model.n_features() != encoder.n_features() {
            let message =
                format!("it takes {} features, the encoder gives {}", model.n_features(), encoder.n_features());
            return refuse("model", message);
        }
        let n_classes = match &model {
            TrainedModel::Constant(constant) => constant.probabilities.len(),
            TrainedModel::Trees(forest) => forest.n_classes(),
            TrainedModel::Network(network) if network.structure().head == Head::Classes => {
                network.structure().n_outputs
            }
            TrainedModel::Network(_) => 0,
        };
        if n_classes != signature.classes.len() {
            let message = format!("it tells {n_classes} classes apart, the encoder {}", signature.classes.len());
            return refuse("model", message);
        }
        if let Some(column) = encoder.input_columns().iter().find(|column| recipe.output.column(&column.name).is_none())
        {
            return refuse("recipe", format!("it does not give the column {:?}, which the encoder needs", column.name));
        }
        for column in &recipe.input.columns {
            if !signature.inputs.iter().any(|input| input.name == column.name && input.dtype == column.dtype) {
                return refuse(
                    "recipe",
                    format!("it needs the column {:?}, which the signature does not have", column.name),
                );
            }
        }
        let classes = signature.classes.iter().map(|class| Arc::from(class.as_str())).collect();
        Ok(Self { signature, recipe, inner: Inner::Own { encoder, model }, classes })
    }

    /// What goes in and comes out.
    pub fn signature(&self) -> &ModelSignature {
        &self.signature
    }

    /// The preparation that the caller replays on raw rows before [`Self::predict`].
    pub fn recipe(&self) -> &FittedRecipe {
        &self.recipe
    }

    /// The encoder, and the model behind it; `None` for a file from elsewhere.
    pub(crate) fn parts(&self) -> Option<(&FittedEncoder, &TrainedModel)> {
        match &self.inner {
            Inner::Own { encoder, model } => Some((encoder, model)),
            Inner::Onnx(_) => None,
        }
    }

    /// Predicts rows that the recipe was replayed on. Columns that the encoder does not need are not looked at.
    ///
    /// # Errors
    /// If a column that the encoder needs is missing or of another type (named), the device fails, or the model gives
    /// something that is not a finite number (the row is named, counted from 0).
    pub fn predict(&self, prepared: &Frame) -> Result<Outputs, LearnError> {
        match &self.inner {
            Inner::Own { encoder, model } => {
                let samples = encoder.encode(prepared)?;
                self.outputs(model.predict(&samples)?, None)
            }
            Inner::Onnx(model) => {
                let Outputs { n_rows, label, probabilities, value, .. } = model.predict(prepared)?;
                let probabilities = probabilities.unwrap_or_default();
                self.outputs(Predictions { n_rows, probabilities, values: value.unwrap_or_default() }, label)
            }
        }
    }

    /// `label` where the model chooses the class itself.
    fn outputs(&self, predictions: Predictions, label: Option<Vec<Arc<str>>>) -> Result<Outputs, LearnError> {
        let Predictions { n_rows, probabilities, values } = predictions;
        let classes = Arc::clone(&self.classes);
        let not_finite = |row: usize| LearnError::BadData {
            message: format!("row {row}: the model's answer is not a finite number"),
            hint: Some("a value of this row may be far outside of what the model was trained on".to_owned()),
        };
        if classes.is_empty() {
            if values.len() != n_rows {
                return Err(LearnError::Internal(format!("{} values for {n_rows} rows", values.len())));
            }
            return match values.iter().position(|value| !value.is_finite()) {
                Some(row) => Err(not_finite(row)),
                None => Ok(Outputs { n_rows, classes, label: None, probabilities: None, value: Some(values) }),
            };
        }
        if probabilities.len() != n_rows * classes.len() {
            return Err(LearnError::Internal(format!("{} probabilities for {n_rows} rows", probabilities.len())));
        }
        if let Some(at) = probabilities.iter().position(|probability| !probability.is_finite()) {
            return Err(not_finite(at / classes.len()));
        }
        let label = label.unwrap_or_else(|| {
            probabilities.chunks_exact(classes.len()).map(|row| Arc::clone(&classes[greatest(row)])).collect()
        });
        Ok(Outputs { n_rows, classes, label: Some(label), probabilities: Some(probabilities), value: None })
    }
}

/// The encoder's class names in the order of the probabilities; none for a number.
pub(crate) fn class_names(encoder: &FittedEncoder) -> impl Iterator<Item = &str> {
    encoder.classes().unwrap_or_default().iter().map(AsRef::as_ref)
}

/// What the encoder's target asks for, in the words of a signature.
pub(crate) fn task_of(encoder: &FittedEncoder) -> Task {
    match encoder.classes().map(<[_]>::len) {
        None => Task::Regression,
        Some(0..=2) => Task::Binary,
        Some(_) => Task::Multiclass,
    }
}

/// The index of the greatest value, the first of equals.
fn greatest(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_classes_wins() {
        for (row, expect) in [(&[0.5, 0.5][..], 0), (&[0.2, 0.4, 0.4], 1), (&[1.0], 0), (&[0.1, 0.2, 0.7], 2)] {
            assert_eq!(greatest(row), expect, "of {row:?}");
        }
    }
}
