//! The servers that the endpoint is compared with: each in a Python environment of its own, since their packages do not
//! go together.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    dirs::{Dirs, program_in},
    setup,
};

/// Their packages, exactly these, so that the comparison is the same everywhere.
const PEERS: [(&str, &[&str]); 3] = [
    ("mlserver", &["mlserver==1.7.1", "mlserver-sklearn==1.7.1"]),
    ("bentoml", &["bentoml==1.4.40", "scikit-learn==1.9.1", "pandas==3.1.1"]),
    ("mlflow", &["mlflow==3.17.2", "scikit-learn==1.9.1"]),
];

/// Brings the peers and the program that loads them; the variables that tell the benchmark where their Pythons are.
///
/// # Errors
/// Fails where one cannot be installed.
pub(crate) fn ensure(dirs: &Dirs) -> Result<Vec<(String, PathBuf)>> {
    setup::ensure_wrk()?;
    PEERS
        .into_iter()
        .map(|(name, packages)| {
            let venv = dirs.tools.join("peers").join(name);
            setup::python_packages_in(dirs, &venv, &format!("peer-{name}"), packages)?;
            Ok((format!("ATHANOR_PEER_{}", name.to_uppercase()), program_in(&venv, "python")))
        })
        .collect()
}
