//! Converting bodies on their way into a queue.

use std::io::{BufReader, Cursor, Read, Seek as _};

use anyhow::{Context as _, Result};
use tempfile::SpooledTempFile;

use crate::codec::{Conversion, Format};
use crate::domain::{MediaType, NewMessage};
use crate::store::read_full;

/// What is put of what is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intake {
    /// What bodies are; the type of each message, or what its first bytes tell, if that is not said.
    pub(super) from: Option<Format>,
    /// What they are in the queue.
    pub(super) store_as: Format,
    /// Whether nothing may be lost.
    pub(super) is_strict: bool,
}

/// A converted body up to this size waits in memory until it is known to be whole.
const IN_MEMORY_BYTES: usize = 1 << 20;

impl Intake {
    /// Converts a body, and says in the message what it is now. Nothing is given of one that does not convert to its end.
    pub(super) fn convert(self, new: &mut NewMessage, body: &mut dyn Read) -> Result<SpooledTempFile> {
        let (from, mut input) = self.source(new.media_type.as_ref(), body)?;
        let conversion = Conversion { is_strict: self.is_strict, ..Conversion::new(from, self.store_as) };
        let mut whole = SpooledTempFile::new(IN_MEMORY_BYTES);
        conversion.run(&mut input, &mut whole).context("nothing was put of it")?;
        new.media_type = Some(self.store_as.mime_type().parse()?);
        whole.rewind().context("cannot read the converted body again")?;
        Ok(whole)
    }

    /// The format of a body, and all of its bytes.
    fn source<'b>(
        self,
        media_type: Option<&MediaType>,
        body: &'b mut dyn Read,
    ) -> Result<(Format, impl Read + use<'b>)> {
        let mut start = Vec::new();
        let from = match (self.from, media_type) {
            (Some(from), _) => from,
            (None, Some(media_type)) => media_type.as_str().parse()?,
            (None, None) => {
                start = vec![0; usize::try_from(Format::START_BYTES)?];
                let len = read_full(body, &mut start)?;
                let is_whole = len < start.len();
                start.truncate(len);
                // How long the rest is, is not known; it is something.
                Format::detect(&start, len as u64 + u64::from(!is_whole))?
            }
        };
        Ok((from, BufReader::with_capacity(64 * 1024, Cursor::new(start).chain(body))))
    }
}
