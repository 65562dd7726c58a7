//! `models promote`, `rollback`, `stage`, `card`, `compare` and their like.

use std::path::Path;

use athanor_protocol::{
    card::Comparison,
    governance::{AliasMove, Rules},
    names::{ModelRef, Selector, check_model_name},
};
use serde_json::json;

use super::{
    Context,
    output::{bytes, number, table, time},
    steward_args::{ImportCommand, StewardCommand},
    stop_on_signal,
};
use crate::{
    error::{EngineError, Result},
    mlflow, registry,
    steward::{self, Asked},
    workspace::Workspace,
};

pub(super) fn import(context: &Context, command: ImportCommand) -> Result<()> {
    let ImportCommand::Mlflow { path, artifacts } = command;
    let found = mlflow::import(&context.open_or_init()?, &path, artifacts.as_deref(), &mut |_| true)?;
    context.out.result(&serde_json::to_value(&found).unwrap_or_default(), || {
        let kind = match found.kind {
            mlflow::Kind::Database => "database",
            mlflow::Kind::FileStore => "file store",
        };
        let mut text = format!(
            "read the {kind} {}\n{} runs are new, {} were here before; {} metric points, {} files",
            found.path,
            found.runs.len(),
            found.n_known,
            found.n_points,
            found.n_files
        );
        for note in &found.notes {
            text += &format!("\n{note}");
        }
        for left in &found.left_out {
            let of = if left.run.is_empty() { String::new() } else { format!(" of {}", left.run) };
            text += &format!("\nleft out{of}: {}: {}", left.what, left.why);
        }
        let n_more = found.n_left_out - found.left_out.len();
        if n_more > 0 {
            text += &format!("\nand {n_more} more that were left out");
        }
        text
    });
    Ok(())
}

/// A model and the version that is meant.
fn version_of(workspace: &Workspace, reference: &str) -> Result<(String, u32)> {
    let version = registry::resolve(workspace, reference)?;
    Ok((version.model, version.version))
}

/// A version by its number alone, whether it is deleted or not.
fn exact(reference: &str) -> Result<(String, u32)> {
    let parsed: ModelRef = reference.parse()?;
    match parsed.selector {
        Selector::Version(version) => Ok((parsed.name, version)),
        _ => Err(EngineError::Usage(format!("name the version by its number, NAME:VERSION, not {reference:?}"))),
    }
}

fn known_form(reference: &str) -> Result<()> {
    reference.parse::<ModelRef>()?;
    Ok(())
}

