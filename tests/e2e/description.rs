//! The endpoint's description of itself, read by programs that others wrote: a validator of OpenAPI, and a fuzzer that
//! sends what the description allows and what it does not.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    contracts::Wine,
    sandbox::{Done, done},
};

fn python(wine: &Wine, module: &str, args: &[&str]) -> Done {
    let python = std::env::var_os("ATHANOR_OPENAPI_PYTHON")
        .expect("ATHANOR_OPENAPI_PYTHON names a Python with schemathesis; cargo xtask test sets it");
    let mut command = Command::new(python);
    // Whatever the tools keep for themselves goes away with the test.
    command.current_dir(wine.sandbox.folder.path()).env("NO_PROXY", "*").env("NO_COLOR", "1");
    done(command.args(["-m", module]).args(args).output().unwrap())
}

#[test]
fn every_description_is_valid_openapi() {
    let wine = Wine::new();
    for address in ["openapi.json", "swagger.json?version=2", "swagger.json?version=3", "swagger.json?version=3.1"] {
        let text = wine.client.get(format!("{}/{address}", wine.url)).bearer_auth(&wine.key).send().unwrap();
        let mut document: Value = text.json().unwrap();
        let file = wine.sandbox.path("description.json");
        let check = |document: &Value| {
            fs::write(&file, document.to_string()).unwrap();
            python(&wine, "openapi_spec_validator", &[file.to_str().unwrap()])
        };
        let valid = check(&document);
        assert_eq!(valid.status, 0, "{address}: {}{}", valid.stdout, valid.stderr);
        // A validator that takes everything would prove nothing.
        document["paths"]["/score"]["post"]["responses"] = Value::Null;
        assert_ne!(check(&document).status, 0, "{address}");
    }
}

/// What schemathesis looks at in an answer. Left out are the checks that ask a schema for what none can say or none may
/// promise: that columns are as long as each other, that a text is CSV of the right columns, that a platform's client may
/// send a truth value where the model takes a number, and that the hundredth wrong key in a row is told 401 and not 429.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,missing_required_header,\
                      unsupported_method,allow_header_conformance,use_after_free,ensure_resource_availability";

#[test]
fn a_fuzzer_finds_no_fault_on_any_route() {
    let wine = Wine::new();
    let (address, key) = (format!("{}/openapi.json", wine.url), format!("Authorization: Bearer {}", wine.key));
    let report = wine.sandbox.path("report.json");
    let (fixed, few) = (["--seed", "1", "--no-shrink"], ["--max-examples", "6"]);
    let written = ["--report", "json", "--report-json-path", report.to_str().unwrap()];
    let args = [&["run", &address, "-H", &key, "--checks", CHECKS][..], &fixed, &few, &written].concat();
    let done = python(&wine, "schemathesis.cli", &args);
    assert_eq!(done.status, 0, "{}\n{}", done.stdout, done.stderr);
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let n_sent = report["test_cases"]["generated"].as_u64().unwrap();
    let operations = &report["operations"];
    println!("{n_sent} requests to {} operations", operations["tested"]);
    assert!(n_sent > 500 && operations["tested"] == operations["total"], "{report}");
    assert!(operations["total"].as_u64().unwrap() > 25 && report["complete"] == true, "{report}");
}
