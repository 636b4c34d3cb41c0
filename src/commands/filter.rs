//! The options that say which messages of a queue are meant.

use std::time::Duration;

use clap::Args;

use super::{Usage, duration};
use crate::domain::units::format_duration;
use crate::domain::{Group, Invalid, MediaType, MessageId, QueueName};
use crate::store::{AttributeFilter, Filter, StateName};

/// Which messages: all that is said has to hold, and without any of it all are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which messages")]
pub(super) struct FilterArgs {
    /// The message with this id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<MessageId>,

    /// Those that are ready, delayed, claimed, held or waiting; may be given several times
    #[arg(long, value_name = "STATE")]
    state: Vec<StateName>,

    /// Those that were put longer than DUR ago
    #[arg(long, value_name = "DUR", value_parser = duration)]
    older: Option<Duration>,

    /// Those that were put less than DUR ago
    #[arg(long, value_name = "DUR", value_parser = duration)]
    newer: Option<Duration>,

    /// Those with this attribute, or with this value of it; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]")]
    attr: Vec<AttributeFilter>,

    /// Those of this type
    #[arg(long = "type", value_name = "TYPE")]
    media_type: Option<MediaType>,

    /// Those that were put to QUEUE first: of dead letters, those that came from there
    #[arg(long, value_name = "QUEUE")]
    put_to: Option<QueueName>,

    /// Those of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<Group>,

    /// Those that were delivered N times or more
    #[arg(long, value_name = "N", value_parser = parse_deliveries)]
    deliveries: Option<u32>,

    /// Those whose last delivery failed for a reason with TEXT in it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

fn parse_deliveries(text: &str) -> Result<u32, Invalid> {
    text.parse().map_err(|_| Invalid::new(text, "a number of deliveries, such as 3"))
}

impl FilterArgs {
    /// Whether messages are meant by their state.
    pub(super) fn names_states(&self) -> bool {
        !self.state.is_empty()
    }

    /// What no message can be is a mistake, and not a filter that finds nothing.
    pub(super) fn into_filter(self) -> Result<Filter, Usage> {
        if let (Some(older), Some(newer)) = (self.older, self.newer)
            && older >= newer
        {
            let (older, newer) = (format_duration(older), format_duration(newer));
            let why = "no message is both; the age of --older has to be the shorter one";
            return Err(Usage(format!("--older {older} --newer {newer}: {why}")));
        }
        Ok(Filter {
            ids: self.id,
            states: self.state,
            older: self.older,
            newer: self.newer,
            attributes: self.attr,
            media_type: self.media_type,
            put_to: self.put_to,
            group: self.group,
            deliveries: self.deliveries,
            reason: self.reason,
        })
    }
}
