// Starts the app, and says on the page where it cannot. A file of its own, because the page's rules allow no script
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

function lacks() {
  if (typeof WebAssembly !== "object") return "WebAssembly";
  const canvas = document.createElement("canvas");
  if (!canvas.getContext("webgl2") && !canvas.getContext("webgl")) return "WebGL";
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
