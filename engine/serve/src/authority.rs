//! Whether a certificate can be an authority's: a file that holds the wrong one is noticed before the first client is
//! refused by it. What may sign what is rustls's to check; this only reads DER (RFC 5280, §4.1 and §4.2.1.9).

use crate::expiry::{VERSION, element, sequence};

/// The explicit tag of a certificate's extensions.
const EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
/// `id-ce-basicConstraints`, 2.5.29.19, with its tag and length.
const BASIC_CONSTRAINTS: &[u8] = b"\x06\x03\x55\x1d\x13";

/// Whether a certificate (DER) was signed by somebody else and may not sign others: with it as an authority no client
/// comes in. One that is signed by itself may be meant: a client's own, for this client alone. False where that cannot be
/// read, and for certificates before version 3, which cannot say so.
pub(crate) fn is_other_ones_leaf(certificate: &[u8]) -> bool {
    read(certificate) == Some(true)
}

fn read(certificate: &[u8]) -> Option<bool> {
    let (certificate, _) = sequence(certificate)?;
    let (fields, _) = sequence(certificate)?;
    let (VERSION, version, fields) = element(fields)? else { return Some(false) };
    // The third version has the number 2.
    if version != b"\x02\x01\x02" {
        return Some(false);
    }
    // Serial number, algorithm; issuer, validity, subject; key.
    let (_, _, fields) = element(fields)?;
    let (_, _, fields) = element(fields)?;
    let (_, issuer, fields) = element(fields)?;
    let (_, _, fields) = element(fields)?;
    let (_, subject, fields) = element(fields)?;
    let (_, _, mut fields) = element(fields)?;
    if issuer == subject {
        return Some(false);
    }
    while !fields.is_empty() {
        let (tag, content, rest) = element(fields)?;
        if tag == EXTENSIONS {
            return Some(!may_sign(content)?);
        }
        fields = rest;
    }
    Some(true)
}

/// Whether extensions say that the certificate is an authority's.
fn may_sign(extensions: &[u8]) -> Option<bool> {
    let (mut list, _) = sequence(extensions)?;
    while !list.is_empty() {
        let (extension, rest) = sequence(list)?;
        list = rest;
        let Some(mut content) = extension.strip_prefix(BASIC_CONSTRAINTS) else { continue };
        // Whether it is critical, which may be left out.
        if let (BOOLEAN, _, rest) = element(content)? {
            content = rest;
        }
        let (OCTETS, value, _) = element(content)? else { return None };
        let (constraints, _) = sequence(value)?;
        return Some(constraints.starts_with(b"\x01\x01\xff"));
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn params(name: &str, is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params
    }

    #[test]
    fn an_authority_and_what_signs_itself_are_told_from_others_leaves() {
        let any = || IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params("root", any());
        let itself = root.self_signed(&key).unwrap();
        let alone = params("alone", IsCa::NoCa).self_signed(&key).unwrap();
        let issuer = Issuer::new(root, key);
        let by_root = |is_ca| params("other", is_ca).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        for (certificate, expect) in [
            (itself, false),
            (alone, false),
            (by_root(any()), false),
            (by_root(IsCa::Ca(BasicConstraints::Constrained(0))), false),
            (by_root(IsCa::NoCa), true),
            (by_root(IsCa::ExplicitNoCa), true),
        ] {
            let der = certificate.der();
            assert_eq!(is_other_ones_leaf(der), expect);
            // Cut anywhere, it is nothing, and nothing worse.
            for n in 0..der.len() {
                assert!(!is_other_ones_leaf(&der[..n]), "{n}");
            }
        }
        for bytes in [&b""[..], b"\x30", b"\x30\x03\x30\x01\xa0", b"-----BEGIN CERTIFICATE-----"] {
            assert!(!is_other_ones_leaf(bytes));
        }
    }
}
