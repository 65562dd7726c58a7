//! The body of a contract as JSON: exactly one of its words holds the rows, others say how they are meant.

use std::fmt;

use athanor_protocol::{Failure, columns::Frame};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::{
    forms::{ColumnsOrInstances, Instance, Instances, Split},
    speech::Envelope,
};
use crate::{
    body::check_depth,
    named_body::{Columns, Key, Reader, Row, Rows},
    plan::{Plan, Taking},
    refusal::{bad, cut, quoted},
    values::Scalar,
};

/// How the rows behind a word are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A list of objects.
    Rows,
    /// One object.
    Row,
    /// An object with a list for each column.
    Columns,
    /// `{"columns": […], "data": [[…]], "index"?: …}`.
    Split,
    /// [`Form::Split`] or [`Form::Instances`].
    SplitOrInstances,
    /// Rows as objects, lists or single values.
    Instances,
    /// [`Form::Columns`] or [`Form::Instances`].
    ColumnsOrInstances,
}

/// The words of a contract.
#[derive(Debug)]
pub(crate) struct Words {
    /// Those that hold rows, of which a body has one: how they are written, and how the answer is wrapped.
    pub(crate) rows: &'static [(&'static str, Form, Envelope)],
    /// Those that hold parameters.
    pub(crate) parameters: &'static [&'static str],
    /// Words with text that must be one of a list (`signature_name`).
    pub(crate) fixed: &'static [(&'static str, &'static [&'static str])],
}

/// What a body says.
#[derive(Debug)]
pub(crate) struct Said {
    /// The rows.
    pub(crate) frame: Frame,
    /// How the answer is wrapped.
    pub(crate) envelope: Envelope,
    /// Whether the answer holds probabilities, where the body says so.
    pub(crate) probabilities: Option<bool>,
}

/// Reads a body into the model's raw columns.
///
/// # Errors
/// Everything that is wrong with it, as the client's mistake.
pub(crate) fn read(plan: &Plan, body: &[u8], max_depth: usize, words: &'static Words) -> Result<Said, Failure> {
    check_depth(body, max_depth)?;
    let mut seen =
        Seen { reader: Reader::new(plan, Taking::Exact), words, form: None, others: vec![], probabilities: None };
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = Body(&mut seen).deserialize(&mut json).and_then(|()| json.end());
    let Seen { reader, form, probabilities, .. } = seen;
    let frame = reader.finish(parsed)?;
    // A body without rows was refused while it was read.
    let envelope = form.map_or(Envelope::Predictions, |(_, envelope)| envelope);
    Ok(Said { frame, envelope, probabilities })
}

/// Reads rows as JSON, one on each line.
///
/// # Errors
/// Everything that is wrong with them, as the client's mistake.
pub(crate) fn read_lines(plan: &Plan, body: &[u8], max_depth: usize) -> Result<Frame, Failure> {
    let mut reader = Reader::new(plan, Taking::Exact);
    for (at, line) in body.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        check_depth(line, max_depth)?;
        let mut json = serde_json::Deserializer::from_slice(line);
        let parsed = Instance(&mut reader).deserialize(&mut json).and_then(|()| json.end());
        if let Some(failure) = reader.failure() {
            return Err(failure);
        }
        parsed.map_err(|err| {
            let why = cut(&err.to_string(), 200);
            bad(format!("line {} can't be read: {why}", at + 1)).hint("each line is a row: a JSON object or list")
        })?;
    }
    reader.finish(Ok(()))
}

struct Seen<'p> {
    reader: Reader<'p>,
    words: &'static Words,
    form: Option<(&'static str, Envelope)>,
    others: Vec<&'static str>,
    probabilities: Option<bool>,
}

