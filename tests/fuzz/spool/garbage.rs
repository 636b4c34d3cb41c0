//! Garbage, as the fuzzer wants it: a script of lines, every one of which means something.
//!
//! The first letter of a line says what is done, the second where, the third under which name, and the rest says
//! more. A letter that is not in its table stands for some other one.
//!
//! ```text
//! fUN nonsense        a file in the directory of a timed claim, by a message's name, that says "nonsense"
//! Sl0                 a symbolic link to a directory outside, instead of the first message
//! -qP                 no policy any more
//! fq=README hello     a file with a name of its own
//! ```

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mq::store::spool::fs::{Fs as _, RealFs};

use super::Put;

/// How many lines of a script are obeyed.
const LINES: usize = 24;

/// What a letter stands for.
fn choose<T: Copy>(table: &[(u8, T)], letter: u8) -> T {
    let chosen = table.iter().find(|(known, _)| *known == letter);
    chosen.unwrap_or(&table[usize::from(letter) % table.len()]).1
}

/// Fills a spool with what does not belong there.
pub struct Vandal<'a> {
    pub spool: &'a Path,
    pub queue: &'a Path,
    /// A file and a directory that are none of the spool's business.
    pub outside: (&'a Path, &'a Path),
    pub messages: &'a [Put],
}

impl Vandal<'_> {
    /// Obeys a script.
    pub fn obey(&self, script: &[u8]) {
        for line in script.split(|byte| *byte == b'\n').take(LINES) {
            if let [what, place, name, rest @ ..] = line
                && let Some(name) = self.name(*name, rest)
            {
                let path = self.dir(*place).join(name);
                // Where there is nothing to be done, nothing is.
                let _ = self.act(*what, &path, rest);
            }
        }
    }

    fn dir(&self, letter: u8) -> PathBuf {
        let leaf = |at: usize| self.messages[at].path.parent().unwrap_or(self.queue).to_owned();
        let inside = |path: &str| self.queue.join(path);
        match choose(&DIRS.map(|letter| (letter, letter)), letter) {
            b's' => self.spool.to_owned(),
            b't' => inside("tmp"),
            b'T' => inside("tmp").join(ID),
            b'r' => inside("ready"),
            b'5' => inside("ready/5"),
            b'g' => inside("ready/5/000000000000"),
            b'l' => leaf(0),
            b'9' => leaf(2),
            b'd' => inside("delayed"),
            b'D' => leaf(3),
            b'c' => inside("claimed"),
            b'U' => leaf(4),
            b'h' => inside("claimed/held"),
            b'x' => inside("corrupt"),
            b'p' => inside("spare"),
            _ => self.queue.to_owned(),
        }
    }

    fn name(&self, letter: u8, rest: &[u8]) -> Option<PathBuf> {
        let second = |at: usize| self.messages[at].path.parent().and_then(Path::file_name).map(PathBuf::from);
        let fixed = |name: &str| Some(PathBuf::from(name));
        match letter {
            b'0'..=b'5' => fixed(&self.messages[usize::from(letter - b'0')].name.to_string()),
            b'a'..=b'f' => {
                let name = self.messages[usize::from(letter - b'a')].name;
                fixed(&name.with_deliveries(name.deliveries + 1).to_string())
            }
            b'=' => {
                let name = rest.split(|byte| *byte == b' ').next().unwrap_or(rest);
                let is_name = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
                is_name.then(|| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
            }
            b'U' => second(4),
            b'D' => second(3),
            _ => fixed(choose(&NAMES, letter)),
        }
    }

    fn act(&self, what: u8, path: &Path, rest: &[u8]) -> std::io::Result<()> {
        let said = rest.iter().position(|byte| *byte == b' ').map_or(&[][..], |at| &rest[at + 1..]);
        let which = &self.messages[usize::from(said.first().copied().unwrap_or(0)) % self.messages.len()];
        let what = choose(&ACTS, what);
        match what {
            "flip" => return flip(path, said),
            // To open a FIFO would wait for somebody who reads it.
            "age" if !path.symlink_metadata()?.is_file() => return Ok(()),
            "age" => {
                let far = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs());
                return fs::File::options().write(true).open(path)?.set_modified(far);
            }
            // What a queue writes into is written into, whatever other names it has.
            "second name" if is_written_in_place(path) => return Ok(()),
            "link to a directory" if self.is_a_directory_of_messages(path) => return Ok(()),
            // The spool itself is where it was.
            _ if path == self.spool || path == self.queue => return Ok(()),
            _ => remove(path),
        }
        match what {
            "file" => fs::File::create(path)?.write_all(said),
            "directory" => fs::create_dir(path),
            "link to a file" => symlink(self.outside.0, path),
            "link to a directory" => symlink(self.outside.1, path),
            "fifo" => RealFs.make_bell(path, 0o600),
            "copy" => fs::write(path, &which.file),
            "second name" => fs::hard_link(&which.path, path),
            "move" => fs::rename(&which.path, path),
            _ => Ok(()),
        }
    }

    /// A link in the place of one of the queue's directories moves a part of the queue, by mq-spool(5).
    fn is_a_directory_of_messages(&self, path: &Path) -> bool {
        path.strip_prefix(self.queue).is_ok_and(mq::fuzzing::is_directory_of_messages)
    }
}

const ID: &str = "0192a4b0-0000-7000-8000-000000000000";

const DIRS: [u8; 16] = *b"qstTr5gl9dDcUhxp";

const NAMES: [(u8, &str); 19] = [
    (b'N', "0000000000000007.5.0192a4b0-0000-7000-8000-000000000000.1"),
    (b'V', "ffffffffffffffff.5.0192a4b0-0000-7000-8000-000000000000.4294967295"),
    (b'I', ID),
    (b'P', "policy.json"),
    (b'S', "state"),
    (b'L', "lock"),
    (b'K', "sweep"),
    (b'B', "wake"),
    (b'H', "held"),
    (b'R', "5"),
    (b'G', "000000000000"),
    (b'F', "00"),
    (b'M', "ff"),
    (b'Z', "18446744073709551615"),
    (b'T', "format"),
    (b'Q', ".new-0192a4b0-0000-7000-8000-000000000000"),
    (b'O', ".dropped-0192a4b0-0000-7000-8000-000000000000"),
    (b'C', ".checking-jobs"),
    (b'J', "other"),
];

const ACTS: [(u8, &str); 11] = [
    (b'f', "file"),
    (b'd', "directory"),
    (b's', "link to a file"),
    (b'S', "link to a directory"),
    (b'p', "fifo"),
    (b'c', "copy"),
    (b'h', "second name"),
    (b'-', "remove"),
    (b'x', "flip"),
    (b'm', "move"),
    (b't', "age"),
];

fn is_written_in_place(path: &Path) -> bool {
    path.file_name().is_some_and(|name| ["state", "sweep", "format"].iter().any(|written| name == *written))
}

fn remove(path: &Path) {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let _ = fs::remove_dir_all(path);
    } else {
        let _ = fs::remove_file(path);
    }
}

/// Changes a byte of a file.
fn flip(path: &Path, said: &[u8]) -> std::io::Result<()> {
    let [at, mask, ..] = said else { return Ok(()) };
    if !path.symlink_metadata()?.is_file() {
        return Ok(());
    }
    let file = fs::File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, u64::from(*at))?;
    file.write_all_at(&[byte[0] ^ mask], u64::from(*at))
}
