//! Answers about models, the endpoint and its keys.

use std::collections::BTreeMap;

use athanor_protocol::{
    Code, Failure,
    api::{
        AliasMoved, DeployForm, Deployed, Done, EndpointSecond, EndpointSeries, EndpointStatus, EndpointTry,
        KeyCreated, KeyDetails, KeyEntry, KeyPage, KeyRotated, ModelPage, ModelRegistered, OnnxMade, PredictAnswer,
        ProgramPacked, PushedImage, Reply, Request, ServedModel, TlsStatus, TryAnswer, VerifyAnswer, VersionPage,
    },
    explanation::{Contribution, Explanation, ExplanationMethod},
    metric::MetricValue,
    names::RunId,
    package::FinalMetric,
    registry::{ApiKeyInfo, KeyLimits, ModelSummary, ModelVersion, PRODUCTION, Scope},
    signature::{InputColumn, ModelSignature, Task},
    table::DataType,
};

use super::NOW_MILLIS;

const HOUR: i64 = 3_600_000;

/// The run that made a version of the sample models.
pub fn run_of_version(version: u32) -> Option<RunId> {
    Some(super::run_id(version as usize))
}

/// What a classifier of tumours takes and gives.
pub fn signature() -> ModelSignature {
    let input = |name: &str, dtype, nullable| InputColumn { name: name.to_owned(), dtype, nullable };
    ModelSignature {
        task: Task::Binary,
        target: "diagnosis".to_owned(),
        inputs: vec![
            input("mean_radius", DataType::Float, false),
            input("mean_texture", DataType::Float, true),
            input("n_lesions", DataType::Int, false),
            input("site", DataType::Text, true),
            input("smoker", DataType::Bool, false),
            input("examined_on", DataType::Date, true),
        ],
        classes: vec!["benign".to_owned(), "malignant".to_owned()],
    }
}

/// What a model of house prices takes and gives: many columns, a number.
pub fn wide_signature(n: usize) -> ModelSignature {
    let inputs = (1..=n)
        .map(|at| InputColumn { name: format!("feature_{at:02}"), dtype: DataType::Float, nullable: at % 3 == 0 })
        .collect();
    ModelSignature { task: Task::Regression, target: "price".to_owned(), inputs, classes: vec![] }
}

