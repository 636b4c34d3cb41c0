//! `mq put`: one body, files, texts; what a sender can say of a message.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::support::{Spool, broken_pipe, run, run_onto};

/// Bodies that break programs.
pub(crate) fn nasty_bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        &b""[..],
        b"plain",
        b"\n",
        b"ends with a newline\n",
        b"\0",
        b"a\0b\0",
        b"\xff\xfe\x80",
        b"cut off \xe2\x82",
        b"5:hello,",
        b"{\"body\":\"x\"}",
        b"\"\\ \x08\x0c\x1b \x7f",
        b"\r\n",
        "\u{feff}ä€😀\u{2028}".as_bytes(),
    ]
    .map(<[u8]>::to_vec)
    .into();
    bodies.push((0..=255).collect());
    bodies
}

/// Some megabytes that are neither text nor all alike.
pub(crate) fn large_body() -> Vec<u8> {
    (0..3_u32 * 256 * 1024).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn id_is_well_formed(id: &str) -> bool {
    id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

#[test]
fn i3_a_body_from_stdin_comes_back_byte_for_byte() {
    let spool = Spool::new();
    for body in nasty_bodies() {
        spool.put("q", &body);
        spool.mq(&["get", "q", "--delete"]).ok().quiet().wrote(&body);
    }
    spool.mq(&["get", "q", "--delete"]).nothing();
}

#[test]
fn i3_a_body_of_megabytes_comes_back_byte_for_byte_on_disk_and_in_memory() {
    let body = large_body();
    for spool in [Spool::new(), Spool::on_disk()] {
        spool.put("q", &body);
        spool.mq(&["get", "q", "--delete"]).ok().quiet().wrote(&body);
        assert!(spool.files_in("q", "ready").is_empty());
        spool.assert_no_temporaries("q");
    }
}

#[test]
fn the_first_put_makes_spool_and_queue_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let spool = Spool::on_disk();
    let id = spool.put("q", "x");
    assert!(id_is_well_formed(&id), "{id}");
    for path in [spool.root(), spool.queue_dir("q"), spool.files_in("q", "ready").remove(0)] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", path.display());
    }
}

#[test]
fn stdout_holds_an_id_a_line_and_nothing_else() {
    let spool = Spool::new();
    let ran = spool.mq(&["put", "q", "-m", "a", "-m", "b", "-m", "c"]).ok().quiet();
    let ids = ran.lines();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id_is_well_formed(id)), "{ids:?}");
    let queued: Vec<_> = spool.mq(&["list", "q", "--json"]).ok().jsons();
    let queued: Vec<_> = queued.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(queued, ids);
    assert_eq!(spool.bodies("q"), ["a", "b", "c"]);
}

#[test]
fn a_text_can_be_empty_and_can_begin_with_a_dash() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "-m", "", "-m", "-n", "-m", "--", "--message=--lines"]).ok();
    assert_eq!(spool.bodies("q"), ["", "-n", "--", "--lines"]);
}

#[test]
fn a_text_of_other_bytes_than_utf8_is_put_as_it_is() {
    let spool = Spool::new();
    let mut command = spool.mq_command(&["put", "q", "-m"]);
    command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    run(command, b"").ok();
    spool.mq(&["get", "q", "--delete"]).ok().wrote(b"caf\xe9");
}

#[test]
fn a_text_leaves_stdin_alone_so_a_shell_loop_puts_every_line() {
    let spool = Spool::new();
    spool.file("list", "one\ntwo\nthree\nfour\n");
    let ran = spool.sh("while read -r x; do mq put q -m \"$x\"; done < list").ok().quiet();
    assert_eq!(ran.lines().len(), 4);
    assert_eq!(spool.bodies("q"), ["one", "two", "three", "four"]);
}

#[test]
fn every_file_is_a_message_and_a_dash_is_stdin() {
    let spool = Spool::new();
    spool.file("a", "first\n");
    spool.file("b", "");
    let ran = spool.mq_with(&["put", "q", "a", "-", "b", "a"], "from stdin").ok().quiet();
    assert_eq!(ran.lines().len(), 4);
    assert_eq!(spool.bodies("q"), ["first\n", "from stdin", "", "first\n"]);
}

