//! Makes Tauri's resources: the window's rights, the icon, and the UI's files that are put into the program.

use std::{fs, path::Path};

/// Shown where the UI was never built, so that the program can be compiled and says what it lacks.
const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>Athanor</title>\
    <p>This program was compiled without its user interface. Build it with <code>cargo xtask ui</code>, then compile \
    again.</p>\n";

fn main() {
    let dist = Path::new("../ui/dist");
    let page = dist.join("index.html");
    if !page.exists() {
        let written = fs::create_dir_all(dist).and_then(|()| fs::write(&page, NOT_BUILT));
        if let Err(error) = written {
            println!("cargo::error=cannot write {}: {error}", page.display());
        }
        println!("cargo::warning=the UI is not built, the window will say so; `cargo xtask ui` builds it");
    }
    // The files are embedded while the program is compiled: it is compiled anew when they change.
    println!("cargo::rerun-if-changed=../ui/dist");
    println!("cargo::rerun-if-changed=capabilities");
    println!("cargo::rerun-if-changed=icons");
    let commands = tauri_build::AppManifest::new().commands(&["ask", "events"]);
    if let Err(error) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(commands)) {
        println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
    }
}
