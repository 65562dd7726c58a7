//! The dialog that makes a version into something that runs elsewhere: an image, a bundle, an ONNX file.

mod result;

use athanor_protocol::{
    Code, Failure,
    api::{DeployForm, Deployed, ImagePush, ModelDeploy, Packing, Pick, PickKind, RegistryLogin},
};
use egui::Ui;

use super::dialogs::{buttons, failure_note};
use crate::{
    desk::Ticket,
    pages::{
        Cx,
        paths::{path_field, take_pick},
    },
    theme::size,
    widgets::{self, DialogAsk, Kind},
    work::{Far, Work},
};

const WIDTH: f32 = 520.0;

/// In which form a version leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Image,
    Bundle,
    Onnx,
}

/// Which path the system's dialog was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Folder,
    File,
    Program,
}

/// What the user has filled in. It is kept while the window is open, but for the password.
#[derive(Debug, Clone)]
struct Wishes {
    form: Form,
    to_folder: bool,
    /// The folder that images go to, each into one of its own name.
    folder: String,
    to_registry: bool,
    reference: String,
    signs_in: bool,
    username: String,
    password: String,
    behind_platform: bool,
    with_keys: bool,
    program: String,
    bundle: String,
    onnx: String,
    intended_use: String,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            form: Form::Image,
            to_folder: true,
            folder: String::new(),
            to_registry: false,
            reference: String::new(),
            signs_in: false,
            username: String::new(),
            password: String::new(),
            behind_platform: false,
            with_keys: false,
            program: String::new(),
            bundle: String::new(),
            onnx: String::new(),
            intended_use: String::new(),
        }
    }
}

/// A version that leaves.
#[derive(Default)]
pub(super) struct Deploying {
    model: String,
    version: u32,
    open: bool,
    wishes: Wishes,
    pick: Option<(Place, Ticket<Pick>)>,
    work: Option<Work<ModelDeploy>>,
    outcome: Option<Result<Deployed, Failure>>,
}

impl Deploying {
    /// Opens the dialog for a version. What is at work comes back into sight instead.
    pub(super) fn ask(&mut self, model: &str, version: u32) {
        self.open = true;
        if self.work.is_some() || (self.model == model && self.version == version) {
            return;
        }
        (self.model, self.version) = (model.to_owned(), version);
        self.outcome = None;
        // What was named after another version would write over what was made of it.
        for path in [&mut self.wishes.folder, &mut self.wishes.bundle, &mut self.wishes.onnx] {
            path.clear();
        }
        self.wishes.reference = tagged(&self.wishes.reference, version);
    }

