//! What bodies and answers are, by `Content-Type` and `Accept`: lists of what is allowed, nothing else.

use athanor_protocol::Code;
use axum::http::{HeaderMap, StatusCode, header};

use crate::refusal::Refusal;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// JSON in UTF-8.
    Json,
    /// Comma-separated values in UTF-8; whether the first line holds names, where the client says so.
    Csv {
        /// `header=present` or `header=absent`.
        header: Option<bool>,
    },
    /// A row as JSON on each line.
    Lines,
}

/// Which bodies a contract reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// JSON that says so.
    Json,
    /// JSON, whether it says so or not: TensorFlow Serving's own examples send none, or what curl says by itself.
    UntoldJson,
    /// JSON, comma-separated values, JSON lines.
    Tables,
}

/// What an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// JSON.
    Json,
    /// Comma-separated values.
    Csv,
    /// A JSON value on each line.
    Lines,
}

/// Tells what a body is. Never repeats what the client wrote.
pub(crate) fn of_body(headers: &HeaderMap, allowed: Allowed) -> Result<Media, Refusal> {
    let hint = match allowed {
        Allowed::Json | Allowed::UntoldJson => "send 'Content-Type: application/json'",
        Allowed::Tables => "send 'Content-Type: application/json', 'text/csv' or 'application/jsonlines'",
    };
    let refuse =
        |message: &str| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message).hint(hint);
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = all.next() else {
        return if allowed == Allowed::UntoldJson {
            Ok(Media::Json)
        } else {
            Err(refuse("the body must say what it is"))
        };
    };
    if all.next().is_some() {
        return Err(refuse("there is more than one 'Content-Type' header"));
    }
    let text = value.to_str().map_err(|_| refuse("the 'Content-Type' header is no text"))?;
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let is_table = allowed == Allowed::Tables;
    let mut media = if is("application/json") {
        Media::Json
    } else if allowed == Allowed::UntoldJson && is("application/x-www-form-urlencoded") {
        Media::Json
    } else if is_table && is("text/csv") {
        Media::Csv { header: None }
    } else if is_table && (is("application/jsonlines") || is("application/x-ndjson")) {
        Media::Lines
    } else {
        return Err(refuse("bodies of this type are not read"));
    };
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        match &mut media {
            _ if is("charset") && value.eq_ignore_ascii_case("utf-8") => {}
            _ if is("charset") => return Err(refuse("only the charset utf-8 is read")),
            Media::Csv { header } if is("header") && value.eq_ignore_ascii_case("present") => *header = Some(true),
            Media::Csv { header } if is("header") && value.eq_ignore_ascii_case("absent") => *header = Some(false),
            // What SageMaker's own algorithms are told: no column of these is what is to be predicted.
            Media::Csv { .. } if is("label_size") && value == "0" => {}
            _ => return Err(refuse("a parameter behind the content type is not known")),
        }
    }
    Ok(media)
}

/// Tells what an answer is to be: of what the client takes and we can write, what it likes best, the first of equals.
pub(crate) fn of_reply(headers: &HeaderMap) -> Result<Reply, Refusal> {
    let mut best: Option<(f32, Reply)> = None;
    let mut is_said = false;
    for value in headers.get_all(header::ACCEPT) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            if kind.is_empty() {
                continue;
            }
            is_said = true;
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let reply = match kind.as_str() {
                "*/*" | "application/*" | "application/json" => Reply::Json,
                "text/*" | "text/csv" => Reply::Csv,
                "application/jsonlines" | "application/x-ndjson" => Reply::Lines,
                _ => continue,
            };
            if weight > 0.0 && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, reply));
            }
        }
    }
    match best {
        Some((_, reply)) => Ok(reply),
        None if !is_said => Ok(Reply::Json),
        None => {
            Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, Code::Unsupported, "no answer of that type can be written")
                .hint("send 'Accept: application/json', 'text/csv' or 'application/jsonlines'"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(value.as_bytes()).unwrap())])
    }

    #[test]
    fn bodies_are_of_a_short_list() {
        use Allowed::{Json, Tables, UntoldJson};
        #[track_caller]
        fn check(value: &str, allowed: Allowed, expect: Option<Media>) {
            assert_eq!(of_body(&headers(header::CONTENT_TYPE, value), allowed).ok(), expect, "{value} {allowed:?}");
        }
        let csv = |header| Some(Media::Csv { header });
        check("application/json", Json, Some(Media::Json));
        check("Application/JSON; charset=\"UTF-8\"", Tables, Some(Media::Json));
        check("text/csv", Json, None);
        check("text/csv", UntoldJson, None);
        check("text/csv", Tables, csv(None));
        check("text/csv; header=present", Tables, csv(Some(true)));
        check("text/csv;charset=utf-8;header=absent", Tables, csv(Some(false)));
        check("text/csv;label_size=0", Tables, csv(None));
        check("text/csv;label_size=1", Tables, None);
        check("text/csv;header=maybe", Tables, None);
        check("application/jsonlines", Tables, Some(Media::Lines));
        check("application/json;header=present", Tables, None);
        check("application/json;charset=utf-16", Tables, None);
        check("application/json;", Tables, None);
        check("application/x-www-form-urlencoded", UntoldJson, Some(Media::Json));
        check("application/x-www-form-urlencoded", Tables, None);
        for kind in
            ["application/x-npy", "application/x-recordio-protobuf", "application/x-pickle", "text/html", "", ";"]
        {
            check(kind, Tables, None);
            check(kind, UntoldJson, None);
        }
        assert_eq!(of_body(&HeaderMap::new(), UntoldJson).ok(), Some(Media::Json));
        assert_eq!(of_body(&HeaderMap::new(), Tables).unwrap_err().status, 415);
    }

    #[test]
    fn answers_are_what_the_client_likes_best() {
        #[track_caller]
        fn check(value: &str, expect: Option<Reply>) {
            assert_eq!(of_reply(&headers(header::ACCEPT, value)).ok(), expect, "{value}");
        }
        check("*/*", Some(Reply::Json));
        check("text/csv", Some(Reply::Csv));
        check("application/jsonlines;charset=utf-8", Some(Reply::Lines));
        check("text/csv;q=0.5, application/json", Some(Reply::Json));
        check("text/html, text/csv;q=0.5", Some(Reply::Csv));
        check("text/csv;q=0", None);
        check("text/csv;q=x", None);
        check("application/x-recordio-protobuf", None);
        check("", Some(Reply::Json));
        assert_eq!(of_reply(&HeaderMap::new()).ok(), Some(Reply::Json));
    }
}
