//! Rollouts from outside: who answers, what is retried, what is compared, what trips.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    columns::Frame,
    rollout::{Rollout, RolloutFigures, RolloutGuards, RolloutMode, RolloutPhase, RolloutSpec, RolloutStep},
    signature::Task,
    table::DataType,
};
use athanor_serve::{Lineup, Outputs, ServeConfig, Served, Trial};
use serde_json::json;

use crate::house::{Door, House, Made, config, get, house, post, served, signature, state, sum};

const PREDICT: &str = "/v1/models/x/predict";

fn x(version: u32, predict: impl Fn(&Frame) -> Result<Outputs, Failure> + Send + Sync + 'static) -> Arc<Served> {
    let signature = signature(Task::Regression, &[("x", DataType::Float, false)], &[]);
    Arc::new(served("x", version, Made { signature, predict }))
}

fn row(x: f64) -> String {
    json!({"row":{"x":x}}).to_string()
}

fn rollout(mode: RolloutMode, percent: u8) -> Rollout {
    Rollout {
        id: 1,
        model: "x".to_owned(),
        stable: 1,
        spec: RolloutSpec {
            candidate: 2,
            mode,
            steps: vec![RolloutStep { percent, secs: 0 }],
            finishes: false,
            sticky_header: Some("x-user-id".to_owned()),
            guards: RolloutGuards { min_requests: 20, ..RolloutGuards::default() },
        },
        phase: RolloutPhase::Running,
        step: 0,
        step_since_millis: 0,
        started_at_millis: 0,
        ended_at_millis: None,
        reason: None,
        figures: RolloutFigures::default(),
    }
}

/// An endpoint with two versions, `production` on the first, and a rollout to the second.
fn house_with(
    change: impl FnOnce(&mut ServeConfig),
    versions: Vec<Arc<Served>>,
    rollout: Rollout,
) -> (House, Arc<Trial>) {
    let mut config = config();
    change(&mut config);
    let house = House { state: state(config, vec![]) };
    let trial = Arc::new(Trial::new(rollout));
    let lineup = Lineup::new(versions)
        .unwrap()
        .with_aliases([("x".to_owned(), "production".to_owned(), 1), ("x".to_owned(), "next".to_owned(), 2)])
        .with_trials([Arc::clone(&trial)]);
    house.state.models().swap(lineup);
    (house, trial)
}

fn under(versions: Vec<Arc<Served>>, rollout: Rollout) -> (House, Arc<Trial>) {
    house_with(|_| {}, versions, rollout)
}

#[test]
fn a_share_is_answered_by_the_candidate_and_says_so() {
    let (house, trial) = under(vec![x(1, sum), x(2, sum)], rollout(RolloutMode::Canary, 10));
    let mut n_candidate = 0;
    for n in 0..500 {
        let answer = house.call(post(PREDICT, row(1.0)).with("x-request-id", format!("request-{n}")));
        let version = answer.json()["version"].to_string();
        assert_eq!((answer.status, answer.header("x-athanor-version")), (200, version.as_str()));
        n_candidate += u64::from(version == "2");
    }
    // What the hash says of these very ids.
    assert_eq!(n_candidate, 39);
    let figures = trial.figures();
    assert_eq!((figures.candidate.n_requests, figures.stable.n_requests), (n_candidate, 500 - n_candidate));
    assert_eq!((figures.candidate.n_failed, figures.stable.n_failed, figures.n_retried), (0, 0, 0));
}

