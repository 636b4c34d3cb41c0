//! `mq put`: bytes in, ids out.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::feed::{Feeder, Frames, is_interruption};
use super::intake::Intake;
use super::streams::{Input, open_file};
use super::{Context, Outcome, Usage, VerbArgs, check_times, creating, duration, note};
use crate::codec::Format;
use crate::codec::framing::Framing;
use crate::domain::units::counted;
use crate::domain::{Attributes, Durability, Group, MediaType, NewMessage, Priority, QueueName, Unique, UniqueKey};
use crate::store::Store as _;

/// Add messages to a queue
///
/// Without FILE or --message, all of stdin becomes the body of one message, whatever its bytes and however long
/// it is. Prints the id of each message, one a line, in the order of the input. With durability `full` (the
/// default) a message whose id was printed survives kill -9 and power loss.
///
/// The queue is made if it does not exist.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  date | mq put jobs                                one message from stdin
  mq put jobs -m 'rebuild' -m 'restart'             two messages, stdin is not touched
  mq put uploads --type image/png cat.png dog.png   one message per file
  find / -xdev -print0 | mq put paths --null        one message per path
  tail -f app.log | mq put log --lines              each line as it comes
  mq put jobs --unique nightly -m 'report'          only if none of that key is queued or claimed
  produce | mq put jobs --lines --wait 1h           wait while the queue is full (max-messages, max-bytes)
  mq put jobs --lines --batch atomic < plan         all of the lines, or none
  mq put orders --store-as msgpack order.json       not as it is, but as MessagePack
  mq put jobs --group ann -m 'resize cat.png'       after all that was put before in the group")]
pub(crate) struct PutArgs {
    /// The queue to put to
    queue: QueueName,

    /// Put the bytes of FILE as a message, or, with a framing option, every message in FILE; `-` is stdin
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<OsString>,

    /// Put TEXT as a message; can be given several times; stdin is not read, so it is safe inside `while read`
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "files")]
    message: Vec<OsString>,

    /// Each line is a message, without its newline
    #[arg(long, group = "framing", conflicts_with = "message")]
    lines: bool,

    /// Each run of bytes that a NUL byte ends is a message, without the NUL: for find -print0
    #[arg(short = '0', long, group = "framing", conflicts_with = "message")]
    null: bool,

    /// Each netstring (`5:hello,`) is a message: any bytes, any length
    #[arg(long, group = "framing", conflicts_with = "message")]
    length_prefixed: bool,

    /// Each line is an envelope in JSON, as `get --json` writes them: body or body_base64, and optionally type,
    /// attrs, priority, delay, ttl, group, reply_to, unique and unique_for. What only a receiver knows, such as id or
    /// deliveries, is passed over; any other member is refused
    #[arg(long, group = "framing", conflicts_with = "message")]
    jsonl: bool,

    /// What the body is: a MIME type or a short name, such as json
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    media_type: Option<MediaType>,

    /// Convert the body to FORMAT, as mq convert does, and put that; its type says so. One that does not convert is not put,
    /// and the status is 65
    #[arg(long, value_name = "FORMAT")]
    store_as: Option<Format>,

    /// What the body is before [default: what --type says, else found out from its first bytes: json, msgpack or cbor]
    #[arg(long, value_name = "FORMAT", requires = "store_as")]
    from: Option<Format>,

    /// Convert nothing that loses anything on the way
    #[arg(long, requires = "store_as")]
    strict: bool,

    /// Attach an attribute, which receivers see beside the body; can be given several times
    #[arg(short, long = "attr", value_name = "NAME=VALUE")]
    attributes: Vec<String>,

    /// Not deliverable before DUR from now [default: as the queue's policy says]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    delay: Option<Duration>,

    /// 0 to 9; higher ones are delivered first
    #[arg(short, long, value_name = "N", default_value_t)]
    priority: Priority,

    /// Never delivered once DUR from now has passed: the message is deleted, or parked as a dead letter, as the policy says
    #[arg(long, value_name = "DUR", value_parser = duration)]
    ttl: Option<Duration>,

    /// Of a GROUP one message at a time is delivered, in the order of the puts: the next one when this one has been deleted
    /// or is dead. Priorities say only which group is first
    #[arg(long, value_name = "GROUP")]
    group: Option<Group>,

    /// Put the message only if no other of this KEY is in the queue, waiting or claimed; else print the id of that one,
    /// and say so on stderr. For one message only. A dead letter has its key no more until it is redriven
    #[arg(long, value_name = "KEY", conflicts_with_all = ["lines", "null", "length_prefixed", "jsonl"])]
    unique: Option<UniqueKey>,

    /// The key is taken for DUR from the put on, rounded up to the second, instead: also when the message has been deleted, and no longer when it
    /// still waits. Not longer than the queue's retention
    #[arg(long, value_name = "DUR", value_parser = duration, requires = "unique")]
    unique_for: Option<Duration>,

    /// The queue that an answer should be put to
    #[arg(long, value_name = "QUEUE")]
    reply_to: Option<QueueName>,

    /// What a printed id promises: full (survives power loss) or none [default: as the queue's policy says]
    #[arg(long, value_name = "full|none")]
    durability: Option<Durability>,

    /// Put all messages of the input as one, up to 65,536 of one priority: they appear together, at its end, or none does,
    /// whatever happens (but for a power cut in that moment on a bare file system, see mq-reliability(7))
    #[arg(long, value_name = "atomic", conflicts_with_all = ["unique", "group", "delay"])]
    batch: Option<Batch>,

    /// Wait up to DUR for room where the queue, or the disk, is full, instead of failing with status 75
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,

    /// Fail if the queue does not exist, instead of making it
    #[arg(long)]
    no_create: bool,
}

