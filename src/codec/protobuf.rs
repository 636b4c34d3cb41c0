//! Protobuf, read and written by its tags as a schema says, with the values that its JSON mapping gives it.
//!
//! [`Schema`] is what a `.proto` file says; from there on no crate is needed. Those that there are build a tree of a hundred
//! bytes for a byte, keep maps in no order, run out of stack in an `Any` inside an `Any`, let a number that is too large
//! become infinite, and say of an error neither where it is nor in which field.
//!
//! Invariants: the bytes of a message are looked at where they lie, and one level at a time is indexed, so memory grows with
//! the body and not with what it claims; every step down is counted; what comes out is in the order of the fields' numbers
//! and of the keys of maps, so the same message is always the same text and the same bytes.
//!
//! Where the other side is a format of text, values are those of the canonical JSON mapping: 64-bit integers and bytes are
//! strings. Msgpack and CBOR have both, and get them as they are. Going back, either is taken everywhere.

mod read;
mod scalar;
mod schema;
mod tape;
mod time;
mod value;
mod write;

use prost_reflect::{ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::event::SinkError;

pub(super) use read::{Spelling, message, read};
pub use schema::{Schema, SchemaError};
pub(super) use tape::Tape;
pub(super) use write::{encode, writer};

/// The limit that the format itself has (2 GiB, less one): lengths beyond it are no lengths.
const MOST_BYTES: u64 = 0x7fff_ffff;

/// So many steps of a path are told, from either end.
const SHOWN_STEPS: usize = 8;

/// A field of a message, its own or an extension.
#[derive(Clone)]
enum Field {
    Own(FieldDescriptor),
    Extension(ExtensionDescriptor),
}

/// Asks whichever it is.
macro_rules! ask {
    ($field:expr, $question:ident) => {
        match $field {
            Field::Own(field) => field.$question(),
            Field::Extension(field) => field.$question(),
        }
    };
}

impl Field {
    fn numbered(message: &MessageDescriptor, number: u32) -> Option<Self> {
        let own = message.get_field(number).map(Field::Own);
        own.or_else(|| message.get_extension(number).map(Field::Extension))
    }

    /// By the name that JSON has for it, or by that of the schema.
    fn named(message: &MessageDescriptor, name: &str) -> Option<Self> {
        let own = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
        own.map(Field::Own).or_else(|| message.get_extension_by_json_name(name).map(Field::Extension))
    }

    fn number(&self) -> u32 {
        ask!(self, number)
    }

    fn kind(&self) -> Kind {
        ask!(self, kind)
    }

    fn json_name(&self) -> &str {
        ask!(self, json_name)
    }

    fn is_list(&self) -> bool {
        ask!(self, is_list)
    }

    fn is_map(&self) -> bool {
        ask!(self, is_map)
    }

    fn is_packed(&self) -> bool {
        ask!(self, is_packed)
    }

    fn is_group(&self) -> bool {
        ask!(self, is_group)
    }

    /// Whether a value that is the default is another thing than none.
    fn has_presence(&self) -> bool {
        ask!(self, supports_presence)
    }

    /// The name of the choice that it is a part of.
    fn choice(&self) -> Option<String> {
        match self {
            Field::Own(field) => field.containing_oneof().map(|oneof| oneof.name().to_owned()),
            Field::Extension(_) => None,
        }
    }
}

/// Messages that have a form of their own in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WellKnown {
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    List,
    /// A message around one scalar, which may so be absent.
    Wrapper,
    Empty,
}

impl WellKnown {
    fn of(message: &MessageDescriptor) -> Option<Self> {
        Some(match message.full_name().strip_prefix("google.protobuf.")? {
            "Any" => WellKnown::Any,
            "Timestamp" => WellKnown::Timestamp,
            "Duration" => WellKnown::Duration,
            "FieldMask" => WellKnown::FieldMask,
            "Struct" => WellKnown::Struct,
            "Value" => WellKnown::Value,
            "ListValue" => WellKnown::List,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue" => WellKnown::Wrapper,
            "Empty" => WellKnown::Empty,
            _ => return None,
        })
    }
}

/// Whether it is the enumeration of the one value null.
fn is_null_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue")
}

/// The message that the URL of an `Any` names.
fn resolve_any(message: &MessageDescriptor, url: &str) -> Taken<MessageDescriptor> {
    let Some((_, name)) = url.rsplit_once('/') else {
        return Err(Failure::new(format!("its type {url:?} is no URL that ends in a slash and a name")));
    };
    let found = message.parent_pool().get_message_by_name(name);
    found.ok_or_else(|| Failure::new(format!("it is of the type {name}, which the schema does not have")))
}

/// Why a message was not read or written. The path to the place is put together on the way out.
///
/// Boxed, since a large error would make every step slower.
struct Failure(Box<Inside>);

struct Inside {
    error: SinkError,
    /// How many bytes of the body are before it.
    at: usize,
    /// The steps to it, the last one first.
    path: Vec<String>,
}

/// What each step gives.
type Taken<T> = Result<T, Failure>;

impl Failure {
    fn new(reason: impl Into<String>) -> Self {
        Self::of(SinkError::Refused(reason.into()), 0)
    }

    fn of(error: SinkError, at: usize) -> Self {
        Self(Box::new(Inside { error, at, path: Vec::new() }))
    }

    fn at(mut self, at: usize) -> Self {
        self.0.at = at;
        self
    }

    fn within(mut self, step: String) -> Self {
        self.0.path.push(step);
        self
    }

    fn in_field(self, field: &Field) -> Self {
        self.within(format!(".{}", field.json_name()))
    }

    /// How many bytes of the body are before the place.
    fn offset(&self) -> u64 {
        self.0.at as u64
    }

    /// As a writer says it, with the path from `message`.
    fn explain(self, message: &MessageDescriptor) -> SinkError {
        let SinkError::Refused(reason) = self.0.error else {
            return self.0.error;
        };
        let mut path = self.0.path;
        path.reverse();
        if path.len() > 2 * SHOWN_STEPS {
            path.splice(SHOWN_STEPS..path.len() - SHOWN_STEPS, ["…".to_owned()]);
        }
        let path = path.concat();
        SinkError::Refused(format!("{}{path}: {reason}", message.full_name()))
    }
}

/// A key or a text in an error, not longer than a line.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", start.escape_debug())
}
