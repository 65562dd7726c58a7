//! Container images without Docker: the same bytes twice, to a real registry and back, run by a real runtime; the slim
//! server on its own; the bundle for small machines.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use crate::sandbox::{Done, PATIENCE, Running, Sandbox, built, done, sample, samples, signal};

/// One at a time: each packs and unpacks a program of some hundred megabytes.
static TURN: Mutex<()> = Mutex::new(());

/// A workspace with a model of wines, and how the slim server is started on it.
struct Wines {
    sandbox: Sandbox,
    package: PathBuf,
    signer: String,
    key: String,
}

impl Wines {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let fast = ["--set", "linear.epochs=30", "--set", "trees.n_rounds=20"];
        sandbox.ok(&[&["run", sample("wine").to_str().unwrap(), "--device", "cpu"], &fast[..]].concat());
        let key = sandbox.ok(&["keys", "create", "--name", "test"])["key"].as_str().unwrap().to_owned();
        let package = sandbox.path("wine.athanor");
        sandbox.ok(&["models", "export", "wine@production", "-o", package.to_str().unwrap()]);
        let signer =
            sandbox.ok(&["models", "verify", package.to_str().unwrap()])["signed_by"].as_str().unwrap().to_owned();
        sandbox.ok(&["keys", "export", "-o", sandbox.path("keys.jsonl").to_str().unwrap()]);
        Self { sandbox, package, signer, key }
    }

    fn text(&self, name: &str) -> String {
        self.sandbox.path(name).to_str().unwrap().to_owned()
    }

    /// The slim server with the model and the keys, on a free port.
    fn slim(&self) -> Command {
        let mut command = slim();
        command.arg("--package").arg(&self.package).args(["--trust", &self.signer, "--json"]);
        command
    }
}

