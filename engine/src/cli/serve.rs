//! `serve`: the workspace's endpoint and the user interface for browsers, until Ctrl-C.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{
    Code, Failure,
    api::{Host, WorkspaceOpen},
};
use athanor_serve::{
    ServeConfig,
    site::{Assets, Site, SiteConfig, serve_site},
};
use serde_json::json;
use tokio::sync::watch;

use super::{Context, args::ServeArgs};
use crate::{
    desk::{Desk, DeskOptions, EndpointSetup},
    devices,
    error::{EngineError, Result},
    serving::Endpoint,
    site::{self, DeskSite},
};

/// Where the page's settings lie in the workspace's folder.
const PAGE_FOLDER: &str = "page";

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
    listen(address, "another program may use the port; --bind 127.0.0.1:0 takes a free one")
}

fn listen(address: SocketAddr, hint: &str) -> Result<(TcpListener, SocketAddr)> {
    let refused = |err: std::io::Error| {
        let failure = Failure::new(Code::Unavailable, format!("cannot listen on {address}: {err}"));
        EngineError::Failure(failure.hint(hint))
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

pub(crate) fn run(context: &Context, args: &ServeArgs) -> Result<()> {
    let (listener, bound) = bind(&args.bind)?;
    let mut config = ServeConfig::new(bound);
    config.max_body_bytes = args.max_body.clamp(1, 4096) << 20;
    config.allowed_hosts.extend(args.allow_host.iter().cloned());
    config.allowed_origins.extend(args.allow_origin.iter().cloned());
    config.batch_rows = usize::from(args.batch_rows);
    config.batch_budget = Duration::from_millis(args.batch_millis.into());
    let device = devices::resolve(&context.program, &args.device)?;
    let setup = EndpointSetup { listener, config, device };
    let wanted = args.ui || args.ui_folder.is_some();
    let Some(assets) = assets(context, args)? else { return endpoint_alone(context, setup) };
    match open_desk(context) {
        Ok(desk) => with_page(context, args, &desk, setup, assets),
        // Whoever has a window open on the workspace has the user interface already.
        Err(err) if err.code() == Code::Conflict && !wanted => {
            context.out.say(&format!("no page for browsers: {err}"));
            endpoint_alone(context, setup)
        }
        Err(err) => Err(err),
    }
}

/// The user interface's files, where it is to be served.
fn assets(context: &Context, args: &ServeArgs) -> Result<Option<Assets>> {
    if args.no_ui {
        return Ok(None);
    }
    let folder = args.ui_folder.clone().or_else(|| site::find_folder(&context.program));
    match folder {
        Some(folder) => site::read_assets(&folder).map(Some),
        None if args.ui => {
            let message = "the user interface's files are not beside the program";
            let hint = "build them with 'cargo xtask ui', and name their folder with --ui-folder";
            Err(EngineError::Failure(Failure::new(Code::NotFound, message).hint(hint)))
        }
        None => Ok(None),
    }
}

/// A desk with the workspace open.
fn open_desk(context: &Context) -> Result<Arc<Desk>> {
    // What is no workspace is said before a folder for settings is made in it.
    let root = context.open()?.root().to_owned();
    let desk = Desk::new(DeskOptions {
        host: Host::Browser,
        program: context.program.clone(),
        config_folder: root.join(PAGE_FOLDER),
        default_folder: root.parent().unwrap_or(&root).to_owned(),
    })?;
    desk.handle(WorkspaceOpen { path: root.display().to_string(), create: false }.into())?;
    Ok(desk)
}

fn endpoint_alone(context: &Context, setup: EndpointSetup) -> Result<()> {
    let workspace = Arc::new(context.open()?);
    crate::runs::reconcile::reconcile(&workspace)?;
    let endpoint = Arc::new(Endpoint::new(workspace, &setup.device)?);
    say(context, setup.config.bound, &endpoint.serving(), None);
    super::stop_on_signal(&context.stop);
    runtime()?.block_on(endpoint.serve(setup.listener, setup.config, told(&context.stop)))
}

/// The endpoint and the page, each on a port of its own: what a key opens on one is no cookie on the other, and the page
/// stays when the endpoint is stopped from it.
fn with_page(
    context: &Context,
    args: &ServeArgs,
    desk: &Arc<Desk>,
    setup: EndpointSetup,
    assets: Assets,
) -> Result<()> {
    let bound = setup.config.bound;
    let port = args.ui_port.unwrap_or(if args.bind.ends_with(":0") { 0 } else { bound.port().saturating_add(1) });
    let hint = "another program may use the port; --ui-port 0 takes a free one, --no-ui serves the endpoint alone";
    let (listener, page) = listen(SocketAddr::new(bound.ip(), port), hint)?;
    let mut config = SiteConfig::new(page);
    config.allowed_hosts.extend(args.allow_host.iter().cloned());
    let backend = Arc::new(DeskSite::new(Arc::clone(desk), &*desk.workspace()?)?);
    let site = Site::new(config, backend, assets).map_err(|err| EngineError::Failure(err.into()))?;
    let status = desk.start_endpoint(setup)?;
    let serving: Vec<_> = status.models.into_iter().map(|served| (served.model, served.version)).collect();
    say(context, bound, &serving, Some(page));
    super::stop_on_signal(&context.stop);
    let runtime = runtime()?;
    let mut stop = told(&context.stop);
    let served = runtime.block_on(serve_site(listener, &site, async move {
        let _ = stop.wait_for(|stop| *stop).await;
    }));
    desk.shut_down();
    // A long request of a page must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served.map_err(|err| EngineError::Failure(err.into()))
}

fn say(context: &Context, bound: SocketAddr, serving: &[(String, u32)], page: Option<SocketAddr>) {
    let url = format!("http://{bound}");
    let page = page.map(|page| format!("http://{page}"));
    let models: Vec<_> = serving.iter().map(|(name, version)| json!({ "model": name, "version": version })).collect();
    context.out.result(&json!({ "endpoint": url, "models": models, "page": page }), || {
        let mut text = format!("serving on {url}\n");
        for (name, version) in serving {
            text += &format!("  {name}:{version}\n");
        }
        if serving.is_empty() {
            text += "  nothing yet: give a version the alias 'production' and it is served within a second\n";
        }
        text += "keys: athanor keys create\n";
        if let Some(page) = &page {
            text += &format!("page for browsers: {page}\n  log in with: athanor keys create --scope admin\n");
        }
        text + "stop: Ctrl-C"
    });
}

/// Turns true when the flag is raised, also without a runtime at hand.
fn told(flag: &StopFlag) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let flag = flag.clone();
    let watching = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
        while flag.reason().is_none() && !tell.is_closed() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = tell.send(true);
    });
    if let Err(err) = watching {
        // The sender went with the thread that was not there: whoever waits ends at once.
        tracing::error!("cannot start a thread: {err}");
    }
    told
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let failed = |err: std::io::Error| EngineError::new(Code::Unavailable, format!("cannot start threads: {err}"));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}
