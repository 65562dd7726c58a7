//! Rollouts: a new version of a model takes over step by step, or is watched from beside, and goes back by itself.

use serde::{Deserialize, Serialize};

use crate::{Code, Failure};

/// Most steps of a rollout.
pub const MAX_STEPS: usize = 20;
/// Longest step: thirty days, in seconds.
pub const MAX_STEP_SECS: u32 = 30 * 24 * 60 * 60;
/// Longest name of the header that keeps a client on one side.
pub const MAX_HEADER_NAME_BYTES: usize = 64;

/// How a candidate meets the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutMode {
    /// A fixed share of requests is answered by it.
    Canary,
    /// A share that grows in steps by itself.
    Linear,
    /// It is asked beside the stable version on a share of requests and never answers.
    Shadow,
}

impl RolloutMode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Linear => "linear",
            Self::Shadow => "shadow",
        }
    }
}

/// A share of the traffic and how long it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStep {
    /// Percent of requests, 1 to 100.
    pub percent: u8,
    /// How long before the next step, or before the end; in seconds.
    pub secs: u32,
}

/// What ends a rollout by itself. A guard that is `None` is off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutGuards {
    /// Requests that the candidate must have been asked before a guard may judge.
    pub min_requests: u32,
    /// Largest share of failures, 0 to 1. Failures that the stable version has as well are no reason.
    pub max_error_rate: Option<f64>,
    /// The candidate's 99th percentile of latency may be so many times the stable version's.
    pub max_p99_ratio: Option<f64>,
    /// Largest drift, in the units of whoever watches the inputs.
    pub max_drift: Option<f64>,
}

impl Default for RolloutGuards {
    /// Two percent of failures after fifty requests; nothing else.
    fn default() -> Self {
        Self { min_requests: 50, max_error_rate: Some(0.02), max_p99_ratio: None, max_drift: None }
    }
}

/// What a rollout is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutSpec {
    /// The new version.
    pub candidate: u32,
    /// How it meets the traffic.
    pub mode: RolloutMode,
    /// Shares, one after the other; one for a canary and a shadow.
    pub steps: Vec<RolloutStep>,
    /// Whether the alias moves to the candidate when the last step is over. Otherwise somebody decides.
    pub finishes: bool,
    /// The header whose value keeps a client on one side, lower-case. Without it each request is on its own.
    #[serde(default)]
    pub sticky_header: Option<String>,
    /// What ends it by itself.
    #[serde(default)]
    pub guards: RolloutGuards,
}

fn refuse(message: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidArgument, message)
}

impl RolloutSpec {
    /// Whether it can be done.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn check(&self) -> Result<(), Failure> {
        if self.candidate == 0 {
            return Err(refuse("a version is a whole number from 1"));
        }
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            return Err(refuse(format!("a rollout has 1 to {MAX_STEPS} steps, not {}", self.steps.len())));
        }
        if self.mode != RolloutMode::Linear && self.steps.len() > 1 {
            let hint = "several shares one after the other are a linear rollout";
            return Err(refuse(format!("a {} rollout has one share", self.mode.as_str())).hint(hint));
        }
        if self.mode == RolloutMode::Shadow && self.finishes {
            return Err(refuse("a shadow never answers, so it does not take over by itself")
                .hint("look at its figures and start a canary"));
        }
        let is_timed = self.finishes || self.mode == RolloutMode::Linear;
        for step in &self.steps {
            if !(1..=100).contains(&step.percent) {
                return Err(refuse(format!("a share is 1 to 100 percent, not {}", step.percent)));
            }
            if step.secs > MAX_STEP_SECS || (is_timed && step.secs == 0) {
                return Err(refuse(format!("a step lasts 1 to {MAX_STEP_SECS} seconds, not {}", step.secs)));
            }
        }
        if let Some([before, after]) = self.steps.windows(2).find_map(|pair| match pair {
            [before, after] if before.percent >= after.percent => Some([before.percent, after.percent]),
            _ => None,
        }) {
            return Err(refuse(format!("the shares must grow: {before} percent comes before {after} percent")));
        }
        self.sticky_header.as_deref().map_or(Ok(()), check_header)?;
        self.guards.check()
    }
}

/// A header's name, lower-case, and none that carries secrets.
fn check_header(name: &str) -> Result<(), Failure> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > MAX_HEADER_NAME_BYTES || !name.bytes().all(allowed) {
        let message = "the name of a header is 1 to 64 lower-case letters, digits and '-'";
        return Err(refuse(message).hint("for example x-user-id"));
    }
    if matches!(name, "authorization" | "proxy-authorization" | "cookie") {
        return Err(refuse(format!("the header '{name}' carries secrets")).hint("let clients send one of its own"));
    }
    Ok(())
}

