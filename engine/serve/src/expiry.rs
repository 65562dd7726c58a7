//! Until when a certificate is valid: the one fact that people want to know of it before it is too late.
//!
//! Certificates are checked by rustls and by clients; this only walks over DER (ITU-T X.690) to the field of RFC 5280,
//! §4.1.2.5. Whatever is not as it should be is "not known".

use crate::moment::micros_from_iso;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The explicit tag of a certificate's version.
pub(crate) const VERSION: u8 = 0xa0;

/// The first element: its tag, its content, and what stands behind it.
pub(crate) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The length of the length; a certificate of more than 16 MiB is none.
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

pub(crate) fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, content, rest)| (content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as RFC 5280 allows them, in milliseconds since the Unix epoch.
fn moment(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            // Two digits below 50 are of this century.
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let iso = format!("{year}-{}-{}T{}:{}:{}Z", part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    (rest.get(10..) == Some("Z")).then(|| micros_from_iso(&iso))?.map(|micros| micros / 1_000)
}

/// Until when a certificate (DER) is valid, in milliseconds since the Unix epoch; `None` where that cannot be read.
pub(crate) fn expires_at_millis(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = sequence(certificate)?;
    let (mut fields, _) = sequence(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = sequence(fields)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    moment(tag, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn the_end_of_certificates_is_read() {
        // 2026-11-25 12:00 UTC, and beyond 2049, where the year has four digits.
        for (now_secs, days) in [(1_795_608_000_u64, 397_u32), (1_795_608_000, 1), (2_600_000_000, 30)] {
            let now = UNIX_EPOCH + Duration::from_secs(now_secs);
            let (pem, _) = crate::tls::generate(&["localhost".to_owned()], now, days).unwrap();
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let expect = i64::try_from(now_secs).unwrap() * 1_000 + i64::from(days) * 86_400_000;
            assert_eq!(expires_at_millis(&der), Some(expect), "{now_secs} {days}");
            // Cut anywhere, it is nothing, and nothing worse.
            for n in 0..der.len() {
                assert_eq!(expires_at_millis(&der[..n]), None, "{n}");
            }
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x83\xff\xff\xff\x00",
            b"\x30\x80\x00\x00",
            b"-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(expires_at_millis(bytes), None, "{bytes:?}");
        }
        for (tag, text, expect) in [
            (UTC_TIME, &b"261125120000Z"[..], Some(1_795_608_000_000)),
            (UTC_TIME, b"700101000000Z", Some(0)),
            (GENERALIZED_TIME, b"20261125120000Z", Some(1_795_608_000_000)),
            (GENERALIZED_TIME, b"99991231235959Z", Some(253_402_300_799_000)),
            (UTC_TIME, b"261125120000", None),
            (UTC_TIME, b"261125120000+0100", None),
            (UTC_TIME, b"261325120000Z", None),
            (UTC_TIME, b"\xff\xff", None),
            (0x16, b"261125120000Z", None),
        ] {
            assert_eq!(moment(tag, text), expect, "{}", String::from_utf8_lossy(text));
        }
    }
}
