//! Real file systems on loop devices: what a power cut leaves (I1, I4), and what a full or read-only disk does to
//! the verbs (I9). Needs root, and the tools that make the file systems; says so where they are missing.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

/// Its files lie in `tests/power/`.
mod power {
    mod at_work;
}

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use common::{Dice, Image, expect, mq, run};

fn lines_of(bytes: &[u8]) -> impl Iterator<Item = String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn field(json: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    value[name].as_str().unwrap_or_default().to_owned()
}

/// What was acknowledged so far.
#[derive(Default)]
struct Acknowledged {
    put: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Receipt and id of claims that are out.
    claims: Vec<(String, String)>,
}

impl Acknowledged {
    fn put(&mut self, stdout: &[u8]) {
        self.put.extend(lines_of(stdout));
    }

    fn take_claim(&mut self, dice: &mut Dice) -> Option<(String, String)> {
        let count = self.claims.len() as u64;
        (count > 0).then(|| self.claims.swap_remove(usize::try_from(dice.below(count)).unwrap()))
    }

    /// One random command; everything that it acknowledges is noted.
    fn step(&mut self, spool: &Path, dice: &mut Dice) {
        match dice.below(20) {
            0..7 => self.put(&expect(spool, &["put", "q", "-m", "one"], 0)),
            7..9 => self.put_lines(spool, [2, 20, 300, 700][usize::try_from(dice.below(4)).unwrap()]),
            9..12 => {
                let got = run(spool, &["get", "q", "--json", "--visibility", "1h"]);
                self.claims.extend(lines_of(&got.stdout).map(|line| (field(&line, "receipt"), field(&line, "id"))));
            }
            12..14 => {
                if let Some((receipt, id)) = self.take_claim(dice) {
                    expect(spool, &["delete", &receipt], 0);
                    self.deleted.insert(id);
                }
            }
            14 => {
                if let Some((receipt, id)) = self.take_claim(dice) {
                    expect(spool, &["extend", &receipt, "--visibility", "2h"], 0);
                    self.claims.push((receipt, id));
                }
            }
            15 => {
                if let Some((receipt, _)) = self.take_claim(dice) {
                    expect(
                        spool,
                        &["release", &receipt, "--delay", ["0s", "1h"][usize::try_from(dice.below(2)).unwrap()]],
                        0,
                    );
                }
            }
            _ => {
                let count = ["1", "5", "300"][usize::try_from(dice.below(3)).unwrap()];
                let got = run(spool, &["get", "q", "--json", "--delete", "--count", count]);
                self.deleted.extend(lines_of(&got.stdout).map(|line| field(&line, "id")));
            }
        }
    }