#[test]
fn i3_files_of_all_sizes_come_back_as_they_are() {
    let spool = Spool::new();
    let sizes = [0, 1, 128 * 1024, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1];
    let names: Vec<String> = sizes.iter().map(|size| format!("file{size}")).collect();
    let large = large_body();
    for (name, size) in names.iter().zip(sizes) {
        spool.file(name, &large[..size]);
    }
    let mut args = vec!["put", "q"];
    args.extend(names.iter().map(String::as_str));
    assert_eq!(spool.mq(&args).ok().lines().len(), sizes.len());
    for size in sizes {
        spool.mq(&["get", "q", "--delete"]).ok().wrote(&large[..size]);
    }
}

#[test]
fn a_file_whose_name_looks_like_an_option_comes_after_two_dashes() {
    let spool = Spool::new();
    spool.file("--lines", "x");
    spool.mq(&["put", "q", "--", "--lines"]).ok();
    assert_eq!(spool.bodies("q"), ["x"]);
}

#[test]
fn i9_a_file_that_is_not_there_is_named_and_what_was_put_before_it_is_counted() {
    let spool = Spool::new();
    spool.file("a", "x");
    let ran = spool.mq(&["put", "q", "a", "missing", "a"]).breaks(74).says("missing").says("No such file");
    assert_eq!(spool.bodies("q"), ["x"], "the file before it is put, the one after it is not");
    assert_eq!(ran.lines().len(), 1, "an id is printed for each message that is there: {ran}");
    ran.says("1 message was put to 'q'");
    spool.mq(&["put", "q", "missing"]).fails(74).says("missing");
    spool.assert_no_temporaries("q");
}

#[test]
fn i9_a_directory_is_no_file() {
    let spool = Spool::new();
    fs::create_dir(spool.path("dir")).unwrap();
    spool.mq(&["put", "q", "dir"]).fails(74).says("dir").says("directory");
    spool.mq(&["put", "q", "--lines", "dir"]).fails(74).says("dir");
    spool.sh("mq put q < dir").fails(74).says("directory");
    assert!(spool.files_in("q", "ready").is_empty());
}

#[test]
fn what_the_sender_says_reaches_the_receiver() {
    let spool = Spool::new();
    let said = [
        "put",
        "q",
        "--type",
        "text/plain; charset=utf-8",
        "--attr",
        "source=cron",
        "-a",
        "empty=",
        "-a",
        "x=1=2",
        "--priority",
        "7",
        "--ttl",
        "1h",
        "--reply-to",
        "answers",
        "-m",
        "hello",
    ];
    let id = spool.mq(&said).ok().text().trim().to_owned();
    let envelope = spool.mq(&["get", "q", "--json"]).ok().quiet().json();
    assert_eq!(envelope["id"], id);
    assert_eq!(envelope["type"], "text/plain; charset=utf-8");
    assert_eq!(envelope["attrs"], serde_json::json!({ "source": "cron", "empty": "", "x": "1=2" }));
    assert_eq!(envelope["priority"], 7);
    assert_eq!(envelope["reply_to"], "answers");
    assert_eq!(envelope["body"], "hello");
    let time = |name: &str| humantime::parse_rfc3339(envelope[name].as_str().unwrap()).unwrap();
    assert_eq!(time("expires_at").duration_since(time("put_at")).unwrap().as_secs(), 3600);
}

#[test]
fn wrong_words_of_the_sender_are_refused_and_the_right_ones_are_named() {
    let spool = Spool::new();
    for (args, words) in [
        (&["--priority", "10"][..], "0 to 9"),
        (&["--priority=-1"], "0 to 9"),
        (&["--delay", "30"], "30s"),
        (&["--ttl", "soon"], "30s"),
        (&["--ttl", "0s"], "--ttl 0s: the message would never be delivered"),
        (
            &["--delay", "2h", "--ttl", "1h"],
            "--delay 2h, ttl 1h: the message would be too old before it is deliverable",
        ),
        (&["--attr", "novalue"], "NAME=VALUE"),
        (&["--attr", "1st=x"], "starting with a letter"),
        (&["--type", ""], "type"),
        (&["--reply-to", "../x"], "queue name"),
        (&["--durability", "some"], "full or none"),
        (&["--lines", "--null"], "--null"),
        (&["--lines", "-m", "x"], "--message"),
        (&["a", "-m", "x"], "--message"),
        (&["--liens"], "--lines"),
    ] {
        let mut all = vec!["put", "q"];
        all.extend_from_slice(args);
        spool.mq(&all).status(2).silent().says(words);
    }
    for name in ["", ".", "..", "a/b", "-q", "ä", "x y", &"x".repeat(81)] {
        spool.mq(&["put", "--", name]).status(2).silent();
    }
    assert!(!spool.root().exists(), "nothing was made");
}

