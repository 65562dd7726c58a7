//! A model from a package: replay the fitted recipe, encode, predict. The same code that prepared and trained.

use athanor_datasets::Replay;
use athanor_learn::{package::Package, predictor::Predictor};
use athanor_protocol::{Failure, columns::Frame, package::Statistics, recipe::FittedStep, signature::ModelSignature};

use crate::{
    error::ServeError,
    table::{Model, Outputs},
};

/// A package's model, loaded.
pub struct PackagedModel {
    replay: Replay,
    predictor: Predictor,
    statistics: Option<Statistics>,
}

impl PackagedModel {
    /// Loads a package that was read and verified already, onto a device (`cpu`, `vulkan:0`, …).
    ///
    /// # Errors
    /// If its parts do not fit each other, or the device is not there.
    pub fn new(package: &Package, device: &str) -> Result<Self, ServeError> {
        let predictor = Predictor::from_package(package, device).map_err(|err| ServeError::Package(err.into()))?;
        let replay = Replay::new(predictor.recipe()).map_err(|err| ServeError::Package(err.into()))?;
        // A model answers without them as well: only new values are not told then.
        let statistics = package.statistics().ok();
        Ok(Self { replay, predictor, statistics })
    }

    /// Reads a package file's bytes, checks that one of the `trusted` public keys (lower-case hex) signed it, and loads
    /// it onto a device.
    ///
    /// # Errors
    /// If a byte was changed, the signature is missing or by another key, or [`Self::new`] fails.
    pub fn open(bytes: Vec<u8>, trusted: &[String], device: &str) -> Result<Self, ServeError> {
        let package = Package::read(bytes).map_err(|err| ServeError::Package(err.into()))?;
        package.verify(trusted).map_err(|err| ServeError::Package(err.into()))?;
        Self::new(&package, device)
    }
}

impl Model for PackagedModel {
    fn signature(&self) -> &ModelSignature {
        self.predictor.signature()
    }

    /// Derived columns are computed by a query engine that asks its thread's runtime to let it block.
    fn may_block(&self) -> bool {
        self.predictor.recipe().steps.iter().any(|step| matches!(step, FittedStep::Derive { .. }))
    }

    fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    fn predict(&self, frame: &Frame) -> Result<Outputs, Failure> {
        let prepared = self.replay.apply(frame)?;
        let outputs = self.predictor.predict(&prepared)?;
        match (outputs.label, outputs.probabilities, outputs.value) {
            (Some(labels), Some(probabilities), None) => {
                let probabilities = probabilities.into_iter().map(f64::from).collect();
                Ok(Outputs::Classes { labels, probabilities })
            }
            (None, None, Some(values)) => Ok(Outputs::Numbers(values)),
            _ => {
                Err(Failure::new(athanor_protocol::Code::Internal, "the predictor's outputs are not those of its task"))
            }
        }
    }
}

impl std::fmt::Debug for PackagedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackagedModel").field("signature", self.signature()).finish_non_exhaustive()
    }
}
