//! What was made of a version, and how to use it.

use athanor_protocol::api::Deployed;
use egui::Ui;

use super::{Deploying, Form};
use crate::{format, pages::models::work::file_name, theme::size, toasts::Tone, widgets};

impl Deploying {
    /// Draws it.
    pub(super) fn result_ui(&self, ui: &mut Ui, done: &Deployed) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 32.0;
            widgets::figure(ui, "Size", &format::bytes(done.n_bytes), "");
            if let Some(program) = &done.program {
                widgets::figure(ui, "For", &format!("linux/{}", program.architecture), "");
            }
            if let Some(onnx) = done.onnx.as_ref().filter(|onnx| onnx.checked_rows > 0) {
                widgets::figure(ui, "Compared on", &format::plural(onnx.checked_rows, "row"), "");
            }
        });
        ui.add_space(size::SMALL_GAP);
        let wishes = &self.wishes;
        let path = match wishes.form {
            Form::Image => wishes.to_folder.then_some(wishes.folder.trim()),
            Form::Bundle => Some(wishes.bundle.trim()),
            Form::Onnx => Some(wishes.onnx.trim()),
        };
        if let Some(path) = path {
            widgets::label(ui, "Written to");
            widgets::copy_line(ui, "the path", path);
        }
        if let Some(pushed) = &done.pushed {
            widgets::label(ui, "In the registry, by a name that cannot be moved");
            widgets::copy_line(ui, "the image's name", &pushed.pinned);
        }
        widgets::label(ui, "Digest");
        widgets::copy_line(ui, "the digest", &done.digest);
        ui.add_space(size::TINY_GAP);
        for (tone, text) in notes(done) {
            widgets::note(ui, tone, &text);
        }
        ui.add_space(size::TINY_GAP);
        widgets::label(ui, "How to use it");
        widgets::code_block(ui, &self.how_to(done));
    }

    /// What to type where it is to run.
    fn how_to(&self, done: &Deployed) -> String {
        let (model, version, wishes) = (&self.model, self.version, &self.wishes);
        match wishes.form {
            Form::Onnx => {
                format!("import onnxruntime\nsession = onnxruntime.InferenceSession({:?})", file_name(&wishes.onnx))
            }
            Form::Bundle => {
                let keys = if wishes.with_keys { format!("{model}-{version}-edge/") } else { String::new() };
                format!(
                    "tar -xzf {}\n{model}-{version}-edge/start.sh --keys {keys}keys.jsonl",
                    quoted(file_name(&wishes.bundle))
                )
            }
            Form::Image => {
                let image = match &done.pushed {
                    Some(pushed) => pushed.pinned.clone(),
                    None => quoted(&format!("oci:{}", wishes.folder.trim())),
                };
                let with_keys = wishes.with_keys || wishes.behind_platform;
                let keys = if with_keys { "" } else { "  -v ./keys.jsonl:/etc/athanor/keys.jsonl:ro \\\n" };
                format!("podman run -p 127.0.0.1:8080:8080 \\\n{keys}  {image}")
            }
        }
    }
}

/// What was seen of it.
fn notes(done: &Deployed) -> Vec<(Tone, String)> {
    let mut found = vec![];
    if let Some(program) = &done.program {
        found.push(match program.was_started {
            true => (Tone::Ok, "the server was started once on this machine".to_owned()),
            false => {
                (Tone::Info, "the server was not started here: it was named, or is for another machine".to_owned())
            }
        });
    }
    if let Some(why) = &done.without_onnx {
        found.push((Tone::Info, format!("there is no ONNX file in it: {why}")));
    }
    if done.pushed.is_some() {
        found.push((Tone::Ok, "it was fetched from the registry again, and every byte is right".to_owned()));
    }
    if let Some(onnx) = &done.onnx {
        found.push(match (onnx.as_imported, onnx.max_abs_difference, &onnx.unchecked) {
            (true, ..) => (Tone::Ok, "it is the file that was imported, byte for byte".to_owned()),
            (_, Some(difference), _) => {
                (Tone::Ok, format!("its answers differ from this version's by {difference:.1e} at most"))
            }
            (_, None, why) => {
                let why = why.as_deref().unwrap_or("it cannot be run here");
                (Tone::Warn, format!("its answers were not compared: {why}"))
            }
        });
        found.extend(onnx.notes.iter().map(|note| (Tone::Info, note.clone())));
    }
    found
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '@' | '\\');
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell_are_quoted_where_they_must_be() {
        assert_eq!(quoted("/home/ada/wine-3"), "/home/ada/wine-3");
        assert_eq!(quoted("it's here"), "'it'\\''s here'");
    }
}
