//! Versions that leave: images, bundles, ONNX files.

use athanor_protocol::{
    Code, Failure,
    api::{DeployForm, Event, ModelDeploy, Request},
};
use athanor_ui::fake::{self, FakeHandle};

use crate::{
    help::Screen,
    models::{models, picks},
};

fn asked(screen: &Screen) -> Vec<ModelDeploy> {
    let of = |ask| if let Request::ModelDeploy(ask) = ask { Some(*ask) } else { None };
    screen.fake.sent().into_iter().filter_map(of).collect()
}

fn opened(size: [f32; 2], dark: bool, prepare: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = models(size, dark, prepare);
    screen.click("Deploy");
    screen
}

#[test]
fn an_image_goes_into_a_folder_and_a_registry_with_progress() {
    let mut screen = opened([1280.0, 900.0], true, |fake| picks(fake, "/home/ada/images"));
    screen.show("deploy-image");
    screen.click("Choose folder of the image");
    screen.click("Push it to a registry");
    screen.type_into("Image name, with its registry", "wine:7");
    assert!(screen.has_text("begins with its registry"), "where nothing would go by mistake");
    screen.type_into("Image name, with its registry", "registry.example.org/tumours:7");
    screen.click("Sign in with a name");
    screen.type_into("User name", "ada");
    screen.type_into("Password or token", "a secret of mine");
    screen.show("deploy-image-registry");
    screen.fake.hold();
    screen.click("Make it");
    let asked = asked(&screen).remove(0);
    let DeployForm::Image { folder, push: Some(push), behind_platform: false, packing } = &asked.form else {
        panic!("{asked:?}")
    };
    assert_eq!(folder.as_deref(), Some("/home/ada/images/tumours-7"), "each version has its own");
    assert_eq!(push.reference, "registry.example.org/tumours:7");
    assert_eq!(push.login.as_ref().map(|login| login.password.as_str()), Some("a secret of mine"));
    assert!(!packing.with_keys && packing.program.is_none());
    let event =
        |done, total, note: &str| Event::Progress { token: asked.token.clone(), done, total, note: note.to_owned() };
    screen.fake.event(event(40 << 20, 130 << 20, "Packing"));
    screen.settle();
    assert!(screen.has_text("Packing"));
    screen.show("deploy-busy");
    screen.fake.release();
    screen.settle();
    screen.show("deploy-image-done");
    assert!(screen.has_text("linux/amd64") && screen.has_text("every byte is right"));
    assert!(screen.has_text("podman run"));
    screen.click("In another form");
    assert!(!screen.has_text("a secret of mine"), "a password is forgotten");
    screen.click("Cancel");
    assert!(!screen.has("Make it"));
}

#[test]
fn a_bundle_and_an_onnx_file_are_made_and_say_what_was_seen() {
    let mut screen = opened([1280.0, 820.0], false, |fake| picks(fake, "/home/ada/t.tar.gz"));
    screen.click("Bundle");
    screen.click("Choose file to write");
    screen.click("Put this workspace's keys in");
    screen.show("deploy-bundle");
    screen.click("Make it");
    assert!(screen.has_text("start.sh --keys tumours-7-edge/keys.jsonl"));
    screen.click("In another form");
    screen.click("ONNX file");
    screen.type_into("File to write", "/home/ada/tumours.txt");
    assert!(screen.has_text("The file ends with .onnx"));
    screen.type_into("File to write", "/home/ada/tumours.onnx");
    screen.type_into("What it is meant for (stands in the file)", "Tests");
    screen.click("Make it");
    screen.show("deploy-onnx-done");
    assert!(screen.has_text("64 rows") && screen.has_text("5.9e-8"));
    screen.click("Done");
    let forms: Vec<DeployForm> = asked(&screen).into_iter().map(|ask| ask.form).collect();
    assert!(
        matches!(&forms[..], [DeployForm::Bundle { path, packing }, DeployForm::Onnx { path: onnx, intended_use }]
            if path == "/home/ada/t.tar.gz" && packing.with_keys && onnx == "/home/ada/tumours.onnx" && intended_use == "Tests"),
        "{forms:?}"
    );
}

#[test]
fn it_can_be_stopped_and_a_failure_keeps_what_was_filled_in() {
    let mut screen = opened([1280.0, 820.0], true, |fake| picks(fake, "/home/ada/t.tar.gz"));
    screen.click("Bundle");
    screen.click("Choose file to write");
    screen.fake.on(|request| match request {
        Request::ModelDeploy(_) => Some(Err(Failure::new(Code::Cancelled, "it was stopped; nothing was made"))),
        _ => None,
    });
    screen.fake.hold();
    screen.click("Make it");
    screen.click("Stop");
    assert!(screen.stopped_what_was_asked(|request| match request {
        Request::ModelDeploy(ask) => Some(&ask.token),
        _ => None,
    }));
    screen.fake.release();
    screen.settle();
    assert!(screen.has_text("nothing was made") && screen.has("Make it"));
    screen.fake.on(|request| match request {
        Request::ModelDeploy(_) => {
            Some(Err(Failure::new(Code::NotFound, "the slim server is not there")
                .hint("name a Linux build of athanor-serve")))
        }
        _ => None,
    });
    screen.click("Make it");
    assert!(screen.has_text("The slim server is not there") && screen.has_text("Name a Linux build"));
    screen.show("deploy-failed");
    assert!(screen.has("Make it"), "it can be tried again");
}

#[test]
fn in_a_small_window_everything_can_be_reached() {
    let mut screen = opened([1000.0, 560.0], false, |fake| picks(fake, "/home/ada/images"));
    screen.click("Push it to a registry");
    screen.click("Sign in with a name");
    screen.show("deploy-small");
    assert!(screen.has("Make it"), "the buttons stay in sight");
    screen.click("Cancel");
}

#[test]
fn another_workspace_stops_what_is_made_of_this_one() {
    let mut screen = opened([1280.0, 820.0], true, |fake| picks(fake, "/home/ada/t.tar.gz"));
    screen.click("Bundle");
    screen.click("Choose file to write");
    screen.fake.hold();
    screen.click("Make it");
    screen.fake.event(Event::WorkspaceChanged { workspace: Some(fake::workspace()) });
    screen.settle();
    assert!(screen.stopped_what_was_asked(|request| match request {
        Request::ModelDeploy(ask) => Some(&ask.token),
        _ => None,
    }));
    screen.fake.release();
    screen.settle();
    assert!(!screen.has("Make it") && !screen.has_text("ready to run"), "nobody waits for it any more");
}
