//! Tables: which there are, their rows, profiles and plots.
//!
//! A table is named by its path; a relative one starts at the workspace's folder. Which tables the workspace knows stands
//! in `tables.json` ([`list`]); opened ones are kept a while ([`open`]), so that scrolling does not open them anew.

mod list;
mod open;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use athanor_datasets::DescribeOptions;
use athanor_protocol::{
    Code, Failure,
    api::{
        DataAdd, DataEntries, DataEntry, DataList, DataOpen, DataPlot, DataProfile, DataRemove, DataRows, DataUpload,
        DataUploaded, Done, Event, MAX_PAGE_ROWS, PlotData, ProfileAnswer, RowsPage, TableInfo,
    },
    table::DataSource,
};

pub(super) use self::open::DataState;
use super::Desk;

/// For how long the first page of a text table waits for its rows to be counted.
const FIRST_COUNT: Duration = Duration::from_millis(150);
/// After this long a profile tells how far it is, and again as often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
const PROFILE: DescribeOptions = DescribeOptions { max_top: 10, n_bins: 30 };

/// The tables, newest first. Files that have vanished are listed without a size.
pub(super) fn data_list(desk: &Arc<Desk>, _: DataList) -> Result<DataEntries, Failure> {
    let workspace = desk.workspace()?;
    Ok(DataEntries { items: list::entries(workspace.root())? })
}

/// Adds a file that is a table.
pub(super) fn data_add(desk: &Arc<Desk>, ask: DataAdd) -> Result<DataEntry, Failure> {
    let workspace = desk.workspace()?;
    let source = located(workspace.root(), DataSource::file(ask.path));
    desk.data.find(&source)?;
    add(desk, workspace.root(), &source.path, workspace.clock.now_millis())
}

fn add(desk: &Desk, root: &Path, path: &str, now_millis: i64) -> Result<DataEntry, Failure> {
    let (entry, is_new) = {
        let _turn = desk.data.list_turn();
        list::add(root, path, now_millis)?
    };
    if is_new {
        desk.publish(Event::DataChanged {});
    }
    Ok(entry)
}

/// Takes a table off the list; its file stays where it is.
pub(super) fn data_remove(desk: &Arc<Desk>, ask: DataRemove) -> Result<Done, Failure> {
    let workspace = desk.workspace()?;
    {
        let _turn = desk.data.list_turn();
        list::remove(workspace.root(), &ask.path)?;
    }
    desk.publish(Event::DataChanged {});
    Ok(Done {})
}

/// Keeps a piece of a file; after the last one the file is opened and added.
pub(super) fn data_upload(desk: &Arc<Desk>, ask: DataUpload) -> Result<DataUploaded, Failure> {
    let workspace = desk.workspace()?;
    let (n_bytes, path) = {
        let _turn = desk.data.upload_turn();
        upload::piece(workspace.root(), &ask)?
    };
    let Some(path) = path else { return Ok(DataUploaded { n_bytes, entry: None }) };
    let source = DataSource::file(path.to_string_lossy());
    if let Err(failure) = desk.data.find(&source) {
        // The bytes are the sender's; here nobody has any use for them.
        let _ = std::fs::remove_file(&path);
        return Err(failure);
    }
    let entry = add(desk, workspace.root(), &source.path, workspace.clock.now_millis())?;
    Ok(DataUploaded { n_bytes, entry: Some(entry) })
}

/// A table's columns and size.
pub(super) fn data_open(desk: &Arc<Desk>, ask: DataOpen) -> Result<TableInfo, Failure> {
    let source = located(desk.workspace()?.root(), ask.source);
    let opened = desk.data.find(&source)?;
    let dataset = opened.pager.dataset();
    Ok(TableInfo {
        name: dataset.name(),
        columns: dataset.schema().columns.clone(),
        n_rows: opened.pager.n_rows(),
        n_bytes: opened.n_bytes(),
        notes: dataset.notes().to_vec(),
    })
}

/// A page of rows. The rows of a text table are counted meanwhile, behind the first page.
pub(super) fn data_rows(desk: &Arc<Desk>, ask: DataRows) -> Result<RowsPage, Failure> {
    if ask.limit > MAX_PAGE_ROWS {
        let message = format!("{} rows are too many for one page", ask.limit);
        return Err(Failure::new(Code::InvalidArgument, message).hint(format!("ask for at most {MAX_PAGE_ROWS}")));
    }
    let source = located(desk.workspace()?.root(), ask.source);
    desk.data.with(&source, |opened| {
        if !opened.pager.is_indexed() && opened.is_fresh() {
            let began = Instant::now();
            opened.pager.index(&|| began.elapsed() >= FIRST_COUNT)?;
        }
        let page = opened.pager.rows(ask.offset, ask.limit as usize, &ask.columns)?;
        opened.index_behind();
        Ok(RowsPage { offset: ask.offset, columns: page.columns, cells: page.cells, n_rows: page.n_rows })
    })
}

/// Everything about a table's columns.
pub(super) fn data_profile(desk: &Arc<Desk>, ask: DataProfile) -> Result<ProfileAnswer, Failure> {
    let source = located(desk.workspace()?.root(), ask.source);
    let (began, mut told) = (Instant::now(), Duration::ZERO);
    let mut tell = |done: u64, total: u64| {
        let elapsed = began.elapsed();
        if elapsed < told + PROGRESS_EVERY {
            return;
        }
        told = elapsed;
        let note = format!("column {done} of {total}");
        desk.publish(Event::Progress { token: ask.token.clone(), done, total, note });
    };
    let working = desk.works.begin(&ask.token);
    desk.data.with(&source, |opened| {
        let profile = opened.profile(&PROFILE, &mut tell, &|| working.is_stopped())?;
        Ok(ProfileAnswer { name: opened.pager.dataset().name(), profile })
    })
}

/// Numbers for a plot.
pub(super) fn data_plot(desk: &Arc<Desk>, ask: DataPlot) -> Result<PlotData, Failure> {
    let source = located(desk.workspace()?.root(), ask.source);
    let working = desk.works.begin(&ask.token);
    desk.data.with(&source, |opened| opened.pager.dataset().plot(&ask.spec, &|| working.is_stopped()))
}

/// The source with its path looked up from the workspace's folder.
fn located(root: &Path, source: DataSource) -> DataSource {
    if source.path.is_empty() {
        return source;
    }
    DataSource { path: list::full_path(root, &source.path).to_string_lossy().into_owned(), ..source }
}
