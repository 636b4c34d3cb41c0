//! Receipts as arguments, from stdin and from files; and what became of each.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use super::streams::open_file;
use super::{Outcome, Usage};
use crate::domain::Receipt;
use crate::store;

/// How many receipts are worked on at a time; their syncs are shared.
const AT_ONCE: usize = 256;

/// Which claims a verb is about.
#[derive(Debug, Args)]
pub(super) struct ReceiptArgs {
    /// Receipts, as `mq get` gave them; `-` reads them from stdin, one a line
    #[arg(value_name = "RECEIPT")]
    receipts: Vec<String>,

    /// Read receipts from FILE, one a line
    #[arg(long, value_name = "FILE")]
    receipt_file: Vec<PathBuf>,
}

impl ReceiptArgs {
    /// Hands all receipts to `act`, some at a time, and gathers what failed.
    pub(super) fn each<T>(&self, mut act: impl FnMut(&[Receipt]) -> Vec<store::Result<T>>) -> Result<Outcome> {
        if self.receipts.is_empty() && self.receipt_file.is_empty() {
            return Err(Usage("no receipt was given: name one, or use - or --receipt-file".to_owned()).into());
        }
        let mut gathered = Vec::new();
        let mut failures = Vec::new();
        let mut work = |gathered: &mut Vec<Receipt>, failures: &mut Vec<anyhow::Error>| {
            failures.extend(act(gathered).into_iter().filter_map(Result::err).map(anyhow::Error::from));
            gathered.clear();
        };
        // All that stands in arguments is checked before anything is done.
        for text in self.receipts.iter().filter(|text| *text != "-") {
            gathered.push(text.parse::<Receipt>()?);
        }
        work(&mut gathered, &mut failures);
        let mut sources: Vec<(String, Box<dyn BufRead>)> = Vec::new();
        if self.receipts.iter().any(|text| text == "-") {
            sources.push(("standard input".to_owned(), Box::new(std::io::stdin().lock())));
        }
        for path in &self.receipt_file {
            sources.push((path.display().to_string(), Box::new(BufReader::new(open_file(path)?))));
        }
        for (name, source) in sources {
            for (number, line) in source.lines().enumerate() {
                let line = line.with_context(|| format!("cannot read receipts from {name}"))?;
                // As get shows it on stderr, so that such a line can be fed back as it is.
                let text = line.trim().strip_prefix("receipt: ").unwrap_or(line.trim());
                if text.is_empty() {
                    continue;
                }
                match text.parse() {
                    Ok(receipt) => gathered.push(receipt),
                    Err(invalid) => {
                        failures.push(anyhow::Error::from(invalid).context(format!("{name}, line {}", number + 1)));
                    }
                }
                if gathered.len() >= AT_ONCE {
                    work(&mut gathered, &mut failures);
                }
            }
            work(&mut gathered, &mut failures);
        }
        Ok(if failures.is_empty() { Outcome::Done } else { Outcome::Failed(failures) })
    }
}
