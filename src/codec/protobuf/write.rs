//! Writing messages: a document is held until it is whole, and then written field by field.
//!
//! The length of a message stands before it. It is written when the message is known, into a list beside the bytes, and the
//! two are merged into the output: each byte is moved once, however deep it lies.

mod known;

use std::io::{self, Write};

use prost_reflect::{Cardinality, Kind, MessageDescriptor};

use super::super::event::{Care, Event, Sink, SinkError};
use super::scalar::{END_GROUP, GROUP, LEN, Scalar, put_varint, varint_len, wire_type};
use super::tape::{Tape, Token};
use super::value::{self, not};
use super::{Failure, Field, MOST_BYTES, Schema, Taken, WellKnown, is_null_value, shown};

/// A writer of one message.
pub(in super::super) fn writer<'a>(out: &'a mut dyn Write, schema: &'a Schema, care: Care) -> impl Sink + 'a {
    Writer { out, schema, care, tape: Tape::default() }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    schema: &'a Schema,
    care: Care,
    tape: Tape,
}

impl Sink for Writer<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        self.tape.push(event, self.care)?;
        if self.tape.is_whole() {
            encode(&self.tape, self.schema, self.care)?.write_to(self.out)?;
        }
        Ok(())
    }
}

/// The document on a tape as a message.
pub(in super::super) fn encode(tape: &Tape, schema: &Schema, care: Care) -> Result<Encoded, SinkError> {
    let mut encoder = Encoder { tape, care, out: Encoded::default() };
    encoder.message(&schema.message, 0).map_err(|failure| failure.explain(&schema.message))?;
    if encoder.out.len() > MOST_BYTES {
        return Err(SinkError::Refused("the message is longer than 2 GiB".to_owned()));
    }
    Ok(encoder.out)
}

/// A message, and the lengths that have places in it.
#[derive(Default)]
pub(in super::super) struct Encoded {
    bytes: Vec<u8>,
    /// In the order of their places.
    lengths: Vec<Length>,
    /// How many bytes the lengths that are known will be.
    lengths_bytes: usize,
}

struct Length {
    at: usize,
    /// What it says, when it is known.
    value: u64,
}

/// Something whose length is not known.
#[derive(Clone, Copy)]
#[must_use]
struct Open {
    length: usize,
    lengths_before: usize,
}

impl Encoded {
    pub(in super::super) fn len(&self) -> u64 {
        (self.bytes.len() + self.lengths_bytes) as u64
    }

    fn open(&mut self) -> Open {
        self.lengths.push(Length { at: self.bytes.len(), value: 0 });
        Open { length: self.lengths.len() - 1, lengths_before: self.lengths_bytes }
    }

    fn close(&mut self, open: Open) {
        let length = &mut self.lengths[open.length];
        length.value = (self.bytes.len() - length.at + self.lengths_bytes - open.lengths_before) as u64;
        self.lengths_bytes += varint_len(length.value);
    }

    fn tag(&mut self, number: u32, wire: u8) {
        put_varint(u64::from(number) << 3 | u64::from(wire), &mut self.bytes);
    }

    pub(in super::super) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut done = 0;
        let mut spelled = Vec::new();
        for length in &self.lengths {
            out.write_all(&self.bytes[done..length.at])?;
            spelled.clear();
            put_varint(length.value, &mut spelled);
            out.write_all(&spelled)?;
            done = length.at;
        }
        out.write_all(&self.bytes[done..])
    }
}

struct Encoder<'t> {
    tape: &'t Tape,
    care: Care,
    out: Encoded,
}

/// A field that the document gives.
struct Given {
    field: Field,
    key: usize,
    value: usize,
}

impl<'t> Encoder<'t> {
    /// Writes the fields of the message at a place.
    fn message(&mut self, message: &MessageDescriptor, at: usize) -> Taken<()> {
        match WellKnown::of(message) {
            None | Some(WellKnown::Empty) => self.fields(message, at, false),
            Some(known) => self.well_known(known, message, at),
        }
    }

    /// Writes the fields of a map, in the order of their numbers.
    fn fields(&mut self, message: &MessageDescriptor, at: usize, is_any: bool) -> Taken<()> {
        let mut given = Vec::new();
        for (key, value) in self.entries(at, message)? {
            let Token::Str(name) = self.tape.token(key) else {
                return Err(Failure::new(format!("a key is no string, and {} has names", message.full_name())));
            };
            let name = self.tape.text(name);
            if is_any && name == "@type" {
                continue;
            }
            let field = Field::named(message, name)
                .ok_or_else(|| Failure::new(format!("{} has no field {}", message.full_name(), shown(name))))?;
            given.push(Given { field, key, value });
        }
        given.sort_by_key(|given| given.field.number());
        check(message, &given, self.tape)?;
        for Given { field, value, .. } in &given {
            self.field(field, *value).map_err(|failure| failure.in_field(field))?;
        }
        Ok(())
    }

