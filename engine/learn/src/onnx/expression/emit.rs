//! From the syntax tree to nodes: columns, literals, casts, and what comes out in the end.

use std::collections::{BTreeMap, BTreeSet};

use athanor_protocol::table::DataType;

use super::{
    operand::{Int, Kind, MAX_EXACT, Moment, Number, Operand, Truth},
    syntax::{Binary, Expr, Is, Type},
};
use crate::onnx::{
    columns::{Halves, MISSING_MOMENT, Value, is_there, rounded},
    graph::{Graph, Name, int},
    proto::elem,
    recipe::Columns,
    texts::{MAX_SOURCES, Text, TextSource},
};

/// Writes one expression.
pub(super) struct Emitter<'a> {
    pub(super) graph: &'a mut Graph,
    columns: &'a Columns,
    /// Tensors `[1, 1]`, made of constants alone.
    narrow: BTreeSet<Name>,
    /// Where the numbers of a column are missing, found once for each.
    missing_of: BTreeMap<Name, Name>,
    /// Whether some cast makes a value missing that the package refuses.
    pub(super) is_strict: bool,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(graph: &'a mut Graph, columns: &'a Columns) -> Self {
        Self { graph, columns, narrow: BTreeSet::new(), missing_of: BTreeMap::new(), is_strict: false }
    }

    /// A node; made of constants alone, its output is one.
    fn node(&mut self, inputs: &[&str], make: impl FnOnce(&mut Graph) -> Name) -> Name {
        let is_narrow = inputs.iter().all(|input| self.narrow.contains(*input));
        let output = make(self.graph);
        if is_narrow {
            self.narrow.insert(output.clone());
        }
        output
    }

    pub(super) fn op(&mut self, op_type: &str, inputs: &[&str]) -> Name {
        self.node(inputs, |graph| graph.op(op_type, inputs))
    }

    /// The remainder of whole numbers, with the sign of the divisor.
    pub(super) fn modulo(&mut self, left: &str, right: &str) -> Name {
        self.node(&[left, right], |graph| graph.with("Mod", &[left, right], vec![int("fmod", 0)]))
    }

    pub(super) fn as_double(&mut self, tensor: &str) -> Name {
        self.node(&[tensor], |graph| graph.cast(tensor, elem::DOUBLE))
    }

    pub(super) fn is_narrow(&self, tensor: &str) -> bool {
        self.narrow.contains(tensor)
    }

    fn constant(&mut self, name: Name) -> Name {
        self.narrow.insert(name.clone());
        name
    }

    pub(super) fn double(&mut self, value: f64) -> Name {
        let name = self.graph.number(value);
        self.constant(name)
    }

    pub(super) fn whole(&mut self, value: i64) -> Name {
        let name = self.graph.i64s(&[1, 1], &[value]);
        self.constant(name)
    }

    /// Several constants beside each other, `[1, n]`.
    pub(super) fn row_of(&mut self, values: &[f64]) -> Name {
        let name = self.graph.f64s(&[1, values.len()], values);
        self.constant(name)
    }

    pub(super) fn row_of_whole(&mut self, values: &[i64]) -> Name {
        let name = self.graph.i64s(&[1, values.len()], values);
        self.constant(name)
    }

    /// What a row of numbers is multiplied with to sum it up, `[n, 1]`.
    pub(super) fn column_of_ones(&mut self, n_values: usize) -> Name {
        let name = self.graph.f64s(&[n_values, 1], &vec![1.0; n_values]);
        self.constant(name)
    }

    pub(super) fn truth(&mut self, value: bool) -> Name {
        let name = self.graph.bools(&[1, 1], &[value]);
        self.constant(name)
    }

    pub(super) fn not(&mut self, tensor: &str) -> Name {
        self.op("Not", &[tensor])
    }

    pub(super) fn and(&mut self, left: &str, right: &str) -> Name {
        self.op("And", &[left, right])
    }

    pub(super) fn or(&mut self, left: &str, right: &str) -> Name {
        self.op("Or", &[left, right])
    }

    /// Where one or the other holds, where either can.
    pub(super) fn either(&mut self, left: Option<Name>, right: Option<Name>) -> Option<Name> {
        match (left, right) {
            (Some(left), Some(right)) => Some(self.or(&left, &right)),
            (one, other) => one.or(other),
        }
    }

    /// Whether numbers are numbers, infinities too: `bool` of the tensor's shape.
    pub(super) fn is_number(&mut self, tensor: &str) -> Name {
        self.node(&[tensor], |graph| is_there(graph, tensor))
    }

    pub(super) fn rounded_to_even(&mut self, tensor: &str) -> Name {
        self.node(&[tensor], |graph| rounded(graph, tensor, Halves::ToEven))
    }

    /// Where a column's numbers are missing.
    fn missing_in(&mut self, tensor: &Name) -> Name {
        if let Some(missing) = self.missing_of.get(tensor) {
            return missing.clone();
        }
        let there = self.is_number(tensor);
        let missing = self.not(&there);
        self.missing_of.insert(tensor.clone(), missing.clone());
        missing
    }

    /// Writes an expression.
    pub(super) fn emit(&mut self, expr: &Expr) -> Result<Operand, String> {
        match expr {
            Expr::Int(value) => Ok(Operand::Number(self.int_literal(*value)?)),
            Expr::Float(value) => Ok(Operand::Number(self.float_literal(*value))),
            Expr::Bool(value) => Ok(Operand::Truth(Truth { tensor: self.truth(*value), missing: None })),
            Expr::Text(text) => Ok(Operand::Text(Text::new(TextSource::Literal(Some(text.clone()))))),
            Expr::Null => Ok(Operand::Null),
            Expr::Moment(micros, dtype) => {
                Ok(Operand::Moment(Moment { tensor: self.whole(*micros), missing: None, dtype: *dtype }))
            }
            Expr::Column(name) => self.column(name),
            Expr::Plus(inner) => {
                let number = self.number_in(inner, "+")?;
                Ok(Operand::Number(number))
            }
            Expr::Neg(inner) => {
                let number = self.number_in(inner, "-")?;
                Ok(Operand::Number(self.negated(&number)?))
            }
            Expr::Not(inner) => {
                let operand = self.emit(inner)?;
                let truth = self.as_truth(operand)?;
                Ok(Operand::Truth(self.negated_truth(&truth)))
            }
            Expr::Binary(..) => self.chain(expr),
            Expr::Between { value, low, high, negated } => self.between(value, low, high, *negated),
            Expr::In { value, list, negated } => self.contained(value, list, *negated),
            Expr::Is { value, what, negated } => self.is(value, *what, *negated),
            Expr::Case { operand, arms, otherwise } => self.case(operand.as_deref(), arms, otherwise.as_deref()),
            Expr::Cast { value, to, tries } => {
                let operand = self.emit(value)?;
                self.cast(operand, *to, *tries)
            }
            Expr::Extract { part, value } => match self.emit(value)? {
                Operand::Moment(moment) => Ok(Operand::Number(self.part(part, &moment)?)),
                other => Err(format!("it takes a part of {}, which is no date", other.what())),
            },
            Expr::Call { name, arguments } => self.call(name, arguments),
        }
    }

    /// A chain of operators leans to the left as deep as it is long: it is walked without recursion.
    fn chain(&mut self, expr: &Expr) -> Result<Operand, String> {
        let mut operations = Vec::new();
        let mut first = expr;
        while let Expr::Binary(op, left, right) = first {
            operations.push((*op, &**left, &**right));
            first = left;
        }
        let mut found = self.emit(first)?;
        for (op, left, right) in operations.into_iter().rev() {
            found = self.binary(op, left, found, right)?;
        }
        Ok(found)
    }

    pub(super) fn int_literal(&mut self, value: i64) -> Result<Number, String> {
        if value.unsigned_abs() > MAX_EXACT.unsigned_abs() {
            return Err(format!("the number {value} is not exact in a 64-bit float"));
        }
        let kind = Kind::Int(Int::literal(value));
        let literal = value as f64;
        Ok(Number { tensor: self.double(literal), missing: None, kind, can_be_nan: false, literal: Some(literal) })
    }

    pub(super) fn float_literal(&mut self, value: f64) -> Number {
        let tensor = self.double(value);
        Number { tensor, missing: None, kind: Kind::Float, can_be_nan: false, literal: Some(value) }
    }

    fn column(&mut self, name: &str) -> Result<Operand, String> {
        let found = self.columns.iter().find(|(column, _)| column == name);
        let Some((_, value)) = found else {
            return Err(format!("{name:?} is no column and nothing that ONNX can compute"));
        };
        match value {
            Value::Number { tensor, dtype, nullable } => {
                let (tensor, dtype) = (tensor.clone(), *dtype);
                let missing = if *nullable { Some(self.missing_in(&tensor)) } else { None };
                let kind = match dtype {
                    DataType::Bool => {
                        let one = self.double(1.0);
                        let tensor = self.op("Equal", &[&tensor, &one]);
                        return Ok(Operand::Truth(Truth { tensor, missing }));
                    }
                    DataType::Int => Kind::Int(Int::WIDE),
                    DataType::Float => Kind::Float,
                    DataType::Duration => Kind::Duration,
                    other => return Err(format!("it computes with {name:?}, which is {}", other.as_str())),
                };
                Ok(Operand::Number(Number { tensor, missing, kind, can_be_nan: false, literal: None }))
            }
            Value::Moment { tensor, dtype } => {
                let (tensor, dtype) = (tensor.clone(), *dtype);
                let sentinel = self.whole(MISSING_MOMENT);
                let missing = Some(self.op("Equal", &[&tensor, &sentinel]));
                Ok(Operand::Moment(Moment { tensor, missing, dtype }))
            }
            Value::Text(text) => Ok(Operand::Text(text.clone())),
        }
    }

    fn is(&mut self, value: &Expr, what: Is, negated: bool) -> Result<Operand, String> {
        let operand = self.emit(value)?;
        let truth = match what {
            Is::Missing => {
                let tensor = match self.missing(&operand)? {
                    Some(missing) => missing,
                    None => self.never(&operand),
                };
                Truth { tensor, missing: None }
            }
            // A missing value stays one here, where other databases answer false.
            Is::True | Is::False => match operand {
                Operand::Truth(truth) if what == Is::True => truth,
                Operand::Truth(truth) => self.negated_truth(&truth),
                operand => {
                    let wanted = Truth { tensor: self.truth(what == Is::True), missing: None };
                    self.compared(Binary::Eq, &operand, &Operand::Truth(wanted))?
                }
            },
        };
        Ok(Operand::Truth(if negated { self.negated_truth(&truth) } else { truth }))
    }

    /// Where a value is missing.
    pub(super) fn missing(&mut self, operand: &Operand) -> Result<Option<Name>, String> {
        Ok(match operand {
            Operand::Number(number) => number.missing.clone(),
            Operand::Truth(truth) => truth.missing.clone(),
            Operand::Moment(moment) => moment.missing.clone(),
            Operand::Text(text) => self.missing_text(text),
            Operand::Null => Some(self.truth(true)),
        })
    }

    /// A value of every row that is false, for a value that never misses.
    fn never(&mut self, operand: &Operand) -> Name {
        let some = match operand {
            Operand::Number(number) => self.is_number(&number.tensor),
            Operand::Truth(truth) => truth.tensor.clone(),
            Operand::Moment(moment) => self.op("Equal", &[&moment.tensor, &moment.tensor]),
            Operand::Text(_) | Operand::Null => return self.truth(false),
        };
        let opposite = self.not(&some);
        self.and(&some, &opposite)
    }

    fn cast(&mut self, operand: Operand, to: Type, tries: bool) -> Result<Operand, String> {
        let refuse = |operand: &Operand, to: &str| Err(format!("CAST of {} to {to} is not exported", operand.what()));
        match (operand, to) {
            (Operand::Null, _) => Ok(Operand::Null),
            (operand @ (Operand::Number(_) | Operand::Truth(_)), Type::Float) => {
                let number = self.as_number(operand)?;
                Ok(Operand::Number(self.as_float(number)?))
            }
            (operand @ (Operand::Number(_) | Operand::Truth(_)), Type::Int(bits)) => {
                let number = self.as_number(operand)?;
                Ok(Operand::Number(self.as_int(number, bits, tries)?))
            }
            (operand @ (Operand::Number(_) | Operand::Truth(_)), Type::Bool) => {
                Ok(Operand::Truth(self.as_truth(operand)?))
            }
            (Operand::Text(text), Type::Text) => Ok(Operand::Text(text)),
            (Operand::Number(number), Type::Text) => match number.kind {
                Kind::Int(_) => {
                    let tensor = self.with_gaps(&number);
                    Ok(Operand::Text(Text::new(TextSource::Numbers { tensor, dtype: DataType::Int })))
                }
                _ => Err("CAST of floats to text is not exported".to_owned()),
            },
            (Operand::Truth(truth), Type::Text) => {
                let number = self.truth_as_number(&truth);
                let tensor = self.with_gaps(&number);
                Ok(Operand::Text(Text::new(TextSource::Numbers { tensor, dtype: DataType::Bool })))
            }
            (Operand::Moment(moment), Type::Moment(dtype)) => Ok(Operand::Moment(self.as_moment(&moment, dtype))),
            (operand, Type::Moment(_)) => refuse(&operand, "dates"),
            (operand, Type::Text) => refuse(&operand, "text"),
            (operand, Type::Int(_) | Type::Float) => refuse(&operand, "numbers"),
            (operand, Type::Bool) => refuse(&operand, "truth values"),
        }
    }

    fn as_moment(&mut self, moment: &Moment, dtype: DataType) -> Moment {
        const DAY: i64 = 86_400_000_000;
        let mut found = Moment { dtype, ..moment.clone() };
        if dtype == DataType::Date && moment.dtype != DataType::Date {
            let micros = self.present(moment);
            let day = self.whole(DAY);
            let of_day = self.modulo(&micros, &day);
            found.tensor = self.op("Sub", &[&micros, &of_day]);
        }
        found
    }

    /// The numbers with NaN where they are missing.
    fn with_gaps(&mut self, number: &Number) -> Name {
        match &number.missing {
            Some(missing) => {
                let gap = self.double(f64::NAN);
                self.op("Where", &[missing, &gap, &number.tensor])
            }
            None => number.tensor.clone(),
        }
    }

    /// A value as a column of the graph, of as many rows as the others.
    pub(super) fn finish(&mut self, operand: Operand) -> Result<Value, String> {
        match operand {
            Operand::Number(number) => {
                let nullable = number.missing.is_some() || number.can_be_nan;
                let dtype = match number.kind {
                    Kind::Int(_) => DataType::Int,
                    Kind::Float => DataType::Float,
                    Kind::Duration => DataType::Duration,
                };
                let tensor = self.with_gaps(&number);
                Ok(Value::Number { tensor: self.for_every_row(tensor)?, dtype, nullable })
            }
            Operand::Truth(truth) => {
                let number = self.truth_as_number(&truth);
                let tensor = self.with_gaps(&number);
                let nullable = truth.missing.is_some();
                Ok(Value::Number { tensor: self.for_every_row(tensor)?, dtype: DataType::Bool, nullable })
            }
            Operand::Moment(moment) => {
                let tensor = match &moment.missing {
                    Some(missing) => {
                        let sentinel = self.whole(MISSING_MOMENT);
                        self.op("Where", &[missing, &sentinel, &moment.tensor])
                    }
                    None => moment.tensor.clone(),
                };
                Ok(Value::Moment { tensor: self.for_every_row(tensor)?, dtype: moment.dtype })
            }
            Operand::Text(text) => {
                if self.is_wide(&text) {
                    return Ok(Value::Text(text));
                }
                let condition = self.every_row()?;
                let no = Box::new(Text::new(TextSource::Literal(None)));
                Ok(Value::Text(Text::new(TextSource::Choice { condition, yes: Box::new(text), no })))
            }
            Operand::Null => Err("it is missing in every row".to_owned()),
        }
    }

    /// Whether a text has a value of its own for every row.
    fn is_wide(&self, text: &Text) -> bool {
        match &text.source {
            TextSource::Strings { .. } | TextSource::Numbers { .. } => true,
            TextSource::Literal(_) => false,
            TextSource::Choice { condition, yes, no } => {
                !self.is_narrow(condition) || self.is_wide(yes) || self.is_wide(no)
            }
        }
    }

    /// Notes of a tensor made from a text whether it has a value of its own for every row.
    pub(super) fn as_wide_as(&mut self, text: &Text, tensor: Name) -> Name {
        if self.is_wide(text) { tensor } else { self.constant(tensor) }
    }

    fn for_every_row(&mut self, tensor: Name) -> Result<Name, String> {
        if !self.is_narrow(&tensor) {
            return Ok(tensor);
        }
        let condition = self.every_row()?;
        Ok(self.graph.op("Where", &[&condition, &tensor, &tensor]))
    }

    /// True for every row.
    fn every_row(&mut self) -> Result<Name, String> {
        let Some((_, first)) = self.columns.first() else {
            return Err("there is no column that says how many rows there are".to_owned());
        };
        let some = match first {
            Value::Number { tensor, .. } => is_there(self.graph, tensor),
            Value::Moment { tensor, .. } => self.graph.op("Equal", &[tensor, tensor]),
            Value::Text(text) => {
                let place = text.place(self.graph, crate::onnx::texts::Places { keys: &[], missing: 1, other: 0 });
                self.graph.op("Equal", &[&place, &place])
            }
        };
        let opposite = self.graph.op("Not", &[&some]);
        Ok(self.graph.op("Or", &[&some, &opposite]))
    }

    /// A text made of two, within the limit.
    pub(super) fn chosen_text(&self, condition: Name, yes: Text, no: Text) -> Result<Text, String> {
        if yes.n_sources() + no.n_sources() > MAX_SOURCES {
            return Err(format!("it chooses between more than {MAX_SOURCES} texts"));
        }
        Ok(Text::new(TextSource::Choice { condition, yes: Box::new(yes), no: Box::new(no) }))
    }
}
