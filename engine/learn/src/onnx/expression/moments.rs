//! Dates and datetimes: texts that are read when the graph is written, and parts that it computes in whole numbers.

use athanor_protocol::table::DataType;

use super::{
    emit::Emitter,
    operand::{Int, Kind, Moment, Number},
};

const DAY: i64 = 86_400_000_000;
/// The years that the calendar of the tables' crate has.
const YEARS: [i64; 2] = [-262_143, 262_142];

/// Reads `2024-01-31` or `2024-01-31 10:30:00.5` as microseconds since the Unix epoch, as a literal of the type.
pub(super) fn read(text: &str, dtype: DataType) -> Option<i64> {
    let (date, time) = match dtype {
        DataType::Date => (text, None),
        _ => {
            let at = text.find([' ', 'T'])?;
            (&text[..at], Some(&text[at + 1..]))
        }
    };
    Some(read_date(date)? * DAY + time.map_or(Some(0), read_time)?)
}

/// Digits and nothing else, so many of them.
fn digits(text: &str, n_digits: usize) -> Option<i64> {
    let are_digits = text.len() == n_digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if are_digits { text.parse().ok() } else { None }
}

/// Days since the Unix epoch.
pub(super) fn read_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let [this, next] = [(year, month), if month == 12 { (year + 1, 1) } else { (year, month + 1) }];
    let [this, next] = [this, next].map(|(year, month)| days_of(year, month, 1));
    (day <= next - this).then_some(this + day - 1)
}

fn read_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next();
    let seconds = second.map_or(Some(0), |second| digits(second, 2))?;
    let micros = match fraction {
        Some(fraction) if second.is_some() && (1..=6).contains(&fraction.len()) => {
            digits(fraction, fraction.len())? * 10i64.pow(6 - fraction.len() as u32)
        }
        Some(_) => return None,
        None => 0,
    };
    let fits = parts.next().is_none() && hour < 24 && minute < 60 && seconds < 60;
    fits.then_some(((hour * 60 + minute) * 60 + seconds) * 1_000_000 + micros)
}

