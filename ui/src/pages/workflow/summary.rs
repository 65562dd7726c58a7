//! One line for each node that says the choice that matters.

use athanor_protocol::{
    catalogue::NodeKind,
    network::{Layer, ModelSpec},
    workflow::Node,
};
use serde_json::Value;

use crate::format;

/// The line under a node's title.
pub fn summary(node: &Node, kind: Option<&NodeKind>) -> String {
    let Some(kind) = kind else { return format!("unknown kind {}", node.kind) };
    let value = |name: &str| {
        node.params.get(name).or_else(|| kind.param(name).map(|param| &param.default)).unwrap_or(&Value::Null)
    };
    let text = |name: &str| value(name).as_str().unwrap_or_default().to_owned();
    let list = |name: &str| -> Vec<&str> {
        value(name).as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    };
    let number = |name: &str| value(name).as_f64().map(format::number).unwrap_or_default();
    let on = |name: &str| value(name).as_bool().unwrap_or(false);
    let or = |text: String, none: &str| if text.trim().is_empty() { none.to_owned() } else { text };
    let line = match kind.id.as_str() {
        "table.open" => or(file_name(&text("path")), "choose a file"),
        "prepare.select" => match (list("columns").len(), on("drop")) {
            (0, _) => "choose columns".to_owned(),
            (n, true) => format!("drops {}", format::plural(n as u64, "column")),
            (_, false) => format!("keeps {}", names(&list("columns"))),
        },
        "prepare.cast" => match (list("columns").len(), text("to")) {
            (0, _) => "choose columns".to_owned(),
            (_, to) => format!("{} to {}", names(&list("columns")), or(to, "…")),
        },
        "prepare.filter" => or(text("predicate"), "write a condition"),
        "prepare.derive" => match (text("column"), text("expression")) {
            (column, expression) if column.is_empty() && expression.is_empty() => "write an expression".to_owned(),
            (column, expression) => format!("{} = {}", or(column, "…"), or(expression, "…")),
        },
        "prepare.fill" => {
            let with = match text("with").as_str() {
                "value" => match value("value") {
                    Value::String(text) => text.clone(),
                    Value::Null => "a value".to_owned(),
                    other => other.to_string(),
                },
                other => other.to_owned(),
            };
            match list("columns").len() {
                0 => format!("{with}, all that fit"),
                n => format!("{with}, {}", format::plural(n as u64, "column")),
            }
        }
        "prepare.deduplicate" => match list("columns").len() {
            0 => "by all columns".to_owned(),
            _ => format!("by {}", names(&list("columns"))),
        },
        "prepare.sort" => or(list("by").join(", "), "choose columns"),
        "prepare.sample" => match (value("n_rows").as_u64(), value("fraction").as_f64()) {
            (Some(n), _) => format::plural(n, "row"),
            (None, Some(share)) => format!("{} % of the rows", format::number(share * 100.0)),
            (None, None) => "set how many".to_owned(),
        },
        "prepare.join" => match list("on").len() {
            0 => "choose columns".to_owned(),
            _ => format!("{} on {}", text("how"), list("on").join(", ")),
        },
        "prepare.group" => match list("by").len() {
            0 => "choose columns".to_owned(),
            _ => format!("by {}", names(&list("by"))),
        },
        "split" => split(value),
        "train.constant" => or(text("target"), "choose the target"),
        "train.linear" => target(&text("target"), &format!("{} epochs", number("epochs"))),
        "train.mlp" => target(&text("target"), &format!("{}, {} epochs", sizes(value("hidden")), number("epochs"))),
        "train.cnn" => {
            target(&text("target"), &format!("image {}, {} epochs", sizes(value("image")), number("epochs")))
        }
        "train.network" => target(&text("target"), &network(value("network"))),
        "train.trees" => target(&text("target"), &format!("{} rounds", number("n_rounds"))),
        "evaluate" => "on the test rows".to_owned(),
        "register" => match (text("name"), text("alias")) {
            (name, _) if name.is_empty() => "choose a name".to_owned(),
            (name, alias) if alias.is_empty() => name,
            (name, alias) => format!("{name} as {alias}"),
        },
        _ => kind.summary.clone(),
    };
    one_line(&line)
}