/// A version of the model `tumours`; the newest is 7, and 6 is in production.
pub fn model_version(version: u32) -> ModelVersion {
    let metric = |key: &str, value: f64| FinalMetric { key: key.to_owned(), value: MetricValue::Finite(value) };
    let step = f64::from(version);
    let mut signature = signature();
    if version < 6 {
        // Earlier versions knew another set of columns.
        signature.inputs.retain(|input| input.name != "examined_on");
        if let Some(input) = signature.inputs.iter_mut().find(|input| input.name == "n_lesions") {
            input.dtype = DataType::Float;
        }
    }
    let aliases: &[&str] = match version {
        7 => &["candidate"],
        6 => &[PRODUCTION],
        3 => &["baseline", "paper-2026"],
        _ => &[],
    };
    ModelVersion {
        model: "tumours".to_owned(),
        version,
        run_id: if version == 1 { None } else { run_of_version(version) },
        sha256: format!(
            "{:0>64}",
            format!("{version}9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
        )
        .chars()
        .take(64)
        .collect(),
        n_bytes: 61_440 + u64::from(version) * 3_217,
        signature,
        metrics: vec![
            metric("test/accuracy", 0.93 + step * 0.0074),
            metric("test/f1", 0.921 + step * 0.0081),
            metric("test/log_loss", 0.21 - step * 0.0189),
            metric("test/roc_auc", 0.962 + step * 0.0049),
            metric("valid/accuracy", 0.934 + step * 0.0061),
            metric("valid/loss", 0.19 - step * 0.0142),
            metric("train/loss", 0.15 - step * 0.0139),
        ],
        signed_by: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c".to_owned(),
        created_at_millis: NOW_MILLIS - i64::from(8 - version.min(8)) * 19 * HOUR + 17 * HOUR,
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        stage: super::stage_of(version),
    }
}

/// The models of the sample workspace.
pub fn model_summaries() -> Vec<ModelSummary> {
    let model = |name: &str, latest: u32, aliases: &[(&str, u32)], hours: i64| ModelSummary {
        name: name.to_owned(),
        n_versions: latest,
        latest,
        aliases: aliases.iter().map(|(alias, version)| ((*alias).to_owned(), *version)).collect(),
        updated_at_millis: NOW_MILLIS - hours * HOUR,
    };
    vec![
        model("churn", 12, &[(PRODUCTION, 11), ("shadow", 12)], 30),
        model("house-prices", 3, &[(PRODUCTION, 3)], 76),
        model("iris", 2, &[], 210),
        model("tumours", 7, &[("baseline", 3), ("candidate", 7), ("paper-2026", 3), (PRODUCTION, 6)], 2),
    ]
}

/// An endpoint at work.
pub fn endpoint_status() -> EndpointStatus {
    EndpointStatus {
        url: Some("http://127.0.0.1:8080".to_owned()),
        since_millis: Some(NOW_MILLIS - 2 * HOUR),
        grpc: None,
        tls: None,
        token_issuer: None,
        models: vec![
            ServedModel {
                model: "house-prices".to_owned(),
                version: 3,
                signature: wide_signature(34),
                example: BTreeMap::new(),
            },
            ServedModel {
                model: "tumours".to_owned(),
                version: 6,
                signature: signature(),
                example: BTreeMap::from([
                    ("mean_radius".to_owned(), serde_json::json!(13.37)),
                    ("mean_texture".to_owned(), serde_json::json!(18.84)),
                    ("n_lesions".to_owned(), serde_json::json!(2)),
                    ("site".to_owned(), serde_json::json!("left")),
                    ("smoker".to_owned(), serde_json::json!(false)),
                ]),
            },
        ],
        problem: None,
    }
}

/// An endpoint with everything that protects it.
pub fn protected_endpoint() -> EndpointStatus {
    EndpointStatus {
        url: Some("https://127.0.0.1:8080".to_owned()),
        grpc: Some("127.0.0.1:8081".to_owned()),
        tls: Some(TlsStatus {
            generated: true,
            certificate: "/home/ada/clinic/keys/tls.crt".to_owned(),
            expires_at_millis: Some(NOW_MILLIS + 380 * 24 * HOUR),
            client_certificates: true,
            client_is_key: true,
        }),
        token_issuer: Some("https://id.example".to_owned()),
        ..endpoint_status()
    }
}

/// The endpoint's last minutes, the same every time.
pub fn endpoint_series() -> EndpointSeries {
    let now = NOW_MILLIS / 1000;
    let seconds: Vec<EndpointSecond> = (0..240)
        .filter(|at| !(90..112).contains(at))
        .map(|at| {
            let wave = (f64::from(at) / 17.0).sin() + (f64::from(at) / 5.0).cos() * 0.4;
            EndpointSecond {
                at_secs: now - 239 + i64::from(at),
                n_requests: (18.0 + wave * 8.0) as u32,
                n_refused: u32::from(at % 37 == 0),
                n_failed: u32::from(at % 113 == 60),
                p50_micros: (820.0 + wave * 90.0) as u64,
                p99_micros: (2_900.0 + wave * 700.0) as u64,
            }
        })
        .collect();
    EndpointSeries { seconds, n_requests: 48_211, n_refused: 37, n_failed: 2 }
}

/// The keys of the sample workspace.
pub fn api_keys() -> Vec<ApiKeyInfo> {
    let key = |id: &str, name: &str, scopes: &[Scope], days: i64| ApiKeyInfo {
        id: id.to_owned(),
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        created_at_millis: NOW_MILLIS - days * 24 * HOUR,
        expires_at_millis: None,
        revoked_at_millis: None,
        last_used_at_millis: None,
    };
    vec![
        ApiKeyInfo {
            last_used_at_millis: Some(NOW_MILLIS - 180_000),
            expires_at_millis: Some(NOW_MILLIS + 60 * 24 * HOUR),
            ..key("k7q2m9xa", "ward 4 tablet", &[Scope::Predict], 30)
        },
        ApiKeyInfo {
            last_used_at_millis: Some(NOW_MILLIS - 26 * HOUR),
            ..key("f3n8c1zt", "deploy script", &[Scope::Predict, Scope::Admin], 41)
        },
        ApiKeyInfo {
            expires_at_millis: Some(NOW_MILLIS - 3 * 24 * HOUR),
            ..key("p0d4e6uv", "trial", &[Scope::Predict], 93)
        },
        ApiKeyInfo {
            revoked_at_millis: Some(NOW_MILLIS - 50 * HOUR),
            ..key("a1b5w7ks", "old laptop", &[Scope::Predict], 120)
        },
    ]
}

/// The same, with what they may ask for: one is limited and has two secrets, one is only used.
pub fn key_entries() -> Vec<KeyEntry> {
    let details = |id: &str| match id {
        "k7q2m9xa" => KeyDetails {
            limits: KeyLimits {
                requests_per_second: Some(20.0),
                rows_per_day: Some(1_000_000),
                ..KeyLimits::default()
            },
            n_requests_today: 1_204,
            n_rows_today: 18_960,
            old_valid_until_millis: Some(NOW_MILLIS + 20 * HOUR),
        },
        "f3n8c1zt" => KeyDetails { n_requests_today: 12, n_rows_today: 12, ..KeyDetails::default() },
        _ => KeyDetails::default(),
    };
    api_keys().into_iter().map(|info| KeyEntry { details: details(&info.id), info }).collect()
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::ModelList(_) => Reply::ModelList(Box::new(ModelPage { items: model_summaries(), next: None })),
        Request::ModelVersions(ask) => {
            let found = model_summaries().into_iter().find(|model| model.name == ask.model);
            let Some(found) = found else {
                let failure = Failure::new(Code::NotFound, format!("there is no model {:?}", ask.model));
                return Some(Err(failure.on(ask.model.as_str())));
            };
            let version = |version| {
                let mut item = model_version(version);
                if ask.model != "tumours" {
                    item.model.clone_from(&ask.model);
                    let pointing = found.aliases.iter().filter(|(_, at)| *at == version);
                    item.aliases = pointing.map(|(alias, _)| alias.clone()).collect();
                }
                item
            };
            let items = (1..=found.latest).rev().map(version).collect();
            Reply::ModelVersions(Box::new(VersionPage { items, next: None }))
        }
        Request::ModelAlias(ask) => {
            let found = model_summaries().into_iter().find(|model| model.name == ask.model);
            let previous = found.and_then(|model| {
                model.aliases.iter().find(|(alias, _)| *alias == ask.alias).map(|(_, version)| *version)
            });
            Reply::ModelAlias(Box::new(AliasMoved { previous }))
        }
        Request::ModelVerify(ask) => {
            let version = model_version(ask.version);
            let (signed_by, sha256) = (version.signed_by, version.sha256);
            Reply::ModelVerify(Box::new(VerifyAnswer { trusted: true, signed_by, sha256 }))
        }
        Request::ModelExport(_) => Reply::ModelExport(Box::new(Done {})),
        Request::ModelDeploy(ask) => Reply::ModelDeploy(Box::new(deployed(&ask.form))),
        Request::ModelImport(ask) => {
            let version = ModelVersion { model: ask.name.clone(), run_id: None, aliases: vec![], ..model_version(1) };
            Reply::ModelImport(Box::new(ModelRegistered { version, existed: false }))
        }
        Request::ModelRegister(ask) => {
            let version = ModelVersion { model: ask.name.clone(), run_id: Some(ask.run.clone()), ..model_version(7) };
            Reply::ModelRegister(Box::new(ModelRegistered { version, existed: false }))
        }
        Request::ModelPredict(_) => {
            let missing = BTreeMap::from([("mean_texture".to_owned(), 14)]);
            Reply::ModelPredict(Box::new(PredictAnswer {
                version: 7,
                n_rows: 12_480,
                seconds: 0.84,
                missing,
                ..PredictAnswer::default()
            }))
        }
        Request::EndpointGet(_) | Request::EndpointStart(_) => Reply::EndpointGet(Box::new(endpoint_status())),
        Request::EndpointStop(_) => {
            let status = EndpointStatus { url: None, since_millis: None, ..endpoint_status() };
            Reply::EndpointStop(Box::new(status))
        }
        Request::EndpointLoad(_) => Reply::EndpointLoad(Box::new(endpoint_series())),
        Request::EndpointTry(ask) => Reply::EndpointTry(Box::new(tried(ask))),
        Request::KeyList(_) => Reply::KeyList(Box::new(KeyPage { items: key_entries(), next: None })),
        Request::KeyCreate(ask) => {
            let info = ApiKeyInfo {
                id: "n3wk3y77".to_owned(),
                name: ask.name.clone(),
                scopes: ask.scopes.clone(),
                created_at_millis: NOW_MILLIS,
                expires_at_millis: ask.expires_at_millis,
                revoked_at_millis: None,
                last_used_at_millis: None,
            };
            let key = "ath_n3wk3y77_5uQmT0yVb8dR2cXfHs6LpZ1eJw4NkGa9".to_owned();
            Reply::KeyCreate(Box::new(KeyCreated { info, key }))
        }
        Request::KeyChange(_) => Reply::KeyChange(Box::new(Done {})),
        Request::KeyRotate(ask) => {
            let key = format!("ath_{}_9pWr3nXk6VtQ1yHbC8mLd5sZ0aGeJf2u", ask.id);
            let old_valid_until_millis = NOW_MILLIS + ask.grace_millis;
            Reply::KeyRotate(Box::new(KeyRotated { key, old_valid_until_millis }))
        }
        Request::KeyRevoke(_) => Reply::KeyRevoke(Box::new(Done {})),
        _ => return None,
    };
    let reply = match (request, reply) {
        (Request::EndpointStart(_), Reply::EndpointGet(status)) => Reply::EndpointStart(status),
        (_, reply) => reply,
    };
    Some(Ok(reply))
}

