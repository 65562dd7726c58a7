//! Devices: a GPU in software trains to the processor's result, and a package predicts the same on both.

use std::fs;

use crate::sandbox::{Sandbox, sample, samples};

const GPU: &str = "webgpu:0";

/// Whether there is a GPU of any kind. Where one is promised, its absence is a failure and not a reason to skip.
fn has_gpu(sandbox: &Sandbox) -> bool {
    let devices = sandbox.ok(&["doctor"])["devices"].clone();
    let there = devices.as_array().unwrap().iter().any(|device| device["name"] == GPU);
    assert!(there || std::env::var_os("ATHANOR_REQUIRE_WEBGPU").is_none(), "{GPU} is not there: {devices}");
    there
}

fn numbers(sandbox: &Sandbox, model: &str, device: &str) -> Vec<f64> {
    let to = sandbox.path(&format!("{}.csv", device.replace(':', "_")));
    let table = samples().join("breast_cancer.csv");
    sandbox.ok(&["predict", model, table.to_str().unwrap(), "-o", to.to_str().unwrap(), "--only", "--device", device]);
    let text = fs::read_to_string(to).unwrap();
    text.lines()
        .skip(1)
        .flat_map(|line| line.split(',').skip(1).map(|cell| cell.parse::<f64>().unwrap()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_software_gpu_trains_to_the_processors_result_and_packages_predict_the_same_on_both() {
    let sandbox = Sandbox::new();
    if !has_gpu(&sandbox) {
        return;
    }
    let flow = sample("breast_cancer");
    let train = |device: &str| {
        sandbox.ok(&[
            "run",
            flow.to_str().unwrap(),
            "--device",
            device,
            "--set",
            "train.epochs=6",
            "--set",
            "train.hidden=16",
            "--set",
            "train.patience=0",
            "--set",
            "train.batch_size=64",
        ])
    };
    let cpu = train("cpu");
    let gpu = train(GPU);
    assert_eq!((cpu["device"].as_str(), gpu["device"].as_str()), (Some("cpu"), Some(GPU)));
    assert_eq!(cpu["reproducibility"], "bitwise");
    assert_eq!(gpu["reproducibility"], "within_tolerance");
    for metric in ["train/loss", "valid/loss", "test/log_loss"] {
        let (cpu, gpu) = (cpu["metrics"][metric].as_f64().unwrap(), gpu["metrics"][metric].as_f64().unwrap());
        assert!((cpu - gpu).abs() < 1e-3, "{metric}: {cpu} on the processor, {gpu} on the GPU");
    }
    // Two models of two devices agree within what training adds up to; one package agrees much closer.
    let (first, second) = (numbers(&sandbox, "breast_cancer:1", "cpu"), numbers(&sandbox, "breast_cancer:2", "cpu"));
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart(&first, &second) < 1e-2, "{}", apart(&first, &second));
    let elsewhere = numbers(&sandbox, "breast_cancer:1", GPU);
    assert_eq!(first.len(), 569 * 2);
    assert!(apart(&first, &elsewhere) < 1e-5, "{}", apart(&first, &elsewhere));
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let sandbox = Sandbox::new();
    let done = sandbox.run(&["run", sample("wine").to_str().unwrap(), "--device", "cuda:7"]);
    assert_eq!(done.status, 1);
    let message = done.json["error"]["message"].as_str().unwrap();
    assert!(message.contains("cuda:7") && message.contains("cpu"), "{message}");
}
