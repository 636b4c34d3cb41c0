//! JSON: read by its bytes, written with the help of `serde_json`.

mod read;

use std::io::{Read, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::error::CodecError;
use super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};
use super::markers::{self, Markers, Recognised};

/// Sends the one JSON document in `input` to `sink`, markers decoded.
pub(super) fn read<S: Sink>(input: &mut dyn Read, sink: &mut S) -> Result<(), CodecError> {
    read::document(input, &mut Markers::new(sink, Recognised::Decode))
}

/// Sends the JSON documents in `input` to `sink` as one array, whatever white space is between them.
pub(super) fn read_lines<S: Sink>(input: &mut dyn Read, sink: &mut S) -> Result<(), CodecError> {
    read::documents(input, &mut Markers::new(sink, Recognised::Decode))
}

/// Output is gathered into writes of this size.
const BLOCK_BYTES: usize = 32 * 1024;

/// A writer of compact JSON.
pub(super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    let text = Text { out, care, lines: false, open: Vec::new(), block: Vec::with_capacity(2 * BLOCK_BYTES) };
    Markers::new(text, Recognised::Refuse)
}

/// A writer of JSON lines: the elements of an outermost array, or what is none, one a line.
pub(super) fn lines_writer(out: &mut dyn Write, care: Care) -> impl Sink {
    let text = Text { out, care, lines: true, open: Vec::new(), block: Vec::with_capacity(2 * BLOCK_BYTES) };
    Markers::new(text, Recognised::Refuse)
}

/// Writes events as JSON, and what JSON has no form for as markers.
struct Text<'a> {
    out: &'a mut dyn Write,
    care: Care,
    /// Each element of the outermost array has a line of its own.
    lines: bool,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Open>,
    /// What is not out.
    block: Vec<u8>,
}

/// What is due next in an open array or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Of the outermost array, where it is written in lines.
    Line,
    FirstElement,
    Element,
    FirstKey,
    Key,
    Value,
}

impl Text<'_> {
    /// Writes what stands between the value before and this one.
    fn separate(&mut self) {
        let Some(due) = self.open.last_mut() else { return };
        let (separator, then) = match due {
            Open::Line => ("", Open::Line),
            Open::FirstElement => ("", Open::Element),
            Open::Element => (",", Open::Element),
            Open::FirstKey => ("", Open::Value),
            Open::Key => (",", Open::Value),
            Open::Value => (":", Open::Key),
        };
        *due = then;
        self.block.extend_from_slice(separator.as_bytes());
    }

    fn begin(&mut self, bracket: &str, due: Open) -> Result<(), SinkError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SinkError::too_deep());
        }
        self.open.push(due);
        self.block.extend_from_slice(bracket.as_bytes());
        Ok(())
    }

    fn end(&mut self, bracket: &str) {
        self.open.pop();
        self.block.extend_from_slice(bracket.as_bytes());
    }

    /// Leaves the spelling of a scalar to `serde_json`.
    fn scalar<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SinkError> {
        serde_json::to_writer(&mut self.block, value).map_err(|error| SinkError::Io(error.into()))
    }

    fn float(&mut self, value: f64) -> Result<(), SinkError> {
        if value.is_finite() {
            return self.scalar(&value);
        }
        let name = markers::float_name(value);
        Ok(write!(self.block, "{{\"{}\":\"{name}\"}}", markers::FLOAT)?)
    }
}

impl Sink for Text<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if matches!(event, Event::Tag(_) | Event::Simple(_) | Event::Undefined | Event::Datetime(_)) {
            return self.care.plain(event)?.map_or(Ok(()), |event| self.accept(event));
        }
        if matches!(self.open.last(), Some(Open::FirstKey | Open::Key))
            && !matches!(event, Event::Str(_) | Event::EndMap)
        {
            let key = self.care.key(event, "JSON")?;
            return self.accept(Event::Str(&key));
        }
        if self.lines && matches!(self.open.as_slice(), [] | [Open::Line]) {
            self.write_line(event)?;
        } else {
            self.write(event)?;
            // What was no array is a line by itself.
            if self.lines && matches!(self.open.as_slice(), [] | [Open::Line]) {
                self.block.push(b'\n');
            }
        }
        if self.open.is_empty() || self.block.len() >= BLOCK_BYTES {
            self.out.write_all(&self.block)?;
            self.block.clear();
        }
        Ok(())
    }
}

impl Text<'_> {
    /// Writes what the lines are made of: the outermost array itself is none.
    fn write_line(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        match (event, self.open.as_slice()) {
            (Event::BeginSeq(_), []) => self.begin("", Open::Line),
            (Event::EndSeq, [Open::Line]) => {
                self.end("");
                Ok(())
            }
            _ => {
                self.write(event)?;
                if !matches!(event, Event::BeginSeq(_) | Event::BeginMap(_)) {
                    self.block.push(b'\n');
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if !matches!(event, Event::EndSeq | Event::EndMap) {
            self.separate();
        }
        match event {
            Event::Null => self.scalar(&()),
            Event::Bool(value) => self.scalar(&value),
            Event::Unsigned(value) => self.scalar(&value),
            Event::Signed(value) => self.scalar(&value),
            Event::F32(value) => self.float(f64::from(value)),
            Event::F64(value) => self.float(value),
            Event::Number(text) => {
                self.block.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Event::Str(text) => self.scalar(text),
            Event::Bytes(bytes) => {
                let text = Base64Display::new(bytes, &STANDARD);
                Ok(write!(self.block, "{{\"{}\":\"{text}\"}}", markers::BINARY)?)
            }
            Event::Ext(kind, bytes) => {
                let text = Base64Display::new(bytes, &STANDARD);
                Ok(write!(self.block, "{{\"{}\":[{kind},\"{text}\"]}}", markers::EXT)?)
            }
            Event::BeginSeq(_) => self.begin("[", Open::FirstElement),
            Event::EndSeq => {
                self.end("]");
                Ok(())
            }
            Event::BeginMap(_) => self.begin("{", Open::FirstKey),
            Event::EndMap => {
                self.end("}");
                Ok(())
            }
            Event::Tag(_) | Event::Simple(_) | Event::Undefined | Event::Datetime(_) => Ok(()),
        }
    }
}