/// What was made of a version.
fn deployed(form: &DeployForm) -> Deployed {
    let made = Deployed {
        n_bytes: 41_628_467,
        digest: format!("sha256:{}", "4be1".repeat(16)),
        program: Some(ProgramPacked { architecture: "amd64".to_owned(), n_libraries: 0, was_started: true }),
        ..Deployed::default()
    };
    match form {
        DeployForm::Bundle { .. } => made,
        DeployForm::Image { push, .. } => {
            let pushed = push.as_ref().map(|push| PushedImage {
                reference: push.reference.clone(),
                pinned: format!("registry.example.org/tumours@{}", made.digest),
                n_sent: 2,
                n_known: 1,
            });
            Deployed { pushed, ..made }
        }
        DeployForm::Onnx { .. } => Deployed {
            n_bytes: 48_213,
            program: None,
            onnx: Some(OnnxMade { checked_rows: 64, max_abs_difference: Some(5.9e-8), ..OnnxMade::default() }),
            ..made
        },
    }
}

/// What the endpoint says to a row.
fn tried(ask: &EndpointTry) -> TryAnswer {
    let EndpointTry { model, values, explain } = ask;
    let served = endpoint_status().models.into_iter().find(|served| served.model == *model);
    let version = served.as_ref().map_or(1, |served| served.version);
    let is_number = served.is_some_and(|served| served.signature.task == Task::Regression);
    let prediction = if is_number {
        serde_json::json!({ "value": 231_480.25 })
    } else {
        serde_json::json!({ "label": "malignant", "probabilities": { "benign": 0.0713, "malignant": 0.9287 } })
    };
    let mut body = serde_json::json!({ "model": model, "version": version, "predictions": [prediction] });
    let mut sent = serde_json::json!({ "row": values });
    if *explain {
        body["explanations"] = serde_json::json!([explained(values, is_number)]);
        sent["explain"] = true.into();
    }
    TryAnswer { status: 200, body, micros: 1_240, sent }
}

