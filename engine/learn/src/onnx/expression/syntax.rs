//! The syntax tree of an expression, by the precedences of the parser that the tables' crate uses.

use athanor_protocol::table::DataType;

use super::{
    moments,
    tokens::{Token, tokens},
};

/// Deepest nesting.
const MAX_DEPTH: usize = 100;
/// Most operators that take the whole expression before them, other than the binary ones: each is one level deeper.
const MAX_SUFFIXES: usize = 100;

/// How strongly operators bind.
mod binds {
    pub(super) const OR: u8 = 5;
    pub(super) const AND: u8 = 10;
    pub(super) const NOT: u8 = 15;
    pub(super) const IS: u8 = 17;
    pub(super) const LIKE: u8 = 19;
    pub(super) const COMPARE: u8 = 20;
    pub(super) const XOR: u8 = 24;
    pub(super) const SUM: u8 = 30;
    pub(super) const PRODUCT: u8 = 40;
    pub(super) const CAST: u8 = 50;
}

/// Words that are no columns where they are not in quotes.
const KEYWORDS: &[&str] = &[
    "AND", "AS", "BETWEEN", "CASE", "ELSE", "END", "FROM", "ILIKE", "IN", "INTERVAL", "IS", "LIKE", "NOT", "OR",
    "THEN", "WHEN", "XOR",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    /// Equal, and two missing values are.
    Same,
    And,
    Or,
    Xor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Missing,
    True,
    False,
}

