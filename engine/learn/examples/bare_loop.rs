//! Times our training loop against a bare Burn loop: same network, data, batch size, device and optimiser, in turns; and
//! the prediction of one row.
//!
//! `cargo run --release -p athanor-learn --example bare_loop [device] [seconds per turn]`, prints one JSON object.
//!
//! The bare loop is what Burn's book shows: modules of `burn-nn`, `CrossEntropyLoss`, AdamW, batches cut from memory in
//! order, nothing measured, nothing recorded. Ours shuffles, gathers, reports each step's loss and looks at the stop flag.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use athanor_learn::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    samples::{Samples, Targets},
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink, train},
};
use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
    network::ModelSpec,
};
use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, DeviceKind, Int, Tensor, TensorData, activation::relu},
};

const N_FEATURES: usize = 784;
const N_CLASSES: usize = 10;
const N_ROWS: usize = 128 * 40;
const BATCH_SIZE: usize = 128;
const N_ROUNDS: usize = 5;

#[derive(Module, Debug)]
struct Mlp {
    first: Linear,
    second: Linear,
    third: Linear,
}

impl Mlp {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(N_FEATURES, 512).init(device),
            second: LinearConfig::new(512, 256).init(device),
            third: LinearConfig::new(256, N_CLASSES).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.third.forward(relu(self.second.forward(relu(self.first.forward(x)))))
    }
}

fn synthetic() -> (Samples, Vec<u32>) {
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let features: Vec<f32> = (0..N_ROWS * N_FEATURES).map(|_| draw() * 2.0 - 1.0).collect();
    let labels = (0..N_ROWS).map(|_| (draw() * N_CLASSES as f32) as u32).collect();
    (Samples::new(N_ROWS, N_FEATURES, features).unwrap(), labels)
}

/// Samples per second of a bare loop over whole epochs.
fn bare(device: &Device, samples: &Samples, labels: &[u32], epochs: usize) -> f64 {
    let device = device.clone().autodiff();
    let mut model = Mlp::new(&device);
    let mut optim = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(1e-4).init();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let start = Instant::now();
    for _ in 0..epochs {
        for (features, labels) in samples.features.chunks(BATCH_SIZE * N_FEATURES).zip(labels.chunks(BATCH_SIZE)) {
            let x = Tensor::<2>::from_data(TensorData::new(features.to_vec(), [labels.len(), N_FEATURES]), &device);
            let labels: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
            let y = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [labels.len()]), &device);
            let value = loss.forward(model.forward(x), y);
            let gradients = GradientsParams::from_grads(value.backward(), &model);
            model = optim.step(1e-3, model, gradients);
        }
    }
    device.sync().unwrap();
    (epochs * N_ROWS) as f64 / start.elapsed().as_secs_f64()
}

struct Count(u64);

impl TrainSink for Count {
    fn event(&mut self, event: TrainEvent) -> Result<(), LearnError> {
        if let TrainEvent::Metrics(points) = event {
            self.0 += points.len() as u64;
        }
        Ok(())
    }
}

fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "cpu".to_owned());
    let secs: f64 = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(4.0);
    let name = athanor_learn::device::resolve(&name).unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    // Without an index to choose by, the bare loop takes the first card, so ours should be told to take it too.
    let device = if name == "cpu" { Device::flex() } else { Device::wgpu(DeviceKind::DefaultDevice) };
    let (samples, labels) = synthetic();
    let targets = Targets::Class { labels: labels.clone(), n_classes: N_CLASSES };
    let column = |name: &str, data| Column { name: name.into(), data };
    let numbers: Vec<Option<i64>> = (0..100).map(Some).collect();
    let classes: Vec<Option<i64>> = (0..100).map(|row| Some(row % N_CLASSES as i64)).collect();
    let frame = Frame::new(vec![column("x", ColumnData::Int(numbers)), column("y", ColumnData::Int(classes))]).unwrap();
    let (encoder, _) = FittedEncoder::fit(&frame, "y", &[], TaskChoice::Auto, EncodeOptions::default()).unwrap();
    let ours = |epochs: usize| {
        let optim = OptimConfig {
            epochs: epochs as u32,
            batch_size: BATCH_SIZE,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            optimizer: Optimizer::Adam,
            schedule: Schedule::Constant,
            patience: None,
            checkpoint_every_steps: 0,
        };
        let spec = TrainSpec {
            learner: LearnerSpec::Network { model: ModelSpec::mlp(&[512, 256], 0.0), optim },
            target: "y".to_owned(),
            features: vec![],
            seed: 1,
            device: name.clone(),
            dtype: FloatType::F32,
            threads,
        };
        let mut sink = Count(0);
        let start = Instant::now();
        let outcome = train(TrainJob {
            spec: &spec,
            encoder: &encoder,
            train: (&samples, &targets),
            valid: None,
            checkpoint_dir: None,
            stop: &StopFlag::new(),
            sink: &mut sink,
        })
        .unwrap();
        let rate = (epochs * N_ROWS) as f64 / start.elapsed().as_secs_f64();
        assert!(sink.0 >= (epochs * N_ROWS / BATCH_SIZE) as u64, "every step's loss is recorded");
        let TrainOutcome::Done(model) = outcome else { panic!("nobody stopped it") };
        (rate, model)
    };
    // Warm up, and find out how many epochs a turn takes.
    let (our_rate, model) = ours(1);
    let rate = bare(&device, &samples, &labels, 1).min(our_rate);
    let epochs = ((rate * secs / N_ROWS as f64).round() as usize).max(1);
    let (mut bare_rates, mut our_rates) = (vec![], vec![]);
    for _ in 0..N_ROUNDS {
        bare_rates.push(bare(&device, &samples, &labels, epochs));
        our_rates.push(ours(epochs).0);
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (bare, ours) = (median(&mut bare_rates), median(&mut our_rates));
    // One row, as serving predicts it, reading the result included.
    let one = Samples::new(1, N_FEATURES, samples.row(0).to_vec()).unwrap();
    let time = |work: &mut dyn FnMut()| {
        let mut micros: Vec<f64> = (0..2000)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        median(&mut micros)
    };
    let one_row = time(&mut || {
        std::hint::black_box(model.predict(&one).unwrap());
    });
    let bare_model = Mlp::new(&device);
    let bare_one_row = time(&mut || {
        let x = Tensor::<2>::from_data(TensorData::new(one.features.clone(), [1, N_FEATURES]), &device);
        std::hint::black_box(bare_model.forward(x).into_data());
    });
    println!(
        "{{\"device\":\"{name}\",\"threads\":{threads},\"bare_samples_per_sec\":{bare:.1},\"ours_samples_per_sec\":{ours:.1},\"ratio\":{:.4},\"bare_one_row_micros\":{bare_one_row:.1},\"one_row_micros\":{one_row:.1}}}",
        ours / bare
    );
}
