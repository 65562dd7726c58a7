//! What the tests share: hand-made models and keys, a client without a socket, and one with.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    columns::{ColumnData, Frame},
    registry::{KeyLimits, Scope},
    signature::{InputColumn, ModelSignature, Task},
    table::DataType,
};
use athanor_serve::{Grant, KeyRefusal, Keys, Model, ModelTable, Outputs, ServeConfig, Served, State, router, serve};
use axum::{body::Body, http::Request};
use tower::ServiceExt as _;

pub(crate) const GOOD: &str = "k-good";

pub(crate) struct TestKeys;

impl Keys for TestKeys {
    fn check(&self, token: &str) -> Result<Grant, KeyRefusal> {
        let grant = |scope| Ok(Grant { key_id: "id".to_owned(), scopes: vec![scope] });
        match token {
            GOOD => grant(Scope::Predict),
            "k-admin" => grant(Scope::Admin),
            "k-read" => grant(Scope::Read),
            "k-limited" => Ok(Grant { key_id: "limited".to_owned(), scopes: vec![Scope::Predict] }),
            "k-expired" => Err(KeyRefusal::Expired),
            "k-revoked" => Err(KeyRefusal::Revoked),
            "k-unavailable" => Err(KeyRefusal::Unavailable),
            _ => Err(KeyRefusal::Unknown),
        }
    }

    fn limits(&self, key_id: &str) -> Option<KeyLimits> {
        let limits = KeyLimits { requests_per_day: Some(3), rows_per_day: Some(3), ..KeyLimits::default() };
        (key_id == "limited").then_some(limits)
    }
}

pub(crate) fn signature(task: Task, columns: &[(&str, DataType, bool)], classes: &[&str]) -> ModelSignature {
    let inputs = columns.iter().map(|&(name, dtype, nullable)| InputColumn { name: name.to_owned(), dtype, nullable });
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    ModelSignature { task, target: "target".to_owned(), inputs: inputs.collect(), classes }
}

/// A model that a closure is.
pub(crate) struct Made<F> {
    pub(crate) signature: ModelSignature,
    pub(crate) predict: F,
}

impl<F: Fn(&Frame) -> Result<Outputs, Failure> + Send + Sync> Model for Made<F> {
    fn signature(&self) -> &ModelSignature {
        &self.signature
    }

    fn predict(&self, frame: &Frame) -> Result<Outputs, Failure> {
        (self.predict)(frame)
    }
}

/// The sum of all columns as a number: texts count their length, missing values nothing.
pub(crate) fn sum(frame: &Frame) -> Result<Outputs, Failure> {
    let row = |row| {
        let value = |column: &athanor_protocol::columns::Column| match &column.data {
            _ if column.data.is_missing(row) => 0.0,
            ColumnData::Text(values) => values[row].as_ref().map_or(0.0, |text| text.len() as f64),
            data => data.number(row),
        };
        frame.columns().iter().map(value).sum()
    };
    Ok(Outputs::Numbers((0..frame.n_rows()).map(row).collect()))
}

pub(crate) fn served(name: &str, version: u32, model: impl Model + 'static) -> Served {
    Served::new(name, version, Arc::new(model)).unwrap()
}

/// `mixed`: one column of each type.
pub(crate) fn mixed() -> Served {
    let columns = [
        ("height", DataType::Float, false),
        ("width", DataType::Float, true),
        ("legs", DataType::Int, true),
        ("tame", DataType::Bool, false),
        ("colour", DataType::Text, true),
        ("seen", DataType::Date, true),
    ];
    served("mixed", 1, Made { signature: signature(Task::Regression, &columns, &[]), predict: sum })
}

/// `numbers`: three columns of numbers; `yes` with the probability of their sum cut to 0 to 1.
pub(crate) fn numbers(version: u32) -> Served {
    let columns = [("a", DataType::Float, true), ("b", DataType::Int, false), ("c", DataType::Bool, false)];
    let predict = |frame: &Frame| {
        let Outputs::Numbers(sums) = sum(frame)? else { unreachable!() };
        let yes: Vec<f64> = sums.into_iter().map(|sum| sum.clamp(0.0, 1.0)).collect();
        let labels = yes.iter().map(|&p| Arc::from(if p > 0.5 { "yes" } else { "no" })).collect();
        Ok(Outputs::Classes { labels, probabilities: yes.iter().flat_map(|&p| [1.0 - p, p]).collect() })
    };
    served("numbers", version, Made { signature: signature(Task::Binary, &columns, &["no", "yes"]), predict })
}

