//! TOML 1.1, read by the `toml` crate into a tree with places, since a table may be taken up again anywhere in a document.
//!
//! Keys are in the order in which they come first. Integers are those of 64 bits with a sign, as the specification has it; a
//! float keeps the digits that it is spelled with. Dates and times are events of their own, and strings in every other format.
//! An empty body is an empty table.

mod write;

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error};

use super::error::CodecError;
use super::event::{Event, MAX_DEPTH, Sink, SinkError};
use super::format::Format;
use super::whole;

pub(super) use write::writer;

/// A body has to be there whole, and the tree of it takes up to eighty times as much.
const MOST_MIB: u64 = 16;

/// Sends the TOML document in `input` to `sink`.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    let body = whole::read(Format::Toml, input, MOST_MIB)?;
    let mut reader = Reader { body: &body, sink, depth: 0 };
    match DeTable::parse(&body) {
        Ok(table) => reader.table(table.get_ref(), 0),
        Err(error) => Err(reader.explain(&error)),
    }
}

struct Reader<'b, 's> {
    body: &'b str,
    sink: &'s mut dyn Sink,
    depth: usize,
}

impl Reader<'_, '_> {
    fn table(&mut self, table: &DeTable<'_>, at: usize) -> Result<(), CodecError> {
        self.begin(Event::BeginMap(Some(table.len() as u64)), at)?;
        for (key, value) in table {
            self.send(Event::Str(key.get_ref()), key.span().start)?;
            self.value(value)?;
        }
        self.end(Event::EndMap, at)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) -> Result<(), CodecError> {
        let Range { start: at, end } = value.span();
        match value.get_ref() {
            DeValue::String(text) => self.send(Event::Str(text), at),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(value) => match u64::try_from(value) {
                    Ok(value) => self.send(Event::Unsigned(value), at),
                    Err(_) => self.send(Event::Signed(value), at),
                },
                Err(_) => Err(self.data(at, write::out_of_range(&integer.to_string()))),
            },
            DeValue::Float(float) => match float.as_str().trim_start_matches('+') {
                "nan" | "-nan" => self.send(Event::F64(f64::NAN), at),
                "inf" => self.send(Event::F64(f64::INFINITY), at),
                "-inf" => self.send(Event::F64(f64::NEG_INFINITY), at),
                spelled => self.send(Event::Number(spelled), at),
            },
            DeValue::Boolean(value) => self.send(Event::Bool(*value), at),
            DeValue::Datetime(parsed) => {
                let has_seconds = parsed.time.is_none_or(|time| time.second.is_some());
                let text = datetime(&self.body[at..end], has_seconds);
                self.send(Event::Datetime(&text), at)
            }
            DeValue::Array(array) => {
                self.begin(Event::BeginSeq(Some(array.len() as u64)), at)?;
                for element in array {
                    self.value(element)?;
                }
                self.end(Event::EndSeq, at)
            }
            DeValue::Table(table) => self.table(table, at),
        }
    }

    fn begin(&mut self, event: Event<'_>, at: usize) -> Result<(), CodecError> {
        if self.depth == MAX_DEPTH {
            return Err(self.refused(SinkError::too_deep(), at));
        }
        self.depth += 1;
        self.send(event, at)
    }

    fn end(&mut self, event: Event<'_>, at: usize) -> Result<(), CodecError> {
        self.depth -= 1;
        self.send(event, at)
    }

    fn send(&mut self, event: Event<'_>, at: usize) -> Result<(), CodecError> {
        self.sink.accept(event).map_err(|error| self.refused(error, at))
    }

    fn refused(&self, error: SinkError, at: usize) -> CodecError {
        match error {
            SinkError::Io(error) => CodecError::Output(error),
            SinkError::Refused(reason) => self.data(at, reason),
        }
    }

    fn explain(&self, error: &Error) -> CodecError {
        let at = error.span().map_or(0, |span| span.start);
        let reason = match error.message() {
            "recursion limit" => format!("arrays and tables nest more than {} levels deep", write::MOST_LEVELS),
            message => message.trim().replace('\n', ", "),
        };
        self.data(at, reason)
    }

    fn data(&self, at: usize, reason: String) -> CodecError {
        CodecError::Data { format: Format::Toml, place: whole::place(self.body.as_bytes(), at), reason }
    }
}

/// A date or a time as RFC 3339 spells it, with all digits of the second that are written.
fn datetime(spelled: &str, has_seconds: bool) -> Cow<'_, str> {
    let is_plain = !spelled.contains(['t', ' ', 'z']);
    if is_plain && has_seconds {
        return spelled.into();
    }
    let mut text = spelled.replace(['t', ' '], "T").replace('z', "Z");
    if !has_seconds {
        let time = text.find('T').map_or(0, |at| at + 1);
        text.insert_str(time + "00:00".len(), ":00");
    }
    text.into()
}
