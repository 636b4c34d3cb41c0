//! Policies: as a file and as settings. One that is taken survives being written and read, and works for its queue.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq::domain::{MessageId, MessageName, Policy, Priority, QueueName, Seq, UnixMillis, units};

fn check(policy: &Policy) {
    let name: QueueName = "jobs".parse().expect("it is a name");
    let text = serde_json::to_vec_pretty(policy).expect("a policy can be written");
    let again: Policy = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, *policy);
    let durations = [policy.visibility, policy.delay, policy.retry_delay, policy.retry_max];
    assert!(durations.into_iter().chain(policy.retention).all(|d| d <= units::LONGEST));
    if policy.check_for(&name).is_err() {
        return;
    }
    assert_ne!(policy.max_deliveries, Some(0));
    let failed = MessageName {
        seq: Seq(0),
        priority: Priority::default(),
        id: MessageId::new(UnixMillis(0), &[0; 10]),
        deliveries: u32::MAX,
    };
    assert!(policy.delay_of_release(&failed, None) <= policy.retry_max);
    if policy.max_deliveries.is_some() {
        assert_ne!(policy.dead_letter_queue(&name).expect("it was checked"), name);
    }
    // The settings of a policy that is right make the same policy again.
    let mut rebuilt = Policy { paused: policy.paused, ..Policy::default() };
    let none = || "none".to_owned();
    for setting in [
        format!("visibility={}", units::format_duration(policy.visibility)),
        format!("max-deliveries={}", policy.max_deliveries.map_or_else(none, |most| most.to_string())),
        format!("dead-letter={}", policy.dead_letter.as_ref().map_or_else(none, ToString::to_string)),
        format!("delay={}", units::format_duration(policy.delay)),
        format!("retention={}", policy.retention.map_or_else(none, units::format_duration)),
        format!("durability={}", policy.durability),
        format!("retry-delay={}", units::format_duration(policy.retry_delay)),
        format!("retry-factor={}", policy.retry_factor),
        format!("retry-max={}", units::format_duration(policy.retry_max)),
        format!("retry-jitter={}", policy.retry_jitter),
    ] {
        rebuilt.apply(&setting).expect("a setting of a policy that is right");
    }
    // A queue may have this name; in a setting the word takes the dead-letter queue away.
    let is_called_none = policy.dead_letter.as_ref().is_some_and(|name| name.as_str() == "none");
    assert!(rebuilt == *policy || is_called_none, "{rebuilt:?} instead of {policy:?}");
}

fuzz_target!(|data: &[u8]| {
    if let Ok(policy) = serde_json::from_slice::<Policy>(data) {
        check(&policy);
    }
    let mut policy = Policy::default();
    for setting in String::from_utf8_lossy(data).lines() {
        let before = policy.clone();
        match policy.apply(setting) {
            Ok(()) => check(&policy),
            Err(_) => assert_eq!(policy, before),
        }
    }
});
