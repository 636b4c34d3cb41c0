//! The simulated file system as the engine sees it: every call a point.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mq::domain::{Clock, UnixMillis};
use mq::store::spool::fs::{Access, Bell, Fault, FileHandle, Fs, Kind, Names, Space, Status};

use super::disk::{Content, Disk, Ino, Node, errno, error};
use super::scheduler;
use super::world::{Call, Description, Pid, Shared, World, hold};

/// One process's file system.
#[derive(Clone)]
pub struct SimFs {
    pub world: Shared,
    pub pid: Pid,
}

/// The machine's clock.
#[derive(Clone)]
pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(hold(&self.0).disk.now_ms)
    }
}

const fn call(verb: &'static str, errors: &'static [i32]) -> Call {
    Call { verb, errors }
}

const MAKE: &[i32] = &[errno::NOSPC, errno::IO, errno::MFILE];
const OPEN: &[i32] = &[errno::MFILE, errno::IO, errno::STALE];
const NAME: &[i32] = &[errno::NOSPC, errno::IO];
const LOOK: &[i32] = &[errno::IO, errno::STALE];
const BYTES: &[i32] = &[errno::NOSPC, errno::IO];

/// The point before an operation is acknowledged: a process that dies there has done it and told nobody.
pub const ACKNOWLEDGE: Call = call("acknowledge", &[]);

/// A point in the life of a command that a receiver runs.
pub const COMMAND: Call = call("run a command", &[]);

impl SimFs {
    /// Comes to a point; an error if the call is to fail or the process has died.
    pub fn point(&self, call: Call) -> io::Result<()> {
        hold(&self.world).arrive(self.pid, call)?;
        scheduler::pause();
        hold(&self.world).depart(self.pid)
    }

    fn at<T>(&self, point: Call, on: &Path, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        self.at_two(point, on, None, act)
    }

    fn at_two<T>(
        &self,
        point: Call,
        on: &Path,
        to: Option<&Path>,
        act: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        let came = self.point(point);
        let mut world = hold(&self.world);
        let result = came.and_then(|()| act(&mut world));
        if world.is_alive(self.pid) {
            world.tell(Some(self.pid), || {
                let to = to.map(|to| format!(" -> {}", to.display())).unwrap_or_default();
                let went = result.as_ref().err().map(|error| format!(": {error}")).unwrap_or_default();
                format!("  {} {}{to}{went}", point.verb, on.display())
            });
        }
        result
    }

    fn opened(&self, point: Call, path: &Path, find: impl FnOnce(&mut Disk) -> io::Result<Ino>) -> io::Result<SimFile> {
        let (ino, description) = self.at(point, path, |world| {
            let ino = find(&mut world.disk)?;
            Ok((ino, world.open(ino, self.pid)))
        })?;
        Ok(SimFile { fs: self.clone(), ino, description, position: 0, appends: false })
    }
}

fn new_file(disk: &mut Disk, path: &Path, mode: u32) -> io::Result<Ino> {
    disk.make(path, Node::File(Content::default()), mode)
}

impl Fs for SimFs {
    type File = SimFile;
    type Bell = SimBell;

