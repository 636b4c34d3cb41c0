//! What a `.proto` file, or a set of descriptors that was compiled from some, says of one type of messages.

use std::io;

use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The type of the messages in a body, with all that it is made of. Needed for
/// [`Format::Protobuf`](super::super::Format::Protobuf) and [`Format::Grpc`](super::super::Format::Grpc).
#[derive(Debug, Clone)]
pub struct Schema {
    pub(super) message: MessageDescriptor,
}

/// A schema that is not one, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A file is not in the language of `.proto` files, or contradicts itself; or what it imports is not there.
    #[error("{0}")]
    Source(String),
    /// The bytes are no descriptors, or they contradict one another.
    #[error("this is no set of descriptors (FileDescriptorSet), as protoc writes it: {0}")]
    Descriptors(String),
    /// There is no such type.
    #[error("the schema has no message {name:?}{}", hint(.known))]
    NoSuchMessage {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
}

fn hint(known: &[String]) -> String {
    const MOST: usize = 10;
    let more = if known.len() > MOST { ", …" } else { "" };
    match known {
        [] => ", nor any other".to_owned(),
        _ => format!(": it is one of {}{more}", known[..known.len().min(MOST)].join(", ")),
    }
}

impl Schema {
    /// Compiles the file `name`, which `read` gives the text of, as it does of those that it imports; `None` says that there
    /// is no such file. Those of Google's that are in every installation need not be given.
    ///
    /// # Errors
    ///
    /// [`SchemaError`]; what `read` fails with is told in it.
    pub fn compile<R>(name: &str, message: &str, read: R) -> Result<Self, SchemaError>
    where
        R: Fn(&str) -> io::Result<Option<String>> + 'static,
    {
        let mut resolver = ChainFileResolver::new();
        resolver.add(Reader(read));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.open_file(name).map_err(|error| explain(&error))?;
        // Options of fields are known only when all files are; a pool that is built from descriptors heeds them, and that of the
        // compiler takes a list for packed, or not, without having looked at what the file says of it.
        Self::build(compiler.include_imports(true).file_descriptor_set(), message)
    }

    /// Takes a FileDescriptorSet, which has to hold what its files import.
    ///
    /// # Errors
    ///
    /// As those of [`Self::compile`].
    pub fn from_descriptors(set: &[u8], message: &str) -> Result<Self, SchemaError> {
        let set = FileDescriptorSet::decode(set).map_err(|error| SchemaError::Descriptors(error.to_string()))?;
        Self::build(set, message)
    }

    fn build(set: FileDescriptorSet, message: &str) -> Result<Self, SchemaError> {
        // Of another syntax the pool would say nothing that helps.
        let is_known = |file: &&FileDescriptorProto| matches!(file.syntax(), "" | "proto2" | "proto3");
        if let Some(file) = set.file.iter().find(|file| !is_known(file)) {
            return Err(SchemaError::Source(format!("{}: {EDITIONS}", file.name())));
        }
        let pool = DescriptorPool::from_file_descriptor_set(set)
            .map_err(|error| SchemaError::Descriptors(one_line(&error.to_string())))?;
        Self::choose(&pool, message)
    }

    /// The whole name of the type: `pkg.Order`.
    #[must_use]
    pub fn message_name(&self) -> &str {
        self.message.full_name()
    }

    fn choose(pool: &DescriptorPool, name: &str) -> Result<Self, SchemaError> {
        let name = name.trim_start_matches('.');
        if let Some(message) = pool.get_message_by_name(name) {
            return Ok(Self { message });
        }
        let is_own =
            |message: &MessageDescriptor| !message.is_map_entry() && message.package_name() != "google.protobuf";
        let known = pool.all_messages().filter(is_own).map(|message| message.full_name().to_owned()).collect();
        Err(SchemaError::NoSuchMessage { name: name.to_owned(), known })
    }
}

const EDITIONS: &str = "editions of Protobuf are not known here, only proto2 and proto3";

struct Reader<R>(R);

impl<R: Fn(&str) -> io::Result<Option<String>>> FileResolver for Reader<R> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let failed = |error: io::Error| protox::Error::new(format!("{name}: {error}"));
        let Some(text) = (self.0)(name).map_err(failed)? else {
            return Err(protox::Error::file_not_found(name));
        };
        if begins_with_edition(&text) {
            return Err(protox::Error::new(format!("{name}: {EDITIONS}")));
        }
        File::from_source(name, &text)
    }
}

/// Whether the first statement of a file is that of its edition.
fn begins_with_edition(mut text: &str) -> bool {
    loop {
        text = text.trim_start();
        let comment = if text.starts_with("//") {
            text.split_once('\n')
        } else if text.starts_with("/*") {
            text.split_once("*/")
        } else {
            return text.strip_prefix("edition").is_some_and(|rest| rest.trim_start().starts_with('='));
        };
        let Some((_, rest)) = comment else { return false };
        text = rest;
    }
}

fn explain(error: &protox::Error) -> SchemaError {
    // Of an error in a file, only what is meant for programmers has the line.
    let text = if error.file().is_some() { format!("{error:?}") } else { error.to_string() };
    SchemaError::Source(one_line(&text))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
