//! The servers: how each is set up, started, asked and ended.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{project, wrk::Request};

const TABLE: &str = "datasets/samples/breast_cancer.csv";
const TARGET: &str = "diagnosis";
/// How long a server may take until it answers: the peers import much.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Athanor,
    Mlserver,
    Bentoml,
    Mlflow,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Athanor, Self::Mlserver, Self::Bentoml, Self::Mlflow];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Athanor => "athanor",
            Self::Mlserver => "mlserver",
            Self::Bentoml => "bentoml",
            Self::Mlflow => "mlflow",
        }
    }

    /// Processes that are tried. MLServer's 0 is its own process, which is its fastest for small models.
    pub(crate) fn worker_counts(self) -> Vec<usize> {
        let n_processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match self {
            Self::Athanor => vec![1],
            Self::Mlserver => vec![0, 1],
            Self::Bentoml | Self::Mlflow => vec![1, n_processors],
        }
    }

    /// Its Python, where the environment names one.
    pub(crate) fn python(self) -> Option<PathBuf> {
        let variable = format!("ATHANOR_PEER_{}", self.name().to_uppercase());
        std::env::var_os(variable).map(PathBuf::from)
    }
}

/// What is the same for all servers: the table's first row, our workspace with both models, the peers' models.
pub(crate) struct Setup {
    folder: PathBuf,
    program: PathBuf,
    key: String,
    names: Vec<String>,
    row: Vec<f64>,
}

