//! `mq extend`: moves the end of claims.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::receipts::ReceiptArgs;
use super::{Context, Outcome, VerbArgs, duration};
use crate::store::Store as _;

/// Keep claimed messages for longer
///
/// Moves the end of timed claims to DUR from now; a shorter time brings it nearer. The receipts stay valid. The claim of
/// a command that `mq get` runs needs none of this: it lasts as long as the command.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  mq extend --receipt-file r --visibility 10m")]
pub(crate) struct ExtendArgs {
    #[command(flatten)]
    receipts: ReceiptArgs,

    /// How long from now the claims last
    #[arg(long, value_name = "DUR", value_parser = duration)]
    visibility: Duration,
}

impl VerbArgs for ExtendArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        self.receipts.each(|receipts| store.extend(receipts, self.visibility))
    }
}
