//! The system's dialogs: choosing files and folders, and saying what the page cannot say.

use athanor_protocol::{
    Code, Failure,
    api::{Pick, PickKind, Picked},
};
use tauri::{AppHandle, Manager, Runtime};
use tauri_plugin_dialog::{DialogExt, FilePath, MessageDialogKind};

/// Longest title and name that are handed to the system.
const MAX_CHARS: usize = 200;

/// Shows the dialog and waits for the user. Not to be called on the main thread, which draws it.
///
/// # Errors
/// `Unsupported` for a choice that is not a path of this machine's file system.
pub(crate) fn pick<R: Runtime>(app: &AppHandle<R>, ask: &Pick) -> Result<Picked, Failure> {
    let ask = cleaned(ask);
    let mut dialog = app.dialog().file().set_title(&ask.title);
    if let Some(window) = app.get_webview_window(crate::window::LABEL) {
        dialog = dialog.set_parent(&window);
    }
    if !ask.extensions.is_empty() && ask.kind != PickKind::Folder {
        let extensions: Vec<&str> = ask.extensions.iter().map(String::as_str).collect();
        dialog = dialog.add_filter(&ask.filter_name, &extensions);
        if ask.kind == PickKind::Open {
            // Files with other endings can be tables too: what is shown first is a help, no rule.
            dialog = dialog.add_filter("All files", &["*"]);
        }
    }
    let chosen = match ask.kind {
        PickKind::Open if ask.multiple => dialog.blocking_pick_files().unwrap_or_default(),
        PickKind::Open => dialog.blocking_pick_file().into_iter().collect(),
        PickKind::Folder => dialog.set_can_create_directories(true).blocking_pick_folder().into_iter().collect(),
        PickKind::Save => {
            if !ask.file_name.is_empty() {
                dialog = dialog.set_file_name(&ask.file_name);
            }
            dialog.blocking_save_file().into_iter().collect()
        }
    };
    picked(chosen, &ask)
}

/// Shows a failure that happened before the page could show it; returns at once.
pub(crate) fn tell<R: Runtime>(app: &AppHandle<R>, failure: &Failure) {
    let text = match &failure.hint {
        Some(hint) => format!("{failure}\n\n{hint}"),
        None => failure.to_string(),
    };
    app.dialog().message(text).title("Athanor").kind(MessageDialogKind::Error).show(|_| {});
}

/// The paths as text, with the ending that a save dialog of some systems leaves out.
fn picked(chosen: Vec<FilePath>, ask: &Pick) -> Result<Picked, Failure> {
    let unsupported = |what: String| Failure::new(Code::Unsupported, format!("{what} is not a file of this machine"));
    let mut paths = Vec::new();
    for path in chosen {
        let shown = path.to_string();
        let mut path = path.into_path().map_err(|_| unsupported(shown.clone()))?;
        if ask.kind == PickKind::Save
            && path.extension().is_none()
            && let Some(extension) = ask.extensions.first()
        {
            path.set_extension(extension);
        }
        // JSON has no way to carry a name that is not Unicode, and a changed name would be that of another file.
        paths.push(path.into_os_string().into_string().map_err(|_| unsupported(shown))?);
    }
    Ok(Picked { paths })
}

/// The question without what a system's dialog might stumble over.
fn cleaned(ask: &Pick) -> Pick {
    let line = |text: &str| text.chars().filter(|char| !char.is_control()).take(MAX_CHARS).collect::<String>();
    let is_ending = |text: &&String| !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric());
    Pick {
        kind: ask.kind,
        title: line(&ask.title),
        filter_name: line(&ask.filter_name),
        extensions: ask.extensions.iter().filter(is_ending).cloned().collect(),
        file_name: line(&ask.file_name).replace(['/', '\\'], "_"),
        multiple: ask.multiple,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: PickKind) -> Pick {
        Pick {
            kind,
            title: "Save\nmodel".into(),
            filter_name: "Models".into(),
            extensions: vec!["athanor".into(), "../x".into(), String::new()],
            file_name: "../my model".into(),
            multiple: false,
        }
    }

    #[test]
    fn what_a_page_asks_is_cleaned_first() {
        let cleaned = cleaned(&ask(PickKind::Save));
        assert_eq!((cleaned.title.as_str(), cleaned.file_name.as_str()), ("Savemodel", ".._my model"));
        assert_eq!(cleaned.extensions, ["athanor"]);
    }

    #[test]
    fn a_saved_file_gets_the_ending_and_an_opened_one_keeps_its_name() {
        let path = |text: &str| vec![FilePath::Path(text.into())];
        for (kind, chosen, expect) in [
            (PickKind::Save, "/a/model", "/a/model.athanor"),
            (PickKind::Save, "/a/model.bin", "/a/model.bin"),
            (PickKind::Open, "/a/model", "/a/model"),
            (PickKind::Folder, "/a/model", "/a/model"),
        ] {
            let picked = picked(path(chosen), &ask(kind)).unwrap();
            assert_eq!(picked.paths, [expect], "{kind:?} {chosen}");
        }
        assert!(picked(vec![], &ask(PickKind::Open)).unwrap().paths.is_empty(), "a closed dialog is no failure");
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_json_cannot_carry_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"/a/\xff.csv");
        let refused = picked(vec![FilePath::Path(name.into())], &ask(PickKind::Open)).unwrap_err();
        assert_eq!(refused.code, Code::Unsupported);
    }
}
