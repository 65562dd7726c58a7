//! The description of the endpoint, made of the signatures of what is served: OpenAPI 3.1.

use std::sync::Arc;

use athanor_protocol::{Code, signature::InputColumn};
use axum::{extract::State as Held, response::Response};
use serde_json::{Map, Value, json};

use super::{
    choose, has,
    openapi_models::{self as models, Edition},
};
use crate::{
    config::{Access, Contract},
    oip_reply,
    refusal::Refusal,
    router::State,
    table::Served,
};

/// Addresses under construction.
struct Paths(Map<String, Value>);

/// Which error an operation answers.
#[derive(Clone, Copy)]
enum Errors {
    Own,
    Short,
    Platform,
}

impl Errors {
    fn reference(self) -> Value {
        let name = match self {
            Self::Own => "Error",
            Self::Short => "ShortError",
            Self::Platform => "PlatformError",
        };
        json!({ "$ref": format!("#/components/responses/{name}") })
    }
}

/// JSON with a schema and maybe an example.
pub(super) fn content(schema: Value, example: Option<Value>) -> Value {
    let mut media = Map::from_iter([("schema".to_owned(), schema)]);
    if let Some(example) = example {
        media.insert("example".to_owned(), example);
    }
    json!({ "application/json": media })
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Adds `more` to `object` where both are objects.
pub(super) fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

impl Paths {
    fn add(&mut self, path: &str, method: &str, operation: Value) {
        let entry = self.0.entry(path).or_insert_with(|| json!({}));
        if let Some(object) = entry.as_object_mut() {
            object.insert(method.to_owned(), operation);
        }
    }

    /// Says more of an operation.
    fn extend(&mut self, path: &str, method: &str, more: Value) {
        if let Some(operation) = self.0.get_mut(path).and_then(|path| path.get_mut(method)) {
            *operation = with(operation.take(), more);
        }
    }

    fn get(&mut self, path: &str, tag: &str, summary: &str, answer: Value, errors: Errors) {
        let operation = json!({
            "operationId": id("get", path),
            "tags": [tag],
            "summary": summary,
            "responses": { "200": { "description": summary, "content": answer }, "default": errors.reference() },
        });
        self.add(path, "get", operation);
    }

    /// A probe, which needs no key.
    fn probe(&mut self, path: &str, tag: &str, summary: &str) {
        let operation = json!({
            "operationId": id("get", path),
            "tags": [tag],
            "summary": summary,
            "security": [],
            "responses": { "200": { "description": "ready" }, "503": Errors::Own.reference() },
        });
        self.add(path, "get", operation);
    }

    /// A page for browsers, which needs no key.
    fn page(&mut self, path: &str, summary: &str) {
        let operation = json!({
            "operationId": id("get", path),
            "tags": ["models"],
            "summary": summary,
            "security": [],
            "responses": { "200": { "description": summary, "content": { "text/html": {} } } },
        });
        self.add(path, "get", operation);
    }

    fn post(&mut self, path: &str, tag: &str, summary: &str, body: Value, answer: Value, errors: Errors) {
        let operation = json!({
            "operationId": id("post", path),
            "tags": [tag],
            "summary": summary,
            "requestBody": { "required": true, "content": body },
            "responses": { "200": { "description": "the predictions", "content": answer }, "default": errors.reference() },
        });
        self.add(path, "post", operation);
    }
}

/// A name for an operation: method and path in letters, digits and `-._`, so that no two paths have one.
fn id(method: &str, path: &str) -> String {
    let path = path.replace('/', "_").replace(':', "__");
    format!("{method}{path}")
}

/// A body with exactly one of these words.
fn one_of(words: &[(&str, Value)], parameters: Option<&str>) -> Value {
    let forms: Vec<Value> = words
        .iter()
        .map(|(word, schema)| {
            let mut properties = Map::from_iter([((*word).to_owned(), schema.clone())]);
            if let Some(name) = parameters {
                properties.insert(name.to_owned(), refer("Parameters"));
            }
            json!({ "type": "object", "properties": properties, "required": [word], "additionalProperties": false })
        })
        .collect();
    json!({ "oneOf": forms })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

pub(super) fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().map(|all| all.keys().collect()).unwrap_or_default();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The schemas of one version under its prefix.
fn add_schemas(served: &Served, schemas: &mut Map<String, Value>) -> String {
    let prefix = format!("{}.v{}", served.name(), served.version());
    let row = format!("{prefix}.Row");
    let inputs = served.plan().inputs();
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let property = |input: &InputColumn| refer(&format!("{row}/properties/{}", pointer(&input.name)));
    let columns: Map<String, Value> = inputs.iter().map(|input| (input.name.clone(), list(property(input)))).collect();
    let instance = json!({ "oneOf": [refer(&row), {
        "type": "array",
        "description": format!("the values in order: {}", names.join(", ")),
        "prefixItems": inputs.iter().map(property).collect::<Value>(),
        "minItems": names.len(),
        "maxItems": names.len(),
    }] });
    let split = object(json!({
        "columns": { "type": "array", "items": { "type": "string", "enum": names } },
        "data": list(json!({ "type": "array" })),
    }));
    let columns = json!({ "type": "object", "properties": columns, "required": names, "additionalProperties": false });
    let answer = object(json!({
        "model": { "type": "string", "const": served.name() },
        "version": { "type": "integer" },
        "predictions": list(refer(&format!("{prefix}.Prediction"))),
    }));
    let mut explained = answer.clone();
    if let Some(properties) = explained.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("explanations".to_owned(), list(refer("Explanation")));
    }
    for (name, schema) in [
        ("Row", models::row(served, Edition::V31)),
        ("Columns", columns),
        ("Instance", instance),
        ("Split", split),
        ("Prediction", models::prediction(served)),
        ("Plain", json!({ "oneOf": [models::plain(served), refer(&format!("{prefix}.Prediction"))] })),
        ("Answer", answer),
        ("Explained", explained),
    ] {
        schemas.insert(format!("{prefix}.{name}"), schema);
    }
    prefix
}

/// A name as a part of a JSON pointer in an address.
fn pointer(name: &str) -> String {
    let mut text = String::new();
    for byte in name.replace('~', "~0").replace('/', "~1").bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The addresses of one version, or of a model's default version.
fn add_model(paths: &mut Paths, state: &State, served: &Served, prefix: &str, version: Option<u32>) {
    let behind = version.map(|version| format!("/versions/{version}")).unwrap_or_default();
    let (v1, v2) = (format!("/v1/models/{}{behind}", served.name()), format!("/v2/models/{}{behind}", served.name()));
    let part = |name: &str| refer(&format!("{prefix}.{name}"));
    let row = models::example_row(served);
    let any = || content(json!({ "type": "object" }), None);
    paths.get(&v1, "models", "What the model takes and gives", any(), Errors::Own);
    let words = [("row", part("Row")), ("rows", list(part("Row"))), ("columns", part("Columns"))];
    let body = models::explainable(one_of(&words, None), &part("Row"));
    let body = content(body, Some(json!({ "row": row })));
    let (predict, answer) = (format!("{v1}/predict"), content(part("Explained"), None));
    paths.post(&predict, "models", "Predict from named columns", body, answer, Errors::Own);
    paths.get(&v2, "open inference protocol", "Tensors of the model", any(), Errors::Short);
    paths.get(&format!("{v2}/ready"), "open inference protocol", "Whether the model is ready", any(), Errors::Short);
    let body = content(refer("InferRequest"), None);
    let infer = format!("{v2}/infer");
    paths.post(&infer, "open inference protocol", "Predict from tensors", body, any(), Errors::Short);
    if !has(state.config(), Contract::TensorFlow) {
        return;
    }
    let tag = "KServe v1 and TensorFlow Serving";
    paths.get(&format!("{v1}/metadata"), tag, "Signature definitions of the model", any(), Errors::Short);
    let inputs = json!({ "oneOf": [part("Columns"), list(part("Instance"))] });
    let words = [("instances", list(part("Instance"))), ("inputs", inputs)];
    let answer = json!({ "oneOf": [
        object(json!({ "predictions": list(part("Plain")) })),
        object(json!({ "outputs": {} })),
    ] });
    let body = content(one_of(&words, Some("parameters")), Some(json!({ "instances": [row] })));
    paths.post(
        &format!("{v1}:predict"),
        tag,
        "Predict from rows or columns",
        body,
        content(answer, None),
        Errors::Short,
    );
    let verb = if served.signature().task.is_classification() { "classify" } else { "regress" };
    let body = content(one_of(&[("examples", list(part("Row")))], None), Some(json!({ "examples": [row] })));
    let answer = content(object(json!({ "result": { "type": "array" } })), None);
    paths.post(&format!("{v1}:{verb}"), tag, "Predict from examples", body, answer, Errors::Short);
}

/// The addresses that name no model. `all` holds each model's default version and its prefix.
fn add_modelless(paths: &mut Paths, state: &State, all: &[(Arc<Served>, String)]) {
    let config = state.config();
    let is_default =
        |served: &Served| config.default_model.as_deref().is_none_or(|wanted| choose::split(wanted).0 == served.name());
    let meant: Vec<&(Arc<Served>, String)> = all.iter().filter(|(served, _)| is_default(served)).collect();
    let any_of = |part: &str| match meant.as_slice() {
        [] => json!({}),
        [(_, prefix)] => refer(&format!("{prefix}.{part}")),
        several => {
            let refs: Vec<Value> = several.iter().map(|(_, prefix)| refer(&format!("{prefix}.{part}"))).collect();
            json!({ "anyOf": refs })
        }
    };
    let example = |make: fn(&Served) -> Value| meant.first().map(|(served, _)| make(served));
    let rows = || list(any_of("Instance"));
    let predictions = || object(json!({ "predictions": list(any_of("Plain")) }));
    let mut tables = vec![
        ("dataframe_split", any_of("Split")),
        ("dataframe_records", list(any_of("Row"))),
        ("instances", rows()),
        ("inputs", json!({ "anyOf": [any_of("Columns"), rows()] })),
        ("rows", list(any_of("Row"))),
        ("row", any_of("Row")),
        ("columns", any_of("Columns")),
    ];
    let instances = example(|served| json!({ "instances": [models::example_list(served)] }));
    let (sagemaker, mlflow) = (has(config, Contract::SageMaker), has(config, Contract::Mlflow));
    if sagemaker || mlflow {
        let tag = if mlflow { "MLflow and SageMaker" } else { "SageMaker" };
        paths.probe("/ping", tag, "Whether the endpoint is ready");
        let text = json!({ "schema": { "type": "string" } });
        let tables = one_of(&tables, Some("params"));
        let body = with(
            content(tables, example(|served| json!({ "dataframe_records": [models::example_row(served)] }))),
            json!({ "text/csv": text, "application/jsonlines": text }),
        );
        let answer = with(
            content(json!({ "anyOf": [predictions(), any_of("Answer")] }), None),
            json!({ "text/csv": text, "application/jsonlines": text }),
        );
        paths.post("/invocations", tag, "Predict", body, answer, Errors::Platform);
        paths.extend("/invocations", "post", json!({ "parameters": choosing() }));
    }
    if sagemaker {
        let answer = content(json!({ "type": "object" }), None);
        let summary = "How batch transforms are to send";
        paths.get("/execution-parameters", "SageMaker", summary, answer, Errors::Platform);
    }
    if mlflow {
        paths.probe("/health", "MLflow", "Whether the endpoint is ready");
        let text = json!({ "text/plain": { "schema": { "type": "string" } } });
        paths.get("/version", "MLflow", "The version of this program", text, Errors::Platform);
    }
    if has(config, Contract::Vertex) {
        let default = "/v1/endpoints/endpoint/deployedModels/model";
        let health = config.vertex_health_route.clone().unwrap_or_else(|| default.to_owned());
        let predict = config.vertex_predict_route.clone().unwrap_or_else(|| format!("{default}:predict"));
        paths.probe(&health, "Vertex AI", "Whether the endpoint is ready");
        let answer = content(predictions(), None);
        let body = content(one_of(&[("instances", rows())], Some("parameters")), instances);
        paths.post(&predict, "Vertex AI", "Predict", body, answer, Errors::Own);
    }
    if has(config, Contract::Azure) {
        let tag = "Azure Machine Learning";
        paths.probe("/", tag, "Healthy");
        tables.insert(0, ("data", rows()));
        tables.insert(0, ("input_data", json!({ "anyOf": [any_of("Split"), rows()] })));
        let example = example(|served| json!({ "data": [models::example_list(served)] }));
        let answer = content(json!({ "anyOf": [predictions(), list(any_of("Plain")), any_of("Answer")] }), None);
        let body = content(one_of(&tables, Some("params")), example);
        paths.post("/score", tag, "Predict", body, answer, Errors::Platform);
        let row = content(predictions(), None);
        paths.get("/score", tag, "Predict one row: ?column=value&column=value", row, Errors::Platform);
        // Of several models nobody can say which columns are meant.
        if let [(served, prefix)] = meant.as_slice() {
            let of = |input: &InputColumn| {
                let schema = refer(&format!("{prefix}.Row/properties/{}", pointer(&input.name)));
                json!({ "name": input.name, "in": "query", "required": true, "schema": schema,
                    "description": "nothing behind the = is a missing value" })
            };
            let columns: Vec<Value> = served.plan().inputs().iter().map(of).collect();
            paths.extend("/score", "get", json!({ "parameters": columns }));
        }
        let answer = content(json!({ "type": "object" }), None);
        paths.get("/swagger.json", tag, "Description of /score", answer, Errors::Platform);
    }
}

/// The ways to say which model is meant.
fn choosing() -> Value {
    let text = json!({ "type": "string" });
    json!([
        { "name": "model", "in": "query", "schema": text, "description": "NAME or NAME:VERSION" },
        { "name": "X-Amzn-SageMaker-Target-Model", "in": "header", "schema": text, "description": "NAME" },
        { "name": "probabilities", "in": "query", "schema": { "type": "boolean" } },
    ])
}

fn error(more: Value) -> Value {
    let code: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    with(
        json!({
            "error": { "type": "string", "description": "what is wrong, and where" },
            "code": { "type": "string", "enum": code },
            "subject": { "type": "string", "description": "the column or word that it is about" },
            "hint": { "type": "string", "description": "what to do" },
            "request_id": { "type": "string" },
        }),
        more,
    )
}

fn components(state: &State, schemas: Map<String, Value>) -> Value {
    let text = json!({ "type": "string" });
    let required = json!(["error", "code", "request_id"]);
    let mut all = json!({
        "Error": { "type": "object", "properties": error(json!({})), "required": required },
        "PlatformError": {
            "type": "object",
            "properties": error(json!({ "message": text, "error_code": text })),
            "required": ["error", "message", "error_code"],
        },
        "ShortError": object(json!({ "error": text })),
        "Explanation": models::explanation(),
        "Parameters": {
            "type": ["object", "null"],
            "properties": { "probabilities": { "type": "boolean" } },
            "additionalProperties": false,
        },
        "InferRequest": {
            "type": "object",
            "properties": {
                "id": text,
                "parameters": { "type": "object" },
                "inputs": list(json!({
                    "type": "object",
                    "properties": {
                        "name": text,
                        "shape": list(json!({ "type": "integer", "minimum": 0 })),
                        "datatype": text,
                        "data": { "type": "array" },
                        "parameters": { "type": "object" },
                    },
                    "required": ["name", "shape", "datatype"],
                })),
                "outputs": list(json!({ "type": "object", "properties": { "name": text }, "required": ["name"] })),
            },
            "required": ["inputs"],
        },
    });
    if let Some(all) = all.as_object_mut() {
        all.extend(schemas);
    }
    let response = |name: &str| json!({ "description": "a mistake of the request, or a fault", "content": content(refer(name), None) });
    let mut components = json!({
        "schemas": all,
        "responses": {
            "Error": response("Error"),
            "PlatformError": response("PlatformError"),
            "ShortError": response("ShortError"),
        },
    });
    if state.config().access == Access::Keys {
        let key = json!({ "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } } });
        components = with(components, key);
    }
    components
}

/// `GET /openapi.json`.
pub(crate) async fn document(Held(state): Held<State>) -> Result<Response, Refusal> {
    let mut paths = Paths(Map::new());
    let mut schemas = Map::new();
    let any = || content(json!({ "type": "object" }), None);
    paths.get("/v1/models", "models", "What is served", any(), Errors::Own);
    paths.get("/v2", "open inference protocol", "This program", any(), Errors::Short);
    paths.probe("/v2/health/live", "open inference protocol", "Whether the endpoint is there");
    paths.probe("/v2/health/ready", "open inference protocol", "Whether the endpoint is ready");
    paths.get("/openapi.json", "models", "This description", any(), Errors::Own);
    if state.config().try_page {
        paths.page("/try", "A page to try the models on");
    }
    let all = state.models().all();
    let mut defaults = vec![];
    for versions in all.values() {
        for (at, served) in versions.iter().enumerate() {
            let prefix = add_schemas(served, &mut schemas);
            if at == 0 {
                add_model(&mut paths, &state, served, &prefix, None);
                defaults.push((Arc::clone(served), prefix.clone()));
            }
            add_model(&mut paths, &state, served, &prefix, Some(served.version()));
        }
    }
    add_modelless(&mut paths, &state, &defaults);
    let security = if state.config().access == Access::Keys { json!([{ "key": [] }]) } else { json!([]) };
    oip_reply::json(&json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Athanor endpoint",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The models that are served here, by every contract that is on.",
        },
        "security": security,
        "paths": paths.0,
        "components": components(&state, schemas),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_pointers() {
        for (name, expect) in [("a_b", "a_b"), ("a/b", "a~1b"), ("a~b", "a~0b"), ("a b%", "a%20b%25"), ("é", "%C3%A9")]
        {
            assert_eq!(pointer(name), expect);
        }
    }
}
