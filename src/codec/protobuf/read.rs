//! Reading messages: bytes to events.

mod index;
mod known;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{Kind, MessageDescriptor};

use super::super::error::{CodecError, Place};
use super::super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};
use super::super::format::Format;
use super::scalar::{FIXED32, FIXED64, GROUP, LEN, Scalar, VARINT, is_64_bits, wire_type};
use super::{Failure, Field, MOST_BYTES, Schema, Taken, WellKnown, is_null_value, shown};
use index::Piece;

/// How values are told that JSON has no form for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Spelling {
    /// As the canonical mapping has it: in strings.
    Text,
    /// As they are.
    Native,
}

/// How many levels of messages a level of events may take: a list, and what is around it and in it.
const MOST_STEPS: usize = 3 * MAX_DEPTH;

/// Sends the message that is all of `input` to `sink`.
pub(in super::super) fn read(
    input: &mut dyn Read,
    schema: &Schema,
    spelling: Spelling,
    care: Care,
    sink: &mut dyn Sink,
) -> Result<(), CodecError> {
    let mut body = Vec::new();
    input.take(MOST_BYTES + 1).read_to_end(&mut body).map_err(CodecError::Input)?;
    if body.len() as u64 > MOST_BYTES {
        return Err(data(MOST_BYTES, "a message is no longer than 2 GiB, and this goes on".to_owned()));
    }
    message(&body, schema, spelling, care, 0, sink).map_err(|(at, error)| match error {
        SinkError::Io(error) => CodecError::Output(error),
        SinkError::Refused(reason) => data(at, reason),
    })
}

fn data(offset: u64, reason: String) -> CodecError {
    CodecError::Data { format: Format::Protobuf, place: Place::Offset(offset), reason }
}

/// Sends a message to `sink`, inside so many arrays. An error comes with its offset in the body.
pub(in super::super) fn message(
    body: &[u8],
    schema: &Schema,
    spelling: Spelling,
    care: Care,
    depth: usize,
    sink: &mut dyn Sink,
) -> Result<(), (u64, SinkError)> {
    let mut reader = Reader { body, sink, spelling, care, depth, steps: 0 };
    let whole = 0..body.len();
    reader.message(&schema.message, &[whole]).map_err(|failure| (failure.offset(), failure.explain(&schema.message)))
}

struct Reader<'b, 's> {
    body: &'b [u8],
    sink: &'s mut dyn Sink,
    spelling: Spelling,
    care: Care,
    /// Arrays and maps that have begun and not ended.
    depth: usize,
    /// Messages that have.
    steps: usize,
}

/// The key of an entry, in the order in which entries are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'b> {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Str(&'b str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Bool(key) => key.fmt(f),
            Key::Signed(key) => key.fmt(f),
            Key::Unsigned(key) => key.fmt(f),
            Key::Str(key) => key.fmt(f),
        }
    }
}