    fn put_lines(&mut self, spool: &Path, count: usize) {
        let mut child =
            mq(spool, &["put", "q", "--lines"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || (0..count).for_each(|n| writeln!(stdin, "line {n}").unwrap()));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        assert!(output.status.success());
        self.put(&output.stdout);
    }

    /// Holds what a machine finds after the power cut against what was acknowledged before it.
    fn check(&self, disk: &Image) {
        let spool = disk.spool();
        // Temporaries are left alone while they are young; here their writers are certainly gone.
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        for entry in std::fs::read_dir(spool.join("q/tmp")).unwrap().flatten() {
            std::fs::File::open(entry.path()).and_then(|file| file.set_modified(old)).unwrap();
        }
        let mut there = BTreeSet::new();
        for line in lines_of(&expect(&spool, &["list", "q", "--json"], 0)) {
            assert!(there.insert(field(&line, "id")), "I2: twice in the queue: {line}");
        }
        let lost: Vec<_> = self.put.difference(&self.deleted).filter(|id| !there.contains(*id)).collect();
        assert!(lost.is_empty(), "I1: acknowledged and lost: {lost:?}\n{}", disk.repaired);
        let back: Vec<_> = self.deleted.intersection(&there).collect();
        assert!(back.is_empty(), "I4: deleted and back: {back:?}");
        let stat: serde_json::Value = serde_json::from_slice(&expect(&spool, &["stat", "q", "--json"], 0)).unwrap();
        assert_eq!((&stat["corrupt"], &stat["strays"]), (&0.into(), &0.into()), "{stat}");
        // I3: every body that is deliverable passes its check.
        let ready = stat["ready"].as_u64().unwrap();
        let got = run(&spool, &["get", "q", "--count", "all", "--json", "--delete"]);
        assert_eq!(lines_of(&got.stdout).count() as u64, ready, "{}", String::from_utf8_lossy(&got.stderr));
    }
}

/// Random commands on a file system, and every now and then a look at what a power cut would leave.
fn survives_power_cuts(kind: &'static str, seed: u64) {
    let Some(disk) = Image::new(kind, "600M") else { return };
    let spool = disk.spool();
    let mut dice = Dice(seed);
    let mut acknowledged = Acknowledged::default();
    expect(&spool, &["create", "q"], 0);
    let mut images = 0;
    for _ in 0..60 {
        acknowledged.step(&spool, &mut dice);
        if dice.below(5) == 0 {
            acknowledged.check(&disk.after_a_power_cut());
            images += 1;
        }
    }
    let (put, deleted) = (acknowledged.put.len(), acknowledged.deleted.len());
    eprintln!("{kind}: {images} images, {put} puts and {deleted} deletes acknowledged, 0 lost, 0 back");
}

#[test]
fn i1_i4_power_cuts_on_ext4() {
    survives_power_cuts("ext4", 1);
}

#[test]
fn i1_i4_power_cuts_on_ext4_without_a_journal() {
    survives_power_cuts("ext4-without-journal", 2);
}

#[test]
fn i1_i4_power_cuts_on_xfs() {
    survives_power_cuts("xfs", 3);
}

#[test]
fn i1_i4_power_cuts_on_btrfs() {
    survives_power_cuts("btrfs", 4);
}

/// With not a byte left, a put says so and leaves nothing, and the queue can be drained to the last message.
fn drains_a_full_disk(kind: &'static str, size: &str) {
    let Some(disk) = Image::new(kind, size) else { return };
    let spool = disk.spool();
    let mut acknowledged = Acknowledged::default();
    acknowledged.put_lines(&spool, 700);
    for (file, chunk) in [("large", 1 << 20), ("small", 512)] {
        let mut filler = std::fs::File::create(disk.root().join(file)).unwrap();
        while filler.write_all(&vec![b'x'; chunk]).is_ok() {}
        let _ = filler.sync_all();
    }
    let large = disk.root().join("body");
    std::fs::write(&large, b"").ok();
    for args in [&["put", "q", "-m", "one too many"][..], &["put", "q", "/proc/self/exe", "/etc/passwd"]] {
        let refused = run(&spool, args);
        assert_eq!(refused.status.code(), Some(75), "{}", String::from_utf8_lossy(&refused.stderr));
        assert!(refused.stdout.is_empty(), "I9: an id for a message that is not there");
        assert_eq!(std::fs::read_dir(spool.join("q/tmp")).unwrap().count(), 0, "litter in tmp/");
    }
    let receipt = || String::from_utf8(expect(&spool, &["get", "q", "--json"], 0)).map(|line| field(&line, "receipt"));
    for _ in 0..10 {
        expect(&spool, &["delete", &receipt().unwrap()], 0);
    }
    expect(&spool, &["release", &receipt().unwrap()], 0);
    expect(&spool, &["release", &receipt().unwrap(), "--delay", "1s"], 0);
    expect(&spool, &["get", "q", "--", "false"], 1);
    let rest = expect(&spool, &["get", "q", "--count", "all", "--delete", "--lines", "--wait", "1s"], 0);
    let late = run(&spool, &["get", "q", "--delete", "--lines", "--wait", "3s"]);
    assert_eq!(lines_of(&rest).count() + lines_of(&late.stdout).count(), 690, "the queue was not drained");
}

#[test]
fn a_full_ext4_can_be_drained() {
    drains_a_full_disk("ext4", "20M");
}

#[test]
fn a_full_xfs_can_be_drained() {
    drains_a_full_disk("xfs", "310M");
}

#[test]
fn a_full_btrfs_can_be_drained() {
    drains_a_full_disk("btrfs", "320M");
}

#[test]
fn a_disk_without_inodes_refuses_puts_and_can_be_drained() {
    let Some(disk) = Image::new("ext4", "20M") else { return };
    let spool = disk.spool();
    expect(&spool, &["put", "q", "-m", "first"], 0);
    let mut n = 0;
    while std::fs::File::create(disk.root().join(n.to_string())).is_ok() {
        n += 1;
    }
    expect(&spool, &["put", "q", "-m", "one too many"], 75);
    assert_eq!(expect(&spool, &["get", "q", "--delete"], 0), b"first");
    expect(&spool, &["get", "q"], 1);
}

#[test]
fn i9_a_read_only_disk_refuses_what_would_change_it() {
    let Some(disk) = Image::new("ext4", "20M") else { return };
    let spool = disk.spool();
    expect(&spool, &["put", "q", "-m", "first"], 0);
    assert!(disk.remount("remount,ro"));
    for args in [
        &["put", "q", "-m", "x"][..],
        &["put", "new", "-m", "x"],
        &["create", "new"],
        &["get", "q"],
        &["get", "q", "--delete"],
        &["set", "q", "delay=1s"],
        &["purge", "q"],
    ] {
        let stdout = expect(&spool, args, 73);
        assert!(stdout.is_empty(), "{args:?} wrote to stdout");
    }
    // Looking is allowed.
    assert_eq!(expect(&spool, &["peek", "q"], 0), b"first");
    expect(&spool, &["list", "q"], 0);
    expect(&spool, &["stat", "q"], 0);
    assert!(disk.remount("remount,rw"));
    assert_eq!(expect(&spool, &["get", "q", "--delete"], 0), b"first");
}
