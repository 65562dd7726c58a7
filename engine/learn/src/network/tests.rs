#![allow(clippy::unwrap_used)]

use athanor_protocol::network::{Activation, Layer, ModelSpec, PoolKind};
use burn::tensor::{Device, Tensor, TensorData};

use super::*;

/// Runs one row through the layers (an output of one value is put behind them) with weights 0.1, 0.2, 0.3, … in each
/// tensor of weights and zeros elsewhere, and gives what goes into the output.
fn check(image: Option<[usize; 3]>, layers: Vec<Layer>, input: &[f32], expect: &[f32]) {
    let spec = ModelSpec { version: 1, image, layers: [layers, vec![Layer::Output]].concat() };
    let plan = Plan::new(&spec, input.len(), expect.len()).unwrap();
    let device = Device::flex();
    let n_slots = plan.slots.len();
    let values: Vec<Value> = plan
        .slots
        .iter()
        .enumerate()
        .map(|(at, slot)| {
            let n = slot.len();
            let values = if at == n_slots - 2 {
                // The output copies its input.
                let side = slot.shape[0];
                (0..n)
                    .map(|i| if i / slot.shape[1] == i % slot.shape[1] && i / side < side { 1.0 } else { 0.0 })
                    .collect()
            } else if slot.decays {
                (1..=n).map(|i| i as f32 / 10.0).collect()
            } else {
                plan.initial(at, 0)
            };
            Value::new(values, &slot.shape, &device)
        })
        .collect();
    let row = Tensor::<2>::from_data(TensorData::new(input.to_vec(), [1, input.len()]), &device);
    let found = plan.forward(&values, row, None).try_into_data().unwrap();
    for (found, expect) in found.as_slice::<f32>().unwrap().iter().zip(expect) {
        assert!((found - expect).abs() < 1e-4, "{found} is not {expect} in {spec:?}");
    }
}

fn activation(function: Activation) -> Vec<Layer> {
    vec![Layer::Activation { function }]
}

#[test]
fn layers_compute_what_the_textbook_says() {
    let x = [-1.0, 2.0];
    check(None, vec![Layer::Linear { n_out: 2 }], &x, &[-0.1 + 0.6, -0.2 + 0.8]);
    check(None, activation(Activation::Relu), &x, &[0.0, 2.0]);
    check(None, activation(Activation::LeakyRelu), &x, &[-0.01, 2.0]);
    check(None, activation(Activation::Gelu), &x, &[-0.158_655, 1.954_5]);
    check(None, activation(Activation::Silu), &x, &[-0.268_941, 1.761_594]);
    check(None, activation(Activation::Tanh), &x, &[-0.761_594, 0.964_027]);
    check(None, activation(Activation::Sigmoid), &x, &[0.268_941, 0.880_797]);
    check(None, vec![Layer::Dropout { probability: 0.5 }], &x, &x);
    // Fresh running statistics are mean 0 and variance 1.
    check(None, vec![Layer::BatchNorm], &x, &x);
    check(None, vec![Layer::LayerNorm], &[1.0, 3.0], &[-1.0, 1.0]);
}

#[test]
fn image_layers_compute_what_the_textbook_says() {
    let image = Some([1, 3, 3]);
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    // Kernel 0.1 0.2 / 0.3 0.4 over the four windows: cross-correlation, as everywhere in this field.
    let conv = Layer::Conv2d { n_out: 1, kernel: 2, stride: 1, padding: 0 };
    check(image, vec![conv, Layer::Flatten], &x, &[3.7, 4.7, 6.7, 7.7]);
    let pool = |kind| vec![Layer::Pool2d { kind, kernel: 2, stride: 1 }, Layer::Flatten];
    check(image, pool(PoolKind::Max), &x, &[5.0, 6.0, 8.0, 9.0]);
    check(image, pool(PoolKind::Mean), &x, &[3.0, 4.0, 6.0, 7.0]);
    check(image, vec![Layer::GlobalMeanPool], &x, &[5.0]);
    let padded = Layer::Conv2d { n_out: 1, kernel: 3, stride: 3, padding: 1 };
    check(Some([1, 2, 2]), vec![padded, Layer::Flatten], &x[..4], &[0.5 + 1.2 + 2.4 + 3.6]);
    check(Some([2, 1, 1]), vec![Layer::GlobalMeanPool, Layer::Linear { n_out: 1 }], &[1.0, 2.0], &[0.5]);
}

#[test]
fn weights_have_the_names_of_their_layers() {
    let layers = vec![Layer::Linear { n_out: 2 }, Layer::BatchNorm, Layer::Output];
    let plan = Plan::new(&ModelSpec { version: 1, image: None, layers }, 3, 2).unwrap();
    let names: Vec<&str> = plan.slots.iter().map(|slot| slot.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.weight",
            "layers.1.bias",
            "layers.1.running_mean",
            "layers.1.running_var",
            "layers.2.weight",
            "layers.2.bias"
        ]
    );
    assert_eq!(plan.n_parameters, 3 * 2 + 2 + 4 + 2 * 2 + 2);
}
