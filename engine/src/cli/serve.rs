//! `serve`: the workspace's endpoint, until Ctrl-C.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
};

use athanor_protocol::{Code, Failure};
use athanor_serve::ServeConfig;
use serde_json::json;
use tokio::sync::watch;

use super::{Context, args::ServeArgs};
use crate::{
    devices,
    error::{EngineError, Result},
    serving::Endpoint,
};

/// Binds an address. A public one is refused: the connection would carry keys in plain text.
pub(crate) fn bind(text: &str) -> Result<(TcpListener, SocketAddr)> {
    let usage =
        |why: &str| EngineError::Usage(format!("{text:?} is no address: {why}; write for example 127.0.0.1:8080"));
    let address =
        text.to_socket_addrs().map_err(|err| usage(&err.to_string()))?.next().ok_or_else(|| usage("it has none"))?;
    if !address.ip().is_loopback() {
        let failure = Failure::new(
            Code::PermissionDenied,
            format!("{address} can be reached from other machines, and this endpoint has no TLS"),
        );
        let hint = "bind 127.0.0.1 and put a reverse proxy with TLS in front; name its host with --allow-host";
        return Err(EngineError::Failure(failure.hint(hint)));
    }
    let refused = |err: std::io::Error| {
        let failure = Failure::new(Code::Unavailable, format!("cannot listen on {address}: {err}"));
        EngineError::Failure(failure.hint("another program may use the port; --bind 127.0.0.1:0 takes a free one"))
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

pub(crate) fn run(context: &Context, args: &ServeArgs) -> Result<()> {
    let workspace = Arc::new(context.open()?);
    crate::runs::reconcile::reconcile(&workspace)?;
    let device = devices::resolve(&context.program, &args.device)?;
    let endpoint = Arc::new(Endpoint::new(workspace, &device)?);
    let (listener, bound) = bind(&args.bind)?;
    let mut config = ServeConfig::new(bound);
    config.max_body_bytes = args.max_body.clamp(1, 4096) << 20;
    config.allowed_hosts.extend(args.allow_host.iter().cloned());
    config.allowed_origins.extend(args.allow_origin.iter().cloned());
    let serving = endpoint.serving();
    let url = format!("http://{bound}");
    let models: Vec<_> = serving.iter().map(|(name, version)| json!({ "model": name, "version": version })).collect();
    context.out.result(&json!({ "endpoint": url, "models": models }), || {
        let mut text = format!("serving on {url}\n");
        for (name, version) in &serving {
            text += &format!("  {name}:{version}\n");
        }
        if serving.is_empty() {
            text += "  nothing yet: give a version the alias 'production' and it is served within a second\n";
        }
        text + "keys: athanor keys create\nstop: Ctrl-C"
    });
    super::stop_on_signal(&context.stop);
    let runtime = runtime()?;
    runtime.block_on(async {
        let (tell, told) = watch::channel(false);
        let stop = context.stop.clone();
        tokio::spawn(async move {
            while stop.reason().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            let _ = tell.send(true);
        });
        endpoint.serve(listener, config, told).await
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let failed = |err: std::io::Error| EngineError::new(Code::Unavailable, format!("cannot start threads: {err}"));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}
