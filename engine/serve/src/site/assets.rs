//! The page's files: a list made at start, looked up by name, answered with their type, an entity tag and, where the
//! client takes it, the compressed copy that was made with them.

use std::{collections::BTreeMap, hash::Hasher};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State as Held},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Site, gate};
use crate::{error::ServeError, refusal::Refusal};

/// The file that `/` means.
const INDEX: &str = "index.html";
/// Longest name of a file.
const MAX_NAME_BYTES: usize = 200;

/// A file of the page.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its name below the page's folder, parts separated by `/`: letters, digits and `._-`.
    pub name: String,
    /// Its bytes. `NAME.br` and `NAME.gz` are compressed copies of `NAME`, if that is there too.
    pub bytes: Vec<u8>,
}

/// The files of a page.
#[derive(Debug, Default)]
pub struct Assets(BTreeMap<String, File>);

#[derive(Debug)]
struct File {
    bytes: Bytes,
    mime: &'static str,
    tag: HeaderValue,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

impl Assets {
    /// Makes the list.
    ///
    /// # Errors
    /// If there is no `index.html`, or a name has other characters or stands there twice.
    pub fn new(files: Vec<Asset>) -> Result<Self, ServeError> {
        let refuse = |reason: String| Err(ServeError::Setting { name: "assets", reason });
        let mut given: BTreeMap<String, Bytes> = BTreeMap::new();
        for Asset { name, bytes } in files {
            let is_part = |part: &str| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
                !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
            };
            if name.len() > MAX_NAME_BYTES || !name.split('/').all(is_part) {
                return refuse(format!("{name:?} is no name of a file of the page"));
            }
            if given.contains_key(&name) {
                return refuse(format!("{name:?} is there twice"));
            }
            given.insert(name, bytes.into());
        }
        if !given.contains_key(INDEX) {
            return refuse(format!("there is no {INDEX}"));
        }
        let is_copy = |name: &str| {
            let of = name.strip_suffix(".br").or_else(|| name.strip_suffix(".gz"));
            of.is_some_and(|of| given.contains_key(of))
        };
        let file = |(name, bytes): (&String, &Bytes)| {
            let copy = |ending: &str| given.get(&format!("{name}{ending}")).cloned();
            let file = File {
                mime: mime(name),
                tag: tag(bytes),
                brotli: copy(".br"),
                gzip: copy(".gz"),
                bytes: bytes.clone(),
            };
            (name.clone(), file)
        };
        Ok(Self(given.iter().filter(|(name, _)| !is_copy(name)).map(file).collect()))
    }

    fn get(&self, path: &str) -> Option<&File> {
        let name = path.strip_prefix('/')?;
        self.0.get(if name.is_empty() { INDEX } else { name })
    }
}

/// Tells versions of a file apart; nobody's safety hangs on it.
fn tag(bytes: &[u8]) -> HeaderValue {
    // Fixed keys: the same file has the same tag after a restart.
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    // Hexadecimal digits in quotes are always a header's value.
    HeaderValue::from_str(&format!("\"{:016x}-{:x}\"", hasher.finish(), bytes.len()))
        .unwrap_or(HeaderValue::from_static("\"-\""))
}

fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        _ => "application/octet-stream",
    }
}

/// Whether a client takes an encoding. A weight of zero means no.
fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
        name.trim().eq_ignore_ascii_case(encoding) && weight > 0.0
    })
}

fn knows(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let all = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|item| {
        let item = item.trim();
        item == "*" || item.strip_prefix("W/").unwrap_or(item).as_bytes() == tag.as_bytes()
    })
}

/// Answers with a file of the list.
pub(super) async fn file(Held(site): Held<Site>, request: Request) -> Result<Response, Refusal> {
    let file = site.0.assets.get(request.uri().path()).ok_or_else(gate::not_found)?;
    let asked = request.headers();
    let is_known = knows(asked, &file.tag);
    let (body, encoding) = match (&file.brotli, &file.gzip) {
        (Some(bytes), _) if takes(asked, "br") => (bytes, Some("br")),
        (_, Some(bytes)) if takes(asked, "gzip") => (bytes, Some("gzip")),
        _ => (&file.bytes, None),
    };
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(body.clone()).into_response() };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, file.tag.clone());
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // Kept, and asked about each time: an update of the program is seen at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !is_known {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.mime));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
    }
    Ok(response)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn assets(names: &[&str]) -> Result<Assets, ServeError> {
        Assets::new(
            names.iter().map(|name| Asset { name: (*name).to_owned(), bytes: name.as_bytes().to_vec() }).collect(),
        )
    }

    #[test]
    fn names_are_plain_and_copies_are_no_files() {
        let list = assets(&["index.html", "app_bg.wasm", "app_bg.wasm.gz", "app_bg.wasm.br", "fonts/a-1.ttf", "b.gz"])
            .unwrap();
        assert_eq!(list.0.keys().collect::<Vec<_>>(), ["app_bg.wasm", "b.gz", "fonts/a-1.ttf", "index.html"]);
        assert_eq!(
            list.get("/app_bg.wasm").map(|file| (file.mime, file.gzip.is_some(), file.brotli.is_some())),
            Some(("application/wasm", true, true))
        );
        assert!(list.get("/").is_some() && list.get("").is_none() && list.get("/fonts").is_none());
        for bad in ["../index.html", "a/../b", "/a", "a//b", ".env", "a/.git", "a b", "a%2fb", "", "ä.js"] {
            assert!(assets(&["index.html", bad]).is_err(), "{bad:?}");
        }
        assert!(assets(&["app.js"]).is_err(), "a page has an index");
        assert!(assets(&["index.html", "index.html"]).is_err());
    }

    #[test]
    fn encodings_are_taken_by_weight() {
        #[track_caller]
        fn check(header: &str, expect: bool) {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(header).unwrap());
            assert_eq!(takes(&headers, "gzip"), expect, "{header}");
        }
        check("gzip", true);
        check("br;q=1.0, GZIP;q=0.5", true);
        check("br, gzip;q=0", false);
        check("gzip;q=x", false);
        check("identity", false);
    }
}
