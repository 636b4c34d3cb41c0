//! `mq release`: gives claims back.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::receipts::ReceiptArgs;
use super::{Context, Outcome, VerbArgs, duration};
use crate::store::Store as _;

/// Give claimed messages back
///
/// A released message is deliverable again at once, at its old place in the queue, or after --delay. The delivery
/// stays counted: a message that has used up its queue's max-deliveries goes to the dead-letter queue instead.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq release --receipt-file r
  mq release --delay 5m \"$MQ_RECEIPT\"")]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    receipts: ReceiptArgs,

    /// Keep the messages from being delivered before DUR from now
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "0s")]
    delay: Duration,
}

impl VerbArgs for ReleaseArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        self.receipts.each(|receipts| store.release(receipts, self.delay))
    }
}