impl Setup {
    /// Trains our models.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let own = std::env::current_exe()?;
        let built = own.parent().and_then(Path::parent).context("no build folder")?;
        let program = built.join(format!("athanor{}", std::env::consts::EXE_SUFFIX));
        let (names, rows) = table()?;
        let row = rows.into_iter().next().context("the table is empty")?;
        let mut setup = Self { folder: folder.to_owned(), program, key: String::new(), names, row };
        let flow = folder.join("flow.json");
        fs::write(&flow, setup.workflow()?.to_string())?;
        let run = setup.ask(&["run".as_ref(), flow.as_os_str()])?;
        ensure!(run["status"] == "finished", "{run}");
        let key = setup.ask(&["keys".as_ref(), "create".as_ref()])?;
        setup.key = key["key"].as_str().context("no key")?.to_owned();
        Ok(setup)
    }

    /// The table's columns but the target, and its rows.
    pub(crate) fn table(&self) -> Result<(Vec<String>, Vec<Vec<f64>>)> {
        table()
    }

    /// Our program on our workspace.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--workspace").arg(self.folder.join("workspace"));
        command
    }

    /// A folder for files of this run.
    pub(crate) fn scratch(&self) -> &Path {
        &self.folder
    }

    fn workflow(&self) -> Result<Value> {
        let learner = |id: &str, kind: &str, more: Value| {
            let mut params = json!({ "target": TARGET });
            if let (Some(params), Some(more)) = (params.as_object_mut(), more.as_object()) {
                params.extend(more.clone());
            }
            json!({ "id": id, "kind": kind, "params": params })
        };
        let register = |id: &str, name: &str| json!({ "id": id, "kind": "register", "params": { "name": name, "alias": "production" } });
        let link = |from: &str, to: &str| json!({ "from": from, "to": to });
        Ok(json!({
            "version": 2, "name": "peers",
            "nodes": [
                { "id": "open", "kind": "table.open", "params": { "path": project(TABLE)? } },
                { "id": "split", "kind": "split", "params": { "stratify": TARGET } },
                learner("linear", "train.linear", json!({})),
                learner("net", "train.mlp", json!({ "hidden": [64, 32], "epochs": 30 })),
                register("first", "logistic"), register("second", "mlp")],
            "links": [
                link("open.table", "split.table"), link("split.splits", "linear.splits"),
                link("split.splits", "net.splits"), link("linear.model", "first.model"), link("net.model", "second.model")],
        }))
    }

    fn ask(&self, args: &[&std::ffi::OsStr]) -> Result<Value> {
        let mut command = Command::new(&self.program);
        let output = command.args(args).args(["--json", "--workspace"]).arg(self.folder.join("workspace")).output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
    }

    /// Trains a peer's models, once.
    pub(crate) fn train(&self, kind: Kind, python: &Path) -> Result<PathBuf> {
        let home = self.folder.join(kind.name());
        if !home.exists() {
            let mut command = Command::new(python);
            command.arg(project("tests/fixtures/peers/train.py")?).arg(project(TABLE)?).arg(TARGET);
            let output = command.arg(&home).arg(kind.name()).output()?;
            ensure!(output.status.success(), "{}: {}", kind.name(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(home)
    }
}

fn table() -> Result<(Vec<String>, Vec<Vec<f64>>)> {
    let text = fs::read_to_string(project(TABLE)?)?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().context("the table is empty")?.split(',').collect();
    let is_input = |at: usize| head.get(at).is_some_and(|name| *name != TARGET);
    let names = head.iter().filter(|name| **name != TARGET).map(|name| (*name).to_owned()).collect();
    let rows = lines.map(|line| {
        let cells = line.split(',').enumerate().filter(|(at, _)| is_input(*at));
        cells.map(|(_, cell)| Ok(cell.parse::<f64>()?)).collect()
    });
    Ok((names, rows.collect::<Result<_>>()?))
}

/// A server that answers. Dropped, it ends with all its processes.
pub(crate) struct Server<'a> {
    kind: Kind,
    setup: &'a Setup,
    model: String,
    child: Child,
    base: String,
    ready_millis: f64,
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        for process in tree(self.child.id()) {
            // Each is of the tree that we started. What has ended already needs no signal.
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

impl<'a> Server<'a> {
    /// Starts it and waits until it answers; `None` where its environment is not named.
    pub(crate) fn start(kind: Kind, setup: &'a Setup, model: &str, workers: usize) -> Result<Option<Self>> {
        let python = kind.python();
        if python.is_none() && kind != Kind::Athanor {
            return Ok(None);
        }
        let python = python.unwrap_or_default();
        let tool = |name: &str| python.with_file_name(name);
        let ports = [free_port()?, free_port()?, free_port()?];
        let port = ports[0].to_string();
        let mut command = match kind {
            Kind::Athanor => {
                let mut command = Command::new(&setup.program);
                command.args(["serve", "--no-ui", "--bind", &format!("127.0.0.1:{port}"), "--json", "--workspace"]);
                command.arg(setup.folder.join("workspace"));
                command
            }
            Kind::Mlserver => {
                let home = setup.train(kind, &python)?;
                let mut command = Command::new(tool("mlserver"));
                command.arg("start").arg(home.join(model)).env("MLSERVER_HOST", "127.0.0.1");
                command.env("MLSERVER_HTTP_PORT", &port).env("MLSERVER_GRPC_PORT", ports[1].to_string());
                command.env("MLSERVER_METRICS_PORT", ports[2].to_string()).env("MLSERVER_DEBUG", "false");
                command.env("MLSERVER_PARALLEL_WORKERS", workers.to_string());
                command
            }
            Kind::Bentoml => {
                let home = setup.train(kind, &python)?;
                let mut command = Command::new(tool("bentoml"));
                command.args(["serve", "bento_service:Peer", "--host", "127.0.0.1", "--port", &port, "--working-dir"]);
                command.arg(project("tests/fixtures/peers")?).env("PEER_MODEL", home.join(model).join("model.joblib"));
                command.env("PEER_WORKERS", workers.to_string()).env("BENTOML_HOME", setup.folder.join("bento"));
                command.env("BENTOML_DO_NOT_TRACK", "True");
                command
            }
            Kind::Mlflow => {
                let home = setup.train(kind, &python)?;
                let mut command = Command::new(tool("mlflow"));
                command.args(["models", "serve", "--env-manager", "local", "-h", "127.0.0.1", "-p", &port, "-w"]);
                command.arg(workers.to_string()).arg("-m").arg(home.join(model).join("model"));
                // It starts its server by name.
                let bin = python.parent().context("no folder of programs")?.to_owned();
                let path = std::env::var_os("PATH").unwrap_or_default();
                command.env("PATH", std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path)))?);
                command
            }
        };
        let log = fs::File::create(setup.folder.join(format!("{}.log", kind.name())))?;
        command.stderr(log.try_clone()?);
        if kind == Kind::Athanor {
            command.stdout(Stdio::piped())
        } else {
            command.stdout(log)
        };
        let begun = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", kind.name()))?;
        if let Some(stdout) = child.stdout.take() {
            // Read to its end on a thread, so that it never blocks.
            std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(drop));
        }
        let base = format!("http://127.0.0.1:{port}");
        let mut server = Self { kind, setup, model: model.to_owned(), child, base, ready_millis: 0.0 };
        server.wait(begun)?;
        server.ready_millis = begun.elapsed().as_secs_f64() * 1e3;
        server.check()?;
        Ok(Some(server))
    }

    fn wait(&mut self, begun: Instant) -> Result<()> {
        let client = client(Duration::from_secs(2))?;
        let path = match self.kind {
            Kind::Athanor => "/v2/health/ready".to_owned(),
            Kind::Mlserver => format!("/v2/models/{}/ready", self.model),
            Kind::Bentoml => "/readyz".to_owned(),
            Kind::Mlflow => "/ping".to_owned(),
        };
        let url = format!("{}{path}", self.base);
        loop {
            if client.get(&url).send().is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.setup.folder.join(format!("{}.log", self.kind.name())));
                let log = log.unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("{} ended: {status}: {}", self.kind.name(), lines.join(" | "));
            }
            ensure!(begun.elapsed() < PATIENCE, "{} is not ready after {PATIENCE:?}", self.kind.name());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// One answer, before it is asked for thousands.
    fn check(&self) -> Result<()> {
        let request = self.request();
        let mut ask = client(Duration::from_secs(30))?.post(&request.url).body(request.body);
        for (name, value) in &request.headers {
            ask = ask.header(name, value);
        }
        let answer = ask.send()?;
        let (status, text) = (answer.status(), answer.text()?);
        ensure!(status.is_success(), "{}: {status} {text}", self.kind.name());
        Ok(())
    }

    /// One row, as the server wants it.
    pub(crate) fn request(&self) -> Request {
        let (names, row) = (&self.setup.names, &self.setup.row);
        let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let tensor = |name: &str| json!({ "inputs": [{ "name": name, "shape": [1, row.len()], "datatype": "FP64", "data": row }] });
        let (path, body) = match self.kind {
            Kind::Athanor => {
                headers.push(("Authorization".to_owned(), format!("Bearer {}", self.setup.key)));
                (format!("/v2/models/{}/infer", self.model), tensor("inputs"))
            }
            Kind::Mlserver => (format!("/v2/models/{}/infer", self.model), tensor("predict")),
            Kind::Bentoml => ("/predict".to_owned(), json!({ "rows": [row] })),
            Kind::Mlflow => {
                ("/invocations".to_owned(), json!({ "dataframe_split": { "columns": names, "data": [row] } }))
            }
        };
        Request { url: format!("{}{path}", self.base), headers, body: body.to_string() }
    }

    /// Until it answered that it is ready.
    pub(crate) fn ready_millis(&self) -> f64 {
        self.ready_millis
    }

    /// Memory that all its processes hold now.
    pub(crate) fn megabytes(&self) -> f64 {
        tree(self.child.id()).into_iter().map(resident_megabytes).sum()
    }
}

fn client(patience: Duration) -> Result<reqwest::blocking::Client> {
    athanor_serve::use_ring();
    Ok(reqwest::blocking::Client::builder().no_proxy().timeout(patience).build()?)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A process and all that it started.
fn tree(root: u32) -> Vec<u32> {
    let mut parents = vec![];
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    let mut all = vec![root];
    let mut at = 0;
    while let Some(&process) = all.get(at) {
        all.extend(parents.iter().filter(|(id, parent)| *parent == process && *id != process).map(|(id, _)| *id));
        at += 1;
    }
    all
}

fn resident_megabytes(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
