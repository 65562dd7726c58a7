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
    registry::KeyLimits,
};
use athanor_serve::{
    ServeConfig,
    site::{Assets, Site, SiteConfig, serve_site},
    tokens::TokenRules,
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    Context,
    serve_args::{ServeArgs, TlsArgs, TokenArgs},
};
use crate::{
    desk::{Desk, DeskOptions, EndpointSetup},
    devices,
    error::{EngineError, Result},
    identity::{Identity, KeySource},
    schedule::Scheduler,
    serving::Endpoint,
    site::{self, DeskSite},
    transport::{self, TlsFiles, TlsPaths, Transport, check_public},
};

/// Where the page's settings lie in the workspace's folder.
const PAGE_FOLDER: &str = "page";

/// Binds an address. A public one is refused without TLS: the connection would carry keys in plain text.
pub(crate) fn bind(text: &str, has_tls: bool) -> Result<(TcpListener, SocketAddr)> {
    let usage =
        |why: &str| EngineError::Usage(format!("{text:?} is no address: {why}; write for example 127.0.0.1:8080"));
    let address =
        text.to_socket_addrs().map_err(|err| usage(&err.to_string()))?.next().ok_or_else(|| usage("it has none"))?;
    check_public(address.ip(), &address.to_string(), has_tls)?;
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
    let has_tls = args.tls.tls || args.tls.tls_cert.is_some();
    if args.tls.tls_client_ca.is_some() && !has_tls {
        return Err(EngineError::Usage("--tls-client-ca asks for --tls, or --tls-cert and --tls-key".to_owned()));
    }
    let (listener, bound) = bind(&args.bind, has_tls)?;
    let mut config = ServeConfig::new(bound);
    config.max_body_bytes = args.max_body.clamp(1, 4096) << 20;
    config.allowed_hosts.extend(args.allow_host.iter().cloned());
    config.allowed_origins.extend(args.allow_origin.iter().cloned());
    if bound.ip().is_unspecified() && args.allow_host.is_empty() {
        context.out.say("only this machine's own names are answered; name the others with --allow-host");
    }
    let caller_limits = KeyLimits::from(&args.callers);
    caller_limits.check().map_err(EngineError::Usage)?;
    let mut transport = Transport { identity: identity(&args.tokens)?, caller_limits, ..Transport::default() };
    let mut hosts = config.allowed_hosts.clone();
    let mut grpc = None;
    if let Some(text) = &args.grpc {
        let (listener, bound) = bind(text, has_tls)?;
        hosts.extend(ServeConfig::new(bound).allowed_hosts);
        (transport.grpc, grpc) = (Some(listener), Some(bound));
    }
    if has_tls {
        let files = Arc::new(certificates(context, &args.tls, &hosts)?);
        config.tls = Some(files.tls().clone());
        transport.tls = Some(files);
    }
    config.batch_rows = usize::from(args.batch_rows);
    config.batch_budget = Duration::from_millis(args.batch_millis.into());
    let device = devices::resolve(&context.program, &args.device)?;
    let setup = EndpointSetup { listener, config, device, traces: args.traces.clone(), transport };
    let wanted = args.ui || args.ui_folder.is_some();
    if !bound.ip().is_loopback() && !wanted {
        // Whoever logs in there with an admin key may do what this user may: that is not opened to others by the way.
        context.out.say("no page for browsers on a public address; --ui serves it there as well");
        return endpoint_alone(context, setup, grpc);
    }
    let Some(assets) = assets(context, args)? else { return endpoint_alone(context, setup, grpc) };
    match open_desk(context) {
        Ok(desk) => with_page(context, args, &desk, setup, grpc, assets),
        // Whoever has a window open on the workspace has the user interface already.
        Err(err) if err.code() == Code::Conflict && !wanted => {
            context.out.say(&format!("no page for browsers: {err}"));
            endpoint_alone(context, setup, grpc)
        }
        Err(err) => Err(err),
    }
}