fn slim() -> Command {
    let mut command = Command::new(built("athanor-serve"));
    for name in ["ATHANOR_MODELS", "ATHANOR_TRUST", "ATHANOR_KEYS", "ATHANOR_ACCESS", "ATHANOR_BIND", "AIP_HTTP_PORT"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn client() -> reqwest::blocking::Client {
    athanor_serve::use_ring();
    reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// The first wine as a row without its cultivar.
fn first_wine() -> Value {
    let text = fs::read_to_string(samples().join("wine.csv")).unwrap();
    let mut lines = text.lines();
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let pairs = names.split(',').zip(values.split(',')).filter(|(name, _)| *name != "cultivar");
    pairs
        .map(|(name, value)| (name.to_owned(), json!(value.parse::<f64>().unwrap())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Asks for a prediction by the Open Inference Protocol; the label of the answer.
fn infer(url: &str, key: Option<&str>) -> Result<String, u16> {
    let row = first_wine();
    let inputs: Vec<Value> = row
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| json!({ "name": name, "shape": [1, 1], "datatype": "FP64", "data": [value] }))
        .collect();
    let mut ask = client().post(format!("{url}/v2/models/wine/infer")).json(&json!({ "inputs": inputs }));
    if let Some(key) = key {
        ask = ask.bearer_auth(key);
    }
    let answer = ask.send().unwrap();
    if !answer.status().is_success() {
        return Err(answer.status().as_u16());
    }
    let body: Value = answer.json().unwrap();
    let outputs = body["outputs"].as_array().unwrap();
    let label = outputs.iter().find(|output| output["name"] == "label").unwrap();
    Ok(label["data"][0].as_str().unwrap().to_owned())
}

/// The line that a server prints when it listens.
fn told(running: &mut Running) -> Value {
    let line = running.line();
    serde_json::from_str(&line).unwrap_or_else(|err| panic!("{line:?}: {err}"))
}

#[test]
fn the_slim_server_serves_a_package_by_itself_and_ends_in_order() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let keys = wines.sandbox.path("keys.jsonl");
    let secret = wines.key.rsplit('_').next().unwrap();
    assert!(!fs::read_to_string(&keys).unwrap().contains(secret), "the file of keys holds a secret");

    let mut running =
        Running::of(wines.slim().arg("--keys").arg(&keys).args(["--bind", "127.0.0.1:0"]).spawn().unwrap());
    let line = told(&mut running);
    let url = line["endpoint"].as_str().unwrap().to_owned();
    println!("the slim server listens after {} ms", line["started_in_millis"]);
    assert_eq!(line["models"], json!([{ "model": "wine", "version": 1 }]));
    assert_eq!(infer(&url, Some(&wines.key)), Ok("class_0".to_owned()));
    assert_eq!(infer(&url, None), Err(401));
    assert_eq!(infer(&url, Some(&format!("{}0", wines.key))), Err(401));

    let health = |url: &str| done(slim().args(["health", url]).output().unwrap()).status;
    assert_eq!(health(&format!("{url}/v2/health/ready")), 0);
    assert_eq!(health(&format!("{url}/nothing")), 1);

    // A key that is taken out of the file is refused while it serves.
    fs::write(&keys, "").unwrap();
    running.wait_until("the key is refused", || (infer(&url, Some(&wines.key)) == Err(401)).then_some(()));
    signal(running.pid(), "TERM");
    let ended = running.done();
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert_eq!(health(&url), 1, "nobody is there any more");
}

#[test]
fn the_slim_server_refuses_what_it_cannot_stand_for() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let keys = wines.text("keys.jsonl");
    let changed = wines.sandbox.path("changed.athanor");
    let mut bytes = fs::read(&wines.package).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&changed, bytes).unwrap();
    fs::write(wines.sandbox.path("plain"), &wines.key).unwrap();
    let (package, changed) = (wines.package.to_str().unwrap(), changed.to_str().unwrap());
    let plain = wines.text("plain");
    let other = "0".repeat(64);
    let trust = wines.signer.as_str();
    let open = ["--bind", "0.0.0.0:0"];
    #[rustfmt::skip]
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--trust", trust, "--keys", &keys], 2, "no package"),
        (&["--package", package, "--keys", &keys], 2, "nobody is trusted"),
        (&["--package", package, "--trust", trust], 2, "no file of keys"),
        (&["--package", package, "--trust", &other, "--keys", &keys], 1, "not one that is trusted"),
        (&["--package", changed, "--trust", trust, "--keys", &keys], 1, "changed.athanor"),
        (&["--package", &keys, "--trust", trust, "--keys", &keys], 1, "keys.jsonl"),
        (&["--package", package, "--trust", trust, "--keys", &plain], 1, "no record of a key"),
        (&["--package", package, "--trust", trust, "--keys", &keys, open[0], open[1]], 1, "no TLS"),
        (&["--package", package, "--trust", trust, "--access", "platform", "--keys", &keys], 2, "no keys are looked at"),
        (&["--package", "a/../b:x=y", "--trust", trust, "--keys", &keys], 2, "b:x=y"),
        (&["--wrong"], 2, ""),
    ];
    for (args, status, expect) in cases {
        let ended = done(slim().arg("--json").args(*args).output().unwrap());
        assert_eq!(ended.status, *status, "{args:?}: {}\n{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(expect), "{args:?}: {}", ended.stderr);
        assert!(!(ended.stdout + &ended.stderr).contains(&wines.key), "{args:?}: a secret is shown");
    }
}

#[test]
fn the_slim_server_predicts_a_table_as_the_workspace_does() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let table = samples().join("wine.csv");
    for name in ["out.csv", "out.parquet"] {
        let (theirs, ours) = (wines.text(&format!("workspace-{name}")), wines.text(name));
        wines.sandbox.ok(&["predict", "wine@production", table.to_str().unwrap(), "-o", &theirs]);
        let mut command = slim();
        command.args(["predict", "--package"]).arg(&wines.package).args(["--trust", &wines.signer, "--json"]);
        let ended = done(command.arg("--in").arg(&table).args(["--out", &ours]).output().unwrap());
        assert_eq!((ended.status, ended.json["n_rows"].as_u64()), (0, Some(178)), "{}", ended.stderr);
        assert_eq!(fs::read(ours).unwrap(), fs::read(theirs).unwrap(), "{name}");
    }
    let report: Value = serde_json::from_slice(&fs::read(wines.text("out.csv.report.json")).unwrap()).unwrap();
    assert_eq!(report["n_rows"], 178);
}

/// A registry of our own: a process, a folder, a free port.
struct Registry {
    running: Running,
    host: String,
    folder: PathBuf,
}

impl Registry {
    /// Starts it, or says that it is not on this machine.
    fn start(sandbox: &Sandbox, more: &str) -> Option<Self> {
        let program = ["docker-registry", "registry"].into_iter().find_map(on_path)?;
        let folder = sandbox.path("registry");
        // A port that was free a moment ago: the registry cannot say which one it has taken.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = sandbox.write(
            "registry.yml",
            &format!(
                "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n  relativeurls: true\n{more}",
                folder.display()
            ),
        );
        let mut command = Command::new(program);
        command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its own settings come from the environment too.
        command.env_clear();
        let mut running = Running::of(command.spawn().unwrap());
        let client = client();
        running.wait_until("the registry answers", || client.get(format!("http://{host}/v2/")).send().ok());
        Some(Self { running, host, folder })
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The server without the symbols of an everyday build, which are half of it, where there is a tool that takes them out.
fn lean_program(sandbox: &Sandbox) -> String {
    let to = sandbox.path("athanor-serve");
    fs::copy(built("athanor-serve"), &to).unwrap();
    let _ = Command::new("strip").arg("--strip-unneeded").arg(&to).status();
    to.to_str().unwrap().to_owned()
}

fn image(wines: &Wines, program: &str, to: &str, more: &[&str]) -> Value {
    let output = wines.text(to);
    let args = ["deploy", "image", "wine@production", "-o", &output, "--program", program];
    wines.sandbox.ok(&[&args[..], more].concat())
}

#[test]
fn an_image_is_the_same_twice_goes_to_a_registry_and_back_and_runs() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let program = lean_program(&wines.sandbox);
    let keys = wines.text("keys.jsonl");
    let first = image(&wines, &program, "image", &["--keys", &keys]);
    let second = image(&wines, &program, "again", &["--keys", &keys]);
    assert_eq!(first["digest"], second["digest"]);
    println!("the image: {} bytes, {}", first["n_bytes"], first["digest"]);
    assert_same(&wines.sandbox.path("image"), &wines.sandbox.path("again"));

    let found = wines.sandbox.ok(&["deploy", "verify", &wines.text("image")]);
    assert_eq!(found["digest"], first["digest"]);
    assert_eq!((found["user"].as_str(), found["has_keys"].as_bool()), (Some("65532:65532"), Some(true)));
    assert_eq!(found["packages"][0]["signed_by"].as_str(), Some(wines.signer.as_str()));
    assert_eq!(found["packages"][0]["trusted"], true);
    let other = wines.sandbox.run(&["deploy", "verify", &wines.text("image"), "--trust", &"0".repeat(64)]);
    assert_eq!(other.json["error"]["code"], "untrusted", "{}", other.stdout);
    nothing_to_run_but_the_server(&wines);
    match Registry::start(&wines.sandbox, "") {
        Some(registry) => to_a_registry_and_back(&wines, &program, &registry, first["digest"].as_str().unwrap()),
        None => println!("left out: there is no container registry here (docker-registry)"),
    }
    run_it(&wines);
}

/// Two folders with the same files of the same bytes.
fn assert_same(one: &Path, two: &Path) {
    let list = |folder: &Path| {
        let mut files = vec![];
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.push(entry.path().strip_prefix(folder).unwrap().to_owned()),
                }
            }
        }
        files.sort();
        files
    };
    assert_eq!(list(one), list(two));
    for file in list(one) {
        assert!(fs::read(one.join(&file)).unwrap() == fs::read(two.join(&file)).unwrap(), "{}", file.display());
    }
}

