// Starts the app, gives it its frames, and says on the page where it cannot. A file of its own, because the page's rules allow no script
// inside the page.

const page = document.documentElement;
const byId = (id) => document.getElementById(id);

function show(message, reason) {
  page.dataset.state = "failed";
  byId("message").textContent = message;
  byId("reason").textContent = reason;
  byId("reason").hidden = reason === "";
  byId("again").hidden = false;
}

byId("again").addEventListener("click", () => location.reload());

// The app calls these two.
window.athanorReady = () => {
  if (page.dataset.state === "loading") page.dataset.state = "ready";
};
window.athanorFailed = (reason) => {
  const message =
    page.dataset.state === "ready"
      ? "Athanor’s window broke down. Runs go on, and what you changed is kept."
      : "Athanor cannot draw its window.";
  show(message, reason);
};

// Frames come when there is something to draw. The app asks for another frame after each one, whether it will draw or
// not, and a page in which they never end costs a few percent of a core all day. So, while nothing happens, what it asks
// for is held back: until a hand or the engine does something, or until the time for which the app has said that it will
// draw. What nobody tells of, as when the system's colours change, is seen by a look now and then.
const LOOK_MILLIS = 1000;
const SETTLE_MILLIS = 200;
const AT_ONCE_MILLIS = 20;
const HAPPENINGS =
  "pointermove pointerdown pointerup pointercancel pointerover pointerout mousemove mousedown mouseup wheel touchstart " +
  "touchmove touchend touchcancel keydown keyup input compositionstart compositionupdate compositionend copy cut paste " +
  "dragenter dragover dragleave drop focus blur resize hashchange visibilitychange";

const ask = window.requestAnimationFrame.bind(window);
const cancel = window.cancelAnimationFrame.bind(window);
const held = new Map();
let lastHeld = 0;
let timer = 0;
let due = Infinity;
// Awake until the first frame is drawn, however long that takes.
let awakeUntil = Infinity;

function release() {
  clearTimeout(timer);
  timer = 0;
  for (const [id, frame] of held) {
    frame.asked ??= ask((time) => {
      held.delete(id);
      frame.callback(time);
    });
  }
}

function look() {
  if (performance.now() >= due) due = Infinity;
  release();
}

window.athanorWake = () => {
  awakeUntil = Math.max(awakeUntil, performance.now() + SETTLE_MILLIS);
  release();
};
// A frame was made, and the next one is wanted after this time.
window.athanorFrame = (millis) => {
  const now = performance.now();
  due = now + millis;
  if (millis < AT_ONCE_MILLIS || awakeUntil === Infinity) awakeUntil = now + SETTLE_MILLIS;
};
window.requestAnimationFrame = (callback) => {
  const now = performance.now();
  if (now < awakeUntil) return ask(callback);
  // Below zero, where the browser's own numbers are not.
  lastHeld -= 1;
  held.set(lastHeld, { callback });
  timer ||= setTimeout(look, Math.min(Math.max(due - now, 0), LOOK_MILLIS));
  return lastHeld;
};
window.cancelAnimationFrame = (id) => {
  const frame = held.get(id);
  if (!frame) return cancel(id);
  held.delete(id);
  if (frame.asked) cancel(frame.asked);
};
for (const name of HAPPENINGS.split(" ")) {
  window.addEventListener(name, window.athanorWake, { capture: true, passive: true });
}

// The app takes the canvas over with what is asked for here. It smooths its edges itself and draws from back to front:
// several samples for each pixel, and depths, would be time and tens of megabytes for nothing.
const SURFACE = { antialias: false, depth: false, stencil: false };

function lacks() {
  if (typeof WebAssembly !== "object") return "WebAssembly";
  const canvas = byId("athanor");
  if (!canvas.getContext("webgl2", SURFACE) && !canvas.getContext("webgl", SURFACE)) return "WebGL";
  return "";
}

const lacking = lacks();
if (lacking !== "") {
  show(`Athanor needs ${lacking}, which is not available here. Update the web view or browser, or turn it on.`, "");
} else {
  try {
    const app = await import("./athanor-ui.js");
    await app.default({ module_or_path: new URL("athanor-ui_bg.wasm", import.meta.url) });
  } catch (error) {
    show("Athanor’s page cannot be loaded.", String((error && error.message) || error));
  }
}
