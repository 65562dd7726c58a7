//! Functions: those whose every rounding is known, and that runtimes have for 64-bit floats.

use super::{
    emit::Emitter,
    numbers::plain,
    operand::{Int, Kind, Number, Operand},
    syntax::{Binary, Expr},
};

/// Most digits that a number is rounded to: up to here a power of ten is exact.
const MAX_DIGITS: i64 = 22;
/// Greatest exponent that whole numbers are raised to.
const MAX_POWER: i64 = 64;
/// Why trigonometry ends with sine and cosine.
const NO_DOUBLES: &str = "runtimes do not compute it in 64-bit floats";

impl Emitter<'_> {
    pub(super) fn call(&mut self, name: &str, arguments: &[Expr]) -> Result<Operand, String> {
        let function = name.to_ascii_uppercase();
        let count = |n_wanted: usize| {
            if arguments.len() == n_wanted {
                Ok(())
            } else {
                Err(format!("{function} with {} arguments cannot be computed in ONNX", arguments.len()))
            }
        };
        let mut operands = Vec::with_capacity(arguments.len());
        match function.as_str() {
            // Their second argument is looked at as it is written.
            "ROUND" | "TRUNC" | "TRUNCATE" | "POW" | "POWER" => {}
            _ => {
                for argument in arguments {
                    operands.push(self.emit(argument)?);
                }
            }
        }
        match function.as_str() {
            "COALESCE" => return self.first_there(operands),
            "IFNULL" => {
                count(2)?;
                return self.first_there(operands);
            }
            "GREATEST" => return self.extreme(operands, true),
            "LEAST" => return self.extreme(operands, false),
            "NULLIF" => {
                count(2)?;
                let [value, equals] = two(operands)?;
                return self.null_if(value, &equals);
            }
            "IF" => {
                count(3)?;
                let Ok([condition, yes, no]) = <[Operand; 3]>::try_from(operands) else {
                    return Err("IF takes three arguments".to_owned());
                };
                let Operand::Truth(condition) = condition else {
                    return Err(format!("{} is no condition", condition.what()));
                };
                return self.chosen(&condition.tensor, yes, no);
            }
            "ROUND" | "TRUNC" | "TRUNCATE" => {
                return self.rounded(arguments, function == "ROUND").map(Operand::Number);
            }
            "POW" | "POWER" => return self.power(arguments).map(Operand::Number),
            "PI" => {
                count(0)?;
                return Ok(Operand::Number(self.float_literal(std::f64::consts::PI)));
            }
            "MOD" | "DIV" => {
                count(2)?;
                let [left, right] = two(operands)?;
                let op = if function == "MOD" { Binary::Mod } else { Binary::FloorDiv };
                return self.computed(op, plain(left)?, plain(right)?).map(Operand::Number);
            }
            "LOG" => {
                count(2)?;
                let [value, base] = two(operands)?;
                return self.logarithm(plain(value)?, plain(base)?).map(Operand::Number);
            }
            "TAN" | "TAND" | "COT" | "COTD" | "ASIN" | "ASIND" | "ACOS" | "ACOSD" | "ATAN" | "ATAND" | "ATAN2"
            | "ATAN2D" => return Err(format!("{function}: {NO_DOUBLES}")),
            _ => {}
        }
        let is_known = matches!(
            function.as_str(),
            "ABS"
                | "SIGN"
                | "FLOOR"
                | "CEIL"
                | "CEILING"
                | "SQRT"
                | "EXP"
                | "LN"
                | "LOG2"
                | "LOG10"
                | "SIN"
                | "COS"
                | "SIND"
                | "COSD"
                | "DEGREES"
                | "RADIANS"
        );
        if !is_known {
            return Err(format!("the function {name:?} cannot be computed in ONNX in the same way"));
        }
        count(1)?;
        let Some(operand) = operands.pop() else { return Err(format!("{function} takes a number")) };
        let number = plain(operand)?;
        self.of_number(&function, number).map(Operand::Number)
    }

    /// A function of one number.
    fn of_number(&mut self, function: &str, number: Number) -> Result<Number, String> {
        let keep = |tensor: String, number: Number| Ok(Number { tensor, literal: None, ..number });
        match function {
            "ABS" => {
                let kind = match number.kind {
                    Kind::Int(int) => {
                        let (negative, wraps) = int.product(Int::literal(-1))?;
                        if wraps {
                            return Err("ABS of the least number of a narrow type; write CAST(x AS BIGINT)".to_owned());
                        }
                        Kind::Int(negative.either(int))
                    }
                    kind => kind,
                };
                let tensor = self.op("Abs", &[&number.tensor]);
                return keep(tensor, Number { kind, ..number });
            }
            "SIGN" => {
                let kind = match number.kind {
                    Kind::Int(int) => Kind::Int(Int { range: Some((-1, 1)), ..int }),
                    kind => kind,
                };
                let [minus, zero, one] = [-1.0, 0.0, 1.0].map(|value| self.double(value));
                let is_positive = self.op("Greater", &[&number.tensor, &zero]);
                let tensor = self.op("Where", &[&is_positive, &one, &number.tensor]);
                let is_negative = self.op("Less", &[&number.tensor, &zero]);
                let tensor = self.op("Where", &[&is_negative, &minus, &tensor]);
                return keep(tensor, Number { kind, ..number });
            }
            // Whole numbers stay what they are.
            "FLOOR" | "CEIL" | "CEILING" if matches!(number.kind, Kind::Int(_)) => {
                let tensor = number.tensor.clone();
                return keep(tensor, number);
            }
            "FLOOR" | "CEIL" | "CEILING" => {
                let op = if function == "FLOOR" { "Floor" } else { "Ceil" };
                let tensor = self.op(op, &[&number.tensor]);
                return keep(tensor, number);
            }
            _ => {}
        }
        let number = self.as_float(number)?;
        let radians = |emitter: &mut Self| {
            let factor = emitter.double(std::f64::consts::PI / 180.0);
            emitter.op("Mul", &[&number.tensor, &factor])
        };
        let tensor = match function {
            "SQRT" => self.op("Sqrt", &[&number.tensor]),
            "EXP" => self.op("Exp", &[&number.tensor]),
            "LN" => self.op("Log", &[&number.tensor]),
            "LOG2" | "LOG10" => {
                let base = if function == "LOG2" { 2f64 } else { 10f64 };
                let natural = self.op("Log", &[&number.tensor]);
                let base = self.double(base.ln());
                self.op("Div", &[&natural, &base])
            }
            "SIN" => self.op("Sin", &[&number.tensor]),
            "COS" => self.op("Cos", &[&number.tensor]),
            "SIND" | "COSD" => {
                let angle = radians(self);
                self.op(if function == "SIND" { "Sin" } else { "Cos" }, &[&angle])
            }
            "RADIANS" => radians(self),
            _ => {
                let factor = self.double(180.0 / std::f64::consts::PI);
                self.op("Mul", &[&number.tensor, &factor])
            }
        };
        keep(tensor, Number { can_be_nan: true, ..number })
    }

    fn logarithm(&mut self, value: Number, base: Number) -> Result<Number, String> {
        let missing = self.either(value.missing.clone(), base.missing.clone());
        let (value, base) = (self.as_float(value)?, self.as_float(base)?);
        let natural = self.op("Log", &[&value.tensor]);
        let base = match base.literal {
            Some(base) => self.double(base.ln()),
            None => self.op("Log", &[&base.tensor]),
        };
        let tensor = self.op("Div", &[&natural, &base]);
        Ok(Number { tensor, missing, kind: Kind::Float, can_be_nan: true, literal: None })
    }

    /// `ROUND` with halves to even, or `TRUNC` towards zero, to a written number of digits.
    fn rounded(&mut self, arguments: &[Expr], to_even: bool) -> Result<Number, String> {
        let (value, digits) = match arguments {
            [value] => (value, 0),
            [value, Expr::Int(digits)] if (0..=MAX_DIGITS).contains(digits) => (value, *digits),
            [_, Expr::Int(_)] => return Err(format!("it rounds to digits that are not between 0 and {MAX_DIGITS}")),
            _ => return Err("it rounds to digits that are not a written number".to_owned()),
        };
        let number = plain(self.emit(value)?)?;
        if matches!(number.kind, Kind::Int(_)) {
            return Ok(Number { literal: None, ..number });
        }
        let round = |emitter: &mut Self, tensor: &str| {
            if to_even { emitter.rounded_to_even(tensor) } else { emitter.cut(tensor) }
        };
        if digits == 0 {
            let tensor = round(self, &number.tensor);
            return Ok(Number { tensor, literal: None, ..number });
        }
        // Digits is at most MAX_DIGITS.
        let factor = self.double(10f64.powi(digits as i32));
        let scaled = self.op("Mul", &[&number.tensor, &factor]);
        let rounded = round(self, &scaled);
        let rounded = self.op("Div", &[&rounded, &factor]);
        // What overflows on the way was whole already.
        let size = self.op("Abs", &[&rounded]);
        let greatest = self.double(f64::MAX);
        let is_finite = self.op("LessOrEqual", &[&size, &greatest]);
        let tensor = self.op("Where", &[&is_finite, &rounded, &number.tensor]);
        Ok(Number { tensor, literal: None, ..number })
    }

    fn power(&mut self, arguments: &[Expr]) -> Result<Number, String> {
        let [base, exponent] = arguments else {
            return Err("POW takes two arguments".to_owned());
        };
        let base = plain(self.emit(base)?)?;
        let exponent = plain(self.emit(exponent)?)?;
        match (base.kind, exponent.kind, exponent.literal) {
            (Kind::Int(int), Kind::Int(_), Some(power)) if (0.0..=MAX_POWER as f64).contains(&power) => {
                if power == 0.0 {
                    let int = Int { range: Some((1, 1)), ..int };
                    let tensor = self.double(1.0);
                    return Ok(Number { tensor, kind: Kind::Int(int), literal: None, ..base });
                }
                self.multiplied(&base, power as i64)
            }
            (Kind::Int(_), Kind::Int(_), _) => Err(format!(
                "POW of whole numbers takes a written exponent between 0 and {MAX_POWER}; write CAST(x AS DOUBLE) \
                 around the base"
            )),
            (_, _, Some(power)) => {
                let base = self.as_float(base)?;
                if power == 1.0 {
                    return Ok(Number { literal: None, ..base });
                }
                if power == 0.5 {
                    return self.of_number("SQRT", base);
                }
                if power.fract() == 0.0 && power > 1.0 && power < 10.0 {
                    return self.multiplied(&base, power as i64);
                }
                let exponent = self.double(power);
                let tensor = self.op("Pow", &[&base.tensor, &exponent]);
                Ok(Number { tensor, can_be_nan: true, literal: None, ..base })
            }
            (_, _, None) if self.is_narrow(&exponent.tensor) => {
                Err("POW takes an exponent that is written out or differs from row to row".to_owned())
            }
            (_, _, None) => {
                let missing = self.either(base.missing.clone(), exponent.missing.clone());
                let (base, exponent) = (self.as_float(base)?, self.as_float(exponent)?);
                let tensor = self.op("Pow", &[&base.tensor, &exponent.tensor]);
                Ok(Number { tensor, missing, kind: Kind::Float, can_be_nan: true, literal: None })
            }
        }
    }

    /// A small power, by multiplication.
    fn multiplied(&mut self, base: &Number, power: i64) -> Result<Number, String> {
        let mut found = Number { literal: None, ..base.clone() };
        for _ in 1..power {
            found = self.computed(Binary::Mul, found, base.clone())?;
        }
        Ok(found)
    }
}

fn two(operands: Vec<Operand>) -> Result<[Operand; 2], String> {
    <[Operand; 2]>::try_from(operands).map_err(|_| "it takes two arguments".to_owned())
}
