//! The first wall around expressions: their words, looked at before anything parses them.
//!
//! Only listed functions, no queries, bounded length, depth and number of operators: no text can overflow a stack or
//! reach a file.

use athanor_protocol::recipe::MAX_EXPRESSION_BYTES;

use crate::error::{DatasetError, cut};

/// Deepest nesting of parentheses and CASE: on malformed text the parser tries some levels twice.
const MAX_DEPTH: usize = 12;
/// Most `NOT`s before a parenthesis or another `NOT`: the parser tries each of them in two ways.
const MAX_NOTS: usize = 10;
/// Most words, operators and brackets.
const MAX_TOKENS: usize = 1_000;
/// Functions that look at one row and make no more than they are given.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "abs", "acos", "acosd", "asin", "asind", "atan", "atan2", "atan2d", "atand", "cbrt", "ceil", "ceiling",
    "char_length", "character_length", "coalesce", "concat", "concat_ws", "cos", "cosd", "cot", "cotd", "date",
    "date_part", "degrees", "div", "ends_with", "exp", "floor", "greatest", "if", "ifnull", "initcap", "least",
    "left", "length", "ln", "log", "log10", "log1p", "log2", "lower", "ltrim", "mod", "nullif", "octet_length", "pi",
    "pow", "power", "radians", "regexp_like", "replace", "reverse", "right", "round", "rtrim", "sign", "sin", "sind",
    "sqrt", "starts_with", "strftime", "strpos", "strptime", "substr", "tan", "tand", "trunc", "truncate", "upper",
];
/// Words that may stand before a parenthesis without being functions, types with a length among them.
#[rustfmt::skip]
const WORDS_BEFORE_PARENTHESIS: &[&str] = &[
    "and", "or", "not", "in", "case", "when", "then", "else", "between", "like", "ilike", "rlike", "regexp", "is",
    "from", "for", "cast", "try_cast", "extract", "substring", "trim", "ceil", "floor", "varchar", "char", "xor",
    "similar", "to", "escape", "as", "by",
];
/// Words that begin queries or look at other rows.
#[rustfmt::skip]
const REFUSED_WORDS: &[&str] = &[
    "select", "with", "values", "table", "over", "partition", "window", "union", "intersect", "except", "join",
    "where", "having", "group", "order", "limit", "qualify", "lateral", "exists", "any", "all", "some", "filter",
    "within", "insert", "update", "delete", "create", "drop", "alter", "interval_table", "lambda", "array", "struct",
    "exclude",
];
/// Aggregates and windows, named in the message when they are met.
#[rustfmt::skip]
const SEVERAL_ROWS: &[&str] = &[
    "avg", "count", "sum", "min", "max", "median", "first", "last", "stddev", "stdev", "stddev_samp", "stdev_samp",
    "var", "variance", "var_samp", "total", "corr", "covar", "covar_pop", "covar_samp", "quantile_cont",
    "quantile_disc", "array_agg", "string_agg", "listagg", "group_concat", "row_number", "rank", "dense_rank", "lag",
    "lead", "first_value", "last_value", "bit_and", "bit_or", "bit_xor",
];

pub(crate) fn refused(text: &str, reason: impl Into<String>, hint: Option<&str>) -> DatasetError {
    DatasetError::Expression { text: cut(text, 80), reason: reason.into(), hint: hint.map(str::to_owned) }
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    /// A name in quotes, or a text or number.
    Value,
    Sign(u8),
}

/// Cuts SQL into words, values and signs, as the parser will, quotes and comments included.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, DatasetError> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with(b"--") || rest.starts_with(b"/*") || byte == b'#' {
            return Err(refused(text, "comments are not allowed", None));
        } else if byte == b'$' || byte == b'\\' {
            return Err(refused(text, format!("the sign {:?} is not allowed outside quotes", char::from(byte)), None));
        } else if matches!(byte, b'\'' | b'"' | b'`') {
            at += 1;
            // A doubled quote belongs to the text and is passed over as the end of one and the begin of another.
            match bytes[at..].iter().position(|&b| b == byte) {
                Some(n) => at += n + 1,
                None => return Err(refused(text, "a quote is not closed", None)),
            }
            found.push(Token::Value);
        } else if byte.is_ascii_digit() {
            let n = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'.').count();
            at += n;
            found.push(Token::Value);
        } else if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 {
            let n = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80).count();
            found.push(Token::Word(&text[at..at + n]));
            at += n;
            // `E'…'` and its like have rules of their own for where the text ends.
            if bytes.get(at) == Some(&b'\'') {
                return Err(refused(
                    text,
                    "letters directly before a quote are not allowed",
                    Some("put a blank between"),
                ));
            }
        } else {
            found.push(Token::Sign(byte));
            at += 1;
        }
    }
    Ok(found)
}

