//! Training: one loop for linear models and networks, and the way to trees and the constant.

mod job;

pub use job::{Point, StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink};
