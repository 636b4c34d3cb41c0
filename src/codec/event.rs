//! What readers tell writers.
//!
//! A document is a run of events: a scalar, or a `Begin…`, the values inside and the matching `End…`. In a map the
//! values alternate between key and value, so that formats whose keys are not only strings lose nothing here.

use std::borrow::Cow;
use std::io;

/// How many levels arrays and maps may nest.
///
/// `serde_json` stops at 127; this leaves room for the two levels that a marker adds in JSON, so that whatever is
/// accepted in one format is accepted in the other.
pub const MAX_DEPTH: usize = 120;

/// A piece of a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    /// A number as text formats spell it, in the grammar of JSON: what it means is for the writer to say.
    Number(&'a str),
    Str(&'a str),
    /// A date, a time of day, or both, with or without an offset, as RFC 3339 spells them (TOML).
    Datetime(&'a str),
    Bytes(&'a [u8]),
    /// Bytes of an application-defined type.
    Ext(i8, &'a [u8]),
    /// The value that follows means something special, which the number says (CBOR).
    Tag(u64),
    /// A value that is only known by its number (CBOR).
    Simple(u8),
    /// That there is no value (CBOR).
    Undefined,
    /// An array, with the number of its elements where the reader's format tells it.
    BeginSeq(Option<u64>),
    EndSeq,
    /// A map, with the number of its entries where the reader's format tells it.
    BeginMap(Option<u64>),
    EndMap,
}

/// A writer, or a filter before one.
pub(super) trait Sink {
    /// Takes the next event. Events arrive in the order of a well-formed document, one document per sink.
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError>;
}

impl<S: Sink + ?Sized> Sink for &mut S {
    #[inline]
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        (**self).accept(event)
    }
}

/// Why a sink would not take an event.
#[derive(Debug)]
pub(super) enum SinkError {
    /// The output failed.
    Io(io::Error),
    /// The writer's format cannot hold it; the reader adds the place.
    Refused(String),
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> Self {
        SinkError::Io(error)
    }
}

/// What a writer does where its format cannot hold all that a value is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Care {
    /// Nothing may be lost.
    pub(super) is_strict: bool,
}

impl Care {
    /// Something is about to be lost; `what` completes "... is lost".
    pub(super) fn lose(self, what: &str) -> Result<(), SinkError> {
        if self.is_strict {
            return Err(SinkError::Refused(format!("{what} would be lost, and nothing may be")));
        }
        Ok(())
    }

    /// Reads a number in the grammar of JSON, refusing what neither 64-bit integers nor a finite `f64` can stand for.
    pub(super) fn number(self, text: &str) -> Result<Number, SinkError> {
        let number = number(text)?;
        if self.is_strict
            && let Number::Float(value) = number
            && !is_spelled(text, &format!("{value:e}"))
        {
            self.lose(&format!("a part of the digits of {}", shortened(text)))?;
        }
        Ok(number)
    }

    /// An event that most formats have no form for, as what is left of it in them. `None` if that is nothing.
    pub(super) fn plain(self, event: Event<'_>) -> Result<Option<Event<'_>>, SinkError> {
        Ok(Some(match event {
            Event::Tag(tag) => {
                self.lose(&format!("the tag {tag}"))?;
                return Ok(None);
            }
            Event::Simple(value) => {
                self.lose(&format!("the simple value {value}"))?;
                Event::Null
            }
            Event::Undefined => {
                self.lose("that a value is undefined")?;
                Event::Null
            }
            Event::Datetime(text) => {
                self.lose(&format!("that {text} is a date or a time"))?;
                Event::Str(text)
            }
            other => other,
        }))
    }

    /// The key of a map in a format whose keys are strings: a scalar that is none, as JSON spells it as a value.
    pub(super) fn key<'t>(self, event: Event<'t>, format: &str) -> Result<Cow<'t, str>, SinkError> {
        let key = match event {
            Event::Str(text) => return Ok(text.into()),
            Event::Null => "null".to_owned(),
            Event::Bool(value) => value.to_string(),
            Event::Unsigned(value) => value.to_string(),
            Event::Signed(value) => value.to_string(),
            Event::F32(value) => value.to_string(),
            Event::F64(value) => value.to_string(),
            Event::Number(text) => text.to_owned(),
            _ => {
                let reason = format!("a map key is an array, a map or binary, and {format} has no such keys");
                return Err(SinkError::Refused(reason));
            }
        };
        self.lose(&format!("that the map key {key} is no string"))?;
        Ok(key.into())
    }
}

/// Whether two spellings are of one number, digit by digit, but for zeros and the place of the point.
pub(super) fn is_spelled(text: &str, value: &str) -> bool {
    significand(text) == significand(value)
}

/// The digits of a number and its power of ten, both without the zeros that say nothing.
pub(super) fn significand(text: &str) -> (String, i64) {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.trim_start_matches('-').split_once('.').unwrap_or((digits, ""));
    let all = format!("{}{fraction}", whole.trim_start_matches('-'));
    let kept = all.trim_start_matches('0').trim_end_matches('0');
    if kept.is_empty() {
        return (String::new(), 0);
    }
    let trailing = all.len() - all.trim_end_matches('0').len();
    let power = exponent.parse::<i64>().unwrap_or(i64::MAX / 2);
    let power = power.saturating_add_unsigned(trailing as u64).saturating_sub_unsigned(fraction.len() as u64);
    (kept.to_owned(), power)
}

fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

impl SinkError {
    /// What every writer says of a body past [`MAX_DEPTH`].
    pub(super) fn too_deep() -> Self {
        SinkError::Refused(format!("arrays and maps nest more than {MAX_DEPTH} levels deep"))
    }
}

/// A spelled number as binary formats hold it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

fn number(text: &str) -> Result<Number, SinkError> {
    let refused = |what: &str| {
        let shown = shortened(text);
        Err(SinkError::Refused(format!("the number {shown} is outside the range of {what}")))
    };
    // Negative zero exists only among the floats; as an integer it would lose its sign.
    if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) || text == "-0" {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Number::Float(value)),
            _ => refused("64-bit floats"),
        };
    }
    if let Ok(value) = text.parse() {
        return Ok(Number::Unsigned(value));
    }
    match text.parse() {
        Ok(value) => Ok(Number::Signed(value)),
        Err(_) => refused("64-bit integers"),
    }
}
