//! What a frame costs where there is much to show: 100 runs of 100,000 points each side by side, a run with 12,000 names
//! of metrics, a list of 10,000 runs. Measured without a screen: the app's own frame and the making of its triangles,
//! while it is scrolled. The last line is one JSON object with the slowest frame of a hundred.
#![allow(clippy::print_stdout, reason = "a benchmark tells what it found")]

use std::time::{Duration, Instant};

use athanor_protocol::{
    api::{Reply, Request, SeriesAnswer, SeriesKey},
    metric::{MetricPoint, Split},
};
use athanor_ui::{
    App,
    fake::{self, Fake, FakeHandle},
    pages::{Go, Route},
};
use egui::{Context, Event, Pos2, RawInput, Rect, Vec2};

const SIZE: Vec2 = Vec2::new(1600.0, 1000.0);
const N_RUNS: usize = 100;
const N_POINTS: u64 = 100_000;
const N_NAMES: usize = 12_000;
const N_LISTED: usize = 10_000;
/// Frames that are measured.
const FRAMES: usize = 240;

/// An app without a screen.
struct Bench {
    ctx: Context,
    app: App,
    time: f64,
}

impl Bench {
    fn new(before: impl FnOnce(&FakeHandle)) -> Self {
        let (client, handle) = Fake::new();
        before(&handle);
        let ctx = Context::default();
        let app = App::new(&ctx, Box::new(client)).with_clock(fake::now);
        let mut bench = Self { ctx, app, time: 0.0 };
        bench.load(8);
        bench
    }

    fn frame(&mut self, events: Vec<Event>) -> Duration {
        self.time += 1.0 / 60.0;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)),
            time: Some(self.time),
            events,
            focused: true,
            ..RawInput::default()
        };
        let began = Instant::now();
        let mut output = self.ctx.run_ui(input, |ui| self.app.ui(ui));
        let shapes = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        let took = began.elapsed();
        output.textures_delta.clear();
        std::hint::black_box(shapes.len());
        took
    }

    /// Frames in which answers come; they do not count.
    fn load(&mut self, n: usize) {
        for _ in 0..n {
            self.frame(vec![]);
        }
    }

    fn go(&mut self, go: Go) {
        self.app.go(go);
        self.load(90);
    }

    /// The slowest of a hundred frames in milliseconds, while the wheel turns over a place. Once before, unmeasured: what
    /// the stand-in for the engine computes when it is first asked is its own time and not the frame's.
    fn scrolled(&mut self, over: Pos2) -> f64 {
        self.turned(over, 1.0);
        self.turned(over, -1.0);
        self.load(30);
        let mut took = self.turned(over, 1.0);
        took.sort_by(f64::total_cmp);
        took.get(took.len() * 99 / 100).copied().unwrap_or(f64::NAN)
    }

    /// The wheel turned, down by 1 or up by -1: how long each frame took.
    fn turned(&mut self, over: Pos2, way: f32) -> Vec<f64> {
        (0..FRAMES)
            .map(|at| {
                // Down for most of the way and up again, so that pages come and go.
                let delta = if at % 4 == 3 { 60.0 } else { -90.0 };
                let wheel = Event::MouseWheel {
                    unit: egui::MouseWheelUnit::Point,
                    delta: Vec2::new(0.0, delta * way),
                    phase: egui::TouchPhase::Move,
                    modifiers: egui::Modifiers::NONE,
                };
                let shaken = over + Vec2::new((at % 7) as f32, (at % 5) as f32);
                self.frame(vec![Event::PointerMoved(shaken), wheel]).as_secs_f64() * 1000.0
            })
            .collect()
    }
}

/// Every value of a history is made and decimated once, as the store has it; what is asked for again comes from there.
fn histories(fake: &FakeHandle) {
    let mut known: std::collections::HashMap<(SeriesKey, u32), athanor_protocol::api::Series> =
        std::collections::HashMap::new();
    fake.on(move |request| match request {
        Request::RunSeries(ask) => {
            let one = |key: &SeriesKey| {
                let place = (key.clone(), ask.n_buckets);
                known.entry(place).or_insert_with(|| fake::run_series(key, N_POINTS, ask)).clone()
            };
            Some(Ok(Reply::RunSeries(Box::new(SeriesAnswer { series: ask.series.iter().map(one).collect() }))))
        }
        _ => None,
    });
}

fn listed(fake: &FakeHandle, n: usize) {
    fake.on(move |request| match request {
        Request::RunList(ask) if ask.status.is_empty() => Some(Ok(Reply::RunList(Box::new(fake::run_page(ask, n))))),
        _ => None,
    });
}

fn main() {
    let middle = Pos2::new(900.0, 700.0);

    let mut bench = Bench::new(|fake| {
        histories(fake);
        listed(fake, N_RUNS);
    });
    bench.go(Go::To(Route::Runs));
    bench.go(Go::Compare((0..N_RUNS).map(fake::run_id).collect()));
    let runs = bench.scrolled(middle);

    let mut bench = Bench::new(|fake| {
        histories(fake);
        let points: Vec<MetricPoint> = (0..N_NAMES)
            .map(|n| {
                fake::run_point(1, &format!("block_{:03}/layer_{:02}/grad_norm", n / 40, n % 40), Split::Train, 400)
            })
            .collect();
        fake.on(move |request| match request {
            Request::RunMetrics(ask) => Some(Ok(Reply::RunMetrics(Box::new(fake::run_metric_page(&points, ask))))),
            _ => None,
        });
    });
    bench.go(Go::Run(fake::run_id(1)));
    let names = bench.scrolled(middle);

    let mut bench = Bench::new(|fake| {
        histories(fake);
        listed(fake, N_LISTED);
    });
    bench.go(Go::To(Route::Runs));
    let list = bench.scrolled(Pos2::new(900.0, 850.0));

    println!(
        r#"{{"runs_frame_millis_p99":{runs:.2},"names_frame_millis_p99":{names:.2},"list_frame_millis_p99":{list:.2}}}"#
    );
}