    fn create(&self, path: &Path, mode: u32) -> io::Result<SimFile> {
        self.opened(call("create", MAKE), path, |disk| new_file(disk, path, mode))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<SimFile> {
        let mut file = self.opened(call("open", OPEN), path, |disk| {
            let ino = disk.find(path)?;
            if disk.kind(ino) == Kind::Dir && access != Access::Read {
                return Err(error(errno::ISDIR));
            }
            Ok(ino)
        })?;
        file.appends = access == Access::Append;
        Ok(file)
    }

    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<SimFile> {
        self.opened(call("open or create", MAKE), path, |disk| match disk.find(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_file(disk, path, mode),
            other => other,
        })
    }

    fn open_dir(&self, path: &Path) -> io::Result<SimFile> {
        self.opened(call("open directory", OPEN), path, |disk| {
            let ino = disk.find(path)?;
            disk.dir(ino).map(|_| ino)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at_two(call("rename", NAME), from, Some(to), |world| world.disk.rename(from, to, false))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at_two(call("replace", NAME), from, Some(to), |world| world.disk.rename(from, to, true))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.at_two(call("exchange", NAME), one, Some(other), |world| {
            if world.can_exchange { world.disk.exchange(one, other) } else { Err(io::ErrorKind::Unsupported.into()) }
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at_two(call("link", NAME), from, Some(to), |world| world.disk.link(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.at(call("unlink", &[errno::IO]), path, |world| world.disk.remove(path, false))
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.at(call("mkdir", NAME), path, |world| {
            world.disk.make(path, Node::Dir(std::collections::BTreeMap::new()), mode).map(|_| ())
        })
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        self.at(call("rmdir", &[errno::IO]), path, |world| world.disk.remove(path, true))
    }

    fn status(&self, path: &Path) -> io::Result<Status> {
        self.at(call("status", LOOK), path, |world| world.disk.find(path).map(|ino| world.disk.status(ino)))
    }

    fn scan(&self, dir: &Path, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
        for (name, status) in self.listed(dir)? {
            if each(OsStr::new(&*name), status.kind).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn walk(&self, dir: &Path, each: &mut dyn FnMut(&Path, Status)) -> io::Result<()> {
        let entries = match self.listed(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for (name, status) in entries {
            let path = dir.join(&*name);
            each(&path, status);
            if status.kind == Kind::Dir {
                self.walk(&path, each)?;
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.at(call("sync directory", BYTES), path, |world| {
            let ino = world.disk.find(path)?;
            world.disk.dir(ino)?;
            world.disk.sync(ino);
            Ok(())
        })
    }

    fn sync_many(&self, _root: &SimFile, files: &[PathBuf], dirs: &[PathBuf]) -> io::Result<()> {
        for path in files.iter().chain(dirs) {
            self.open(path, Access::Read)?.sync()?;
        }
        Ok(())
    }

    fn sync_file_system(&self, dir: &Path) -> io::Result<()> {
        self.at(call("sync file system", BYTES), dir, |world| {
            world.disk.find(dir)?;
            world.disk.sync_all();
            Ok(())
        })
    }

    fn names(&self, _path: &Path) -> Names {
        let world = hold(&self.world);
        if world.is_unknown { Names::Unknown } else { world.model }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        // Never full: what a call fails with says when the disk is.
        let space = Space { bytes: 1 << 40, free_bytes: 1 << 39, inodes: 1 << 20, free_inodes: 1 << 19 };
        self.at(call("look for room", LOOK), path, |_| Ok(space))
    }

    fn make_bell(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.at(call("make bell", NAME), path, |world| world.disk.make(path, Node::Fifo, mode).map(|_| ()))
    }

    fn ring(&self, path: &Path, _times: usize) {
        let _ = self.at(call("ring", &[]), path, |_| Ok(()));
    }

    fn open_bell(&self, path: &Path) -> io::Result<SimBell> {
        self.at(call("open bell", OPEN), path, |_| Ok(()))?;
        Ok(SimBell(self.clone()))
    }

    fn boot_id(&self) -> io::Result<String> {
        self.at(call("read boot id", LOOK), Path::new(""), |world| Ok(world.boot_id()))
    }

    fn random(&self) -> [u8; 10] {
        hold(&self.world).random(self.pid)
    }

    fn commits(&self, fault: Fault) -> bool {
        hold(&self.world).fault == Some(fault)
    }
}

impl SimFs {
    /// What a directory holds at this moment, in an order that means nothing.
    fn listed(&self, dir: &Path) -> io::Result<Vec<(Box<str>, Status)>> {
        self.at(call("list", LOOK), dir, |world| {
            let disk = &world.disk;
            let entries = disk.dir(disk.find(dir)?)?;
            let mut entries: Vec<_> = entries.iter().map(|(name, ino)| (name.clone(), disk.status(*ino))).collect();
            match world.listing {
                0 => {}
                1 => entries.reverse(),
                turn => {
                    let middle = entries.len() / turn;
                    entries.rotate_left(middle);
                }
            }
            Ok(entries)
        })
    }
}

/// An open file of the simulation.
pub struct SimFile {
    fs: SimFs,
    ino: Ino,
    pub description: Description,
    position: usize,
    appends: bool,
}

impl SimFile {
    fn at<T>(&self, point: Call, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let came = self.fs.point(point);
        let mut world = hold(&self.fs.world);
        let result = came.and_then(|()| act(&mut world));
        if world.is_alive(self.fs.pid) {
            world.tell(Some(self.fs.pid), || {
                let went = result.as_ref().err().map(|error| format!(": {error}")).unwrap_or_default();
                format!("  {} file {}{went}", point.verb, self.ino)
            });
        }
        result
    }

    fn write_bytes(&self, bytes: &[u8], offset: Option<usize>) -> io::Result<usize> {
        let written = self.at(call("write", BYTES), |world| {
            let now_ms = world.disk.now_ms;
            world.disk.inodes[self.ino].modified_ms = now_ms;
            let file = world.disk.file(self.ino)?;
            file.write_at(bytes, offset.unwrap_or(file.bytes.len()));
            Ok(bytes.len())
        });
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            // As much of it as there was room for.
            let mut world = hold(&self.fs.world);
            if world.is_alive(self.fs.pid)
                && let Ok(file) = world.disk.file(self.ino)
            {
                file.write_at(&bytes[..bytes.len() / 2], offset.unwrap_or(file.bytes.len()));
            }
        }
        written
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut world = hold(&self.fs.world);
        // The dead have closed what they had, but for what a command inherited.
        if world.is_alive(self.fs.pid) {
            world.close(self.description);
        }
    }
}

impl Read for SimFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.read_at(buffer, self.position as u64)?;
        self.position += got;
        Ok(got)
    }
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let offset = (!self.appends).then_some(self.position);
        let written = self.write_bytes(bytes, offset)?;
        self.position += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SimFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(position) = to else { return Err(error(errno::IO)) };
        self.position = usize::try_from(position).map_err(io::Error::other)?;
        Ok(position)
    }
}

impl FileHandle for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.at(call("read", LOOK), |world| {
            let bytes = &world.disk.file(self.ino)?.bytes;
            let rest = bytes.get(usize::try_from(offset).map_err(io::Error::other)?..).unwrap_or_default();
            let got = rest.len().min(buffer.len());
            buffer[..got].copy_from_slice(&rest[..got]);
            Ok(got)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_bytes(bytes, Some(usize::try_from(offset).map_err(io::Error::other)?)).map(|_| ())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.at(call("set length of", &[errno::IO]), |world| {
            let file = world.disk.file(self.ino)?;
            file.bytes.resize(usize::try_from(len_bytes).map_err(io::Error::other)?, 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.at(call("sync", BYTES), |world| {
            world.disk.sync(self.ino);
            Ok(())
        });
        let mut world = hold(&self.fs.world);
        if synced.is_err()
            && world.is_alive(self.fs.pid)
            && let Ok(file) = world.disk.file(self.ino)
        {
            file.forgotten = true;
        }
        synced
    }

    fn status(&self) -> io::Result<Status> {
        self.at(call("status of", LOOK), |world| Ok(world.disk.status(self.ino)))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.at(call("set mode of", &[errno::IO]), |world| {
            world.disk.inodes[self.ino].mode = mode;
            Ok(())
        })
    }

    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()> {
        self.at(call("set owner of", &[errno::IO]), |world| {
            let inode = &mut world.disk.inodes[self.ino];
            (inode.owner, inode.group) = (owner, group);
            Ok(())
        })
    }

    fn lock(&self) -> io::Result<()> {
        self.at(call("lock", &[errno::NOLCK]), |_| Ok(()))?;
        loop {
            {
                let mut world = hold(&self.fs.world);
                if !world.is_alive(self.fs.pid) {
                    return Err(error(errno::IO));
                }
                let is_locked = world.try_lock(self.ino, self.description);
                world.wait_for(self.fs.pid, (!is_locked).then_some(self.ino));
                if is_locked {
                    return Ok(());
                }
            }
            scheduler::pause();
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.at(call("try to lock", &[errno::NOLCK]), |world| Ok(world.try_lock(self.ino, self.description)))
    }

    fn unlock(&self) -> io::Result<()> {
        self.at(call("unlock", &[]), |world| {
            world.unlock(self.ino, self.description);
            Ok(())
        })
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// For how long a receiver may sleep: rings get lost.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Waiting makes time pass, as if every ring were lost.
pub struct SimBell(SimFs);

impl Bell for SimBell {
    fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        self.0.at(call("wait", LOOK), Path::new("bell"), |world| {
            if at_most > LONGEST_SLEEP {
                world.violate(format!("a receiver sleeps for {at_most:?} without a look"));
            }
            world.disk.now_ms += u64::try_from(at_most.as_millis()).unwrap_or(0);
            Ok(())
        })
    }
}