impl RolloutGuards {
    fn check(&self) -> Result<(), Failure> {
        if self.min_requests == 0 {
            return Err(refuse("a guard can't judge without a request: the minimum is 1 or more"));
        }
        if self.max_error_rate.is_some_and(|rate| !(0.0..1.0).contains(&rate)) {
            return Err(refuse("the largest error rate is a number from 0 up to, but not, 1"));
        }
        if self.max_p99_ratio.is_some_and(|ratio| !(ratio.is_finite() && ratio >= 1.0)) {
            return Err(refuse("the largest ratio of latencies is a number from 1"));
        }
        if self.max_drift.is_some_and(|drift| !(drift.is_finite() && drift >= 0.0)) {
            return Err(refuse("the largest drift is a number from 0"));
        }
        Ok(())
    }
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutPhase {
    /// It goes on.
    Running,
    /// The candidate has taken over.
    Promoted,
    /// A guard or a person took everything back to the stable version.
    RolledBack,
    /// It was ended before anything came of it.
    Aborted,
}

impl RolloutPhase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Running, Self::Promoted, Self::RolledBack, Self::Aborted];

    /// As it is written and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}

/// What one side has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SideFigures {
    /// Requests that it was asked.
    pub n_requests: u64,
    /// Of these, failed by the version's fault.
    pub n_failed: u64,
    /// Median of the time that it worked on a request (without waiting), in microseconds.
    pub p50_micros: u64,
    /// 99th percentile of it.
    pub p99_micros: u64,
}

/// How a shadow's answers compare with those that were given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ShadowFigures {
    /// Requests that were compared.
    pub n_compared: u64,
    /// Rows in them.
    pub n_rows: u64,
    /// Of these, with the same label; for numbers, with a difference of at most a millionth of the value.
    pub n_agreed: u64,
    /// Mean absolute difference of probabilities or values.
    pub mean_difference: f64,
    /// Largest absolute difference.
    pub max_difference: f64,
    /// Requests that were left out because there was no room or time for them.
    pub n_dropped: u64,
}

/// What was counted while a rollout ran.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RolloutFigures {
    /// Answers of the version from before.
    pub stable: SideFigures,
    /// Answers of the candidate.
    pub candidate: SideFigures,
    /// Requests that the candidate failed and the stable version answered.
    pub n_retried: u64,
    /// Requests that found no room with the candidate and were answered by the stable version.
    pub n_spilled: u64,
    /// Comparison of a shadow.
    pub shadow: ShadowFigures,
    /// The drift that the guard was told last.
    pub drift: Option<f64>,
}

/// A rollout as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number in the workspace, from 1.
    pub id: u64,
    /// The model.
    pub model: String,
    /// The version that `production` pointed to when it began.
    pub stable: u32,
    /// What it is to do.
    pub spec: RolloutSpec,
    /// How far it is.
    pub phase: RolloutPhase,
    /// The step that goes on, from 0.
    pub step: u32,
    /// Since when, milliseconds since the Unix epoch.
    pub step_since_millis: i64,
    /// When it began.
    pub started_at_millis: i64,
    /// When it ended.
    pub ended_at_millis: Option<i64>,
    /// Why it ended.
    pub reason: Option<String>,
    /// What was counted; of a rollout that runs, within about a second.
    pub figures: RolloutFigures,
}

/// What time demands of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The next step, by its number.
    Step(u32),
    /// The alias moves to the candidate.
    Finish,
}

impl Rollout {
    /// The share that is meant now; 0 where it does not run.
    pub fn percent(&self) -> u8 {
        let step = self.spec.steps.get(self.step as usize).filter(|_| self.phase == RolloutPhase::Running);
        step.map_or(0, |step| step.percent)
    }