pub(super) fn run(context: &Context, command: StewardCommand) -> Result<()> {
    match command {
        StewardCommand::Promote { model, alias, reason } => {
            known_form(&model)?;
            let workspace = context.open()?;
            let (name, version) = version_of(&workspace, &model)?;
            moved(context, &name, &steward::promote(&workspace, &name, &alias, Some(version), &reason)?);
        }
        StewardCommand::Rollback { name, alias, reason } => {
            check_model_name(&name)?;
            moved(context, &name, &steward::roll_back(&context.open()?, &name, &alias, false, &reason)?);
        }
        StewardCommand::Undo { name, alias, reason } => {
            check_model_name(&name)?;
            moved(context, &name, &steward::roll_back(&context.open()?, &name, &alias, true, &reason)?);
        }
        StewardCommand::Stage { model, stage, roll_back, reason } => {
            known_form(&model)?;
            let workspace = context.open()?;
            let (name, version) = version_of(&workspace, &model)?;
            let outcome = steward::set_stage(&workspace, &name, version, stage, roll_back, &reason)?;
            let value = json!({ "model": name, "version": version, "stage": stage, "change": outcome.change, "moved": outcome.moved });
            context.out.result(&value, || {
                let mut text = match &outcome.change {
                    Some(change) => {
                        format!("{name}:{version} is {} now; it was {}", change.to.as_str(), change.from.as_str())
                    }
                    None => format!("{name}:{version} is {} already", stage.as_str()),
                };
                for moved in &outcome.moved {
                    text += &format!("\n{}", arrow(&name, moved));
                }
                text
            });
        }
        StewardCommand::History { name } => history(context, &name)?,
        StewardCommand::Rules { name, needs_approval, no_self_approval, keep_newest, keep_days, reset } => {
            let new = Rules { needs_approval, forbid_self_approval: no_self_approval, keep_newest, keep_days };
            rules(context, name.as_deref(), new, reset)?;
        }
        StewardCommand::Card { model, output, set } => card(context, &model, output.as_deref(), &set)?,
        StewardCommand::Compare { first, second, table } => compare(context, &first, &second, table.as_deref())?,
        StewardCommand::Delete { model, reason } => {
            let (name, version) = exact(&model)?;
            let deleted = steward::delete(&context.open()?, &name, version, &[], &reason)?;
            context.out.result(&json!({ "deleted": deleted }), || {
                format!("{name}:{version} is deleted\nuntil the next cleaning: athanor models restore {name}:{version}")
            });
        }
        StewardCommand::Restore { model } => {
            let (name, version) = exact(&model)?;
            let version = steward::restore(&context.open()?, &name, version)?;
            context.out.result(&json!({ "restored": version }), || format!("{name}:{} is back", version.version));
        }
        StewardCommand::Clean { dry_run } => {
            let cleaned = steward::clean(&context.open()?, dry_run)?;
            let mut value = serde_json::to_value(&cleaned).unwrap_or_default();
            value["dry_run"] = json!(dry_run);
            context.out.result(&value, || {
                let would = if dry_run { "would be " } else { "" };
                let mut text = String::new();
                for gone in &cleaned.removed {
                    text += &format!("{}:{}: its package {would}removed\n", gone.model, gone.version);
                }
                for gone in &cleaned.marked {
                    text += &format!(
                        "{}:{}: {would}deleted; it can be restored until the next cleaning\n",
                        gone.model, gone.version
                    );
                }
                text + &format!("{} {would}freed", bytes(cleaned.freed_bytes))
            });
        }
    }
    Ok(())
}

fn arrow(name: &str, moved: &AliasMove) -> String {
    let version =
        |version: Option<u32>| version.map_or_else(|| "nothing".to_owned(), |version| format!("version {version}"));
    format!("{name}@{} points to {}; it pointed to {}", moved.alias, version(moved.to), version(moved.from))
}

fn moved(context: &Context, name: &str, moved: &AliasMove) {
    let mut value = serde_json::to_value(moved).unwrap_or_default();
    value["model"] = json!(name);
    context.out.result(&value, || {
        if moved.from == moved.to {
            return format!("{name}@{} points there already", moved.alias);
        }
        format!("{}\nundo: athanor models undo {name} --alias {}", arrow(name, moved), moved.alias)
    });
}

fn history(context: &Context, name: &str) -> Result<()> {
    check_model_name(name)?;
    let workspace = context.open()?;
    let (stages, moves) = (workspace.store.stage_changes(name)?, workspace.store.alias_moves(name)?);
    let deleted = workspace.store.deleted_versions(Some(name))?;
    let (rules, own) = workspace.store.rules(Some(name))?;
    let value = json!({ "model": name, "stages": stages, "moves": moves, "deleted": deleted, "rules": rules, "own_rules": own });
    context.out.result(&value, || {
        let mut lines: Vec<(i64, Vec<String>)> = vec![];
        for change in &stages {
            let what = format!("version {} is {} (was {})", change.version, change.to.as_str(), change.from.as_str());
            lines.push((
                change.at_millis,
                vec![time(change.at_millis), change.actor.clone(), what, change.reason.clone()],
            ));
        }
        for moved in &moves {
            let what = format!("{} [{}]", arrow(name, moved), moved.kind.as_str());
            lines.push((moved.at_millis, vec![time(moved.at_millis), moved.actor.clone(), what, moved.reason.clone()]));
        }
        for gone in &deleted {
            let cleaned = if gone.cleaned_at_millis.is_some() { ", its package is gone" } else { "" };
            let what = format!("version {} is deleted{cleaned}", gone.version);
            lines.push((gone.at_millis, vec![time(gone.at_millis), gone.actor.clone(), what, gone.reason.clone()]));
        }
        lines.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let rows: Vec<Vec<String>> = lines.into_iter().map(|(_, line)| line).collect();
        if rows.is_empty() {
            return format!("nothing happened to {name} yet but that it was registered");
        }
        table(&["when (UTC)", "who", "what", "why"], &rows)
    });
    Ok(())
}

