//! Markers: how text formats spell bin, ext and the floats that are no numbers.
//!
//! The shapes are listed in the room's documentation. [`Markers`] recognises them in a run of events without looking
//! ahead in the input: it holds back the few events that may yet turn out to be a marker, and lets them go as they
//! were at the first that does not fit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::event::{Event, Sink, SinkError};

pub(super) const BINARY: &str = "$binary";
pub(super) const EXT: &str = "$ext";
pub(super) const FLOAT: &str = "$float";

/// The name under [`FLOAT`] of a float that is not finite.
pub(super) fn float_name(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// What to do with a map that is a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    /// Behind the reader of a text format: send on what it stands for.
    Decode,
    /// Before the writer of a text format: refuse it, since a map that was never a marker would come back as one.
    Refuse,
}

/// A filter before a sink that recognises markers.
pub(super) struct Markers<S> {
    next: S,
    recognised: Recognised,
    held: Vec<Held>,
}

/// An event held back.
enum Held {
    BeginMap(Option<u64>),
    BeginSeq(Option<u64>),
    EndSeq,
    Number(String),
    Unsigned(u64),
    Signed(i64),
    Str(String),
}

impl Held {
    fn event(&self) -> Event<'_> {
        match self {
            Held::BeginMap(count) => Event::BeginMap(*count),
            Held::BeginSeq(count) => Event::BeginSeq(*count),
            Held::EndSeq => Event::EndSeq,
            Held::Number(text) => Event::Number(text),
            Held::Unsigned(value) => Event::Unsigned(*value),
            Held::Signed(value) => Event::Signed(*value),
            Held::Str(text) => Event::Str(text),
        }
    }

    /// The type number of an ext, if it is spelled the one way the writer spells it: `-0` and `1e0` are not.
    fn ext_type(&self) -> Option<i8> {
        match self {
            Held::Number(text) => text.parse().ok().filter(|kind: &i8| kind.to_string() == *text),
            Held::Unsigned(value) => i8::try_from(*value).ok(),
            Held::Signed(value) => i8::try_from(*value).ok(),
            _ => None,
        }
    }
}

/// What a marker stands for.
enum Meaning {
    Bytes(Vec<u8>),
    Ext(i8, Vec<u8>),
    Float(f64),
}

impl<S: Sink> Markers<S> {
    pub(super) fn new(next: S, recognised: Recognised) -> Self {
        Markers { next, recognised, held: Vec::new() }
    }

    /// The event as a further part of the marker held so far, if it fits.
    fn fit(&self, event: Event<'_>) -> Option<Held> {
        match (self.held.as_slice(), event) {
            ([], Event::BeginMap(count @ (None | Some(1)))) => Some(Held::BeginMap(count)),
            ([_], Event::Str(key @ (BINARY | EXT | FLOAT))) => Some(Held::Str(key.to_owned())),
            ([_, Held::Str(key)], Event::BeginSeq(count)) if key == EXT => Some(Held::BeginSeq(count)),
            ([_, Held::Str(key)], Event::Str(text)) if key != EXT => Some(Held::Str(text.to_owned())),
            ([_, _, Held::BeginSeq(_)], Event::Number(text)) => Some(Held::Number(text.to_owned())),
            ([_, _, Held::BeginSeq(_)], Event::Unsigned(value)) => Some(Held::Unsigned(value)),
            ([_, _, Held::BeginSeq(_)], Event::Signed(value)) => Some(Held::Signed(value)),
            ([_, _, _, _], Event::Str(text)) => Some(Held::Str(text.to_owned())),
            ([_, _, _, _, _], Event::EndSeq) => Some(Held::EndSeq),
            _ => None,
        }
    }

    /// What the held events stand for, if their map ends here and is a marker.
    fn meaning(&self) -> Option<Meaning> {
        match self.held.as_slice() {
            [_, Held::Str(key), Held::Str(text)] if key == BINARY => STANDARD.decode(text).ok().map(Meaning::Bytes),
            [_, Held::Str(_float), Held::Str(name)] => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .into_iter()
                .find(|&value| float_name(value) == name)
                .map(Meaning::Float),
            [_, _, _, kind, Held::Str(text), Held::EndSeq] => {
                Some(Meaning::Ext(kind.ext_type()?, STANDARD.decode(text).ok()?))
            }
            _ => None,
        }
    }

    fn let_go(&mut self) -> Result<(), SinkError> {
        for held in self.held.drain(..) {
            self.next.accept(held.event())?;
        }
        Ok(())
    }
}

impl<S: Sink> Sink for Markers<S> {
    #[inline]
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if self.held.is_empty() && !matches!(event, Event::BeginMap(_)) {
            return self.next.accept(event);
        }
        self.hold(event)
    }
}

impl<S: Sink> Markers<S> {
    fn hold(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if let Some(part) = self.fit(event) {
            self.held.push(part);
            return Ok(());
        }
        if matches!(event, Event::EndMap)
            && let Some(meaning) = self.meaning()
        {
            self.held.clear();
            return match (self.recognised, meaning) {
                (Recognised::Refuse, _) => Err(SinkError::Refused(format!(
                    "a map of one of the keys {BINARY}, {EXT}, {FLOAT} and a value that fits it would come back as \
                     something else than a map"
                ))),
                (Recognised::Decode, Meaning::Bytes(bytes)) => self.next.accept(Event::Bytes(&bytes)),
                (Recognised::Decode, Meaning::Ext(kind, bytes)) => self.next.accept(Event::Ext(kind, &bytes)),
                (Recognised::Decode, Meaning::Float(value)) => self.next.accept(Event::F64(value)),
            };
        }
        if self.held.is_empty() {
            return self.next.accept(event);
        }
        self.let_go()?;
        // The event that broke one shape may begin another.
        match self.fit(event) {
            Some(part) => self.held.push(part),
            None => self.next.accept(event)?,
        }
        Ok(())
    }
}
