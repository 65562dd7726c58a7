//! The body of `predict` with named columns: rows, columns, or one row, read straight into typed columns.

use std::{borrow::Cow, fmt};

use athanor_protocol::{Failure, columns::Frame};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{
    body::{check_depth, not_json},
    plan::{Builder, Plan, Taking},
    refusal::{bad, quoted},
    values::Scalar,
};

const FORMS: &str =
    "send {\"rows\": [{column: value, …}, …]}, {\"columns\": {column: [value, …], …}} or {\"row\": {column: value, …}}";
/// Says that predictions are to be explained.
const EXPLAIN: &str = "explain";
/// The row that others are compared with in explanations.
const BASELINE: &str = "baseline";

/// A body that was read.
#[derive(Debug)]
pub(crate) struct NamedBody {
    /// The model's raw columns.
    pub(crate) frame: Frame,
    /// What is to be explained, where it asks for that.
    pub(crate) explain: Option<ToExplain>,
}

/// How an explanation is asked for.
#[derive(Debug)]
pub(crate) struct ToExplain {
    /// The columns' places in the order in which the first row names them.
    pub(crate) order: Vec<usize>,
    /// The row to compare with, where the client chose one.
    pub(crate) baseline: Option<Frame>,
}

/// Reads a body into the model's raw columns.
///
/// # Errors
/// Everything that is wrong with it, as the client's mistake.
pub(crate) fn read(plan: &Plan, body: &[u8], max_depth: usize) -> Result<NamedBody, Failure> {
    check_depth(body, max_depth)?;
    let mut reader = Reader::new(plan, Taking::Strict);
    let (mut explain, mut baseline) = (None, None);
    let mut json = serde_json::Deserializer::from_slice(body);
    let whole = Body { reader: &mut reader, explain: &mut explain, baseline: &mut baseline };
    let parsed = whole.deserialize(&mut json).and_then(|()| json.end());
    let order = std::mem::take(&mut reader.order);
    let frame = reader.finish(parsed)?;
    let baseline = baseline.map(|reader| reader.finish(Ok(()))).transpose()?;
    let explain = match (explain, baseline) {
        (Some(true), baseline) => Some(ToExplain { order, baseline }),
        (Some(false) | None, Some(_)) => {
            let failure = bad(format!("the body holds {}, and nothing is to be explained", quoted(BASELINE)));
            return Err(failure.on(BASELINE).hint(format!("send {}: true beside it", quoted(EXPLAIN))));
        }
        (Some(false) | None, None) => None,
    };
    Ok(NamedBody { frame, explain })
}

/// What is filled while the body is read. A visitor can only say that it failed; why is kept here.
pub(crate) struct Reader<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) builder: Builder<'p>,
    /// For each column the last row (counted from 1) in which it was seen.
    pub(crate) seen: Vec<usize>,
    /// The row that is read, counted from 1.
    pub(crate) stamp: usize,
    /// The columns' places in the order of the first row.
    order: Vec<usize>,
    failure: Option<Failure>,
}

impl<'p> Reader<'p> {
    pub(crate) fn new(plan: &'p Plan, taking: Taking) -> Self {
        let n_columns = plan.inputs().len();
        Self {
            plan,
            builder: plan.builder(taking),
            seen: vec![0; n_columns],
            stamp: 0,
            order: Vec::with_capacity(n_columns),
            failure: None,
        }
    }

    /// What made a visitor fail, where it was more than malformed JSON.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// The filled columns, or what is wrong with the body.
    pub(crate) fn finish(mut self, parsed: serde_json::Result<()>) -> Result<Frame, Failure> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        parsed.map_err(|err| not_json(&err))?;
        self.builder.finish()
    }

    pub(crate) fn fail<E: Error>(&mut self, failure: Failure) -> E {
        let err = E::custom(&failure.message);
        self.failure = Some(failure);
        err
    }

    /// The place of a column that was not seen in this row yet.
    pub(crate) fn column(&mut self, name: &str, guess: usize, is_rows: bool) -> Result<usize, Failure> {
        let what = || {
            if is_rows { format!("in row {}, column", self.stamp) } else { "column".to_owned() }
        };
        let Some(at) = self.plan.find(name, guess) else {
            return Err(self.plan.unknown(&what(), name));
        };
        if self.seen[at] == self.stamp {
            return Err(bad(format!("{} {} is there twice", what(), quoted(name))).on(name));
        }
        self.seen[at] = self.stamp;
        if self.order.len() < self.seen.len() {
            self.order.push(at);
        }
        Ok(at)
    }
}

