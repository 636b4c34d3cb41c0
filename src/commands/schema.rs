//! The options that say what Protobuf bodies mean, and the files that they name.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use super::Usage;
use super::streams::open_file;
use crate::codec::{Conversion, Schema};

/// What the files of descriptor sets are called by those who write them.
const DESCRIPTORS: [&str; 4] = ["pb", "desc", "binpb", "protoset"];

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// What protobuf and grpc bodies mean: a .proto file, or the descriptors that `protoc --include_imports
    /// --descriptor_set_out` has written (.pb, .desc, .binpb, .protoset; another name is told by its first bytes)
    #[arg(long, value_name = "FILE", requires = "message")]
    schema: Option<PathBuf>,

    /// The type of the bodies, by its whole name in the schema: pkg.Order
    #[arg(long, value_name = "NAME", requires = "schema")]
    message: Option<String>,

    /// Where imports of the schema are looked for, after its own directory; may be given several times
    #[arg(long, value_name = "DIR", requires = "schema")]
    proto_path: Vec<PathBuf>,

    /// What the files say.
    #[arg(skip)]
    loaded: Option<Schema>,
}

impl SchemaArgs {
    /// Reads the files.
    pub(super) fn load(&mut self) -> Result<()> {
        let (Some(path), Some(message)) = (&self.schema, &self.message) else { return Ok(()) };
        let mut bytes = Vec::new();
        let read = open_file(path)?.read_to_end(&mut bytes);
        read.with_context(|| format!("cannot read {}", path.display()))?;
        let schema = if are_descriptors(path, &bytes) {
            Schema::from_descriptors(&bytes, message)
        } else {
            let (name, places) = self.places(path);
            let first = name.clone();
            // The file was read already, and may be no file that can be read twice.
            Schema::compile(&name, message, move |name| {
                if name == first {
                    String::from_utf8(bytes.clone()).map(Some).map_err(|_| not_text())
                } else {
                    find(name, &places)
                }
            })
        };
        self.loaded = Some(schema.with_context(|| format!("the schema {}", path.display()))?);
        Ok(())
    }

    /// What was read.
    pub(super) fn schema(&self) -> Option<&Schema> {
        self.loaded.as_ref()
    }

    /// Refuses a conversion that needs a schema and has none, or has one that it does not need.
    pub(super) fn check(&self, conversion: Conversion<'_>) -> Result<(), Usage> {
        match (conversion.needs_schema(), &self.schema) {
            (Some(format), None) => Err(Usage(format!(
                "{format} bodies mean nothing without their schema: name it by --schema FILE and --message NAME"
            ))),
            (None, Some(_)) => {
                Err(Usage("--schema: neither of the formats has a schema; protobuf and grpc have".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The name of the schema as other files import it, and where imports are looked for.
    fn places(&self, path: &Path) -> (String, Vec<PathBuf>) {
        let dir = path.parent().unwrap_or(Path::new(""));
        let places: Vec<PathBuf> =
            [dir].into_iter().chain(self.proto_path.iter().map(PathBuf::as_path)).map(PathBuf::from).collect();
        let named = |place: &PathBuf| path.strip_prefix(place).ok().and_then(Path::to_str).map(str::to_owned);
        let name = self.proto_path.iter().find_map(named);
        let own = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.unwrap_or_else(own), places)
    }
}

/// The text of an import, from the first place that has it.
fn find(name: &str, places: &[PathBuf]) -> io::Result<Option<String>> {
    for place in places {
        match open_file(&place.join(name)) {
            Ok(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                return Ok(Some(text));
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(io::Error::other(crate::store::chain(&error))),
        }
    }
    Ok(None)
}

/// Whether a file holds descriptors rather than text: by its name, and where that says nothing by bytes that no text has.
fn are_descriptors(path: &Path, bytes: &[u8]) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("proto") => false,
        Some(extension) if DESCRIPTORS.contains(&extension) => true,
        _ => bytes.iter().take(1024).any(|byte| matches!(byte, 0..=8 | 14..=31 | 127)),
    }
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")
}