/// No shell, and no second program, but the loader of the first.
fn nothing_to_run_but_the_server(wines: &Wines) {
    wines.sandbox.ok(&["deploy", "unpack", &wines.text("image"), "-o", &wines.text("bundle")]);
    let root = wines.sandbox.path("bundle/rootfs");
    let mut programs = vec![];
    let mut folders = vec![root.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            use std::os::unix::fs::PermissionsExt;
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            assert!(!metadata.is_symlink(), "{}", entry.path().display());
            match metadata.is_dir() {
                true => folders.push(entry.path()),
                false if metadata.permissions().mode() & 0o111 != 0 => programs.push(entry.file_name()),
                false => {}
            }
        }
    }
    programs.retain(|name| !name.to_string_lossy().starts_with("ld-"));
    assert_eq!(programs, ["athanor-serve"]);
    let again = wines.sandbox.run(&["deploy", "unpack", &wines.text("image"), "-o", &wines.text("bundle")]);
    assert_eq!(again.json["error"]["code"], "conflict", "a folder that is not empty was written to");
}

/// A program of headers alone that says it is the slim server of `version`, for the processor that this machine has not:
/// quick where nothing is run.
fn foreign_program(sandbox: &Sandbox, version: &str) -> String {
    let mut file = vec![0_u8; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let (x86_64, aarch64) = (62_u16, 183_u16);
    let machine = if cfg!(target_arch = "aarch64") { x86_64 } else { aarch64 };
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file.extend(format!("the slim server of Athanor, version {version}\n").bytes());
    let path = sandbox.path("foreign-program");
    fs::write(&path, file).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The version of the programs that are tested.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn only_the_slim_server_of_this_version_goes_into_an_image_or_a_bundle() {
    let wines = Wines::new();
    let whole = built("athanor").to_str().unwrap().to_owned();
    let (old, broken) = (foreign_program(&wines.sandbox, "0.0.1"), wines.sandbox.write("broken", "no program"));
    for (program, words) in [
        (old.as_str(), "has version 0.0.1"),
        ("/bin/true", "is not the slim server"),
        (&whole, "is not the slim server"),
        (broken.to_str().unwrap(), "is no Linux program"),
    ] {
        for (what, to) in [("image", "image"), ("edge", "edge.tar.gz")] {
            let args = ["deploy", what, "wine@production", "-o", &wines.text(to), "--program", program];
            let ended = wines.sandbox.run(&args);
            let error = &ended.json["error"];
            let message = error["message"].as_str().unwrap_or_default();
            assert!(ended.status == 1 && message.contains(words), "{program}: {}", ended.stdout);
            assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("--program")), "{}", ended.stdout);
            assert!(!wines.sandbox.path(to).exists(), "something was written for {program}");
        }
    }
}

