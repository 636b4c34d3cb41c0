//! A disk: what processes see of it, and what a power cut would leave.
//!
//! Names and bytes are two things. Every change of names is written to a log, a rename as one record of two
//! changes, a sync of a directory as a mark; what a crash leaves is worked out from the log by one of three
//! models ([`Names`], `crash`). A file has the bytes that were last made safe, and those that were written since.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Component, Path};

use mq::domain::UnixMillis;
use mq::store::spool::fs::{Kind, Status};

pub type Ino = usize;

pub const ROOT: Ino = 0;

/// Errors as Linux numbers them.
pub mod errno {
    pub const NOENT: i32 = 2;
    pub const IO: i32 = 5;
    pub const EXIST: i32 = 17;
    pub const NOTDIR: i32 = 20;
    pub const ISDIR: i32 = 21;
    pub const MFILE: i32 = 24;
    pub const NOSPC: i32 = 28;
    pub const NOTEMPTY: i32 = 39;
    pub const NOLCK: i32 = 37;
    pub const STALE: i32 = 116;
}

pub fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

fn fail<T>(errno: i32) -> io::Result<T> {
    Err(error(errno))
}

/// The bytes of a file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// What is on the disk for sure.
    pub safe: Vec<u8>,
    /// What was written since.
    pub dirty: Vec<Range<usize>>,
    /// A sync has failed: the kernel takes what it could not write for written, and no later sync saves it.
    pub forgotten: bool,
}

impl Content {
    pub fn write_at(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.dirty.push(offset..end);
    }

    pub fn sync(&mut self) {
        if !self.forgotten {
            self.safe.clone_from(&self.bytes);
            self.dirty.clear();
        }
    }
}

#[derive(Debug, Clone)]
pub enum Node {
    File(Content),
    Dir(BTreeMap<Box<str>, Ino>),
    Fifo,
}

#[derive(Debug, Clone)]
pub struct Inode {
    pub node: Node,
    pub mode: u32,
    pub owner: u32,
    pub group: u32,
    pub modified_ms: u64,
}

/// One name's change.
#[derive(Debug, Clone)]
pub struct Change {
    pub dir: Ino,
    pub name: Box<str>,
    pub before: Option<Ino>,
    pub after: Option<Ino>,
}

#[derive(Debug, Clone)]
pub enum Record {
    /// What one call did to names, and when: all of it at the same time.
    Changes(Vec<Change>, u64),
    /// A directory was synced.
    Sync(Ino),
    /// Everything was.
    SyncAll,
}

#[derive(Debug, Clone)]
pub struct Disk {
    pub inodes: Vec<Inode>,
    pub log: Vec<Record>,
    pub now_ms: u64,
}

impl Disk {
    pub fn new(now_ms: u64) -> Self {
        let mut disk = Self { inodes: Vec::new(), log: Vec::new(), now_ms };
        disk.add(Node::Dir(BTreeMap::new()), 0o755);
        disk
    }

    fn add(&mut self, node: Node, mode: u32) -> Ino {
        self.inodes.push(Inode { node, mode, owner: 1000, group: 1000, modified_ms: self.now_ms });
        self.inodes.len() - 1
    }

    pub fn dir(&self, ino: Ino) -> io::Result<&BTreeMap<Box<str>, Ino>> {
        match &self.inodes[ino].node {
            Node::Dir(entries) => Ok(entries),
            _ => fail(errno::NOTDIR),
        }
    }

    pub fn file(&mut self, ino: Ino) -> io::Result<&mut Content> {
        match &mut self.inodes[ino].node {
            Node::File(content) => Ok(content),
            Node::Dir(_) => fail(errno::ISDIR),
            Node::Fifo => fail(errno::IO),
        }
    }

