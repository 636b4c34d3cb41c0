//! `mq release`: gives claims back.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::receipts::ReceiptArgs;
use super::{Context, Outcome, VerbArgs, duration};
use crate::domain::{Clock as _, SystemClock};
use crate::store::{Failure, Store as _};

/// What the delivery log says of a message that was given back by hand.
const RELEASED: &str = "released";

/// Give claimed messages back
///
/// A released message is deliverable again after --delay, or else after what its queue's policy says for this delivery
/// (retry-delay and the rest; at once if it says nothing), at its old place in the queue. The delivery stays counted: a
/// message that has used up its queue's max-deliveries goes to the dead-letter queue instead. Its delivery log says that it was
/// released.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq release --receipt-file r
  mq release --delay 0s --receipt-file r           at once, whatever the policy says
  mq release --delay 5m \"$MQ_RECEIPT\"")]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    receipts: ReceiptArgs,

    /// Keep the messages from being delivered before DUR from now [default: as the queue's policy says]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    delay: Option<Duration>,
}

impl VerbArgs for ReleaseArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        self.receipts.each(|receipts| {
            for receipt in receipts {
                let (at, delivery) = (SystemClock.now(), receipt.name.deliveries);
                // A courtesy: the message goes back without it as well.
                let _ = store.note_failure(receipt, &Failure { at, delivery, reason: RELEASED.to_owned() });
            }
            store.release(receipts, self.delay)
        })
    }
}