/// A key, borrowed from the body where it has no escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// The whole body.
struct Body<'r, 'p> {
    reader: &'r mut Reader<'p>,
    explain: &'r mut Option<bool>,
    baseline: &'r mut Option<Reader<'p>>,
}

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with 'rows', 'columns' or 'row'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reader, explain, baseline } = self;
        let mut form: Option<Cow<'de, str>> = None;
        while let Some(Key(key)) = map.next_key()? {
            match (&*key, &form) {
                (EXPLAIN, _) if explain.is_none() => match map.next_value()? {
                    Scalar::Bool(value) => *explain = Some(value),
                    value => {
                        let message = format!("{} must be true or false, found {}", quoted(EXPLAIN), value.kind());
                        return Err(reader.fail(bad(message).on(EXPLAIN)));
                    }
                },
                (BASELINE, _) if baseline.is_none() => {
                    let base = baseline.insert(Reader::new(reader.plan, Taking::Strict));
                    if let Err(err) = map.next_value_seed(Row(&mut *base)) {
                        return Err(match base.failure() {
                            None => err,
                            Some(mut failure) => {
                                failure.message = format!("{}: {}", quoted(BASELINE), failure.message);
                                reader.fail(failure)
                            }
                        });
                    }
                }
                (EXPLAIN | BASELINE, _) => {
                    return Err(reader.fail(bad(format!("the body holds {} twice", quoted(&key)))));
                }
                (_, Some(first)) => {
                    let message = format!("the body holds {} beside {}", quoted(&key), quoted(first));
                    return Err(reader.fail(bad(message).hint(FORMS)));
                }
                ("rows", None) => {
                    map.next_value_seed(Rows(&mut *reader))?;
                    form = Some(key);
                }
                ("row", None) => {
                    map.next_value_seed(Row(&mut *reader))?;
                    form = Some(key);
                }
                ("columns", None) => {
                    map.next_value_seed(Columns(&mut *reader))?;
                    form = Some(key);
                }
                (other, None) => {
                    let message = format!("the body holds {}, which means nothing here", quoted(other));
                    return Err(reader.fail(bad(message).hint(FORMS)));
                }
            }
        }
        match form {
            Some(_) => Ok(()),
            None => {
                let is_empty = explain.is_none() && baseline.is_none();
                let message = if is_empty { "the body is empty" } else { "the body holds no rows" };
                Err(reader.fail(bad(message).hint(FORMS)))
            }
        }
    }
}

pub(crate) struct Rows<'r, 'p>(pub(crate) &'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Row(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

pub(crate) struct Row<'r, 'p>(pub(crate) &'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row: an object with a value for each column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.stamp += 1;
        let first = map.next_key()?;
        read_row(self.0, first, map)
    }
}

/// Reads the values of a row whose first name was read already.
pub(crate) fn read_row<'de, A: MapAccess<'de>>(
    reader: &mut Reader<'_>,
    first: Option<Key<'de>>,
    mut map: A,
) -> Result<(), A::Error> {
    let mut n = 0;
    let mut next = first;
    while let Some(Key(name)) = next {
        let at = match reader.column(&name, n, true) {
            Ok(at) => at,
            Err(failure) => return Err(reader.fail(failure)),
        };
        let value: Scalar = map.next_value()?;
        if let Err(failure) = reader.builder.push(at, &value) {
            return Err(reader.fail(failure));
        }
        n += 1;
        next = map.next_key()?;
    }
    if n < reader.seen.len() {
        let what = format!("row {}", reader.stamp);
        let failure = reader.plan.missing(&what, |at| reader.seen[at] == reader.stamp);
        return Err(reader.fail(failure));
    }
    Ok(())
}

pub(crate) struct Columns<'r, 'p>(pub(crate) &'r mut Reader<'p>);

impl<'de> DeserializeSeed<'de> for Columns<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of values for each column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.stamp = 1;
        let mut first: Option<usize> = None;
        let mut n = 0;
        while let Some(Key(name)) = map.next_key()? {
            let at = match reader.column(&name, n, false) {
                Ok(at) => at,
                Err(failure) => return Err(reader.fail(failure)),
            };
            map.next_value_seed(Values { reader: &mut *reader, at })?;
            let (len, first) = (reader.builder.len(at), *first.get_or_insert(at));
            let expected = reader.builder.len(first);
            if len != expected {
                let names = reader.plan.inputs();
                let message = format!(
                    "column {} has {len} values, {} has {expected}",
                    quoted(&names[at].name),
                    quoted(&names[first].name)
                );
                let subject = names[at].name.clone();
                return Err(reader.fail(bad(message).on(subject)));
            }
            n += 1;
        }
        if n < reader.seen.len() {
            let failure = reader.plan.missing("the request", |at| reader.seen[at] == reader.stamp);
            return Err(reader.fail(failure));
        }
        Ok(())
    }
}

/// The values of one column.
struct Values<'r, 'p> {
    reader: &'r mut Reader<'p>,
    at: usize,
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.reader.plan.inputs().get(self.at).map_or("", |input| input.name.as_str());
        write!(f, "a list of values for column {}", quoted(name))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element::<Scalar>()? {
            if let Err(failure) = self.reader.builder.push(self.at, &value) {
                return Err(self.reader.fail(failure));
            }
        }
        Ok(())
    }
}
