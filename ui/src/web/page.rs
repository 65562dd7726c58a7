//! The page around the canvas: what it shows before the app draws, and when the app cannot draw.

use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::HtmlCanvasElement;

use crate::probe::Probe;

#[wasm_bindgen]
extern "C" {
    // All are in `boot.js`.
    #[wasm_bindgen(js_namespace = window, js_name = athanorReady)]
    fn athanor_ready();
    #[wasm_bindgen(js_namespace = window, js_name = athanorFailed)]
    fn athanor_failed(text: &str);
    #[wasm_bindgen(js_namespace = window, js_name = athanorFrame)]
    fn athanor_frame(next_in_millis: f64);
    #[wasm_bindgen(js_namespace = window, js_name = athanorWake)]
    fn athanor_wake();
}

/// The app draws from now on.
pub(super) fn ready() {
    athanor_ready();
}

/// The app cannot draw; why.
pub(super) fn failed(text: &str) {
    athanor_failed(text);
}

/// Something has come that the app will want to draw: the page's frames begin again.
pub(super) fn wake() {
    athanor_wake();
}

/// Lets the page rest between frames; eframe would have one after the other.
pub(super) fn rest_between_frames(ctx: &egui::Context) {
    ctx.add_plugin(Rest);
}

/// Tells the page after each frame when the next one is wanted.
struct Rest;

impl egui::Plugin for Rest {
    fn debug_name(&self) -> &'static str {
        "rest"
    }

    fn output_hook(&mut self, _ctx: &egui::Context, output: &mut egui::FullOutput) {
        let next = output.viewport_output.get(&egui::ViewportId::ROOT).map(|viewport| viewport.repaint_delay);
        athanor_frame(next.map_or(0.0, |delay| delay.as_secs_f64() * 1000.0));
    }
}

/// Puts a mark of that name into the page's timeline once the frame that is being drawn now is on the screen, for
/// whoever measures.
pub(super) fn mark_drawn(name: &'static str) {
    let Ok(window) = window() else { return };
    let Some(timeline) = window.performance() else { return };
    // What is asked for while a frame is drawn comes with the next one. A page that cannot be measured works as well.
    let mark = Closure::once_into_js(move || drop(timeline.mark(name)));
    let _ = window.request_animation_frame(mark.unchecked_ref());
}

/// Says on the page that the app broke down. eframe's own hook only writes to the console.
pub(super) fn show_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("the user interface broke down");
        failed(&format!("{what}{place}"));
    }));
}

/// The canvas of that name.
///
/// # Errors
/// If the page has none.
pub(super) fn canvas(id: &str) -> Result<HtmlCanvasElement, JsValue> {
    let element = window()?.document().and_then(|document| document.get_element_by_id(id));
    let element = element.ok_or_else(|| JsValue::from_str("the page has no canvas"))?;
    element.dyn_into().map_err(|_| JsValue::from_str("the page's canvas is no canvas"))
}

/// The browser's window.
///
/// # Errors
/// Outside a page.
pub(super) fn window() -> Result<web_sys::Window, JsValue> {
    web_sys::window().ok_or_else(|| JsValue::from_str("there is no window"))
}

/// A thrown value as text.
pub(super) fn text_of(value: &JsValue) -> String {
    if let Some(text) = value.as_string() {
        return text;
    }
    let message = js_sys::Reflect::get(value, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{value:?}"))
}

/// Whether tests look at the screen: `?probe` in the address, or a flag that the window sets.
pub(super) fn wants_probe() -> bool {
    let Ok(window) = window() else { return false };
    let flag = js_sys::Reflect::get(&window, &"__ATHANOR_PROBE__".into()).is_ok_and(|flag| flag.is_truthy());
    let query = window.location().search().unwrap_or_default();
    flag || query.trim_start_matches('?').split('&').any(|part| part == "probe")
}

/// Makes `window.athanorProbe()` tell what is on the screen, as JSON.
pub(super) fn offer_probe(probe: Probe) {
    let Ok(window) = window() else { return };
    let tell = Closure::<dyn Fn() -> String>::new(move || probe.json());
    // Where a page cannot be given a function there is no test that would miss it.
    let _ = js_sys::Reflect::set(&window, &"athanorProbe".into(), tell.as_ref());
    tell.forget();
}