#[test]
fn an_image_with_a_changed_or_missing_byte_is_refused() {
    let wines = Wines::new();
    let made = image(&wines, &foreign_program(&wines.sandbox, VERSION), "image", &[]);
    assert_eq!(made["was_started"], false, "a program for another machine");
    let image = wines.sandbox.path("image");
    let blobs: Vec<PathBuf> =
        fs::read_dir(image.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(blobs.len(), 4, "two layers, a configuration, a manifest");
    let refused = |what: &str| {
        let ended = wines.sandbox.run(&["deploy", "verify", image.to_str().unwrap()]);
        assert_eq!(ended.status, 1, "{what}: {}", ended.stdout);
    };
    for blob in &blobs {
        let good = fs::read(blob).unwrap();
        for at in (0..good.len()).step_by(good.len() / 5 + 1).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(blob, &bad).unwrap();
            refused("a changed byte");
        }
        fs::write(blob, &good[..good.len() - 1]).unwrap();
        refused("a byte less");
        fs::remove_file(blob).unwrap();
        refused("a blob that is gone");
        fs::write(blob, good).unwrap();
    }
    assert_eq!(wines.sandbox.run(&["deploy", "verify", image.to_str().unwrap()]).status, 0);
}

/// The password of the registry below; with what its file of users has of it (bcrypt).
const PASSWORD: &str = "not a real secret";
const USERS: &str = "ann:$2b$05$EETV2K8rffcVH37ptEf4G.5y9N0wivzBCcGxrmrf0sX/dtwhVXvy.\n";

