//! `stat --json`: one line for each queue. Keys are added, and never change what they mean.

use serde_json::{Map, Value, json};

use super::flow::{Flow, Flows};
use super::words::row_label;
use super::{Look, Looks};
use crate::domain::UnixMillis;
use crate::store::{AGE_LIMITS_S, StateName};

/// A line for each queue; with `flows`, of a watch.
pub(super) fn lines(looks: &Looks, flows: Option<&Flows>) -> String {
    let mut text = String::new();
    for look in &looks.counted {
        let mut line = of_queue(look, looks.now);
        if let Some(flows) = flows {
            line.insert("at".to_owned(), json!(looks.now.to_rfc3339()));
            line.insert("flow".to_owned(), flows.of(&look.queue).map_or(Value::Null, of_flow));
        }
        text += &Value::Object(line).to_string();
        text.push('\n');
    }
    text
}

fn age_ms(put_at: UnixMillis, now: UnixMillis) -> u64 {
    u64::try_from(put_at.age_at(now).as_millis()).unwrap_or(u64::MAX)
}

fn of_flow(flow: Flow) -> Value {
    json!({
        "over_ms": u64::try_from(flow.over.as_millis()).unwrap_or(u64::MAX),
        "in": flow.came_in,
        "out": flow.went_out,
        "in_per_s": flow.in_per_s(),
        "out_per_s": flow.out_per_s(),
    })
}

fn of_queue(look: &Look, now: UnixMillis) -> Map<String, Value> {
    let stat = &look.stat;
    let rows: Vec<_> = stat
        .shape
        .iter()
        .enumerate()
        .map(|(row, counts)| json!({ "deliveries": row_label(row), "by_age": counts }))
        .collect();
    let mut by_state = Map::new();
    let mut line = Map::new();
    for state in StateName::ALL {
        let in_state = stat.of(state);
        line.insert(state.to_string(), json!(in_state.messages));
        by_state.insert(
            state.to_string(),
            json!({
                "messages": in_state.messages,
                "oldest_put_at": in_state.oldest.map(UnixMillis::to_rfc3339),
                "oldest_age_ms": in_state.oldest.map(|oldest| age_ms(oldest, now)),
                "by_age": in_state.by_age,
            }),
        );
    }
    let facts = json!({
        "queue": look.queue,
        "corrupt": stat.corrupt,
        "temporaries": stat.temporaries,
        "archived": stat.archived,
        "bytes": stat.bytes,
        "oldest_put_at": stat.oldest.map(UnixMillis::to_rfc3339),
        "oldest_age_ms": stat.oldest.map(|oldest| age_ms(oldest, now)),
        "strays": stat.strays,
        // Names of files are bytes; JSON has none.
        "stray_examples": stat.stray_examples.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "policy": stat.policy,
        "age_limits_s": AGE_LIMITS_S,
        "by_state": by_state,
        "shape": rows,
    });
    if let Value::Object(facts) = facts {
        line.extend(facts);
    }
    line
}
