//! What can go wrong in a conversion.

use std::fmt;
use std::io;

use super::Format;

/// A conversion that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The input could not be read.
    #[error("cannot read the body to convert")]
    Input(#[source] io::Error),
    /// The output could not be written.
    #[error("cannot write the converted body")]
    Output(#[source] io::Error),
    /// Only a schema says what a body of the format means, and none was given.
    #[error("a {0} body means nothing without its schema, and none is given")]
    NoSchema(Format),
    /// The body is not valid, or the target format cannot hold what it says.
    #[error("{format} body, {place}: {reason}")]
    Data {
        /// The format of the input.
        format: Format,
        /// How far the reader had come.
        place: Place,
        /// What is wrong, as a sentence without its full stop.
        reason: String,
    },
}

impl CodecError {
    /// Whether the body is to blame, rather than the reading or writing of it.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self, CodecError::Data { .. })
    }
}

/// A place in the input of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A place in text.
    LineColumn {
        /// The line, from 1.
        line: usize,
        /// The byte within the line, from 1; 0 before the line's first byte.
        column: usize,
    },
    /// The number of bytes before the place.
    Offset(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::LineColumn { line, column } => write!(f, "line {line}, column {column}"),
            Place::Offset(offset) => write!(f, "byte offset {offset}"),
        }
    }
}