#[test]
fn a_registry_that_asks_who_is_there_is_told() {
    let wines = Wines::new();
    let users = wines.sandbox.write("users", USERS);
    let auth = format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}\n", users.display());
    let Some(registry) = Registry::start(&wines.sandbox, &auth) else {
        println!("left out: there is no container registry here (docker-registry)");
        return;
    };
    let name = format!("{}/wine:1", registry.host);
    let docker = wines.sandbox.path("docker");
    let program = foreign_program(&wines.sandbox, VERSION);
    let push = |user: &[&str], password: &str| {
        let args = [&["deploy", "image", "wine", "--push", &name, "--program", &program, "--json"], user].concat();
        let mut command = wines.sandbox.command(&args);
        command.env("DOCKER_CONFIG", &docker).env("ATHANOR_REGISTRY_PASSWORD", password);
        let ended = done(command.output().unwrap());
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!shown.contains(PASSWORD) && !shown.contains("a wrong one"), "a password is shown: {shown}");
        ended
    };
    for (user, password) in [(&[][..], ""), (&["--username", "ann"], "a wrong one"), (&["--username", "ann"], "")] {
        let refused = push(user, password);
        assert_eq!(refused.json["error"]["code"], "unauthenticated", "{user:?}: {}", refused.stdout);
    }
    let pushed = push(&["--username", "ann"], PASSWORD);
    assert_eq!(pushed.status, 0, "{}", pushed.stderr);
    // As `docker login` writes it down.
    use base64::Engine as _;
    let known = base64::engine::general_purpose::STANDARD.encode(format!("ann:{PASSWORD}"));
    wines.sandbox.write("docker/config.json", &json!({ "auths": { &registry.host: { "auth": known } } }).to_string());
    let again = push(&[], "");
    assert_eq!((again.status, &again.json["pushed"]["n_sent"]), (0, &json!(0)), "{}", again.stderr);
}

