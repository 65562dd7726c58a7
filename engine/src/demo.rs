//! The demo: the whole journey on a bundled real table, with the same code as everything else, saying what happens.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use athanor_datasets::DescribeOptions;
use athanor_protocol::{Code, Failure, registry::Scope, run::RunStatus, table::DataSource};
use athanor_serve::ServeConfig;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::{
    cli::{Context, DemoArgs, bind, outcome_json, output::number, runtime, watched},
    error::{EngineError, IoContext, Result},
    files, keys,
    runs::{RunOptions, run_file},
    serving::Endpoint,
    workspace::Workspace,
};

const TABLE: &str = include_str!("../../datasets/samples/breast_cancer.csv");
const WORKFLOW: &str = include_str!("../../datasets/samples/workflows/breast_cancer.json");
/// The bundled workflow opens the table beside its own folder's parent.
const FILES: [(&str, &str); 2] =
    [("samples/breast_cancer.csv", TABLE), ("samples/workflows/breast_cancer.json", WORKFLOW)];
const TARGET: &str = "diagnosis";

/// A folder that was not there before.
pub(crate) fn fresh_folder() -> PathBuf {
    let ids = crate::ids::System;
    let now = crate::ids::Clock::now_millis(&ids);
    std::env::temp_dir().join(format!("athanor-demo-{}", crate::ids::IdSource::run_id(&ids, now)))
}

/// Does the journey.
pub(crate) fn run(context: &Context, args: &DemoArgs) -> Result<()> {
    let began = Instant::now();
    let out = context.out;
    out.say("Athanor: from a table to a signed model on a secured endpoint\n");

    let workspace = Workspace::init(&context.workspace)?;
    let root = workspace.root().to_owned();
    out.say(&format!("1  a workspace: {}", root.display()));
    for (name, content) in FILES {
        files::write_atomic(&root.join(name), content.as_bytes())?;
    }

    let table = root.join(FILES[0].0);
    let dataset = athanor_datasets::open(&DataSource::file(table.to_string_lossy()))?;
    let profile = dataset.describe(&DescribeOptions { max_top: 5, n_bins: 20 })?;
    let target = profile.columns.iter().find(|column| column.name == TARGET);
    let classes: Vec<String> = target
        .map(|column| column.top.iter().map(|top| format!("{} {}", top.count, top.value)).collect())
        .unwrap_or_default();
    out.say(&format!(
        "2  a real table: {} rows, {} columns, {TARGET}: {}",
        profile.n_rows,
        profile.columns.len(),
        classes.join(", ")
    ));

    out.say("3  a workflow runs in a worker process: open, split, train, evaluate, register");
    let flow = root.join(FILES[1].0);
    let options = RunOptions {
        set: vec![],
        device: args.device.clone(),
        seed: 0,
        threads: 0,
        memory_limit_bytes: 0,
        program: context.program.clone(),
    };
    crate::cli::stop_on_signal(&context.stop);
    let outcome = watched(context, |observe| run_file(&workspace, &flow, &options, &context.stop, observe))?;
    let summary = &outcome.detail.summary;
    if summary.status != RunStatus::Finished {
        let unknown = || Failure::new(Code::Internal, "the run did not finish");
        return Err(EngineError::Failure(summary.failure.clone().unwrap_or_else(unknown)));
    }
    let mut result = outcome_json(&outcome);
    let metric = |key: &str| result["metrics"][key].as_f64().map_or("?".to_owned(), number);
    out.say(&format!(
        "   on rows that it never saw: accuracy {}, ROC AUC {}",
        metric("test/accuracy"),
        metric("test/roc_auc")
    ));
    let Some(registered) = outcome.registered.first().cloned() else {
        return Err(EngineError::new(Code::Internal, "the run registered no model"));
    };
    out.say(&format!("4  a signed model: {}:{}, alias production", registered.model, registered.version));

    let (key_info, key) = keys::create(&workspace, "demo", &[Scope::Predict], None)?;
    let (row, actual) = one_row(&table)?;
    let workspace = Arc::new(workspace);
    let endpoint = Arc::new(Endpoint::new(Arc::clone(&workspace), "cpu")?);
    let (listener, bound) = bind("127.0.0.1:0", false)?;
    let url = format!("http://{bound}");
    out.say(&format!("5  a secured endpoint: {url}, key {}… (made for this demo)", &key[..12.min(key.len())]));
    let runtime = runtime()?;
    let (stop, stopped) = watch::channel(false);
    let server = runtime.spawn(Arc::clone(&endpoint).serve(listener, ServeConfig::new(bound), stopped));
    let prediction = ask(bound, &registered.model, &key, &row);
    if prediction.is_err() {
        keys::revoke(&workspace, &key_info.id)?;
    }
    let prediction = prediction?;
    let label = prediction["label"].as_str().unwrap_or_default();
    let probability = prediction["probabilities"][label].as_f64().map_or("?".to_owned(), number);
    out.say(&format!("6  a prediction over HTTP: {label} with probability {probability} (the table says {actual})"));

    let seconds = began.elapsed().as_secs_f64();
    if let Value::Object(fields) = &mut result {
        fields.insert("endpoint".to_owned(), json!(url));
        fields.insert("prediction".to_owned(), prediction);
        fields.insert("actual".to_owned(), json!(actual));
        fields.insert("workspace".to_owned(), json!(root));
        fields.insert("seconds".to_owned(), json!(seconds));
    }
    let wait = args.stay && context.stop.reason().is_none();
    if wait {
        out.say("\nserving until Ctrl-C; ask it yourself:");
        out.say(&format!("  curl {url}/v1/models/{}/predict -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n    -d '{}'", registered.model, json!({ "row": row })));
        while context.stop.reason().is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let _ = stop.send(true);
    let ended = runtime.block_on(server);
    if let Ok(Err(err)) = ended {
        return Err(err);
    }
    if !args.stay {
        keys::revoke(&workspace, &key_info.id)?;
    }
    let athanor = program_name(&context.program);
    out.result(&result, || {
        let root = root.display();
        format!(
            "\nDone in {seconds:.1} s. Go on:\n  {athanor} runs list --workspace {root}\n  {athanor} models show {0} --workspace {root}\n  \
             {athanor} run {root}/{1} --set train.hidden=128,64 --workspace {root}\n  \
             {athanor} keys create --workspace {root}\n  {athanor} serve --workspace {root}",
            registered.model, FILES[1].0
        )
    });
    Ok(())
}

/// How to call this program: by its name where the shell finds it, else by its path.
fn program_name(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name) == program);
    if found { name.to_string_lossy().into_owned() } else { program.display().to_string() }
}

