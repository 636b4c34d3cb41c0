//! The visitor between any self-describing serde `Deserializer` and a [`Sink`].

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::event::{Event, Sink, SinkError};

/// What a format's reader knows of the value being visited, and serde's data model does not carry.
pub(super) trait Aside {
    /// The next byte read begins a value.
    fn value_begins(&self) {}

    /// Whether the bytes being visited were declared to be text, and so are not valid UTF-8.
    fn bytes_are_text(&self) -> bool {
        false
    }
}

/// A sink on its way through the recursion of a deserializer.
///
/// The deserializer's error type cannot carry a [`SinkError`]; it is kept here, and the deserializer is stopped by an
/// error of its own.
pub(super) struct Feed<'a, S> {
    sink: &'a mut S,
    aside: &'a dyn Aside,
    failure: Option<SinkError>,
}

impl<'a, S: Sink> Feed<'a, S> {
    pub(super) fn new(sink: &'a mut S, aside: &'a dyn Aside) -> Self {
        Feed { sink, aside, failure: None }
    }

    /// Sends the whole next value of `deserializer` to the sink.
    pub(super) fn value<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        Value(self).deserialize(deserializer)
    }

    /// Why the sink stopped the deserializer, if it was the sink.
    pub(super) fn take_failure(&mut self) -> Option<SinkError> {
        self.failure.take()
    }

    fn send<E: de::Error>(&mut self, event: Event<'_>) -> Result<(), E> {
        self.sink.accept(event).map_err(|failure| self.stop(failure))
    }

    fn stop<E: de::Error>(&mut self, failure: SinkError) -> E {
        self.failure = Some(failure);
        E::custom("stopped by the writer")
    }
}

/// The seed and visitor of one value.
struct Value<'f, 'a, S>(&'f mut Feed<'a, S>);

impl<'de, S: Sink> DeserializeSeed<'de> for Value<'_, '_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.aside.value_begins();
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Value<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.0.send(Event::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.0.send(Event::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.0.send(Event::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.0.send(Event::Signed(value))
    }

    fn visit_f32<E: de::Error>(self, value: f32) -> Result<(), E> {
        self.0.send(Event::F32(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.0.send(Event::F64(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.send(Event::Str(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        if self.0.aside.bytes_are_text() {
            return Err(self.0.stop(SinkError::Refused("a string is not valid UTF-8".to_owned())));
        }
        self.0.send(Event::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.0.send(Event::BeginSeq(elements.size_hint().map(|count| count as u64)))?;
        while elements.next_element_seed(Value(self.0))?.is_some() {}
        self.0.send(Event::EndSeq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.0.send(Event::BeginMap(entries.size_hint().map(|count| count as u64)))?;
        while entries.next_key_seed(Value(self.0))?.is_some() {
            entries.next_value_seed(Value(self.0))?;
        }
        self.0.send(Event::EndMap)
    }

    /// This is how an ext is told: a newtype around its type and its bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(Ext(self.0))
    }
}

/// The visitor of an ext's two parts.
struct Ext<'f, 'a, S>(&'f mut Feed<'a, S>);

impl<'de, S: Sink> Visitor<'de> for Ext<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type and the bytes of an ext")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<(), A::Error> {
        let kind: i8 = parts.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        parts
            .next_element_seed(ExtBytes { feed: &mut *self.0, kind })?
            .ok_or_else(|| de::Error::invalid_length(1, &"the bytes of an ext"))
    }
}

/// The seed and visitor of an ext's bytes.
struct ExtBytes<'f, 'a, S> {
    feed: &'f mut Feed<'a, S>,
    kind: i8,
}

impl<'de, S: Sink> DeserializeSeed<'de> for ExtBytes<'_, '_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<S: Sink> Visitor<'_> for ExtBytes<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of an ext")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.feed.send(Event::Ext(self.kind, bytes))
    }
}
