//! The names of the formats, and telling them apart by their first bytes.

use std::fmt;
use std::str::FromStr;

/// A format of message bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JSON text (RFC 8259).
    Json,
    /// `MessagePack`.
    Msgpack,
}

/// A format's names: the short one, its MIME types, and the suffix of MIME types built on it.
struct Names {
    short: &'static str,
    mime_types: &'static [&'static str],
    suffix: &'static str,
}

impl Format {
    /// How much of a body's beginning [`Format::detect`] should see, in bytes: white space may stand before it.
    pub const START_BYTES: u64 = 1024;

    /// Every format, in the order of help texts.
    pub const ALL: &'static [Format] = &[Format::Json, Format::Msgpack];

    fn names(self) -> Names {
        match self {
            Format::Json => Names { short: "json", mime_types: &["application/json", "text/json"], suffix: "+json" },
            Format::Msgpack => Names {
                short: "msgpack",
                mime_types: &["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"],
                suffix: "+msgpack",
            },
        }
    }

    /// The short name: `json`, `msgpack`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().short
    }

    /// The MIME type to label a body with: `application/json`, `application/msgpack`.
    #[must_use]
    pub fn mime_type(self) -> &'static str {
        self.names().mime_types[0]
    }

    /// Tells the format of a body from its beginning and its whole length in bytes.
    ///
    /// A first byte of 0x80 or more begins no JSON text, so such a body is Msgpack, unless that byte is a whole
    /// Msgpack value by itself and more follows (UTF-8 text, a byte-order mark). Otherwise the first byte that is not
    /// white space decides whether it can be JSON. `body_start` should hold [`Self::START_BYTES`] if the body has them.
    ///
    /// # Errors
    ///
    /// A body that could be either or neither is refused, never guessed.
    pub fn detect(body_start: &[u8], whole_len: u64) -> Result<Format, DetectError> {
        match *body_start {
            [] => Err(DetectError::Empty),
            [digit, ..] if whole_len == 1 && digit.is_ascii_digit() => Err(DetectError::Ambiguous),
            // Alone, it begins a JSON text that does not go on, or is a number in Msgpack; likelier it is neither.
            [0..=0x7f] if whole_len == 1 => Err(DetectError::Unknown),
            // nil, never used, booleans, negative fixint: no valid body is longer than that byte.
            [0xc0..=0xc3 | 0xe0..=0xff, ..] if whole_len > 1 => Err(DetectError::Unknown),
            [0xc1, ..] => Err(DetectError::Unknown),
            [0x80..=0xff, ..] => Ok(Format::Msgpack),
            _ => match body_start.iter().find(|&&byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
                Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Ok(Format::Json),
                _ => Err(DetectError::Unknown),
            },
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Accepts a short name or a MIME type, in any case; parameters (`; charset=utf-8`) are ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Format::ALL
            .iter()
            .copied()
            .find(|format| {
                let names = format.names();
                essence == names.short
                    || names.mime_types.contains(&essence.as_str())
                    || (essence.contains('/') && essence.ends_with(names.suffix))
            })
            .ok_or_else(|| UnknownFormat { name: text.to_owned() })
    }
}

/// A name that is no format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format \"{}\": it is one of {}, or a MIME type of these", name.escape_debug(), short_names())]
pub struct UnknownFormat {
    /// The name as it was given.
    pub name: String,
}

fn short_names() -> String {
    let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    names.join(", ")
}

/// Why a body's format cannot be told from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// There is not one byte.
    #[error("the body is empty, which is no document of any format")]
    Empty,
    /// One digit is a number both in JSON and, as another number, in Msgpack.
    #[error("a body of a single digit is both JSON and Msgpack: name its format")]
    Ambiguous,
    /// It begins like no format known here.
    #[error("the body begins like none of the known formats ({}): name its format", short_names())]
    Unknown,
}