/// The last row of the table as a JSON object without its target, and the target.
fn one_row(table: &Path) -> Result<(Map<String, Value>, String)> {
    let text = std::fs::read_to_string(table).at("read", table)?;
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default().split(',');
    let values = lines.last().unwrap_or_default().split(',');
    let mut row = Map::new();
    let mut actual = String::new();
    for (name, value) in names.zip(values) {
        if name == TARGET {
            value.clone_into(&mut actual);
        } else {
            row.insert(name.to_owned(), value.parse::<f64>().map_or_else(|_| json!(value), |number| json!(number)));
        }
    }
    Ok((row, actual))
}

/// Asks the endpoint as any client would: over HTTP, with the key.
fn ask(bound: SocketAddr, model: &str, key: &str, row: &Map<String, Value>) -> Result<Value> {
    let failed =
        |why: String| EngineError::new(Code::Unavailable, format!("the endpoint did not answer as it should: {why}"));
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build();
    let client = client.map_err(|err| failed(err.to_string()))?;
    let url = format!("http://{bound}/v1/models/{model}/predict");
    let answer =
        client.post(url).bearer_auth(key).json(&json!({ "row": row })).send().map_err(|err| failed(err.to_string()))?;
    let status = answer.status();
    let body: Value = answer.json().map_err(|err| failed(err.to_string()))?;
    if !status.is_success() {
        return Err(failed(format!("{status}: {body}")));
    }
    Ok(body["predictions"][0].clone())
}
