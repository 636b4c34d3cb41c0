//! `mq edit`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Ran, Running, Spool, run};

/// `mq edit` with an editor, whose files go to a directory of their own.
fn command(spool: &Spool, editor: &str, args: &[&str]) -> Command {
    fs::create_dir_all(spool.path("temporary")).unwrap();
    let mut all = vec!["edit"];
    all.extend(args);
    let mut command = spool.mq_command(&all);
    command.env("EDITOR", editor).env_remove("VISUAL").env("TMPDIR", spool.path("temporary"));
    command
}

fn edit(spool: &Spool, editor: &str, args: &[&str]) -> Ran {
    run(command(spool, editor, args), b"")
}

/// What was left for the user.
fn kept(spool: &Spool) -> Vec<PathBuf> {
    fs::read_dir(spool.path("temporary")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A spool with a dead letter in `q.dead`, and its id.
fn graveyard() -> (Spool, String) {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-deliveries=1"]).ok();
    let id = spool.put("q", "poison\n");
    spool.mq(&["get", "q", "--", "sh", "-c", "exit 3"]).status(3);
    (spool, id)
}

#[test]
fn a_dead_letter_is_mended_and_sent_back() {
    let (spool, id) = graveyard();
    let before = spool.mq(&["peek", "q.dead", "--json"]).ok().json();
    edit(&spool, "sed -i s/poison/cure/", &["q.dead", &id]).ok().silent().says("has a new body");
    let mut after = spool.mq(&["peek", "q.dead", "--json"]).ok().json();
    assert_eq!((&after["body"], &after["bytes"]), (&"cure\n".into(), &5.into()));
    (after["body"], after["bytes"]) = (before["body"].clone(), before["bytes"].clone());
    assert_eq!(after, before, "all else stays");
    spool.mq(&["redrive", "q.dead", "--yes"]).ok();
    spool.mq(&["get", "q", "--delete"]).ok().wrote("cure\n");
    assert_eq!(kept(&spool), [] as [PathBuf; 0]);
    spool.assert_no_temporaries("q.dead");
}

#[test]
fn the_editor_can_have_arguments_and_the_file_any_place() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let tmp = spool.path("a dir with 'quotes' and $HOME");
    fs::create_dir(&tmp).unwrap();
    let script = spool.file("my editor", "printf '%s\\n' \"$#\" \"$1\" \"$2\" >said; printf new >\"$2\"\n");
    let editor = format!("sh '{}' --wait", script.display());
    let mut editing = command(&spool, &editor, &["q", &id]);
    editing.env("TMPDIR", &tmp);
    run(editing, b"").ok();
    let said = String::from_utf8(spool.read("said")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["2", "--wait"]);
    assert!(lines[2].starts_with(tmp.to_str().unwrap()) && lines[2].contains(&id), "{said}");
    assert_eq!(spool.bodies("q"), ["new"]);
}

#[test]
fn visual_goes_before_editor_and_vi_comes_last() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let mut editing = command(&spool, "false", &["q", &id]);
    editing.env("VISUAL", "printf visual >");
    run(editing, b"").ok();
    let mut editing = command(&spool, "printf ' editor' >>", &["q", &id]);
    editing.env("VISUAL", "");
    run(editing, b"").ok();
    let bin = spool.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("vi"), "#!/bin/sh\nprintf ' vi' >>\"$1\"\n").unwrap();
    fs::set_permissions(bin.join("vi"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut editing = command(&spool, "", &["q", &id]);
    editing.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    run(editing, b"").ok();
    assert_eq!(spool.bodies("q"), ["visual editor vi"]);
}

#[test]
fn an_editor_that_puts_another_file_in_its_place_is_as_good() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let script = spool.file("editor", "printf new >\"$1.swp\" && mv \"$1.swp\" \"$1\"\n");
    edit(&spool, &format!("sh {}", script.display()), &["q", &id]).ok();
    assert_eq!(spool.bodies("q"), ["new"]);
}

#[test]
fn i3_any_bytes_are_handed_over_and_taken_back() {
    let spool = Spool::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let id = spool.put("q", &bytes);
    edit(&spool, "cp \"$1\" seen; :", &["q", &id]).ok().says("nothing was changed");
    assert!(spool.read("seen") == bytes, "another body was handed over");
    edit(&spool, "printf '\\0\\377' >>", &["q", &id]).ok();
    let out = spool.mq(&["get", "q", "--delete"]).ok();
    assert!(out.out() == [bytes.as_slice(), b"\0\xff"].concat(), "another body came back");
}

#[test]
fn nothing_changes_where_nothing_was_changed() {
    let spool = Spool::new();
    let id = spool.put("q", "x\n");
    let file = spool.files_in("q", "ready").remove(0);
    let number = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
    edit(&spool, "true", &["q", &id]).ok().silent().says("nothing was changed");
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap()), number);
    assert_eq!(kept(&spool), [] as [PathBuf; 0]);
}

#[test]
fn nothing_changes_where_the_editor_fails() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let script = spool.file("editor", "printf new >\"$1\"; exit 3\n");
    let editor = format!("sh {}", script.display());
    edit(&spool, &editor, &["q", &id]).status(1).silent().says("the editor ended with exit status: 3");
    edit(&spool, "no-such-editor", &["q", &id]).fails(78).says("cannot run the editor 'no-such-editor'").says("EDITOR");
    spool.file("not executable", "");
    edit(&spool, "'./not executable'", &["q", &id]).fails(78).says("stays as it is");
    edit(&spool, "rm", &["q", &id]).status(1).silent().says("the editor removed the file");
    assert_eq!(kept(&spool), [] as [PathBuf; 0], "whoever ends an editor so throws away what he wrote");
    let script = spool.file("editor", "printf new >\"$1\"; kill -KILL $$\n");
    edit(&spool, &format!("exec sh {}", script.display()), &["q", &id]).status(1).says("what was written is kept in");
    assert_eq!(fs::read(&kept(&spool)[0]).unwrap(), b"new");
    assert_eq!(spool.bodies("q"), ["x"]);
}

