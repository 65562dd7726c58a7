//! What a rollout is and what it will do, in plain words.

use std::fmt::Write;

use athanor_protocol::rollout::{Rollout, RolloutGuards, RolloutMode, RolloutPhase, RolloutSpec};

use crate::{format, toasts::Tone};

/// A span as people say it: `45 s`, `5 min`, `1 h 30 min`, `2 days`.
pub(super) fn span(secs: i64) -> String {
    let secs = secs.max(0);
    let part = |n: i64, unit: &str| if n > 0 { format!(" {n} {unit}") } else { String::new() };
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min{}", secs / 60, part(if secs < 600 { secs % 60 } else { 0 }, "s")),
        3_600..172_800 => format!("{} h{}", secs / 3_600, part(secs / 60 % 60, "min")),
        _ => format::plural((secs / 86_400) as u64, "day"),
    }
}

/// A share without zeros that say nothing: `2 %`, `0.4 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", format::number((share * 10_000.0).round() / 100.0))
}

/// A mode as people call it.
pub(super) const fn mode_title(mode: RolloutMode) -> &'static str {
    match mode {
        RolloutMode::Canary => "canary",
        RolloutMode::Linear => "linear",
        RolloutMode::Shadow => "shadow",
    }
}

/// A phase as people call it, and how loud it is.
pub(super) const fn phase_title(phase: RolloutPhase) -> (&'static str, Tone) {
    match phase {
        RolloutPhase::Running => ("running", Tone::Info),
        RolloutPhase::Promoted => ("took over", Tone::Ok),
        RolloutPhase::RolledBack => ("rolled back", Tone::Bad),
        RolloutPhase::Aborted => ("ended", Tone::Warn),
    }
}

/// What takes a candidate back, as parts of a sentence.
fn guard_words(guards: &RolloutGuards) -> Vec<String> {
    let mut words = vec![];
    if let Some(rate) = guards.max_error_rate {
        words.push(format!("more than {} of its requests fail", percent(rate)));
    }
    if let Some(ratio) = guards.max_p99_ratio {
        words.push(format!("its slowest requests take over {} times as long", format::number(ratio)));
    }
    if let Some(drift) = guards.max_drift {
        words.push(format!("the inputs drift by more than {}", format::number(drift)));
    }
    words
}

/// What will happen, as a few short sentences.
pub(super) fn summary(spec: &RolloutSpec, stable: u32) -> String {
    let new = spec.candidate;
    let share = spec.steps.first().map_or(0, |step| step.percent);
    let mut out = String::new();
    match spec.mode {
        RolloutMode::Canary => {
            let _ = write!(out, "Version {new} answers {share} % of requests, version {stable} the others. ");
            let time = span(i64::from(spec.steps.first().map_or(0, |step| step.secs)));
            let _ = if spec.finishes {
                write!(out, "After {time} it takes over.")
            } else {
                write!(out, "So it stays until you promote it or end it.")
            };
        }
        RolloutMode::Linear => {
            let steps: Vec<String> =
                spec.steps.iter().map(|step| format!("{} % for {}", step.percent, span(step.secs.into()))).collect();
            let _ = write!(out, "Version {new} answers {}; ", steps.join(", then "));
            let end = if spec.finishes { "then it takes over." } else { "then it stays there until you decide." };
            out.push_str(end);
        }
        RolloutMode::Shadow => {
            let _ = write!(
                out,
                "Version {stable} answers everything. Version {new} is asked beside it on {share} % of requests and only \
                 compared: nobody sees its answers."
            );
        }
    }
    if let Some(header) = &spec.sticky_header {
        let _ = write!(out, " Requests with the same {header} stay on one side.");
    }
    let guards = guard_words(&spec.guards);
    if guards.is_empty() {
        out.push_str(" Nothing takes it back by itself.");
    } else {
        let after = format::plural(spec.guards.min_requests.into(), "request");
        let _ = write!(out, " It is taken back by itself when {}, judged from {after} on.", guards.join(", or when "));
    }
    out
}

/// The step that goes on: its place, its share, what comes next and when.
pub(super) fn step_line(rollout: &Rollout, now_millis: i64) -> String {
    let steps = &rollout.spec.steps;
    let at = rollout.step as usize;
    let Some(step) = steps.get(at) else { return String::new() };
    let place = if steps.len() > 1 { format!("step {} of {}, ", at + 1, steps.len()) } else { String::new() };
    let Some(left) = left_secs(rollout, now_millis) else {
        let end = if rollout.spec.mode == RolloutMode::Shadow { "until you end it" } else { "until you decide" };
        return format!("{place}{end}");
    };
    let left = if left > 0 { format!("in {}", span(left)) } else { "any moment".to_owned() };
    match steps.get(at + 1) {
        Some(next) => format!("{place}{} % {left}", next.percent),
        None if rollout.spec.finishes => format!("{place}takes over {left}"),
        None => format!("{place}{} % until you decide", step.percent),
    }
}

