//! `models` and `predict`.

use athanor_protocol::{names::ModelRef, registry::ModelVersion};
use athanor_store::PageRequest;
use serde_json::json;

use super::{
    Context,
    args::{ModelsCommand, PredictArgs},
    data::source,
    onnx,
    output::{bytes, number, table, time},
    stop_on_signal,
};
use crate::{
    devices,
    error::{EngineError, Result},
    predict::{Job, predict_file, write_report},
    registry,
    runs::effects,
    workspace::Workspace,
};

pub(crate) fn run(context: &Context, command: ModelsCommand) -> Result<bool> {
    match command {
        ModelsCommand::List => list(context)?,
        ModelsCommand::Steward(command) => super::steward::run(context, command)?,
        ModelsCommand::Show { model } => {
            known_form(&model)?;
            let workspace = context.open()?;
            let version = registry::resolve(&workspace, &model)?;
            show(context, &version);
        }
        ModelsCommand::Register { run, name, node, alias } => {
            athanor_protocol::names::check_model_name(&name)?;
            alias.as_deref().map_or(Ok(()), athanor_protocol::names::check_alias)?;
            let workspace = context.open()?;
            let run = workspace.store.resolve_run(&run)?;
            let (mut version, existed) = effects::register_from_run(&workspace, &run, node.as_deref(), &name)?;
            if let Some(alias) = alias {
                registry::set_alias(&workspace, &name, &alias, version.version)?;
                version = registry::resolve(&workspace, &format!("{name}:{}", version.version))?;
            }
            registered(context, &version, existed);
        }
        ModelsCommand::Alias { name, alias, version, remove } => alias_to(context, &name, &alias, version, remove)?,
        ModelsCommand::Export { model, onnx: true, intended_use, output } => {
            known_form(&model)?;
            onnx::export(context, &model, &intended_use, &output)?;
        }
        ModelsCommand::Export { model, output, .. } => {
            known_form(&model)?;
            let version = registry::export(&context.open()?, &model, &output)?;
            let value = json!({ "model": version.model, "version": version.version, "file": output, "sha256": version.sha256, "n_bytes": version.n_bytes });
            context.out.result(&value, || {
                format!(
                    "{}:{} written to {} ({})",
                    version.model,
                    version.version,
                    output.display(),
                    bytes(version.n_bytes)
                )
            });
        }
        ModelsCommand::Import { file, name, named, trust } => {
            let name = name.or(named).unwrap_or_default();
            let workspace = context.open_or_init()?;
            let (version, existed) = registry::import(&workspace, &file, &name, trust.as_deref())?;
            registered(context, &version, existed);
        }
        ModelsCommand::Verify { file, trust } => {
            let workspace = Workspace::open(&context.workspace).ok();
            let verified = registry::verify(&file, workspace.as_ref(), &trust)?;
            let mut value = serde_json::to_value(&verified).unwrap_or_default();
            value["ok"] = json!(true);
            context.out.result(&value, || {
                let trusted = if verified.trusted { "a trusted key" } else { "a key that this workspace does not trust" };
                format!(
                    "{}: every byte is as it was signed\nsigned by  {} ({trusted})\nsha256     {}\npredicts   {} ({}) from {} columns\nmade by    {} in run {}",
                    file.display(), verified.signed_by, verified.sha256, verified.target, verified.task, verified.n_inputs, verified.workflow, verified.run_id
                )
            });
        }
    }
    Ok(true)
}

/// Refuses what can be no model before anything is opened: that is wrong usage, whatever the workspace holds.
fn known_form(reference: &str) -> Result<()> {
    reference.parse::<ModelRef>()?;
    Ok(())
}

fn registered(context: &Context, version: &ModelVersion, existed: bool) {
    let value = json!({ "model": version.model, "version": version.version, "existed": existed, "sha256": version.sha256, "aliases": version.aliases });
    context.out.result(&value, || {
        let again = if existed { " was registered before" } else { " registered" };
        format!("{}:{}{again}", version.model, version.version)
    });
}

fn list(context: &Context) -> Result<()> {
    let workspace = context.open()?;
    let page = workspace.store.models(&PageRequest::first(1000))?;
    context.out.result(&json!({ "models": page.items }), || {
        if page.items.is_empty() {
            return "no models; a workflow's register node makes one, or: athanor models register RUN NAME".to_owned();
        }
        let rows: Vec<Vec<String>> = page
            .items
            .iter()
            .map(|model| {
                let aliases: Vec<String> =
                    model.aliases.iter().map(|(alias, version)| format!("{alias} → {version}")).collect();
                vec![
                    model.name.clone(),
                    model.n_versions.to_string(),
                    model.latest.to_string(),
                    aliases.join(", "),
                    time(model.updated_at_millis),
                ]
            })
            .collect();
        table(&["model", "versions", "latest", "aliases", "updated (UTC)"], &rows)
    });
    Ok(())
}

