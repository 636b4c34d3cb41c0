//! Durations and sizes in a policy's file: text in quotes, as in a setting.

use std::fmt;
use std::time::Duration;

use serde::{Deserializer, Serializer};

use crate::domain::units::{format_duration, format_size, parse_duration, parse_size};

pub(super) mod duration_text {
    use super::{Deserializer, Duration, Serializer, fmt, format_duration, parse_duration};

    /// Parses where the text is read, so that an error has the text's own place in the file.
    struct Visitor;

    impl serde::de::Visitor<'_> for Visitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration in quotes, such as \"30s\"")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            parse_duration(text).map_err(E::custom)
        }
    }

    pub(in crate::domain::queue) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*duration))
    }

    pub(in crate::domain::queue) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(Visitor)
    }
}

pub(super) mod optional_duration_text {
    use super::{Deserializer, Duration, Serializer, duration_text};

    #[allow(clippy::ref_option)] // serde's `with` hands over a reference to the field.
    pub(in crate::domain::queue) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => duration_text::serialize(duration, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::domain::queue) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration_text::deserialize(from).map(Some)
    }
}

pub(super) mod optional_size_text {
    use super::{Deserializer, Serializer, fmt, format_size, parse_size};

    struct Visitor;

    impl serde::de::Visitor<'_> for Visitor {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size in quotes, such as \"64MiB\"")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            parse_size(text).map_err(E::custom)
        }
    }

    #[allow(clippy::ref_option)] // serde's `with` hands over a reference to the field.
    pub(in crate::domain::queue) fn serialize<S: Serializer>(size: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match size {
            Some(bytes) => to.serialize_str(&format_size(*bytes)),
            None => to.serialize_none(),
        }
    }

    pub(in crate::domain::queue) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        from.deserialize_str(Visitor).map(Some)
    }
}
