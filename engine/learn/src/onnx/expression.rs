//! Derived columns: the part of SQL that ONNX can compute in the same way.
//!
//! | what | which |
//! | --- | --- |
//! | values | numbers, columns of numbers, `CAST(x AS DOUBLE)` |
//! | operators | `+` `-` `*`, `/` where one side is a float, brackets |
//! | functions | `ABS`, `SQRT`, `EXP`, `LN`, `FLOOR`, `CEIL`; all but `ABS` of floats |
//!
//! Everything else is refused with the step's name: a guess that is right on most rows would be worse than none.

use athanor_protocol::{recipe::MAX_EXPRESSION_BYTES, table::DataType};

use super::{
    columns::Value,
    graph::{Graph, Name},
    recipe::Columns,
    unsupported,
};
use crate::LearnError;

/// Deepest nesting of brackets and signs.
const MAX_DEPTH: usize = 100;

/// A number in the graph, and whether SQL takes it for a float.
#[derive(Debug, Clone)]
struct Operand {
    tensor: Name,
    is_float: bool,
}

/// Computes an expression over one row.
///
/// # Errors
/// [`LearnError::Unsupported`] where it uses anything that is not in the table above; names the step.
pub(super) fn compile(
    graph: &mut Graph,
    column: &str,
    expression: &str,
    columns: &Columns,
) -> Result<Value, LearnError> {
    let refuse = |reason: String| {
        unsupported(
            format!("the step 'derive' of column {column:?} cannot be exported: {reason}"),
            "compute the column before the table is read, or use + - * / on floats, ABS, SQRT, EXP, LN, FLOOR, CEIL",
        )
    };
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(refuse("it is too long".to_owned()));
    }
    let tokens = tokens(expression).map_err(refuse)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, graph, columns };
    let found = parser.sum().map_err(refuse)?;
    if let Some(token) = parser.peek() {
        return Err(refuse(format!("{token} cannot stand there in ONNX")));
    }
    let dtype = if found.is_float { DataType::Float } else { DataType::Int };
    Ok(Value::Number { tensor: found.tensor, dtype })
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number {
        value: f64,
        is_float: bool,
    },
    /// A bare word; functions and keywords are told by their place.
    Word(String),
    /// An identifier in quotes.
    Quoted(String),
    Symbol(char),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number { value, .. } => write!(f, "the number {value}"),
            Self::Word(word) | Self::Quoted(word) => write!(f, "{word:?}"),
            Self::Symbol(symbol) => write!(f, "'{symbol}'"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&first) = chars.peek() {
        match first {
            c if c.is_whitespace() => {
                chars.next();
            }
            '+' | '-' | '*' | '/' | '(' | ')' | ',' => {
                chars.next();
                // Two in a row begin a comment.
                if matches!((first, chars.peek()), ('-', Some('-')) | ('/', Some('*'))) {
                    return Err("comments are not allowed".to_owned());
                }
                found.push(Token::Symbol(first));
            }
            '"' | '`' => {
                chars.next();
                let mut name = String::new();
                loop {
                    match chars.next() {
                        None => return Err("a quote is open".to_owned()),
                        Some(c) if c != first => name.push(c),
                        Some(c) if chars.next_if_eq(&first).is_some() => name.push(c),
                        Some(_) => break,
                    }
                }
                found.push(Token::Quoted(name));
            }
            c if c.is_ascii_digit() || c == '.' => {
                let mut number = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '.') {
                    number.push(c);
                    if matches!(c, 'e' | 'E')
                        && let Some(sign) = chars.next_if(|c| matches!(c, '+' | '-'))
                    {
                        number.push(sign);
                    }
                }
                let is_float = number.contains(['.', 'e', 'E']);
                match number.parse::<f64>() {
                    Ok(value) if value.is_finite() => found.push(Token::Number { value, is_float }),
                    _ => return Err(format!("{number:?} is no number")),
                }
            }
            c if c.is_alphabetic() || c == '_' => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                    word.push(c);
                }
                found.push(Token::Word(word));
            }
            other => return Err(format!("'{other}' cannot be computed in ONNX")),
        }
    }
    Ok(found)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    graph: &'a mut Graph,
    columns: &'a Columns,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn symbol(&mut self, symbols: &[char]) -> Option<char> {
        match self.peek() {
            Some(Token::Symbol(symbol)) if symbols.contains(symbol) => {
                let symbol = *symbol;
                self.at += 1;
                Some(symbol)
            }
            _ => None,
        }
    }

    fn expect(&mut self, symbol: char) -> Result<(), String> {
        self.symbol(&[symbol]).map(drop).ok_or_else(|| format!("'{symbol}' is missing"))
    }

    fn sum(&mut self) -> Result<Operand, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let mut left = self.product()?;
        while let Some(symbol) = self.symbol(&['+', '-']) {
            let right = self.product()?;
            left = self.combine(if symbol == '+' { "Add" } else { "Sub" }, &left, &right);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Operand, String> {
        let mut left = self.signed()?;
        while let Some(symbol) = self.symbol(&['*', '/']) {
            let right = self.signed()?;
            if symbol == '/' && !left.is_float && !right.is_float {
                return Err("it divides whole numbers, which SQL and ONNX round differently; write CAST(x AS DOUBLE) \
                            around one of them"
                    .to_owned());
            }
            left = self.combine(if symbol == '*' { "Mul" } else { "Div" }, &left, &right);
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Operand, String> {
        let mut is_negative = false;
        while let Some(symbol) = self.symbol(&['+', '-']) {
            is_negative ^= symbol == '-';
        }
        let operand = self.operand()?;
        let tensor = if is_negative { self.graph.op("Neg", &[&operand.tensor]) } else { operand.tensor };
        Ok(Operand { tensor, ..operand })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.at += 1;
        match token {
            Token::Number { value, is_float } => Ok(Operand { tensor: self.graph.number(value), is_float }),
            Token::Symbol('(') => {
                let inner = self.sum()?;
                self.expect(')')?;
                Ok(inner)
            }
            Token::Word(word) if self.symbol(&['(']).is_some() => self.call(&word),
            Token::Word(name) | Token::Quoted(name) => self.column(&name),
            token @ Token::Symbol(_) => Err(format!("{token} cannot stand there in ONNX")),
        }
    }

    fn column(&mut self, name: &str) -> Result<Operand, String> {
        let found = self.columns.iter().find(|(column, _)| column == name);
        match found {
            Some((_, Value::Number { tensor, dtype: dtype @ (DataType::Int | DataType::Float) })) => {
                Ok(Operand { tensor: tensor.clone(), is_float: *dtype == DataType::Float })
            }
            Some((_, value)) => Err(format!("it computes with {name:?}, which is {}", value.dtype().as_str())),
            None => Err(format!("{name:?} is no column and nothing that ONNX can compute")),
        }
    }

    fn call(&mut self, name: &str) -> Result<Operand, String> {
        let inner = self.sum()?;
        let function = name.to_ascii_uppercase();
        if function == "CAST" {
            let words = [self.tokens.get(self.at), self.tokens.get(self.at + 1)];
            let is_double = matches!(words, [Some(Token::Word(r#as)), Some(Token::Word(double))]
                if r#as.eq_ignore_ascii_case("as") && double.eq_ignore_ascii_case("double"));
            if !is_double {
                return Err("CAST is exported to DOUBLE alone".to_owned());
            }
            self.at += 2;
            if matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("precision")) {
                self.at += 1;
            }
            self.expect(')')?;
            return Ok(Operand { is_float: true, ..inner });
        }
        self.expect(')')?;
        let op = match function.as_str() {
            "ABS" => "Abs",
            "SQRT" => "Sqrt",
            "EXP" => "Exp",
            "LN" => "Log",
            "FLOOR" => "Floor",
            "CEIL" | "CEILING" => "Ceil",
            _ => return Err(format!("the function {name:?} cannot be computed in ONNX in the same way")),
        };
        if op != "Abs" && !inner.is_float {
            return Err(format!("{function} of a whole number; write CAST(x AS DOUBLE) around it"));
        }
        Ok(Operand { tensor: self.graph.op(op, &[&inner.tensor]), ..inner })
    }

    fn combine(&mut self, op: &str, left: &Operand, right: &Operand) -> Operand {
        let tensor = self.graph.op(op, &[&left.tensor, &right.tensor]);
        Operand { tensor, is_float: left.is_float || right.is_float }
    }
}