/// Seconds until the step that goes on is over; `None` where nothing comes of that.
pub(super) fn left_secs(rollout: &Rollout, now_millis: i64) -> Option<i64> {
    let at = rollout.step as usize;
    let step = rollout.spec.steps.get(at)?;
    let leads_on = at + 1 < rollout.spec.steps.len() || rollout.spec.finishes;
    let gone = (now_millis - rollout.step_since_millis).max(0) / 1_000;
    (step.secs > 0 && leads_on).then(|| (i64::from(step.secs) - gone).max(0))
}

#[cfg(test)]
mod tests {
    use athanor_protocol::rollout::{RolloutFigures, RolloutStep};

    use super::*;

    fn spec(mode: RolloutMode, steps: &[(u8, u32)], finishes: bool) -> RolloutSpec {
        RolloutSpec {
            candidate: 7,
            mode,
            steps: steps.iter().map(|&(percent, secs)| RolloutStep { percent, secs }).collect(),
            finishes,
            sticky_header: None,
            guards: RolloutGuards { max_error_rate: None, ..RolloutGuards::default() },
        }
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        for (secs, expect) in [
            (-4, "0 s"),
            (45, "45 s"),
            (60, "1 min"),
            (90, "1 min 30 s"),
            (630, "10 min"),
            (5_400, "1 h 30 min"),
            (7_200, "2 h"),
            (86_400 * 3, "3 days"),
        ] {
            assert_eq!(span(secs), expect);
        }
    }

    #[test]
    fn what_will_happen_is_said_before_it_does() {
        use RolloutMode::{Canary, Linear, Shadow};
        for (spec, expect) in [
            (
                spec(Canary, &[(10, 0)], false),
                "Version 7 answers 10 % of requests, version 6 the others. So it stays until you promote it or end it.",
            ),
            (
                spec(Canary, &[(10, 1_800)], true),
                "Version 7 answers 10 % of requests, version 6 the others. After 30 min it takes over.",
            ),
            (
                spec(Linear, &[(5, 60), (50, 600)], true),
                "Version 7 answers 5 % for 1 min, then 50 % for 10 min; then it takes over.",
            ),
            (
                spec(Shadow, &[(100, 0)], false),
                "Version 6 answers everything. Version 7 is asked beside it on 100 % of requests and only compared: \
                 nobody sees its answers.",
            ),
        ] {
            assert_eq!(summary(&spec, 6), format!("{expect} Nothing takes it back by itself."));
        }
        let guarded = RolloutSpec {
            sticky_header: Some("x-user-id".to_owned()),
            guards: RolloutGuards { min_requests: 50, max_p99_ratio: Some(1.5), ..RolloutGuards::default() },
            ..spec(Canary, &[(10, 0)], false)
        };
        let text = summary(&guarded, 6);
        for expect in ["the same x-user-id", "more than 2 % of its requests fail, or when", "1.5 times", "50 requests"]
        {
            assert!(text.contains(expect), "{expect}: {text}");
        }
    }

    #[test]
    fn a_step_tells_what_comes_next() {
        let mut rollout = Rollout {
            id: 1,
            model: "wine".to_owned(),
            stable: 6,
            spec: spec(RolloutMode::Linear, &[(10, 60), (50, 60)], true),
            phase: RolloutPhase::Running,
            step: 0,
            step_since_millis: 0,
            started_at_millis: 0,
            ended_at_millis: None,
            reason: None,
            figures: RolloutFigures::default(),
        };
        assert_eq!(step_line(&rollout, 20_000), "step 1 of 2, 50 % in 40 s");
        assert_eq!(step_line(&rollout, 70_000), "step 1 of 2, 50 % any moment");
        rollout.step = 1;
        assert_eq!(step_line(&rollout, 0), "step 2 of 2, takes over in 1 min");
        rollout.spec.finishes = false;
        assert_eq!(step_line(&rollout, 0), "step 2 of 2, until you decide");
        rollout.spec = spec(RolloutMode::Shadow, &[(10, 0)], false);
        rollout.step = 0;
        assert_eq!(step_line(&rollout, 0), "until you end it");
        rollout.step = 9;
        assert_eq!(step_line(&rollout, 0), "");
    }
}
