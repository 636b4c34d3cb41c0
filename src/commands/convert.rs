//! `mq convert`: the codecs as a filter.

use std::io::{BufReader, BufWriter, Read as _, Write as _};

use anyhow::Result;
use clap::Args;

use super::schema::SchemaArgs;
use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs};
use crate::codec::{CodecError, Conversion, Format};

/// Convert a document from stdin to stdout
///
/// Formats; MIME types do as well:
///
///   json      one document
///   jsonl     documents, one a line; in other formats, an array of them
///   msgpack   MessagePack
///   cbor      CBOR (RFC 8949)
///   yaml      one document of YAML 1.2; aliases become what they stand for
///   toml      one document of TOML 1.1
///   xml       one document of XML 1.0; see below
///   protobuf  a message of Protobuf; this and the next need --schema and --message
///   grpc      messages of Protobuf in gRPC's frames; in other formats, an array of them
///   text      one string, in UTF-8
///   raw       bytes, whatever they are
///   base64    the same, as text; what is not bytes is spelled as it stands
///   hex
///
/// Integers, floats and binary are kept: binary is {"$binary":"base64"} in JSON,
/// extensions of Msgpack are {"$ext":[type,"base64"]}, and what is not a number is
/// {"$float":"NaN"}; these turn back into what they stand for. Integers beyond
/// 64 bits are kept in JSON, CBOR and YAML.
///
/// Messages of Protobuf have the canonical form of its JSON mapping, in the order
/// of the fields' numbers: 64-bit integers and bytes are strings, but not in Msgpack
/// and CBOR. The schema is proto2 or proto3, not an edition. What is not in it is
/// refused on the way in, as is a key that is there twice.
///
/// What may be lost, unless --strict refuses it: digits of a decimal that no
/// 64-bit float has; that a map key was a number, null, true or false, in JSON, TOML
/// and XML; tags and simple values of CBOR; the type of an extension of Msgpack, but in
/// JSON; tags of YAML but those of its core; that a value is a date or a time, but in
/// TOML; that it is binary, in TOML and XML, where it is base64; in XML, that a value is
/// no string, and that an array has less than two elements; comments of XML; fields of
/// Protobuf that the schema does not have. Other
/// comments are no part of a document.
///
/// TOML holds maps without null, without integers beyond 64 bits and with up to 80
/// levels; anything else is refused.
///
/// An element of XML is its text, or a map of its @attributes and of the elements
/// inside, repeated ones as an array; with attributes its text is under #text. Where
/// that would lose the order, as with text between elements, #children is an array of
/// texts and of elements as maps of one key. A document is a map of one key: its root.
///
///   <a id="1"><b>x</b><b/></a>   {"a":{"@id":"1","b":["x",""]}}
///   <a id="1">x</a>              {"a":{"@id":"1","#text":"x"}}
///   <a>x<b/>y</a>                {"a":{"#children":["x",{"b":""},"y"]}}
///
/// Namespaces are the attributes that declare them. White space between elements is
/// layout, unless xml:space says otherwise; a document type declaration is refused.
///
/// A document that cannot be converted is exit status 65 and a sentence that says
/// where.
#[derive(Debug, Args)]
#[allow(clippy::doc_link_with_quotes)] // The arrays of the examples are no links.
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  mq convert --to msgpack < order.json > order.mp
  mq convert --from msgpack --to json < order.mp
  mq convert --from yaml --to json < order.yaml
  mq convert --from xml --to json < order.xml
  mq convert --from jsonl --to cbor --strict < orders.jsonl
  mq convert --from protobuf --to json --schema orders.proto --message pkg.Order < order
  mq convert --from grpc --to jsonl --schema orders.proto --message pkg.Order < stream"
)]
pub(crate) struct ConvertArgs {
    /// The format of the input [default: found out from its first bytes: json, msgpack, cbor, yaml that begins with
    /// --- or %YAML, or xml that begins with <?xml]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// The format of the output
    #[arg(long, value_name = "FORMAT")]
    to: Format,

    /// Refuse what would lose anything of the document
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    schema: SchemaArgs,
}

impl VerbArgs for ConvertArgs {
    fn run(mut self, _: &Context) -> Result<Outcome> {
        let mut input = std::io::stdin().lock();
        let mut start = Vec::new();
        let from = if let Some(from) = self.from {
            from
        } else {
            input.by_ref().take(Format::START_BYTES).read_to_end(&mut start)?;
            Format::detect(&start, start.len() as u64)?
        };
        let conversion = Conversion { is_strict: self.strict, ..Conversion::new(from, self.to) };
        self.schema.check(conversion)?;
        self.schema.load()?;
        let conversion = Conversion { schema: self.schema.schema(), ..conversion };
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let mut input = BufReader::with_capacity(64 * 1024, start.as_slice().chain(input));
        match conversion.run(&mut input, &mut output) {
            Err(CodecError::Output(error)) => return Err(StdoutError(error).into()),
            other => other?,
        }
        output.flush().map_err(StdoutError)?;
        Ok(Outcome::Done)
    }
}
