//! A database: the store crate reads its rows; here they become runs, and their files are looked for.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure, names::MAX_NAME_BYTES};
use athanor_store::{
    StoreError,
    foreign_mlflow::{Database, Run, Text, Unfit},
};

use super::{
    GoOn, Imported, RUNS, SERVED,
    artifacts::{self, Logged, folder_below, is_folder, is_uuid},
    fits, folder,
    record::{self, Described, Place, Recording, Texts},
};
use crate::{
    error::{EngineError, IoContext, Result},
    workspace::Workspace,
};

/// Logged models that are looked for in all.
const MAX_MODELS: usize = 100_000;
/// Places that are named where files cannot be reached.
const MAX_SCHEMES: usize = 20;

/// A model that a run has logged: names for folders that were checked, and one that is shown.
struct OfModel {
    experiment: String,
    id: String,
    name: String,
}

/// Where files are, and which of the runs have some there.
struct Files {
    roots: Vec<PathBuf>,
    /// Models by run.
    models: HashMap<String, Vec<OfModel>>,
    n_runs: usize,
    n_without: usize,
    /// How many runs have their files where only MLflow gets at them, by the scheme of the address.
    elsewhere: BTreeMap<String, usize>,
}

pub(super) fn import(
    workspace: &Workspace,
    path: &Path,
    files: Option<&Path>,
    found: &mut Imported,
    go_on: &mut GoOn<'_>,
) -> Result<()> {
    let db = Database::open(path)?;
    found.schema = db.version()?.filter(|version| fits(version, 64));
    for remark in db.remarks() {
        found.left_out("", "the database", remark);
    }
    let mut files = Files {
        roots: roots(path, files, found)?,
        models: logged_models(&db, found)?,
        n_runs: 0,
        n_without: 0,
        elsewhere: BTreeMap::new(),
    };
    let mut after = None;
    'slices: loop {
        let slice = match db.runs(after) {
            Ok(slice) => slice,
            Err(err) if after.is_some() && is_damage(&err) => {
                found.left_out("", "further runs", &err.to_string());
                break;
            }
            Err(err) => return Err(err.into()),
        };
        for run in &slice.rows {
            if !found.goes_on(go_on) || !one(workspace, &db, run, &mut files, found)? {
                break 'slices;
            }
        }
        match slice.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    files.tell(found);
    match db.registered() {
        Ok((n_models, n_versions)) => found.registered(n_models, n_versions),
        Err(err) if is_damage(&err) => found.left_out("", "registered models", &err.to_string()),
        Err(err) => return Err(err.into()),
    }
    Ok(())
}

/// Whether the database itself is at fault, so that trying again does not help before it is repaired.
fn is_damage(err: &StoreError) -> bool {
    matches!(err.code(), Code::Corrupt | Code::BadData | Code::TooLarge)
}

/// The folders in which files are looked for: the one that was named, or those that lie beside the database.
fn roots(path: &Path, named: Option<&Path>, found: &mut Imported) -> Result<Vec<PathBuf>> {
    if let Some(named) = named {
        if !fs::metadata(named).at("open", named)?.is_dir() {
            let failure = Failure::new(Code::InvalidArgument, format!("this is no folder: {}", named.display()));
            let hint = "name the folder in which MLflow keeps files, with '<experiment>/<run>/artifacts' below it";
            return Err(EngineError::Failure(failure.on(named.display().to_string()).hint(hint)));
        }
        found.artifact_folders.push(named.display().to_string());
        return Ok(vec![named.to_owned()]);
    }
    let beside = path.canonicalize().at("open", path)?;
    let beside = beside.parent().unwrap_or(Path::new("."));
    let roots: Vec<PathBuf> =
        [RUNS, SERVED].iter().map(|name| beside.join(name)).filter(|root| is_folder(root)).collect();
    found.artifact_folders.extend(roots.iter().map(|root| root.display().to_string()));
    if roots.is_empty() {
        found.notes.push(format!(
            "files of runs were not looked for, since neither '{RUNS}' nor '{SERVED}' lies beside the database; to take \
             them in, import again and name their folder (--artifacts), below which they are in '<experiment>/<run>/artifacts'"
        ));
    } else {
        let names = found.artifact_folders.join(" and ");
        found.notes.push(format!(
            "files of runs were taken from beside the database: {names}; another one can be named (--artifacts)"
        ));
    }
    for root in roots.iter().filter(|root| folder::has_experiments(root)) {
        let root = root.display();
        found
            .notes
            .push(format!("{root} is a file store as well; its runs are read with: athanor import mlflow {root}"));
    }
    Ok(roots)
}

