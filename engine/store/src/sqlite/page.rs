//! Page tokens: the place after the last item, with the list that it belongs to. Opaque, not secret.

use crate::{
    error::{Result, StoreError},
    types::Page,
};

/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// Writes a token: the parts, each with its length before it, as hex digits.
pub(super) fn token(list: &str, parts: &[&str]) -> String {
    let mut plain = String::new();
    for part in std::iter::once(&list).chain(parts) {
        plain.push_str(&format!("{}:{part}", part.len()));
    }
    plain.bytes().map(|b| format!("{b:02x}")).collect()
}

/// Reads the token of this list with so many parts.
///
/// # Errors
/// If it is not one.
pub(super) fn parts<const N: usize>(list: &str, token: &str) -> Result<[String; N]> {
    let read = || {
        if token.len() > MAX_TOKEN_BYTES || !token.is_ascii() || !token.len().is_multiple_of(2) {
            return None;
        }
        let bytes: Option<Vec<u8>> =
            (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).ok()).collect();
        let plain = String::from_utf8(bytes?).ok()?;
        let mut rest = plain.as_str();
        let mut parts = vec![];
        while !rest.is_empty() {
            let (length, after) = rest.split_once(':')?;
            let (part, after) = after.split_at_checked(length.parse().ok()?)?;
            parts.push(part.to_owned());
            rest = after;
        }
        let found = parts.first()?.as_str() == list;
        parts.remove(0);
        found.then_some(())?;
        parts.try_into().ok()
    };
    read().ok_or_else(|| StoreError::invalid("the page token", "it belongs to another list or order"))
}

/// A number in a token.
///
/// # Errors
/// If it is none.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| StoreError::invalid("the page token", "it is malformed"))
}

/// Makes a page of one item more than fits: where it is there, another page follows.
pub(super) fn page<T>(mut items: Vec<T>, size: i64, next: impl FnOnce(&T) -> String) -> Page<T> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(next);
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{parts, token};

    proptest! {
        #[test]
        fn a_token_gives_back_its_parts(list in ".{0,40}", a in ".{0,40}", b in ".{0,40}") {
            let text = token(&list, &[&a, &b]);
            prop_assert_eq!(parts::<2>(&list, &text).ok(), Some([a, b]));
            let other = format!("{list}x");
            prop_assert!(parts::<2>(&other, &text).is_err());
            prop_assert!(parts::<1>(&list, &text).is_err());
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,60}", hex in "([0-9a-f]{2}){0,60}") {
            let _ = parts::<1>("runs", &text);
            let _ = parts::<1>("runs", &hex);
        }
    }
}
