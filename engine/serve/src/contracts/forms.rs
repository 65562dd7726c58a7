//! The forms in which contracts write rows as JSON, read straight into typed columns.

use std::fmt;

use athanor_protocol::Failure;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    config::MAX_VALUES,
    named_body::{Columns, Key, Reader, read_row},
    refusal::{bad, quoted},
    values::Scalar,
};

/// How SageMaker's common formats name the values of a row in order.
const FEATURES: &str = "features";

/// A list of rows. Each is an object by column, a list in the signature's order, or the one value of a model that takes
/// one column.
pub(crate) struct Instances<'r, 'p>(pub(crate) &'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for Instances<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Instances<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Instance(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

/// One row.
pub(crate) struct Instance<'r, 'p>(pub(crate) &'r mut Reader<'p>);

impl Instance<'_, '_> {
    fn only<E: Error>(self, value: &Scalar) -> Result<(), E> {
        let reader = self.0;
        reader.stamp += 1;
        let n_columns = reader.plan.inputs().len();
        let pushed = if n_columns == 1 {
            reader.builder.push(0, value)
        } else {
            let message = format!("row {} is {}, the model takes {n_columns} columns", reader.stamp, value.kind());
            Err(bad(message)
                .hint("a row is an object with a value for each column, or a list of values in their order"))
        };
        pushed.map_err(|failure| reader.fail(failure))
    }
}

impl<'de> DeserializeSeed<'de> for Instance<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Instance<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.stamp += 1;
        let first: Option<Key<'de>> = map.next_key()?;
        let is_ordered =
            first.as_ref().is_some_and(|Key(name)| name == FEATURES) && reader.plan.find(FEATURES, 0).is_none();
        if !is_ordered {
            return read_row(reader, first, map);
        }
        map.next_value_seed(Ordered(&mut *reader))?;
        match map.next_key::<Key<'de>>()? {
            None => Ok(()),
            Some(Key(other)) => {
                let message = format!("row {} holds {} beside \"features\"", reader.stamp, quoted(&other));
                Err(reader.fail(bad(message)))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.stamp += 1;
        Ordered(self.0).visit_seq(seq)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.only(&Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.only(&Scalar::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.only(&i64::try_from(value).map_or(Scalar::Big(value), Scalar::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.only(&Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.only(&Scalar::Text(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.only(&Scalar::Null)
    }
}

/// The values of a row in the signature's order.
struct Ordered<'r, 'p>(&'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for Ordered<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Ordered<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of the values of row {}", self.0.stamp)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.0;
        let n_columns = reader.plan.inputs().len();
        let mut n = 0;
        while let Some(value) = seq.next_element::<Scalar>()? {
            // Values beyond the last column are counted for the message alone.
            if n < n_columns
                && let Err(failure) = reader.builder.push(n, &value)
            {
                return Err(reader.fail(failure));
            }
            n += 1;
        }
        if n == n_columns {
            return Ok(());
        }
        let failure = reader.plan.wrong_width(reader.stamp, n);
        Err(reader.fail(failure))
    }
}

/// Columns by name, or a list of rows: what `inputs` may be.
pub(crate) struct ColumnsOrInstances<'r, 'p>(pub(crate) &'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for ColumnsOrInstances<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnsOrInstances<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of values for each column, or a list of rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Columns(self.0).visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Instances(self.0).visit_seq(seq)
    }
}

/// A table as pandas splits it, or a list of rows where that is allowed too.
pub(crate) struct Split<'r, 'p> {
    pub(crate) reader: &'r mut Reader<'p>,
    pub(crate) or_instances: bool,
}

impl<'de> DeserializeSeed<'de> for Split<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.or_instances { deserializer.deserialize_any(self) } else { deserializer.deserialize_map(self) }
    }
}

impl<'de> Visitor<'de> for Split<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with 'columns' and 'data'")?;
        if self.or_instances { f.write_str(", or a list of rows") } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Instances(self.reader).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        let mut order: Option<Vec<usize>> = None;
        let mut early: Option<Early> = None;
        let mut has_data = false;
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "columns" if order.is_none() => order = Some(map.next_value_seed(Names(&mut *reader))?),
                "data" if !has_data => {
                    has_data = true;
                    match &order {
                        Some(order) => {
                            map.next_value_seed(Data { reader: &mut *reader, into: Into::Columns(order) })?
                        }
                        None => {
                            let mut rows = Early::default();
                            map.next_value_seed(Data { reader: &mut *reader, into: Into::Early(&mut rows) })?;
                            early = Some(rows);
                        }
                    }
                }
                "columns" | "data" => {
                    return Err(reader.fail(bad(format!("{} is there twice", quoted(&key)))));
                }
                // The names of the rows, which no answer repeats.
                "index" => drop(map.next_value::<IgnoredAny>()?),
                other => {
                    let failure = bad(format!("a split table holds {}, which means nothing here", quoted(other)));
                    return Err(reader.fail(failure.hint("send 'columns', 'data' and, if at all, 'index'")));
                }
            }
        }
        let (Some(order), true) = (order, has_data) else {
            let what = if has_data { "columns" } else { "data" };
            return Err(reader.fail(bad(format!("a split table misses '{what}'")).on(what)));
        };
        let Some(early) = early else { return Ok(()) };
        let mut values = early.values.iter();
        for (row, &n) in early.lengths.iter().enumerate() {
            if n != order.len() {
                return Err(reader.fail(wrong_length(row + 1, n, order.len())));
            }
            for (&at, value) in order.iter().zip(values.by_ref().take(n)) {
                if let Err(failure) = reader.builder.push(at, value) {
                    return Err(reader.fail(failure));
                }
            }
        }
        Ok(())
    }
}