    /// What is due at a time. One step at most: who was away for long does not jump over the others. A clock that was
    /// set back makes nothing due.
    pub fn due(&self, now_millis: i64) -> Due {
        let Some(step) = self.spec.steps.get(self.step as usize).filter(|_| self.phase == RolloutPhase::Running) else {
            return Due::Nothing;
        };
        if step.secs == 0 || now_millis.saturating_sub(self.step_since_millis) < i64::from(step.secs) * 1_000 {
            return Due::Nothing;
        }
        if self.step as usize + 1 < self.spec.steps.len() {
            Due::Step(self.step + 1)
        } else if self.spec.finishes {
            Due::Finish
        } else {
            Due::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(mode: RolloutMode, steps: &[(u8, u32)], finishes: bool) -> RolloutSpec {
        RolloutSpec {
            candidate: 2,
            mode,
            steps: steps.iter().map(|&(percent, secs)| RolloutStep { percent, secs }).collect(),
            finishes,
            sticky_header: None,
            guards: RolloutGuards::default(),
        }
    }

    fn rollout(spec: RolloutSpec) -> Rollout {
        Rollout {
            id: 1,
            model: "wine".to_owned(),
            stable: 1,
            spec,
            phase: RolloutPhase::Running,
            step: 0,
            step_since_millis: 1_000,
            started_at_millis: 1_000,
            ended_at_millis: None,
            reason: None,
            figures: RolloutFigures::default(),
        }
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        use RolloutMode::{Canary, Linear, Shadow};
        #[track_caller]
        fn check(spec: &RolloutSpec, expect: &str) {
            let failure = spec.check().map_err(|failure| failure.message);
            assert!(failure.as_ref().is_err_and(|message| message.contains(expect)), "{failure:?} for {expect}");
        }
        assert_eq!(spec(Canary, &[(10, 0)], false).check(), Ok(()));
        assert_eq!(spec(Linear, &[(10, 60), (50, 60), (100, 60)], true).check(), Ok(()));
        assert_eq!(spec(Shadow, &[(100, 0)], false).check(), Ok(()));
        check(&RolloutSpec { candidate: 0, ..spec(Canary, &[(10, 0)], false) }, "whole number from 1");
        check(&spec(Canary, &[], false), "1 to 20 steps");
        check(&spec(Linear, &[(1, 1); 21], true), "1 to 20 steps");
        check(&spec(Canary, &[(10, 1), (20, 1)], false), "one share");
        check(&spec(Shadow, &[(10, 1)], true), "never answers");
        check(&spec(Canary, &[(0, 1)], false), "1 to 100 percent");
        check(&spec(Canary, &[(101, 1)], false), "1 to 100 percent");
        check(&spec(Canary, &[(10, 0)], true), "1 to 2592000 seconds");
        check(&spec(Linear, &[(10, MAX_STEP_SECS + 1)], true), "1 to 2592000 seconds");
        check(&spec(Linear, &[(50, 1), (50, 1)], true), "must grow: 50 percent comes before 50");
        let sticky =
            |name: &str| RolloutSpec { sticky_header: Some(name.to_owned()), ..spec(Canary, &[(1, 0)], false) };
        assert_eq!(sticky("x-user-id").check(), Ok(()));
        for name in ["", "X-User", "a b", "a:b", "é", &"x".repeat(65), "a\r\nb"] {
            check(&sticky(name), "the name of a header");
        }
        check(&sticky("cookie"), "carries secrets");
        let guards = |guards: RolloutGuards| RolloutSpec { guards, ..spec(Canary, &[(1, 0)], false) };
        let none = RolloutGuards { min_requests: 1, max_error_rate: None, max_p99_ratio: None, max_drift: None };
        assert_eq!(guards(none.clone()).check(), Ok(()));
        check(&guards(RolloutGuards { min_requests: 0, ..none.clone() }), "minimum is 1");
        for bad in [f64::NAN, f64::INFINITY, -0.1, 1.0] {
            check(&guards(RolloutGuards { max_error_rate: Some(bad), ..none.clone() }), "error rate");
        }
        for bad in [f64::NAN, f64::INFINITY, 0.9] {
            check(&guards(RolloutGuards { max_p99_ratio: Some(bad), ..none.clone() }), "ratio of latencies");
        }
        check(&guards(RolloutGuards { max_drift: Some(-1.0), ..none }), "drift");
    }

    #[test]
    fn steps_follow_the_clock_one_at_a_time() {
        let mut linear = rollout(spec(RolloutMode::Linear, &[(10, 60), (50, 60), (100, 30)], true));
        for (step, since, now, expect) in [
            (0, 1_000, 1_000, Due::Nothing),
            (0, 1_000, 60_999, Due::Nothing),
            (0, 1_000, 61_000, Due::Step(1)),
            (0, 1_000, i64::MAX, Due::Step(1)),
            (0, 1_000, i64::MIN, Due::Nothing),
            (1, 61_000, 121_000, Due::Step(2)),
            (2, 121_000, 150_999, Due::Nothing),
            (2, 121_000, 151_000, Due::Finish),
            (3, 0, 151_000, Due::Nothing),
        ] {
            (linear.step, linear.step_since_millis) = (step, since);
            assert_eq!(linear.due(now), expect, "step {step} since {since} at {now}");
        }
        (linear.step, linear.phase) = (0, RolloutPhase::Aborted);
        assert_eq!((linear.due(i64::MAX), linear.percent()), (Due::Nothing, 0));
    }

    #[test]
    fn a_canary_waits_for_somebody_unless_it_has_a_time_to_bake() {
        let canary = rollout(spec(RolloutMode::Canary, &[(10, 0)], false));
        assert_eq!((canary.due(i64::MAX), canary.percent()), (Due::Nothing, 10));
        let baking = rollout(spec(RolloutMode::Canary, &[(10, 5)], true));
        assert_eq!((baking.due(5_999), baking.due(6_000)), (Due::Nothing, Due::Finish));
    }

    #[test]
    fn it_is_saved_and_read() {
        let before = rollout(spec(RolloutMode::Shadow, &[(100, 0)], false));
        let text = serde_json::to_string(&before).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Rollout>(&text).ok(), Some(before));
        let short = r#"{"candidate":2,"mode":"canary","steps":[{"percent":10,"secs":0}],"finishes":false}"#;
        let spec: Result<RolloutSpec, _> = serde_json::from_str(short);
        assert_eq!(spec.map(|spec| spec.guards).ok(), Some(RolloutGuards::default()));
    }
}
