//! The real file system behind a fence: no call may name a path outside the spool, or one that climbs.
//!
//! Whatever the machine and the moment are is left out: the same script always does the same.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mq::domain::UnixMillis;
use mq::store::spool::fs::{Access, Fs, Names, RealFs, Space, Status};

/// When a world begins: years from now, so that whatever was written a moment ago was written long ago.
pub const BEGINNING: UnixMillis = UnixMillis(2_000_000_000_000);

/// [`RealFs`], for one directory alone. The boot, the kind of file system, the times of files and chance are made up.
/// Nothing is synced, since no power is cut.
pub struct Fenced {
    root: PathBuf,
    /// How often chance was asked, by anybody in this world: what is counted is never the same twice.
    asked: Rc<Cell<u64>>,
}

impl Fenced {
    pub fn new(root: PathBuf, asked: Rc<Cell<u64>>) -> Self {
        Self { root, asked }
    }

    fn inside<'a>(&self, path: &'a Path) -> &'a Path {
        let (root, bytes) = (self.root.as_os_str().as_bytes(), path.as_os_str().as_bytes());
        let is_below = bytes.strip_prefix(root).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        let climbs = bytes.windows(3).any(|three| three == b"/..") && path.iter().any(|part| part == "..");
        assert!(is_below && !climbs, "{} is outside the spool", path.display());
        path
    }

    /// When a file was really written is nobody's business; what the garbage has dated into the far future stays there.
    fn dated(status: Status) -> Status {
        let modified = if status.modified > BEGINNING { status.modified } else { UnixMillis(0) };
        Status { modified, ..status }
    }
}

impl Fs for Fenced {
    type File = <RealFs as Fs>::File;
    type Bell = <RealFs as Fs>::Bell;

    fn create(&self, path: &Path, mode: u32) -> io::Result<Self::File> {
        RealFs.create(self.inside(path), mode)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Self::File> {
        RealFs.open(self.inside(path), access)
    }

    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<Self::File> {
        RealFs.open_or_create(self.inside(path), mode)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Self::File> {
        RealFs.open_dir(self.inside(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(self.inside(from), self.inside(to))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.replace(self.inside(from), self.inside(to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        RealFs.exchange(self.inside(one), self.inside(other))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.link(self.inside(from), self.inside(to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealFs.unlink(self.inside(path))
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        RealFs.mkdir(self.inside(path), mode)
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        RealFs.rmdir(self.inside(path))
    }

    fn status(&self, path: &Path) -> io::Result<Status> {
        RealFs.status(self.inside(path)).map(Self::dated)
    }

    fn scan(
        &self,
        dir: &Path,
        each: &mut dyn FnMut(&OsStr, mq::store::spool::fs::Kind) -> ControlFlow<()>,
    ) -> io::Result<()> {
        RealFs.scan(self.inside(dir), each)
    }

    fn walk(&self, dir: &Path, each: &mut dyn FnMut(&Path, Status)) -> io::Result<()> {
        RealFs.walk(self.inside(dir), &mut |path, status| each(self.inside(path), Self::dated(status)))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // It has to be there all the same.
        RealFs.open_dir(self.inside(path)).map(drop)
    }

    fn sync_many(&self, _: &Self::File, files: &[PathBuf], dirs: &[PathBuf]) -> io::Result<()> {
        files.iter().try_for_each(|file| RealFs.open(self.inside(file), Access::Read).map(drop))?;
        dirs.iter().try_for_each(|dir| self.sync_dir(dir))
    }

    fn sync_file_system(&self, dir: &Path) -> io::Result<()> {
        self.inside(dir);
        Ok(())
    }

    fn names(&self, _: &Path) -> Names {
        Names::Ordered
    }

    /// As much as there is, however full this machine is: chance is left out.
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { bytes: 1 << 40, free_bytes: 1 << 39, inodes: 1 << 20, free_inodes: 1 << 19 })
    }

    fn make_bell(&self, path: &Path, mode: u32) -> io::Result<()> {
        RealFs.make_bell(self.inside(path), mode)
    }

    fn ring(&self, path: &Path, times: usize) {
        RealFs.ring(self.inside(path), times);
    }

    fn open_bell(&self, path: &Path) -> io::Result<Self::Bell> {
        RealFs.open_bell(self.inside(path))
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok("11111111-2222-4333-8444-555555555555".to_owned())
    }

    fn random(&self) -> [u8; 10] {
        self.asked.set(self.asked.get() + 1);
        let mut bytes = [0; 10];
        // An id keeps all bits of the last bytes.
        bytes[2..].copy_from_slice(&self.asked.get().to_be_bytes());
        bytes
    }
}
