//! Names of workflows: a name is a file's name in one folder, so what may stand in it is decided here.

use athanor_protocol::{Code, Failure};

/// Longest name in bytes.
const MAX_BYTES: usize = 80;

/// Device names of Windows: a folder that travels must not hold them.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks a name: letters, digits, spaces and `-_.`, not beginning or ending with a space or a sign, at most 80 bytes.
/// Such a name holds no separator and is not `..`, so no path can lead elsewhere.
///
/// # Errors
/// Says the rule.
pub(super) fn check(name: &str) -> Result<(), Failure> {
    match broken_rule(name) {
        None => Ok(()),
        Some(rule) => {
            let shown: String = name.chars().take(80).collect();
            Err(Failure::new(Code::InvalidArgument, format!("{shown:?} cannot be a workflow's name: {rule}"))
                .on(shown)
                .hint("use letters, digits, spaces, '-', '_' and '.', at most 80 bytes"))
        }
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = ["com", "lpt"].iter().any(|device| {
        stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()))
    });
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_BYTES {
        Some("it is longer than 80 bytes")
    } else if !name.chars().all(is_allowed) {
        Some("it holds a character that is not allowed")
    } else if name.starts_with([' ', '-', '_', '.']) {
        Some("it must begin with a letter or a digit")
    } else if name.ends_with([' ', '.']) {
        Some("it must not end with a space or a dot")
    } else if RESERVED.contains(&stem.as_str()) || numbered {
        Some("it is reserved on some systems")
    } else {
        None
    }
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.')
}

/// The nearest name that is allowed.
pub(super) fn allowed(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if is_allowed(c) { c } else { ' ' }).collect();
    name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    while name.len() > MAX_BYTES - 8 {
        name.pop();
    }
    let name = name.trim_start_matches([' ', '-', '_', '.']).trim_end_matches([' ', '.']);
    match broken_rule(name) {
        None => name.to_owned(),
        Some(_) => "workflow".to_owned(),
    }
}

/// A name that is not taken: the text itself, or with a number behind it.
pub(super) fn unused(text: &str, is_taken: &dyn Fn(&str) -> bool) -> String {
    let name = allowed(text);
    if !is_taken(&name) {
        return name;
    }
    let numbered = (2..10_000).map(|n| format!("{name} {n}")).find(|name| !is_taken(name));
    numbered.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_and_never_a_path() {
        for good in ["a", "Wine quality", "v1.2_final-3", "Käse", "数据", "a..b", "2026-01-01"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "x".repeat(81);
        let bad = [
            "",
            " ",
            "..",
            ".",
            "../x",
            "a/b",
            "a\\b",
            "/etc/passwd",
            "C:\\x",
            ".hidden",
            "-x",
            " x",
            "x ",
            "x.",
            "a\0b",
            "a\nb",
            "a\tb",
            "a:b",
            "a*b",
            "a?b",
            "\u{202e}x",
            "con",
            "NUL.json",
            "com1",
            "lpt9.x",
            &long,
        ];
        for bad in bad {
            let failure = check(bad).err();
            assert_eq!(failure.map(|failure| failure.code), Some(Code::InvalidArgument), "{bad:?}");
            assert!(check(&allowed(bad)).is_ok(), "{bad:?} becomes {:?}", allowed(bad));
        }
    }

    #[test]
    fn an_unused_name_has_a_number_behind_it() {
        let taken = ["wine", "wine 2"];
        let unused = |text: &str| unused(text, &|name| taken.contains(&name));
        assert_eq!(unused("wine"), "wine 3");
        assert_eq!(unused("beer/../x"), "beer .. x");
        assert_eq!(unused("../../etc"), "etc");
    }
}