#[test]
fn a_delayed_message_is_not_there_before_its_time() {
    let spool = Spool::new();
    let start = std::time::Instant::now();
    spool.mq(&["put", "q", "--delay", "1s", "-m", "later"]).ok();
    spool.mq(&["put", "q", "--delay", "1h", "-m", "much later"]).ok();
    spool.mq(&["get", "q"]).nothing();
    assert_eq!(spool.count("q", "delayed"), 2);
    spool.mq(&["get", "q", "--wait", "15s", "--delete"]).ok().wrote("later");
    assert!(start.elapsed().as_millis() >= 1000, "it came after {:?}", start.elapsed());
    spool.mq(&["get", "q"]).nothing();
}

#[test]
fn a_message_is_never_delivered_after_its_time_to_live() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--ttl", "1ms", "-m", "old news", "-m", "older"]).ok();
    spool.mq(&["create", "short", "retention=1h"]).ok();
    spool.mq(&["put", "short", "-m", "x", "--delay", "1h"]).fails(2).says("its retention keeps a message for 1h");
    spool.mq(&["put", "q", "-m", "still news"]).ok();
    spool.mq(&["get", "q", "--delete"]).ok().wrote("still news");
    spool.mq(&["get", "q"]).nothing();
    assert!(spool.files_in("q", "ready").is_empty(), "what is too old goes away");
}

#[test]
fn durability_none_is_for_people_who_say_so() {
    let spool = Spool::on_disk();
    spool.mq_with(&["put", "q", "--durability", "none"], "a").ok().quiet();
    spool.mq_with(&["put", "q", "--durability", "none", "--lines"], "b\nc\n").ok().quiet();
    assert_eq!(spool.bodies("q"), ["a", "b", "c"]);
}

#[test]
fn no_create_makes_nothing() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--no-create", "-m", "x"]).fails(66).says("there is no queue 'q'").says("mq create");
    spool.mq_with(&["put", "q", "--no-create", "--lines"], "a\nb\n").fails(66);
    assert!(!spool.root().exists());
    spool.mq(&["create", "q"]).ok();
    spool.mq(&["put", "q", "--no-create", "-m", "x"]).ok();
    assert_eq!(spool.bodies("q"), ["x"]);
}

#[test]
fn i1_messages_are_put_also_when_nobody_reads_their_ids() {
    let spool = Spool::new();
    let ran = run_onto(spool.mq_command(&["put", "q", "-m", "a", "-m", "b"]), broken_pipe()).quiet();
    drop(ran);
    assert_eq!(spool.bodies("q"), ["a", "b"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    run_onto(spool.mq_command(&["put", "q", "-m", "c"]), full).breaks(74).says("standard output");
    assert_eq!(spool.bodies("q"), ["a", "b", "c"]);
}

#[test]
fn what_is_too_large_for_a_header_is_refused_and_what_just_fits_is_kept() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let fits = format!("k={}", "x".repeat(16 * 1024 - 1));
    spool.mq(&["put", "q", "-m", "x", "-a", &fits, "-t", &"t".repeat(127)]).ok();
    spool.mq(&["put", "q", "-m", "x", "-a", &format!("{fits}y")]).fails(2).says("16 KiB");
    spool.mq(&["put", "q", "-m", "x", "-a", &"k=".repeat(50_000)]).fails(2).says("16 KiB");
    // As JSON each of these takes six bytes.
    spool.mq(&["put", "q", "-m", "x", "-a", &format!("k={}", "\u{1}".repeat(16_000))]).fails(2).says("65536");
    spool.mq(&["put", "q", "-m", "x", "-t", &"t".repeat(128)]).status(2).silent().says("127");
    for option in ["--delay", "--ttl"] {
        spool.mq(&["put", "q", "-m", "x", option, "99999999d"]).status(2).silent().says("100 years");
        spool.mq(&["put", "q", "-m", "x", option, "36500d"]).ok();
    }
    let envelope = spool.mq(&["get", "q", "--json", "--visibility", "36500d"]).ok().json();
    assert_eq!(envelope["attrs"]["k"].as_str().unwrap().len(), 16 * 1024 - 1);
    assert_eq!(spool.stat("q")["ready"], 1);
    spool.assert_no_temporaries("q");
}
