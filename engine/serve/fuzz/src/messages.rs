//! Messages of gRPC, over a connection that stays.

use std::{cell::RefCell, sync::LazyLock};

use tokio::runtime::Runtime;

use crate::{
    grpc_house::{
        LiveGrpc, SERVICE, Sender, bytes, connect, doubles, framed, gather, input, live_grpc, packed, request,
    },
    house::{mixed, numbers},
};

static LIVE: LazyLock<LiveGrpc> = LazyLock::new(|| live_grpc(|_| {}, vec![numbers(1), mixed()]));

/// A client's runtime and its open connection.
struct Client {
    runtime: Runtime,
    sender: RefCell<Option<Sender>>,
}

thread_local! {
    static CLIENT: Client = Client {
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        sender: RefCell::new(None),
    };
}

const METHODS: [&str; 9] = [
    "ModelInfer",
    "ModelMetadata",
    "ModelReady",
    "ModelConfig",
    "ServerMetadata",
    "ServerReady",
    "RepositoryIndex",
    "ServerLive",
    "Nothing",
];
/// The outcomes that are a fault of ours: unknown, internal, data loss.
const FAULTS: [i32; 3] = [2, 13, 15];

/// A call. The first byte chooses the method, the second whether the rest is a message, or a body with whatever in front.
///
/// # Panics
/// If the outcome is a fault of ours, or there is none.
pub fn grpc(message: &[u8]) {
    let [method, form, rest @ ..] = message else { return };
    let path = format!("{SERVICE}{}", METHODS[usize::from(*method) % METHODS.len()]);
    let body = if form % 4 == 3 { rest.to_vec().into() } else { framed(rest) };
    let said = CLIENT.with(|client| {
        client.runtime.block_on(async {
            let mut open = client.sender.take();
            let is_open = match &mut open {
                Some(sender) => sender.ready().await.is_ok(),
                None => false,
            };
            let mut sender = match open {
                Some(sender) if is_open => sender,
                _ => connect(&LIVE).await,
            };
            let response = sender.send_request(request(&LIVE, &path, body, |_| {})).await.unwrap();
            let said = gather(response).await;
            client.sender.replace(Some(sender));
            said
        })
    });
    assert!(said.http == 200 && said.status >= 0 && !FAULTS.contains(&said.status), "{path}: {said:?}");
    assert!(said.status == 0 || !said.text.is_empty(), "{path}: {said:?}");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seed = |method: u8, message: Vec<u8>| [vec![method, 0], message].concat();
    let model = |name: &str| [bytes(1, name), bytes(2, "1")].concat();
    let typed = [
        bytes(1, "numbers"),
        input("a", "FP64", &[2], &bytes(5, doubles(7, &[0.5, f64::NAN]))),
        input("b", "INT64", &[2], &bytes(5, packed(3, &[1, -2]))),
        input("c", "BOOL", &[2], &bytes(5, packed(1, &[1, 0]))),
        bytes(6, bytes(1, "label")),
    ];
    let raw = [
        bytes(1, "mixed"),
        bytes(3, "id"),
        input("height", "FP32", &[1], &[]),
        input("width", "FP16", &[1, 1], &[]),
        input("legs", "UINT8", &[1], &[]),
        input("tame", "BOOL", &[1], &[]),
        input("colour", "BYTES", &[1], &[]),
        input("seen", "BYTES", &[1], &[]),
        bytes(7, 1.5f32.to_le_bytes()),
        bytes(7, [0, 0x3c]),
        bytes(7, [4]),
        bytes(7, [1]),
        bytes(7, [&3u32.to_le_bytes()[..], b"red"].concat()),
        bytes(7, [&10u32.to_le_bytes()[..], b"2024-02-29"].concat()),
    ];
    vec![
        seed(0, typed.concat()),
        seed(0, raw.concat()),
        seed(1, model("numbers")),
        seed(2, model("mixed")),
        seed(3, model("numbers")),
        seed(6, vec![]),
        [vec![0, 3], framed(&typed.concat()).to_vec()].concat(),
    ]
}
