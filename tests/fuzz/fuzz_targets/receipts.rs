//! Receipts: one spelling each, and none that names a path outside its queue.

#![no_main]

use std::path::{Component, Path};

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mq::domain::lifecycle::State;
use mq::domain::{ClaimPlace, MessageId, MessageName, Priority, QueueName, Receipt, Seq, UnixMillis, UnixSeconds};
use mq::fuzzing;

fn check(receipt: &Receipt) {
    assert!(receipt.name.deliveries > 0, "a receipt of a message that was never claimed");
    let state = match receipt.place {
        ClaimPlace::Until(until) => State::Claimed { until },
        ClaimPlace::Held => State::Held,
    };
    let spool = Path::new("/spool");
    let path = fuzzing::path_of(&spool.join(receipt.queue.as_str()), state, &receipt.name);
    let inside = path.strip_prefix(spool).expect("a receipt names a path in the spool");
    assert_eq!(inside.components().count(), 4, "{}", inside.display());
    assert!(inside.components().all(|part| matches!(part, Component::Normal(_))), "{}", inside.display());
}

/// A receipt that could have been handed out.
fn build(u: &mut Unstructured<'_>) -> arbitrary::Result<Option<Receipt>> {
    let place = if bool::arbitrary(u)? { ClaimPlace::Held } else { ClaimPlace::Until(UnixSeconds(u.arbitrary()?)) };
    let name = MessageName {
        seq: Seq(u.arbitrary()?),
        priority: Priority::new(u.int_in_range(0..=9)?).expect("it is in range"),
        id: MessageId::new(UnixMillis(u.arbitrary()?), &u.arbitrary()?),
        deliveries: u.int_in_range(1..=u32::MAX)?,
    };
    Ok(<&str>::arbitrary(u)?.parse::<QueueName>().ok().map(|queue| Receipt { queue, place, name }))
}

fuzz_target!(|data: &[u8]| {
    for text in String::from_utf8_lossy(data).lines() {
        if let Ok(receipt) = text.parse::<Receipt>() {
            assert_eq!(receipt.to_string(), text);
            check(&receipt);
        }
    }
    if let Ok(Some(receipt)) = build(&mut Unstructured::new(data)) {
        check(&receipt);
        let text = receipt.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(text.parse(), Ok(receipt));
        assert!(format!("{text}A").parse::<Receipt>().is_err());
    }
});
