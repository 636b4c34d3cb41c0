//! `mq export`: a queue as a stream of lines.

use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::envelope::Facts;
use super::progress::Progress;
use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs, note};
use crate::domain::QueueName;
use crate::domain::units::counted;
use crate::store::{Store as _, Which};

/// Write every message of a queue, in whatever state, as lines of JSON
///
/// Each line is an envelope, as `mq peek --json` writes it: body or body_base64, id, put_at, attrs, deliveries, failures, and
/// what else is known of the message. `mq import` makes the same messages of it. First come the messages that are claimed,
/// then those that are held back, then those that are ready, in their order.
///
/// Nothing is claimed or changed. Of a queue that is in use the export is no snapshot: what is put or deleted meanwhile may
/// be in it or not; `mq pause` keeps receivers off. A message that cannot be read is left out, and the exit status is 74.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq export jobs > jobs.jsonl
  mq export jobs | jq -r 'select(.deliveries > 3) | .id'
  mq export jobs | ssh backup mq import jobs")]
pub(crate) struct ExportArgs {
    /// The queue to export
    queue: QueueName,
}

impl VerbArgs for ExportArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let mut written = Ok(());
        let mut progress = Progress::beside_stdout("exported");
        let looked = store.peek(&self.queue, Which::All, &mut |mut peeked| {
            let listed = &peeked.listed;
            let facts = Facts::new(&listed.message, &self.queue, listed.deliveries)
                .in_state(listed.state)
                .with_failures(&peeked.listed.failures);
            written = facts.write_with_body(&mut peeked.body, &mut output);
            if written.is_err() {
                return ControlFlow::Break(());
            }
            progress.add(1);
            ControlFlow::Continue(())
        });
        let flushed = output.flush();
        let (_, _) = output.into_parts();
        progress.finish();
        written.and(flushed).map_err(StdoutError)?;
        let count = progress.count();
        // Where nothing was looked at, there is nothing to say but why.
        if looked.is_ok() || count > 0 {
            note(format_args!("exported {} from '{}'", counted(count, "message"), self.queue));
        }
        looked?;
        Ok(Outcome::Done)
    }
}
