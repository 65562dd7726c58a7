//! The page: starts the app on the canvas, with the client of the place where it runs.
//!
//! In the window's web view that is Tauri's bridge ([`tauri`]), in a browser HTTP ([`http`]).

mod files;
mod http;
mod inbox;
mod page;
mod saves;
mod tauri;
mod workflows;

use std::rc::Rc;

use athanor_protocol::api::Client;
use eframe::{WebOptions, WebRunner};
use wasm_bindgen::JsValue;

use self::{http::HttpClient, inbox::Inbox, tauri::TauriClient};
use crate::{App, probe::Probe};

/// The canvas in `index.html`.
const CANVAS: &str = "athanor";

/// Marks in the page's timeline: the first frame, and the first one with an answer of the engine in it.
const MARKS: [&str; 2] = ["athanor-first-frame", "athanor-first-answer"];

/// Starts the app. What goes wrong is shown on the page.
pub fn start() {
    let runner = WebRunner::new();
    page::show_panics();
    wasm_bindgen_futures::spawn_local(async move {
        match run(&runner).await {
            Ok(()) => page::ready(),
            Err(error) => page::failed(&page::text_of(&error)),
        }
    });
}

async fn run(runner: &WebRunner) -> Result<(), JsValue> {
    let canvas = page::canvas(CANVAS)?;
    let creator: eframe::AppCreator<'static> = Box::new(|creation| Ok(Box::new(Shell::new(&creation.egui_ctx))));
    runner.start(canvas, WebOptions::default(), creator).await
}

/// Our app as eframe wants it.
struct Shell {
    app: App,
    /// In a browser, where dropped files have no path and are sent to the engine first.
    http: Option<HttpClient>,
    /// How much of the start was seen on the screen so far: the next of [`MARKS`].
    n_marks: usize,
}

impl Shell {
    fn new(ctx: &egui::Context) -> Self {
        if page::wants_probe() {
            page::offer_probe(Probe::install(ctx));
        }
        page::rest_between_frames(ctx);
        let inbox = Rc::new(Inbox::new(ctx.clone()));
        let (client, http): (Box<dyn Client>, _) = if tauri::is_here() {
            (Box::new(TauriClient::new(inbox)), None)
        } else {
            let http = HttpClient::new(inbox);
            (Box::new(http.clone()), Some(http))
        };
        Self { app: App::new(ctx, client), http, n_marks: 0 }
    }

    fn mark_start(&mut self) {
        let is_reached = self.n_marks == 0 || self.app.desk().hello().is_some();
        if is_reached && let Some(name) = MARKS.get(self.n_marks) {
            self.n_marks += 1;
            page::mark_drawn(name);
        }
    }
}

impl eframe::App for Shell {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.app.ui(ui);
        self.mark_start();
    }

    fn raw_input_hook(&mut self, _ctx: &egui::Context, input: &mut egui::RawInput) {
        let Some(http) = &self.http else { return };
        let dropped: Vec<_> = input.dropped_files.drain(..).filter_map(|file| file.web_file().cloned()).collect();
        if !dropped.is_empty() {
            http.take_dropped(dropped);
        }
    }
}