/// Models that runs have logged, by run.
fn logged_models(db: &Database, found: &mut Imported) -> Result<HashMap<String, Vec<OfModel>>> {
    let mut models: HashMap<String, Vec<OfModel>> = HashMap::new();
    let mut n_models = 0;
    let mut after = None;
    loop {
        let slice = match db.logged_models(after) {
            Ok(slice) => slice,
            Err(err) if is_damage(&err) => {
                found.left_out("", "files of logged models", &err.to_string());
                return Ok(models);
            }
            Err(err) => return Err(err.into()),
        };
        for model in slice.rows {
            // Only a run with an id as MLflow makes it has folders of files; other ids are not kept, however long they are.
            let Some(run) = model.run.ok().filter(|run| is_uuid(run)) else { continue };
            let name = model.name.unwrap_or_default();
            let (Ok(id), Some(experiment)) = (model.id, folder_name(model.experiment)) else {
                found.left_out(
                    &run,
                    &format!("logged model {name}"),
                    "its id or its experiment is not as MLflow makes it",
                );
                continue;
            };
            if !id.strip_prefix("m-").is_some_and(is_uuid) {
                found.left_out(&run, &format!("logged model {name}"), "its id is not as MLflow makes it");
                continue;
            }
            if model.is_deleted {
                found.left_out(&run, &format!("logged model {name}"), "it was deleted in MLflow");
                continue;
            }
            n_models += 1;
            if n_models > MAX_MODELS {
                found.left_out("", "files of further logged models", &format!("there are more than {MAX_MODELS}"));
                return Ok(models);
            }
            // The name is shown, and no longer than the name of a file may be.
            let name = if name.len() <= MAX_NAME_BYTES { name } else { String::new() };
            models.entry(run).or_default().push(OfModel { experiment, id, name });
        }
        match slice.next {
            Some(next) => after = Some(next),
            None => return Ok(models),
        }
    }
}

/// An experiment's number as the name of its folder.
fn folder_name(experiment: Option<i64>) -> Option<String> {
    experiment.filter(|number| *number >= 0).map(|number| number.to_string())
}

impl Files {
    /// Keeps the files of a run.
    fn keep(
        &self,
        workspace: &Workspace,
        experiment: &str,
        uuid: &str,
        found: &mut Imported,
    ) -> Result<Vec<athanor_protocol::run::Artifact>> {
        // Both names were checked: digits by the number that they are, and here.
        let folder = if is_uuid(uuid) { self.below(&[experiment, uuid, "artifacts"]) } else { None };
        let mut models = vec![];
        for OfModel { experiment, id, name } in self.models.get(uuid).into_iter().flatten() {
            if let Some(folder) = self.below(&[experiment, "models", id, "artifacts"]) {
                models.push(Logged { id: id.clone(), name: name.clone(), folder });
            }
        }
        artifacts::keep(workspace, folder.as_deref(), &models, uuid, found)
    }

    fn below(&self, names: &[&str]) -> Option<PathBuf> {
        self.roots.iter().find_map(|root| folder_below(root, names))
    }

    /// Notes where a run's files may be that are not here.
    fn count(&mut self, experiment: &str, uuid: &str, uri: &Text) {
        self.n_runs += 1;
        if is_uuid(uuid) && self.below(&[experiment, uuid]).is_some() {
            return;
        }
        self.n_without += 1;
        let scheme = uri.as_deref().ok().and_then(scheme_elsewhere);
        if let Some(scheme) = scheme
            && (self.elsewhere.len() < MAX_SCHEMES || self.elsewhere.contains_key(&scheme))
        {
            *self.elsewhere.entry(scheme).or_default() += 1;
        }
    }

    fn tell(&self, found: &mut Imported) {
        if self.n_without > 0 && !self.roots.is_empty() {
            found.notes.push(format!("{} of {} new runs have no files in these folders", self.n_without, self.n_runs));
        }
        for (scheme, n_runs) in &self.elsewhere {
            let why = format!(
                "MLflow keeps them at {scheme}; copy them into a folder as '<experiment>/<run>/artifacts' and import again \
                 with that folder named (--artifacts)"
            );
            found.left_out("", &format!("files of {n_runs} runs"), &why);
        }
    }
}

/// The scheme of an address that is no place on this machine.
fn scheme_elsewhere(uri: &str) -> Option<String> {
    let (scheme, _) = uri.split_once(":/")?;
    let is_scheme = (2..=20).contains(&scheme.len())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let scheme = scheme.to_ascii_lowercase();
    (is_scheme && !matches!(scheme.as_str(), "file" | "mlflow-artifacts")).then(|| format!("{scheme}://"))
}

