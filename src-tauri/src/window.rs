//! The window: made, told of what happens to it, and closed in order.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use athanor_engine::desk::{Desk, DeskOptions};
use athanor_protocol::{
    Code, Failure,
    api::{Event, Host, WorkspaceInfo, WorkspaceOpen},
};
use tauri::{
    AppHandle, DragDropEvent, Manager, RunEvent, State, Url, WebviewUrl, WebviewWindowBuilder, WindowEvent,
    ipc::{Channel, InvokeResponseBody, Response},
};

use crate::{bridge::Bridge, close, close::Closing, dialogs, folders};

/// The size of the first window in logical pixels, where the screen is large enough.
const WANTED: (f64, f64) = (1280.0, 820.0);
/// The smallest size that the page is made for.
const SMALLEST: (f64, f64) = (1000.0, 640.0);

/// The only window's name, that of its rights in `capabilities/main.json`.
pub(crate) const LABEL: &str = "main";

const TITLE: &str = "Athanor";

/// Lets tests ask the page where its buttons are (`athanorProbe` of the UI).
const PROBE_VARIABLE: &str = "ATHANOR_PROBE";
const PROBE_SCRIPT: &str = "window.__ATHANOR_PROBE__ = true;";

/// Opens the window and returns when it is closed.
///
/// # Errors
/// If the settings' folder cannot be made, or there is no screen.
pub(crate) fn run(workspace: Option<PathBuf>) -> Result<(), Failure> {
    let no_window = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(Code::Unavailable, format!("{what}: {error}")).hint("without a screen, use `athanor serve`")
    };
    let folders = folders::find()?;
    let program = std::env::current_exe().map_err(|error| no_window("cannot find this program's own file", &error))?;
    let options =
        DeskOptions { host: Host::Desktop, program, config_folder: folders.config, default_folder: folders.workspaces };
    let bridge = Bridge::new(Desk::new(options)?);
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_dialog::init())
        .manage(Arc::clone(&bridge))
        .manage(Closing::default())
        .invoke_handler(tauri::generate_handler![ask, events])
        .build(tauri::generate_context!())
        .map_err(|error| no_window("cannot open a window", &error))?;
    open(app.handle()).map_err(|error| no_window("cannot open the window", &error))?;
    follow_title(app.handle(), &bridge);
    if let Some(workspace) = workspace {
        begin_with(app.handle(), &bridge, &workspace);
    }
    app.run(|app, event| {
        if let RunEvent::WindowEvent { label, event, .. } = event
            && label == LABEL
        {
            on_window_event(app, &event);
        }
    });
    Ok(())
}

fn open(app: &AppHandle) -> tauri::Result<()> {
    let (width, height) = first_size(app);
    let mut window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title(TITLE)
        .inner_size(width, height)
        .min_inner_size(SMALLEST.0, SMALLEST.1)
        .on_navigation(is_own_page);
    if std::env::var_os(PROBE_VARIABLE).is_some_and(|value| value == "1") {
        window = window.initialization_script(PROBE_SCRIPT);
    }
    window.build().map(drop)
}

/// The first size of the window in logical pixels: all of it is to be seen on the screen that there is.
fn first_size(app: &AppHandle) -> (f64, f64) {
    let Ok(Some(monitor)) = app.primary_monitor() else { return WANTED };
    let area = monitor.work_area().size.to_logical::<f64>(monitor.scale_factor());
    fitting((area.width, area.height))
}

/// The wanted size, or what of it fits an area; never less than the page can be used in.
fn fitting((width, height): (f64, f64)) -> (f64, f64) {
    let one = |wanted: f64, there: f64, least: f64| wanted.min(there).max(least);
    (one(WANTED.0, width, SMALLEST.0), one(WANTED.1, height, SMALLEST.1))
}

/// Only the page in this program is ever shown: a link that led elsewhere would lead there with the window's rights.
fn is_own_page(url: &Url) -> bool {
    match url.scheme() {
        "tauri" => url.host_str() == Some("localhost"),
        "http" | "https" => url.host_str() == Some("tauri.localhost"),
        "about" => url.path() == "blank",
        _ => false,
    }
}