#[test]
fn the_same_request_and_the_same_client_stay_on_one_side() {
    let (house, _) = under(vec![x(1, sum), x(2, sum)], rollout(RolloutMode::Canary, 50));
    let version = |name: &str, value: &str, n: usize| {
        let ask = post(PREDICT, row(1.0)).with(name, value);
        let ask = if name == "x-request-id" { ask } else { ask.with("x-request-id", format!("another-{n}")) };
        house.call(ask).header("x-athanor-version").to_owned()
    };
    let mut seen = [0; 2];
    for n in 0..20 {
        for name in ["x-request-id", "x-user-id"] {
            let first = version(name, &format!("anna-{n}"), 0);
            assert!((1..5).all(|again| version(name, &format!("anna-{n}"), again) == first), "{name} {n}");
            seen[usize::from(first == "2")] += 1;
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn whoever_names_a_version_gets_it() {
    let (house, trial) = under(vec![x(1, sum), x(2, sum)], rollout(RolloutMode::Canary, 100));
    for (uri, expect) in [
        ("/v1/models/x/versions/1/predict", "1"),
        ("/v1/models/x/versions/2/predict", "2"),
        ("/v1/models/x/versions/next/predict", "2"),
        ("/v1/models/x/aliases/next/predict", "2"),
        // Production is what the rollout is about.
        ("/v1/models/x/aliases/production/predict", "2"),
        (PREDICT, "2"),
    ] {
        assert_eq!(house.call(post(uri, row(1.0))).header("x-athanor-version"), expect, "{uri}");
    }
    let named = |alias: &str| house.call(post(PREDICT, row(1.0)).with("x-athanor-alias", alias));
    assert_eq!(named("next").header("x-athanor-version"), "2");
    assert_eq!(named("production").header("x-athanor-version"), "2");
    assert_eq!(named("nobody").status, 404);
    for wrong in ["", "../x", "2", "v2", "latest", "a b"] {
        assert_eq!(named(wrong).status, 400, "{wrong:?}");
    }
    let both = post("/v1/models/x/versions/1/predict", row(1.0)).with("x-athanor-alias", "next");
    house.refuses(both, 400, "the address names a version, and the header 'x-athanor-alias' names one too");
    let twice = post(PREDICT, row(1.0)).with("x-athanor-alias", "next").with("x-athanor-alias", "next");
    house.refuses(twice, 400, "there is more than one 'x-athanor-alias' header");
    house.refuses(post("/v1/models/x/aliases/2/predict", row(1.0)), 404, "the model has no alias of that name");
    house.refuses(post("/v1/models/x/aliases/nobody/predict", row(1.0)), 404, "that version of the model");
    assert_eq!(trial.figures().candidate.n_requests, 3, "only what the rollout decided counts");
    let oip = json!({"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1.0]}]}).to_string();
    let answer = house.call(post("/v2/models/x/versions/next/infer", oip));
    assert_eq!((answer.status, answer.json()["model_version"].clone()), (200, json!("2")));
}

#[test]
fn what_the_candidate_fails_is_answered_by_the_stable_version_and_then_it_goes() {
    for code in [Code::Internal, Code::BadData, Code::Unavailable, Code::InvalidArgument] {
        let n_asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&n_asked);
        let bad = x(2, move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
            Err(Failure::new(code, "the new version can't"))
        });
        let (house, trial) = under(vec![x(1, sum), bad], rollout(RolloutMode::Canary, 100));
        for n in 0..60 {
            let answer = house.call(post(PREDICT, row(f64::from(n))));
            assert_eq!((answer.status, answer.header("x-athanor-version")), (200, "1"), "{code:?}");
            assert_eq!(answer.json()["predictions"][0]["value"], f64::from(n));
        }
        assert_eq!(n_asked.load(Ordering::Relaxed), 20, "after twenty it is asked no more");
        let now = trial.now();
        assert_eq!((now.phase, now.figures.n_retried), (RolloutPhase::RolledBack, 20));
        assert!(now.reason.is_some_and(|reason| reason.contains("failed 20 of 20 requests")));
    }
}

#[test]
fn an_answer_counts_for_who_gave_it_and_a_failure_for_who_failed() {
    let bad = x(2, |_| Err(Failure::new(Code::BadData, "the new version can't")));
    let (house, _trial) = under(vec![x(1, sum), bad], rollout(RolloutMode::Canary, 100));
    for n in 0..5 {
        assert_eq!(house.call(post(PREDICT, row(f64::from(n)))).status, 200);
    }
    let metrics = house.call(get("/metrics")).text();
    let of = |name: &str, version: u32| -> Vec<&str> {
        let start = format!("{name}{{model=\"x\",version=\"{version}\"");
        metrics.lines().filter(|line| line.starts_with(&start)).collect()
    };
    let answered = r#"athanor_requests_total{model="x",version="1",route="predict",code="200"} 5"#;
    assert_eq!(of("athanor_requests_total", 1), [answered], "{metrics}");
    assert!(of("athanor_requests_total", 2).is_empty(), "one request is one request: {metrics}");
    let failed = r#"athanor_request_failures_total{model="x",version="2",reason="bad_data"} 5"#;
    assert_eq!(of("athanor_request_failures_total", 2), [failed], "{metrics}");
    assert!(of("athanor_request_failures_total", 1).is_empty(), "{metrics}");
    assert_eq!(of("athanor_rows_total", 1), [r#"athanor_rows_total{model="x",version="1"} 5"#]);
}

#[test]
fn a_candidate_that_panics_is_answered_for_as_well() {
    let bad = x(2, |_| panic!("the new version panics"));
    let (house, trial) = under(vec![x(1, sum), bad], rollout(RolloutMode::Canary, 100));
    for _ in 0..30 {
        assert_eq!(house.call(post(PREDICT, row(1.0))).status, 200);
    }
    assert!(trial.tripped().is_some());
}

#[test]
fn what_both_refuse_is_the_clients_mistake() {
    let (house, trial) = under(vec![x(1, sum), x(2, sum)], rollout(RolloutMode::Canary, 100));
    for _ in 0..50 {
        assert_eq!(house.call(post(PREDICT, r#"{"row":{"y":1}}"#)).status, 400);
    }
    assert_eq!((trial.tripped(), trial.figures().candidate.n_failed), (None, 0));
}

#[test]
fn what_both_fail_counts_for_both_and_trips_nothing() {
    let fails = |_: &Frame| Err(Failure::new(Code::Internal, "down"));
    let (house, trial) = under(vec![x(1, fails), x(2, fails)], rollout(RolloutMode::Canary, 100));
    for _ in 0..50 {
        assert_eq!(house.call(post(PREDICT, row(1.0))).status, 500);
    }
    let figures = trial.figures();
    assert_eq!((figures.stable.n_failed, figures.candidate.n_failed, figures.n_retried), (50, 50, 0));
    assert_eq!(trial.tripped(), None);
}

#[test]
fn a_candidate_of_another_signature_takes_what_it_can() {
    let signature = signature(Task::Regression, &[("x", DataType::Float, false), ("y", DataType::Float, false)], &[]);
    let wider = Arc::new(served("x", 2, Made { signature, predict: sum }));
    let (house, trial) = under(vec![x(1, sum), wider], rollout(RolloutMode::Canary, 100));
    let answer = house.call(post(PREDICT, row(1.0)));
    assert_eq!((answer.status, answer.header("x-athanor-version")), (200, "1"));
    let both = house.call(post(PREDICT, r#"{"row":{"x":1,"y":2}}"#));
    assert_eq!((both.status, both.header("x-athanor-version")), (200, "2"));
    assert_eq!(trial.figures().candidate.n_failed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_hangs_leaves_time_for_the_stable_version() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let hangs = x(2, move |frame| {
        behind.pass();
        sum(frame)
    });
    let change = |config: &mut ServeConfig| config.request_timeout = Duration::from_secs(2);
    let (house, trial) = house_with(change, vec![x(1, sum), hangs], rollout(RolloutMode::Canary, 100));
    let answer = house.call_async(post(PREDICT, row(1.0))).await;
    assert_eq!((answer.status, answer.header("x-athanor-version")), (200, "1"));
    assert_eq!((trial.figures().candidate.n_failed, trial.figures().n_retried), (1, 1));
    door.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_compared_and_never_answers() {
    // Agrees up to 5, and is 0.5 off beyond; fails from 8 on.
    let shadow = x(2, |frame| {
        let value = frame.columns()[0].data.number(0);
        if value >= 8.0 {
            return Err(Failure::new(Code::BadData, "too large"));
        }
        Ok(Outputs::Numbers(vec![if value <= 5.0 { value } else { value + 0.5 }]))
    });
    let mut plan = rollout(RolloutMode::Shadow, 100);
    plan.spec.guards.max_error_rate = None;
    let (house, trial) = under(vec![x(1, sum), shadow], plan);
    for n in 1..=10 {
        let answer = house.call_async(post(PREDICT, row(f64::from(n)))).await;
        assert_eq!((answer.status, answer.header("x-athanor-version")), (200, "1"));
        assert_eq!(answer.json()["predictions"][0]["value"], f64::from(n));
        // Each is compared before the next is asked: nothing is dropped.
        while trial.figures().candidate.n_requests < n as u64 {
            tokio::task::yield_now().await;
        }
    }
    let figures = trial.figures();
    assert_eq!((figures.stable.n_requests, figures.candidate.n_requests, figures.candidate.n_failed), (10, 10, 3));
    let shadow = figures.shadow;
    assert_eq!((shadow.n_compared, shadow.n_rows, shadow.n_agreed, shadow.n_dropped), (7, 7, 5, 0));
    assert_eq!((shadow.mean_difference, shadow.max_difference), (1.0 / 7.0, 0.5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_that_hangs_costs_no_answer_and_its_line_is_bounded() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let hangs = x(2, move |frame| {
        behind.pass();
        sum(frame)
    });
    let (house, trial) = under(vec![x(1, sum), hangs], rollout(RolloutMode::Shadow, 100));
    for _ in 0..100 {
        assert_eq!(house.call_async(post(PREDICT, row(1.0))).await.status, 200);
    }
    assert_eq!(trial.figures().shadow.n_dropped, 100 - 64, "one works, the others of 64 wait");
    door.open();
    while trial.figures().candidate.n_requests < 64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(trial.figures().shadow.n_agreed, 64);
}

#[test]
fn a_rollout_is_shown_to_admins_and_not_to_those_who_predict() {
    let (house, trial) = under(vec![x(1, sum), x(2, sum)], rollout(RolloutMode::Canary, 100));
    let uri = "/v1/models/x/rollout";
    house.refuses(get(uri), 403, "the key may not look at rollouts");
    let admin = |uri: &str| house.call(get(uri).set("authorization", "Bearer k-admin"));
    house.call(post(PREDICT, row(1.0)));
    let answer = admin(uri);
    let expect = serde_json::to_value(trial.now()).unwrap();
    assert_eq!((answer.status, answer.json()), (200, expect.clone()));
    assert_eq!((&expect["phase"], &expect["figures"]["candidate"]["n_requests"]), (&json!("running"), &json!(1)));
    house.state.models().swap(Lineup::new(vec![x(1, sum)]).unwrap());
    assert_eq!(admin(uri).status, 404);
    assert_eq!(admin("/v1/models/y/rollout").status, 404);
    let plain = house.call(post(PREDICT, row(1.0)).set("authorization", "Bearer k-admin"));
    assert_eq!(plain.status, 403, "an admin's key does not predict");
}

#[test]
fn a_model_without_production_answers_by_alias_and_a_missing_version_is_wanted() {
    let house = house(vec![]);
    let alias = |alias: &str, version| ("x".to_owned(), alias.to_owned(), version);
    house.state.models().swap(Lineup::new(vec![x(1, sum)]).unwrap().with_aliases([alias("a", 1), alias("b", 2)]));
    house.refuses(post(PREDICT, row(1.0)), 404, "the model has no version that answers where none is named");
    assert_eq!(house.call(post("/v1/models/x/aliases/a/predict", row(1.0))).status, 200);
    let loading = house.call(post("/v1/models/x/aliases/b/predict", row(1.0)));
    assert_eq!((loading.status, loading.header("retry-after")), (503, "1"));
    assert_eq!(house.state.models().take_wanted(), [("x".to_owned(), 2)]);
    assert_eq!(house.state.models().take_wanted(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_fail_no_request() {
    let house = Arc::new(house(vec![]));
    let lineup = |version: u32| {
        let alias = ("x".to_owned(), "production".to_owned(), version);
        Lineup::new(vec![x(version, sum), x(version + 1, sum)]).unwrap().with_aliases([alias])
    };
    house.state.models().swap(lineup(1));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                let mut last = 0;
                while last < 20 {
                    let answer = house.call_async(post(PREDICT, row(1.0))).await;
                    let version = answer.json()["version"].as_u64().unwrap();
                    assert!(answer.status == 200 && version >= last, "{version} after {last}");
                    last = version;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let swapping = Arc::clone(&house);
    let swaps = tokio::task::spawn_blocking(move || {
        for version in 2..=20 {
            // The pace is part of the matter: requests of every kind of age meet the swap.
            std::thread::sleep(Duration::from_millis(50));
            swapping.state.models().swap(lineup(version));
        }
    });
    swaps.await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_give_less_time() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let house = house(vec![crate::house::one_column(move |frame| {
        behind.pass();
        sum(frame)
    })]);
    let ask = |millis: &str| post(PREDICT, row(1.0)).with("x-request-timeout-ms", millis);
    let answer = house.call_async(ask("20")).await;
    assert_eq!((answer.status, answer.error()), (504, "the prediction took too long".to_owned()));
    door.open();
    for millis in ["60000", "99999999999999999999999999"] {
        assert_eq!(house.call_async(ask(millis)).await.status, 200, "{millis} is cut to what the endpoint gives");
    }
    for wrong in ["", "0", "-1", "1.5", "+5", "1e3", "abc"] {
        assert_eq!(house.call_async(ask(wrong)).await.status, 400, "{wrong:?}");
    }
    assert_eq!(house.call_async(ask("5").with("x-request-timeout-ms", "5")).await.status, 400);
}

#[test]
fn whoever_answers_explains_and_what_explaining_lacks_is_no_failure_of_a_version() {
    let (house, trial) = under(vec![x(1, sum), x(2, sum)], rollout(RolloutMode::Canary, 100));
    let body = json!({"row":{"x":3.0},"baseline":{"x":1.0},"explain":true}).to_string();
    let answer = house.call(post(PREDICT, body));
    assert_eq!((answer.status, answer.header("x-athanor-version")), (200, "2"), "{}", answer.text());
    assert_eq!(answer.json()["explanations"][0]["contributions"][0]["contribution"], 2.0);
    // Neither has statistics to compare with; both predict.
    house.refuses(post(PREDICT, json!({"row":{"x":3.0},"explain":true}).to_string()), 422, "there are no training");
    let figures = trial.figures();
    assert_eq!((figures.candidate.n_requests, figures.candidate.n_failed, figures.n_retried), (2, 0, 0));
    assert_eq!(figures.stable.n_requests, 0);
}