/// Days from the Unix epoch to a date of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl Emitter<'_> {
    /// The values with 0 where they are missing: nothing that is computed with them can overflow.
    pub(super) fn present(&mut self, moment: &Moment) -> String {
        match &moment.missing {
            Some(missing) => {
                let zero = self.whole(0);
                self.op("Where", &[missing, &zero, &moment.tensor])
            }
            None => moment.tensor.clone(),
        }
    }

    fn with_whole(&mut self, op: &str, left: &str, right: i64) -> String {
        let right = self.whole(right);
        if op == "Mod" { self.modulo(left, &right) } else { self.op(op, &[left, &right]) }
    }

    /// Divided and rounded down; nothing overflows on the way.
    fn floor_div(&mut self, left: &str, right: i64) -> String {
        let zero = self.whole(0);
        let cut = self.with_whole("Div", left, right);
        let rest = self.with_whole("Mod", left, right);
        let is_negative = self.op("Less", &[left, &zero]);
        let has_rest = self.op("Greater", &[&rest, &zero]);
        let was_cut_up = self.and(&is_negative, &has_rest);
        let below = self.with_whole("Sub", &cut, 1);
        self.op("Where", &[&was_cut_up, &below, &cut])
    }

    /// A part of a date, as `EXTRACT` gives it.
    pub(super) fn part(&mut self, part: &str, moment: &Moment) -> Result<Number, String> {
        let part = part.to_ascii_lowercase();
        let (name, bits, least, greatest) = match part.as_str() {
            "year" | "years" | "y" => ("year", 32, -300_000, 300_000),
            "quarter" | "quarters" => ("quarter", 8, 1, 4),
            "month" | "months" | "mon" | "mons" => ("month", 8, 1, 12),
            "day" | "days" | "dayofmonth" | "d" => ("day", 8, 1, 31),
            "doy" | "dayofyear" => ("doy", 16, 1, 366),
            "dow" | "dayofweek" => ("dow", 8, 0, 6),
            "isodow" => ("isodow", 8, 1, 7),
            "hour" | "hours" | "h" => ("hour", 8, 0, 23),
            "minute" | "minutes" | "mins" | "min" | "m" => ("minute", 8, 0, 59),
            "second" | "seconds" | "sec" | "secs" | "s" => ("second", 8, 0, 59),
            _ => return Err(format!("the part {part:?} of a date is not computed in ONNX")),
        };
        if matches!(name, "hour" | "minute" | "second") && moment.dtype == DataType::Date {
            return Err(format!("a date without a time has no {name}"));
        }
        let moment = if matches!(name, "dow" | "isodow") { moment.clone() } else { self.within_calendar(moment) };
        let micros = self.present(&moment);
        let of_day = self.with_whole("Mod", &micros, DAY);
        let days = self.floor_div(&micros, DAY);
        let value = match name {
            "hour" => self.with_whole("Div", &of_day, 3_600_000_000),
            "minute" => {
                let minutes = self.with_whole("Div", &of_day, 60_000_000);
                self.with_whole("Mod", &minutes, 60)
            }
            "second" => {
                let seconds = self.with_whole("Div", &of_day, 1_000_000);
                self.with_whole("Mod", &seconds, 60)
            }
            // The epoch was a Thursday.
            "dow" => {
                let shifted = self.with_whole("Add", &days, 4);
                self.with_whole("Mod", &shifted, 7)
            }
            "isodow" => {
                let shifted = self.with_whole("Add", &days, 3);
                let from_zero = self.with_whole("Mod", &shifted, 7);
                self.with_whole("Add", &from_zero, 1)
            }
            name => self.calendar(name, &days),
        };
        let tensor = self.as_double(&value);
        let int = Int { bits, is_free: false, range: Some((least, greatest)) };
        Ok(Number { tensor, missing: moment.missing, kind: Kind::Int(int), can_be_nan: false, literal: None })
    }

    /// Missing too where the calendar of the tables' crate ends; its weekdays go on.
    fn within_calendar(&mut self, moment: &Moment) -> Moment {
        let [first, last] = [days_of(YEARS[0], 1, 1), days_of(YEARS[1], 12, 31) + 1].map(|day| self.whole(day * DAY));
        let is_early = self.op("Less", &[&moment.tensor, &first]);
        let is_known = self.op("Less", &[&moment.tensor, &last]);
        let is_late = self.not(&is_known);
        let mut missing = self.or(&is_early, &is_late);
        if let Some(more) = &moment.missing {
            missing = self.or(more, &missing);
        }
        Moment { missing: Some(missing), ..moment.clone() }
    }

    /// Year, quarter, month, day or day of the year from days since the epoch, by eras as in [`days_of`].
    fn calendar(&mut self, name: &str, days: &str) -> String {
        let shifted = self.with_whole("Add", days, 719_468);
        let era = self.floor_div(&shifted, 146_097);
        let day_of_era = self.with_whole("Mod", &shifted, 146_097);
        let mut leap_days = self.with_whole("Div", &day_of_era, 1_460);
        for (op, length) in [("Sub", 36_524), ("Add", 146_096)] {
            let more = self.with_whole("Div", &day_of_era, length);
            leap_days = self.op(op, &[&leap_days, &more]);
        }
        let plain = self.op("Sub", &[&day_of_era, &leap_days]);
        let year_of_era = self.with_whole("Div", &plain, 365);
        let mut before = self.with_whole("Mul", &year_of_era, 365);
        for (op, length) in [("Add", 4), ("Sub", 100)] {
            let more = self.with_whole("Div", &year_of_era, length);
            before = self.op(op, &[&before, &more]);
        }
        // Counted from the first of March.
        let day_of_year = self.op("Sub", &[&day_of_era, &before]);
        let five = self.with_whole("Mul", &day_of_year, 5);
        let five = self.with_whole("Add", &five, 2);
        let month = self.with_whole("Div", &five, 153);
        let ten = self.whole(10);
        let is_this_year = self.op("Less", &[&month, &ten]);
        match name {
            "day" => {
                let before = self.with_whole("Mul", &month, 153);
                let before = self.with_whole("Add", &before, 2);
                let before = self.with_whole("Div", &before, 5);
                let day = self.op("Sub", &[&day_of_year, &before]);
                self.with_whole("Add", &day, 1)
            }
            "doy" => {
                let is_leap = self.is_leap(&year_of_era);
                let [leap, plain] = [61, 60].map(|first| self.whole(first));
                let first = self.op("Where", &[&is_leap, &leap, &plain]);
                let after = self.op("Add", &[&day_of_year, &first]);
                let of_next = self.with_whole("Sub", &day_of_year, 305);
                self.op("Where", &[&is_this_year, &after, &of_next])
            }
            "year" => {
                let eras = self.with_whole("Mul", &era, 400);
                let year = self.op("Add", &[&year_of_era, &eras]);
                let next = self.with_whole("Add", &year, 1);
                self.op("Where", &[&is_this_year, &year, &next])
            }
            _ => {
                let later = self.with_whole("Add", &month, 3);
                let earlier = self.with_whole("Sub", &month, 9);
                let month = self.op("Where", &[&is_this_year, &later, &earlier]);
                if name == "month" {
                    return month;
                }
                let shifted = self.with_whole("Add", &month, 2);
                self.with_whole("Div", &shifted, 3)
            }
        }
    }

    fn is_leap(&mut self, year: &str) -> String {
        let zero = self.whole(0);
        let mut divides = |by: i64| {
            let rest = self.with_whole("Mod", year, by);
            self.op("Equal", &[&rest, &zero])
        };
        let [four, hundred, four_hundred] = [divides(4), divides(100), divides(400)];
        let no_hundred = self.not(&hundred);
        let plain = self.and(&four, &no_hundred);
        self.or(&plain, &four_hundred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_sql_reads_them() {
        let day = |text: &str| read(text, DataType::Date).map(|micros| micros / DAY);
        for (text, expect) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2024-02-31", None),
            ("1900-02-29", None),
            ("2024-13-01", None),
            ("2024-00-01", None),
            ("2024-01-00", None),
            ("24-01-01", None),
            ("2024-01-01-01", None),
        ] {
            assert_eq!(day(text), expect, "{text}");
        }
        for (text, expect) in [
            ("1970-01-01 00:00:00.000001", Some(1)),
            ("1970-01-01T00:01", Some(60_000_000)),
            ("1970-01-02 00:00:01.5", Some(DAY + 1_500_000)),
            ("1970-01-01", None),
            ("1970-01-01 24:00", None),
            ("1970-01-01 00:00.5", None),
            ("1970-01-01 00:00:00.1234567", None),
        ] {
            assert_eq!(read(text, DataType::Datetime), expect, "{text}");
        }
    }
}
