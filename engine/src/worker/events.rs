//! What a worker says: one JSON object on each line of standard output, written by a thread of its own, so that telling
//! never slows the work.

use std::{
    io::Write,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use athanor_protocol::{
    job::{WorkerEvent, WorkerEventBody},
    metric::MetricPoint,
    names::RunId,
};

/// Points are sent when this many have come together …
const MAX_POINTS: usize = 500;
/// … or when the oldest one is this old.
const MAX_AGE: Duration = Duration::from_millis(100);
/// A sign of life is given at least this often.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A training loop that is faster than the supervisor for this many points has to wait: memory is bounded.
const MAX_WAITING: usize = 1 << 20;

#[derive(Default)]
struct Queue {
    bodies: Vec<WorkerEventBody>,
    points: Vec<MetricPoint>,
    /// Points in `points` and in `bodies` together.
    n_waiting: usize,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    room: Condvar,
    broken: AtomicBool,
}

/// The sending side.
pub struct Reporter {
    shared: std::sync::Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Reporter {
    /// Reports on standard output.
    pub fn to_stdout(run_id: RunId, attempt: u32) -> Self {
        Self::new(run_id, attempt, Box::new(std::io::stdout()))
    }

    /// Reports to any writer.
    pub fn new(run_id: RunId, attempt: u32, out: Box<dyn Write + Send>) -> Self {
        let shared = std::sync::Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            room: Condvar::new(),
            broken: AtomicBool::new(false),
        });
        let theirs = std::sync::Arc::clone(&shared);
        let name = "worker-events".to_owned();
        let writer = std::thread::Builder::new().name(name).spawn(move || write_all(&theirs, &run_id, attempt, out));
        Self { shared, writer: Mutex::new(writer.ok()) }
    }

    /// Sends a message; messages come out in the order in which they were sent, after the points sent before them.
    pub fn send(&self, body: WorkerEventBody) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let points = std::mem::take(&mut queue.points);
        queue.bodies.extend(in_batches(&points));
        queue.bodies.push(body);
        self.shared.wake.notify_one();
    }

    /// Sends metric points; they are gathered and sent together.
    pub fn metrics(&self, points: impl IntoIterator<Item = MetricPoint>) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.n_waiting >= MAX_WAITING && !self.shared.broken.load(Ordering::Relaxed) {
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let before = queue.points.len();
        queue.points.extend(points);
        queue.n_waiting += queue.points.len() - before;
    }

    /// Sends a line of log.
    pub fn log(&self, level: &str, text: String) {
        self.send(WorkerEventBody::Log { level: level.to_owned(), text });
    }

    /// Whether nobody reads any more.
    pub fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Writes what is left and ends the thread.
    pub fn close(&self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

/// Points in messages of bounded length: a resumed run may have a long curve to say at once.
fn in_batches(points: &[MetricPoint]) -> impl Iterator<Item = WorkerEventBody> + '_ {
    points.chunks(MAX_POINTS).map(|points| WorkerEventBody::Metrics { points: points.to_vec() })
}

fn write_all(shared: &Shared, run_id: &RunId, attempt: u32, mut out: Box<dyn Write + Send>) {
    let mut seq = 0u64;
    let mut line = Vec::new();
    let mut last = Instant::now();
    loop {
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.bodies.is_empty() && queue.points.len() < MAX_POINTS && !queue.closed {
            queue = shared.wake.wait_timeout(queue, MAX_AGE).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut bodies = std::mem::take(&mut queue.bodies);
        let points = std::mem::take(&mut queue.points);
        queue.n_waiting = 0;
        let closed = queue.closed;
        drop(queue);
        shared.room.notify_all();
        bodies.extend(in_batches(&points));
        if bodies.is_empty() && last.elapsed() >= HEARTBEAT {
            bodies.push(WorkerEventBody::Heartbeat);
        }
        if !bodies.is_empty() {
            last = Instant::now();
            line.clear();
            for body in bodies {
                seq += 1;
                let event = WorkerEvent { run_id: run_id.clone(), attempt, seq, body };
                // Plain data without maps of other keys than strings always becomes JSON.
                if serde_json::to_writer(&mut line, &event).is_ok() {
                    line.push(b'\n');
                }
            }
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                shared.broken.store(true, Ordering::Relaxed);
                shared.room.notify_all();
                return;
            }
        }
        if closed {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use athanor_protocol::metric::{MetricValue, Split};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_lost_and_the_order_is_kept() {
        let buffer = Buffer::default();
        let run_id = RunId::new("0".repeat(26)).unwrap();
        let reporter = Reporter::new(run_id, 3, Box::new(buffer.clone()));
        for step in 0..2_345 {
            let value = if step == 7 { MetricValue::NaN } else { MetricValue::Finite(step as f64) };
            reporter.metrics([MetricPoint { key: "loss".into(), split: Split::Train, step, at_millis: 0, value }]);
        }
        reporter.send(WorkerEventBody::Finished);
        reporter.close();
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let events: Vec<WorkerEvent> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq && event.attempt == 3));
        assert_eq!(events.last().unwrap().body, WorkerEventBody::Finished);
        let longest = events.iter().map(|event| match &event.body {
            WorkerEventBody::Metrics { points } => points.len(),
            _ => 0,
        });
        assert!(
            longest.max().is_some_and(|longest| longest <= MAX_POINTS),
            "a curve of any length goes in bounded messages"
        );
        let steps: Vec<u64> = events
            .iter()
            .filter_map(|event| if let WorkerEventBody::Metrics { points } = &event.body { Some(points) } else { None })
            .flatten()
            .map(|point| point.step)
            .collect();
        assert_eq!(steps, (0..2_345).collect::<Vec<_>>());
    }

    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed_and_blocks_nobody() {
        let reporter = Reporter::new(RunId::new("0".repeat(26)).unwrap(), 1, Box::new(Broken));
        reporter.send(WorkerEventBody::Heartbeat);
        reporter.close();
        assert!(reporter.is_broken());
        reporter.send(WorkerEventBody::Heartbeat);
    }
}