    /// The workspace is another one: what is at work is stopped, and nobody waits for it.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        if let Some(work) = self.work.take() {
            work.give_up(cx.desk);
        }
    }

    /// Whether something is being made.
    pub(super) fn at_work(&self) -> bool {
        self.work.is_some()
    }

    /// Takes in what has come.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some((place, ticket)) = self.pick {
            let mut pick = Some(ticket);
            let path = take_pick(cx, &mut pick);
            self.pick = pick.map(|ticket| (place, ticket));
            if let Some(path) = path {
                let wishes = &mut self.wishes;
                match (place, wishes.form) {
                    (Place::Program, _) => wishes.program = path,
                    (Place::Folder, _) => wishes.folder = within(&path, &format!("{}-{}", self.model, self.version)),
                    (Place::File, Form::Onnx) => wishes.onnx = path,
                    (Place::File, _) => wishes.bundle = path,
                }
            }
        }
        let Some(result) = self.work.as_ref().and_then(|work| work.take(cx.desk)) else { return };
        self.work = None;
        match &result {
            Err(failure) if failure.code == Code::Cancelled => {
                cx.toasts.info(widgets::sentence(&failure.message));
                return;
            }
            Ok(_) if !self.open => cx.toasts.ok(format!("Made {} version {} ready to run", self.model, self.version)),
            Err(failure) if !self.open => cx.toasts.failure(failure),
            _ => {}
        }
        self.outcome = Some(result);
    }

    pub(super) fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        if !self.open {
            return;
        }
        let title = format!("Deploy {} version {}", self.model, self.version);
        let mut closed = false;
        let (_, ask) = widgets::dialog_parts(ui, "deploy", &title, WIDTH, |parts| {
            if let Some(Ok(done)) = &self.outcome {
                parts.body(|ui| self.result_ui(ui, done));
                let (again, end) = parts.footer(|ui| {
                    ui.horizontal(|ui| {
                        let end = widgets::button(ui, Kind::Primary, None, "Done").clicked();
                        (widgets::button(ui, Kind::Secondary, None, "In another form").clicked(), end)
                    })
                    .inner
                });
                if again || end {
                    self.outcome = None;
                }
                closed = end;
                return;
            }
            parts.body(|ui| {
                ui.add_enabled_ui(self.work.is_none(), |ui| self.form_ui(ui, cx));
                if let Some(Err(failure)) = &self.outcome {
                    ui.add_space(size::TINY_GAP);
                    failure_note(ui, failure);
                }
                if let Some(work) = &self.work {
                    ui.add_space(size::SMALL_GAP);
                    work.dialog_ui(ui, cx.desk, |far| far_words(self.wishes.form, far));
                }
            });
            if let Some(work) = &mut self.work {
                closed = parts.footer(|ui| work.dialog_buttons(ui, cx.desk, STOP_HELP));
                return;
            }
            let form = self.wanted();
            match parts.footer(|ui| buttons(ui, "Make it", form.is_some(), false)) {
                Some(true) => self.send(cx, form),
                Some(false) => closed = true,
                None => {}
            }
        });
        if closed || ask == DialogAsk::Close {
            self.open = false;
            self.wishes.password.clear();
        }
    }

    fn form_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let forms = [(Form::Image, "Container image"), (Form::Bundle, "Bundle"), (Form::Onnx, "ONNX file")];
        if widgets::segments(ui, &mut self.wishes.form, &forms) {
            self.outcome = None;
        }
        ui.add_space(size::TINY_GAP);
        let words = match self.wishes.form {
            Form::Image => {
                "The server and this version for Docker, Podman, Kubernetes and the clouds. It is made without Docker; \
                 the same version gives the same digest."
            }
            Form::Bundle => {
                "One file for a small machine: the server, this version, and how to start it. Nothing has to be \
                 installed there."
            }
            Form::Onnx => {
                "For programs that read ONNX. It takes the table's own columns, and is compared with this version's \
                 answers before it is kept."
            }
        };
        widgets::muted(ui, words);
        ui.add_space(size::SMALL_GAP);
        match self.wishes.form {
            Form::Image => self.image_ui(ui, cx),
            Form::Bundle => {
                self.file_ui(ui, cx, "File to write", "tar.gz");
                ui.add_space(size::SMALL_GAP);
                widgets::switch(ui, &mut self.wishes.with_keys, KEYS).on_hover_text(KEYS_HELP);
                self.program_ui(ui, cx);
            }
            Form::Onnx => {
                self.file_ui(ui, cx, "File to write", "onnx");
                ui.add_space(size::TINY_GAP);
                let hint = "Cultivars of Italian wines; not for other drinks";
                widgets::text_field(
                    ui,
                    "What it is meant for (stands in the file)",
                    &mut self.wishes.intended_use,
                    hint,
                );
            }
        }
    }

    fn image_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::switch(ui, &mut self.wishes.to_folder, "Write it into a folder");
        if self.wishes.to_folder {
            let hint = format!("/home/ada/images/{}-{}", self.model, self.version);
            let (pressed, _) = path_field(ui, cx.desk, "Folder of the image", &mut self.wishes.folder, &hint);
            if pressed {
                self.choose(cx, Place::Folder, "A folder for the image", String::new());
            }
            ui.add_space(size::TINY_GAP);
        }
        widgets::switch(ui, &mut self.wishes.to_registry, "Push it to a registry");
        if self.wishes.to_registry {
            let hint = format!("registry.example.org/{}:{}", self.model, self.version);
            let reference = self.wishes.reference.trim();
            let trouble = (!reference.is_empty() && !names_registry(reference))
                .then_some("the name begins with its registry, as registry.example.org/wine:3 does");
            widgets::field(ui, "Image name, with its registry", "", trouble, |ui| {
                widgets::line_edit(ui, "Image name, with its registry", &mut self.wishes.reference, &hint, false)
            });
            ui.add_space(size::TINY_GAP);
            let help = "Otherwise as `docker login` has written it down on the engine's machine, or as nobody";
            widgets::switch(ui, &mut self.wishes.signs_in, "Sign in with a name").on_hover_text(help);
            if self.wishes.signs_in {
                widgets::text_field(ui, "User name", &mut self.wishes.username, "ada");
                widgets::field(ui, "Password or token", "Used once, and kept nowhere", None, |ui| {
                    widgets::line_edit(ui, "Password or token", &mut self.wishes.password, "", true)
                });
            }
        }
        ui.add_space(size::SMALL_GAP);
        widgets::field(ui, "Who checks requests", "", None, |ui| {
            let ways = [(false, "The container, by keys"), (true, "The platform in front of it")];
            widgets::segments(ui, &mut self.wishes.behind_platform, &ways);
        });
        if self.wishes.behind_platform {
            widgets::muted(ui, "Only where nobody but the platform can reach the container: it asks for no key.");
        } else {
            widgets::switch(ui, &mut self.wishes.with_keys, KEYS).on_hover_text(KEYS_HELP);
        }
        self.program_ui(ui, cx);
    }

    fn file_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, label: &str, ending: &str) {
        let name = format!("{}-{}.{ending}", self.model, self.version);
        let path = if self.wishes.form == Form::Onnx { &mut self.wishes.onnx } else { &mut self.wishes.bundle };
        let (pressed, _) = path_field(ui, cx.desk, label, path, &format!("/home/ada/{name}"));
        let wrong = !path.trim().is_empty() && !has_ending(path, self.wishes.form);
        if wrong {
            widgets::muted(ui, &format!("The file ends with .{ending}."));
        }
        if pressed {
            self.choose(cx, Place::File, "Where to write it", name);
        }
    }

    fn program_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.add_space(size::TINY_GAP);
        widgets::fold(ui, "deploy-program", "For another processor", false, |ui| {
            widgets::muted(
                ui,
                "Without it, the server of this machine goes in. `cargo xtask slim arm64` makes one for 64-bit Arm.",
            );
            let hint = "/home/ada/athanor-serve-arm64";
            let (pressed, _) = path_field(ui, cx.desk, "Program athanor-serve", &mut self.wishes.program, hint);
            if pressed {
                self.choose(cx, Place::Program, "The program athanor-serve", String::new());
            }
        });
    }

    fn choose(&mut self, cx: &mut Cx<'_>, place: Place, title: &str, file_name: String) {
        if self.pick.is_some() {
            return;
        }
        let (kind, filter, ending) = match (place, self.wishes.form) {
            (Place::Folder, _) => (PickKind::Folder, "", None),
            (Place::Program, _) => (PickKind::Open, "", None),
            (Place::File, Form::Onnx) => (PickKind::Save, "ONNX files", Some("onnx")),
            (Place::File, _) => (PickKind::Save, "Bundles", Some("gz")),
        };
        let ticket = cx.desk.ask(Pick {
            kind,
            title: title.to_owned(),
            filter_name: filter.to_owned(),
            extensions: ending.into_iter().map(str::to_owned).collect(),
            file_name,
            multiple: false,
        });
        self.pick = Some((place, ticket));
    }

    /// What is to be made, once everything is filled in.
    fn wanted(&self) -> Option<DeployForm> {
        let wishes = &self.wishes;
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let packing = Packing {
            program: text(&wishes.program),
            with_keys: wishes.with_keys && !(wishes.form == Form::Image && wishes.behind_platform),
        };
        match wishes.form {
            Form::Onnx => {
                let path = text(&wishes.onnx).filter(|path| has_ending(path, Form::Onnx))?;
                Some(DeployForm::Onnx { path, intended_use: wishes.intended_use.trim().to_owned() })
            }
            Form::Bundle => {
                let path = text(&wishes.bundle).filter(|path| has_ending(path, Form::Bundle))?;
                Some(DeployForm::Bundle { path, packing })
            }
            Form::Image => {
                let folder = if wishes.to_folder { Some(text(&wishes.folder)?) } else { None };
                let push = if wishes.to_registry {
                    let reference = text(&wishes.reference).filter(|name| names_registry(name))?;
                    let login = if wishes.signs_in {
                        let username = text(&wishes.username)?;
                        Some(RegistryLogin { username, password: wishes.password.clone() })
                            .filter(|login| !login.password.is_empty())
                            .map(Some)?
                    } else {
                        None
                    };
                    Some(ImagePush { reference, login })
                } else {
                    None
                };
                let goes_somewhere = folder.is_some() || push.is_some();
                let behind_platform = wishes.behind_platform;
                goes_somewhere.then_some(DeployForm::Image { folder, push, behind_platform, packing })
            }
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, form: Option<DeployForm>) {
        let Some(form) = form else { return };
        self.outcome = None;
        let (model, version) = (self.model.clone(), self.version);
        self.work = Some(Work::begin(cx.desk, |token| ModelDeploy { model, version, form, token }));
        self.wishes.password.clear();
    }
}