/// What such an answer is made of: few columns counted out, many sampled.
fn explained(values: &BTreeMap<String, serde_json::Value>, is_number: bool) -> Explanation {
    let contribution = |(at, (column, value)): (usize, (&String, &serde_json::Value))| {
        let (baseline, contribution) = match column.as_str() {
            "mean_radius" => (serde_json::json!(13.37), 0.4312),
            "mean_texture" => (serde_json::json!(18.84), -0.0871),
            "n_lesions" => (serde_json::json!(2), 0.0964),
            "site" => (serde_json::json!("left"), 0.0388),
            "smoker" => (serde_json::json!(false), 0.0),
            "examined_on" => (serde_json::json!("2025-03-14"), -0.0126),
            _ => (serde_json::json!(0.5), (at as f64 * 2.4).sin() * 60_000.0 / (1.0 + at as f64)),
        };
        let standard_error = is_number.then_some(contribution.abs() / 90.0);
        Contribution { column: column.clone(), value: value.clone(), baseline, contribution, standard_error }
    };
    let contributions: Vec<Contribution> = values.iter().enumerate().map(contribution).collect();
    let sum: f64 = contributions.iter().map(|one| one.contribution).sum();
    let value = if is_number { 231_480.25 } else { 0.9287 };
    Explanation {
        class: (!is_number).then(|| "malignant".to_owned()),
        base: value - sum,
        value,
        method: if is_number { ExplanationMethod::Sampled } else { ExplanationMethod::Exact },
        contributions,
    }
}
