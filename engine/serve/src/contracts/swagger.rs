//! The descriptions that Azure asks for: of one model's `/score` alone, in the editions of OpenAPI that its tools read.

use athanor_protocol::Code;
use axum::{
    extract::{Query, State as Held},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    choose::{self, Asked},
    openapi::{content, list, object, with},
    openapi_models::{self as models, Edition},
};
use crate::{
    oip_reply,
    refusal::{Refusal, bad},
    router::State,
};

#[derive(Deserialize)]
struct SwaggerQuery {
    version: Option<String>,
}

/// `GET /swagger.json?version=2|3`.
pub(crate) async fn document(Held(state): Held<State>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let Ok(Query(SwaggerQuery { version })) = Query::try_from_uri(&uri) else {
        return Err(bad("the query of the address can't be read").hint("write ?version=2 or ?version=3").into());
    };
    let edition = match version.as_deref() {
        None | Some("2" | "2.0") => Edition::V2,
        Some("3" | "3.0") => Edition::V3,
        Some("3.1") => Edition::V31,
        Some(_) => {
            let message = "there is no description of that version";
            return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, message)
                .hint("write ?version=2, ?version=3 or ?version=3.1"));
        }
    };
    let served = choose::model(&state, &headers, &Asked::of(&uri)?)?;
    let input = with(
        object(json!({ "data": list(models::row(&served, edition)) })),
        json!({ "example": { "data": [models::example_row(&served)] } }),
    );
    let output = object(json!({ "predictions": list(models::plain(&served)) }));
    let error = object(json!({ "message": { "type": "string" } }));
    let definitions = json!({ "ServiceInput": input, "ServiceOutput": output, "ErrorResponse": error });
    let info = json!({
        "title": served.name(),
        "description": format!("{} version {}", served.name(), served.version()),
        "version": served.version().to_string(),
    });
    let (place, json_of): (&str, fn(Value) -> Value) = match edition {
        Edition::V2 => ("#/definitions", |schema| json!({ "schema": schema })),
        Edition::V3 | Edition::V31 => ("#/components/schemas", |schema| json!({ "content": content(schema, None) })),
    };
    let at = |name: &str| json_of(json!({ "$ref": format!("{place}/{name}") }));
    let score = json!({
        "operationId": "RunMLService",
        "description": "Runs the model on rows",
        "responses": {
            "200": with(json!({ "description": "the predictions" }), at("ServiceOutput")),
            "default": with(json!({ "description": "a mistake of the request, or a fault" }), at("ErrorResponse")),
        },
    });
    let (score, head) = match edition {
        Edition::V2 => (
            with(
                score,
                json!({ "parameters": [with(
                    json!({ "name": "serviceInputPayload", "in": "body", "required": true }),
                    at("ServiceInput"),
                )] }),
            ),
            json!({
                "swagger": "2.0",
                "consumes": ["application/json"],
                "produces": ["application/json"],
                "definitions": definitions,
                "securityDefinitions": { "Bearer": { "type": "apiKey", "name": "Authorization", "in": "header" } },
            }),
        ),
        Edition::V3 | Edition::V31 => (
            with(score, json!({ "requestBody": with(json!({ "required": true }), at("ServiceInput")) })),
            json!({
                "openapi": if edition == Edition::V3 { "3.0.3" } else { "3.1.0" },
                "components": {
                    "schemas": definitions,
                    "securitySchemes": { "Bearer": { "type": "http", "scheme": "bearer" } },
                },
            }),
        ),
    };
    let health = json!({ "get": { "operationId": "ServiceHealthCheck", "description": "Whether the endpoint is there",
        "responses": { "200": { "description": "Healthy" } } } });
    let rest = json!({
        "info": info,
        "security": [{ "Bearer": [] }],
        "paths": { "/": health, "/score": { "post": score } },
    });
    oip_reply::json(&with(head, rest))
}
