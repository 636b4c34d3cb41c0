//! The names of the formats, and telling them apart by their first bytes.

use std::fmt;
use std::str::FromStr;

/// A format of message bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JSON text (RFC 8259).
    Json,
    /// JSON documents, one a line; in other formats, an array of them.
    JsonLines,
    /// `MessagePack`.
    Msgpack,
    /// CBOR (RFC 8949).
    Cbor,
    /// YAML 1.2.
    Yaml,
    /// TOML 1.1.
    Toml,
    /// XML 1.0.
    Xml,
    /// Protobuf, whose values have the forms of its JSON mapping; needs a schema.
    Protobuf,
    /// Messages of Protobuf as gRPC frames them; in other formats, an array of them. Needs a schema.
    Grpc,
    /// A text in UTF-8: one string.
    Text,
    /// Bytes, whatever they are.
    Raw,
    /// Bytes in base64 (RFC 4648), as text.
    Base64,
    /// Bytes in hexadecimal digits, as text.
    Hex,
}

/// A format's names: the short one, its MIME types, and the suffix of MIME types built on it.
struct Names {
    short: &'static str,
    mime_types: &'static [&'static str],
    suffix: &'static str,
}

/// What no MIME type ends with.
const NO_SUFFIX: &str = "\n";

impl Format {
    /// How much of a body's beginning [`Format::detect`] should see, in bytes: white space may stand before it.
    pub const START_BYTES: u64 = 16 * 1024;

    /// Those whose bodies are values with a structure, which become one another.
    pub const STRUCTURED: &'static [Format] =
        &[Format::Json, Format::JsonLines, Format::Msgpack, Format::Cbor, Format::Yaml, Format::Toml, Format::Xml];

    /// Every format, in the order of help texts.
    pub const ALL: &'static [Format] = &[
        Format::Json,
        Format::JsonLines,
        Format::Msgpack,
        Format::Cbor,
        Format::Yaml,
        Format::Toml,
        Format::Xml,
        Format::Protobuf,
        Format::Grpc,
        Format::Text,
        Format::Raw,
        Format::Base64,
        Format::Hex,
    ];

    fn names(self) -> Names {
        match self {
            Format::Json => Names { short: "json", mime_types: &["application/json", "text/json"], suffix: "+json" },
            Format::JsonLines => Names {
                short: "jsonl",
                mime_types: &["application/x-ndjson", "application/jsonl", "application/ndjson"],
                suffix: NO_SUFFIX,
            },
            Format::Msgpack => Names {
                short: "msgpack",
                mime_types: &["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"],
                suffix: "+msgpack",
            },
            Format::Cbor => Names { short: "cbor", mime_types: &["application/cbor"], suffix: "+cbor" },
            Format::Yaml => Names {
                short: "yaml",
                mime_types: &["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"],
                suffix: "+yaml",
            },
            Format::Toml => Names { short: "toml", mime_types: &["application/toml", "text/x-toml"], suffix: "+toml" },
            Format::Xml => Names { short: "xml", mime_types: &["application/xml", "text/xml"], suffix: "+xml" },
            Format::Protobuf => Names {
                short: "protobuf",
                mime_types: &[
                    "application/protobuf",
                    "application/x-protobuf",
                    "application/x-protobuffer",
                    "application/vnd.google.protobuf",
                ],
                suffix: NO_SUFFIX,
            },
            Format::Grpc => {
                Names { short: "grpc", mime_types: &["application/grpc", "application/grpc+proto"], suffix: NO_SUFFIX }
            }
            Format::Text => Names { short: "text", mime_types: &["text/plain"], suffix: NO_SUFFIX },
            Format::Raw => Names { short: "raw", mime_types: &["application/octet-stream"], suffix: NO_SUFFIX },
            Format::Base64 => Names { short: "base64", mime_types: &["application/base64"], suffix: NO_SUFFIX },
            Format::Hex => Names { short: "hex", mime_types: &["application/hex"], suffix: NO_SUFFIX },
        }
    }

    /// Whether only a schema says what a body of it means.
    #[must_use]
    pub fn has_schema(self) -> bool {
        matches!(self, Format::Protobuf | Format::Grpc)
    }

    /// Whether a body of it is bytes, or a text, that nothing is known of.
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Format::Text | Format::Raw | Format::Base64 | Format::Hex)
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
    /// A first byte of 0x80 or more begins no JSON text. Msgpack and CBOR begin with the same bytes, so such a body is read
    /// as both, as far as it is known: it is what it can be. YAML and XML are told only by the `---` or `%YAML`, and
    /// `<?xml`, that they may begin with. Otherwise the first byte that is not white space decides whether it can be JSON. `body_start` should hold [`Self::START_BYTES`] if the body has them.
    ///
    /// # Errors
    ///
    /// A body that could be several or none is refused, never guessed.
    pub fn detect(body_start: &[u8], whole_len: u64) -> Result<Format, DetectError> {
        match *body_start {
            [] => Err(DetectError::Empty),
            [digit, ..] if whole_len == 1 && digit.is_ascii_digit() => Err(DetectError::Ambiguous),
            // Alone, it begins a JSON text that does not go on, or is a number in Msgpack; likelier it is neither.
            [0..=0x7f] if whole_len == 1 => Err(DetectError::Unknown),
            [b'<', b'?', b'x', b'm', b'l', b' ' | b'\t' | b'\n' | b'\r', ..]
            | [0xef, 0xbb, 0xbf, b'<', b'?', b'x', b'm', b'l', ..] => Ok(Format::Xml),
            [0x80..=0xff, ..] => {
                let can_be = |format| super::can_be(format, body_start, whole_len);
                match (can_be(Format::Msgpack), can_be(Format::Cbor)) {
                    (true, true) => Err(DetectError::Ambiguous),
                    (true, false) => Ok(Format::Msgpack),
                    (false, true) => Ok(Format::Cbor),
                    (false, false) => Err(DetectError::Unknown),
                }
            }
            [b'-', b'-', b'-'] if whole_len == 3 => Ok(Format::Yaml),
            [b'-', b'-', b'-', b' ' | b'\t' | b'\n' | b'\r', ..] | [b'%', b'Y', b'A', b'M', b'L', b' ', ..] => {
                Ok(Format::Yaml)
            }
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
    /// A single digit is a number in JSON, and another one in Msgpack and CBOR, and these two share their first bytes.
    #[error("the body can be of more than one format (json, msgpack, cbor): name its format")]
    Ambiguous,
    /// It begins like no format known here.
    #[error("the body begins like none of the known formats ({}): name its format", short_names())]
    Unknown,
}
