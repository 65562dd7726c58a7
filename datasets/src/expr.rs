//! SQL expressions over one row: what is let through, and what it becomes.
//!
//! Two walls. The first looks at the words before anything parses them: only listed functions, no queries, bounded
//! length, depth and number of operators, so that no text can overflow a stack or reach a file. The second looks at the
//! parsed expression: nothing in it may look at another row.

use polars::prelude as pl;
use polars::prelude::Expr;

use athanor_protocol::{
    recipe::MAX_EXPRESSION_BYTES,
    table::{DataType, TableSchema},
};

use crate::{
    error::{DatasetError, cut, guard},
    frame::{canonical_expr, logical_type, polars_type},
    steps::unknown_column,
};

/// Deepest nesting of parentheses and CASE.
const MAX_DEPTH: usize = 24;
/// Most words, operators and brackets.
const MAX_TOKENS: usize = 1_000;
/// Most tokens that are parsed on the caller's own stack.
const MAX_TOKENS_INLINE: usize = 60;

/// Functions that look at one row and make no more than they are given.
const FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "acosd",
    "asin",
    "asind",
    "atan",
    "atan2",
    "atan2d",
    "atand",
    "cbrt",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosd",
    "cot",
    "cotd",
    "date",
    "date_part",
    "degrees",
    "div",
    "ends_with",
    "exp",
    "floor",
    "greatest",
    "if",
    "ifnull",
    "initcap",
    "least",
    "left",
    "length",
    "ln",
    "log",
    "log10",
    "log1p",
    "log2",
    "lower",
    "ltrim",
    "mod",
    "nullif",
    "octet_length",
    "pi",
    "pow",
    "power",
    "radians",
    "regexp_like",
    "replace",
    "reverse",
    "right",
    "round",
    "rtrim",
    "sign",
    "sin",
    "sind",
    "sqrt",
    "starts_with",
    "strftime",
    "strpos",
    "strptime",
    "substr",
    "tan",
    "tand",
    "trunc",
    "truncate",
    "upper",
];
/// Words that may stand before a parenthesis without being functions, types with a length among them.
const WORDS_BEFORE_PARENTHESIS: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "case",
    "when",
    "then",
    "else",
    "between",
    "like",
    "ilike",
    "rlike",
    "regexp",
    "is",
    "from",
    "for",
    "cast",
    "try_cast",
    "extract",
    "substring",
    "trim",
    "ceil",
    "floor",
    "varchar",
    "char",
    "xor",
    "similar",
    "to",
    "escape",
    "as",
    "by",
];
/// Words that begin queries or look at other rows.
const REFUSED_WORDS: &[&str] = &[
    "select",
    "with",
    "values",
    "table",
    "over",
    "partition",
    "window",
    "union",
    "intersect",
    "except",
    "join",
    "where",
    "having",
    "group",
    "order",
    "limit",
    "qualify",
    "lateral",
    "exists",
    "any",
    "all",
    "some",
    "filter",
    "within",
    "insert",
    "update",
    "delete",
    "create",
    "drop",
    "alter",
    "interval_table",
    "lambda",
    "array",
    "struct",
    "exclude",
];
/// Aggregates and windows, named in the message when they are met.
const SEVERAL_ROWS: &[&str] = &[
    "avg",
    "count",
    "sum",
    "min",
    "max",
    "median",
    "first",
    "last",
    "stddev",
    "stdev",
    "stddev_samp",
    "stdev_samp",
    "var",
    "variance",
    "var_samp",
    "total",
    "corr",
    "covar",
    "covar_pop",
    "covar_samp",
    "quantile_cont",
    "quantile_disc",
    "array_agg",
    "string_agg",
    "listagg",
    "group_concat",
    "row_number",
    "rank",
    "dense_rank",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "bit_and",
    "bit_or",
    "bit_xor",
];

fn refused(text: &str, reason: impl Into<String>, hint: Option<&str>) -> DatasetError {
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
fn check_words(text: &str) -> Result<usize, DatasetError> {
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

/// The second wall: collects the columns and refuses everything that is not over one row.
fn walk(text: &str, expr: &Expr, roots: &mut Vec<String>) -> Result<(), DatasetError> {
    use pl::{BooleanFunction as B, FunctionExpr as F};
    let several = || Err(refused(text, "it does not stay within one row", Some("an expression sees one row")));
    // A list instead of recursion, so that depth costs no stack.
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::Column(name) => {
                if !roots.iter().any(|root| root == name.as_str()) {
                    roots.push(name.to_string());
                }
            }
            Expr::Literal(pl::LiteralValue::Scalar(_) | pl::LiteralValue::Dyn(_)) => {}
            // The list of `x IN (1, 2)`, the same for every row.
            Expr::Agg(pl::AggExpr::Implode { input, .. }) if matches!(**input, Expr::Literal(_)) => {}
            Expr::Alias(inner, _) | Expr::KeepName(inner) | Expr::Cast { expr: inner, .. } => open.push(inner),
            Expr::BinaryExpr { left, right, .. } => open.extend([&**left, &**right]),
            Expr::Ternary { predicate, truthy, falsy } => open.extend([&**predicate, &**truthy, &**falsy]),
            Expr::Function { input, function } => {
                let row_wise = matches!(
                    function,
                    F::StringExpr(_)
                        | F::TemporalExpr(_)
                        | F::Abs
                        | F::Negate
                        | F::Pow(_)
                        | F::Trigonometry(_)
                        | F::Atan2
                        | F::Sign
                        | F::FillNull
                        | F::Clip { .. }
                        | F::Coalesce
                        | F::Log
                        | F::Log1p
                        | F::Exp
                        | F::Round { .. }
                        | F::RoundSF { .. }
                        | F::Truncate { .. }
                        | F::Floor
                        | F::Ceil
                        | F::MaxHorizontal
                        | F::MinHorizontal
                        | F::SumHorizontal { .. }
                        | F::MeanHorizontal { .. }
                        | F::Boolean(
                            B::IsNull
                                | B::IsNotNull
                                | B::IsFinite
                                | B::IsInfinite
                                | B::IsNan
                                | B::IsNotNan
                                | B::Not
                                | B::IsBetween { .. }
                                | B::IsIn { .. }
                                | B::AllHorizontal
                                | B::AnyHorizontal,
                        )
                );
                if !row_wise {
                    return several();
                }
                open.extend(input);
            }
            _ => return several(),
        }
    }
    Ok(())
}

