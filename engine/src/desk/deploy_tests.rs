#![allow(clippy::unwrap_used)]

use std::{fs, time::Duration};

use athanor_protocol::{
    api::{AuditList, RegistryLogin, WorkCancel},
    registry::Scope,
};
use athanor_serve::slim::MARK;

use super::*;
use crate::{
    deploy::image::elf,
    desk::{
        test_desk::{TestDesk, ask},
        test_models::register,
    },
};

/// Headers of a static program that says it is the slim server of `version`, and `n` bytes of it.
fn program(test: &TestDesk, version: &str, n: usize) -> String {
    let mut file = elf::tests::program(elf::AARCH64, None, &[], "");
    file.extend(format!("{}{version}\n", MARK.concat()).bytes());
    file.resize(file.len() + n, 7);
    let path = test.path("program");
    fs::write(&path, file).unwrap();
    path.display().to_string()
}

fn deploy(form: DeployForm) -> ModelDeploy {
    ModelDeploy { model: "tumours".to_owned(), version: 1, form, token: "mine".to_owned() }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn a_version_leaves_as_an_onnx_file_a_bundle_and_an_image() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    let at = |name: &str| test.path(name).display().to_string();
    let packing = Packing { program: Some(program(&test, VERSION, 0)), with_keys: false };

    let onnx = DeployForm::Onnx { path: at("t.onnx"), intended_use: "Tests.".to_owned() };
    let done = ask(&test.desk, deploy(onnx)).unwrap();
    assert_eq!(done.n_bytes, fs::metadata(test.path("t.onnx")).unwrap().len());
    let made = done.onnx.unwrap();
    assert!(made.checked_rows > 0 && made.unchecked.is_none(), "{made:?}");

    let events = test.desk.subscribe();
    let bundle = DeployForm::Bundle { path: at("t.tar.gz"), packing: packing.clone() };
    let done = ask(&test.desk, deploy(bundle)).unwrap();
    assert_eq!(done.n_bytes, fs::metadata(test.path("t.tar.gz")).unwrap().len());
    assert_eq!(done.without_onnx, None);
    let program = done.program.unwrap();
    assert_eq!((program.architecture.as_str(), program.n_libraries, program.was_started), ("arm64", 0, false));
    let told = events.wait(Duration::ZERO);
    assert!(
        told.iter().any(
            |event| matches!(&event.event, Event::Progress { token, note, .. } if token == "mine" && note == "Packing")
        ),
        "{told:?}"
    );

    let image = |packing: &Packing| DeployForm::Image {
        folder: Some(at("image")),
        push: None,
        behind_platform: false,
        packing: packing.clone(),
    };
    let first = ask(&test.desk, deploy(image(&packing))).unwrap();
    assert!(test.path("image/index.json").is_file());
    assert_eq!(ask(&test.desk, deploy(image(&packing))).unwrap().digest, first.digest, "the same bytes again");

    let with_keys = Packing { with_keys: true, ..packing.clone() };
    assert_eq!(ask(&test.desk, deploy(image(&with_keys))).unwrap_err().code, Code::Conflict, "there are no keys");
    crate::keys::create(&test.desk.workspace().unwrap(), "app", &[Scope::Predict], None).unwrap();
    assert_ne!(ask(&test.desk, deploy(image(&with_keys))).unwrap().digest, first.digest);

    let lines: Vec<String> =
        ask(&test.desk, AuditList::default()).unwrap().items.into_iter().map(|line| line.action).collect();
    let n = |action: &str| lines.iter().filter(|line| *line == action).count();
    assert_eq!((n("model.export"), n("model.edge"), n("model.image")), (1, 1, 3), "{lines:?}");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    let at = |name: &str| test.path(name).display().to_string();
    let fine = Packing { program: Some(program(&test, VERSION, 0)), with_keys: false };
    let bundle = |path: &str, packing: &Packing| DeployForm::Bundle { path: path.to_owned(), packing: packing.clone() };
    let image = |folder: Option<&str>, push: Option<&str>, packing: &Packing| DeployForm::Image {
        folder: folder.map(str::to_owned),
        push: push.map(|reference| ImagePush {
            reference: reference.to_owned(),
            login: Some(RegistryLogin { username: "ann".to_owned(), password: "secret".to_owned() }),
        }),
        behind_platform: false,
        packing: packing.clone(),
    };
    let with = |program: &str| Packing { program: Some(program.to_owned()), with_keys: false };
    fs::create_dir(test.path("full")).unwrap();
    fs::write(test.path("full/mine.txt"), "mine").unwrap();
    fs::write(test.path("none"), "no program").unwrap();
    let own = test.path("workspace/artifacts").display().to_string();
    let new = at("new.tar.gz");
    for (form, code) in [
        (bundle("relative.tar.gz", &fine), Code::InvalidArgument),
        (bundle(&at("new.zip"), &fine), Code::InvalidArgument),
        (bundle(&format!("{own}/x.tar.gz"), &fine), Code::PermissionDenied),
        (bundle(&new, &with("relative")), Code::InvalidArgument),
        (bundle(&new, &with(&at("nowhere"))), Code::NotFound),
        (bundle(&new, &with(&at("none"))), Code::Unsupported),
        (bundle(&new, &Packing::default()), Code::NotFound),
        (image(None, None, &fine), Code::InvalidArgument),
        (image(Some("relative"), None, &fine), Code::InvalidArgument),
        (image(Some(&own), None, &fine), Code::PermissionDenied),
        (image(Some(&at("full")), None, &fine), Code::Conflict),
        (image(None, Some("wine:3"), &fine), Code::InvalidArgument),
        (DeployForm::Onnx { path: "t.onnx".to_owned(), intended_use: String::new() }, Code::InvalidArgument),
        (DeployForm::Onnx { path: at("t.onnx"), intended_use: "x".repeat(10_001) }, Code::InvalidArgument),
    ] {
        let found = ask(&test.desk, deploy(form.clone())).unwrap_err();
        assert_eq!(found.code, code, "{form:?}: {found}");
        assert!(!found.to_string().contains("secret"));
    }
    assert!(!test.path("new.tar.gz").exists() && !test.path("t.onnx").exists());
    assert_eq!(fs::read_to_string(test.path("full/mine.txt")).unwrap(), "mine");
    let nobody = ModelDeploy { model: "nobody".to_owned(), ..deploy(bundle(&new, &fine)) };
    assert_eq!(ask(&test.desk, nobody).unwrap_err().code, Code::NotFound);
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_a_request_names_is_packed_and_never_started() {
    use std::os::unix::fs::PermissionsExt;
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    // A script that would leave a trace cannot be packed, and one for this processor is not started.
    let machine = if cfg!(target_arch = "aarch64") { elf::AARCH64 } else { elf::X86_64 };
    let mut file = elf::tests::program(machine, None, &[], "");
    file.extend(format!("{}{VERSION}\n", MARK.concat()).bytes());
    let path = test.path("program");
    fs::write(&path, file).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let packing = Packing { program: Some(path.display().to_string()), with_keys: false };
    let form = DeployForm::Bundle { path: test.path("t.tar.gz").display().to_string(), packing };
    // Headers alone do not start: it would have been refused if it had been tried.
    assert!(!ask(&test.desk, deploy(form)).unwrap().program.unwrap().was_started);
}

#[test]
fn packing_is_stopped_and_leaves_nothing() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    let packing = Packing { program: Some(program(&test, VERSION, 256 << 20)), with_keys: false };
    let form = DeployForm::Bundle { path: test.path("out/t.tar.gz").display().to_string(), packing };
    fs::create_dir(test.path("out")).unwrap();
    let events = test.desk.subscribe();
    let stopped = std::thread::scope(|scope| {
        let working = scope.spawn(|| ask(&test.desk, deploy(form)));
        while !events.wait(Duration::from_secs(60)).iter().any(|event| matches!(event.event, Event::Progress { .. })) {
            assert!(!working.is_finished(), "it ended before it could be stopped");
        }
        ask(&test.desk, WorkCancel { token: "mine".to_owned() }).unwrap();
        working.join().unwrap()
    });
    assert_eq!(stopped.unwrap_err().code, Code::Cancelled);
    assert_eq!(fs::read_dir(test.path("out")).unwrap().count(), 0, "a half-written file was left");
}
