#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    Failure,
    signature::{InputColumn, ModelSignature, Task},
};

use super::*;
use crate::table::Model;

struct Fixed(ModelSignature);

impl Model for Fixed {
    fn signature(&self) -> &ModelSignature {
        &self.0
    }

    fn predict(&self, _: &Frame) -> Result<Outputs, Failure> {
        Ok(Outputs::Numbers(vec![]))
    }
}

fn served() -> Served {
    let input = |name: &str, dtype| InputColumn { name: name.to_owned(), dtype, nullable: true };
    let signature = ModelSignature {
        task: Task::Binary,
        target: "y".to_owned(),
        inputs: vec![input("x", DataType::Float), input("c", DataType::Text)],
        classes: vec!["no".to_owned(), "yes".to_owned()],
    };
    Served::new("m", 1, Arc::new(Fixed(signature))).unwrap()
}

fn statistics() -> Statistics {
    let column = |name: &str, dtype, numbers, categories: Vec<(String, u64)>| ColumnStatistics {
        name: name.to_owned(),
        dtype,
        n_rows: 10,
        n_missing: 0,
        numbers,
        edges: vec![],
        counts: vec![],
        categories,
        sample: vec![],
        n_different: None,
    };
    Statistics {
        version: 1,
        inputs: vec![
            column("x", DataType::Float, Some([0.5, 0.1, 0.0, 1.0]), vec![]),
            column("c", DataType::Text, None, vec![("red".to_owned(), 7), ("blue".to_owned(), 3)]),
        ],
        predictions: vec![],
    }
}

fn answered(x: Vec<f64>, c: Vec<Option<&str>>) -> Answered {
    let n = x.len();
    let text = c.into_iter().map(|text| text.map(Arc::from)).collect();
    let frame = Frame::new(vec![
        Column { name: "x".into(), data: ColumnData::Float(x) },
        Column { name: "c".into(), data: ColumnData::Text(text) },
    ]);
    let outputs = Outputs::Classes { labels: vec!["yes".into(); n], probabilities: [0.25, 0.75].repeat(n) };
    Answered { frame: frame.unwrap(), outputs }
}

#[test]
fn violations_are_counted_over_all_rows() {
    let mut window = Window::new(&served(), Some(&statistics()), 1);
    let long = "x".repeat(300);
    window.add(&answered(vec![0.5, -0.1, 1.1, f64::NAN], vec![Some("red"), Some("green"), None, Some(&long)]), 2);
    window.refused("x");
    window.refused("nobody");
    let period = window.take();
    let [x, c] = period.quality.as_slice() else { panic!() };
    assert_eq!((x.n_rows, x.n_missing, x.n_out_of_range, x.n_new_categories, x.n_refused), (4, 1, 2, 0, 1));
    assert_eq!((c.n_rows, c.n_missing, c.n_out_of_range, c.n_new_categories, c.n_refused), (4, 1, 0, 2, 0));
    let ColumnData::Text(kept) = &period.inputs.column("c").unwrap().data else { panic!() };
    assert_eq!(kept[3].as_deref(), Some("…"), "prose is not kept");
    assert_eq!(period.predictions.column("probabilities.yes").unwrap().data, ColumnData::Float(vec![0.75; 4]));
    assert_eq!(period.predictions.column("label").unwrap().data.label(0).as_deref(), Some("yes"));
    let next = window.take();
    assert_eq!((next.n_rows, next.inputs.n_rows(), next.quality[0].n_missing), (0, 0, 0), "a period begins anew");
}

#[test]
fn without_statistics_only_missing_values_are_counted() {
    let mut window = Window::new(&served(), None, 1);
    window.add(&answered(vec![9.0, f64::NAN], vec![Some("new"), Some("new")]), 2);
    let period = window.take();
    assert_eq!((period.quality[0].n_missing, period.quality[0].n_out_of_range), (1, 0));
    assert_eq!(period.quality[1].n_new_categories, 0);
}

#[test]
fn the_sample_is_bounded_uniform_and_the_same_for_the_same_seed() {
    let sample = |seed: u64| {
        let mut window = Window::new(&served(), None, seed);
        for from in 0..100 {
            let x = (0..200).map(|n| f64::from(from * 200 + n)).collect();
            window.add(&answered(x, vec![None; 200]), 2);
        }
        window.take()
    };
    let period = sample(7);
    assert_eq!((period.n_rows, period.inputs.n_rows(), period.predictions.n_rows()), (20_000, MAX_ROWS, MAX_ROWS));
    assert_eq!(period.inputs.column("x"), sample(7).inputs.column("x"));
    assert_ne!(period.inputs.column("x"), sample(8).inputs.column("x"));
    let ColumnData::Float(values) = &period.inputs.column("x").unwrap().data else { panic!() };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    // Five standard errors of the mean of 2,000 of 20,000 rows are about 600.
    assert!((mean - 10_000.0).abs() < 650.0, "{mean}");
}

/// Asserts no speed, which depends on the machine, but prints what watching costs a request of one row.
#[test]
fn every_request_counts_whatever_it_costs() {
    let monitor = crate::Monitor::new(7);
    let served = served();
    let n = 20_000;
    let all: Vec<Answered> = (0..n).map(|_| answered(vec![0.5], vec![Some("red")])).collect();
    let began = std::time::Instant::now();
    for Answered { frame, outputs } in all {
        monitor.observe(&served).answered(frame, outputs);
    }
    println!("{} ns for each request", began.elapsed().as_nanos() / n);
    assert_eq!(monitor.waiting(), [("m".to_owned(), 1, 20_000)]);
}
