//! `mq delete`: finishes claims for good.

use anyhow::Result;
use clap::Args;

use super::receipts::ReceiptArgs;
use super::{Context, Outcome, VerbArgs};
use crate::store::Store as _;

/// Finish claimed messages for good
///
/// With durability `full` (the default) a deleted message never comes back, not even after power loss. A receipt
/// works until its message has been delivered again, even when its visibility timeout has passed; after that it
/// is stale, which is exit status 66 and changes nothing.
///
/// Where the policy has an archive, what is deleted is kept there for a while, and mq replay puts it again as another
/// message; on a full disk it is not kept. A delete is never refused for want of room for it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq get jobs --receipt-file r > body && ./handle body && mq delete --receipt-file r
  mq get jobs --json | tee m.json | jq -r .receipt | mq delete -")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    receipts: ReceiptArgs,
}

impl VerbArgs for DeleteArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        self.receipts.each(|receipts| store.delete(receipts))
    }
}