fn to_a_registry_and_back(wines: &Wines, program: &str, registry: &Registry, digest: &str) {
    let name = format!("{}/team/wine:1", registry.host);
    let keys = wines.text("keys.jsonl");
    let made = image(wines, program, "image", &["--keys", &keys, "--push", &name]);
    assert_eq!(made["digest"], digest);
    assert_eq!(made["pushed"]["pinned"], format!("{}/team/wine@{digest}", registry.host));
    assert_eq!(made["pushed"]["n_sent"], 3);
    let again = image(wines, program, "image", &["--keys", &keys, "--push", &name]);
    assert_eq!((&again["pushed"]["n_sent"], &again["pushed"]["n_known"]), (&json!(0), &json!(3)), "it was there");

    let found = wines.sandbox.ok(&["deploy", "verify", &name]);
    assert_eq!((found["digest"].as_str(), found["packages"][0]["trusted"].as_bool()), (Some(digest), Some(true)));
    // Somebody who knows nothing of us but the registry's interface sees an image of the specification's types.
    let manifest = client()
        .get(format!("http://{}/v2/team/wine/manifests/1", registry.host))
        .header("Accept", "application/vnd.oci.image.manifest.v1+json")
        .send()
        .unwrap();
    assert_eq!(manifest.headers()["docker-content-digest"], digest);
    let manifest: Value = manifest.json().unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");

    let none = wines.sandbox.run(&["deploy", "verify", &format!("{}/team/beer:1", registry.host)]);
    assert_eq!(none.json["error"]["code"], "not_found", "{}", none.stdout);
    let nobody = wines.sandbox.run(&["deploy", "verify", "127.0.0.1:1/team/wine:1"]);
    assert_eq!(nobody.json["error"]["code"], "unavailable", "{}", nobody.stdout);
    let unnamed = wines.sandbox.run(&["deploy", "image", "wine", "--push", "wine:1", "--program", program]);
    assert_eq!(unnamed.json["error"]["code"], "invalid_argument", "{}", unnamed.stdout);

    // What the registry's disk has changed is noticed by whoever fetches it.
    let config = manifest["config"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let blob = registry.folder.join("docker/registry/v2/blobs/sha256").join(&config[..2]).join(config).join("data");
    let text = fs::read_to_string(&blob).unwrap();
    fs::write(&blob, text.replace("65532:65532", "0:0        ")).unwrap();
    let changed = wines.sandbox.run(&["deploy", "verify", &name]);
    assert_eq!(changed.json["error"]["code"], "corrupt", "{}", changed.stdout);
    assert!(registry.running.pid() > 0);
}

/// Runs the unpacked image by crun where the machine lets it.
fn run_it(wines: &Wines) {
    let Some(crun) = on_path("crun") else {
        println!("left out: there is no container runtime here (crun)");
        return;
    };
    let bundle = wines.sandbox.path("bundle");
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // The container has the machine's network here: a port that is free, on this machine alone.
    config["process"]["args"].as_array_mut().unwrap().extend(["--json", "--bind", "127.0.0.1:0"].map(Value::from));
    fs::write(&path, config.to_string()).unwrap();
    let root = wines.sandbox.path("crun");
    let name = format!("athanor-test-{}", std::process::id());
    let run = format!(
        "exec {} --root {} --cgroup-manager=disabled run --bundle {} {name}",
        crun.display(),
        root.display(),
        bundle.display()
    );
    // crun wants the second kind of control groups. Where the machine mixes both, it sees the second alone in a view of
    // its own.
    let plain = format!("exec sh -c '{run}'");
    let apart = format!("exec unshare --mount sh -c 'mount -t cgroup2 none /sys/fs/cgroup && {run}'");
    for script in [plain, apart] {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::of(command.spawn().unwrap());
        let line = running.line();
        let Ok(line) = serde_json::from_str::<Value>(&line) else {
            let ended: Done = running.done();
            println!("this way the machine runs no containers: {}", ended.stderr.trim());
            continue;
        };
        let url = line["endpoint"].as_str().unwrap().to_owned();
        println!("the container listens after {} ms", line["started_in_millis"]);
        assert_eq!(line["models"], json!([{ "model": "wine", "version": 1 }]));
        assert_eq!(infer(&url, Some(&wines.key)), Ok("class_0".to_owned()));
        assert_eq!(infer(&url, None), Err(401));
        let stop = Command::new(&crun).arg("--root").arg(&root).args(["kill", &name, "TERM"]).status();
        if !stop.is_ok_and(|status| status.success()) {
            signal(running.pid(), "TERM");
        }
        let ended = running.done();
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        return;
    }
    println!("left out: this machine runs no containers");
}

#[test]
fn a_platforms_container_serves_without_keys_where_that_was_said() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let mut command = wines.slim();
    command.args(["--access", "platform", "--bind", "127.0.0.1:0"]);
    let mut running = Running::of(command.spawn().unwrap());
    let url = told(&mut running)["endpoint"].as_str().unwrap().to_owned();
    assert_eq!(infer(&url, None), Ok("class_0".to_owned()));
    // On this machine alone it still answers to its own names only.
    let foreign = client().get(format!("{url}/v1/models")).header("Host", "evil.example").send().unwrap();
    assert_eq!(foreign.status(), 403);
    assert_eq!(client().get(format!("{url}/ping")).send().unwrap().status(), 200);
    let body = json!({ "dataframe_records": [first_wine()] });
    let answer = client().post(format!("{url}/invocations")).json(&body).send().unwrap();
    assert_eq!(answer.json::<Value>().unwrap(), json!({ "predictions": ["class_0"] }));
}

