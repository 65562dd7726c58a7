//! Serves packages until a signal.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::{Duration, Instant},
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{Code, Failure};
use serde_json::json;

use super::{
    args::{AccessArg, ServeArgs},
    environment::{self, Surroundings},
    packages, print, usage,
};
use crate::{Keys, ModelTable, ServeConfig, ServeError, State, keyfile::FileKeys, server::serve};

/// How often the file of keys is looked at.
const REFRESH: Duration = Duration::from_secs(1);
/// Time for what goes on in the background when everything is answered; with the longest drain less than the thirty
/// seconds after which platforms kill.
const BACKGROUND: Duration = Duration::from_secs(2);

/// Serves until a signal. `began` is when the program was started.
///
/// # Errors
/// If a setting, a package or the address cannot be used.
pub(super) fn run(args: &ServeArgs, json: bool, is_contract: bool, began: Instant) -> Result<(), Failure> {
    let around = environment::read(|name| std::env::var(name).ok(), args.bind.as_deref(), is_contract)?;
    let trusted = packages::trusted(&args.from.trust)?;
    // A platform's folder counts where nothing was said, and where it is there: an image has its own.
    let folder = args.from.models.clone().or_else(|| {
        let named = args.from.packages.is_empty();
        around.models.clone().filter(|folder| named && folder.is_dir())
    });
    let found = packages::find(&args.from.packages, folder.as_deref())?;
    let (listener, bound) = bind(&around.bind, args.behind_tls || args.access == AccessArg::Platform)?;
    let config = config(args, &around, bound);
    let keys = keys(args)?;
    let served = found.iter().map(|found| packages::load(found, &trusted, &args.from.device));
    let served = served.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<(String, u32)> = served.iter().map(|one| (one.name().to_owned(), one.version())).collect();
    let table = Arc::new(ModelTable::new());
    table.replace(served)?;
    let state = State::new(config, Arc::clone(&keys) as Arc<dyn Keys>, table)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Threads)?;
    let stop = StopFlag::new();
    let done = runtime.block_on(async {
        let signals = Signals::new()?;
        let refreshing = tokio::spawn(keep_fresh(keys));
        say(json, bound, &names, &around, began);
        let served = serve(listener, &state, signals.first(&stop)).await;
        refreshing.abort();
        served.map_err(Failure::from)
    });
    // A prediction that does not end must not hold up the end.
    runtime.shutdown_timeout(BACKGROUND);
    done
}

/// Binds the address. One that others can reach is refused where nothing is said to end TLS: keys would travel openly.
fn bind(text: &str, is_covered: bool) -> Result<(TcpListener, SocketAddr), Failure> {
    let no_address =
        |why: &str| usage(format!("{text:?} is no address: {why}")).hint("write for example 127.0.0.1:8080");
    let addresses = text.to_socket_addrs().map_err(|err| no_address(&err.to_string()))?;
    let address = addresses.into_iter().next().ok_or_else(|| no_address("it has none"))?;
    if !address.ip().is_loopback() && !is_covered {
        let message = format!("{address} can be reached from other machines, and this endpoint has no TLS");
        let hint = "say --behind-tls where a proxy or the platform in front ends TLS, or bind 127.0.0.1";
        return Err(Failure::new(Code::PermissionDenied, message).hint(hint));
    }
    let failed = |err: std::io::Error| {
        Failure::new(Code::Unavailable, format!("cannot listen on {address}: {err}"))
            .hint("another program may use the port; --bind 127.0.0.1:0 takes a free one")
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The endpoint's settings.
fn config(args: &ServeArgs, around: &Surroundings, bound: SocketAddr) -> ServeConfig {
    let mut config = ServeConfig::new(bound);
    config.max_body_bytes = usize::from(args.max_body) << 20;
    config.drain_timeout = Duration::from_secs(args.drain.into());
    config.allowed_hosts.extend(args.allow_host.iter().cloned());
    config.allowed_origins.extend(args.allow_origin.iter().cloned());
    super::contracts::apply(&mut config, args, around);
    config
}

/// Who may ask.
fn keys(args: &ServeArgs) -> Result<Arc<FileKeys>, Failure> {
    match (&args.keys, args.access) {
        (Some(path), AccessArg::Keys) => Ok(Arc::new(FileKeys::open(path)?)),
        (None, AccessArg::Platform) => Ok(Arc::new(FileKeys::none())),
        (Some(_), AccessArg::Platform) => {
            Err(usage("with --access platform no keys are looked at").hint("leave out --keys, or say --access keys"))
        }
        (None, AccessArg::Keys) => {
            let hint = "write one with 'athanor keys export -o FILE' and name it with --keys; \
                        --access platform serves without keys where a platform in front checks who asks";
            Err(usage("no file of keys is named").hint(hint))
        }
    }
}

fn say(json: bool, bound: SocketAddr, names: &[(String, u32)], around: &Surroundings, began: Instant) {
    let millis = began.elapsed().as_secs_f64() * 1e3;
    for note in &around.notes {
        eprintln!("note: {note}");
    }
    if json {
        let models: Vec<_> = names.iter().map(|(name, version)| json!({ "model": name, "version": version })).collect();
        let line = json!({ "endpoint": format!("http://{bound}"), "models": models, "started_in_millis": millis });
        print(&line.to_string());
        return;
    }
    print(&format!("serving on http://{bound} after {millis:.0} ms"));
    for (name, version) in names {
        print(&format!("  {name}:{version}"));
    }
}

async fn keep_fresh(keys: Arc<FileKeys>) {
    loop {
        tokio::time::sleep(REFRESH).await;
        let keys = Arc::clone(&keys);
        match tokio::task::spawn_blocking(move || keys.refresh()).await {
            Ok(Ok(true)) => tracing::info!("the file of keys was read again"),
            Ok(Ok(false)) => {}
            Ok(Err(failure)) => tracing::warn!("the file of keys is not taken, the keys stay as they were: {failure}"),
            Err(err) => tracing::error!("reading the file of keys broke down: {err}"),
        }
    }
}

/// Raises the flag at Ctrl-C or a termination signal; a second one ends the process at once.
pub(super) fn on_signal(stop: &StopFlag) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Threads)?;
    let stop = stop.clone();
    let watching = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            match Signals::new() {
                Ok(signals) => {
                    signals.first(&stop).await;
                    std::future::pending::<()>().await;
                }
                Err(failure) => tracing::error!("{failure}"),
            }
        });
    });
    watching.map(drop).map_err(|err| ServeError::Threads(err).into())
}

/// What ends the program, listened to from when it is made: a signal that comes before somebody waits is not lost.
struct Signals(#[cfg(unix)] [tokio::signal::unix::Signal; 2]);

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|err| Failure::new(Code::Unavailable, format!("cannot listen to signals: {err}")))
        };
        Ok(Self([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?]))
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, Failure> {
        Ok(Self())
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        {
            let [terminate, interrupt] = &mut self.0;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
        }
    }

    /// Waits for the first signal. The second one ends the process wherever it is.
    async fn first(mut self, stop: &StopFlag) {
        self.next().await;
        stop.stop("interrupted");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_open_address_needs_something_that_ends_tls() {
        assert!(bind("127.0.0.1:0", false).is_ok());
        assert_eq!(bind("0.0.0.0:0", false).unwrap_err().code, Code::PermissionDenied);
        assert!(bind("0.0.0.0:0", true).is_ok());
        for bad in ["", "8080", "127.0.0.1", "127.0.0.1:99999"] {
            assert_eq!(bind(bad, true).unwrap_err().code, Code::InvalidArgument, "{bad}");
        }
    }
}