/// A type of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Whole numbers of so many bits.
    Int(u32),
    Float,
    Bool,
    Text,
    /// Date or datetime.
    Moment(DataType),
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Null,
    /// Microseconds since the Unix epoch, of a date or datetime.
    Moment(i64, DataType),
    Column(String),
    Plus(Box<Expr>),
    Neg(Box<Expr>),
    Not(Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    Between {
        value: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    In {
        value: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Is {
        value: Box<Expr>,
        what: Is,
        negated: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        arms: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// `tries` makes what cannot be converted missing.
    Cast {
        value: Box<Expr>,
        to: Type,
        tries: bool,
    },
    Extract {
        part: String,
        value: Box<Expr>,
    },
    Call {
        name: String,
        arguments: Vec<Expr>,
    },
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, n_suffixes: 0 };
    let found = parser.expression(0)?;
    match parser.peek() {
        Some(token) => Err(format!("{token} cannot stand there in ONNX")),
        None => Ok(found),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    n_suffixes: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is_it);
        is_it
    }

    /// Takes words that follow one another, all or none.
    fn words(&mut self, words: &[&str]) -> bool {
        let are_they = words.iter().enumerate().all(|(at, word)| self.is_word(at, word));
        self.at += if are_they { words.len() } else { 0 };
        are_they
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.tokens.get(self.at + ahead), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("'{sign}' is missing")) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), String> {
        if self.words(&[word]) { Ok(()) } else { Err(format!("{word} is missing")) }
    }

    /// Reads on while operators bind more strongly than `least`.
    fn expression(&mut self, least: u8) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let mut found = self.prefix()?;
        while let Some(binds) = self.next_binds().filter(|binds| *binds > least) {
            found = self.infix(found, binds)?;
        }
        self.depth -= 1;
        Ok(found)
    }

    fn next_binds(&self) -> Option<u8> {
        Some(match self.peek()? {
            Token::Sign(sign) => match *sign {
                "+" | "-" => binds::SUM,
                "*" | "/" | "//" | "%" | "||" => binds::PRODUCT,
                "::" => binds::CAST,
                "=" | "==" | "<>" | "!=" | "<" | "<=" | ">" | ">=" | "<=>" => binds::COMPARE,
                _ => return None,
            },
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "OR" => binds::OR,
                "AND" => binds::AND,
                "XOR" => binds::XOR,
                "IS" => binds::IS,
                "IN" | "BETWEEN" => binds::COMPARE,
                "LIKE" | "ILIKE" | "RLIKE" | "REGEXP" | "SIMILAR" => binds::LIKE,
                "NOT" if self.is_word(1, "IN") || self.is_word(1, "BETWEEN") => binds::COMPARE,
                "NOT" if self.is_word(1, "LIKE") => binds::LIKE,
                _ => return None,
            },
            _ => return None,
        })
    }

    fn infix(&mut self, left: Expr, binds: u8) -> Result<Expr, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        let binary = match &token {
            Token::Sign(sign) => match *sign {
                "+" => Some(Binary::Add),
                "-" => Some(Binary::Sub),
                "*" => Some(Binary::Mul),
                "/" => Some(Binary::Div),
                "//" => Some(Binary::FloorDiv),
                "%" => Some(Binary::Mod),
                "=" | "==" => Some(Binary::Eq),
                "<>" | "!=" => Some(Binary::NotEq),
                "<" => Some(Binary::Less),
                "<=" => Some(Binary::LessEq),
                ">" => Some(Binary::Greater),
                ">=" => Some(Binary::GreaterEq),
                "<=>" => Some(Binary::Same),
                "||" => return Err("'||' makes new texts, which ONNX cannot".to_owned()),
                _ => None,
            },
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "OR" => Some(Binary::Or),
                "AND" => Some(Binary::And),
                "XOR" => Some(Binary::Xor),
                _ => None,
            },
            _ => None,
        };
        if let Some(binary) = binary {
            self.at += 1;
            let right = self.expression(binds)?;
            return Ok(Expr::Binary(binary, Box::new(left), Box::new(right)));
        }
        self.n_suffixes += 1;
        if self.n_suffixes > MAX_SUFFIXES {
            return Err("it is nested too deeply".to_owned());
        }
        self.suffix(left, &token)
    }

    fn suffix(&mut self, left: Expr, token: &Token) -> Result<Expr, String> {
        let value = Box::new(left);
        if self.sign("::") {
            let to = self.data_type()?;
            return Ok(Expr::Cast { value, to, tries: false });
        }
        if self.words(&["IS"]) {
            let negated = self.words(&["NOT"]);
            if self.words(&["DISTINCT", "FROM"]) {
                let other = Box::new(self.expression(0)?);
                let same = Expr::Binary(Binary::Same, value, other);
                return Ok(if negated { same } else { Expr::Not(Box::new(same)) });
            }
            for (word, what) in [("NULL", Is::Missing), ("TRUE", Is::True), ("FALSE", Is::False)] {
                if self.words(&[word]) {
                    return Ok(Expr::Is { value, what, negated });
                }
            }
            return Err("IS is followed by neither NULL, TRUE, FALSE nor DISTINCT FROM".to_owned());
        }
        let negated = self.words(&["NOT"]);
        if self.words(&["BETWEEN"]) {
            let low = Box::new(self.expression(binds::COMPARE)?);
            self.expect_word("AND")?;
            let high = Box::new(self.expression(binds::COMPARE)?);
            return Ok(Expr::Between { value, low, high, negated });
        }
        if self.words(&["IN"]) {
            self.expect("(")?;
            let list = self.list()?;
            return Ok(Expr::In { value, list, negated });
        }
        if self.words(&["LIKE"]) {
            return match self.expression(binds::LIKE)? {
                Expr::Text(pattern) if !pattern.contains(['%', '_']) => {
                    let op = if negated { Binary::NotEq } else { Binary::Eq };
                    Ok(Expr::Binary(op, value, Box::new(Expr::Text(pattern))))
                }
                _ => Err("LIKE looks into texts, which ONNX cannot".to_owned()),
            };
        }
        Err(format!("{token} cannot be computed in ONNX"))
    }

    /// Expressions up to a closing bracket, at least one.
    fn list(&mut self) -> Result<Vec<Expr>, String> {
        let mut found = vec![self.expression(0)?];
        while self.sign(",") {
            found.push(self.expression(0)?);
        }
        self.expect(")")?;
        Ok(found)
    }

    fn prefix(&mut self) -> Result<Expr, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.at += 1;
        match token {
            Token::Number(number) => literal(&number),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Quoted(name) => Ok(Expr::Column(name)),
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("+") => Ok(Expr::Plus(Box::new(self.expression(binds::PRODUCT)?))),
            Token::Sign("-") => Ok(match self.expression(binds::PRODUCT)? {
                Expr::Int(value) => Expr::Int(value.checked_neg().ok_or("a number is too large")?),
                Expr::Float(value) => Expr::Float(-value),
                inner => Expr::Neg(Box::new(inner)),
            }),
            Token::Word(word) => self.word(word),
            token @ Token::Sign(_) => Err(format!("{token} cannot stand there in ONNX")),
        }
    }

    fn word(&mut self, word: String) -> Result<Expr, String> {
        let upper = word.to_ascii_uppercase();
        if let Some(Token::Text(text)) = self.peek().cloned() {
            let dtype = match upper.as_str() {
                "DATE" => Some(DataType::Date),
                "TIMESTAMP" | "DATETIME" => Some(DataType::Datetime),
                _ => None,
            };
            if let Some(dtype) = dtype {
                self.at += 1;
                let micros = moments::read(&text, dtype).ok_or_else(|| format!("{text:?} is no {}", dtype.as_str()))?;
                return Ok(Expr::Moment(micros, dtype));
            }
        }
        match upper.as_str() {
            "NULL" => return Ok(Expr::Null),
            "TRUE" => return Ok(Expr::Bool(true)),
            "FALSE" => return Ok(Expr::Bool(false)),
            "NOT" => return Ok(Expr::Not(Box::new(self.expression(binds::NOT)?))),
            "CASE" => return self.case(),
            keyword if KEYWORDS.contains(&keyword) => {
                return Err(format!("{word:?} cannot stand there in ONNX"));
            }
            _ => {}
        }
        if !self.sign("(") {
            return Ok(Expr::Column(word));
        }
        match upper.as_str() {
            "CAST" | "TRY_CAST" => {
                let value = Box::new(self.expression(0)?);
                self.expect_word("AS")?;
                let to = self.data_type()?;
                self.expect(")")?;
                Ok(Expr::Cast { value, to, tries: upper == "TRY_CAST" })
            }
            "EXTRACT" => {
                let Some(Token::Word(part)) = self.peek().cloned() else {
                    return Err("EXTRACT names no part of a date".to_owned());
                };
                self.at += 1;
                self.expect_word("FROM")?;
                let value = Box::new(self.expression(0)?);
                self.expect(")")?;
                Ok(Expr::Extract { part, value })
            }
            _ => {
                let arguments = if self.sign(")") { Vec::new() } else { self.list()? };
                match (upper.as_str(), arguments) {
                    ("DATE_PART", arguments) => match <[Expr; 2]>::try_from(arguments) {
                        Ok([Expr::Text(part), value]) => Ok(Expr::Extract { part, value: Box::new(value) }),
                        _ => Err("DATE_PART names no part of a date".to_owned()),
                    },
                    (_, arguments) => Ok(Expr::Call { name: word, arguments }),
                }
            }
        }
    }

    fn case(&mut self) -> Result<Expr, String> {
        let operand = if self.is_word(0, "WHEN") { None } else { Some(Box::new(self.expression(0)?)) };
        let mut arms = Vec::new();
        while self.words(&["WHEN"]) {
            let condition = self.expression(0)?;
            self.expect_word("THEN")?;
            arms.push((condition, self.expression(0)?));
        }
        if arms.is_empty() {
            return Err("CASE has no WHEN".to_owned());
        }
        let otherwise = if self.words(&["ELSE"]) { Some(Box::new(self.expression(0)?)) } else { None };
        self.expect_word("END")?;
        Ok(Expr::Case { operand, arms, otherwise })
    }

    fn data_type(&mut self) -> Result<Type, String> {
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return Err("CAST names no type".to_owned());
        };
        self.at += 1;
        let name = name.to_ascii_uppercase();
        let found = match name.as_str() {
            "TINYINT" | "INT1" => Type::Int(8),
            "SMALLINT" | "INT2" | "INT16" => Type::Int(16),
            "INT" | "INTEGER" | "INT4" | "INT32" | "MEDIUMINT" => Type::Int(32),
            "BIGINT" | "INT8" | "INT64" => Type::Int(64),
            "FLOAT" | "FLOAT8" => Type::Float,
            "DOUBLE" => {
                self.words(&["PRECISION"]);
                Type::Float
            }
            "BOOLEAN" | "BOOL" => Type::Bool,
            "VARCHAR" | "CHAR" | "TEXT" | "STRING" => {
                // A length is passed over: no text is cut.
                if self.sign("(") {
                    self.at += 1;
                    self.expect(")")?;
                }
                Type::Text
            }
            "DATE" => Type::Moment(DataType::Date),
            "TIMESTAMP" | "DATETIME" => Type::Moment(DataType::Datetime),
            _ => return Err(format!("CAST to {name} is not exported")),
        };
        // `INT UNSIGNED`, `FLOAT(24)` and their like are other types.
        match self.peek() {
            Some(Token::Sign("(")) => Err(format!("CAST to {name}(…) is not exported")),
            Some(Token::Word(more)) if more.eq_ignore_ascii_case("unsigned") => {
                Err(format!("CAST to {name} UNSIGNED is not exported"))
            }
            _ => Ok(found),
        }
    }
}

fn literal(number: &str) -> Result<Expr, String> {
    let refuse = || format!("{number:?} is no number");
    if number.contains('.') {
        let value = number.parse::<f64>().map_err(|_| refuse())?;
        return if value.is_finite() { Ok(Expr::Float(value)) } else { Err(refuse()) };
    }
    number.parse::<i64>().map(Expr::Int).map_err(|_| refuse())
}

#[cfg(test)]
mod tests;
