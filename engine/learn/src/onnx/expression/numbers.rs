//! Arithmetic by the rules of the tables' crate, rounding for rounding.
//!
//! Whole numbers are 64-bit floats with whole values here, exact up to 2^53, and never a negative zero.

use super::{
    emit::Emitter,
    operand::{Int, Kind, Moment, Number, Operand, Truth, limits},
    syntax::{Binary, Expr},
};
use crate::onnx::graph::Name;

/// One more than the greatest 64-bit whole number.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

impl Emitter<'_> {
    pub(super) fn binary(
        &mut self,
        op: Binary,
        left_expr: &Expr,
        left: Operand,
        right_expr: &Expr,
    ) -> Result<Operand, String> {
        match op {
            Binary::And | Binary::Or | Binary::Xor => {
                let right = self.emit(right_expr)?;
                self.connected(op, left, right)
            }
            Binary::Eq
            | Binary::NotEq
            | Binary::Less
            | Binary::LessEq
            | Binary::Greater
            | Binary::GreaterEq
            | Binary::Same => {
                let right = self.emit_beside(left_expr, right_expr)?;
                Ok(Operand::Truth(self.compared(op, &left, &right)?))
            }
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::FloorDiv | Binary::Mod => {
                match (left, self.emit(right_expr)?) {
                    (Operand::Moment(left), Operand::Moment(right)) if op == Binary::Sub => {
                        Ok(Operand::Number(self.between_moments(&left, &right)))
                    }
                    (left, right) => {
                        let (left, right) = (plain(left)?, plain(right)?);
                        Ok(Operand::Number(self.computed(op, left, right)?))
                    }
                }
            }
        }
    }

    /// An operand of arithmetic.
    pub(super) fn number_in(&mut self, expr: &Expr, sign: &str) -> Result<Number, String> {
        plain(self.emit(expr)?).map_err(|err| format!("{err} (after '{sign}')"))
    }

    fn between_moments(&mut self, left: &Moment, right: &Moment) -> Number {
        let [one, other] = [left, right].map(|moment| self.present(moment));
        let micros = self.op("Sub", &[&one, &other]);
        let tensor = self.as_double(&micros);
        let missing = self.either(left.missing.clone(), right.missing.clone());
        Number { tensor, missing, kind: Kind::Duration, can_be_nan: false, literal: None }
    }

    pub(super) fn truth_as_number(&mut self, truth: &Truth) -> Number {
        let kind = Kind::Int(Int { bits: 8, is_free: false, range: Some((0, 1)) });
        let tensor = self.as_double(&truth.tensor);
        Number { tensor, missing: truth.missing.clone(), kind, can_be_nan: false, literal: None }
    }

    /// A number, or a truth value as 0 or 1.
    pub(super) fn as_number(&mut self, operand: Operand) -> Result<Number, String> {
        match operand {
            Operand::Truth(truth) => Ok(self.truth_as_number(&truth)),
            operand => plain(operand),
        }
    }

    pub(super) fn as_float(&mut self, number: Number) -> Result<Number, String> {
        match number.kind {
            Kind::Int(_) | Kind::Float => Ok(Number { kind: Kind::Float, ..number }),
            Kind::Duration => Err("it computes with a duration".to_owned()),
        }
    }

    /// Whole numbers of so many bits. What does not fit becomes missing, which the package allows where it `tries`.
    pub(super) fn as_int(&mut self, number: Number, bits: u32, tries: bool) -> Result<Number, String> {
        let end = 2f64.powi(bits as i32 - 1);
        let limits = limits(bits);
        let tensor = match number.kind {
            Kind::Int(int) => {
                let fits = match int.range {
                    Some(range) => range.0 >= limits.0 && range.1 <= limits.1,
                    None => bits == 64,
                };
                if fits {
                    let int = Int { bits, is_free: false, range: int.range };
                    return Ok(Number { kind: Kind::Int(int), literal: None, ..number });
                }
                number.tensor.clone()
            }
            _ => self.cut(&number.tensor),
        };
        let [least, end] = [-end, end].map(|limit| self.double(limit));
        let is_great = self.op("GreaterOrEqual", &[&tensor, &least]);
        let is_small = self.op("Less", &[&tensor, &end]);
        let fits = self.and(&is_great, &is_small);
        let misfits = self.not(&fits);
        self.is_strict |= !tries;
        let missing = self.either(number.missing.clone(), Some(misfits));
        let int = Int { bits, is_free: false, range: if bits == 64 { None } else { Some(limits) } };
        let tensor = self.without_negative_zero(&tensor);
        Ok(Number { tensor, missing, kind: Kind::Int(int), can_be_nan: false, literal: None })
    }

    /// Cut to whole numbers, towards zero.
    pub(super) fn cut(&mut self, tensor: &str) -> Name {
        let zero = self.double(0.0);
        let is_negative = self.op("Less", &[tensor, &zero]);
        let up = self.op("Ceil", &[tensor]);
        let down = self.op("Floor", &[tensor]);
        self.op("Where", &[&is_negative, &up, &down])
    }

    fn without_negative_zero(&mut self, tensor: &str) -> Name {
        let zero = self.double(0.0);
        let is_zero = self.op("Equal", &[tensor, &zero]);
        self.op("Where", &[&is_zero, &zero, tensor])
    }

    pub(super) fn negated(&mut self, number: &Number) -> Result<Number, String> {
        let (kind, tensor) = match number.kind {
            Kind::Int(int) => {
                let (int, wraps) = Int::literal(0).difference(int)?;
                let zero = self.double(0.0);
                let tensor = self.op("Sub", &[&zero, &number.tensor]);
                (Kind::Int(int), if wraps { self.wrapped(&tensor, int.bits) } else { tensor })
            }
            kind => (kind, self.op("Neg", &[&number.tensor])),
        };
        Ok(Number { tensor, kind, literal: None, ..number.clone() })
    }

    /// `left op right` for two plain numbers.
    pub(super) fn computed(&mut self, op: Binary, left: Number, right: Number) -> Result<Number, String> {
        let missing = self.either(left.missing.clone(), right.missing.clone());
        if let (Kind::Int(one), Kind::Int(other)) = (left.kind, right.kind)
            && op != Binary::Div
        {
            return self.computed_whole(op, &left, one, &right, other, missing);
        }
        let is_zero = |number: &Number| number.literal == Some(0.0);
        let (a, b) = (left.tensor.as_str(), right.tensor.as_str());
        let float = |tensor: Name, missing: Option<Name>, can_be_nan: bool| {
            Ok(Number { tensor, missing, kind: Kind::Float, can_be_nan, literal: None })
        };
        match op {
            // Adding a written zero changes nothing, not even a negative zero.
            Binary::Add | Binary::Sub if is_zero(&right) => float(left.tensor, missing, left.can_be_nan),
            Binary::Add if is_zero(&left) => float(right.tensor, missing, right.can_be_nan),
            Binary::Sub if is_zero(&left) => {
                let tensor = self.op("Neg", &[b]);
                float(tensor, missing, right.can_be_nan)
            }
            Binary::Add | Binary::Sub | Binary::Mul => {
                let op = match op {
                    Binary::Add => "Add",
                    Binary::Sub => "Sub",
                    _ => "Mul",
                };
                let tensor = self.op(op, &[a, b]);
                float(tensor, missing, true)
            }
            Binary::Div => {
                let tensor = self.quotient(a, b);
                float(tensor, missing, true)
            }
            Binary::FloorDiv => {
                let quotient = self.quotient(a, b);
                let tensor = self.op("Floor", &[&quotient]);
                let [least, end] = [-INT_END, INT_END].map(|limit| self.double(limit));
                let is_great = self.op("GreaterOrEqual", &[&tensor, &least]);
                let is_small = self.op("Less", &[&tensor, &end]);
                let fits = self.and(&is_great, &is_small);
                let misfits = self.not(&fits);
                let missing = self.either(missing, Some(misfits));
                let tensor = self.without_negative_zero(&tensor);
                Ok(Number { tensor, missing, kind: Kind::Int(Int::WIDE), can_be_nan: false, literal: None })
            }
            _ => {
                let quotient = self.quotient(a, b);
                let floor = self.op("Floor", &[&quotient]);
                let whole = self.op("Mul", &[b, &floor]);
                let tensor = self.op("Sub", &[a, &whole]);
                float(tensor, missing, true)
            }
        }
    }

    /// A column is divided by a constant by multiplying with its reciprocal, as it is in tables.
    fn quotient(&mut self, left: &str, right: &str) -> Name {
        if self.is_narrow(right) && !self.is_narrow(left) {
            let one = self.double(1.0);
            let reciprocal = self.op("Div", &[&one, right]);
            return self.op("Mul", &[left, &reciprocal]);
        }
        self.op("Div", &[left, right])
    }

    fn computed_whole(
        &mut self,
        op: Binary,
        left: &Number,
        one: Int,
        right: &Number,
        other: Int,
        missing: Option<Name>,
    ) -> Result<Number, String> {
        let (a, b) = (left.tensor.as_str(), right.tensor.as_str());
        let (tensor, (int, wraps)) = match op {
            Binary::Add => (self.op("Add", &[a, b]), one.sum(other)?),
            Binary::Sub => (self.op("Sub", &[a, b]), one.difference(other)?),
            Binary::Mul => {
                let product = self.op("Mul", &[a, b]);
                (self.without_negative_zero(&product), one.product(other)?)
            }
            _ => return self.divided_whole(op, left, one, right, other, missing),
        };
        let tensor = if wraps { self.wrapped(&tensor, int.bits) } else { tensor };
        Ok(Number { tensor, missing, kind: Kind::Int(int), can_be_nan: false, literal: None })
    }

    /// The quotient or rest of whole numbers, rounded down. What is divided by zero is missing.
    fn divided_whole(
        &mut self,
        op: Binary,
        left: &Number,
        one: Int,
        right: &Number,
        other: Int,
        missing: Option<Name>,
    ) -> Result<Number, String> {
        let (a, b) = (left.tensor.as_str(), right.tensor.as_str());
        let missing = match right.literal {
            Some(divisor) if divisor != 0.0 => missing,
            _ => {
                let zero = self.double(0.0);
                let is_zero = self.op("Equal", &[b, &zero]);
                self.either(missing, Some(is_zero))
            }
        };
        // Below 2^53 the quotient cannot be rounded up to a whole number.
        let quotient = self.op("Div", &[a, b]);
        let floor = self.op("Floor", &[&quotient]);
        let (tensor, int) = if op == Binary::FloorDiv {
            if let (_, true) = one.product(Int { range: Some((-1, -1)), ..other })? {
                return Err("the least number of a narrow type may be divided by -1".to_owned());
            }
            (floor, Int::WIDE)
        } else {
            let multiple = self.op("Mul", &[b, &floor]);
            (self.op("Sub", &[a, &multiple]), one.rest(other)?.0)
        };
        let tensor = self.without_negative_zero(&tensor);
        Ok(Number { tensor, missing, kind: Kind::Int(int), can_be_nan: false, literal: None })
    }

    /// Whole numbers brought into a narrow type by leaving out the bits that it does not have.
    fn wrapped(&mut self, tensor: &str, bits: u32) -> Name {
        let [half, all] = [bits - 1, bits].map(|bits| self.double(2f64.powi(bits as i32)));
        let shifted = self.op("Add", &[tensor, &half]);
        let turns = self.op("Div", &[&shifted, &all]);
        let turns = self.op("Floor", &[&turns]);
        let beyond = self.op("Mul", &[&turns, &all]);
        self.op("Sub", &[tensor, &beyond])
    }
}

/// A number that is no duration.
pub(super) fn plain(operand: Operand) -> Result<Number, String> {
    match operand {
        Operand::Number(number) if number.kind != Kind::Duration => Ok(number),
        Operand::Truth(_) => Err("it computes with a truth value; write CAST(x AS BIGINT) around it".to_owned()),
        other => Err(format!("it computes with {}, which is no number", other.what())),
    }
}