    pub fn find(&self, path: &Path) -> io::Result<Ino> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::Normal(name) => {
                    let name = name.to_str().expect("names are text");
                    at = *self.dir(at)?.get(name).ok_or_else(|| error(errno::NOENT))?;
                }
                Component::RootDir | Component::CurDir => {}
                other => panic!("the engine uses {other:?} in a path"),
            }
        }
        Ok(at)
    }

    /// The directory that `path` is in, and its name there.
    fn place<'a>(&self, path: &'a Path) -> io::Result<(Ino, &'a str)> {
        let dir = self.find(path.parent().expect("not the root"))?;
        self.dir(dir)?;
        Ok((dir, path.file_name().and_then(|name| name.to_str()).expect("names are text")))
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in &changes {
            self.set_entry(change.dir, &change.name, change.after);
            self.inodes[change.dir].modified_ms = self.now_ms;
        }
        self.log.push(Record::Changes(changes, self.now_ms));
    }

    pub fn set_entry(&mut self, dir: Ino, name: &str, to: Option<Ino>) {
        if let Node::Dir(entries) = &mut self.inodes[dir].node {
            match to {
                Some(ino) => drop(entries.insert(name.into(), ino)),
                None => drop(entries.remove(name)),
            }
        }
    }

    /// Makes a name for something new. Fails if the name is taken.
    pub fn make(&mut self, path: &Path, node: Node, mode: u32) -> io::Result<Ino> {
        let (dir, name) = self.place(path)?;
        if self.dir(dir)?.contains_key(name) {
            return fail(errno::EXIST);
        }
        let ino = self.add(node, mode);
        self.apply(vec![Change { dir, name: name.into(), before: None, after: Some(ino) }]);
        Ok(ino)
    }

    pub fn rename(&mut self, from: &Path, to: &Path, may_replace: bool) -> io::Result<()> {
        let (old_dir, old_name) = self.place(from)?;
        let ino = *self.dir(old_dir)?.get(old_name).ok_or_else(|| error(errno::NOENT))?;
        let (new_dir, new_name) = self.place(to)?;
        let there = self.dir(new_dir)?.get(new_name).copied();
        match there {
            Some(_) if !may_replace => return fail(errno::EXIST),
            // Two names of one file: rename(2) does nothing.
            Some(other) if other == ino => return Ok(()),
            Some(other) => match (&self.inodes[ino].node, &self.inodes[other].node) {
                (Node::Dir(_), Node::Dir(entries)) if !entries.is_empty() => return fail(errno::NOTEMPTY),
                (Node::Dir(_), Node::Dir(_)) => {}
                (Node::Dir(_), _) => return fail(errno::NOTDIR),
                (_, Node::Dir(_)) => return fail(errno::ISDIR),
                _ => {}
            },
            None => {}
        }
        self.apply(vec![
            Change { dir: old_dir, name: old_name.into(), before: Some(ino), after: None },
            Change { dir: new_dir, name: new_name.into(), before: there, after: Some(ino) },
        ]);
        Ok(())
    }

    pub fn exchange(&mut self, one: &Path, other: &Path) -> io::Result<()> {
        let (one_dir, one_name) = self.place(one)?;
        let (other_dir, other_name) = self.place(other)?;
        let named = |dir: Ino, name: &str| self.dir(dir)?.get(name).copied().ok_or_else(|| error(errno::NOENT));
        let (first, second) = (named(one_dir, one_name)?, named(other_dir, other_name)?);
        self.apply(vec![
            Change { dir: one_dir, name: one_name.into(), before: Some(first), after: Some(second) },
            Change { dir: other_dir, name: other_name.into(), before: Some(second), after: Some(first) },
        ]);
        Ok(())
    }

    pub fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.find(from)?;
        let (dir, name) = self.place(to)?;
        if self.dir(dir)?.contains_key(name) {
            return fail(errno::EXIST);
        }
        self.apply(vec![Change { dir, name: name.into(), before: None, after: Some(ino) }]);
        Ok(())
    }

    pub fn remove(&mut self, path: &Path, wants_dir: bool) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        let ino = *self.dir(dir)?.get(name).ok_or_else(|| error(errno::NOENT))?;
        match (&self.inodes[ino].node, wants_dir) {
            (Node::Dir(entries), true) if !entries.is_empty() => return fail(errno::NOTEMPTY),
            (Node::Dir(_), false) => return fail(errno::ISDIR),
            (Node::File(_) | Node::Fifo, true) => return fail(errno::NOTDIR),
            _ => {}
        }
        self.apply(vec![Change { dir, name: name.into(), before: Some(ino), after: None }]);
        Ok(())
    }

    pub fn kind(&self, ino: Ino) -> Kind {
        match self.inodes[ino].node {
            Node::File(_) => Kind::File,
            Node::Dir(_) => Kind::Dir,
            Node::Fifo => Kind::Other,
        }
    }

    pub fn status(&self, ino: Ino) -> Status {
        let inode = &self.inodes[ino];
        Status {
            kind: self.kind(ino),
            len_bytes: if let Node::File(content) = &inode.node { content.bytes.len() as u64 } else { 0 },
            mode: inode.mode,
            links: self.names_of(ino),
            modified: UnixMillis(inode.modified_ms),
            owner: inode.owner,
            group: inode.group,
            device: 1,
            inode: ino as u64,
        }
    }

    /// How many names there are. (Counted, since only a few dozen directories ever exist.)
    fn names_of(&self, ino: Ino) -> u64 {
        let of = |node: &Node| match node {
            Node::Dir(entries) => entries.values().filter(|other| **other == ino).count() as u64,
            _ => 0,
        };
        self.inodes.iter().map(|inode| of(&inode.node)).sum()
    }

    /// Whether a sync of any file has failed.
    pub fn has_forgotten(&self) -> bool {
        self.inodes.iter().any(|inode| matches!(&inode.node, Node::File(content) if content.forgotten))
    }

    /// Makes an open file's bytes or a directory's names safe.
    pub fn sync(&mut self, ino: Ino) {
        match &mut self.inodes[ino].node {
            Node::File(content) => content.sync(),
            Node::Dir(_) => self.log.push(Record::Sync(ino)),
            Node::Fifo => {}
        }
    }

    pub fn sync_all(&mut self) {
        for inode in &mut self.inodes {
            if let Node::File(content) = &mut inode.node {
                content.sync();
            }
        }
        self.log.push(Record::SyncAll);
    }
}