fn show(context: &Context, version: &ModelVersion) {
    context.out.result(&serde_json::to_value(version).unwrap_or_default(), || {
        let signature = &version.signature;
        let mut text = format!(
            "model      {}:{}\npredicts   {} ({})\naliases    {}\nstage      {}\nrun        {}\ncreated    {}\nsize       {}\nsha256     {}\nsigned by  {}\n",
            version.model,
            version.version,
            signature.target,
            signature.task.as_str(),
            if version.aliases.is_empty() { "-".to_owned() } else { version.aliases.join(", ") },
            version.stage.as_str(),
            version.run_id.as_ref().map_or("- (imported)", |run| run.as_str()),
            time(version.created_at_millis),
            bytes(version.n_bytes),
            version.sha256,
            version.signed_by,
        );
        if !signature.classes.is_empty() {
            text += &format!("classes    {}\n", signature.classes.join(", "));
        }
        let metrics: Vec<Vec<String>> = version.metrics.iter().map(|metric| vec![metric.key.clone(), number(metric.value.to_f64())]).collect();
        if !metrics.is_empty() {
            text += &format!("\n{}", table(&["metric", "value"], &metrics));
        }
        let inputs: Vec<Vec<String>> =
            signature.inputs.iter().map(|input| vec![input.name.clone(), input.dtype.as_str().to_owned(), if input.nullable { "may be missing" } else { "" }.to_owned()]).collect();
        text + &format!("\n{}", table(&["input", "type", ""], &inputs))
    });
}

fn alias_to(context: &Context, name: &str, alias: &str, version: Option<String>, remove: bool) -> Result<()> {
    let workspace = context.open()?;
    if remove {
        let before = registry::remove_alias(&workspace, name, alias)?;
        let value = json!({ "model": name, "alias": alias, "from": before, "to": null });
        context.out.result(&value, || format!("{name}@{alias} is gone; it was version {before}"));
        return Ok(());
    }
    let text = version.unwrap_or_default();
    let separator = if text.bytes().all(|b| b.is_ascii_digit()) { ':' } else { '@' };
    let reference: ModelRef = format!("{name}{separator}{text}").parse()?;
    let version = workspace.store.resolve(&reference)?.version;
    let before = registry::set_alias(&workspace, name, alias, version)?;
    context.out.result(&json!({ "model": name, "alias": alias, "from": before, "to": version }), || match before {
        Some(before) if before != version => {
            format!("{name}@{alias} is version {version}\nroll back: athanor models alias {name} {alias} {before}")
        }
        _ => format!("{name}@{alias} is version {version}"),
    });
    Ok(())
}

pub(crate) fn predict(context: &Context, args: &PredictArgs) -> Result<()> {
    known_form(&args.model)?;
    let name = args.output.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if ![".csv", ".parquet"].iter().any(|ending| name.ends_with(ending)) {
        return Err(EngineError::Usage(format!("the output must end in .csv or .parquet: {}", args.output.display())));
    }
    let workspace = context.open()?;
    stop_on_signal(&context.stop);
    let bar = context.out.progress();
    let device = devices::resolve(&context.program, &args.device)?;
    let source = source(&args.table);
    let job =
        Job { reference: &args.model, source: &source, to: &args.output, keep_input: !args.only, device: &device };
    let predicted = predict_file(&workspace, &job, &context.stop, &mut |far| {
        let share = far.share.map(|share| format!(", {:.0} %", share * 100.0)).unwrap_or_default();
        bar.set_message(format!("{} rows{share}", far.n_rows));
    });
    bar.finish_and_clear();
    let predicted = predicted?;
    write_report(&predicted, &args.output)?;
    let report = &predicted.report;
    let mut value = serde_json::to_value(&predicted).unwrap_or_default();
    value["output"] = json!(args.output);
    context.out.result(&value, || {
        let mut text = String::new();
        for (column, n) in &report.missing {
            text += &format!(
                "note: column {column:?} lacks {n} values, and training knew all of them; they were imputed\n"
            );
        }
        for (column, n) in &report.new_categories {
            text += &format!("note: column {column:?} has {n} values that training has never seen\n");
        }
        for (column, n) in &report.out_of_range {
            text += &format!("note: column {column:?} has {n} values outside of what training has seen\n");
        }
        if report.n_resumed > 0 {
            text += &format!("note: {} rows were done before and are taken as they are\n", report.n_resumed);
        }
        text + &format!(
            "{} rows by {}:{} in {:.2} s → {}",
            report.n_rows,
            predicted.model,
            predicted.version,
            report.seconds,
            args.output.display()
        )
    });
    Ok(())
}
