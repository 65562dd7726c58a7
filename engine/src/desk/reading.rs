//! Files of the workspace for a client on another machine, in pieces. Runs' files and models' packages never change once
//! they are there, so that the pieces of one file fit each other whenever they are asked for.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use athanor_protocol::{
    Code, Failure,
    api::{FilePiece, FileRead, FileWanted},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Desk, runs};
use crate::{error::IoContext, files, registry};

/// Bytes of one piece; as text a third more.
const PIECE_BYTES: u64 = 3 << 20;

pub(super) fn file_read(desk: &Arc<Desk>, ask: FileRead) -> Result<FilePiece, Failure> {
    let path = place(desk, &ask)?;
    let mut file = File::open(&path).at("open", &path)?;
    let n_bytes = file.metadata().at("read", &path)?.len();
    if ask.offset > n_bytes {
        let message = format!("the file ends at byte {n_bytes}, before byte {}", ask.offset);
        return Err(Failure::new(Code::InvalidArgument, message));
    }
    file.seek(SeekFrom::Start(ask.offset)).at("read", &path)?;
    let mut bytes = vec![];
    file.take(PIECE_BYTES).read_to_end(&mut bytes).at("read", &path)?;
    Ok(FilePiece { base64: STANDARD.encode(&bytes), n_bytes })
}

/// Where the file lies. With the first piece its bytes are checked: nothing damaged is given away.
fn place(desk: &Arc<Desk>, ask: &FileRead) -> Result<PathBuf, Failure> {
    let workspace = desk.workspace()?;
    match &ask.file {
        FileWanted::Artifact { run, name } => {
            let (path, digest) = runs::artifact(&workspace, run, name)?;
            if ask.offset == 0 && files::digest_file(&path)?.0 != digest {
                return Err(runs::damaged(name));
            }
            Ok(path)
        }
        FileWanted::Package { model, version } => {
            let version = registry::resolve(&workspace, &format!("{model}:{version}"))?;
            if ask.offset == 0 {
                registry::verify_version(&workspace, &version)?;
            }
            workspace.artifacts.path(&version.sha256).ok_or_else(|| {
                Failure::new(Code::Corrupt, format!("the package of {model}:{} has no digest", version.version))
            })
        }
    }
}