fn split<'a>(value: impl Fn(&str) -> &'a Value) -> String {
    let share = |name: &str| value(name).as_f64().unwrap_or(0.0) * 100.0;
    let (valid, test) = (share("valid"), share("test"));
    let shares = match value("n_folds").as_u64() {
        Some(n) => format!("fold {} of {n}", value("fold").as_u64().unwrap_or(0) + 1),
        None => format!(
            "{}/{}/{}",
            format::number((100.0 - valid - test).round()),
            format::number(valid.round()),
            format::number(test.round())
        ),
    };
    if value("stratify").as_str().is_some_and(|column| !column.is_empty()) {
        format!("stratified {shares}")
    } else {
        shares
    }
}

fn target(target: &str, rest: &str) -> String {
    if target.is_empty() { "choose the target".to_owned() } else { format!("{target}, {rest}") }
}

fn sizes(value: &Value) -> String {
    let list = value.as_array().map(|list| list.iter().map(Value::to_string).collect::<Vec<_>>()).unwrap_or_default();
    if list.is_empty() { "no hidden layer".to_owned() } else { list.join(" × ") }
}

fn network(value: &Value) -> String {
    match serde_json::from_value::<ModelSpec>(value.clone()) {
        Ok(spec) => {
            let n = spec.layers.iter().filter(|layer| !matches!(layer, Layer::Activation { .. })).count();
            format::plural(n as u64, "layer")
        }
        Err(_) => "no layers yet".to_owned(),
    }
}

fn names(list: &[&str]) -> String {
    match list {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one}, {two}"),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    }
}

/// A path's last part.
pub fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 80 {
        line = line.chars().take(79).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use athanor_protocol::catalogue::Catalogue;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_says_what_matters_in_one_line() {
        let catalogue = Catalogue::builtin();
        for (kind, params, expect) in [
            ("table.open", json!({}), "choose a file"),
            ("table.open", json!({"path": "/data/x/iris.csv"}), "iris.csv"),
            ("prepare.filter", json!({"predicate": "age > 30\n AND bmi < 20"}), "age > 30 AND bmi < 20"),
            ("prepare.select", json!({"columns": ["a", "b", "c"]}), "keeps a and 2 more"),
            ("prepare.select", json!({"columns": ["a"], "drop": true}), "drops 1 column"),
            ("prepare.cast", json!({"columns": ["a", "b"], "to": "int"}), "a, b to int"),
            ("prepare.derive", json!({"column": "r", "expression": "a / b"}), "r = a / b"),
            ("prepare.fill", json!({}), "median, all that fit"),
            ("prepare.fill", json!({"with": "value", "value": 0, "columns": ["a"]}), "0, 1 column"),
            ("prepare.sort", json!({"by": ["a desc", "b"]}), "a desc, b"),
            ("prepare.sample", json!({"fraction": 0.25}), "25 % of the rows"),
            ("prepare.sample", json!({"n_rows": 1}), "1 row"),
            ("prepare.join", json!({"on": ["id"]}), "inner on id"),
            ("prepare.group", json!({"by": ["id"]}), "by id"),
            ("prepare.deduplicate", json!({}), "by all columns"),
            ("split", json!({"stratify": "y"}), "stratified 70/15/15"),
            ("split", json!({"n_folds": 5, "fold": 1}), "fold 2 of 5"),
            ("train.trees", json!({"target": "y"}), "y, 300 rounds"),
            ("train.mlp", json!({"target": "y"}), "y, 64 × 32, 150 epochs"),
            ("train.network", json!({"target": "y"}), "y, no layers yet"),
            ("train.linear", json!({}), "choose the target"),
            ("evaluate", json!({}), "on the test rows"),
            ("register", json!({"name": "m", "alias": "production"}), "m as production"),
            ("later.thing", json!({}), "unknown kind later.thing"),
        ] {
            let params: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
            let node = Node {
                id: "n".to_owned(),
                kind: kind.to_owned(),
                title: String::new(),
                params,
                position: None,
                note: String::new(),
            };
            assert_eq!(summary(&node, catalogue.kind(kind)), expect, "{kind}");
        }
    }

    #[test]
    fn every_kind_has_a_line_of_its_own() {
        for kind in Catalogue::builtin().kinds {
            let node = Node {
                id: "n".to_owned(),
                kind: kind.id.clone(),
                title: String::new(),
                params: BTreeMap::new(),
                position: None,
                note: String::new(),
            };
            let line = summary(&node, Some(&kind));
            assert!(!line.is_empty() && line != kind.summary, "{}: {line}", kind.id);
        }
    }
}
