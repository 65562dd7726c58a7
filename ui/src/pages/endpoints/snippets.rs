//! The same request in the words of curl, Python and Rust: each works as it stands once a key is set.

use std::fmt::Write;

use serde_json::Value;

/// The language of a snippet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Language {
    /// A shell with curl.
    #[default]
    Curl,
    /// Python's standard library.
    Python,
    /// Rust with ureq.
    Rust,
    /// curl, in the words of the Open Inference Protocol v2.
    Oip,
}

/// The address that answers with predictions of a model.
pub(super) fn address(url: &str, model: &str) -> String {
    format!("{url}/v1/models/{model}/predict")
}

/// The request as code. `row` holds a value for each column, in the model's order. The Open Inference Protocol has no
/// word for explanations.
pub(super) fn snippet(
    language: Language,
    url: &str,
    model: &str,
    row: &[(String, Value)],
    is_explained: bool,
) -> String {
    let address = address(url, model);
    match language {
        Language::Curl => curl(&address, row, is_explained),
        Language::Python => python(&address, row, is_explained),
        Language::Rust => rust(&address, row, is_explained),
        Language::Oip => oip(url, model, row),
    }
}

/// The request's body as JSON, columns in the model's order; each on a line of its own where they are many.
fn body(row: &[(String, Value)], is_explained: bool) -> String {
    let (first, between, last) = if row.len() > 2 { ("\n    ", ",\n    ", "\n  ") } else { ("", ", ", "") };
    let mut out = String::from("{\"row\": {");
    for (at, (name, value)) in row.iter().enumerate() {
        let before = if at > 0 { between } else { first };
        let _ = write!(out, "{before}{}: {value}", Value::from(name.as_str()));
    }
    out.push_str(last);
    out.push_str(if is_explained { "}, \"explain\": true}" } else { "}}" });
    out
}

/// Name and value on a line each.
fn lines(row: &[(String, Value)], indent: &str, value: impl Fn(&Value) -> String) -> String {
    let mut out = String::new();
    for (name, item) in row {
        let _ = writeln!(out, "{indent}{}: {},", Value::from(name.as_str()), value(item));
    }
    out
}

/// What of an answer is printed.
fn printed(is_explained: bool) -> &'static str {
    if is_explained { "explanations" } else { "predictions" }
}