const STOP_HELP: &str = "What is half made goes away; an image that is finished stays in its folder";
const KEYS: &str = "Put this workspace's keys in";
const KEYS_HELP: &str = "As hashes, as they are now. Without it, a file of `athanor keys export` is put beside it";

/// What is being done, in words.
fn far_words(form: Form, far: &Far) -> String {
    match (form, far.note.as_str()) {
        (Form::Onnx, "") => "Writing it and comparing its answers".to_owned(),
        (_, "") => "Looking at the program".to_owned(),
        (_, note) => note.to_owned(),
    }
}

fn has_ending(path: &str, form: Form) -> bool {
    let path = path.trim().to_lowercase();
    match form {
        Form::Onnx => path.ends_with(".onnx"),
        _ => path.ends_with(".tar.gz") || path.ends_with(".tgz"),
    }
}

/// Whether an image's name begins with a registry; the engine looks closer.
fn names_registry(reference: &str) -> bool {
    let registry = reference.split_once('/').map_or("", |(registry, _)| registry);
    registry.contains(['.', ':']) || registry == "localhost"
}

/// The name that was pushed before, with the tag of another version.
fn tagged(reference: &str, version: u32) -> String {
    match reference.rsplit_once(':') {
        // A colon before a slash is a registry's port.
        Some((name, tag)) if !tag.contains('/') && tag.parse::<u32>().is_ok() => format!("{name}:{version}"),
        _ => String::new(),
    }
}