/// How many messages are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Batch {
    /// All of them or none
    Atomic,
}

impl PutArgs {
    fn frames(&self) -> Option<Frames> {
        match (self.lines, self.null, self.length_prefixed, self.jsonl) {
            (true, ..) => Some(Frames::Bytes(Framing::Lines)),
            (_, true, ..) => Some(Frames::Bytes(Framing::Null)),
            (_, _, true, _) => Some(Frames::Bytes(Framing::LengthPrefixed)),
            (_, _, _, true) => Some(Frames::Envelopes),
            _ => None,
        }
    }

    fn new_message(&self) -> Result<NewMessage> {
        let mut attributes = Attributes::default();
        for pair in &self.attributes {
            attributes.insert_pair(pair)?;
        }
        let new = NewMessage {
            priority: self.priority,
            delay: self.delay,
            ttl: self.ttl,
            media_type: self.media_type.clone(),
            attributes,
            reply_to: self.reply_to.clone(),
            group: self.group.clone(),
            durability: self.durability,
            wait: self.wait.unwrap_or_default(),
            origin: None,
        };
        check_times(&new).map_err(|why| Usage(format!("--{why}")))?;
        Ok(new)
    }

    fn intake(&self) -> Option<Intake> {
        let Self { from, strict: is_strict, .. } = *self;
        self.store_as.map(|store_as| Intake { from, store_as, is_strict })
    }

    fn unique(&self) -> Result<Option<Unique>> {
        let Some(key) = self.unique.clone() else { return Ok(None) };
        if self.files.len() + self.message.len() > 1 {
            return Err(Usage(format!("--unique {key}: there is one message of a key, and several were given")).into());
        }
        if self.unique_for.is_some_and(|window| window.is_zero()) {
            return Err(Usage("--unique-for 0s: the key would never be taken".to_owned()).into());
        }
        Ok(Some(Unique { key, window: self.unique_for }))
    }

    fn put(&self, feeder: &mut Feeder<'_>, new: &NewMessage) -> Result<()> {
        if !self.message.is_empty() {
            for text in &self.message {
                feeder.add(new.clone(), text.clone().into_vec())?;
            }
            return feeder.flush();
        }
        let mut input = Input::stdin()?;
        if self.files.is_empty() || self.files.iter().any(|file| file == "-") {
            Input::check()?;
        }
        if self.files.iter().all(|file| file == "-") && std::io::stdin().is_terminal() {
            note("reading from the terminal; end with Ctrl-D");
        }
        match self.frames() {
            None if self.files.is_empty() => feeder.put_one(new, &mut input),
            None => feeder.feed_files(&self.files, &mut input),
            Some(frames) if self.files.is_empty() => feeder.feed(frames, &mut input),
            Some(frames) => {
                for path in &self.files {
                    input.switch_to(if path == "-" { None } else { Some(open_file(path.as_ref())?) });
                    feeder.feed(frames, &mut input)?;
                }
                Ok(())
            }
        }
    }

    /// What the messages are called in a count of them.
    fn unit(&self) -> &'static str {
        if self.lines { "line" } else { "message" }
    }
}

impl VerbArgs for PutArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let new = self.new_message()?;
        let unique = self.unique()?;
        let store = context.store()?;
        let atomic = match self.batch {
            Some(Batch::Atomic) => {
                Some(creating(&store, &self.queue, !self.no_create, || store.begin_atomic(&self.queue))?)
            }
            None => None,
        };
        let feeder = Feeder::new(&store, &self.queue, !self.no_create, &new).converting(self.intake());
        let mut feeder = feeder.only(unique.as_ref()).into_one(atomic);
        let put = self.put(&mut feeder, &new).and_then(|()| feeder.commit());
        let count = feeder.put_count();
        if let Err(error) = &put {
            let many = self.frames().is_some() || self.files.len() > 1 || self.message.len() > 1;
            if self.batch.is_some() {
                note(format_args!("nothing was put to '{}', since it is all of the batch or none:", self.queue));
            } else if count == 0 && (many || is_interruption(error)) {
                note(format_args!("nothing was put to '{}':", self.queue));
            } else if many || is_interruption(error) {
                let verb = if count == 1 { "was" } else { "were" };
                note(format_args!("{} {verb} put to '{}' before this:", counted(count, self.unit()), self.queue));
            }
        }
        put?;
        if let Err(error) = feeder.finish() {
            let (verb, ids) = if count == 1 { ("was", "its id") } else { ("were", "some ids") };
            let put = counted(count, "message");
            let told = format!("{put} {verb} put to '{}', but {ids} could not be written", self.queue);
            return Err(error.context(told));
        }
        Ok(Outcome::Done)
    }
}