/// The first wall. Returns the number of tokens.
pub(crate) fn check_words(text: &str) -> Result<usize, DatasetError> {
    if text.trim().is_empty() {
        return Err(refused(text, "it is empty", Some("write a SQL expression, for example: a / b")));
    }
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(refused(text, format!("it is longer than {MAX_EXPRESSION_BYTES} bytes"), None));
    }
    if text.bytes().any(|byte| byte == 0) {
        return Err(refused(text, "it holds a NUL byte", None));
    }
    let tokens = tokens(text)?;
    if tokens.len() > MAX_TOKENS {
        let hint = Some("split it over several derived columns");
        return Err(refused(text, format!("it has more than {MAX_TOKENS} words and signs"), hint));
    }
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        let before_parenthesis = tokens.get(i + 1) == Some(&Token::Sign(b'('));
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            Token::Sign(sign @ (b'[' | b'{' | b';')) => {
                return Err(refused(text, format!("the sign {:?} is not allowed", char::from(*sign)), None));
            }
            Token::Word(word) => {
                let lower = word.to_ascii_lowercase();
                match lower.as_str() {
                    "case" => depth += 1,
                    "end" => depth = depth.saturating_sub(1),
                    _ => {}
                }
                check_word(text, &lower, before_parenthesis)?;
            }
            Token::Sign(_) | Token::Value => {}
        }
        if depth > MAX_DEPTH {
            let hint = Some("split it over several derived columns");
            return Err(refused(text, format!("it is nested deeper than {MAX_DEPTH} levels"), hint));
        }
        if matches!(token, Token::Value) && before_parenthesis {
            return Err(refused(text, "a name in quotes can't be a function", None));
        }
    }
    // Each sign before a value nests one level deeper in the parser.
    let longest = tokens.chunk_by(|a, b| prefix(a) && prefix(b)).map(<[Token<'_>]>::len).max().unwrap_or(0);
    let is_not = |token: &Token<'_>| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("not"));
    let opens = |token: &Token<'_>| *token == Token::Sign(b'(') || is_not(token);
    if tokens.windows(2).filter(|pair| is_not(&pair[0]) && opens(&pair[1])).count() > MAX_NOTS {
        let hint = "use <>, IS NOT or NOT IN, or split it over several derived columns";
        return Err(refused(text, format!("it has more than {MAX_NOTS} NOTs before parentheses"), Some(hint)));
    }
    if tokens.iter().filter(|token| **token == Token::Sign(b'(')).count()
        != tokens.iter().filter(|token| **token == Token::Sign(b')')).count()
    {
        return Err(refused(text, "the parentheses do not match", None));
    }
    if longest > MAX_DEPTH {
        return Err(refused(text, format!("more than {MAX_DEPTH} signs follow one another"), None));
    }
    Ok(tokens.len())
}

fn prefix(token: &Token<'_>) -> bool {
    match token {
        Token::Sign(sign) => matches!(sign, b'-' | b'+' | b'~' | b'!'),
        Token::Word(word) => word.eq_ignore_ascii_case("not"),
        Token::Value => false,
    }
}

fn check_word(text: &str, lower: &str, before_parenthesis: bool) -> Result<(), DatasetError> {
    if REFUSED_WORDS.contains(&lower) {
        let hint = "an expression sees one row; put a column of that name in double quotes";
        return Err(refused(text, format!("{:?} is not allowed", lower.to_ascii_uppercase()), Some(hint)));
    }
    if !before_parenthesis || FUNCTIONS.contains(&lower) || WORDS_BEFORE_PARENTHESIS.contains(&lower) {
        return Ok(());
    }
    if SEVERAL_ROWS.contains(&lower) {
        let hint = match lower {
            "min" => "for the least of several columns use LEAST(a, b); for groups use a group step",
            "max" => "for the greatest of several columns use GREATEST(a, b); for groups use a group step",
            _ => "an expression sees one row; use a group step",
        };
        return Err(refused(text, format!("{}() looks at several rows", lower.to_ascii_uppercase()), Some(hint)));
    }
    let near = crate::error::near_names(lower, FUNCTIONS.iter().copied());
    let hint = near.first().map(|name| format!("did you mean {}?", name.to_ascii_uppercase()));
    Err(DatasetError::Expression {
        text: cut(text, 80),
        reason: format!("there is no function {:?}", cut(lower, 40)),
        hint,
    })
}
