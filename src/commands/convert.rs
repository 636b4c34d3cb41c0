//! `mq convert`: the codecs as a filter.

use std::io::{BufReader, BufWriter, Read as _, Write as _};

use anyhow::Result;
use clap::Args;

use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs};
use crate::codec::{self, CodecError, Format};

/// Convert a document from stdin to stdout
///
/// Formats: json, msgpack; MIME types do as well. Integers, floats and binary are kept: binary in Msgpack is
/// {"$binary":"base64"} in JSON, extensions are {"$ext":[type,"base64"]}, and what is not a number is
/// {"$float":"NaN"}; these turn back into what they stand for. A document that cannot be converted is exit status
/// 65 and a sentence that says where.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq convert --to msgpack < order.json > order.mp
  mq convert --from msgpack --to json < order.mp")]
pub(crate) struct ConvertArgs {
    /// The format of the input [default: found out from its first byte]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// The format of the output
    #[arg(long, value_name = "FORMAT")]
    to: Format,
}

impl VerbArgs for ConvertArgs {
    fn run(self, _: &Context) -> Result<Outcome> {
        let mut input = std::io::stdin().lock();
        let mut start = Vec::new();
        let from = if let Some(from) = self.from {
            from
        } else {
            input.by_ref().take(Format::START_BYTES).read_to_end(&mut start)?;
            Format::detect(&start, start.len() as u64)?
        };
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let mut input = BufReader::with_capacity(64 * 1024, start.as_slice().chain(input));
        match codec::convert(from, self.to, &mut input, &mut output) {
            Err(CodecError::Output(error)) => return Err(StdoutError(error).into()),
            other => other?,
        }
        output.flush().map_err(StdoutError)?;
        Ok(Outcome::Done)
    }
}