fn wrong_length(row: usize, n: usize, n_columns: usize) -> Failure {
    bad(format!("row {row} of 'data' has {n} values, 'columns' has {n_columns}"))
}

/// The names of the columns, as their places.
struct Names<'r, 'p>(&'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for Names<'_, '_> {
    type Value = Vec<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Names<'_, '_> {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of the names of the columns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<usize>, A::Error> {
        let reader = self.0;
        reader.stamp = 1;
        let mut order = vec![];
        while let Some(Key(name)) = seq.next_element()? {
            match reader.column(&name, order.len(), false) {
                Ok(at) => order.push(at),
                Err(failure) => return Err(reader.fail(failure)),
            }
        }
        if order.len() < reader.plan.inputs().len() {
            let failure = reader.plan.missing("'columns'", |at| reader.seen.get(at) == Some(&1));
            return Err(reader.fail(failure));
        }
        Ok(order)
    }
}

/// Rows that came before the names of their columns.
#[derive(Default)]
struct Early {
    values: Vec<Scalar>,
    lengths: Vec<usize>,
}

/// Where rows go.
enum Into<'a> {
    Columns(&'a [usize]),
    Early(&'a mut Early),
}

/// The rows of a split table.
struct Data<'r, 'p, 'a> {
    reader: &'r mut Reader<'p>,
    into: Into<'a>,
}

impl<'de> DeserializeSeed<'de> for Data<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows, each a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut row = 1;
        loop {
            let next = DataRow { reader: &mut *self.reader, into: &mut self.into, row };
            if seq.next_element_seed(next)?.is_none() {
                return Ok(());
            }
            row += 1;
        }
    }
}

/// One row of a split table.
struct DataRow<'r, 'p, 'a, 'i> {
    reader: &'r mut Reader<'p>,
    into: &'i mut Into<'a>,
    row: usize,
}

impl<'de> DeserializeSeed<'de> for DataRow<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for DataRow<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of the values of row {}", self.row)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { reader, into, row } = self;
        let mut n = 0;
        while let Some(value) = seq.next_element::<Scalar>()? {
            let pushed = match into {
                Into::Columns(order) => match order.get(n) {
                    Some(&at) => reader.builder.push(at, &value),
                    None => Ok(()),
                },
                Into::Early(early) if early.values.len() < MAX_VALUES => {
                    early.values.push(value);
                    Ok(())
                }
                Into::Early(_) => Err(crate::plan::too_many_values()),
            };
            if let Err(failure) = pushed {
                return Err(reader.fail(failure));
            }
            n += 1;
        }
        match into {
            Into::Columns(order) if order.len() != n => {
                let failure = wrong_length(row, n, order.len());
                Err(reader.fail(failure))
            }
            Into::Columns(_) => Ok(()),
            Into::Early(early) => {
                early.lengths.push(n);
                Ok(())
            }
        }
    }
}