fn rules(context: &Context, name: Option<&str>, new: Rules, reset: bool) -> Result<()> {
    name.map_or(Ok(()), check_model_name)?;
    let workspace = context.open()?;
    let rules = if reset {
        steward::set_rules(&workspace, name, None)?
    } else if new == Rules::default() {
        workspace.store.rules(name)?.0
    } else {
        steward::set_rules(&workspace, name, Some(&new))?
    };
    context.out.result(&json!({ "model": name, "rules": rules }), || {
        let or = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let needs = if rules.needs_approval.is_empty() { "-".to_owned() } else { rules.needs_approval.join(", ") };
        format!(
            "of              {}\nneed approval   {needs}\nself-approval   {}\nkeep newest     {}\nkeep days       {}",
            name.unwrap_or("the workspace"),
            if rules.forbid_self_approval { "forbidden" } else { "allowed" },
            or(rules.keep_newest),
            or(rules.keep_days)
        )
    });
    Ok(())
}

fn card(context: &Context, model: &str, output: Option<&Path>, set: &[String]) -> Result<()> {
    known_form(model)?;
    let mut texts = vec![];
    for text in set {
        texts.push(text.split_once('=').ok_or_else(|| {
            EngineError::Usage(format!("--set needs FIELD=TEXT, for example intended_use=\"…\", not {text:?}"))
        })?);
    }
    let workspace = context.open()?;
    let version = registry::resolve(&workspace, model)?;
    for (field, text) in texts {
        let act = steward::act(&workspace, "");
        workspace.store.edit_card(&version.model, version.version, field, text, &act)?;
    }
    let card = steward::card(&workspace, &version)?;
    if let Some(to) = output {
        steward::write_card(&card, to)?;
        let value = json!({ "model": card.model, "file": to });
        context.out.result(&value, || format!("the card of {} is in {}", card.model, to.display()));
        return Ok(());
    }
    context.out.result(&serde_json::to_value(&card).unwrap_or_default(), || steward::markdown(&card));
    Ok(())
}

fn compare(context: &Context, first: &str, second: &str, file: Option<&str>) -> Result<()> {
    known_form(first)?;
    known_form(second)?;
    let workspace = context.open()?;
    stop_on_signal(&context.stop);
    let bar = context.out.progress();
    let source = file.map(athanor_protocol::table::DataSource::file);
    let asked = Asked { first, second, table: source.as_ref() };
    let found = steward::compare(&workspace, asked, &context.stop, &mut |done, _, note| {
        bar.set_message(format!("{done} {note}"))
    });
    bar.finish_and_clear();
    let found = found?;
    context.out.result(&serde_json::to_value(&found).unwrap_or_default(), || told(&found));
    Ok(())
}

fn told(found: &Comparison) -> String {
    let mut text = format!("{}\n\n", found.words);
    let rows: Vec<Vec<String>> = found
        .metrics
        .iter()
        .map(|metric| {
            vec![
                metric.key.clone(),
                number(metric.first),
                number(metric.second),
                number(metric.difference),
                format!("{} to {}", number(metric.interval[0]), number(metric.interval[1])),
            ]
        })
        .collect();
    text += &table(&["metric", &found.first, &found.second, "difference", "95 % interval"], &rows);
    if let Some(test) = &found.test {
        text += &format!("\n{}: p = {} ({})\n", test.name, number(test.p_value), test.counted);
    }
    text += &format!("rows: {} ({})\n", found.table, found.n_rows);
    for note in &found.notes {
        text += &format!("note: {note}\n");
    }
    text.trim_end().to_owned()
}