/// Answers the page. Each request has a thread of its own, so that a long one holds up no other.
#[tauri::command]
async fn ask(app: AppHandle, bridge: State<'_, Arc<Bridge>>, request: String) -> Result<Response, String> {
    let bridge = Arc::clone(&bridge);
    let answer = move || bridge.answer(&request, |ask| dialogs::pick(&app, ask));
    let bytes = tauri::async_runtime::spawn_blocking(answer).await.map_err(|error| error.to_string())?;
    Ok(Response::new(bytes))
}

/// Streams events to the page, as lists of envelopes.
#[tauri::command]
fn events(bridge: State<'_, Arc<Bridge>>, channel: Channel<InvokeResponseBody>) -> Result<(), String> {
    let bridge = Arc::clone(&bridge);
    // Before this command is answered, so that nothing is missed between the answer and the first question.
    let subscription = bridge.desk.subscribe();
    let page = bridge.next_page();
    let stream = move || bridge.stream(page, &subscription, |text| channel.send(quoted(&text)).is_ok());
    spawn("events", stream).map_err(|error| error.to_string())
}

/// JSON text as a JSON string: the page reads the numbers in it itself, since JavaScript's do not hold all of ours.
fn quoted(text: &str) -> InvokeResponseBody {
    InvokeResponseBody::Json(serde_json::Value::from(text).to_string())
}

fn on_window_event(app: &AppHandle, event: &WindowEvent) {
    let bridge = app.state::<Arc<Bridge>>();
    match event {
        WindowEvent::DragDrop(event) => {
            for event in dropped(event) {
                bridge.desk.publish(event);
            }
        }
        WindowEvent::CloseRequested { api, .. } => {
            api.prevent_close();
            if app.state::<Closing>().begin() {
                finish(app.clone(), Arc::clone(&bridge));
            }
        }
        _ => {}
    }
}

/// What files over the window mean to the page.
fn dropped(event: &DragDropEvent) -> Vec<Event> {
    match event {
        DragDropEvent::Enter { paths, .. } if !paths.is_empty() => vec![Event::FilesHover { over: true }],
        DragDropEvent::Leave => vec![Event::FilesHover { over: false }],
        DragDropEvent::Drop { paths, .. } => {
            let mut events = vec![Event::FilesHover { over: false }];
            let paths: Vec<String> = paths.iter().filter_map(|path| path.to_str()).map(str::to_owned).collect();
            if !paths.is_empty() {
                events.push(Event::FilesDropped { paths });
            }
            events
        }
        _ => vec![],
    }
}

/// Ends the program: the page keeps its work, the window goes, the engine stops.
fn finish(app: AppHandle, bridge: Arc<Bridge>) {
    let last = app.clone();
    let work = move || {
        bridge.desk.publish(Event::Closing {});
        close::wait_for_page(|| bridge.is_idle());
        if let Some(window) = app.get_webview_window(LABEL) {
            // One that cannot be hidden stays until the program ends.
            let _ = window.hide();
        }
        let desk = Arc::clone(&bridge.desk);
        if !close::shut_down(move || desk.shut_down()) {
            tracing::warn!(
                "the engine did not stop in time; its runs are put right when the workspace is opened again"
            );
        }
        bridge.end();
        app.exit(0);
    };
    if let Err(error) = spawn("close", work) {
        tracing::error!(%error, "cannot close in order");
        last.exit(1);
    }
}

