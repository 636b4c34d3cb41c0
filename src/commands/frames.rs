//! Many bodies in one output: the options that say how they are told apart, and the writing.

use std::io::{self, Read as _, Write};
use std::str::FromStr;

use clap::Args;

use super::Usage;
use crate::codec::framing::{Framing, FramingError, check_frame, write_frame};
use crate::domain::Invalid;
use crate::store::Body;

/// How bodies are told apart on the way out.
#[derive(Debug, Args)]
pub(super) struct FrameArgs {
    /// Write a newline after each body; a body that holds one is refused, and stays queued
    #[arg(long, group = "framing")]
    lines: bool,

    /// Write a NUL byte after each body; a body that holds one is refused, and stays queued
    #[arg(short = '0', long, group = "framing")]
    null: bool,

    /// Write each body as a netstring (`5:hello,`), which takes any bytes
    #[arg(long, group = "framing")]
    length_prefixed: bool,
}

/// How many messages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    All,
    UpTo(usize),
}

impl FromStr for Count {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(count) if count > 0 => Ok(Self::UpTo(count)),
            _ => Err(Invalid::new(text, "a count: a number from 1 up, or all")),
        }
    }
}

impl Count {
    /// At most so many.
    pub(super) fn most(self) -> usize {
        match self {
            Self::All => usize::MAX,
            Self::UpTo(count) => count,
        }
    }
}

/// Why a body was not written.
pub(super) enum Unwritten {
    /// The body is at fault.
    Body(FramingError),
    /// The output is at fault.
    Output(io::Error),
}

impl FrameArgs {
    /// The framing that was asked for.
    pub(super) fn framing(&self) -> Option<Framing> {
        match (self.lines, self.null, self.length_prefixed) {
            (true, ..) => Some(Framing::Lines),
            (_, true, _) => Some(Framing::Null),
            (_, _, true) => Some(Framing::LengthPrefixed),
            _ => None,
        }
    }

    /// Refuses many bodies that nothing would tell apart.
    pub(super) fn check(&self, many: bool, json: bool) -> Result<(), Usage> {
        if many && !json && self.framing().is_none() {
            let framings = "--lines, --null, --length-prefixed or --json";
            return Err(Usage(format!("more than one message needs a framing: {framings}")));
        }
        Ok(())
    }

    /// Writes a body as it was asked for: whole, or nothing of it that could be taken for another body.
    pub(super) fn write(&self, body: &mut Body, to: &mut dyn Write) -> Result<(), Unwritten> {
        let Some(framing) = self.framing() else { return copy(body, to) };
        if framing.delimiter().is_some() {
            check_frame(framing, body).map_err(Unwritten::Body)?;
            body.rewind().map_err(|error| Unwritten::Body(FramingError::Read(error)))?;
        }
        let len_bytes = body.len_bytes();
        write_frame(framing, body, len_bytes, to).map_err(|error| match error {
            FramingError::Write(error) => Unwritten::Output(error),
            error => Unwritten::Body(error),
        })
    }
}

/// As `io::copy`, but it tells which side failed.
fn copy(body: &mut Body, to: &mut dyn Write) -> Result<(), Unwritten> {
    let mut chunk = vec![0; usize::try_from(body.len_bytes()).unwrap_or(usize::MAX).clamp(1, 128 * 1024)];
    loop {
        let got = body.read(&mut chunk).map_err(|error| Unwritten::Body(FramingError::Read(error)))?;
        if got == 0 {
            return Ok(());
        }
        to.write_all(&chunk[..got]).map_err(Unwritten::Output)?;
    }
}
