//! The real file system behind a fence: no call may name a path outside the spool, or one that climbs.

use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use mq::store::spool::fs::{Access, Fs, Names, RealFs, Status};

/// [`RealFs`], for one directory alone. The boot and the kind of file system are made up, so that the machine makes
/// no difference.
pub struct Fenced {
    root: PathBuf,
}

impl Fenced {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn inside<'a>(&self, path: &'a Path) -> &'a Path {
        let climbs = path.components().any(|part| part == Component::ParentDir);
        assert!(path.starts_with(&self.root) && !climbs, "{} is outside the spool", path.display());
        path
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
        RealFs.status(self.inside(path))
    }

    fn scan(
        &self,
        dir: &Path,
        each: &mut dyn FnMut(&OsStr, mq::store::spool::fs::Kind) -> ControlFlow<()>,
    ) -> io::Result<()> {
        RealFs.scan(self.inside(dir), each)
    }

    fn walk(&self, dir: &Path, each: &mut dyn FnMut(&Path, Status)) -> io::Result<()> {
        RealFs.walk(self.inside(dir), &mut |path, status| each(self.inside(path), status))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_dir(self.inside(path))
    }

    fn sync_many(&self, root: &Self::File, files: &[PathBuf], dirs: &[PathBuf]) -> io::Result<()> {
        files.iter().chain(dirs).for_each(|path| {
            self.inside(path);
        });
        RealFs.sync_many(root, files, dirs)
    }

    fn sync_file_system(&self, dir: &Path) -> io::Result<()> {
        self.inside(dir);
        Ok(())
    }

    fn names(&self, _: &Path) -> Names {
        Names::Ordered
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
        RealFs.random()
    }
}