/// Edits, and does something while the editor is open.
fn edit_during(spool: &Spool, args: &[&str], meanwhile: impl FnOnce()) -> Running {
    let mut gate = spool.gate("go");
    // It stands at the gate before it says so: what nobody has open is forgotten with the gate.
    let script = spool.file("editor", "exec 3<go; echo open; read x <&3; printf new >\"$1\"\n");
    let mut editing = Running::start(command(spool, &format!("sh {}", script.display()), args), "mq edit".to_owned());
    assert_eq!(editing.line(), "open");
    meanwhile();
    gate.open();
    editing.close();
    editing
}

#[test]
fn i1_what_was_written_for_a_message_that_has_gone_is_kept() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let editing = edit_during(&spool, &["q", &id], || {
        spool.mq(&["get", "q", "--delete"]).ok().wrote("x");
    });
    let ran = editing.finish().status(75).says("was claimed, moved, deleted or edited meanwhile");
    let [file] = kept(&spool).try_into().unwrap();
    assert!(ran.err().contains(file.to_str().unwrap()), "{ran}");
    assert_eq!(fs::read(file).unwrap(), b"new");
    assert_eq!(spool.bodies("q"), [] as [&str; 0]);
}

#[test]
fn the_queue_goes_on_while_somebody_edits() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let editing = edit_during(&spool, &["q", &id], || {
        spool.put("q", "y");
        spool.mq(&["peek", "q"]).ok().wrote("x");
    });
    editing.finish().ok();
    assert_eq!(spool.bodies("q"), ["new", "y"]);
}

#[test]
fn who_is_told_to_end_changes_nothing() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let mut gate = spool.gate("go");
    let script = spool.file("editor", "echo open; read x <go; printf new >\"$1\"\n");
    let editor = format!("sh {}", script.display());
    let mut editing = Running::start(command(&spool, &editor, &["q", &id]), "mq edit".to_owned());
    assert_eq!(editing.line(), "open");
    editing.signal(Signal::TERM);
    gate.open();
    editing.close();
    editing.finish().killed_by(Signal::TERM).says("what was written is kept in");
    assert_eq!(spool.bodies("q"), ["x"]);
    assert_eq!(fs::read(&kept(&spool)[0]).unwrap(), b"new");
}

#[test]
fn what_cannot_be_edited_is_said_before_the_editor_opens() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    edit(&spool, "touch opened", &["q", &id]).fails(75).says("is claimed").says("wait until it is released");
    spool.mq(&["delete", &receipt]).ok();
    edit(&spool, "touch opened", &["q", &id]).fails(66).says(&id);
    edit(&spool, "touch opened", &["nowhere", &id]).fails(66).says("nowhere");
    edit(&spool, "touch opened", &["q", "x"]).status(2).says("a message id");
    let of_group = spool.mq(&["put", "q", "--group", "g", "-m", "x"]).ok().text().trim().to_owned();
    edit(&spool, "touch opened", &["q", &of_group]).fails(2).says("one of a group");
    let unique = spool.mq(&["put", "q", "--unique", "k", "-m", "x"]).ok().text().trim().to_owned();
    edit(&spool, "touch opened", &["q", &unique]).fails(2).says("unique key").says("when it is a dead letter");
    assert!(!spool.path("opened").exists());
    assert_eq!(kept(&spool), [] as [PathBuf; 0]);
}

#[test]
fn what_is_too_old_by_the_time_the_editor_ends_is_not_edited() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    let editing = edit_during(&spool, &["q", &id], || {
        spool.mq(&["set", "q", "retention=1ms"]).ok();
    });
    let ran = editing.finish().status(66).says("is too old to be delivered: its body stays as it is");
    assert_eq!(fs::read(&kept(&spool)[0]).unwrap(), b"new");
    ran.says("what was written is kept in");
    edit(&spool, "touch opened", &["q", &id]).fails(66);
    assert!(!spool.path("opened").exists());
}

#[test]
fn a_body_that_the_queue_never_has_room_for_is_not_taken() {
    let spool = Spool::new();
    let id = spool.put("q", "x".repeat(3000));
    spool.mq(&["set", "q", "max-bytes=2KiB"]).ok();
    let ran = edit(&spool, "printf more >>", &["q", &id]).status(65).says("never has room").says("max-bytes is 2KiB");
    assert_eq!(fs::read(&kept(&spool)[0]).unwrap().len(), 3004, "{ran}");
    // What is there is there, and less of it is welcome.
    edit(&spool, "truncate -s 2990", &["q", &id]).ok();
    edit(&spool, "truncate -s 10", &["q", &id]).ok();
    edit(&spool, "truncate -s 1000", &["q", &id]).ok();
    spool.mq(&["fsck"]).ok();
}

#[test]
fn the_new_file_has_the_rights_of_its_queue() {
    use std::os::unix::fs::PermissionsExt as _;
    let spool = Spool::new();
    spool.mq(&["create", "q", "--mode", "2770"]).ok();
    let id = spool.put("q", "x");
    edit(&spool, "printf y >", &["q", &id]).ok();
    let file = spool.files_in("q", "ready").remove(0);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o660);
    spool.mq(&["fsck"]).ok();
}
