//! The `meta.yaml` of an MLflow store: lines of `key: value` and nothing else of YAML.

use std::collections::BTreeMap;

/// Longest file.
pub(super) const MAX_BYTES: u64 = 64 << 10;

/// Reads the lines. Anchors, tags, blocks and nested values are refused: MLflow writes none, and reading them is where
/// YAML becomes dangerous.
///
/// # Errors
/// Names the line and the rule.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let refuse = |why: &str| Err(format!("line {}: {why}", at + 1));
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') || (at == 0 && line == "---") {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { return refuse("it is not of the form 'key: value'") };
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return refuse("its key is not made of letters, digits and '_'");
        }
        if !value.is_empty() && !value.starts_with(' ') {
            return refuse("there is no space after its colon");
        }
        let Some(value) = scalar(value.trim()) else { return refuse("its value is not plain text") };
        if found.insert(key.to_owned(), value).is_some() {
            return refuse("its key is there twice");
        }
    }
    Ok(found)
}

/// A value on one line; the empty text for nothing.
fn scalar(text: &str) -> Option<String> {
    if matches!(text, "null" | "~" | "[]" | "{}") {
        return Some(String::new());
    }
    if let Some(inner) = text.strip_prefix('\'') {
        let inner = inner.strip_suffix('\'')?;
        let whole = inner.replace("''", "");
        return (!whole.contains('\'')).then(|| inner.replace("''", "'"));
    }
    if text.starts_with('"') {
        // A text in double quotes is JSON's, where it says nothing that JSON does not know.
        return serde_json::from_str(text).ok();
    }
    let odd = ['&', '*', '!', '|', '>', '{', '[', '%', '@', '`', '?', '-', ']', '}', ','];
    let is_number = text.strip_prefix('-').is_some_and(|rest| rest.parse::<f64>().is_ok());
    let plain = !text.starts_with(odd) || is_number;
    (plain && !text.contains(" #") && !text.contains(": ")).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_are_read_and_the_rest_of_yaml_is_refused() {
        let text = "artifact_uri: file:///tmp/mlruns/0/a/artifacts\nend_time: 1700000000000\nname: 'it''s'\n\
                    run_name: \"a \\\"b\\\"\"\nstatus: 3\ntags: []\nsource: ''\nuser: null\nx: -5\n";
        let found = read(text).unwrap_or_default();
        let get = |key: &str| found.get(key).map(String::as_str);
        assert_eq!(get("artifact_uri"), Some("file:///tmp/mlruns/0/a/artifacts"));
        assert_eq!((get("name"), get("run_name")), (Some("it's"), Some("a \"b\"")));
        assert_eq!((get("tags"), get("source"), get("user"), get("x")), (Some(""), Some(""), Some(""), Some("-5")));
        for bad in [
            "a: &x 1",
            "a: *x",
            "a: !!python/object/apply:os.system [id]",
            "a: |",
            "a: {b: 1}",
            "a: [1]",
            "- a",
            " a: 1",
            "a: 1\na: 2",
            "a:1",
            "no colon",
            "a: 'open",
            "a: b: c",
            "<<: x",
            "a: \"\\x\"",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
