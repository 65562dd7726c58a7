//! SQL cut into words, numbers, texts and signs, as the parser of the tables' crate cuts it.

/// Most words, numbers, texts and signs.
const MAX_TOKENS: usize = 1_000;
/// Every sign, those first that begin as another one does.
const SIGNS: &[&str] =
    &["<=>", "<>", "<=", ">=", "!=", "==", "//", "::", "||", "<", ">", "=", "+", "-", "*", "/", "%", "(", ")", ","];

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Digits, as they are written.
    Number(String),
    /// A bare word; functions and keywords are told by their place.
    Word(String),
    /// An identifier in quotes.
    Quoted(String),
    /// A text in single quotes.
    Text(String),
    Sign(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Word(word) | Self::Quoted(word) => write!(f, "{word:?}"),
            Self::Text(text) => write!(f, "the text {text:?}"),
            Self::Sign(sign) => write!(f, "'{sign}'"),
        }
    }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let mut at = 0;
    while let Some(&first) = chars.peek() {
        if found.len() == MAX_TOKENS {
            return Err(format!("it has more than {MAX_TOKENS} words and signs"));
        }
        let rest = &text[at..];
        if rest.starts_with("--") || rest.starts_with("/*") {
            return Err("comments are not allowed".to_owned());
        }
        let mut next = |n_chars: usize| {
            for _ in 0..n_chars {
                at += chars.next().map_or(0, char::len_utf8);
            }
        };
        let taken = |goes_on: &dyn Fn(char) -> bool| rest.chars().take_while(|&c| goes_on(c)).count();
        match first {
            c if c.is_whitespace() => next(1),
            '"' | '`' | '\'' => {
                let (name, n_chars) = quoted(rest, first).ok_or("a quote is open")?;
                next(n_chars);
                found.push(if first == '\'' { Token::Text(name) } else { Token::Quoted(name) });
            }
            c if c.is_ascii_digit() || c == '.' => {
                let number = number(rest);
                next(number.len());
                found.push(Token::Number(number.to_owned()));
            }
            c if c.is_alphabetic() || c == '_' => {
                let n_chars = taken(&|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
                found.push(Token::Word(rest.chars().take(n_chars).collect()));
                next(n_chars);
            }
            other => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| format!("'{other}' cannot be computed in ONNX"))?;
                next(sign.len());
                found.push(Token::Sign(sign));
            }
        }
    }
    Ok(found)
}

/// What stands between two quotes, of which a doubled one belongs to it, and the number of characters with the quotes.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut found = String::new();
    let mut chars = text.chars().enumerate().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            found.push(c);
        } else if chars.next_if(|next| next.1 == quote).is_some() {
            found.push(quote);
        } else {
            return Some((found, at + 1));
        }
    }
    None
}

/// The digits, letters and points that a number is written with, a sign of its exponent among them. ASCII alone.
fn number(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let is_sign_of_exponent =
            matches!(byte, b'+' | b'-') && at > 0 && matches!(bytes.get(at - 1), Some(b'e' | b'E'));
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || is_sign_of_exponent) {
            break;
        }
        at += 1;
    }
    &text[..at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_signs_and_numbers_end_where_sql_ends_them() {
        let found = tokens("\"a\"\"b\"<>'it''s'//-1.5e-3::\"ü\" >=2").unwrap();
        let expect = [
            Token::Quoted("a\"b".to_owned()),
            Token::Sign("<>"),
            Token::Text("it's".to_owned()),
            Token::Sign("//"),
            Token::Sign("-"),
            Token::Number("1.5e-3".to_owned()),
            Token::Sign("::"),
            Token::Quoted("ü".to_owned()),
            Token::Sign(">="),
            Token::Number("2".to_owned()),
        ];
        assert_eq!(found, expect);
        assert!(tokens("a -- b").unwrap_err().contains("comments"));
        assert!(tokens("'open").unwrap_err().contains("a quote is open"));
        assert!(tokens("a & b").unwrap_err().contains("'&' cannot be computed"));
        assert!(tokens(&"a ".repeat(1_001)).unwrap_err().contains("more than 1000"));
    }
}
