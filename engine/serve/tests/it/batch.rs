//! Single rows that are predicted together: each has its own answer, its own error, and its own end.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use athanor_protocol::{Code, Failure, columns::Frame, signature::Task, table::DataType};
use athanor_serve::{Model, Outputs, ServeConfig, Served};
use serde_json::json;

use crate::house::{Answer, Door, House, config, post, signature, state, sum};

const PREDICT: &str = "/v1/models/x/predict";

/// A model that is never asked on the thread that answers, and that remembers how many rows each call had. The first
/// calls, one for each processor, wait behind a door.
struct Counting {
    signature: athanor_protocol::signature::ModelSignature,
    door: Arc<Door>,
    is_first: AtomicUsize,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl Model for Counting {
    fn signature(&self) -> &athanor_protocol::signature::ModelSignature {
        &self.signature
    }

    fn may_block(&self) -> bool {
        true
    }

    fn predict(&self, frame: &Frame) -> Result<Outputs, Failure> {
        self.sizes.lock().unwrap().push(frame.n_rows());
        if self.is_first.fetch_add(1, Ordering::SeqCst) < std::thread::available_parallelism().unwrap().get() {
            self.door.pass();
        }
        let data = &frame.columns()[0].data;
        let values: Vec<f64> = (0..frame.n_rows()).map(|row| data.number(row)).collect();
        assert!(!values.contains(&-13.0), "this row panics");
        if values.contains(&-1.0) {
            return Err(Failure::new(Code::BadData, "this row is bad"));
        }
        let Outputs::Numbers(sums) = sum(frame)? else { unreachable!() };
        Ok(Outputs::Numbers(sums.into_iter().map(|sum| if sum == -2.0 { f64::NAN } else { sum }).collect()))
    }
}

struct Test {
    house: Arc<House>,
    door: Arc<Door>,
    sizes: Arc<Mutex<Vec<usize>>>,
    n_calls: usize,
}

fn test(change: impl FnOnce(&mut ServeConfig)) -> Test {
    let (door, sizes) = (Arc::new(Door::default()), Arc::new(Mutex::new(vec![])));
    let model = Counting {
        signature: signature(Task::Regression, &[("x", DataType::Float, false)], &[]),
        door: Arc::clone(&door),
        is_first: AtomicUsize::new(0),
        sizes: Arc::clone(&sizes),
    };
    let mut config = config();
    change(&mut config);
    let house = House { state: state(config, vec![Served::new("x", 1, Arc::new(model)).unwrap()]) };
    let n_calls = std::thread::available_parallelism().unwrap().get();
    Test { house: Arc::new(house), door, sizes, n_calls }
}

type Call = tokio::task::JoinHandle<Answer>;

impl Test {
    fn ask(&self, x: f64) -> Call {
        let house = Arc::clone(&self.house);
        tokio::spawn(async move { house.call_async(post(PREDICT, json!({"row":{"x":x}}).to_string())).await })
    }

    /// Keeps every call busy behind the door.
    async fn busy(&self) -> Vec<Call> {
        let calls: Vec<Call> = (0..self.n_calls).map(|_| self.ask(0.5)).collect();
        let (door, n) = (Arc::clone(&self.door), self.n_calls);
        tokio::task::spawn_blocking(move || door.wait_for(n)).await.unwrap();
        calls
    }

    /// Asks one after the other, so that they wait in this order.
    async fn line_up(&self, values: &[f64]) -> Vec<Call> {
        let mut calls = vec![];
        for (at, &value) in values.iter().enumerate() {
            calls.push(self.ask(value));
            while self.house.state.n_waiting_rows("x") <= at {
                tokio::task::yield_now().await;
            }
        }
        calls
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_wait_are_predicted_together_and_errors_stay_with_their_rows() {
    let test = test(|_| {});
    let busy = test.busy().await;
    let values: Vec<f64> = (1..=9).map(f64::from).collect();
    let waiting = test.line_up(&values).await;
    test.door.open();
    for call in busy {
        assert_eq!(call.await.unwrap().status, 200);
    }
    for (call, value) in waiting.into_iter().zip(&values) {
        let answer = call.await.unwrap();
        assert_eq!((answer.status, answer.header("x-athanor-version")), (200, "1"));
        assert_eq!(answer.json()["predictions"], json!([{"value": value}]));
    }
    let sizes = test.sizes.lock().unwrap()[test.n_calls..].to_vec();
    assert_eq!(sizes.iter().sum::<usize>(), 9);
    assert!(sizes.len() <= test.n_calls, "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_row_fails_alone() {
    for (bad, status) in [(-1.0, 422), (-2.0, 422), (-13.0, 500)] {
        let test = test(|_| {});
        let busy = test.busy().await;
        let values = [1.0, bad, 3.0];
        let waiting = test.line_up(&values).await;
        test.door.open();
        for call in busy {
            call.await.unwrap();
        }
        for (call, value) in waiting.into_iter().zip(values) {
            let answer = call.await.unwrap();
            let expect = if value == bad { status } else { 200 };
            assert_eq!(answer.status, expect, "{value}: {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_takes_its_row_along() {
    let test = test(|_| {});
    let busy = test.busy().await;
    let mut waiting = test.line_up(&[1.0, 2.0, 3.0, 4.0]).await;
    for gone in [waiting.remove(2), waiting.remove(0)] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    test.door.open();
    for call in busy {
        call.await.unwrap();
    }
    for (call, value) in waiting.into_iter().zip([2.0, 4.0]) {
        assert_eq!(call.await.unwrap().json()["predictions"][0]["value"], value);
    }
    assert_eq!(test.sizes.lock().unwrap()[test.n_calls..].iter().sum::<usize>(), 2, "nobody's rows are not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_have_no_more_rows_than_allowed_and_one_means_none_together() {
    let bounded = test(|config| config.batch_rows = 4);
    let busy = bounded.busy().await;
    let waiting = bounded.line_up(&[1.0; 10]).await;
    bounded.door.open();
    for call in busy.into_iter().chain(waiting) {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let sizes = bounded.sizes.lock().unwrap()[bounded.n_calls..].to_vec();
    assert!(sizes.iter().all(|&size| size <= 4) && sizes.iter().sum::<usize>() == 10, "{sizes:?}");

    let alone = test(|config| config.batch_rows = 1);
    let busy = alone.busy().await;
    let waiting: Vec<Call> = (0..10).map(|_| alone.ask(1.0)).collect();
    alone.door.open();
    for call in busy.into_iter().chain(waiting) {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert!(alone.sizes.lock().unwrap().iter().all(|&size| size == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_waits_too_long_is_504_and_still_counts_until_it_is_dropped() {
    let test = test(|_| {});
    let busy = test.busy().await;
    let body = json!({"row":{"x":1}}).to_string();
    let answer = test.house.call_async(post(PREDICT, body).with("x-request-timeout-ms", "20")).await;
    assert_eq!(answer.status, 504);
    test.door.open();
    for call in busy {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert_eq!(test.ask(1.0).await.unwrap().status, 200, "the calls that are over leave room");
}
