//! `mq import --maildir` and `--dirq`: the queues of others in.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use crate::support::{Spool, lines_of};

/// A file of a directory of others.
fn lay(spool: &Spool, path: &str, bytes: impl AsRef<[u8]>) {
    let path = spool.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_maildir_is_imported_the_oldest_mail_first() {
    let spool = Spool::new();
    for (name, mail) in [
        ("new/1700000009.M1P2.host", "third"),
        ("cur/1700000001.M1P2.host:2,S", "first"),
        ("cur/1700000005.M1P2.host:2,", "second"),
        ("tmp/1700000000.M1P2.host", "half a mail"),
        ("cur/.hidden", "no mail"),
    ] {
        lay(&spool, &format!("mail/{name}"), mail);
    }
    let ran = spool.mq(&["import", "q", "--maildir", "mail"]).ok();
    assert_eq!(ran.err(), "mq: imported 3 messages to 'q'\n");
    assert_eq!(spool.bodies("q"), ["first", "second", "third"]);
    let first = spool.mq(&["peek", "q", "--json"]).ok().json();
    assert_eq!(
        (&first["type"], &first["attrs"]["file"]),
        (&"message/rfc822".into(), &"cur/1700000001.M1P2.host:2,S".into())
    );
    assert_eq!(first["id"], ran.lines()[0]);
    let table = spool.mq(&["list", "q"]).ok();
    assert!(table.lines()[1].contains("  0s  "), "their age is that of their put: {table}");
}

#[test]
fn what_of_a_maildir_is_left_out_is_said() {
    let spool = Spool::new();
    lay(&spool, "mail/new/1700000001.a", "a mail");
    lay(&spool, "elsewhere", "linked");
    lay(&spool, "mail/new/1700000003.dir/file", "x");
    lay(&spool, "mail/.Sent/cur/1700000004.b", "sent");
    lay(&spool, "mail/dovecot.index", "no folder");
    lay(&spool, "mail/.cache/x", "no folder either");
    symlink("../../elsewhere", spool.path("mail/new/1700000002.link")).unwrap();
    symlink("nowhere", spool.path("mail/new/1700000005.broken")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, spool.path("mail/cur-fifo"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    fs::rename(spool.path("mail/cur-fifo"), spool.path("mail/new/1700000006.fifo")).unwrap();
    let ran = spool.mq(&["import", "q", "--maildir", "mail"]).ok();
    let said: Vec<_> = ran.err().lines().collect();
    assert_eq!(
        said,
        [
            "mq: left out: mail/new/1700000003.dir is a directory",
            "mq: left out: mail/new/1700000005.broken is a symbolic link that leads nowhere",
            "mq: left out: mail/new/1700000006.fifo is no plain file",
            "mq: left out: mail/.Sent is a folder by itself: mq import q --maildir mail/.Sent",
            "mq: imported 2 messages to 'q'",
        ]
    );
    assert_eq!(spool.bodies("q"), ["a mail", "linked"]);
    spool.mq(&["import", "q", "--maildir", "mail/.Sent"]).ok().says("imported 1 message to 'q'");
    // Names of others play no tricks, neither on the terminal nor on who pastes what it shows.
    lay(&spool, "odd/cur/1700000001.a\u{1b}[2J/file", "x");
    lay(&spool, "odd/.it's $(here)/new/1700000001.a", "x");
    let odd = spool.mq(&["import", "r", "--maildir", "odd"]).ok().says(r"odd/cur/1700000001.a\u{1b}[2J is a directory");
    odd.says(r"mq import r --maildir 'odd/.it'\''s $(here)'");
}

#[test]
fn i3_a_mail_whose_name_is_not_text_is_a_mail() {
    let spool = Spool::new();
    for (name, body) in [(&b"1700000001.h\xfcte:2,"[..], "one"), (b"1700000001.h\xe4te:2,", "other")] {
        fs::create_dir_all(spool.path("mail/cur")).unwrap();
        fs::write(spool.path("mail/cur").join(OsStr::from_bytes(name)), body).unwrap();
    }
    spool.mq(&["import", "q", "--maildir", "mail"]).ok().says("imported 2 messages");
    let all = spool.mq(&["peek", "q", "--count", "2", "--json"]).ok().jsons();
    for (envelope, body) in all.iter().zip(["other", "one"]) {
        assert_eq!(envelope["body"], body);
        assert_eq!(envelope["attrs"]["file"], "cur/1700000001.h\u{fffd}te:2,");
    }
    spool.mq(&["import", "q", "--maildir", "mail"]).ok().says("imported 0 messages to 'q'; 2 were there already");
}

#[test]
fn a_maildir_can_be_imported_again() {
    let spool = Spool::new();
    lay(&spool, "mail/new/1700000001.a", "same");
    lay(&spool, "mail/new/1700000002.b", "same");
    lay(&spool, "mail/cur/1", "one");
    spool.mq(&["create", "q", "max-deliveries=1"]).ok();
    let import = || spool.mq(&["import", "q", "--maildir", "mail"]).ok();
    let ids = import().says("imported 3 messages to 'q'").lines();
    // A client has looked at one, and one is new.
    fs::rename(spool.path("mail/new/1700000001.a"), spool.path("mail/cur/1700000001.a:2,RS")).unwrap();
    lay(&spool, "mail/new/1700000003.c", "new");
    let again = import().says("imported 1 message to 'q'; 3 were there already");
    assert_eq!(again.lines().len(), 1);
    assert!(!ids.contains(&again.lines()[0]));
    // What is claimed or held back is there; another file of the same name is not the same.
    let receipt = spool.claim("q", "1h");
    lay(&spool, "other/cur/1", "another one");
    spool.mq(&["import", "q", "--maildir", "other"]).ok().says("imported 1 message to 'q'");
    import().says("imported 0 messages to 'q'; 4 were there already");
    // What is done and gone is not.
    spool.mq(&["delete", &receipt]).ok();
    spool.mq(&["get", "q", "--", "false"]).status(1);
    assert_eq!(spool.count("q.dead", "ready"), 1);
    import().says("imported 2 messages to 'q'; 2 were there already");
    spool.mq(&["fsck"]).ok();
}

#[test]
fn the_policy_is_about_what_is_imported_from_others() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "delay=1h", "retention=1d"]).ok();
    lay(&spool, "mail/cur/1000000001.long-ago", "old");
    spool.mq(&["import", "q", "--maildir", "mail"]).ok();
    assert_eq!(spool.count("q", "delayed"), 1);
    spool.mq(&["create", "small", "max-messages=2"]).ok();
    for n in 0..3 {
        lay(&spool, &format!("dirq/653f9a00/653f9a01aaaaa{n}"), n.to_string());
    }
    let ran = spool.mq(&["import", "small", "--dirq", "dirq"]).breaks(75);
    ran.says("imported 2 messages to 'small'").says("is full");
    assert_eq!(spool.bodies("small"), ["0", "1"]);
    spool.mq(&["get", "small", "--delete"]).ok();
    spool.mq(&["set", "small", "max-messages=none"]).ok();
    spool.mq(&["import", "small", "--dirq", "dirq"]).ok().says("imported 2 messages to 'small'; 1 were there already");
}