impl<'b> Reader<'b, '_> {
    /// Sends the message that is in the parts together: repeated, a message is merged, and that is what its bytes one after
    /// the other mean.
    fn message(&mut self, message: &MessageDescriptor, parts: &[Range<usize>]) -> Taken<()> {
        if self.steps == MOST_STEPS {
            return Err(Failure::of(SinkError::too_deep(), parts.first().map_or(0, |part| part.start)));
        }
        self.steps += 1;
        match WellKnown::of(message) {
            None | Some(WellKnown::Empty) => {
                self.begin(true, parts)?;
                self.fields(message, parts)?;
                self.end(true, parts)?;
            }
            Some(known) => self.well_known(known, message, parts)?,
        }
        self.steps -= 1;
        Ok(())
    }

    /// Sends the fields of a message, in the order of their numbers.
    fn fields(&mut self, message: &MessageDescriptor, parts: &[Range<usize>]) -> Taken<()> {
        let pieces = self.index(message, parts)?;
        for pieces in pieces.chunk_by(|one, other| one.number == other.number) {
            let Some(field) = Field::numbered(message, pieces[0].number) else {
                self.lose_unknown(message, pieces[0])?;
                continue;
            };
            self.field(&field, pieces).map_err(|failure| failure.in_field(&field))?;
        }
        Ok(())
    }

    fn lose_unknown(&self, message: &MessageDescriptor, piece: Piece) -> Taken<()> {
        let what = format!("the field {}, which {} does not have,", piece.number, message.full_name());
        self.care.lose(&what).map_err(|error| Failure::of(error, piece.start as usize))
    }

    /// Sends a field with all that the message has of it.
    fn field(&mut self, field: &Field, pieces: &[Piece]) -> Taken<()> {
        let kind = field.kind();
        if let Kind::Message(entry) = &kind
            && field.is_map()
        {
            self.key(field.json_name(), pieces)?;
            return self.entries(entry, pieces, &[pieces[0].span()]);
        }
        if field.is_list() {
            return self.list(field, &kind, pieces);
        }
        if let Kind::Message(message) = &kind {
            let parts = self.parts(pieces, field.is_group())?;
            self.key(field.json_name(), pieces)?;
            return self.message(message, &parts);
        }
        let Some(piece) = pieces.last() else { return Ok(()) };
        // All of them have to be right, and the last one counts.
        for piece in pieces {
            self.scalar(&kind, *piece)?;
        }
        let value = self.scalar(&kind, *piece)?;
        if value.is_default() && !field.has_presence() {
            return Ok(());
        }
        self.key(field.json_name(), pieces)?;
        self.send_scalar(&kind, &value, *piece)
    }

    fn parts(&self, pieces: &[Piece], is_group: bool) -> Taken<Vec<Range<usize>>> {
        let expected = if is_group { GROUP } else { LEN };
        pieces
            .iter()
            .map(|piece| {
                self.expect(*piece, expected, "a message")?;
                Ok(piece.span())
            })
            .collect()
    }

    #[allow(clippy::unused_self)] // It is one of the steps.
    fn expect(&self, piece: Piece, wire: u8, what: &str) -> Taken<()> {
        if piece.wire == wire {
            return Ok(());
        }
        let reason = format!("its wire type is {}, and the schema says {what}, which is of {wire}", piece.wire);
        Err(Failure::new(reason).at(piece.start as usize))
    }

    fn list(&mut self, field: &Field, kind: &Kind, pieces: &[Piece]) -> Taken<()> {
        let wire = wire_type(kind);
        let is_packed = |piece: &Piece| piece.wire == LEN && wire != LEN;
        if pieces.iter().all(|piece| is_packed(piece) && piece.start == piece.end) {
            return Ok(());
        }
        self.key(field.json_name(), pieces)?;
        self.begin(false, &[pieces[0].span()])?;
        let mut place = 0_u64;
        for piece in pieces {
            let mut at = piece.start;
            loop {
                let here = |failure: Failure| failure.within(format!("[{place}]"));
                let element =
                    if is_packed(piece) { self.packed(wire, at, *piece).map_err(here)? } else { Some(*piece) };
                let Some(element) = element else { break };
                self.element(field, kind, element).map_err(here)?;
                place += 1;
                at = element.end;
                if !is_packed(piece) {
                    break;
                }
            }
        }
        self.end(false, &[pieces[0].span()])
    }

    /// The element of a packed list at a place, if the list has not ended there.
    fn packed(&self, wire: u8, at: u32, list: Piece) -> Taken<Option<Piece>> {
        if at >= list.end {
            return Ok(None);
        }
        let end = match wire {
            FIXED64 => at.saturating_add(8),
            FIXED32 => at.saturating_add(4),
            _ => u32::try_from(self.varint(at as usize, list.end as usize)?.1).unwrap_or(u32::MAX),
        };
        if end > list.end {
            return Err(Failure::new(ENDS_EARLY).at(at as usize));
        }
        Ok(Some(Piece { number: list.number, wire, start: at, end }))
    }

    fn element(&mut self, field: &Field, kind: &Kind, piece: Piece) -> Taken<()> {
        if let Kind::Message(message) = kind {
            let parts = self.parts(&[piece], field.is_group())?;
            return self.message(message, &parts);
        }
        let value = self.scalar(kind, piece)?;
        self.send_scalar(kind, &value, piece)
    }

    /// Sends the entries of a map, in the order of their keys. A key that is there twice has its last value.
    fn entries(&mut self, entry: &MessageDescriptor, pieces: &[Piece], parts: &[Range<usize>]) -> Taken<()> {
        let key_kind = entry.map_entry_key_field().kind();
        let value_kind = entry.map_entry_value_field().kind();
        let mut entries = BTreeMap::new();
        for (piece, part) in pieces.iter().zip(self.parts(pieces, false)?) {
            let inside = self.index(entry, &[part])?;
            let key = match inside.iter().rfind(|inside| inside.number == 1) {
                Some(key) => self.scalar(&key_kind, *key)?,
                None => Scalar::default_of(&key_kind),
            };
            entries.insert(key_of(&key), *piece);
        }
        self.begin(true, parts)?;
        for (key, piece) in entries {
            let text = key.to_string();
            self.key(&text, &[piece])?;
            self.entry_value(entry, &value_kind, piece)
                .map_err(|failure| failure.within(format!("[{}]", shown(&text))))?;
        }
        self.end(true, parts)
    }

    fn entry_value(&mut self, entry: &MessageDescriptor, kind: &Kind, piece: Piece) -> Taken<()> {
        let inside = self.index(entry, &[piece.span()])?;
        if let Some(unknown) = inside.iter().find(|inside| inside.number > 2) {
            self.lose_unknown(entry, *unknown)?;
        }
        let values: Vec<Piece> = inside.into_iter().filter(|inside| inside.number == 2).collect();
        if let Kind::Message(message) = kind {
            let parts = self.parts(&values, false)?;
            return self.message(message, &parts);
        }
        match values.last() {
            Some(value) => {
                let scalar = self.scalar(kind, *value)?;
                self.send_scalar(kind, &scalar, *value)
            }
            None => self.send_scalar(kind, &Scalar::default_of(kind), piece),
        }
    }

    fn scalar(&self, kind: &Kind, piece: Piece) -> Taken<Scalar<'b>> {
        let wire = wire_type(kind);
        self.expect(piece, wire, &format!("{kind:?}"))?;
        let bytes = &self.body[piece.span()];
        Ok(match kind {
            Kind::String => match std::str::from_utf8(bytes) {
                Ok(text) => Scalar::Str(text),
                Err(error) => {
                    let at = piece.start as usize + error.valid_up_to();
                    return Err(Failure::new("a string is not valid UTF-8").at(at));
                }
            },
            Kind::Bytes => Scalar::Bytes(Cow::Borrowed(bytes)),
            Kind::Message(_) => return Err(Failure::new("the schema says a message").at(piece.start as usize)),
            _ if wire == VARINT => Scalar::of_bits(kind, self.varint(piece.start as usize, piece.end as usize)?.0),
            _ => {
                let mut bits = [0; 8];
                bits[..bytes.len()].copy_from_slice(bytes);
                Scalar::of_bits(kind, u64::from_le_bytes(bits))
            }
        })
    }

    fn send_scalar(&mut self, kind: &Kind, value: &Scalar<'_>, piece: Piece) -> Taken<()> {
        let is_text = self.spelling == Spelling::Text;
        let spelled;
        let event = match value {
            Scalar::Bool(value) => Event::Bool(*value),
            Scalar::Signed(value) if is_text && is_64_bits(kind) => {
                spelled = value.to_string();
                Event::Str(&spelled)
            }
            Scalar::Unsigned(value) if is_text && is_64_bits(kind) => {
                spelled = value.to_string();
                Event::Str(&spelled)
            }
            Scalar::Signed(value) => Event::Signed(*value),
            Scalar::Unsigned(value) => Event::Unsigned(*value),
            Scalar::F32(value) if is_text && !value.is_finite() => Event::Str(float_name(f64::from(*value))),
            Scalar::F64(value) if is_text && !value.is_finite() => Event::Str(float_name(*value)),
            Scalar::F32(value) if is_text => {
                // The shortest digits that no other float of 32 bits has.
                spelled = format!("{value:?}");
                Event::Number(&spelled)
            }
            Scalar::F32(value) => Event::F32(*value),
            Scalar::F64(value) => Event::F64(*value),
            Scalar::Str(text) => Event::Str(text),
            Scalar::Bytes(bytes) if is_text => {
                spelled = STANDARD.encode(bytes);
                Event::Str(&spelled)
            }
            Scalar::Bytes(bytes) => Event::Bytes(bytes),
            Scalar::Enum(_) if is_null_value(kind) => Event::Null,
            Scalar::Enum(number) => match kind.as_enum().and_then(|kind| kind.get_value(*number)) {
                Some(value) => {
                    spelled = value.name().to_owned();
                    Event::Str(&spelled)
                }
                None => Event::Signed(i64::from(*number)),
            },
        };
        self.send(event, piece.start as usize)
    }

    fn key(&mut self, key: &str, pieces: &[Piece]) -> Taken<()> {
        self.send(Event::Str(key), pieces[0].start as usize)
    }

    fn begin(&mut self, is_map: bool, parts: &[Range<usize>]) -> Taken<()> {
        let at = parts.first().map_or(0, |part| part.start);
        if self.depth == MAX_DEPTH {
            return Err(Failure::of(SinkError::too_deep(), at));
        }
        self.depth += 1;
        self.send(if is_map { Event::BeginMap(None) } else { Event::BeginSeq(None) }, at)
    }

    fn end(&mut self, is_map: bool, parts: &[Range<usize>]) -> Taken<()> {
        self.depth -= 1;
        self.send(if is_map { Event::EndMap } else { Event::EndSeq }, parts.last().map_or(0, |part| part.end))
    }

    fn send(&mut self, event: Event<'_>, at: usize) -> Taken<()> {
        self.sink.accept(event).map_err(|error| Failure::of(error, at))
    }
}

pub(super) fn key_of<'b>(key: &Scalar<'b>) -> Key<'b> {
    match key {
        Scalar::Bool(key) => Key::Bool(*key),
        Scalar::Signed(key) => Key::Signed(*key),
        Scalar::Unsigned(key) => Key::Unsigned(*key),
        Scalar::Str(key) => Key::Str(key),
        _ => Key::Bool(false),
    }
}

fn float_name(value: f64) -> &'static str {
    super::super::markers::float_name(value)
}

const ENDS_EARLY: &str = "its length reaches past the end of what it is in";
