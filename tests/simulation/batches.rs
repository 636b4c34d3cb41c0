//! Batches: what was put together. Of one that is put as one all of the messages are there in the end, whatever happens, or
//! none.

use std::collections::BTreeMap;
use std::time::Duration;

use mq::domain::{NewMessage, Priority};
use mq::store::Store as _;

use super::ledger::{Entry, Fate, Ledger, Verdict};
use super::operations::{Actor, OTHER, QUEUE, number_of, queue};

impl Actor {
    pub fn put_batch(&self, count: usize, delay_s: u64) {
        let new = NewMessage { delay: Some(Duration::from_secs(delay_s)), ..NewMessage::default() };
        let opened: Vec<_> =
            (0..count).map(|_| self.open_entry(delay_s, Priority::default(), 0, true, false)).collect();
        let with_facts = |number: usize| NewMessage {
            attributes: number_of(number),
            media_type: Some("text/plain".parse().expect("a type")),
            reply_to: Some(queue(OTHER)),
            ..new.clone()
        };
        let batch: Vec<_> = opened.iter().map(|(number, body)| (with_facts(*number), body.clone())).collect();
        let outcome = match self.spool() {
            Ok(spool) => spool.put_batch(&queue(QUEUE), &batch),
            Err(error) => return self.say::<()>(Err(error), "batch"),
        };
        if !self.lives_to_say() {
            return;
        }
        self.with(|world| {
            world.tell(Some(self.pid), || format!("{} of {count} messages are put", outcome.ids.len()));
            for ((number, _), id) in opened.iter().zip(&outcome.ids) {
                world.ledger.acknowledge(*number, *id);
            }
            if outcome.error.is_none() && outcome.ids.len() < count {
                world.violate("I9: a batch is short, and no error says why");
            }
        });
        self.say(outcome.error.map_or(Ok(()), Err), "batch");
    }

    pub fn put_atomic(&self, count: usize) {
        let opened: Vec<_> = (0..count).map(|_| self.open_entry(0, Priority::default(), 0, true, false)).collect();
        let batch = opened.first().map(|(number, _)| *number);
        self.with(|world| opened.iter().for_each(|(number, _)| world.ledger.entries[*number].batch = batch));
        let result = self.spool().and_then(|spool| {
            let mut gathered = spool.begin_atomic(&queue(QUEUE))?;
            for (number, body) in &opened {
                let new = NewMessage {
                    attributes: number_of(*number),
                    media_type: Some("text/plain".parse().expect("a type")),
                    reply_to: Some(queue(OTHER)),
                    ..NewMessage::default()
                };
                gathered.add(&new, &mut body.as_slice())?;
            }
            gathered.commit()
        });
        match result {
            Ok(ids) if self.lives_to_say() => self.with(|world| {
                world.tell(Some(self.pid), || format!("{} messages are put as one", ids.len()));
                for ((number, _), id) in opened.iter().zip(&ids) {
                    world.ledger.acknowledge(*number, *id);
                }
                if ids.len() < count {
                    world.violate("I9: a batch is short, and no error says why");
                }
            }),
            Ok(_) => {}
            Err(error) => self.say::<()>(Err(error), "atomic batch"),
        }
    }
}

impl Ledger {
    /// All of each batch was met, or none of it.
    pub fn check_batches(&self) -> Verdict {
        // Nobody has looked at what these took away.
        if self.swept_off || self.may_be_damaged || self.is_unsynced {
            return Ok(());
        }
        let mut batches: BTreeMap<usize, [usize; 2]> = BTreeMap::new();
        for entry in &self.entries {
            // Whoever claims some of a batch whose writer has not come to sync its name does not do that for him: on bare
            // file systems a power cut then takes the others.
            let may_be_in_parts = self.is_bare && self.cuts() > 0 && entry.acknowledged.is_none();
            // What a power cut took back before it was acknowledged may have been delivered before that.
            let was_taken_back = self.cuts() > 0 && entry.drained.is_none() && was_met(entry);
            if let Some(batch) = entry.batch.filter(|_| !was_taken_back && !may_be_in_parts) {
                batches.entry(batch).or_default()[usize::from(was_met(entry))] += 1;
            }
        }
        match batches.iter().find(|(_, [not_met, met])| *not_met > 0 && *met > 0) {
            Some((batch, [not_met, met])) => Err(format!(
                "atomic: of the batch that begins with message {batch}, {met} messages are there and {not_met} are not"
            )),
            None => Ok(()),
        }
    }
}

fn was_met(entry: &Entry) -> bool {
    entry.drained.is_some() || !entry.deliveries.is_empty() || entry.fate != Fate::Kept
}
