//! What a platform says in the environment: where to listen, which routes to answer, where packages lie.
//!
//! | platform | told by | port | packages |
//! | --- | --- | --- | --- |
//! | Vertex AI | `AIP_HTTP_PORT`, `AIP_HEALTH_ROUTE`, `AIP_PREDICT_ROUTE` | `AIP_HTTP_PORT` | in the image; `AIP_STORAGE_URI` is not read |
//! | SageMaker | the argument `serve` | `SAGEMAKER_BIND_TO_PORT`, else 8080 | `/opt/ml/model` |
//! | Azure ML | `AZUREML_MODEL_DIR` | 5001 | that folder |
//!
//! What is said on the command line stands above it, `ATHANOR_BIND` below: an image has its own default in it, and the
//! platform that runs the image knows better.

use std::path::PathBuf;

use athanor_protocol::Failure;

use super::usage;

/// Where an endpoint listens where nothing is said.
const DEFAULT_BIND: &str = "127.0.0.1:8080";
/// Where SageMaker puts the model.
const SAGEMAKER_FOLDER: &str = "/opt/ml/model";
/// Of Azure's inference server.
const AZURE_PORT: u16 = 5001;
/// Longest route that is taken from the environment.
const MAX_ROUTE_BYTES: usize = 1_024;

/// What the environment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// The address and port.
    pub(super) bind: String,
    /// Where packages lie, if the command line names none.
    pub(super) models: Option<PathBuf>,
    /// The route for health checks that the platform has chosen.
    pub(super) health_route: Option<String>,
    /// The route for predictions that the platform has chosen.
    pub(super) predict_route: Option<String>,
    /// What the platform calls the model, which answers repeat.
    pub(super) deployed_model_id: Option<String>,
    /// What people should know.
    pub(super) notes: Vec<String>,
}

/// Reads the environment. `bind` is what the command line says, `is_contract` whether it was started as a platform starts
/// its containers.
///
/// # Errors
/// If a variable is not what it should be; it is named.
pub(super) fn read(
    var: impl Fn(&str) -> Option<String>,
    bind: Option<&str>,
    is_contract: bool,
) -> Result<Surroundings, Failure> {
    let var = |name: &str| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let port = |name: &str| {
        var(name).map(|text| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(usage(format!("{name} is no port: {text:?}")).hint("a port is a number from 1 to 65535")),
        })
    };
    let route = |name: &str| {
        var(name).map(|text| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.:~".contains(&b);
            if text.len() <= MAX_ROUTE_BYTES && text.starts_with('/') && text.bytes().all(is_plain) {
                return Ok(text);
            }
            Err(usage(format!("{name} is no route: {text:?}")).hint("a route begins with '/', for example /predict"))
        })
    };
    let vertex = port("AIP_HTTP_PORT").transpose()?;
    let sagemaker = port("SAGEMAKER_BIND_TO_PORT").transpose()?;
    let azure = var("AZUREML_MODEL_DIR").map(PathBuf::from);
    let mut notes = vec![];
    if var("AIP_STORAGE_URI").is_some() {
        notes.push("AIP_STORAGE_URI is not read: the packages are those in this image".to_owned());
    }
    let platform_port = vertex.or(sagemaker).or(azure.as_ref().map(|_| AZURE_PORT));
    let own = var("ATHANOR_BIND");
    let bind = match (bind, platform_port) {
        (Some(bind), _) => bind.to_owned(),
        (None, Some(port)) => format!("0.0.0.0:{port}"),
        (None, None) => match own {
            Some(own) => own,
            None if is_contract => "0.0.0.0:8080".to_owned(),
            None => DEFAULT_BIND.to_owned(),
        },
    };
    let models = azure.or_else(|| is_contract.then(|| PathBuf::from(SAGEMAKER_FOLDER)));
    Ok(Surroundings {
        bind,
        models,
        health_route: route("AIP_HEALTH_ROUTE").transpose()?,
        predict_route: route("AIP_PREDICT_ROUTE").transpose()?,
        deployed_model_id: var("AIP_DEPLOYED_MODEL_ID"),
        notes,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_from(vars: &[(&str, &str)], bind: Option<&str>, is_contract: bool) -> Result<Surroundings, Failure> {
        let vars: Vec<(String, String)> =
            vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let var = |name: &str| vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        read(var, bind, is_contract)
    }

    #[test]
    fn the_command_line_stands_above_the_platform_and_the_platform_above_the_image() {
        #[track_caller]
        fn check(vars: &[(&str, &str)], bind: Option<&str>, is_contract: bool, expect: &str) {
            assert_eq!(read_from(vars, bind, is_contract).unwrap().bind, expect);
        }
        check(&[], None, false, "127.0.0.1:8080");
        check(&[], None, true, "0.0.0.0:8080");
        check(&[("ATHANOR_BIND", "0.0.0.0:9000")], None, true, "0.0.0.0:9000");
        check(&[("ATHANOR_BIND", "")], None, false, "127.0.0.1:8080");
        check(&[("AIP_HTTP_PORT", "7080"), ("ATHANOR_BIND", "0.0.0.0:9000")], None, false, "0.0.0.0:7080");
        check(&[("SAGEMAKER_BIND_TO_PORT", "8123")], None, true, "0.0.0.0:8123");
        check(&[("AZUREML_MODEL_DIR", "/var/m")], None, false, "0.0.0.0:5001");
        check(&[("AIP_HTTP_PORT", "7080")], Some("127.0.0.1:1"), true, "127.0.0.1:1");
    }

    #[test]
    fn folders_and_routes_are_taken() {
        let found = read_from(&[("AZUREML_MODEL_DIR", "/var/m")], None, true).unwrap();
        assert_eq!(found.models, Some(PathBuf::from("/var/m")));
        assert_eq!(read_from(&[], None, true).unwrap().models, Some(PathBuf::from("/opt/ml/model")));
        assert_eq!(read_from(&[], None, false).unwrap().models, None);
        let routes =
            [("AIP_HEALTH_ROUTE", "/health"), ("AIP_PREDICT_ROUTE", "/v1/endpoints/7/deployedModels/8:predict")];
        let found = read_from(&routes, None, false).unwrap();
        assert_eq!(found.health_route.as_deref(), Some("/health"));
        assert_eq!(found.predict_route.as_deref(), Some("/v1/endpoints/7/deployedModels/8:predict"));
        let noted = read_from(&[("AIP_STORAGE_URI", "gs://b/m")], None, false).unwrap();
        assert_eq!(noted.notes.len(), 1);
    }

    #[test]
    fn what_is_no_port_and_no_route_is_named() {
        for (name, value) in [
            ("AIP_HTTP_PORT", "http"),
            ("AIP_HTTP_PORT", "0"),
            ("AIP_HTTP_PORT", "70000"),
            ("SAGEMAKER_BIND_TO_PORT", "-1"),
            ("AIP_HEALTH_ROUTE", "health"),
            ("AIP_HEALTH_ROUTE", "/a b"),
            ("AIP_PREDICT_ROUTE", "/{*all}"),
            ("AIP_PREDICT_ROUTE", "/a?b"),
        ] {
            let failure = read_from(&[(name, value)], None, false).unwrap_err();
            assert!(failure.message.contains(name), "{name}={value}: {failure}");
        }
    }
}
