//! Measures what recording costs a training step: the same training without a listener and with everything recorded,
//! through the worker's reporter, a pipe, the supervisor's recorder and the database, in turns. Ends with one JSON object.

use std::{
    io::{BufRead, BufReader},
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, ensure};
use athanor_engine::{runs::recorder::Recorder, worker::events::Reporter};
use athanor_learn::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink, train},
};
use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    job::WorkerEvent,
    learner::{FloatType, LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
    metric::{MetricPoint, Split},
    names::RunId,
    network::ModelSpec,
    run::{NewRun, Owner},
};
use athanor_store::{PageRequest, SqliteStore, Store};

const N_ROWS: usize = 8_192;
const N_FEATURES: usize = 784;
const ROUNDS: usize = 5;

struct Silent;

impl TrainSink for Silent {
    fn event(&mut self, _: TrainEvent) -> Result<(), LearnError> {
        Ok(())
    }
}

struct Recorded(Arc<Reporter>);

impl TrainSink for Recorded {
    fn event(&mut self, event: TrainEvent) -> Result<(), LearnError> {
        if let TrainEvent::Metrics(values) = event {
            self.0.metrics(values.into_iter().map(|(key, split, step, value)| MetricPoint {
                key: key.to_owned(),
                split,
                step,
                at_millis: 0,
                value: value.into(),
            }));
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    // Made numbers: the cost does not depend on what is learned.
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1u32 << 24)
    };
    let mut columns: Vec<Column> = (0..N_FEATURES)
        .map(|at| Column {
            name: format!("x{at}").into(),
            data: ColumnData::Float((0..N_ROWS).map(|_| next()).collect()),
        })
        .collect();
    let labels = (0..N_ROWS).map(|_| Some(format!("class {}", (next() * 10.0) as u32).into())).collect();
    columns.push(Column { name: "y".into(), data: ColumnData::Text(labels) });
    let frame = Frame::new(columns)?;
    let optim = OptimConfig {
        epochs: 2,
        batch_size: 128,
        learning_rate: 1e-3,
        weight_decay: 0.0,
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
        device: "cpu".to_owned(),
        dtype: FloatType::F32,
        threads: 2,
    };
    let options = EncodeOptions::for_learner(&spec.learner);
    let (encoder, _) = FittedEncoder::fit(&frame, "y", &[], TaskChoice::Classification, options)?;
    let rows = encoder.encode_labelled(&frame)?;
    let once = |sink: &mut dyn TrainSink| -> Result<f64> {
        let stop = StopFlag::new();
        let began = Instant::now();
        let job = TrainJob {
            spec: &spec,
            encoder: &encoder,
            train: (&rows.samples, &rows.targets),
            valid: None,
            checkpoint_dir: None,
            stop: &stop,
            sink,
        };
        ensure!(matches!(train(job)?, TrainOutcome::Done(_)), "the training stopped");
        Ok(began.elapsed().as_secs_f64())
    };

    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("athanor.db"))?);
    let mut recorded_points = 0;
    let mut with_recording = |round: usize| -> Result<f64> {
        let run = RunId::new(format!("{round:026}"))?;
        store.create_run(&NewRun {
            id: run.clone(),
            workflow: "bench".to_owned(),
            workflow_json: "{}".to_owned(),
            seed: 1,
            device: "cpu".to_owned(),
            created_at_millis: 0,
            steps: vec![],
            params: vec![],
            environment: vec![],
        })?;
        store.start_attempt(&run, 1, &Owner { host: "bench".to_owned(), pid: 1, started: 1 }, 0)?;
        let (read, write) = std::io::pipe()?;
        let reporter = Arc::new(Reporter::new(run.clone(), 1, Box::new(write)));
        let mut recorder = Recorder::new(Arc::clone(&store), run.clone(), 1);
        let listener = std::thread::spawn(move || -> Result<()> {
            let began = Instant::now();
            let now = || i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
            for line in BufReader::new(read).lines() {
                let event: WorkerEvent = serde_json::from_str(&line?)?;
                recorder.event(&event, now())?;
                recorder.tick(now())?;
            }
            Ok(recorder.flush(now())?)
        });
        let seconds = once(&mut Recorded(Arc::clone(&reporter)))?;
        reporter.close();
        drop(reporter);
        listener.join().map_err(|_| anyhow::anyhow!("the listener broke down"))??;
        recorded_points = store.points(&run, "loss", Split::Train, &PageRequest::first(1000))?.items.len();
        Ok(seconds)
    };

    let (mut silent, mut recorded) = (vec![], vec![]);
    once(&mut Silent)?;
    for round in 0..ROUNDS {
        // In turns, and each one first every other time, so that a warming or throttling machine favours neither.
        if round % 2 == 0 {
            silent.push(once(&mut Silent)?);
            recorded.push(with_recording(round)?);
        } else {
            recorded.push(with_recording(round)?);
            silent.push(once(&mut Silent)?);
        }
    }
    ensure!(recorded_points > 0, "nothing was recorded");
    silent.sort_by(f64::total_cmp);
    recorded.sort_by(f64::total_cmp);
    let steps = (N_ROWS.div_ceil(128) * 2) as f64;
    let (silent, recorded) = (silent[ROUNDS / 2], recorded[ROUNDS / 2]);
    let result = serde_json::json!({
        "silent_steps_per_sec": steps / silent, "recorded_steps_per_sec": steps / recorded,
        "ratio": silent / recorded, "points_recorded": recorded_points,
    });
    println!("{result}");
    Ok(())
}