/// `x`: one column `x`, doing what it is told.
pub(crate) fn one_column(predict: impl Fn(&Frame) -> Result<Outputs, Failure> + Send + Sync + 'static) -> Served {
    let signature = signature(Task::Regression, &[("x", DataType::Float, false)], &[]);
    served("x", 1, Made { signature, predict })
}

/// A door that is shut until somebody opens it.
#[derive(Default)]
pub(crate) struct Door {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Door {
    /// Waits behind the door.
    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        let _open = self.changed.wait_while(state, |state| !state.1).unwrap();
    }

    /// Waits until so many have come.
    pub(crate) fn wait_for(&self, n: usize) {
        let _state = self.changed.wait_while(self.state.lock().unwrap(), |state| state.0 < n).unwrap();
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    /// How many have come.
    pub(crate) fn n_came(&self) -> usize {
        self.state.lock().unwrap().0
    }
}

/// A model that says this.
pub(crate) fn failing(code: Code) -> Served {
    one_column(move |_| Err(Failure::new(code, "/secret/path/of/engine.db is on fire")))
}

pub(crate) fn config() -> ServeConfig {
    ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 8080)))
}

pub(crate) fn state(config: ServeConfig, models: Vec<Served>) -> State {
    let table = ModelTable::new();
    table.replace(models).unwrap();
    State::new(config, Arc::new(TestKeys), Arc::new(table)).unwrap()
}

/// An endpoint without a socket.
pub(crate) struct House {
    pub(crate) state: State,
}

pub(crate) fn house(models: Vec<Served>) -> House {
    House { state: state(config(), models) }
}

/// A request of the tests: with a good host and key unless told otherwise.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn ask(method: &str, uri: &str) -> Ask {
    let headers = [("host", "localhost:8080"), ("authorization", "Bearer k-good")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
    Ask { method: method.to_owned(), uri: uri.to_owned(), headers, body: vec![] }
}

pub(crate) fn get(uri: &str) -> Ask {
    ask("GET", uri)
}

pub(crate) fn post(uri: &str, body: impl Into<Vec<u8>>) -> Ask {
    let mut ask = ask("POST", uri).with("content-type", "application/json");
    ask.body = body.into();
    ask
}

impl Ask {
    /// Adds a header.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Removes a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Replaces a header.
    pub(crate) fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {:?}", self.text()))
    }

    /// The text of an error answer.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl House {
    pub(crate) async fn call_async(&self, ask: Ask) -> Answer {
        let Ask { method, uri, headers, body } = ask;
        let mut request = Request::builder().method(method.as_str()).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = router(&self.state).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn call(&self, ask: Ask) -> Answer {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(self.call_async(ask))
    }

    /// Calls and expects a status and the beginning of an error.
    #[track_caller]
    pub(crate) fn refuses(&self, ask: Ask, status: u16, error: &str) {
        let answer = self.call(ask);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.error().starts_with(error), "{:?} does not start with {error:?}", answer.error());
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

/// An endpoint on a socket, in a thread of its own.
pub(crate) struct Live {
    pub(crate) addr: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(crate) fn live(change: impl FnOnce(&mut ServeConfig), models: Vec<Served>) -> Live {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut config = ServeConfig::new(addr);
    change(&mut config);
    let state = state(config, models);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stopped = async { drop(stopped.await) };
        runtime.block_on(serve(listener, &state, stopped)).unwrap();
    });
    Live { addr, stop: Some(stop), thread: Some(thread) }
}

impl Live {
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        // Nothing waits for this long: it turns a hanging test into a failing one.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes and reads until the endpoint closes. Ends of connections in mid-sending are part of the game.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        read_to_end(&mut stream)
    }

    /// Tells the endpoint to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(err) if err.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(err) => panic!("{err} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