/// Reads a run; `false` where there is no room for it.
fn one(workspace: &Workspace, db: &Database, run: &Run, files: &mut Files, found: &mut Imported) -> Result<bool> {
    let uuid = match &run.uuid {
        Ok(uuid) if fits(uuid, MAX_NAME_BYTES) => uuid.as_str(),
        Ok(uuid) => {
            found.left_out(uuid, "the run", "its id cannot be kept");
            return Ok(true);
        }
        Err(unfit) => {
            found.left_out("", "a run without an id", &unfit.to_string());
            return Ok(true);
        }
    };
    let Some((number, experiment)) = run.experiment.zip(folder_name(run.experiment)) else {
        found.left_out(uuid, "the run", "its experiment is not as MLflow makes it");
        return Ok(true);
    };
    let place = record::place(workspace, &experiment, uuid, found)?;
    if let Place::Known(detail) = &place {
        if record::is_without_files(detail) {
            let files = files.keep(workspace, &experiment, uuid, found)?;
            record::add_files(workspace, &detail.summary.id, &files, found)?;
        }
        return Ok(true);
    }
    if !found.has_room(uuid) {
        return Ok(false);
    }
    let read = db.experiment(number).and_then(|known| Ok((known, texts(db, uuid, found)?)));
    let (known, texts) = match read {
        Ok(read) => read,
        Err(err) if is_damage(&err) => {
            found.left_out(uuid, "the run", &err.to_string());
            return Ok(true);
        }
        Err(err) => return Err(err.into()),
    };
    if known.is_none() {
        found.left_out(uuid, "the name of its experiment", "the database has no such experiment");
    }
    let is_deleted = run.is_deleted || known.as_ref().is_some_and(|experiment| experiment.is_deleted);
    let name = known.and_then(|experiment| experiment.name.ok()).filter(|name| !name.is_empty());
    let described = Described {
        experiment: &experiment,
        experiment_name: name.as_deref().unwrap_or(&experiment),
        uuid,
        name: run.name.as_deref().unwrap_or_default(),
        status: run.status.as_deref().unwrap_or_default(),
        started_at_millis: run.started_at_millis,
        ended_at_millis: run.ended_at_millis,
        is_deleted,
    };
    files.count(&experiment, uuid, &run.artifact_uri);
    let kept = files.keep(workspace, &experiment, uuid, found)?;
    if let Some(mut recording) = Recording::begin(workspace, place, described, texts, kept, found)? {
        match points(db, uuid, &mut recording) {
            Ok(None) => recording.end(found)?,
            Ok(Some(err)) => {
                recording.broken_off(&err.to_string(), found)?;
                // What is wrong outside the database would be wrong with the next run as well.
                if !is_damage(&err) {
                    return Err(err.into());
                }
            }
            Err(err) => {
                recording.given_up(&err);
                return Err(err);
            }
        }
    }
    Ok(true)
}

fn texts(db: &Database, uuid: &str, found: &mut Imported) -> Result<Texts, StoreError> {
    let mut texts = Texts::default();
    for is_param in [true, false] {
        let mut after = None;
        loop {
            let slice = if is_param { db.params(uuid, after)? } else { db.tags(uuid, after)? };
            for pair in slice.rows {
                let key = match &pair.key {
                    Ok(key) => key.as_str(),
                    Err(unfit) => {
                        let what = if is_param { "a parameter without a name" } else { "a tag without a name" };
                        found.left_out(uuid, what, &unfit.to_string());
                        continue;
                    }
                };
                let value = match pair.value {
                    // A tag may be there and say nothing.
                    Err(Unfit::Missing) if !is_param => Ok(String::new()),
                    value => value.map_err(|unfit| unfit.to_string()),
                };
                if is_param {
                    texts.param(uuid, key, value, found);
                } else {
                    texts.tag(uuid, key, value, found);
                }
            }
            match slice.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(texts)
}

/// Hands over the points of a run. The database's fault, if there is one, is an answer: what came before it is kept.
fn points(db: &Database, uuid: &str, recording: &mut Recording<'_>) -> Result<Option<StoreError>> {
    let mut after = None;
    loop {
        let slice = match db.points(uuid, after) {
            Ok(slice) => slice,
            Err(err) => return Ok(Some(err)),
        };
        for point in slice.rows {
            match &point.key {
                Ok(key) => recording.point(key, point.at_millis, point.value, point.step)?,
                Err(unfit) => recording.odd_metric(&format!("without a name: {unfit}")),
            }
        }
        match slice.next {
            Some(next) if !recording.is_full() => after = Some(next),
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_whether_files_are_on_this_machine() {
        for (uri, expect) in [
            ("file:///home/ann/mlruns/1/a/artifacts", None),
            ("/home/ann/mlruns/1/a/artifacts", None),
            ("mlruns/1/a/artifacts", None),
            ("./mlruns", None),
            ("C:/mlruns", None),
            ("mlflow-artifacts:/1/a/artifacts", None),
            ("s3://bucket/1/a/artifacts", Some("s3://")),
            ("S3://bucket", Some("s3://")),
            ("abfss://x@y/z", Some("abfss://")),
            ("dbfs:/x", Some("dbfs://")),
            ("", None),
            ("a b://x", None),
            ("<script>://x", None),
        ] {
            assert_eq!(scheme_elsewhere(uri).as_deref(), expect, "{uri}");
        }
    }
}
