//! Names that people give and ids that the program gives: what is allowed, decided once.
//!
//! No path is ever built from a name; these rules keep names readable in URLs, file dialogs and logs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of a model, alias, workflow, tag key or metric key, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is not allowed: {reason}")]
pub struct NameError {
    /// What was being named, for example `model name`.
    pub what: &'static str,
    /// The refused text, cut to a readable length.
    pub name: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Checks a name that may stand in a URL: ASCII letters, digits, `_`, `-` and `.`, beginning with a letter or digit,
/// not ending with a dot, not a reserved device name, at most [`MAX_NAME_BYTES`].
///
/// # Errors
/// Names the broken rule.
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let err = |reason| NameError { what, name: name.chars().take(80).collect(), reason };
    let Some(first) = name.chars().next() else { return Err(err("it is empty")) };
    if name.len() > MAX_NAME_BYTES {
        return Err(err("it is longer than 128 bytes"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return Err(err("only the letters a-z and A-Z, digits, '_', '-' and '.' may be used"));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(err("it must begin with a letter or a digit"));
    }
    if name.ends_with('.') {
        return Err(err("it must not end with a dot"));
    }
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    if RESERVED.contains(&stem.as_str()) {
        return Err(err("it is reserved on some systems"));
    }
    Ok(())
}

/// Checks a model name.
///
/// # Errors
/// Names the broken rule.
pub fn check_model_name(name: &str) -> Result<(), NameError> {
    check_name("model name", name)
}

/// Checks an alias: a name that can't be mistaken for a version (`7`, `v7`) or for `latest`.
///
/// # Errors
/// Names the broken rule.
pub fn check_alias(name: &str) -> Result<(), NameError> {
    check_name("alias", name)?;
    let digits = name.strip_prefix(['v', 'V']).unwrap_or(name);
    let reason = if name.eq_ignore_ascii_case("latest") {
        "'latest' always means the newest version"
    } else if digits.chars().all(|c| c.is_ascii_digit()) {
        "it looks like a version number"
    } else {
        return Ok(());
    };
    Err(NameError { what: "alias", name: name.to_owned(), reason })
}

/// Checks text shown to people (titles, notes, tag values, metric keys): no control characters, at most `max_bytes`.
///
/// # Errors
/// Names the broken rule.
pub fn check_text(what: &'static str, text: &str, max_bytes: usize) -> Result<(), NameError> {
    let err = |reason| NameError { what, name: text.chars().take(80).collect(), reason };
    if text.len() > max_bytes {
        return Err(err("it is too long"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(err("it holds control characters"));
    }
    Ok(())
}

/// A run's id: 26 lower-case letters and digits, made by the caller's id source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// The number of characters of an id.
    pub const LEN: usize = 26;

    /// Checks and wraps an id.
    ///
    /// # Errors
    /// If it is not 26 lower-case ASCII letters and digits, so that an id can always be a folder's name.
    pub fn new(id: impl Into<String>) -> Result<Self, NameError> {
        let id = id.into();
        if id.len() == Self::LEN && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
            return Ok(Self(id));
        }
        let reason = "an id is 26 lower-case letters and digits";
        Err(NameError { what: "run id", name: id.chars().take(80).collect(), reason })
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = NameError;
    fn try_from(id: String) -> Result<Self, NameError> {
        Self::new(id)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

/// Which version of a model is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest version.
    Latest,
    /// The version that an alias points to.
    Alias(String),
    /// Exactly this version.
    Version(u32),
}

/// A model and which version of it: `NAME`, `NAME@ALIAS` or `NAME:VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The registered model's name.
    pub name: String,
    /// Which version.
    pub selector: Selector,
}

impl std::str::FromStr for ModelRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (name, selector) = if let Some((name, alias)) = text.split_once('@') {
            if alias == "latest" {
                (name, Selector::Latest)
            } else {
                check_alias(alias)?;
                (name, Selector::Alias(alias.to_owned()))
            }
        } else if let Some((name, version)) = text.split_once(':') {
            let version = version.parse::<u32>().ok().filter(|v| *v > 0).ok_or_else(|| NameError {
                what: "model version",
                name: version.chars().take(80).collect(),
                reason: "a version is a whole number from 1",
            })?;
            (name, Selector::Version(version))
        } else {
            (text, Selector::Latest)
        };
        check_model_name(name)?;
        Ok(Self { name: name.to_owned(), selector })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Latest => f.write_str(&self.name),
            Selector::Alias(alias) => write!(f, "{}@{alias}", self.name),
            Selector::Version(version) => write!(f, "{}:{version}", self.name),
        }
    }
}