#[test]
fn vertex_ai_names_port_and_routes_in_the_environment() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let mut command = wines.slim();
    command.args(["--access", "platform", "--bind", "127.0.0.1:0"]);
    command.env("AIP_HEALTH_ROUTE", "/healthy").env("AIP_PREDICT_ROUTE", "/v1/endpoints/7/deployedModels/8:predict");
    command.env("AIP_STORAGE_URI", "gs://nowhere/model").env("AIP_DEPLOYED_MODEL_ID", "8");
    let mut running = Running::of(command.spawn().unwrap());
    let url = told(&mut running)["endpoint"].as_str().unwrap().to_owned();
    assert_eq!(client().get(format!("{url}/healthy")).send().unwrap().status(), 200);
    let body = json!({ "instances": [first_wine()] });
    let predict = format!("{url}/v1/endpoints/7/deployedModels/8:predict");
    let answer: Value = client().post(predict).json(&body).send().unwrap().json().unwrap();
    assert_eq!(answer["predictions"][0], "class_0", "{answer}");
    signal(running.pid(), "TERM");
    assert!(running.done().stderr.contains("AIP_STORAGE_URI"), "what is not read is said");
}

#[test]
fn a_bundle_for_a_small_machine_holds_all_that_it_needs() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let program = lean_program(&wines.sandbox);
    let make = |to: &str| {
        let (output, keys) = (wines.text(to), wines.text("keys.jsonl"));
        let args = ["deploy", "edge", "wine@production", "-o", &output, "--program", &program, "--keys", &keys];
        wines.sandbox.ok(&args)
    };
    let first = make("one.tar.gz");
    assert_eq!(first["digest"], make("two.tar.gz")["digest"]);
    println!("the bundle: {} bytes", first["n_bytes"]);
    assert_eq!(first["was_started"], true, "{first}");
    assert_eq!(first["n_bytes"].as_u64(), Some(fs::metadata(wines.sandbox.path("one.tar.gz")).unwrap().len()));
    let folder = wines.sandbox.path("machine");
    fs::create_dir(&folder).unwrap();
    let unpacked =
        Command::new("tar").arg("-xzf").arg(wines.sandbox.path("one.tar.gz")).arg("-C").arg(&folder).status();
    assert!(unpacked.unwrap().success());
    let home = folder.join("wine-1-edge");
    let alone = wines.text("alone.onnx");
    wines.sandbox.ok(&["models", "export", "wine@production", "--onnx", "-o", &alone]);
    assert_eq!(fs::read(home.join("wine.onnx")).unwrap(), fs::read(alone).unwrap(), "the model as ONNX");
    assert!(fs::read_to_string(home.join("README.md")).unwrap().contains(&wines.signer));
    let mut command = Command::new(home.join("start.sh"));
    command.args(["--json", "--bind", "127.0.0.1:0", "--keys"]).arg(home.join("keys.jsonl"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::of(command.spawn().unwrap());
    let url = told(&mut running)["endpoint"].as_str().unwrap().to_owned();
    assert_eq!(infer(&url, Some(&wines.key)), Ok("class_0".to_owned()));
    // Read-only files of a bundle are no obstacle to taking it away.
    let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&folder).status();
}

