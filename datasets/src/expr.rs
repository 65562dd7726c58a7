//! SQL expressions over one row: what is let through, and what it becomes.
//!
//! Two walls. The first looks at the words before anything parses them ([`crate::words`]). The second looks at the parsed
//! expression: nothing in it may look at another row.

use polars::prelude as pl;
use polars::prelude::Expr;

use athanor_protocol::table::{DataType, TableSchema};

use crate::{
    error::{DatasetError, cut, guard},
    frame::{canonical_expr, logical_type, polars_type},
    steps::unknown_column,
    words::{check_words, refused},
};

/// Most parts of a parsed expression. BETWEEN and its like use their operand twice, so that nesting them doubles the
/// work with each level.
const MAX_NODES: usize = 5_000;
/// Most tokens that are parsed on the caller's own stack.
const MAX_TOKENS_INLINE: usize = 60;

/// The second wall: collects the columns and refuses everything that is not over one row.
fn walk(text: &str, expr: &Expr, roots: &mut Vec<String>) -> Result<(), DatasetError> {
    use pl::{BooleanFunction as B, FunctionExpr as F};
    let several = || Err(refused(text, "it does not stay within one row", Some("an expression sees one row")));
    // A list instead of recursion, so that depth costs no stack.
    let mut open = vec![expr];
    let mut n_nodes = 0;
    while let Some(expr) = open.pop() {
        n_nodes += 1;
        if n_nodes > MAX_NODES {
            let hint = "split it over several derived columns";
            return Err(refused(text, "it is too complex once its parts are written out", Some(hint)));
        }
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