fn curl(address: &str, row: &[(String, Value)], is_explained: bool) -> String {
    // Inside single quotes a shell reads everything as it stands, but the quote itself.
    let body = body(row, is_explained).replace('\'', r"'\''");
    format!(
        "curl '{address}' \\\n  -H \"Authorization: Bearer $ATHANOR_KEY\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

/// A tensor for each column that has a value, as clients of other servers send them; what may be missing is left out.
fn oip(url: &str, model: &str, row: &[(String, Value)]) -> String {
    let tensors: Vec<String> = row
        .iter()
        .filter_map(|(name, value)| {
            let datatype = match value {
                Value::Bool(_) => "BOOL",
                Value::Number(number) if number.is_f64() => "FP64",
                Value::Number(_) => "INT64",
                Value::String(_) => "BYTES",
                _ => return None,
            };
            let name = Value::from(name.as_str());
            Some(format!(r#"{{"name": {name}, "shape": [1], "datatype": "{datatype}", "data": [{value}]}}"#))
        })
        .collect();
    let body = format!("{{\"inputs\": [\n    {}\n  ]}}", tensors.join(",\n    ")).replace('\'', r"'\''");
    format!(
        "curl '{url}/v2/models/{model}/infer' \\\n  -H \"Authorization: Bearer $ATHANOR_KEY\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

/// A value as Python writes it: JSON's text is Python's, but for three words.
fn python_value(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

fn python(address: &str, row: &[(String, Value)], is_explained: bool) -> String {
    let (explain, printed) = (if is_explained { ", \"explain\": True" } else { "" }, printed(is_explained));
    let row = lines(row, "    ", python_value);
    format!(
        "import json, os, urllib.request\n\n\
         row = {{\n{row}}}\n\
         request = urllib.request.Request(\n    \
             \"{address}\",\n    \
             data=json.dumps({{\"row\": row{explain}}}).encode(),\n    \
             headers={{\n        \
                 \"Authorization\": f\"Bearer {{os.environ['ATHANOR_KEY']}}\",\n        \
                 \"Content-Type\": \"application/json\",\n    \
             }},\n\
         )\n\
         with urllib.request.urlopen(request) as response:\n    \
             print(json.load(response)[\"{printed}\"][0])"
    )
}

fn rust(address: &str, row: &[(String, Value)], is_explained: bool) -> String {
    let (explain, printed) = (if is_explained { ", \"explain\": true" } else { "" }, printed(is_explained));
    let row = lines(row, "        ", Value::to_string);
    format!(
        "// cargo add ureq@3 --features json; cargo add serde_json\n\
         fn main() -> Result<(), Box<dyn std::error::Error>> {{\n    \
             let key = std::env::var(\"ATHANOR_KEY\")?;\n    \
             let body = serde_json::json!({{ \"row\": {{\n{row}    }}{explain} }});\n    \
             let answer: serde_json::Value = ureq::post(\"{address}\")\n        \
                 .header(\"Authorization\", &format!(\"Bearer {{key}}\"))\n        \
                 .send_json(body)?\n        \
                 .body_mut()\n        \
                 .read_json()?;\n    \
             println!(\"{{}}\", answer[\"{printed}\"][0]);\n    \
             Ok(())\n\
         }}"
    )
}

/// JSON with two blanks of indent, for people.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn row() -> Vec<(String, Value)> {
        [("mean \"r\"", json!(1.5)), ("site", json!("o'neil\n")), ("smoker", json!(true)), ("n", Value::Null)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    #[test]
    fn a_shell_reads_quotes_in_values_as_they_stand() {
        let text = snippet(Language::Curl, "http://127.0.0.1:8080", "tumours", &row(), false);
        assert!(text.starts_with("curl 'http://127.0.0.1:8080/v1/models/tumours/predict' \\\n"));
        assert!(text.contains(r"o'\''neil\n"), "{text}");
        let quoted = text.split("-d '").nth(1).unwrap().trim_end_matches('\'').replace(r"'\''", "'");
        let body: Value = serde_json::from_str(&quoted).unwrap();
        let expect: serde_json::Map<String, Value> = row().into_iter().collect();
        assert_eq!(body, json!({ "row": expect }));
    }

    #[test]
    fn tensors_have_the_type_of_their_value_and_missing_ones_are_left_out() {
        let text = snippet(Language::Oip, "http://127.0.0.1:8080", "tumours", &row(), false);
        assert!(text.starts_with("curl 'http://127.0.0.1:8080/v2/models/tumours/infer' \\\n"), "{text}");
        let quoted = text.split("-d '").nth(1).unwrap().trim_end_matches('\'').replace(r"'\''", "'");
        let body: Value = serde_json::from_str(&quoted).unwrap();
        let tensor = |name: &str, datatype: &str, data: Value| json!({ "name": name, "shape": [1], "datatype": datatype, "data": [data] });
        let expect = [
            tensor("mean \"r\"", "FP64", json!(1.5)),
            tensor("site", "BYTES", json!("o'neil\n")),
            tensor("smoker", "BOOL", json!(true)),
        ];
        assert_eq!(body, json!({ "inputs": expect }));
    }

    #[test]
    fn python_has_its_own_words_for_true_false_and_null() {
        let text = snippet(Language::Python, "http://h:1", "m", &row(), false);
        for expect in [
            "    \"mean \\\"r\\\"\": 1.5,\n",
            "\"smoker\": True,",
            "\"n\": None,",
            "f\"Bearer {os.environ['ATHANOR_KEY']}\"",
        ] {
            assert!(text.contains(expect), "{expect}\n{text}");
        }
    }

    #[test]
    fn an_explanation_is_asked_for_and_printed() {
        let of = |language| snippet(language, "http://h:1", "m", &row(), true);
        assert!(of(Language::Curl).ends_with("  }, \"explain\": true}'"), "{}", of(Language::Curl));
        let python = of(Language::Python);
        assert!(
            python.contains("{\"row\": row, \"explain\": True}") && python.contains("[\"explanations\"][0]"),
            "{python}"
        );
        let rust = of(Language::Rust);
        assert!(rust.contains("    }, \"explain\": true });") && rust.contains("[\"explanations\"][0]"), "{rust}");
        assert!(!of(Language::Oip).contains("explain"));
    }

    #[test]
    fn rust_sends_the_same_body() {
        let text = snippet(Language::Rust, "http://h:1", "m", &row(), false);
        for expect in
            ["ureq::post(\"http://h:1/v1/models/m/predict\")", "        \"n\": null,\n    } });", "Bearer {key}"]
        {
            assert!(text.contains(expect), "{expect}\n{text}");
        }
    }
}
