//! Every released format version stays readable: a spool that was written by it, received by this program.
//!
//! `tests/golden/spool-N.tar.gz` was written once, by `tests/golden/make.sh`, with a message in every state.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mq::domain::lifecycle::State;
use mq::domain::{Durability, QueueName, Receipt, SystemClock, Visibility};
use mq::store::spool::fs::RealFs;
use mq::store::spool::{Order, Spool};
use mq::store::{ClaimRequest, Delivery, Filter, Listed, Store, Which};

fn golden(version: u32) -> (tempfile::TempDir, Spool) {
    let dir = common::scratch();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/spool-{version}.tar.gz"));
    assert!(common::quiet(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir.path())));
    let spool = Spool::open_with(dir.path().join("spool"), RealFs, SystemClock).unwrap();
    (dir, spool.with_order(Order::RollForward))
}

fn queue(name: &str) -> QueueName {
    name.parse().unwrap()
}

fn take(spool: &Spool, name: &str, most: usize) -> Vec<(Delivery, Vec<u8>)> {
    let claims = spool.claim(&queue(name), &ClaimRequest { visibility: Visibility::Timed(None), most }).unwrap();
    assert_eq!(claims.notices, []);
    let mut taken = Vec::new();
    for mut delivery in claims.deliveries {
        let mut body = Vec::new();
        delivery.body.read_to_end(&mut body).unwrap();
        taken.push((delivery, body));
    }
    taken
}

fn list(spool: &Spool, name: &str) -> Vec<Listed> {
    let mut listed = Vec::new();
    let list = spool.list(&queue(name), &Filter::default(), &mut |message| {
        listed.push(message);
        ControlFlow::Continue(())
    });
    list.unwrap();
    listed
}

#[test]
fn version_1_is_read() {
    let (dir, spool) = golden(1);

    let plain = take(&spool, "plain", 9);
    let bodies: Vec<&[u8]> = plain.iter().map(|(_, body)| body.as_slice()).collect();
    assert_eq!(bodies, [&b"ready, priority 9"[..], b"ready, priority 5", b"\0\x01\xff bytes\n"]);
    let message = &plain[1].0.message;
    assert_eq!(message.media_type.as_ref().unwrap().as_str(), "text/plain");
    let attributes: Vec<_> = message.attributes.iter().collect();
    assert_eq!(attributes, [("note", "ä \"quoted\""), ("source", "golden")]);
    assert_eq!(message.reply_to, Some(queue("answers")));

    let lines: Vec<u64> =
        take(&spool, "lines", 300).iter().map(|(_, body)| String::from_utf8_lossy(body).parse().unwrap()).collect();
    assert_eq!(lines, (1..=300).collect::<Vec<_>>());

    assert!(matches!(list(&spool, "later")[..], [Listed { state: State::Delayed { .. }, deliveries: 0, .. }]));

    let claimed = list(&spool, "claimed");
    assert!(matches!(claimed[..], [Listed { state: State::Claimed { .. }, deliveries: 1, .. }]));
    assert!(claimed[0].message.expires_at.is_some());
    let receipt = std::fs::read_to_string(dir.path().join("claimed.receipt")).unwrap();
    let receipt: Receipt = receipt.trim().parse().unwrap();
    spool.delete(&[receipt]).into_iter().collect::<Result<(), _>>().unwrap();
    assert_eq!(list(&spool, "claimed"), []);

    let mut failures = Vec::new();
    let peek = spool.peek(&queue("logged"), Which::Next(1), &mut |peeked| {
        failures = peeked.listed.failures;
        ControlFlow::Continue(())
    });
    peek.unwrap();
    let reasons: Vec<_> = failures.iter().map(|f| (f.delivery, f.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "exit status: 1"), (2, "exit status: 75")]);

    let policy = spool.policy(&queue("tuned")).unwrap();
    assert_eq!((policy.visibility, policy.max_deliveries), (Duration::from_secs(300), Some(1)));
    assert_eq!((policy.durability, policy.dead_letter.clone()), (Durability::None, Some(queue("graves"))));
    let graves = take(&spool, "graves", 9);
    assert_eq!((graves[0].1.as_slice(), graves[0].0.deliveries), (&b"used up"[..], 2));
    assert_eq!(graves[0].0.message.queue, queue("tuned"));

    // A complete temporary of a dead writer is a message; an incomplete one is not (I7).
    let rolled = take(&spool, "rolled", 9);
    assert_eq!(rolled.len(), 1);
    assert_eq!(rolled[0].1, b"complete, never published");
    let stat = spool.stat(&queue("rolled")).unwrap();
    assert_eq!((stat.temporaries, stat.strays, stat.corrupt), (0, 0, 0));
}
