//! The one place where what a platform asks for becomes settings of the endpoint.

use super::{
    args::{AccessArg, ServeArgs},
    environment::Surroundings,
};
use crate::config::{Access, ServeConfig};

/// Sets who checks requests, the platform's routes and the model of routes that name none.
pub(super) fn apply(config: &mut ServeConfig, args: &ServeArgs, around: &Surroundings) {
    config.access = match args.access {
        AccessArg::Keys => Access::Keys,
        AccessArg::Platform => Access::Platform,
    };
    // Platforms call a container by names of their own. On this machine alone a name still has to be one of ours.
    if args.access == AccessArg::Platform && !config.bound.ip().is_loopback() {
        config.allowed_hosts.push("*".to_owned());
    }
    config.default_model = args.default_model.clone();
    config.vertex_health_route = around.health_route.clone();
    config.vertex_predict_route = around.predict_route.clone();
    config.vertex_deployed_model_id = around.deployed_model_id.clone();
}