    fn text(&self, message: &MessageDescriptor, at: usize) -> Taken<&'t str> {
        match self.tape.token(at) {
            Token::Str(run) => Ok(self.tape.text(run)),
            token => Err(not(&Kind::Message(message.clone()), self.tape, token)),
        }
    }

    /// The places of the keys and the values of the map at a place.
    fn entries(&self, at: usize, message: &MessageDescriptor) -> Taken<Vec<(usize, usize)>> {
        let Token::Map(end) = self.tape.token(at) else {
            return Err(not(&Kind::Message(message.clone()), self.tape, self.tape.token(at)));
        };
        let mut entries = Vec::new();
        let mut key = at + 1;
        while key < end as usize {
            let value = self.tape.after(key);
            entries.push((key, value));
            key = self.tape.after(value);
        }
        Ok(entries)
    }

    fn field(&mut self, field: &Field, at: usize) -> Taken<()> {
        let kind = field.kind();
        if is_absent(&kind, field, self.tape.token(at)) {
            return Ok(());
        }
        match &kind {
            Kind::Message(entry) if field.is_map() => self.map(field.number(), entry, at),
            _ if field.is_list() => self.list(field, &kind, at),
            Kind::Message(message) => self.inner(field.number(), message, field.is_group(), at),
            _ => {
                let value = value::scalar(self.tape, at, &kind, self.care)?;
                if field.has_presence() || !value.is_default() {
                    self.scalar(field.number(), &kind, &value);
                }
                Ok(())
            }
        }
    }

    fn scalar(&mut self, number: u32, kind: &Kind, value: &Scalar<'_>) {
        self.out.tag(number, wire_type(kind));
        value.put(kind, &mut self.out.bytes);
    }

    /// Writes a message that is a field.
    fn inner(&mut self, number: u32, message: &MessageDescriptor, is_group: bool, at: usize) -> Taken<()> {
        if is_group {
            self.out.tag(number, GROUP);
            self.message(message, at)?;
            self.out.tag(number, END_GROUP);
            return Ok(());
        }
        self.out.tag(number, LEN);
        let open = self.out.open();
        self.message(message, at)?;
        self.out.close(open);
        Ok(())
    }

    fn list(&mut self, field: &Field, kind: &Kind, at: usize) -> Taken<()> {
        let Token::Seq(end) = self.tape.token(at) else {
            return Err(Failure::new(format!("this is no array, and the schema says a list of {}", value::name(kind))));
        };
        let end = end as usize;
        let is_packed = field.is_packed() && at + 1 < end;
        let open = is_packed.then(|| {
            self.out.tag(field.number(), LEN);
            self.out.open()
        });
        let mut element = at + 1;
        let mut place = 0_u64;
        while element < end {
            self.element(field, kind, element).map_err(|failure| failure.within(format!("[{place}]")))?;
            element = self.tape.after(element);
            place += 1;
        }
        if let Some(open) = open {
            self.out.close(open);
        }
        Ok(())
    }

    fn element(&mut self, field: &Field, kind: &Kind, at: usize) -> Taken<()> {
        if let Kind::Message(message) = kind {
            return self.inner(field.number(), message, field.is_group(), at);
        }
        let value = value::scalar(self.tape, at, kind, self.care)?;
        if field.is_packed() {
            value.put(kind, &mut self.out.bytes);
        } else {
            self.scalar(field.number(), kind, &value);
        }
        Ok(())
    }

    /// Writes a map as the list of entries that it is, in the order of the keys.
    fn map(&mut self, number: u32, entry: &MessageDescriptor, at: usize) -> Taken<()> {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let (key_kind, value_kind) = (key.kind(), value.kind());
        let mut entries = Vec::new();
        for (key, value) in self.entries(at, entry)? {
            let key = value::key(self.tape, key, &key_kind, self.care)?;
            let mut bytes = Vec::new();
            key.put(&key_kind, &mut bytes);
            entries.push((super::read::key_of(&key), bytes, value));
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        for pair in entries.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(Failure::new(format!("the key {} is there twice", shown(&pair[0].0.to_string()))));
            }
        }
        for (key, key_bytes, at) in entries {
            self.out.tag(number, LEN);
            let open = self.out.open();
            self.out.tag(1, wire_type(&key_kind));
            self.out.bytes.extend_from_slice(&key_bytes);
            let written = match &value_kind {
                Kind::Message(message) => self.inner(2, message, false, at),
                kind => value::scalar(self.tape, at, kind, self.care).map(|value| self.scalar(2, kind, &value)),
            };
            written.map_err(|failure| failure.within(format!("[{}]", shown(&key.to_string()))))?;
            self.out.close(open);
        }
        Ok(())
    }
}

/// Whether null means that the field is not there: nearly everywhere.
fn is_absent(kind: &Kind, field: &Field, token: Token) -> bool {
    let takes_null = match kind {
        Kind::Message(message) => WellKnown::of(message) == Some(WellKnown::Value),
        kind => is_null_value(kind),
    };
    matches!(token, Token::Null) && (!takes_null || field.is_list())
}

/// Refuses a field that is there twice, two of one choice, and that one is missing which must not.
fn check(message: &MessageDescriptor, given: &[Given], tape: &Tape) -> Taken<()> {
    for pair in given.windows(2) {
        if pair[0].field.number() == pair[1].field.number() {
            let Token::Str(name) = tape.token(pair[1].key) else { continue };
            return Err(Failure::new(format!("the field {} is there twice", shown(tape.text(name)))));
        }
    }
    let is_there = |given: &&Given| !is_absent(&given.field.kind(), &given.field, tape.token(given.value));
    let mut choices: Vec<(String, &Given)> =
        given.iter().filter(is_there).filter_map(|given| given.field.choice().map(|choice| (choice, given))).collect();
    choices.sort_by(|one, other| one.0.cmp(&other.0));
    for pair in choices.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(Failure::new(format!(
                "{} and {} are both there, and of {} only one can be",
                pair[0].1.field.json_name(),
                pair[1].1.field.json_name(),
                pair[0].0
            )));
        }
    }
    let is_given = |number| given.iter().filter(is_there).any(|given| given.field.number() == number);
    let is_missing = |field: &prost_reflect::FieldDescriptor| {
        field.cardinality() == Cardinality::Required && !is_given(field.number())
    };
    match message.fields().find(is_missing) {
        Some(field) => Err(Failure::new(format!("the field {}, which is required, is missing", field.json_name()))),
        None => Ok(()),
    }
}
