//! Schemas of what models take and give, for descriptions of the endpoint.

use athanor_protocol::{signature::InputColumn, table::DataType};
use serde_json::{Map, Value, json};

use crate::{explain::MAX_ROWS, table::Served};

/// Which description a schema stands in: they differ in how they say that a value may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
    /// OpenAPI 3.1.
    V31,
}

/// Type, format and an example of a column.
fn of_type(dtype: DataType) -> (&'static str, Option<&'static str>, Value) {
    match dtype {
        DataType::Float => ("number", Some("double"), json!(0.5)),
        DataType::Int => ("integer", Some("int64"), json!(1)),
        DataType::Bool => ("boolean", None, json!(true)),
        DataType::Date => ("string", Some("date"), json!("2024-01-31")),
        DataType::Datetime => ("string", Some("date-time"), json!("2024-01-31T12:30:00Z")),
        _ => ("string", None, json!("text")),
    }
}

/// A value of a column, as an example.
pub(crate) fn example(input: &InputColumn) -> Value {
    of_type(input.dtype).2
}

fn column(input: &InputColumn, edition: Edition) -> Value {
    let (kind, format, example) = of_type(input.dtype);
    let mut schema = Map::new();
    match (input.nullable, edition) {
        (true, Edition::V31) => schema.insert("type".to_owned(), json!([kind, "null"])),
        _ => schema.insert("type".to_owned(), json!(kind)),
    };
    match (input.nullable, edition) {
        (true, Edition::V3) => drop(schema.insert("nullable".to_owned(), json!(true))),
        (true, Edition::V2) => drop(schema.insert("x-nullable".to_owned(), json!(true))),
        _ => {}
    }
    if let Some(format) = format {
        schema.insert("format".to_owned(), json!(format));
    }
    match edition {
        Edition::V31 => schema.insert("examples".to_owned(), json!([example])),
        Edition::V2 | Edition::V3 => schema.insert("example".to_owned(), example),
    };
    schema.into()
}

/// A row: a value for every column, and nothing else.
pub(crate) fn row(served: &Served, edition: Edition) -> Value {
    let inputs = served.plan().inputs();
    let properties: Map<String, Value> =
        inputs.iter().map(|input| (input.name.clone(), column(input, edition))).collect();
    let required: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A row, as an example.
pub(crate) fn example_row(served: &Served) -> Value {
    served.plan().inputs().iter().map(|input| (input.name.clone(), example(input))).collect::<Map<_, _>>().into()
}

/// A row in the signature's order, as an example.
pub(crate) fn example_list(served: &Served) -> Value {
    served.plan().inputs().iter().map(example).collect()
}

/// What is said of a row where nobody asked for probabilities: a class or a number.
pub(crate) fn plain(served: &Served) -> Value {
    let signature = served.signature();
    if signature.task.is_classification() {
        json!({ "type": "string", "enum": signature.classes })
    } else {
        json!({ "type": "number", "format": "double" })
    }
}

/// What our own answers say of a row.
pub(crate) fn prediction(served: &Served) -> Value {
    let signature = served.signature();
    if !signature.task.is_classification() {
        return json!({
            "type": "object",
            "properties": { "value": { "type": "number", "format": "double" } },
            "required": ["value"],
        });
    }
    let probability = json!({ "type": "number", "minimum": 0, "maximum": 1 });
    let properties: Map<String, Value> =
        signature.classes.iter().map(|class| (class.clone(), probability.clone())).collect();
    json!({
        "type": "object",
        "properties": {
            "label": plain(served),
            "probabilities": { "type": "object", "properties": properties, "required": signature.classes },
        },
        "required": ["label", "probabilities"],
    })
}

/// One answer, explained: the same for all models.
pub(crate) fn explanation() -> Value {
    let number = json!({ "type": "number", "format": "double" });
    let contribution = json!({
        "type": "object",
        "properties": {
            "column": { "type": "string" },
            "value": { "description": "the row's value" },
            "baseline": { "description": "the value that it is compared with" },
            "contribution": number,
            "standard_error": { "type": "number", "description": "where orders of the columns were drawn" },
        },
        "required": ["column", "value", "baseline", "contribution"],
    });
    json!({
        "type": "object",
        "description": "the base and all contributions together are the value",
        "properties": {
            "class": { "type": "string", "description": "the class whose probability is explained" },
            "base": { "type": "number", "format": "double", "description": "what the model says of the baseline" },
            "value": { "type": "number", "format": "double", "description": "what the model says of the row" },
            "method": { "type": "string", "enum": ["exact", "sampled"] },
            "contributions": { "type": "array", "items": contribution },
        },
        "required": ["base", "value", "method", "contributions"],
    })
}

/// Lets every form of a body ask for explanations. `row` is the schema of the row to compare with.
pub(crate) fn explainable(mut body: Value, row: &Value) -> Value {
    let explain = json!({
        "type": "boolean",
        "default": false,
        "description": format!("whether to say what each column contributes, for at most {MAX_ROWS} rows"),
    });
    let baseline = json!({
        "description": "the row to compare with, where predictions are explained; without it a typical one of training",
        "allOf": [row],
    });
    for form in body.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(properties) = form.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("explain".to_owned(), explain.clone());
            properties.insert("baseline".to_owned(), baseline.clone());
        }
    }
    body
}