/// A folder's path with a name behind it.
fn within(folder: &str, name: &str) -> String {
    let separator = if folder.contains('\\') && !folder.contains('/') { '\\' } else { '/' };
    format!("{}{separator}{name}", folder.trim_end_matches(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_begin_with_a_registry_and_follow_the_version() {
        for (name, expect) in [("registry.example.org/wine:3", true), ("localhost/wine", true), ("wine:3", false)] {
            assert_eq!(names_registry(name), expect, "{name}");
        }
        for (name, expect) in [
            ("registry.example.org/wine:3", "registry.example.org/wine:4"),
            ("127.0.0.1:5000/wine", ""),
            ("r.example/wine:latest", ""),
            ("", ""),
        ] {
            assert_eq!(tagged(name, 4), expect, "{name}");
        }
    }

    #[test]
    fn a_folder_is_named_after_the_version() {
        assert_eq!(within("/home/ada/", "wine-3"), "/home/ada/wine-3");
        assert_eq!(within("C:\\images", "wine-3"), "C:\\images\\wine-3");
    }

    #[test]
    fn nothing_is_sent_before_everything_is_there() {
        let mut deploying = Deploying { model: "wine".to_owned(), version: 3, ..Deploying::default() };
        assert_eq!(deploying.wanted(), None, "no folder yet");
        deploying.wishes.folder = " /images/wine-3 ".to_owned();
        let image = |folder: Option<&str>, push: Option<ImagePush>| DeployForm::Image {
            folder: folder.map(str::to_owned),
            push,
            behind_platform: false,
            packing: Packing::default(),
        };
        assert_eq!(deploying.wanted(), Some(image(Some("/images/wine-3"), None)));
        (deploying.wishes.to_folder, deploying.wishes.to_registry) = (false, true);
        assert_eq!(deploying.wanted(), None, "no name in a registry");
        deploying.wishes.reference = "r.example/wine:3".to_owned();
        let push = |login: Option<RegistryLogin>| Some(ImagePush { reference: "r.example/wine:3".to_owned(), login });
        assert_eq!(deploying.wanted(), Some(image(None, push(None))));
        deploying.wishes.signs_in = true;
        assert_eq!(deploying.wanted(), None, "no name and password");
        (deploying.wishes.username, deploying.wishes.password) = ("ada".to_owned(), "x".to_owned());
        let login = RegistryLogin { username: "ada".to_owned(), password: "x".to_owned() };
        assert_eq!(deploying.wanted(), Some(image(None, push(Some(login)))));
        (deploying.wishes.form, deploying.wishes.onnx) = (Form::Onnx, "/m.txt".to_owned());
        assert_eq!(deploying.wanted(), None, "another ending");
        (deploying.wishes.form, deploying.wishes.bundle) = (Form::Bundle, "/m.TAR.GZ".to_owned());
        assert!(deploying.wanted().is_some());
    }
}
