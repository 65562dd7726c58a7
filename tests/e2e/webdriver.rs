//! Drives real windows and browsers by the W3C WebDriver protocol, through the drivers that the systems bring.
//!
//! The user interface is one canvas: there are no elements that a driver could find. Where a button is, the page itself
//! tells (`athanorProbe`, which reads what egui tells screen readers), and the driver clicks there as a hand would.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::Engine as _;
use image::RgbaImage;
use reqwest::{Method, blocking::Client};
use serde_json::{Value, json};

/// Longer than anything on the screen takes on a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the tools are here. Where continuous integration must have them, a missing one is a failure.
pub fn has_tools(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<_> = names.iter().filter(|name| !is_there(name)).collect();
    let required = std::env::var_os("ATHANOR_REQUIRE_WINDOW").is_some_and(|value| value == "1");
    assert!(missing.is_empty() || !required, "not on this machine, but required here: {missing:?}");
    if !missing.is_empty() {
        eprintln!("left out: {missing:?} not on this machine (cargo xtask setup brings them)");
    }
    missing.is_empty()
}

/// Keys by their names in the protocol.
pub const CONTROL: char = '\u{e009}';
pub const DELETE: char = '\u{e017}';

/// A process with all that it started; gone when this is dropped.
pub struct Group(Child);

