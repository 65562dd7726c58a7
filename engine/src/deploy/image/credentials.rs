//! Who we are to a registry: named on the command line, or written down by `docker login`.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    error::{EngineError, Result},
    files,
};

/// Largest file of Docker's settings that is read.
const MAX_BYTES: u64 = 1 << 20;

/// A name and a password. Neither is ever shown together with the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Settings {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
}

impl Credentials {
    /// What `docker login` has written down for a registry, if anything.
    ///
    /// # Errors
    /// If the file is there and cannot be read, or Docker keeps the password in a helper program: that is not started.
    pub fn of_docker(registry: &str) -> Result<Option<Self>> {
        let Some(path) = settings_path(|name| std::env::var_os(name).map(PathBuf::from)) else { return Ok(None) };
        if !path.is_file() {
            return Ok(None);
        }
        Self::from_settings(&path, &files::read_limited(&path, MAX_BYTES)?, registry)
    }

    fn from_settings(path: &Path, bytes: &[u8], registry: &str) -> Result<Option<Self>> {
        // The parser would quote what it found; that may be a password.
        let broken = || EngineError::new(Code::BadData, format!("{} is not what Docker writes", path.display()));
        let settings: Settings = serde_json::from_slice(bytes).map_err(|_| broken())?;
        let same = |name: &str| host(name) == registry;
        let entry = settings.auths.iter().find(|(name, entry)| same(name) && !entry.auth.is_empty());
        if let Some((_, entry)) = entry {
            let plain = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let plain = plain.ok_or_else(broken)?;
            let (username, password) = plain.split_once(':').ok_or_else(broken)?;
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Self { username: username.to_owned(), password }));
        }
        let is_listed = settings.auths.keys().any(|name| same(name));
        if settings.cred_helpers.keys().any(|name| same(name)) || is_listed && settings.creds_store.is_some() {
            let message = format!("Docker keeps the password for {registry} in a helper program, which is not started");
            let hint = "name yourself: --username NAME --password-stdin, or ATHANOR_REGISTRY_PASSWORD";
            return Err(EngineError::Failure(Failure::new(Code::Unsupported, message).hint(hint)));
        }
        Ok(None)
    }
}

fn settings_path(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| var(name).filter(|path| !path.as_os_str().is_empty());
    match set("DOCKER_CONFIG") {
        Some(folder) => Some(folder.join("config.json")),
        None => set("HOME").map(|home| home.join(".docker/config.json")),
    }
}

/// A registry's name by a key of the settings, which may be a whole address.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn find(text: &str, registry: &str) -> Result<Option<Credentials>> {
        Credentials::from_settings(Path::new("config.json"), text.as_bytes(), registry)
    }

    #[test]
    fn what_docker_login_wrote_is_found() {
        let text = r#"{"auths":{"https://reg.example:5000/v1/":{"auth":"YW5uOnM6ZWNyZXQ="},"other":{}}}"#;
        let found = find(text, "reg.example:5000").unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("ann", "s:ecret"));
        assert!(!format!("{found:?}").contains("ecret"));
        assert_eq!(find(text, "reg.example").unwrap(), None);
        assert_eq!(find("{}", "reg.example").unwrap(), None);
    }

    #[test]
    fn a_helper_is_named_and_not_started() {
        for text in
            [r#"{"credHelpers":{"reg.example":"pass"}}"#, r#"{"auths":{"reg.example":{}},"credsStore":"desktop"}"#]
        {
            assert_eq!(find(text, "reg.example").unwrap_err().code(), Code::Unsupported, "{text}");
            assert_eq!(find(text, "other.example").unwrap(), None, "{text}");
        }
    }

    #[test]
    fn a_broken_file_is_named_and_not_repeated() {
        for text in [r#"{"auths":{"r":{"auth":"topsecret!"}}}"#, r#"{"auths":"topsecret"}"#, "topsecret"] {
            let message = find(text, "r").unwrap_err().to_string();
            assert!(message.contains("config.json") && !message.contains("topsecret"), "{message}");
        }
    }

    #[test]
    fn the_settings_lie_where_docker_looks() {
        let with = |set: &[(&str, &str)]| {
            settings_path(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.docker/config.json".into()));
        assert_eq!(with(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]), Some("/d/config.json".into()));
        assert_eq!(with(&[("DOCKER_CONFIG", "")]), None);
    }
}