/// The certificates that are named, or those of the workspace.
fn certificates(context: &Context, args: &TlsArgs, hosts: &[String]) -> Result<TlsFiles> {
    let (certificate, key) = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => transport::generated(&context.open()?, hosts)?,
    };
    let (client_authorities, client_revocations) = (args.tls_client_ca.clone(), args.tls_client_crl.clone());
    let paths = TlsPaths { certificate, key, client_authorities, client_revocations };
    TlsFiles::open(paths, args.tls_client_is_key)
}

/// The identity provider, where one is named.
fn identity(args: &TokenArgs) -> Result<Option<Arc<Identity>>> {
    let (Some(issuer), Some(audience), Some(keys)) = (&args.token_issuer, &args.token_audience, &args.token_keys)
    else {
        return Ok(None);
    };
    let mut rules = TokenRules::new(issuer, audience);
    rules.scope_claim.clone_from(&args.token_scope_claim);
    rules.scope_prefix.clone_from(&args.token_scope_prefix);
    Ok(Some(Arc::new(Identity::open(KeySource::parse(keys)?, rules)?)))
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

fn endpoint_alone(context: &Context, setup: EndpointSetup, grpc: Option<SocketAddr>) -> Result<()> {
    let workspace = Arc::new(context.open()?);
    crate::runs::reconcile::reconcile(&workspace)?;
    let _schedules = Scheduler::start(Arc::clone(&workspace));
    let endpoint = Arc::new(Endpoint::new(workspace, &setup.device)?);
    if let Some(collector) = &setup.traces {
        endpoint.trace_to(collector)?;
    }
    let says = Says { bound: setup.config.bound, has_tls: setup.config.tls.is_some(), grpc, page: None };
    let state = endpoint.state_with(setup.config, &setup.transport)?;
    say(context, &says, &endpoint.serving());
    super::stop_on_signal(&context.stop);
    runtime()?.block_on(endpoint.serve_with(setup.listener, setup.transport, state, told(&context.stop)))
}

/// The endpoint and the page, each on a port of its own: what a key opens on one is no cookie on the other, and the page
/// stays when the endpoint is stopped from it.
fn with_page(
    context: &Context,
    args: &ServeArgs,
    desk: &Arc<Desk>,
    setup: EndpointSetup,
    grpc: Option<SocketAddr>,
    assets: Assets,
) -> Result<()> {
    let bound = setup.config.bound;
    let port = args.ui_port.unwrap_or(if args.bind.ends_with(":0") { 0 } else { bound.port().saturating_add(1) });
    let hint = "another program may use the port; --ui-port 0 takes a free one, --no-ui serves the endpoint alone";
    let (listener, page) = listen(SocketAddr::new(bound.ip(), port), hint)?;
    let mut config = SiteConfig::new(page);
    config.allowed_hosts.extend(args.allow_host.iter().cloned());
    config.tls.clone_from(&setup.config.tls);
    let has_tls = config.tls.is_some();
    let backend = Arc::new(DeskSite::new(Arc::clone(desk), &*desk.workspace()?)?);
    let site = Site::new(config, backend, assets).map_err(|err| EngineError::Failure(err.into()))?;
    let status = desk.start_endpoint(setup)?;
    let serving: Vec<_> = status.models.into_iter().map(|served| (served.model, served.version)).collect();
    say(context, &Says { bound, has_tls, grpc, page: Some(page) }, &serving);
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

/// Where everything is served.
struct Says {
    bound: SocketAddr,
    has_tls: bool,
    grpc: Option<SocketAddr>,
    page: Option<SocketAddr>,
}

fn say(context: &Context, says: &Says, serving: &[(String, u32)]) {
    let scheme = if says.has_tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", says.bound);
    let page = says.page.map(|page| format!("{scheme}://{page}"));
    // As clients of gRPC take an address: without a scheme.
    let grpc = says.grpc.map(|grpc| grpc.to_string());
    let models: Vec<_> = serving.iter().map(|(name, version)| json!({ "model": name, "version": version })).collect();
    context.out.result(&json!({ "endpoint": url, "models": models, "page": page, "grpc": grpc }), || {
        let mut text = format!("serving on {url}\n");
        if let Some(grpc) = &grpc {
            text += &format!("gRPC on {grpc}{}\n", if says.has_tls { ", with TLS" } else { "" });
        }
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
