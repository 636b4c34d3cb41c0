//! JSON, by `serde_json`.

mod mask;

use std::cell::{Cell, Ref, RefCell};
use std::io::{self, Read, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde_json::error::Category;

use super::error::{CodecError, Place};
use super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};
use super::format::Format;
use super::markers::{self, Markers, Recognised};
use super::transcode::{Aside, Feed};
use mask::Masked;

/// Sends the one JSON document in `input` to `sink`, markers decoded.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    let spelled = Spelled::default();
    let mut markers = Markers::new(sink, Recognised::Decode);
    let mut feed = Feed::new(&mut markers, &spelled);
    let mut deserializer = serde_json::Deserializer::from_reader(Masked::new(input, &spelled));
    let read = feed.value(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| explain(&error, feed.take_failure(), &spelled))
}

/// Sends the JSON documents in `input` to `sink` as one array, whatever white space is between them.
pub(super) fn read_lines(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    let spelled = Spelled::default();
    let mut markers = Markers::new(sink, Recognised::Decode);
    let mut feed = Feed::new(&mut markers, &spelled);
    let mut deserializer = serde_json::Deserializer::from_reader(Masked::new(input, &spelled));
    let read = feed.sequence(&mut deserializer, |deserializer| deserializer.end().is_ok());
    read.map_err(|error| explain(&error, feed.take_failure(), &spelled))
}

fn explain(error: &serde_json::Error, failure: Option<SinkError>, spelled: &Spelled) -> CodecError {
    if let Some(failure) = spelled.failure.take() {
        return CodecError::Input(failure);
    }
    let (line, column) = (error.line(), error.column());
    let reason = match failure {
        Some(SinkError::Io(failure)) => return CodecError::Output(failure),
        Some(SinkError::Refused(reason)) => reason,
        None if error.classify() == Category::Eof && !spelled.any.get() => {
            "the body is empty, which is no JSON document".to_owned()
        }
        None => {
            let told = error.to_string();
            let place = format!(" at line {line} column {column}");
            told.strip_suffix(&place).unwrap_or(&told).to_owned()
        }
    };
    CodecError::Data { format: Format::Json, place: Place::LineColumn { line, column }, reason }
}

/// What the masked input tells beside the bytes.
#[derive(Default)]
struct Spelled {
    /// The number that was masked last.
    number: RefCell<String>,
    /// Whether there was anything but white space.
    any: Cell<bool>,
    /// Why the input could not be read.
    failure: RefCell<Option<io::Error>>,
}

impl Aside for Spelled {
    fn spelling(&self) -> Option<Ref<'_, str>> {
        Some(Ref::map(self.number.borrow(), String::as_str))
    }
}

/// A writer of compact JSON.
pub(super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    let text = Text { out, care, lines: false, open: Vec::new() };
    Markers::new(text, Recognised::Refuse)
}

/// A writer of JSON lines: the elements of an outermost array, or what is none, one a line.
pub(super) fn lines_writer(out: &mut dyn Write, care: Care) -> impl Sink {
    let text = Text { out, care, lines: true, open: Vec::new() };
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
    fn separate(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Some(due) = self.open.last_mut() else {
            return Ok(());
        };
        if matches!(due, Open::FirstKey | Open::Key) && !matches!(event, Event::Str(_)) {
            return Err(SinkError::Refused(
                "a map key is an array, a map or binary, and JSON has no such keys".to_owned(),
            ));
        }
        let (separator, then) = match due {
            Open::Line => ("", Open::Line),
            Open::FirstElement => ("", Open::Element),
            Open::Element => (",", Open::Element),
            Open::FirstKey => ("", Open::Value),
            Open::Key => (",", Open::Value),
            Open::Value => (":", Open::Key),
        };
        *due = then;
        Ok(self.out.write_all(separator.as_bytes())?)
    }

    /// A map key that is a scalar but no string, as JSON would spell it as a value.
    fn key(&self, event: Event<'_>) -> Result<Option<String>, SinkError> {
        if !matches!(self.open.last(), Some(Open::FirstKey | Open::Key)) {
            return Ok(None);
        }
        let key = match event {
            Event::Null => "null".to_owned(),
            Event::Bool(value) => value.to_string(),
            Event::Unsigned(value) => value.to_string(),
            Event::Signed(value) => value.to_string(),
            Event::F32(value) => value.to_string(),
            Event::F64(value) => value.to_string(),
            Event::Number(text) => text.to_owned(),
            _ => return Ok(None),
        };
        self.care.lose(&format!("that the map key {key} is no string"))?;
        Ok(Some(key))
    }

    fn begin(&mut self, bracket: &str, due: Open) -> Result<(), SinkError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SinkError::too_deep());
        }
        self.open.push(due);
        Ok(self.out.write_all(bracket.as_bytes())?)
    }

    fn end(&mut self, bracket: &str) -> Result<(), SinkError> {
        self.open.pop();
        Ok(self.out.write_all(bracket.as_bytes())?)
    }

    /// Leaves the spelling of a scalar to `serde_json`.
    fn scalar<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SinkError> {
        serde_json::to_writer(&mut *self.out, value).map_err(|error| SinkError::Io(error.into()))
    }

    fn float(&mut self, value: f64) -> Result<(), SinkError> {
        if value.is_finite() {
            return self.scalar(&value);
        }
        let name = markers::float_name(value);
        Ok(write!(self.out, "{{\"{}\":\"{name}\"}}", markers::FLOAT)?)
    }
}

impl Sink for Text<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let key = self.key(event)?;
        let event = key.as_deref().map_or(event, Event::Str);
        let Some(event) = self.care.plain(event)? else { return Ok(()) };
        match (event, self.open.as_slice()) {
            (Event::BeginSeq(_), []) if self.lines => return self.begin("", Open::Line),
            (Event::EndSeq, [Open::Line]) => return self.end(""),
            (Event::EndSeq | Event::EndMap, _) => {}
            _ => self.separate(event)?,
        }
        self.write(event)?;
        let is_line = self.lines && matches!(self.open.as_slice(), [] | [Open::Line]);
        if is_line { Ok(self.out.write_all(b"\n")?) } else { Ok(()) }
    }
}

impl Text<'_> {
    fn write(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        match event {
            Event::Null => self.scalar(&()),
            Event::Bool(value) => self.scalar(&value),
            Event::Unsigned(value) => self.scalar(&value),
            Event::Signed(value) => self.scalar(&value),
            Event::F32(value) => self.float(f64::from(value)),
            Event::F64(value) => self.float(value),
            Event::Number(text) => Ok(self.out.write_all(text.as_bytes())?),
            Event::Str(text) => self.scalar(text),
            Event::Bytes(bytes) => {
                let text = Base64Display::new(bytes, &STANDARD);
                Ok(write!(self.out, "{{\"{}\":\"{text}\"}}", markers::BINARY)?)
            }
            Event::Ext(kind, bytes) => {
                let text = Base64Display::new(bytes, &STANDARD);
                Ok(write!(self.out, "{{\"{}\":[{kind},\"{text}\"]}}", markers::EXT)?)
            }
            Event::BeginSeq(_) => self.begin("[", Open::FirstElement),
            Event::EndSeq => self.end("]"),
            Event::BeginMap(_) => self.begin("{", Open::FirstKey),
            Event::EndMap => self.end("}"),
            Event::Tag(_) | Event::Simple(_) | Event::Undefined => Ok(()),
        }
    }
}