#[test]
fn a_prediction_that_is_killed_goes_on_and_ends_with_the_same_bytes() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let text = fs::read_to_string(samples().join("wine.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let table = wines.sandbox.write("many.csv", &format!("{header}\n{}", rows.repeat(6_000)));
    let (table, whole, broken) =
        (table.to_str().unwrap().to_owned(), wines.text("whole.csv"), wines.text("broken.csv"));
    let unbroken = wines.sandbox.ok(&["predict", "wine@production", &table, "-o", &whole]);
    assert_eq!((unbroken["n_rows"].as_u64(), unbroken["n_resumed"].as_u64()), (Some(1_068_000), Some(0)));

    let parts = wines.sandbox.path(".broken.csv.athanor-parts");
    let mut running = wines.sandbox.start(&["predict", "wine@production", &table, "-o", &broken]);
    // The first line says which job it is.
    let n_lines =
        || fs::read(parts.join("journal")).map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count());
    running.wait_until("two parts are noted", || (n_lines() >= 3).then_some(()));
    running.kill();
    assert!(!Path::new(&broken).exists());
    let resumed = wines.sandbox.ok(&["predict", "wine@production", &table, "-o", &broken]);
    assert!(resumed["n_resumed"].as_u64().unwrap() >= 65_536, "{resumed}");
    assert_eq!(resumed["n_rows"], 1_068_000);
    assert!(fs::read(&broken).unwrap() == fs::read(&whole).unwrap(), "other bytes than those of an unbroken run");
    assert!(!parts.exists());
    let report = |name: &str| -> Value {
        let mut report: Value = serde_json::from_slice(&fs::read(wines.text(name)).unwrap()).unwrap();
        report.as_object_mut().unwrap().retain(|key, _| !["seconds", "n_resumed"].contains(&key.as_str()));
        report
    };
    assert_eq!(report("broken.csv.report.json"), report("whole.csv.report.json"));
    // Values far from all wines are counted.
    let (_, others) = rows.lines().next().unwrap().split_once(',').unwrap();
    let far = wines.sandbox.write("far.csv", &format!("{header}\n99999,{others}\n"));
    let far = wines.sandbox.ok(&["predict", "wine", far.to_str().unwrap(), "-o", &wines.text("far-out.csv")]);
    assert_eq!(far["out_of_range"].as_object().unwrap().len(), 1, "{far}");
}

#[test]
fn a_schedule_that_was_missed_is_made_up_for_once_while_the_endpoint_serves() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wines = Wines::new();
    let sandbox = &wines.sandbox;
    let (table, to) = (samples().join("wine.csv"), wines.text("nightly.csv"));
    let predict = ["predict", "wine@production", table.to_str().unwrap(), "-o", &to];
    let added = sandbox.ok(&[&["schedule", "add", "--cron", "0 3 1 1 *"], &predict[..]].concat());
    let wrong = sandbox.run(&[&["schedule", "add", "--cron", "61 * * * *"], &predict[..]].concat());
    assert_eq!(wrong.status, 2, "{}", wrong.stdout);
    // As if it had been added two years ago: two times were missed.
    let path = sandbox.workspace().join("schedules.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let years = 2 * 366 * 86_400_000_i64;
    let before = document["schedules"][0]["added_millis"].as_i64().unwrap() - years;
    document["schedules"][0]["added_millis"] = json!(before);
    fs::write(&path, document.to_string()).unwrap();

    let mut running = sandbox.start(&["serve", "--no-ui", "--bind", "127.0.0.1:0"]);
    told(&mut running);
    let executions = || sandbox.ok(&["schedule", "list"])["schedules"][0]["executions"].clone();
    running.wait_until("the prediction is made", || executions()[0]["ended_millis"].is_i64().then_some(()));
    let done = executions();
    assert_eq!((done.as_array().unwrap().len(), done[0]["n_rows"].as_u64()), (1, Some(178)), "{done}");
    assert!(done[0]["failure"].is_null() && done[0]["version"] == 1, "{done}");
    assert_eq!(fs::read_to_string(&to).unwrap().lines().count(), 179);
    let report: Value = serde_json::from_slice(&fs::read(format!("{to}.report.json")).unwrap()).unwrap();
    assert_eq!((report["model"].as_str(), report["n_rows"].as_u64()), (Some("wine"), Some(178)));
    signal(running.pid(), "TERM");
    assert_eq!(running.done().status, 0);
    sandbox.ok(&["schedule", "remove", added["id"].as_str().unwrap()]);
    assert_eq!(sandbox.ok(&["schedule", "list"])["schedules"], json!([]));
}