#[test]
fn large_and_many_go_through_in_order() {
    let spool = Spool::new();
    let large = vec![b'x'; 3_000_000];
    for n in 0..1100 {
        let body = if n == 500 { large.clone() } else { n.to_string().into_bytes() };
        lay(&spool, &format!("mail/new/17000{n:05}.x"), body);
    }
    spool.mq(&["import", "q", "--maildir", "mail"]).ok().says("imported 1100 messages");
    spool.mq(&["import", "q", "--maildir", "mail"]).ok().says("imported 0 messages to 'q'; 1100 were there already");
    spool.mq(&["get", "q", "--count", "500", "--lines", "--delete"]).ok().wrote(lines_of(0..500));
    spool.mq(&["get", "q", "--delete"]).ok().wrote(&large);
    spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok().wrote(lines_of(501..1100));
}

#[test]
fn a_directory_queue_is_imported_without_what_is_locked() {
    let spool = Spool::new();
    for (path, body) in [
        ("653f9a00/653f9a01aaaaa1", "first"),
        ("653f9a00/653f9a02aaaaa1", "locked"),
        ("653f9a3c/653f9a3daaaaa1", "second"),
        ("653f9a3c/653f9a3daaaaa2.tmp", "half an element"),
        ("653f9a3c/notes", "not an element"),
        ("653f9a3c/653f9a3daaaaa4/data", "an element of another kind"),
        ("other/653f9a3daaaaa3", "not an element"),
    ] {
        lay(&spool, &format!("dirq/{path}"), body);
    }
    let locked = spool.path("dirq/653f9a00/653f9a02aaaaa1");
    fs::hard_link(&locked, locked.with_extension("lck")).unwrap();
    let ran = spool.mq(&["import", "q", "--dirq", "dirq"]).ok();
    let said: Vec<_> = ran.err().lines().collect();
    assert_eq!(
        said,
        [
            "mq: left out: dirq/653f9a3c/653f9a3daaaaa4 is a directory, as in a queue of Directory::Queue::Normal",
            "mq: left out: dirq/653f9a3c/notes is not named as an element is",
            "mq: imported 2 messages to 'q'; 1 are locked, and left out",
        ]
    );
    assert_eq!(spool.bodies("q"), ["first", "second"]);
    assert_eq!(spool.mq(&["peek", "q", "--json"]).ok().json()["attrs"]["file"], "653f9a00/653f9a01aaaaa1");
    fs::remove_file(locked.with_extension("lck")).unwrap();
    spool.mq(&["import", "q", "--dirq", "dirq"]).ok().says("imported 1 message to 'q'; 2 were there already\n");
    assert_eq!(spool.bodies("q"), ["first", "second", "locked"]);
}

#[test]
fn what_is_no_such_directory_is_refused_and_an_empty_one_is_not() {
    let spool = Spool::new();
    spool.file("file", "x");
    lay(&spool, "wrong/tmp/1700000001.a", "x");
    for (option, expected) in [("--maildir", "neither a directory new nor cur"), ("--dirq", "8 hexadecimal digits")] {
        spool.mq(&["import", "q", option, "missing"]).fails(74).says("cannot read missing");
        spool.mq(&["import", "q", option, "wrong"]).fails(65).says("wrong is no ").says(expected);
        spool.mq(&["import", "q", option, "file"]).fails(65).says("file is no ").says(expected);
    }
    assert!(!spool.queue_dir("q").exists(), "nothing was made");
    fs::create_dir_all(spool.path("mail/new")).unwrap();
    spool.mq(&["import", "q", "--maildir", "mail"]).ok().silent().says("imported 0 messages to 'q'");
    fs::create_dir_all(spool.path("dirq")).unwrap();
    spool.mq(&["import", "q", "--dirq", "dirq"]).ok().silent().says("imported 0 messages to 'q'");
    fs::create_dir_all(spool.path("dirq/653f9a00")).unwrap();
    spool.mq(&["import", "q", "--dirq", "dirq"]).ok().silent().says("imported 0 messages to 'q'");
    spool.mq_with(&["import", "q"], "").ok().silent().says("imported 0 messages to 'q'");
}
