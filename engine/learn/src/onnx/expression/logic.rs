//! Conditions, with SQL's three values: true, false and missing.

use athanor_protocol::table::DataType;

use super::{
    emit::Emitter,
    moments,
    operand::{Kind, Moment, Number, Operand, Truth},
    syntax::{Binary, Expr, Type},
};
use crate::onnx::{
    columns::MISSING_TEXT,
    graph::Name,
    texts::{Places, Text},
};

impl Emitter<'_> {
    /// Writes the right side of a comparison: beside a CAST to a date, a text is read as one.
    pub(super) fn emit_beside(&mut self, left: &Expr, right: &Expr) -> Result<Operand, String> {
        if let (Expr::Cast { to: Type::Moment(dtype), .. }, Expr::Text(text)) = (left, right) {
            let read = match dtype {
                DataType::Datetime => moments::read(text, *dtype).or_else(|| moments::read(text, DataType::Date)),
                _ => moments::read(text, *dtype),
            };
            let micros = read.ok_or_else(|| format!("{text:?} is no {}", dtype.as_str()))?;
            return self.emit(&Expr::Moment(micros, *dtype));
        }
        self.emit(right)
    }

    /// A truth value, or whether a number is not zero.
    pub(super) fn as_truth(&mut self, operand: Operand) -> Result<Truth, String> {
        match operand {
            Operand::Truth(truth) => Ok(truth),
            Operand::Number(number) if number.kind != Kind::Duration => {
                let zero = self.double(0.0);
                let is_zero = self.op("Equal", &[&number.tensor, &zero]);
                let tensor = self.not(&is_zero);
                Ok(self.known_truth(tensor, number.missing))
            }
            Operand::Null => Ok(Truth { tensor: self.truth(false), missing: Some(self.truth(true)) }),
            other => Err(format!("{} is no condition", other.what())),
        }
    }

    /// A truth value from a tensor that may hold anything where it is missing.
    fn known_truth(&mut self, tensor: Name, missing: Option<Name>) -> Truth {
        match missing {
            Some(missing) => {
                let there = self.not(&missing);
                Truth { tensor: self.and(&tensor, &there), missing: Some(missing) }
            }
            None => Truth { tensor, missing: None },
        }
    }

    pub(super) fn negated_truth(&mut self, truth: &Truth) -> Truth {
        let tensor = self.is_false(truth);
        Truth { tensor, missing: truth.missing.clone() }
    }

    fn is_false(&mut self, truth: &Truth) -> Name {
        let not_false = match &truth.missing {
            Some(missing) => self.or(&truth.tensor, missing),
            None => truth.tensor.clone(),
        };
        self.not(&not_false)
    }

    /// `AND`, `OR` and `XOR` of conditions.
    pub(super) fn connected(&mut self, op: Binary, left: Operand, right: Operand) -> Result<Operand, String> {
        for side in [&left, &right] {
            if !matches!(side, Operand::Truth(_) | Operand::Null) {
                return Err(format!("{} is no condition (beside AND, OR or XOR)", side.what()));
            }
        }
        let (left, right) = (self.as_truth(left)?, self.as_truth(right)?);
        Ok(Operand::Truth(match op {
            Binary::And => self.both(&left, &right),
            Binary::Or => self.any(&left, &right),
            _ => {
                let same = self.equal_truths(&left, &right);
                self.negated_truth(&same)
            }
        }))
    }

    fn both(&mut self, left: &Truth, right: &Truth) -> Truth {
        let tensor = self.and(&left.tensor, &right.tensor);
        let missing = self.either(left.missing.clone(), right.missing.clone()).map(|unknown| {
            // What is false on one side is false, whatever the other is.
            let (one, other) = (self.is_false(left), self.is_false(right));
            let is_false = self.or(&one, &other);
            let is_open = self.not(&is_false);
            self.and(&unknown, &is_open)
        });
        Truth { tensor, missing }
    }

    pub(super) fn any(&mut self, left: &Truth, right: &Truth) -> Truth {
        let tensor = self.or(&left.tensor, &right.tensor);
        let missing = self.either(left.missing.clone(), right.missing.clone()).map(|unknown| {
            let is_open = self.not(&tensor);
            self.and(&unknown, &is_open)
        });
        Truth { tensor, missing }
    }

    fn equal_truths(&mut self, left: &Truth, right: &Truth) -> Truth {
        let both = self.and(&left.tensor, &right.tensor);
        let some = self.or(&left.tensor, &right.tensor);
        let neither = self.not(&some);
        let tensor = self.or(&both, &neither);
        let missing = self.either(left.missing.clone(), right.missing.clone());
        self.known_truth(tensor, missing)
    }

    /// A comparison.
    pub(super) fn compared(&mut self, op: Binary, left: &Operand, right: &Operand) -> Result<Truth, String> {
        if op == Binary::Same {
            return self.same(left, right);
        }
        let (tensor, is_negated) = match (left, right) {
            (Operand::Null, _) | (_, Operand::Null) => {
                return Ok(Truth { tensor: self.truth(false), missing: Some(self.truth(true)) });
            }
            (Operand::Text(left), Operand::Text(right)) => match op {
                Binary::Eq | Binary::NotEq => (self.equal_texts(left, right)?, op == Binary::NotEq),
                _ => return Err("it asks which text is greater, which ONNX cannot".to_owned()),
            },
            (Operand::Moment(left), Operand::Moment(right)) => self.compared_moments(op, left, right),
            (Operand::Truth(left), Operand::Truth(right)) if matches!(op, Binary::Eq | Binary::NotEq) => {
                let same = self.equal_truths(left, right);
                return Ok(if op == Binary::NotEq { self.negated_truth(&same) } else { same });
            }
            (
                Operand::Number(one @ Number { kind: Kind::Duration, .. }),
                Operand::Number(other @ Number { kind: Kind::Duration, .. }),
            ) => self.compared_numbers(op, one, other),
            (Operand::Number(_) | Operand::Truth(_), Operand::Number(_) | Operand::Truth(_)) => {
                let (left, right) = (self.as_number(left.clone())?, self.as_number(right.clone())?);
                self.compared_numbers(op, &left, &right)
            }
            (left, right) => return Err(format!("it compares {} with {}", left.what(), right.what())),
        };
        let (left, right) = (self.missing(left)?, self.missing(right)?);
        let missing = self.either(left, right);
        let tensor = if is_negated { self.not(&tensor) } else { tensor };
        Ok(self.known_truth(tensor, missing))
    }

    /// Equal, where two missing values are; never missing.
    fn same(&mut self, left: &Operand, right: &Operand) -> Result<Truth, String> {
        if let (Operand::Null, other) | (other, Operand::Null) = (left, right) {
            let tensor = match self.missing(other)? {
                Some(missing) => missing,
                None => self.truth(false),
            };
            return Ok(Truth { tensor, missing: None });
        }
        let equal = self.compared(Binary::Eq, left, right)?;
        let (left, right) = (self.missing(left)?, self.missing(right)?);
        let tensor = match (left, right) {
            (Some(left), Some(right)) => {
                let both = self.and(&left, &right);
                self.or(&equal.tensor, &both)
            }
            _ => equal.tensor,
        };
        Ok(Truth { tensor, missing: None })
    }

    fn compared_moments(&mut self, op: Binary, left: &Moment, right: &Moment) -> (Name, bool) {
        let (a, b) = (left.tensor.as_str(), right.tensor.as_str());
        match op {
            Binary::Eq | Binary::NotEq => (self.op("Equal", &[a, b]), op == Binary::NotEq),
            Binary::Less => (self.op("Less", &[a, b]), false),
            Binary::LessEq => (self.op("Greater", &[a, b]), true),
            Binary::Greater => (self.op("Greater", &[a, b]), false),
            _ => (self.op("Less", &[a, b]), true),
        }
    }

    /// Compares numbers, and says whether the opposite is meant. A computed NaN equals itself and is greater than all
    /// others.
    fn compared_numbers(&mut self, op: Binary, left: &Number, right: &Number) -> (Name, bool) {
        let (less, greater) = ((left, right), (right, left));
        match op {
            Binary::Eq | Binary::NotEq => (self.equal_numbers(left, right), op == Binary::NotEq),
            Binary::Less => (self.is_less(less.0, less.1), false),
            Binary::GreaterEq => (self.is_less(less.0, less.1), true),
            Binary::Greater => (self.is_less(greater.0, greater.1), false),
            _ => (self.is_less(greater.0, greater.1), true),
        }
    }

    fn is_nan(&mut self, number: &Number) -> Name {
        let is_number = self.is_number(&number.tensor);
        self.not(&is_number)
    }

    fn equal_numbers(&mut self, left: &Number, right: &Number) -> Name {
        let equal = self.op("Equal", &[&left.tensor, &right.tensor]);
        if !(left.can_be_nan && right.can_be_nan) {
            return equal;
        }
        let (one, other) = (self.is_nan(left), self.is_nan(right));
        let both = self.and(&one, &other);
        self.or(&equal, &both)
    }

    fn is_less(&mut self, left: &Number, right: &Number) -> Name {
        let less = self.op("Less", &[&left.tensor, &right.tensor]);
        if !right.can_be_nan {
            return less;
        }
        let beyond = self.is_nan(right);
        let here = self.is_number(&left.tensor);
        let is_below = self.and(&here, &beyond);
        self.or(&less, &is_below)
    }

    pub(super) fn missing_text(&mut self, text: &Text) -> Option<Name> {
        let missing = text.missing(self.graph);
        missing.map(|missing| self.as_wide_as(text, missing))
    }

    /// Whether texts are equal; one side must be made of literals, because texts can only be looked up in lists.
    fn equal_texts(&mut self, left: &Text, right: &Text) -> Result<Name, String> {
        let keys = left.known_texts().or_else(|| right.known_texts());
        let keys = keys.ok_or("it compares two columns of texts, which ONNX cannot")?;
        if keys.iter().any(|key| key == MISSING_TEXT) && (left.hides_empty() || right.hides_empty()) {
            return Err("it asks for the empty text, which stands for a missing one in ONNX".to_owned());
        }
        // Places that differ where the texts are unknown: what is known on one side meets nothing but itself.
        let [one, other] = [(left, -1), (right, -2)].map(|(text, nowhere)| {
            let place = text.place(self.graph, Places { keys: &keys, missing: nowhere, other: nowhere });
            self.as_wide_as(text, place)
        });
        Ok(self.op("Equal", &[&one, &other]))
    }

    pub(super) fn between(
        &mut self,
        value_expr: &Expr,
        low: &Expr,
        high: &Expr,
        negated: bool,
    ) -> Result<Operand, String> {
        let value = self.emit(value_expr)?;
        let low = self.emit_beside(value_expr, low)?;
        let high = self.emit_beside(value_expr, high)?;
        let ops = if negated { [Binary::Less, Binary::Greater] } else { [Binary::GreaterEq, Binary::LessEq] };
        let low = self.compared(ops[0], &value, &low)?;
        let high = self.compared(ops[1], &value, &high)?;
        Ok(Operand::Truth(if negated { self.any(&low, &high) } else { self.both(&low, &high) }))
    }

    /// `IN` a list of literals.
    pub(super) fn contained(&mut self, value: &Expr, list: &[Expr], negated: bool) -> Result<Operand, String> {
        let value = self.emit(value)?;
        let has_null = list.iter().any(|item| matches!(item, Expr::Null));
        let list: Vec<&Expr> = list.iter().filter(|item| !matches!(item, Expr::Null)).collect();
        let refuse = || format!("IN compares {} with what is no literal of its kind", value.what());
        let found = match &value {
            Operand::Number(number) if number.kind != Kind::Duration => {
                let mut keys = Vec::with_capacity(list.len());
                for item in list {
                    keys.push(match item {
                        Expr::Int(value) => self.int_literal(*value)?.literal.unwrap_or_default(),
                        Expr::Float(value) => *value,
                        _ => return Err(refuse()),
                    });
                }
                self.is_among(&number.tensor, &keys)
            }
            Operand::Truth(truth) => {
                let mut keys = Vec::with_capacity(list.len());
                for item in list {
                    let Expr::Bool(value) = item else { return Err(refuse()) };
                    keys.push(f64::from(*value));
                }
                let number = self.as_double(&truth.tensor);
                self.is_among(&number, &keys)
            }
            Operand::Moment(moment) => {
                let mut keys = Vec::with_capacity(list.len());
                for item in list {
                    match item {
                        Expr::Moment(micros, dtype) if *dtype == moment.dtype => keys.push(*micros),
                        _ => return Err(refuse()),
                    }
                }
                self.is_among_whole(&moment.tensor, &keys)
            }
            Operand::Text(text) => {
                let mut keys = Vec::with_capacity(list.len());
                for item in list {
                    let Expr::Text(key) = item else { return Err(refuse()) };
                    if !keys.contains(key) {
                        keys.push(key.clone());
                    }
                }
                if keys.iter().any(|key| key == MISSING_TEXT) && text.hides_empty() {
                    return Err("it asks for the empty text, which stands for a missing one in ONNX".to_owned());
                }
                let place = text.place(self.graph, Places { keys: &keys, missing: -1, other: -1 });
                let place = self.as_wide_as(text, place);
                let nowhere = self.whole(-1);
                self.op("Greater", &[&place, &nowhere])
            }
            Operand::Number(_) | Operand::Null => return Err(refuse()),
        };
        let missing = self.missing(&value)?;
        let mut truth = self.known_truth(found, missing);
        if has_null {
            // What is not in the list may be the missing one.
            let unknown = self.as_truth(Operand::Null)?;
            truth = self.any(&truth, &unknown);
        }
        Ok(Operand::Truth(if negated { self.negated_truth(&truth) } else { truth }))
    }

    fn is_among(&mut self, tensor: &str, keys: &[f64]) -> Name {
        if keys.is_empty() {
            return self.truth(false);
        }
        let row = self.row_of(keys);
        self.is_any_of(tensor, &row, keys.len())
    }

    fn is_among_whole(&mut self, tensor: &str, keys: &[i64]) -> Name {
        if keys.is_empty() {
            return self.truth(false);
        }
        let row = self.row_of_whole(keys);
        self.is_any_of(tensor, &row, keys.len())
    }

    /// Whether a value equals one of a row of them.
    fn is_any_of(&mut self, tensor: &str, row: &str, n_keys: usize) -> Name {
        let is_it = self.op("Equal", &[tensor, row]);
        let is_it = self.as_double(&is_it);
        let ones = self.column_of_ones(n_keys);
        let n_found = self.op("MatMul", &[&is_it, &ones]);
        let zero = self.double(0.0);
        self.op("Greater", &[&n_found, &zero])
    }
}
