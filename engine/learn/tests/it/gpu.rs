//! Graphics cards, in a child process: a broken driver may take its process down.

use std::process::Command;

use athanor_learn::{
    device::{DeviceKind, devices, resolve},
    train::TrainOutcome,
};
use athanor_protocol::{
    learner::{LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
    network::ModelSpec,
};

use crate::common::{folds, judge, prepare, run, spec, table};

#[test]
fn the_cpu_is_always_there() {
    assert_eq!(resolve("cpu").unwrap(), "cpu");
}

/// Lists the devices and trains on `webgpu:0`. Run by the test below, in a process of its own.
#[test]
#[ignore = "run by a_graphics_card_trains_like_the_processor in a process of its own"]
fn child() {
    let all = devices();
    println!("{all:?}");
    assert_eq!(all[0].kind, DeviceKind::Cpu);
    let Some(found) = all.iter().find(|device| device.name == "webgpu:0") else {
        println!("no adapter");
        return;
    };
    let auto = resolve("auto").unwrap();
    assert!(found.kind != DeviceKind::Software || auto == "cpu", "auto never takes a software adapter: {auto}");
    let unknown = resolve("webgpu:9").unwrap_err().to_string();
    assert!(unknown.contains("cpu, ") && unknown.contains("webgpu:0"), "{unknown}");

    let optim = OptimConfig {
        epochs: 3,
        batch_size: 32,
        learning_rate: 0.01,
        weight_decay: 0.001,
        optimizer: Optimizer::Adam,
        schedule: Schedule::Cosine,
        patience: None,
        checkpoint_every_steps: 0,
    };
    let learner = LearnerSpec::Network { model: ModelSpec::mlp(&[16, 8], 0.1), optim };
    let frame = table("wine.csv");
    let folds = folds(&frame, "cultivar", 5);
    let data = prepare(&frame, "cultivar", &folds, 0, &learner);
    let on = |device: &str| {
        let spec = TrainSpec { device: device.to_owned(), ..spec(learner.clone(), "cultivar", 5) };
        let (outcome, _) = run(&spec, &data).unwrap();
        let accuracy = judge(&outcome, &data).metric("accuracy").unwrap();
        let TrainOutcome::Done(model) = outcome else { panic!("stopped") };
        (model.predict(&data.test.samples).unwrap().probabilities, accuracy)
    };
    let (on_cpu, accuracy) = on("cpu");
    let (on_card, accuracy_on_card) = on("webgpu:0");
    let furthest = on_cpu.iter().zip(&on_card).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    println!("furthest probability: {furthest}, accuracy {accuracy} and {accuracy_on_card}");
    assert_eq!(on_cpu.len(), on_card.len());
    assert!(furthest < 2e-3, "{furthest}");
    println!("trained alike");
}

#[test]
fn a_graphics_card_trains_like_the_processor() {
    let runtime = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gpu::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("XDG_RUNTIME_DIR", runtime.path())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    if text.contains("no adapter") && std::env::var_os("ATHANOR_REQUIRE_WEBGPU").is_none() {
        println!("skipped: this machine has no adapter, not even a software one");
        return;
    }
    assert!(output.status.success() && text.contains("trained alike"), "{text}");
}
