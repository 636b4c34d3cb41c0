//! The counter that orders a queue.
//!
//! Invariants: a number is given once, and later calls give higher ones, also after a power cut (I8). The
//! numbers are dense: what is skipped is skipped only at a boot after which the counter cannot be trusted.
//!
//! `state` holds the boot in which it was last written, the next free number, and a checksum. It is not
//! synced at every put; it is synced often enough ([`SYNC_EVERY`]) that the value on disk lags by a known
//! distance, and the first put after a boot jumps further than that.

use std::ops::ControlFlow;

use super::fs::{Fault, FileHandle, Fs, is_out_of_space};
use super::layout::{GROUP_LEN, LEAF_LEN, parse_hex, parse_name};
use super::{Kind, Queue};
use crate::domain::{Clock, Seq};
use crate::store::{At, Result};

/// The counter is made durable at least once in so many numbers.
const SYNC_EVERY: u64 = 1 << 16;

/// How far the first put after a boot jumps: further than the counter can have lagged, also when several processes
/// in a row were killed between writing one of those numbers and syncing it. A counter that is lost is jumped over too.
pub const JUMP: u64 = 8 * SYNC_EVERY;

/// No leaf is begun after this number. Nobody ever gets there by putting, but the name of something that strayed into
/// a queue whose counter is lost can claim to have been; numbers repeat then, and ids still tell the names apart.
const LAST: u64 = u64::MAX - 2 * LEAF_LEN + 1;

/// The length of the counter file: a boot id (36), the number (16), the checksum (8), separators.
const STATE_LEN: usize = 63;

/// The length of what says how many numbers were skipped.
const SKIPPED_LEN: usize = 17;

/// A run of numbers that one caller owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: u64,
    pub(super) len: u64,
}

impl Block {
    /// Whether it is all of one leaf.
    pub(super) fn is_whole_leaf(self) -> bool {
        self.len == LEAF_LEN && self.first.is_multiple_of(LEAF_LEN)
    }
}

/// The counter, locked.
struct Counter<H> {
    file: H,
    boot: String,
    next: u64,
    /// Whether it was written in this boot.
    is_begun: bool,
}

