//! `mq put --group`: one message of a group at a time, in order, and the other groups go on.

use crate::support::{Spool, run};

#[test]
fn the_next_of_a_group_comes_when_the_first_is_done() {
    let spool = Spool::new();
    for body in ["one", "two"] {
        spool.mq(&["put", "q", "--group", "ann", "-m", body]).ok().quiet();
    }
    spool.mq(&["put", "q", "--group", "bob", "-m", "other"]).ok();
    spool.mq(&["get", "q", "--receipt-file", "receipt"]).ok().wrote("one");
    spool.mq(&["get", "q", "--delete"]).ok().wrote("other");
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["release", "--receipt-file", "receipt"]).ok();
    spool.mq(&["get", "q", "--receipt-file", "receipt"]).ok().wrote("one");
    spool.mq(&["delete", "--receipt-file", "receipt"]).ok();
    spool.mq(&["get", "q", "--delete"]).ok().wrote("two");
}

#[test]
fn a_failing_handler_keeps_its_group_waiting_until_its_message_is_dead() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-deliveries=2"]).ok();
    run(spool.mq_command(&["put", "q", "--group", "g", "--lines"]), b"bad\ngood\n").ok();
    for _ in 0..2 {
        let ran = spool.mq(&["get", "q", "--", "sh", "-c", "cat; exit 3"]);
        assert_eq!(ran.text(), "bad");
    }
    spool.mq(&["get", "q", "--", "cat"]).ok().wrote("good");
    assert_eq!(spool.bodies("q.dead"), ["bad"]);
}

#[test]
fn a_handler_and_an_envelope_know_the_group() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--group", "ann & bob", "-m", "x"]).ok();
    assert_eq!(spool.mq(&["peek", "q", "--json"]).ok().jsons()[0]["group"], "ann & bob");
    spool.mq(&["get", "q", "--", "sh", "-c", "printf %s \"$MQ_GROUP\""]).ok().wrote("ann & bob");
    run(
        spool.mq_command(&["put", "q", "--jsonl"]),
        b"{\"body\":\"a\",\"group\":\"g\"}\n{\"body\":\"b\",\"group\":\"g\"}\n",
    )
    .ok();
    assert_eq!(spool.mq(&["list", "q", "--state", "waiting", "--json"]).ok().jsons()[0]["group"], "g");
    assert_eq!(spool.mq(&["list", "q", "--group", "g", "--json"]).ok().jsons().len(), 2);
    assert_eq!((spool.count("q", "ready"), spool.count("q", "waiting")), (1, 1));
}

#[test]
fn an_export_keeps_groups_and_their_order() {
    let spool = Spool::new();
    run(spool.mq_command(&["put", "q", "--group", "g", "--lines"]), b"1\n2\n3\n").ok();
    let stream = spool.mq(&["export", "q"]).ok().out().to_vec();
    run(spool.mq_command(&["import", "copy"]), &stream).ok();
    // Each is taken, printed and deleted before the next.
    spool.mq(&["get", "copy", "--count", "9", "--lines", "--delete"]).ok().wrote("1\n2\n3\n");
}

#[test]
fn fsck_finds_nothing_wrong_with_groups() {
    let spool = Spool::new();
    for body in ["1", "2"] {
        spool.mq(&["put", "q", "--group", "g", "-m", body]).ok();
    }
    spool.mq(&["put", "q", "--group", "h", "--unique", "k", "-m", "3"]).ok();
    spool.mq(&["fsck"]).ok();
    spool.mq(&["get", "q", "--delete"]).ok();
    spool.mq(&["fsck"]).ok();
}

#[test]
fn what_is_no_group_is_refused() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--group", "", "-m", "x"]).status(2).says("is not a group: 1 to 1024 bytes of text");
    spool.mq(&["put", "q", "--group", "a\nb", "-m", "x"]).status(2).says("is not a group");
}

/// Senders and eight workers at once: no two handlers of one group overlap, and each group is handled in its order.
#[test]
fn workers_handle_each_group_in_order_and_one_at_a_time() {
    let spool = Spool::on_disk();
    spool.mq(&["create", "q"]).ok();
    let handler =
        "mkdir busy.$MQ_GROUP || echo $MQ_GROUP >>overlap; { cat; echo; } >>done.$MQ_GROUP; rmdir busy.$MQ_GROUP";
    let script = format!(
        "for group in a b c d; do
            (for n in $(seq 25); do mq put q --group $group -m $n; done; touch sent.$group) >/dev/null &
        done
        for worker in $(seq 8); do
            (until test -e sent.a -a -e sent.b -a -e sent.c -a -e sent.d && ! mq get q --wait 1s -- sh -c '{handler}'; do
                mq get q --wait 1s -- sh -c '{handler}'
            done) &
        done
        wait"
    );
    spool.sh(&script).ok();
    assert!(!spool.path("overlap").exists(), "{}", String::from_utf8_lossy(&spool.read("overlap")));
    for group in ["a", "b", "c", "d"] {
        let done = String::from_utf8(spool.read(&format!("done.{group}"))).unwrap();
        assert_eq!(done.lines().collect::<Vec<_>>(), (1..=25).map(|n| n.to_string()).collect::<Vec<_>>(), "{group}");
    }
}