impl Seen<'_> {
    fn hint(&self) -> String {
        let names: Vec<String> = self.words.rows.iter().map(|(name, ..)| format!("'{name}'")).collect();
        format!("send exactly one of {}", names.join(", "))
    }

    /// Takes note of a word that may be there once.
    fn once(&mut self, name: &'static str) -> Result<(), Failure> {
        if self.others.contains(&name) {
            return Err(bad(format!("the body holds {} twice", quoted(name))));
        }
        self.others.push(name);
        Ok(())
    }
}

/// The whole body.
struct Body<'s, 'p>(&'s mut Seen<'p>);

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object; {}", self.0.hint())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let seen = self.0;
        while let Some(Key(key)) = map.next_key()? {
            if let Some(&(name, form, envelope)) = seen.words.rows.iter().find(|(name, ..)| key == *name) {
                if let Some((first, _)) = seen.form {
                    let failure = bad(format!("the body holds {} beside {}", quoted(name), quoted(first)));
                    let hint = seen.hint();
                    return Err(seen.reader.fail(failure.hint(hint)));
                }
                seen.form = Some((name, envelope));
                rows(&mut seen.reader, form, &mut map)?;
            } else if let Some(&name) = seen.words.parameters.iter().find(|&&name| key == name) {
                if let Err(failure) = seen.once(name) {
                    return Err(seen.reader.fail(failure));
                }
                map.next_value_seed(Parameters(&mut *seen))?;
            } else if let Some(&(name, allowed)) = seen.words.fixed.iter().find(|(name, _)| key == *name) {
                if let Err(failure) = seen.once(name) {
                    return Err(seen.reader.fail(failure));
                }
                let Key(value) = map.next_value()?;
                if !allowed.iter().any(|allowed| value == *allowed) {
                    let failure = bad(format!("the {} {} is not known", quoted(name), quoted(&value))).on(name);
                    let hint =
                        format!("leave it out, or send {}", quoted(allowed.first().copied().unwrap_or_default()));
                    return Err(seen.reader.fail(failure.hint(hint)));
                }
            } else {
                let failure = bad(format!("the body holds {}, which means nothing here", quoted(&key)));
                let hint = seen.hint();
                return Err(seen.reader.fail(failure.hint(hint)));
            }
        }
        if seen.form.is_some() {
            return Ok(());
        }
        let hint = seen.hint();
        Err(seen.reader.fail(bad("the body holds no rows").hint(hint)))
    }
}

fn rows<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, form: Form, map: &mut A) -> Result<(), A::Error> {
    match form {
        Form::Rows => map.next_value_seed(Rows(reader)),
        Form::Row => map.next_value_seed(Row(reader)),
        Form::Columns => map.next_value_seed(Columns(reader)),
        Form::Split => map.next_value_seed(Split { reader, or_instances: false }),
        Form::SplitOrInstances => map.next_value_seed(Split { reader, or_instances: true }),
        Form::Instances => map.next_value_seed(Instances(reader)),
        Form::ColumnsOrInstances => map.next_value_seed(ColumnsOrInstances(reader)),
    }
}

/// The parameters of a request: an object, or null.
struct Parameters<'s, 'p>(&'s mut Seen<'p>);

impl<'de> DeserializeSeed<'de> for Parameters<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Parameters<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let seen = self.0;
        while let Some(Key(name)) = map.next_key()? {
            let failure = if name != "probabilities" {
                bad(format!("the parameter {} is not known", quoted(&name)))
                    .on(cut(&name, 80))
                    .hint("'probabilities' (true or false) is the only one")
            } else if seen.probabilities.is_some() {
                bad("the parameter \"probabilities\" is there twice").on("probabilities")
            } else {
                match map.next_value::<Scalar>()? {
                    Scalar::Bool(value) => {
                        seen.probabilities = Some(value);
                        continue;
                    }
                    other => {
                        let message = format!("the parameter \"probabilities\" is true or false, not {}", other.kind());
                        bad(message).on("probabilities")
                    }
                }
            };
            return Err(seen.reader.fail(failure));
        }
        Ok(())
    }
}
