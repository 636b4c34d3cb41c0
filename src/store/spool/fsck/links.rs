//! Names that messages have outside the spool: hard links, as `cp -al` makes them of a whole spool.
//!
//! Where a move may leave two names, a message that has more than one is looked for in the whole spool before it is
//! moved, so these make every move of theirs as slow as a walk through the spool. Nothing is repaired: what is outside
//! is not mq's.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::super::fs::{Fs, Kind, Names};
use super::super::layout::parse_name;
use super::{Check, Finding, FindingKind};
use crate::domain::{Clock, QueueName};
use crate::store::{At, Result};

/// How many files with more than one name are counted; of more than these, the others are not told.
const MOST: usize = 64 * 1024;

/// A file with more names than were met in the spool.
struct Linked {
    /// One of its names, as a message.
    path: Option<PathBuf>,
    links: u64,
    met: u64,
}

impl<F: Fs, C: Clock> Check<'_, '_, F, C> {
    /// Tells of each queue, once, how many of its messages have names outside the spool.
    pub(super) fn look_for_outside_names(&mut self, queues: &[QueueName]) -> Result<()> {
        // Where every rename is whole, nobody looks for other names.
        if !self.has_linked || self.spool.names() == Names::Ordered || self.linked()?.is_empty() {
            return Ok(());
        }
        // A message that moves has two names for a moment, and its mover the lock.
        let linked = {
            let _lock = self.lock_moves_for_a_look()?;
            self.linked()?
        };
        for queue in queues {
            let dir = self.spool.root.join(queue.as_str());
            let of_queue: Vec<&(PathBuf, Linked)> = linked.iter().filter(|(path, _)| path.starts_with(&dir)).collect();
            let Some((path, first)) = of_queue.first() else { continue };
            let others = match of_queue.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more of the queue have such names"),
            };
            let outside = first.links - first.met;
            let what = format!(
                "has names outside the spool ({outside} of {}){others}: every move looks through the whole spool for them",
                first.links
            );
            let remedy = "remove the names outside; copy a spool with cp -a or by a snapshot, not by hard links";
            self.tell(Finding::new(FindingKind::OutsideNames, path, Some(queue), what, remedy));
        }
        Ok(())
    }

    /// The messages of which not all names are in the spool, sorted by path.
    fn linked(&self) -> Result<Vec<(PathBuf, Linked)>> {
        let root = &self.spool.root;
        let mut files: BTreeMap<(u64, u64), Linked> = BTreeMap::new();
        let walked = self.spool.walk_all(&mut |path, status| {
            let file = (status.device, status.inode);
            if status.kind != Kind::File || status.links < 2 || files.len() >= MOST && !files.contains_key(&file) {
                return;
            }
            let linked = files.entry(file).or_insert(Linked { path: None, links: 0, met: 0 });
            linked.links = status.links;
            linked.met += 1;
            if path.file_name().and_then(parse_name).is_some() && linked.path.as_deref().is_none_or(|one| path < one) {
                linked.path = Some(path.to_owned());
            }
        });
        match walked {
            // What may not be looked at is told where it lies, and may have the other names.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Vec::new()),
            other => other.at("read", root)?,
        }
        let mut linked: Vec<(PathBuf, Linked)> = files
            .into_values()
            .filter(|file| file.met < file.links)
            .filter_map(|mut file| Some((file.path.take()?, file)))
            .collect();
        linked.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(linked)
    }
}
