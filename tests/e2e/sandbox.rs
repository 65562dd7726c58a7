//! A workspace in a temporary folder and the program that works on it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a slow, busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The program under test.
pub fn athanor() -> PathBuf {
    built("athanor")
}

/// A program that is built beside the test programs.
pub fn built(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") || path.ends_with("examples") {
        path.pop();
    }
    let path = path.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is not built; cargo xtask test builds it", path.display());
    path
}

/// The repository's sample folder.
pub fn samples() -> PathBuf {
    // Tests run in their package's folder. What was compiled in may be another checkout's: they share a build folder.
    std::env::current_dir().unwrap().parent().unwrap().join("datasets/samples")
}

/// A sample workflow.
pub fn sample(name: &str) -> PathBuf {
    samples().join("workflows").join(format!("{name}.json"))
}

/// A workspace and a place for files.
pub struct Sandbox {
    pub folder: TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Done {
    pub status: i32,
    pub json: Value,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn workspace(&self) -> PathBuf {
        self.path("workspace")
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program with this workspace, its output captured.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(athanor());
        command
            .args(args)
            .arg("--workspace")
            .arg(self.workspace())
            .env_remove("ATHANOR_WORKSPACE")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command with `--json` to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        done(self.command(args).arg("--json").output().unwrap())
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> Value {
        let done = self.run(args);
        assert_eq!(done.status, 0, "{args:?}: {}\n{}", done.stdout, done.stderr);
        done.json
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child: Some(child) }
    }

    /// The id of the only run, once it is there.
    pub fn only_run(&self, running: &mut Running) -> String {
        running.wait_until("a run is listed", || {
            // The workspace may still be in the making.
            let done = self.run(&["runs", "list"]);
            done.json["runs"][0]["id"].as_str().map(str::to_owned)
        })
    }

    /// The worker's process id, once it is at work.
    pub fn worker_pid(&self, run: &str) -> Option<u32> {
        let text = fs::read_to_string(self.workspace().join("jobs").join(run).join("worker.pid")).ok()?;
        serde_json::from_str::<(u32, u64)>(&text).ok().map(|(pid, _)| pid)
    }

    /// Whether the run's folder holds a checkpoint.
    pub fn has_checkpoint(&self, run: &str) -> bool {
        let folder = self.workspace().join("jobs").join(run).join("checkpoints");
        let steps = fs::read_dir(folder).into_iter().flatten().flatten();
        let files = steps.flat_map(|step| fs::read_dir(step.path()).into_iter().flatten().flatten());
        files.into_iter().any(|file| !file.file_name().to_string_lossy().contains("tmp"))
    }
}

/// Reads what a process printed.
pub fn done(output: Output) -> Done {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    Done {
        status: output.status.code().unwrap_or(-1),
        json,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout,
    }
}

/// A process that is still at work; killed when the test ends.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    /// A process that was started elsewhere.
    pub fn of(child: Child) -> Self {
        Self { child: Some(child) }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for a state, as long as the process lives that must bring it about.
    pub fn wait_until<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if !self.is_running() {
                // It may have come about just before the end.
                if let Some(found) = look() {
                    return found;
                }
                let done = done(self.child.take().unwrap().wait_with_output().unwrap());
                panic!("the process ended before {what}: {done:#?}");
            }
            assert!(began.elapsed() < PATIENCE, "waited too long until {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end.
    pub fn done(mut self) -> Done {
        done(self.child.take().unwrap().wait_with_output().unwrap())
    }

    /// Reads one line of its standard output.
    pub fn line(&mut self) -> String {
        let stdout = self.child.as_mut().unwrap().stdout.take().unwrap();
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        // Kept open, so that the process never writes into a closed pipe.
        std::mem::forget(reader);
        line
    }

    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a process lives (and is no zombie).
pub fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// Sends a signal with the shell's own command, which every system has.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap();
    assert!(sent.success(), "cannot signal {pid}");
}

/// The states of a run's steps, `node state`, in order.
pub fn states(run: &Value) -> String {
    let steps = run["steps"].as_array().unwrap();
    let text = |step: &Value| format!("{} {}", step["node"].as_str().unwrap(), step["state"].as_str().unwrap());
    steps.iter().map(text).collect::<Vec<_>>().join(", ")
}
