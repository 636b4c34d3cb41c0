//! A queue of Directory::Queue::Simple: an element is a file named by 14 hexadecimal digits in a directory named by 8,
//! both of which begin with seconds. `ELEMENT.lck`, a second link, locks it; `ELEMENT.tmp` is not one yet.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Result;

use super::elsewhere::{Found, Source, check_dir, entries_of, unexpected, why_no_file};

const EXPECTED: &str = "queue of Directory::Queue::Simple: no directory in it is named by 8 hexadecimal digits";

/// The elements that nobody has locked, in their order.
pub(super) fn look(dir: &Path) -> Result<Found> {
    check_dir(dir, EXPECTED)?;
    let mut found = Found::default();
    let all = entries_of(dir)?;
    let is_part = |entry: &&walkdir::DirEntry| is_hex(entry.file_name().as_bytes(), 8) && entry.path().is_dir();
    // An empty directory is a queue that nothing was ever added to.
    if !all.is_empty() && !all.iter().any(|entry| is_part(&entry)) {
        return Err(unexpected(dir, EXPECTED));
    }
    for part in all.iter().filter(is_part) {
        for entry in entries_of(part.path())? {
            let name = entry.file_name().as_bytes();
            let is_mark = [&b".lck"[..], b".tmp"]
                .iter()
                .any(|suffix| name.strip_suffix(*suffix).is_some_and(|element| is_hex(element, 14)));
            if is_mark {
                continue;
            }
            let mut lock = entry.path().as_os_str().to_owned();
            lock.push(".lck");
            let path = entry.path().display();
            if !is_hex(name, 14) {
                found.left_out.push(format!("{path} is not named as an element is"));
            } else if let Some(why) = why_no_file(&entry) {
                found.left_out.push(format!("{path} {why}, as in a queue of Directory::Queue::Normal"));
            } else if Path::new(&lock).symlink_metadata().is_ok() {
                found.locked += 1;
            } else {
                let name = [part.file_name().as_bytes(), b"/", name].concat();
                found.sources.push(Source { path: entry.into_path(), name });
            }
        }
    }
    Ok(found)
}

fn is_hex(name: &[u8], digits: usize) -> bool {
    name.len() == digits && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
