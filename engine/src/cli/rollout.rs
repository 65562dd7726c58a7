//! `rollout`: a new version takes over step by step.

use athanor_protocol::rollout::{Rollout, RolloutGuards, RolloutMode, RolloutPhase, RolloutSpec, RolloutStep};

use super::{
    Context,
    args::{RolloutCommand, RolloutStartArgs},
};
use crate::{error::Result, rollout};

pub(crate) fn run(context: &Context, command: RolloutCommand) -> Result<()> {
    let workspace = context.open()?;
    let rollout = match command {
        RolloutCommand::Start(args) => rollout::start(&workspace, &args.model, &spec(&args))?,
        RolloutCommand::Promote { model } => rollout::promote(&workspace, &model)?,
        RolloutCommand::Abort { model } => rollout::abort(&workspace, &model)?,
        RolloutCommand::Back { model } => rollout::back(&workspace, &model)?,
        RolloutCommand::Status { model } => {
            let Some(newest) = rollout::newest(&workspace, &model)? else {
                let none = || format!("there was no rollout of {model} yet");
                context.out.result(&serde_json::json!({ "rollout": null }), none);
                return Ok(());
            };
            newest
        }
    };
    context.out.result(&serde_json::json!({ "rollout": rollout }), || text(&rollout));
    Ok(())
}

fn spec(args: &RolloutStartArgs) -> RolloutSpec {
    let bake = args.bake.map_or(0, |bake| bake.0);
    let one = |percent| vec![RolloutStep { percent, secs: bake }];
    let (mode, steps, finishes) = if let Some(percents) = &args.linear {
        let every = |&percent| RolloutStep { percent, secs: args.every.0 };
        let mut steps: Vec<RolloutStep> = percents.iter().map(every).collect();
        // The last share is the time to bake.
        if let (Some(last), Some(bake)) = (steps.last_mut(), args.bake) {
            last.secs = bake.0;
        }
        (RolloutMode::Linear, steps, true)
    } else if let Some(percent) = args.shadow {
        (RolloutMode::Shadow, one(percent), false)
    } else {
        (RolloutMode::Canary, one(args.canary.unwrap_or(10)), args.bake.is_some())
    };
    RolloutSpec {
        candidate: args.to,
        mode,
        steps,
        finishes,
        sticky_header: args.sticky.as_deref().map(str::to_ascii_lowercase),
        guards: RolloutGuards {
            min_requests: args.min_requests,
            max_error_rate: args.max_error_rate.0,
            max_p99_ratio: args.max_p99_ratio,
            max_drift: args.max_drift,
        },
    }
}

fn text(rollout: &Rollout) -> String {
    let Rollout { model, stable, spec, phase, step, reason, figures, .. } = rollout;
    let now = match phase {
        RolloutPhase::Running => {
            let steps = match spec.steps.len() {
                1 => String::new(),
                n => format!(", step {} of {n}", step + 1),
            };
            format!("{} percent{steps}", rollout.percent())
        }
        RolloutPhase::Promoted => format!("{model}:{} has taken over", spec.candidate),
        RolloutPhase::RolledBack => format!("taken back, {model}:{stable} answers"),
        RolloutPhase::Aborted => format!("ended, {model}:{stable} answers"),
    };
    let mut text = format!("{model}:{stable} → {model}:{} ({}): {now}", spec.candidate, spec.mode.as_str());
    if let Some(reason) = reason {
        text += &format!("\nwhy        {reason}");
    }
    for (name, side) in [("stable", &figures.stable), ("candidate", &figures.candidate)] {
        text += &format!(
            "\n{name:<10} {} requests, {} failed, median {:.2} ms, p99 {:.2} ms",
            side.n_requests,
            side.n_failed,
            side.p50_micros as f64 / 1e3,
            side.p99_micros as f64 / 1e3
        );
    }
    if figures.n_retried + figures.n_spilled > 0 {
        let (retried, spilled) = (figures.n_retried, figures.n_spilled);
        text += &format!("\nanswered by the stable version instead: {retried} failed, {spilled} found no room");
    }
    let shadow = &figures.shadow;
    if spec.mode == RolloutMode::Shadow {
        text += &format!(
            "\ncompared   {} requests, {} of {} rows agree, difference {:.6} on average, {:.6} at most; {} left out",
            shadow.n_compared,
            shadow.n_agreed,
            shadow.n_rows,
            shadow.mean_difference,
            shadow.max_difference,
            shadow.n_dropped
        );
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn parsed(line: &str) -> Option<RolloutSpec> {
        let words = ["athanor", "rollout", "start", "wine", "--to", "3"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).ok()?.command {
            Command::Rollout { command: RolloutCommand::Start(args) } => Some(spec(&args)),
            _ => None,
        }
    }

    #[test]
    fn the_command_line_says_what_is_to_be_done() {
        let canary = parsed("--canary 25 --sticky X-User-Id --max-p99-ratio 1.5 --min-requests 30").unwrap();
        assert_eq!((canary.candidate, canary.mode, canary.finishes), (3, RolloutMode::Canary, false));
        assert_eq!((canary.steps[0].percent, canary.steps[0].secs), (25, 0));
        assert_eq!(canary.sticky_header.as_deref(), Some("x-user-id"));
        assert_eq!((canary.guards.max_error_rate, canary.guards.max_p99_ratio), (Some(0.02), Some(1.5)));
        assert_eq!((canary.guards.min_requests, canary.check()), (30, Ok(())));
        assert_eq!(parsed("").unwrap().steps[0].percent, 10);
        assert!(parsed("--canary 5 --bake 10m").unwrap().finishes);
        let linear = parsed("--linear 10,50,100 --every 60s --bake 5m --max-error-rate off").unwrap();
        let steps: Vec<_> = linear.steps.iter().map(|step| (step.percent, step.secs)).collect();
        assert_eq!((steps, linear.finishes), (vec![(10, 60), (50, 60), (100, 300)], true));
        assert_eq!((linear.guards.max_error_rate, linear.check()), (None, Ok(())));
        let shadow = parsed("--shadow").unwrap();
        assert_eq!((shadow.mode, shadow.steps[0].percent, shadow.finishes), (RolloutMode::Shadow, 100, false));
        assert_eq!(parsed("--shadow 20").unwrap().steps[0].percent, 20);
        for wrong in [
            "--canary 0",
            "--canary 101",
            "--canary x",
            "--canary 5 --shadow",
            "--linear 10,x",
            "--every 5s",
            "--linear 10 --every 5y",
            "--linear 10 --every -5s",
            "--max-error-rate maybe",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