impl Group {
    pub fn start(command: &mut Command) -> Self {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// The first line of its standard output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group's number is the process's own. Who has ended already is no failure.
        let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL -{} 2>&1", self.0.id())).output();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A screen in memory.
pub struct Display {
    _server: Group,
    name: String,
}

impl Display {
    /// Starts one with a free number.
    pub fn start() -> Self {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp", "-noreset"]);
        let mut server = Group::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let number = server.line();
        assert!(!number.is_empty(), "Xvfb found no free display");
        Self { _server: server, name: format!(":{number}") }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A session with a window or a browser.
pub struct Driver {
    client: Client,
    /// The session's address.
    url: String,
    _driver: Group,
}

/// Something on the screen, as the page tells it.
#[derive(Debug, Clone)]
pub struct Widget {
    pub role: String,
    pub text: String,
    pub enabled: bool,
    pub rect: [f64; 4],
}

impl Driver {
    /// Opens a program's window through WebKitGTK's driver.
    pub fn window(program: &Path, args: &[&str], display: &Display, variables: &[(&str, &Path)]) -> Self {
        let mut command = Command::new("WebKitWebDriver");
        command.env("DISPLAY", display.name()).env("TAURI_WEBVIEW_AUTOMATION", "true").env("ATHANOR_PROBE", "1");
        command.env("LIBGL_ALWAYS_SOFTWARE", "1").env("GDK_BACKEND", "x11").env_remove("WAYLAND_DISPLAY");
        // Nothing of the user's own session is asked or changed.
        command.env("NO_AT_BRIDGE", "1").env("GSETTINGS_BACKEND", "memory").env("GTK_USE_PORTAL", "0");
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").envs(variables.iter().copied());
        let options = json!({ "webkitgtk:browserOptions": { "binary": program, "args": args } });
        Self::start(command, |port| vec![format!("--port={port}"), "--host=127.0.0.1".to_owned()], &options)
    }

    /// Opens a page in Chromium without a screen.
    pub fn browser(url: &str, profile: &Path) -> Self {
        let args = json!([
            "--headless=new",
            "--no-sandbox",
            "--use-gl=angle",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-proxy-server",
            "--window-size=1280,820",
            format!("--user-data-dir={}", profile.display()),
        ]);
        // What the page gives the user as a file goes there without a question.
        let prefs =
            json!({ "download.default_directory": profile.join("downloads"), "download.prompt_for_download": false });
        let mut options = json!({ "goog:chromeOptions": { "args": args, "prefs": prefs } });
        if let Some(program) = ["chromium", "google-chrome"].into_iter().find_map(on_path) {
            options["goog:chromeOptions"]["binary"] = json!(program);
        }
        let driver = Self::start(Command::new("chromedriver"), |port| vec![format!("--port={port}")], &options);
        driver.ask(Method::POST, "/url", &json!({ "url": url }));
        driver
    }

    fn start(mut command: Command, args: impl Fn(u16) -> Vec<String>, options: &Value) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        command.args(args(port)).stdout(Stdio::null());
        let driver = Group::start(&mut command);
        athanor_serve::use_ring();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        wait("the driver listens", || client.get(format!("{base}/status")).send().ok());
        let session = json!({ "capabilities": { "alwaysMatch": options } });
        let answer = client.post(format!("{base}/session")).json(&session).send().unwrap();
        let answer: Value = answer.json().unwrap();
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no session: {answer}"));
        Self { client, url: format!("{base}/session/{id}"), _driver: driver }
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.url));
        if method == Method::POST {
            request = request.json(body);
        }
        let mut answer: Value =
            request.send().and_then(reqwest::blocking::Response::json).map_err(|error| error.to_string())?;
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].take()),
        }
    }

    /// Runs a script in the page.
    pub fn script(&self, script: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until the app draws.
    pub fn wait_for_app(&self) {
        let state = wait("the app draws or says why not", || {
            let state = self.script("return document.documentElement.dataset.state || ''");
            (state == "ready" || state == "failed").then_some(state)
        });
        let reason = self.script("const at = document.getElementById('reason'); return at ? at.textContent : ''");
        assert_eq!(state, "ready", "{reason}");
        wait("the app has drawn", || (!self.screen().is_empty()).then_some(()));
    }

    /// What is on the screen.
    pub fn screen(&self) -> Vec<Widget> {
        let text = self.script("return window.athanorProbe ? window.athanorProbe() : '{}'");
        let screen: Value = serde_json::from_str(text.as_str().unwrap_or("{}")).unwrap();
        let widgets = screen["widgets"].as_array().cloned().unwrap_or_default();
        // Runs of text repeat what the labels around them say.
        widgets.iter().filter(|widget| widget["role"] != "TextRun").map(widget).collect()
    }

    /// The picture on the screen.
    pub fn screenshot(&self) -> RgbaImage {
        let text = self.ask(Method::GET, "/screenshot", &Value::Null);
        let bytes = base64::prelude::BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgba8()
    }

    /// Waits until something that says exactly this is on the screen.
    pub fn wait_for(&self, text: &str) -> Widget {
        self.wait_for_any(text, |widget| widget.text == text)
    }

    /// Waits until something like this is on the screen.
    pub fn wait_for_any(&self, what: &str, is_it: impl Fn(&Widget) -> bool) -> Widget {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if let Some(found) = screen.iter().find(|widget| is_it(widget)) {
                return found.clone();
            }
            if began.elapsed() >= PATIENCE {
                let seen: Vec<_> = screen.iter().map(|it| format!("{} {:?}", it.role, it.text)).collect();
                panic!("waited too long for {what}; on the screen: {seen:#?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks on what says exactly this, once it is there and can be used.
    pub fn click(&self, text: &str) {
        let widget = self.wait_for_any(text, |widget| widget.text == text && widget.enabled && widget.role != "Label");
        self.click_on(&widget);
    }

    /// Clicks into the middle.
    pub fn click_on(&self, widget: &Widget) {
        let [left, top, right, bottom] = widget.rect;
        self.click_at((left + right) / 2.0, (top + bottom) / 2.0);
    }

    pub fn click_at(&self, x: f64, y: f64) {
        let mouse = json!({ "pointerType": "mouse" });
        // The pauses are frames: the app draws once with the pointer there, and once with the button down.
        let steps = json!([
            { "type": "pointerMove", "duration": 0, "x": x as i64, "y": y as i64 },
            { "type": "pause", "duration": 60 },
            { "type": "pointerDown", "button": 0 },
            { "type": "pause", "duration": 60 },
            { "type": "pointerUp", "button": 0 },
        ]);
        let pointer = json!({ "type": "pointer", "id": "mouse", "parameters": mouse, "actions": steps });
        self.ask(Method::POST, "/actions", &json!({ "actions": [pointer] }));
    }

    /// Puts text in the place of what the field of this name holds.
    pub fn type_into(&self, field: &str, text: &str) {
        let is_it = |widget: &Widget| widget.role.ends_with("Input") && widget.text == field && widget.enabled;
        let widget = self.wait_for_any(field, is_it);
        self.click_on(&widget);
        self.chord(CONTROL, 'a');
        self.keys(text);
    }

    /// Presses a key while another one is held.
    pub fn chord(&self, held: char, key: char) {
        let steps = json!([
            { "type": "keyDown", "value": held },
            { "type": "keyDown", "value": key },
            { "type": "pause", "duration": 60 },
            { "type": "keyUp", "value": key },
            { "type": "keyUp", "value": held },
        ]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": steps });
        self.ask(Method::POST, "/actions", &json!({ "actions": [keyboard] }));
    }

    /// Types into what has the focus.
    pub fn keys(&self, text: &str) {
        let stroke =
            |char: char| [json!({ "type": "keyDown", "value": char }), json!({ "type": "keyUp", "value": char })];
        let steps: Vec<Value> = text.chars().flat_map(stroke).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": steps });
        self.ask(Method::POST, "/actions", &json!({ "actions": [keyboard] }));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // In order first, so that the browser may clean up after itself; the driver and what it started are killed next.
        let _ = self.client.delete(&self.url).timeout(Duration::from_secs(10)).send();
    }
}

fn widget(widget: &Value) -> Widget {
    let text = |name: &str| widget[name].as_str().unwrap_or_default().to_owned();
    let (label, value) = (text("label"), text("value"));
    let rect: Vec<f64> = widget["rect"].as_array().unwrap().iter().map(|at| at.as_f64().unwrap()).collect();
    Widget {
        role: text("role"),
        text: if label.is_empty() { value } else { label },
        enabled: widget["enabled"] == true,
        rect: rect.try_into().unwrap(),
    }
}

/// Waits for a state that must come.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many colours a picture has: a blank one has one, text and plots have many.
pub fn n_colours(picture: &RgbaImage) -> usize {
    picture.pixels().map(|pixel| pixel.0).collect::<std::collections::HashSet<_>>().len()
}

/// The share of pixels that differ between two pictures of one part of the screen.
pub fn changed(before: &RgbaImage, after: &RgbaImage, [left, top, right, bottom]: [f64; 4]) -> f64 {
    let (mut differ, mut all) = (0_u64, 0_u64);
    for y in top.max(0.0) as u32..(bottom as u32).min(before.height()).min(after.height()) {
        for x in left.max(0.0) as u32..(right as u32).min(before.width()).min(after.width()) {
            all += 1;
            differ += u64::from(before.get_pixel(x, y) != after.get_pixel(x, y));
        }
    }
    if all == 0 { 0.0 } else { differ as f64 / all as f64 }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
