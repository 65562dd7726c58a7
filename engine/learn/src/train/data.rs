//! Batches: rows in a random order that is a pure function of the seed and the epoch.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{
    rng::Rng,
    samples::{Samples, Targets},
};

/// Tables up to this size are kept on a graphics card whole; batches are picked there.
const MAX_RESIDENT_BYTES: usize = 100 << 20;
/// Keeps the draws for the order apart from those for weights and dropout.
const ORDER_STREAM: u64 = 2;

/// Targets as the loss takes them.
#[derive(Clone)]
pub(super) enum BatchTargets {
    /// `[batch, 1]`
    Class(Tensor<2, Int>),
    /// `[batch, 1]`, standardised.
    Number(Tensor<2>),
}

enum HostTargets {
    Class(Vec<i32>),
    Number(Vec<f32>),
}

#[expect(clippy::large_enum_variant, reason = "one value for each run")]
enum Rows<'a> {
    Host { samples: &'a Samples, targets: HostTargets },
    Resident { features: Tensor<2>, targets: BatchTargets },
}

/// The training rows and their order.
pub(super) struct Batches<'a> {
    rows: Rows<'a>,
    n_rows: usize,
    batch_size: usize,
    seed: u64,
    /// The epoch that `order` belongs to.
    epoch: Option<u64>,
    order: Vec<u32>,
    device: Device,
}

impl<'a> Batches<'a> {
    /// `device` has its tape. Numbers become `(y - mean) / std`.
    pub(super) fn new(
        samples: &'a Samples,
        targets: &Targets,
        (mean, std): (f64, f64),
        batch_size: usize,
        seed: u64,
        (device, is_cpu): (&Device, bool),
    ) -> Self {
        let host = match targets {
            Targets::Class { labels, .. } => HostTargets::Class(labels.iter().map(|&label| label as i32).collect()),
            Targets::Number(values) => {
                HostTargets::Number(values.iter().map(|value| ((value - mean) / std) as f32).collect())
            }
        };
        let n_rows = samples.n_rows;
        let rows = if is_cpu || samples.features.len() * 4 > MAX_RESIDENT_BYTES {
            Rows::Host { samples, targets: host }
        } else {
            let shape = [n_rows, samples.n_features];
            let features = Tensor::from_data(TensorData::new(samples.features.clone(), shape), device);
            Rows::Resident { features, targets: upload(host, device) }
        };
        let batch_size = batch_size.min(n_rows).max(1);
        Self { rows, n_rows, batch_size, seed, epoch: None, order: Vec::new(), device: device.clone() }
    }

    /// Steps in an epoch. A last batch of one row joins the one before it: one row has no variance to normalise by.
    pub(super) fn per_epoch(&self) -> u64 {
        per_epoch(self.n_rows, self.batch_size)
    }

    /// Rows in the batch at this position of an epoch.
    pub(super) fn n_rows(&self, position: u64) -> usize {
        let (start, end) = self.range(position);
        end - start
    }

    fn range(&self, position: u64) -> (usize, usize) {
        let start = position as usize * self.batch_size;
        let end = if position + 1 == self.per_epoch() { self.n_rows } else { start + self.batch_size };
        (start, end)
    }

    /// The batch at a position of an epoch.
    pub(super) fn batch(&mut self, epoch: u64, position: u64) -> (Tensor<2>, BatchTargets) {
        if self.epoch != Some(epoch) {
            self.order.clear();
            self.order.extend(0..self.n_rows as u32);
            Rng::new(&[self.seed, ORDER_STREAM, epoch]).shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        let (start, end) = self.range(position);
        let order = &self.order[start..end];
        match &self.rows {
            Rows::Host { samples, targets } => {
                let n_features = samples.n_features;
                let mut features = Vec::with_capacity(order.len() * n_features);
                for &row in order {
                    features.extend_from_slice(samples.row(row as usize));
                }
                let features = Tensor::from_data(TensorData::new(features, [order.len(), n_features]), &self.device);
                let targets = match targets {
                    HostTargets::Class(labels) => {
                        HostTargets::Class(order.iter().map(|&row| labels[row as usize]).collect())
                    }
                    HostTargets::Number(values) => {
                        HostTargets::Number(order.iter().map(|&row| values[row as usize]).collect())
                    }
                };
                (features, upload(targets, &self.device))
            }
            Rows::Resident { features, targets } => {
                let indices: Vec<i32> = order.iter().map(|&row| row as i32).collect();
                let indices: Tensor<1, Int> = Tensor::from_data(TensorData::new(indices, [order.len()]), &self.device);
                let targets = match targets {
                    BatchTargets::Class(labels) => BatchTargets::Class(labels.clone().select(0, indices.clone())),
                    BatchTargets::Number(values) => BatchTargets::Number(values.clone().select(0, indices.clone())),
                };
                (features.clone().select(0, indices), targets)
            }
        }
    }
}

fn upload(targets: HostTargets, device: &Device) -> BatchTargets {
    match targets {
        HostTargets::Class(labels) => {
            let shape = [labels.len(), 1];
            BatchTargets::Class(Tensor::from_data(TensorData::new(labels, shape), device))
        }
        HostTargets::Number(values) => {
            let shape = [values.len(), 1];
            BatchTargets::Number(Tensor::from_data(TensorData::new(values, shape), device))
        }
    }
}

fn per_epoch(n_rows: usize, batch_size: usize) -> u64 {
    let whole = n_rows / batch_size;
    let rest = n_rows % batch_size;
    let joins = rest == 0 || (rest == 1 && whole > 0);
    (whole + usize::from(!joins)).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_batch_of_one_row_joins_the_one_before() {
        let check =
            |n_rows, batch_size, expect| assert_eq!(per_epoch(n_rows, batch_size), expect, "{n_rows} {batch_size}");
        check(1, 1, 1);
        check(10, 5, 2);
        check(11, 5, 2);
        check(12, 5, 3);
        check(5, 5, 1);
        check(3, 1, 3);
    }

    #[test]
    fn an_epoch_has_every_row_once_and_another_order_than_the_next() {
        let samples = Samples::new(11, 1, (0..11u8).map(f32::from).collect()).unwrap();
        let targets = Targets::Class { labels: (0..11).collect(), n_classes: 11 };
        let device = Device::flex();
        let mut epochs = Vec::new();
        for is_cpu in [true, false] {
            let mut batches = Batches::new(&samples, &targets, (0.0, 1.0), 4, 9, (&device, is_cpu));
            for epoch in 0..2 {
                let mut rows = Vec::new();
                for position in 0..batches.per_epoch() {
                    let (features, targets) = batches.batch(epoch, position);
                    let features = features.try_into_data().unwrap().as_slice::<f32>().unwrap().to_vec();
                    assert_eq!(features.len(), batches.n_rows(position));
                    let BatchTargets::Class(labels) = targets else { panic!("classes") };
                    let labels: Vec<i64> = labels.try_into_data().unwrap().iter::<i64>().collect();
                    assert!(features.iter().zip(&labels).all(|(&x, &y)| f64::from(x) == y as f64));
                    rows.extend(labels);
                }
                epochs.push(rows);
            }
        }
        assert_eq!(epochs[0], epochs[2], "both ways to pick rows give the same batches");
        assert_ne!(epochs[0], epochs[1]);
        epochs[0].sort_unstable();
        assert_eq!(epochs[0], (0..11).collect::<Vec<i64>>());
    }
}