fn encode(boot: &str, next: u64) -> String {
    let text = format!("{boot:36.36} {next:016x}");
    format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// The boot and the next number, if the bytes are what [`encode`] makes.
fn decode(bytes: &[u8]) -> Option<(&str, u64)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (boot, next) = (text.get(..36)?, u64::from_str_radix(text.get(37..53)?, 16).ok()?);
    (encode(boot, next) == text).then_some((boot, next))
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Makes the counter of a new queue.
    pub(super) fn make_counter(&self) -> Result<()> {
        let path = self.layout.state();
        let boot = self.fs().boot_id().at("read the boot id for", &path)?;
        let file = self.create_file(&path)?;
        file.write_all_at(encode(&boot, 0).as_bytes(), 0).at("write", &path)?;
        file.sync().at("sync", &path)
    }

    /// The counter's file, locked: fourth in the order of `lock`.
    pub(super) fn lock_counter(&self) -> Result<F::File> {
        let path = self.layout.state();
        let file = self.fs().open(&path, super::Access::ReadWrite).at("open", &path)?;
        file.lock().at("lock", &path)?;
        Ok(file)
    }

    /// The lowest number that the counter can give next; `None` if it is not what a put has written.
    pub(super) fn next_number(&self) -> Result<Option<u64>> {
        let path = self.layout.state();
        let file = self.fs().open(&path, super::Access::Read).at("open", &path)?;
        let boot = self.fs().boot_id().at("read the boot id for", &path)?;
        let mut next = None;
        // A look takes no lock: one that meets a write half way looks again.
        for _ in 0..3 {
            let mut bytes = [0; STATE_LEN];
            let got = file.read_at(&mut bytes, 0).at("read", &path)?;
            next = decode(&bytes[..got]).map(|(written_in, next)| {
                if written_in == format!("{boot:36.36}") { next } else { next.saturating_add(JUMP) }
            });
            if next.is_some() {
                break;
            }
        }
        Ok(next)
    }

    /// Makes the counter right again: what it gives next is above every number in the queue, and not below what it
    /// would have given.
    pub(super) fn mend_counter(&self) -> Result<()> {
        let counter = self.open_counter()?;
        let above = self.highest_seq()?.map_or(0, |highest| highest.saturating_add(1));
        self.write_counter(&counter.file, &counter.boot, counter.next.max(above), true)
    }

    /// Takes one number.
    pub(super) fn take_seq(&self) -> Result<Seq> {
        self.take_seqs(1).map(|block| Seq(block.first))
    }

    /// Takes up to `most` numbers in a row, none of them beyond the end of the first one's leaf.
    pub(super) fn take_seqs(&self, most: u64) -> Result<Block> {
        let counter = self.open_counter()?;
        let first = counter.next.min(LAST);
        let len = most.clamp(1, LEAF_LEN - first % LEAF_LEN);
        let next = first + len;
        let is_due = first / SYNC_EVERY != next / SYNC_EVERY;
        self.write_counter(&counter.file, &counter.boot, next, is_due)?;
        Ok(Block { first, len })
    }

    /// Takes a run of `len` numbers that begins at a multiple of that: all of a leaf, or of a directory of leaves. None of
    /// them is used yet, and those that are passed over never are.
    pub(super) fn take_run(&self, len: u64) -> Result<u64> {
        let counter = self.open_counter()?;
        let first = counter.next.min(LAST - LAST % GROUP_LEN - GROUP_LEN).next_multiple_of(len);
        let next = first + len;
        let is_due = counter.next / SYNC_EVERY != next / SYNC_EVERY;
        self.write_counter(&counter.file, &counter.boot, next, is_due)?;
        self.add_to_skipped(|skipped| skipped.saturating_add(next - counter.next));
        Ok(first)
    }

    /// So many numbers of a run are in use after all.
    pub(super) fn use_skipped(&self, count: u64) {
        if let Ok(_lock) = self.lock_counter() {
            self.add_to_skipped(|skipped| skipped.saturating_sub(count));
        }
    }

    /// How many numbers were given out that no message ever had, as far as that is known: `stat` tells by it what flows,
    /// and nothing else depends on it.
    pub(super) fn skipped(&self) -> u64 {
        let mut bytes = [0; SKIPPED_LEN];
        let read =
            self.fs().open(&self.layout.skipped(), super::Access::Read).and_then(|file| file.read_at(&mut bytes, 0));
        let text = read.ok().and_then(|got| std::str::from_utf8(&bytes[..got]).ok());
        text.and_then(|text| parse_hex(text.trim_end(), SKIPPED_LEN - 1)).unwrap_or(0)
    }

    /// The caller has the lock of the counter.
    fn add_to_skipped(&self, change: impl FnOnce(u64) -> u64) {
        let text = format!("{:016x}\n", change(self.skipped()));
        let path = self.layout.skipped();
        let file = match self.fs().open(&path, super::Access::ReadWrite) {
            Err(_) => self.create_file(&path).ok(),
            Ok(file) => Some(file),
        };
        let _ = file.map(|file| file.write_all_at(text.as_bytes(), 0));
    }

    /// Sees to it that what a power cut put back into `tmp/` has its numbers.
    pub(super) fn begin_boot(&self) -> Result<()> {
        let counter = self.open_counter()?;
        if !counter.is_begun {
            self.write_counter(&counter.file, &counter.boot, counter.next, false)?;
        }
        Ok(())
    }

    /// Locks the counter and finds the next free number. For the first in a boot that is one behind those of all
    /// messages of the boots before, the ones included that are only rolled forward now.
    fn open_counter(&self) -> Result<Counter<F::File>> {
        let path = self.layout.state();
        let file = self.lock_counter()?;
        let mut bytes = [0; STATE_LEN];
        let got = file.read_at(&mut bytes, 0).at("read", &path)?;
        let boot = self.fs().boot_id().at("read the boot id for", &path)?;
        let (written_in, next) = match decode(&bytes[..got]) {
            Some((written_in, next)) if written_in == format!("{boot:36.36}") => {
                return Ok(Counter { file, boot, next, is_begun: true });
            }
            Some((written_in, next)) => (written_in, next),
            // Never written by us, or torn: what is in the queue says how far the numbers had come.
            None => ("", self.highest_seq()?.map_or(0, |highest| highest.saturating_add(1))),
        };
        let jump = if self.commits(Fault::CounterGoesBack) { 0 } else { JUMP };
        let first = next.saturating_add(jump);
        let orphans = self.orphans()?;
        let next = first.saturating_add(orphans.len() as u64);
        // Made durable as of the other boot before any of the numbers is used: who dies here leaves it to the next one to
        // jump again, and nobody takes for synced what is not.
        self.write_counter(&file, written_in, next, true)?;
        self.roll_forward(&orphans, first)?;
        Ok(Counter { file, boot, next, is_begun: false })
    }

    fn write_counter(&self, file: &F::File, boot: &str, next: u64, is_to_be_synced: bool) -> Result<()> {
        let path = self.layout.state();
        file.write_all_at(encode(boot, next).as_bytes(), 0).at("write", &path)?;
        if is_to_be_synced { file.sync().at("sync", &path) } else { Ok(()) }
    }

    /// The highest number that any message in the queue has. One that moves while the directories are gone through can be
    /// met in none of them, so that is done until it finds nothing higher.
    pub(super) fn highest_seq(&self) -> Result<Option<u64>> {
        let mut highest = self.highest_seq_met()?;
        loop {
            let met = self.highest_seq_met()?;
            if met <= highest {
                return Ok(highest);
            }
            highest = met;
        }
    }

    fn highest_seq_met(&self) -> Result<Option<u64>> {
        let mut highest = None;
        let dir = self.layout.dir();
        self.fs()
            .walk(dir, &mut |path, status| {
                if status.kind == Kind::File
                    && let Some(name) = path.file_name().and_then(parse_name)
                {
                    highest = highest.max(Some(name.seq.0));
                }
            })
            .at("read", dir)?;
        Ok(highest)
    }

    /// Makes up the directories that stand by for a full disk, as far as there is room.
    pub(super) fn top_up_spares(&self) {
        for number in 0..super::layout::SPARES {
            let spare = self.layout.spare(number);
            if let Err(error) = self.fs().mkdir(&spare, self.modes.dir)
                && is_out_of_space(&error)
            {
                return;
            }
        }
    }

    /// The names in a directory, sorted; none if it is not there.
    pub(super) fn names_in(&self, dir: &std::path::Path) -> Result<Vec<(String, Kind)>> {
        let mut names = Vec::new();
        let scanned = self.fs().scan(dir, &mut |name, kind| {
            if let Some(name) = name.to_str() {
                names.push((name.to_owned(), kind));
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.at("read", dir)?,
        }
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_only_as_it_was_written() {
        let boot = "a8585a6e-3b29-4ae1-af6f-9598a95524c6";
        let text = encode(boot, 0xabc);
        assert_eq!(text.len(), STATE_LEN);
        assert_eq!(decode(text.as_bytes()), Some((boot, 0xabc)));
        for at in 0..STATE_LEN {
            let mut torn = text.clone().into_bytes();
            torn[at] ^= 1;
            assert_eq!(decode(&torn), None, "a flip at {at} went unnoticed");
        }
        assert_eq!(decode(&text.as_bytes()[..40]), None);
        assert_eq!(decode(&[0; STATE_LEN]), None);
    }
}
