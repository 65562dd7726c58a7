//! Compressed bodies: `gzip` and `deflate`, inflated within a limit on what they grow to.

use std::io::Read;

use athanor_protocol::Code;
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::{
    body::read_body,
    gate::{Admission, Deadline},
    infer,
    refusal::{Refusal, bad},
    router::State,
};

/// How many times its own length a body may grow to, once it is larger than [`FREE_BYTES`]. Tables of numbers as JSON
/// shrink to a tenth, the same row over and over to some hundredths; what shrinks further was made to grow.
const MAX_RATIO: usize = 200;
/// What a body may grow to whatever its ratio.
const FREE_BYTES: usize = 1 << 20;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Members of gzip (RFC 1952).
    Gzip,
    /// Zlib (RFC 1950), as HTTP defines it, or bare deflate (RFC 1951), as some clients send it.
    Deflate,
}

/// Tells how a body is packed; `None` where it is not. Everything outside of a short list is refused, and never
/// repeated.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Option<Encoding>, Refusal> {
    let mut all = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let is = |name: &str| value.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes());
    if all.next().is_none() {
        if is("gzip") || is("x-gzip") {
            return Ok(Some(Encoding::Gzip));
        }
        if is("deflate") {
            return Ok(Some(Encoding::Deflate));
        }
    }
    let message = "bodies of this 'Content-Encoding' are not read";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message)
        .hint("send 'Content-Encoding: gzip' or 'deflate', or the body as it is"))
}

/// Reads a whole body and inflates it where it is packed.
pub(crate) async fn read(
    state: &State,
    headers: &HeaderMap,
    body: Body,
    admission: &Admission,
    deadline: Deadline,
) -> Result<Vec<u8>, Refusal> {
    // What can't be unpacked is refused before it is read.
    let encoding = encoding(headers)?;
    let bytes = read_body(body, state.config(), deadline).await?;
    let Some(encoding) = encoding else { return Ok(bytes) };
    let max = state.config().max_body_bytes;
    infer::apart(state.queue(), admission.clone(), deadline, move |_| inflate(&bytes, encoding, max)).await
}

/// Inflates bytes to at most `max` bytes.
pub(crate) fn inflate(bytes: &[u8], encoding: Encoding, max: usize) -> Result<Vec<u8>, Refusal> {
    match encoding {
        Encoding::Gzip => drain(MultiGzDecoder::new(bytes), bytes.len(), max),
        Encoding::Deflate if is_zlib(bytes) => {
            let mut decoder = ZlibDecoder::new(bytes);
            let inflated = drain(&mut decoder, bytes.len(), max)?;
            nothing_behind(decoder.into_inner(), inflated)
        }
        Encoding::Deflate => {
            let mut decoder = DeflateDecoder::new(bytes);
            let inflated = drain(&mut decoder, bytes.len(), max)?;
            nothing_behind(decoder.into_inner(), inflated)
        }
    }
}

/// Whether bytes begin as zlib does: method 8, and a checksum of the two bytes.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31))
}

fn nothing_behind(rest: &[u8], inflated: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    if rest.is_empty() { Ok(inflated) } else { Err(malformed()) }
}

fn malformed() -> Refusal {
    bad("the compressed body is malformed or breaks off")
        .hint("compress it anew, or send it without 'Content-Encoding'")
        .into()
}

/// Reads in pieces, so that the limits are seen before the memory is spent.
fn drain(mut decoder: impl Read, n_packed: usize, max: usize) -> Result<Vec<u8>, Refusal> {
    let too_large = |message: String| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message);
    let max_by_ratio = n_packed.saturating_mul(MAX_RATIO).max(FREE_BYTES);
    let mut inflated = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let n = match decoder.read(&mut piece) {
            Ok(0) => return Ok(inflated),
            Ok(n) => n,
            Err(_) => return Err(malformed()),
        };
        if n > max - inflated.len() {
            return Err(too_large(format!("the body is larger than {max} bytes when it is unpacked"))
                .hint("send fewer rows in one request"));
        }
        if inflated.len() + n > max_by_ratio {
            let message = format!("the body grows to more than {MAX_RATIO} times its length when it is unpacked");
            return Err(too_large(message).hint("send it without 'Content-Encoding'"));
        }
        // Never longer than the piece that was read into.
        inflated.extend_from_slice(piece.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(vec![], Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(vec![], Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out() {
        let text = br#"{"instances":[[1,2,3]]}"#;
        assert_eq!(inflate(&gzip(text), Encoding::Gzip, 100).unwrap(), text);
        assert_eq!(inflate(&[gzip(b"{}"), gzip(b" ")].concat(), Encoding::Gzip, 100).unwrap(), b"{} ", "two members");
        assert_eq!(inflate(&zlib(text), Encoding::Deflate, 100).unwrap(), text);
        assert_eq!(inflate(&bare(text), Encoding::Deflate, 100).unwrap(), text);
    }

    #[test]
    fn what_breaks_off_or_is_none_is_the_clients_mistake() {
        let packed = gzip(b"some text that is long enough to be cut");
        let packed_zlib = zlib(b"some text that is long enough to be cut");
        let mut flipped = packed.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        for (bytes, encoding) in [
            (&packed[..packed.len() - 9], Encoding::Gzip),
            (&packed[..5], Encoding::Gzip),
            (&flipped, Encoding::Gzip),
            (b"{}", Encoding::Gzip),
            (&[&packed[..], b"more"].concat(), Encoding::Gzip),
            (&packed_zlib[..packed_zlib.len() - 9], Encoding::Deflate),
            (&[&packed_zlib[..], b"more"].concat(), Encoding::Deflate),
            (b"\xff\xff\xff", Encoding::Deflate),
        ] {
            assert_eq!(inflate(bytes, encoding, 1_000).unwrap_err().status, 400, "{bytes:?}");
        }
    }

    #[test]
    fn size_and_ratio_are_bounded() {
        let long = gzip(&[b' '; 8 << 20]);
        assert!(long.len() < 16 << 10, "a bomb is small");
        let refusal = inflate(&long, Encoding::Gzip, 1 << 19).unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.failure.message.as_str()),
            (413, "the body is larger than 524288 bytes when it is unpacked")
        );
        let refusal = inflate(&long, Encoding::Gzip, 64 << 20).unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.failure.message.as_str()),
            (413, "the body grows to more than 200 times its length when it is unpacked")
        );
        assert_eq!(inflate(&gzip(&[b' '; 100]), Encoding::Gzip, 100).unwrap().len(), 100, "exactly the limit");
        assert!(inflate(&gzip(&[b' '; 101]), Encoding::Gzip, 100).is_err());
    }
}