/// Opens the workspace that was named on the command line; what goes wrong is told in a dialog, since the page did not
/// ask for it.
fn begin_with(app: &AppHandle, bridge: &Arc<Bridge>, workspace: &Path) {
    let (app, bridge) = (app.clone(), Arc::clone(bridge));
    let absolute = std::path::absolute(workspace).unwrap_or_else(|_| workspace.to_owned());
    let work = move || {
        let opened = match absolute.to_str() {
            Some(path) => bridge.desk.handle(WorkspaceOpen { path: path.to_owned(), create: true }.into()).map(drop),
            None => Err(Failure::new(Code::InvalidArgument, format!("{} is no Unicode path", absolute.display()))),
        };
        if let Err(failure) = opened {
            dialogs::tell(&app, &failure);
        }
    };
    if let Err(error) = spawn("open", work) {
        tracing::error!(%error, "cannot open the workspace");
    }
}

/// The window's title names the open workspace, so that windows can be told apart.
fn follow_title(app: &AppHandle, bridge: &Arc<Bridge>) {
    let (app, bridge) = (app.clone(), Arc::clone(bridge));
    let events = bridge.desk.subscribe();
    let follow = move || {
        while !bridge.is_over() {
            for envelope in events.wait(crate::bridge::LOOK_AGAIN) {
                if let Event::WorkspaceChanged { workspace } = envelope.event
                    && let Some(window) = app.get_webview_window(LABEL)
                {
                    // A title that cannot be set is no reason for anything.
                    let _ = window.set_title(&title(workspace.as_ref()));
                }
            }
        }
    };
    if let Err(error) = spawn("title", follow) {
        tracing::warn!(%error, "the title will not follow the workspace");
    }
}

fn title(workspace: Option<&WorkspaceInfo>) -> String {
    workspace.map_or_else(|| TITLE.to_owned(), |workspace| format!("{} – {TITLE}", workspace.name))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use tauri::PhysicalPosition;

    use super::*;

    #[test]
    fn the_first_window_is_to_be_seen_whole() {
        for (area, expect) in [
            ((3840.0, 2160.0), (1280.0, 820.0)),
            ((1280.0, 800.0), (1280.0, 800.0)),
            ((1100.0, 900.0), (1100.0, 820.0)),
            ((800.0, 600.0), (1000.0, 640.0)),
        ] {
            assert_eq!(fitting(area), expect, "{area:?}");
        }
    }

    #[test]
    fn no_link_leads_out_of_the_program() {
        for (url, expect) in [
            ("tauri://localhost/", true),
            ("tauri://localhost/index.html", true),
            ("http://tauri.localhost/index.html", true),
            ("about:blank", true),
            ("tauri://elsewhere/", false),
            ("https://example.org/", false),
            ("http://localhost/", false),
            ("file:///etc/passwd", false),
            ("data:text/html,x", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(is_own_page(&Url::parse(url).unwrap()), expect, "{url}");
        }
    }

    #[test]
    fn dropped_files_are_told_with_their_paths() {
        let position = PhysicalPosition::new(1.0, 2.0);
        let paths = vec![PathBuf::from("/a.csv")];
        let over = |over| Event::FilesHover { over };
        assert_eq!(dropped(&DragDropEvent::Enter { paths: paths.clone(), position }), [over(true)]);
        assert_eq!(dropped(&DragDropEvent::Enter { paths: vec![], position }), []);
        assert_eq!(dropped(&DragDropEvent::Leave), [over(false)]);
        let drop = dropped(&DragDropEvent::Drop { paths, position });
        assert_eq!(drop, [over(false), Event::FilesDropped { paths: vec!["/a.csv".into()] }]);
        assert_eq!(dropped(&DragDropEvent::Drop { paths: vec![], position }), [over(false)]);
    }

    #[test]
    fn events_reach_the_page_as_text() {
        let InvokeResponseBody::Json(text) = quoted(r#"[{"seq":18446744073709551615}]"#) else { panic!("bytes") };
        assert_eq!(text, r#""[{\"seq\":18446744073709551615}]""#);
    }

    #[test]
    fn the_title_names_the_workspace() {
        let workspace = WorkspaceInfo { name: "churn".into(), path: "/churn".into(), read_only: false };
        assert_eq!(title(Some(&workspace)), "churn – Athanor");
        assert_eq!(title(None), "Athanor");
    }
}