/// A checked expression.
#[derive(Debug, Clone)]
pub(crate) struct RowExpr {
    /// Canonical: its type is the one Polars type of `dtype`, NaN is missing.
    pub(crate) expr: Expr,
    /// The columns that it reads, in order of first use.
    pub(crate) roots: Vec<String>,
    /// The type of its values.
    pub(crate) dtype: DataType,
}

fn parse(text: &str) -> Result<(Expr, Vec<String>), DatasetError> {
    let n_tokens = check_words(text)?;
    let parse = || {
        let expr = guard("parsing an expression", || {
            polars::sql::sql_expr(text).map_err(|err| {
                let message = err.to_string();
                let line = message.lines().next().unwrap_or_default();
                refused(text, format!("it can't be understood: {}", cut(line, 200)), None)
            })
        })?;
        // The name comes from the step.
        let expr = match expr {
            Expr::Alias(inner, _) => pl::Expr::clone(&inner),
            expr => expr,
        };
        let mut roots = Vec::new();
        walk(text, &expr, &mut roots)?;
        Ok((expr, roots))
    };
    if n_tokens <= MAX_TOKENS_INLINE {
        return parse();
    }
    // A chain of a thousand operators is a tree a thousand levels deep, and the parser descends it by recursion.
    on_deep_stack(parse)
}

/// Runs work on a thread with a stack of 256 MiB (of which only what is used takes memory).
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, DatasetError> + Send) -> Result<T, DatasetError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("expression".to_owned()).stack_size(256 << 20);
        let handle = thread.spawn_scoped(scope, work).map_err(|source| DatasetError::Io {
            action: "starting a thread for",
            path: "an expression".to_owned(),
            source,
        })?;
        handle.join().unwrap_or_else(|_| {
            Err(DatasetError::Panicked { doing: "parsing an expression".to_owned(), message: String::new() })
        })
    })
}

/// The columns that an expression reads.
pub(crate) fn roots(text: &str) -> Result<Vec<String>, DatasetError> {
    parse(text).map(|(_, roots)| roots)
}

/// Checks an expression against the columns that are there and finds its type. Reads no rows.
pub(crate) fn compile(text: &str, schema: &TableSchema) -> Result<RowExpr, DatasetError> {
    let (expr, roots) = parse(text)?;
    let mut columns = Vec::new();
    for root in &roots {
        let Some(column) = schema.column(root) else { return Err(unknown_column(root, schema)) };
        let Some(dtype) = polars_type(column.dtype) else {
            return Err(DatasetError::column(root, "its values can't be used in expressions"));
        };
        columns.push(pl::Column::new_empty(root.as_str().into(), &dtype));
    }
    let found = on_deep_stack(|| {
        guard("checking an expression", || {
            // Evaluated over no rows: what type comes out, and whether types fit at all.
            let empty = pl::DataFrame::new(0, columns)?;
            let probe = "\u{1}probe";
            let lazy = pl::IntoLazy::lazy(empty).select([expr.clone().alias(probe)]);
            let schema = lazy.clone().collect_schema().map_err(|err| type_error(text, &err))?;
            let dtype = schema.get(probe).cloned().unwrap_or(pl::DataType::Null);
            lazy.collect().map_err(|err| type_error(text, &err))?;
            Ok(dtype)
        })
    })?;
    let dtype = logical_type(&found);
    if found == pl::DataType::Null {
        return Err(refused(text, "it is missing in every row", None));
    }
    if dtype == DataType::Other {
        return Err(refused(text, format!("its values are of type {found}, which a table can't hold"), None));
    }
    Ok(RowExpr { expr: canonical_expr(expr, &found), roots, dtype })
}

fn type_error(text: &str, err: &pl::PolarsError) -> DatasetError {
    let message = err.to_string();
    let line = message.lines().next().unwrap_or_default();
    refused(text, cut(line, 200), Some("check the types of the columns; CAST(x AS DOUBLE) changes one"))
}
