//! Choices between values: `CASE` and the functions that are written with it.

use athanor_protocol::table::DataType;

use super::{
    emit::Emitter,
    operand::{Kind, Moment, Number, Operand, Truth},
    syntax::{Binary, Expr},
};
use crate::onnx::{
    graph::Name,
    texts::{Text, TextSource},
};

impl Emitter<'_> {
    pub(super) fn case(
        &mut self,
        operand: Option<&Expr>,
        arms: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<Operand, String> {
        let subject = operand.map(|operand| self.emit(operand)).transpose()?;
        let mut found = match otherwise {
            Some(otherwise) => self.emit(otherwise)?,
            None => Operand::Null,
        };
        for (condition, result) in arms.iter().rev() {
            let condition = self.emit(condition)?;
            let condition = match &subject {
                Some(subject) => self.compared(Binary::Eq, subject, &condition)?,
                None => self.condition(condition)?,
            };
            let result = self.emit(result)?;
            found = self.chosen(&condition.tensor, result, found)?;
        }
        Ok(found)
    }

    fn condition(&mut self, operand: Operand) -> Result<Truth, String> {
        match operand {
            Operand::Truth(truth) => Ok(truth),
            other => Err(format!("{} is no condition", other.what())),
        }
    }

    /// `yes` where a condition holds, `no` where it does not or is missing.
    pub(super) fn chosen(&mut self, condition: &Name, yes: Operand, no: Operand) -> Result<Operand, String> {
        let (yes_missing, no_missing) = match (&yes, &no) {
            // Texts keep their gaps to themselves.
            (Operand::Text(_), _) | (_, Operand::Text(_)) => (None, None),
            (yes, no) => (self.missing(yes)?, self.missing(no)?),
        };
        let missing = self.chosen_missing(condition, yes_missing, no_missing);
        Ok(match (yes, no) {
            (Operand::Null, Operand::Null) => Operand::Null,
            (Operand::Null, Operand::Text(no)) => {
                let yes = Text::new(TextSource::Literal(None));
                Operand::Text(self.chosen_text(condition.clone(), yes, no)?)
            }
            (Operand::Text(yes), Operand::Null) => {
                let no = Text::new(TextSource::Literal(None));
                Operand::Text(self.chosen_text(condition.clone(), yes, no)?)
            }
            (Operand::Text(yes), Operand::Text(no)) => Operand::Text(self.chosen_text(condition.clone(), yes, no)?),
            (Operand::Null, Operand::Number(other)) | (Operand::Number(other), Operand::Null) => {
                Operand::Number(Number { missing, literal: None, ..other })
            }
            (Operand::Null, Operand::Moment(other)) | (Operand::Moment(other), Operand::Null) => {
                Operand::Moment(Moment { missing, ..other })
            }
            (Operand::Truth(yes), Operand::Null) => {
                let tensor = self.and(condition, &yes.tensor);
                Operand::Truth(Truth { tensor, missing })
            }
            (Operand::Null, Operand::Truth(no)) => {
                let opposite = self.not(condition);
                let tensor = self.and(&opposite, &no.tensor);
                Operand::Truth(Truth { tensor, missing })
            }
            (Operand::Truth(yes), Operand::Truth(no)) => {
                let tensor = self.chosen_truth(condition, &yes.tensor, &no.tensor);
                Operand::Truth(Truth { tensor, missing })
            }
            (Operand::Moment(yes), Operand::Moment(no)) => {
                let dtype = if yes.dtype == no.dtype { yes.dtype } else { DataType::Datetime };
                let tensor = self.op("Where", &[condition, &yes.tensor, &no.tensor]);
                Operand::Moment(Moment { tensor, missing, dtype })
            }
            (Operand::Number(yes), Operand::Number(no)) => {
                let kind = match (yes.kind, no.kind) {
                    (Kind::Int(yes), Kind::Int(no)) => Kind::Int(yes.either(no)),
                    (Kind::Duration, Kind::Duration) => Kind::Duration,
                    (Kind::Duration, _) | (_, Kind::Duration) => {
                        return Err("it chooses between a duration and a number".to_owned());
                    }
                    _ => Kind::Float,
                };
                let tensor = self.op("Where", &[condition, &yes.tensor, &no.tensor]);
                let can_be_nan = yes.can_be_nan || no.can_be_nan;
                Operand::Number(Number { tensor, missing, kind, can_be_nan, literal: None })
            }
            (yes, no) => return Err(format!("it chooses between {} and {}", yes.what(), no.what())),
        })
    }

    /// One truth or the other: runtimes have no choice between them.
    fn chosen_truth(&mut self, condition: &Name, yes: &Name, no: &Name) -> Name {
        let yes = self.and(condition, yes);
        let opposite = self.not(condition);
        let no = self.and(&opposite, no);
        self.or(&yes, &no)
    }

    fn chosen_missing(&mut self, condition: &Name, yes: Option<Name>, no: Option<Name>) -> Option<Name> {
        let yes = yes.map(|yes| self.and(condition, &yes));
        let no = no.map(|no| {
            let opposite = self.not(condition);
            self.and(&opposite, &no)
        });
        self.either(yes, no)
    }

    /// The first that is not missing.
    pub(super) fn first_there(&mut self, operands: Vec<Operand>) -> Result<Operand, String> {
        let mut found = Operand::Null;
        for operand in operands.into_iter().rev() {
            if matches!((&operand, &found), (Operand::Null, _)) {
                continue;
            }
            if matches!(found, Operand::Null) {
                found = operand;
                continue;
            }
            let there = match self.missing(&operand)? {
                Some(missing) => self.not(&missing),
                None => self.truth(true),
            };
            found = self.chosen(&there, operand, found)?;
        }
        Ok(found)
    }

    /// Missing where it equals something, itself elsewhere.
    pub(super) fn null_if(&mut self, value: Operand, equals: &Operand) -> Result<Operand, String> {
        let equal = self.compared(Binary::Eq, &value, equals)?;
        self.chosen(&equal.tensor, Operand::Null, value)
    }

    /// The greatest or least of those that are there.
    pub(super) fn extreme(&mut self, operands: Vec<Operand>, greatest: bool) -> Result<Operand, String> {
        let mut found = Operand::Null;
        for operand in operands {
            found = match (found, operand) {
                (found, Operand::Null) => found,
                (Operand::Null, operand) => operand,
                (found, operand) => self.more_extreme(found, operand, greatest)?,
            };
        }
        Ok(found)
    }

    fn more_extreme(&mut self, left: Operand, right: Operand, greatest: bool) -> Result<Operand, String> {
        for side in [&left, &right] {
            match side {
                // Whether a NaN counts depends on the other rows of the table.
                Operand::Number(Number { can_be_nan: true, .. }) => {
                    return Err("GREATEST and LEAST of a float that may be computed as NaN".to_owned());
                }
                Operand::Number(_) | Operand::Moment(_) => {}
                other => return Err(format!("GREATEST and LEAST of {}", other.what())),
            }
        }
        let op = if greatest { Binary::Greater } else { Binary::Less };
        let wins = self.compared(op, &left, &right)?;
        let wins = match self.missing(&right)? {
            Some(missing) => self.or(&wins.tensor, &missing),
            None => wins.tensor,
        };
        self.chosen(&wins, left, right)
    }
}
