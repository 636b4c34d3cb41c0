//! `mq get`: claims messages and hands their bodies over.
//!
//! Invariants: a claim whose body could not be handed over whole is released, not left to run out; nothing is
//! deleted before its body is written (and durable, where it went to a file); a receipt is told only for a body
//! that was written.

use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::envelope::Facts;
use super::frames::{Count, FrameArgs, Unwritten};
use super::schema::SchemaArgs;
use super::streams::{Output, Stdout, create_file, open_descriptor, write_failed};
use super::{Context, Outcome, Usage, VerbArgs, duration, note};
use crate::codec::framing::FramingError;
use crate::codec::{Conversion, Format};
use crate::domain::{Clock as _, Durability, QueueName, Receipt, SystemClock, UnixSeconds, Visibility};
use crate::store::{self, Body, ClaimRequest, Claims, Delivery, Failure, Store};

/// Claim the next message and write its body to stdout
///
/// The message is invisible to other receivers until it is deleted, released, or its visibility timeout passes.
/// The receipt, which `mq delete`, `mq release` and `mq extend` take, goes to stderr as `receipt: ...` unless an
/// option sends it elsewhere.
///
/// With a command after `--`, the command gets the body on its stdin, and the claim lives as long as the command
/// does: status 0 deletes the message, anything else releases it, to be delivered again when the queue's policy says so
/// (retry-delay and the rest); mq ends with the command's status. The command's
/// environment has MQ_SPOOL, MQ_ID, MQ_QUEUE, MQ_RECEIPT, MQ_DELIVERIES, MQ_PRIORITY, MQ_PUT_AT, MQ_TYPE,
/// MQ_REPLY_TO, MQ_GROUP and MQ_ATTR_NAME for each attribute. If mq is killed, the claim goes on for as long as the command, or
/// a process that it left behind, has file descriptor 99 open.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq get jobs --delete                        the next body; the message is gone when it is written
  mq get jobs --wait 30s -- ./handle          one message to a command, deleted if it succeeds
  mq get jobs --receipt-file r > body && ./handle body && mq delete --receipt-file r
  mq get paths --count all --null --delete | xargs -0 ls -ld
  mq get orders --to msgpack --delete         converted on receive
  mq get orders --from protobuf --to json --schema orders.proto --message pkg.Order --delete

Exit status:
   0  a message was delivered, and with --delete or CMD it is finished
   1  nothing was there, also after --wait
  65  the body cannot be converted or framed as asked; the message stays queued
  66  there is no such queue
  75  the queue is paused
 127  CMD is not there (126: it cannot be run); nothing was claimed
      With CMD, any other status is that of CMD; the others are in mq(1).")]
pub(crate) struct GetArgs {
    /// The queue to receive from
    queue: QueueName,

    /// Wait up to DUR for a message if none is there; the queue has to be there (`mq create QUEUE --if-missing`)
    #[arg(short, long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,

    /// How long the claim lasts [default: as the queue's policy says, 30s if it does not]
    #[arg(long, value_name = "DUR", value_parser = duration, conflicts_with_all = ["delete", "command"])]
    visibility: Option<Duration>,

    /// Take up to N messages, or `all` that are there; with more than one, say by a framing option (--lines,
    /// --null, --length-prefixed, --json) how they are told apart
    #[arg(short, long, value_name = "N|all", default_value = "1")]
    count: Count,

    #[command(flatten)]
    frames: FrameArgs,

    /// Write each message as an envelope: one line of JSON with id, queue, receipt, deliveries, put_at,
    /// visible_until, priority, bytes, type, attrs, reply_to, group, unique, and body, or body_base64 if the body is not UTF-8
    #[arg(long, visible_alias = "jsonl", group = "framing")]
    json: bool,

    /// Write receipts to FILE, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "receipt_fd")]
    receipt_file: Option<PathBuf>,

    /// Write receipts to file descriptor N, one a line
    #[arg(long, value_name = "N")]
    receipt_fd: Option<u32>,

    /// Write bodies to FILE instead of stdout; FILE appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Delete each message as soon as its body is wholly written
    #[arg(short, long, conflicts_with_all = ["receipt_file", "receipt_fd"])]
    delete: bool,

    /// Convert bodies to FORMAT, as mq convert does: json, jsonl, msgpack, cbor, yaml, toml, xml, protobuf, grpc, text, raw,
    /// base64 or hex; what does not convert stays queued
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,

    /// Convert nothing that loses anything on the way
    #[arg(long, requires = "to")]
    strict: bool,

    /// What bodies are [default: the message's type, else found out from the first byte]
    #[arg(long, value_name = "FORMAT", requires = "to")]
    from: Option<Format>,

    #[command(flatten)]
    schema: SchemaArgs,

    /// Run CMD with the body on its stdin; delete the message if it ends with status 0, else release it
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["framing", "receipt_file", "receipt_fd", "output", "delete", "count"])]
    command: Vec<OsString>,
}

/// How many messages are claimed at a time; each held one costs a file descriptor.
const AT_ONCE: usize = 128;

/// A converted body up to this size waits in memory until it is known to be whole.
const CONVERTED_IN_MEMORY: usize = 1024 * 1024;

/// Why a body was not handed over.
enum NotEmitted {
    /// The body is at fault, and nothing of it was written.
    Body(anyhow::Error),
    /// The output is at fault, or a body of which a part was written.
    Output(io::Error),
}

impl VerbArgs for GetArgs {
    fn run(mut self, context: &Context) -> Result<Outcome> {
        self.frames.check(self.count != Count::UpTo(1), self.json)?;
        if self.visibility.is_some_and(|visibility| visibility.is_zero()) {
            return Err(Usage("--visibility 0s: the claim would be over at once; mq peek only looks".to_owned()).into());
        }
        if let (Some(from), Some(to)) = (self.from, self.to) {
            self.schema.check(Conversion::new(from, to))?;
        } else if let Some(to) = self.to.filter(|to| to.has_schema()) {
            self.schema.check(Conversion::new(to, to))?;
        }
        self.schema.load()?;
        if let Some(program) = self.command.first() {
            super::run::check_program(program)?;
        }
        if self.command.is_empty() && self.output.is_none() {
            Stdout::check()?;
        }
        let store = context.store()?;
        if self.command.is_empty() { self.receive(&store) } else { self.hand_to_command(&store, context) }
    }
}

impl GetArgs {
    fn request(&self, most: usize) -> ClaimRequest {
        let visibility =
            if self.delete || !self.command.is_empty() { Visibility::Held } else { Visibility::Timed(self.visibility) };
        ClaimRequest { visibility, most }
    }

    /// Claims, and waits for something to claim if that was asked for.
    fn claim(&self, store: &dyn Store, most: usize, may_wait: bool) -> store::Result<Claims> {
        let request = self.request(most);
        let end = self.wait.filter(|_| may_wait).map(|wait| Instant::now() + wait);
        let mut watch = None;
        loop {
            let claimed = store.claim(&self.queue, &request);
            match &claimed {
                Ok(claims) => {
                    claims.notices.iter().for_each(note);
                    if !claims.deliveries.is_empty() {
                        return claimed;
                    }
                }
                Err(store::Error::Paused(_)) => {}
                Err(_) => return claimed,
            }
            let left = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return claimed;
            }
            match &mut watch {
                // Watch first and then look once more: what comes in between is not missed.
                None => watch = Some(store.watch(&self.queue)?),
                Some(watch) => watch.wait(left)?,
            }
        }
    }

    fn receive(&self, store: &dyn Store) -> Result<Outcome> {
        let mut receipts = ReceiptSink::new(self)?;
        let mut output = Output::to(self.output.as_deref())?;
        let durable = self.delete && store.policy(&self.queue)?.durability == Durability::Full;
        let mut left = self.count.most();
        let mut is_first = true;
        // From when on messages may come back that this very command has handed out.
        let mut own_return: Option<UnixSeconds> = None;
        // Kept claimed to the end: given back at once, they would be met again.
        let mut refused: Vec<(Delivery, anyhow::Error)> = Vec::new();
        while left > 0 && refused.len() < AT_ONCE && own_return.is_none_or(|at| !at.is_due(SystemClock.now())) {
            let mut deliveries = self.claim(store, left.min(AT_ONCE), is_first)?.deliveries;
            if deliveries.is_empty() {
                break;
            }
            is_first = false;
            left -= deliveries.len();
            own_return = own_return.or(deliveries[0].visible_until);
            let written = self.emit_all(&mut deliveries, &mut output).and_then(|verdicts| {
                let mut written = Vec::new();
                for (delivery, verdict) in deliveries.drain(..).zip(verdicts) {
                    match verdict {
                        Ok(()) => written.push(delivery),
                        Err(error) => refused.push((delivery, error)),
                    }
                }
                deliveries = written;
                if deliveries.is_empty() {
                    // No file appears, and none is replaced, for want of a body to write.
                    return Ok(());
                }
                output.finish(durable)?;
                self.settle(store, &deliveries, &mut receipts)
            });
            if let Err(error) = written {
                // The reader went away, or the output failed: the messages have no part in that, and go back at once.
                let all = deliveries.iter().chain(refused.iter().map(|(delivery, _)| delivery));
                release(store, all, Some(Duration::ZERO));
                return Err(error);
            }
        }
        Ok(match (is_first, refused.is_empty()) {
            (true, _) => Outcome::Nothing,
            (false, true) => Outcome::Done,
            (false, false) => Outcome::Failed(give_back(store, refused)),
        })
    }

    /// Writes bodies. Says of each whether it could be written; a body that could not leaves nothing in the output.
    /// When the output itself fails, nothing of what was buffered can be trusted to have arrived.
    fn emit_all(&self, deliveries: &mut [Delivery], output: &mut Output) -> Result<Vec<Result<()>>> {
        let mut writer = BufWriter::with_capacity(64 * 1024, &mut *output);
        let mut verdicts = Vec::with_capacity(deliveries.len());
        let mut failure = None;
        for delivery in deliveries {
            match self.emit(delivery, &mut writer) {
                Ok(()) => verdicts.push(Ok(())),
                Err(NotEmitted::Body(error)) => verdicts.push(Err(error)),
                Err(NotEmitted::Output(error)) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let flushed = writer.flush();
        // What could not be written must not be tried again when the buffer goes.
        let (_, _) = writer.into_parts();
        match failure.or(flushed.err()) {
            Some(error) => Err(output.failed(error)),
            None => Ok(verdicts),
        }
    }

    fn emit(&self, delivery: &mut Delivery, to: &mut dyn Write) -> Result<(), NotEmitted> {
        let mut converted = self.convert(delivery).map_err(NotEmitted::Body)?;
        let media_type = converted.as_ref().and(self.to).map(Format::mime_type);
        if self.json {
            let facts = Facts::new(&delivery.message, &self.queue, delivery.deliveries);
            let facts = match (media_type, &converted) {
                (Some(media_type), Some(body)) => facts.converted(media_type, body.len_bytes()),
                _ => facts,
            };
            let body = converted.as_mut().unwrap_or(&mut delivery.body);
            let facts =
                if self.delete { facts } else { facts.claimed(delivery.receipt.to_string(), delivery.visible_until) };
            return facts.write_with_body(body, to).map_err(NotEmitted::Output);
        }
        let body = converted.as_mut().unwrap_or(&mut delivery.body);
        let id = delivery.message.id;
        self.frames.write(body, to).map_err(|error| match error {
            Unwritten::Body(FramingError::Read(error)) | Unwritten::Output(error) => NotEmitted::Output(error),
            Unwritten::Body(error) => {
                NotEmitted::Body(anyhow::Error::from(error).context(format!("message {id} stays queued")))
            }
        })
    }

    /// The body in the format that was asked for, if one was. Whole, or an error: a receiver sees no half of it.
    fn convert(&self, delivery: &mut Delivery) -> Result<Option<Body>> {
        let Some(to) = self.to else { return Ok(None) };
        let id = delivery.message.id;
        let explain = |error: anyhow::Error| error.context(format!("message {id} stays queued"));
        let from = self.source_format(delivery).map_err(explain)?;
        let mut whole = tempfile::SpooledTempFile::new(CONVERTED_IN_MEMORY);
        let mut output = BufWriter::new(&mut whole);
        let mut input = io::BufReader::with_capacity(64 * 1024, &mut delivery.body);
        let conversion =
            Conversion { is_strict: self.strict, schema: self.schema.schema(), ..Conversion::new(from, to) };
        conversion.run(&mut input, &mut output).map_err(|error| explain(error.into()))?;
        output.flush()?;
        drop(output);
        let len_bytes = io::Seek::stream_position(&mut whole)?;
        io::Seek::rewind(&mut whole)?;
        Ok(Some(Body::from_source(Box::new(whole), len_bytes)))
    }

    fn source_format(&self, delivery: &mut Delivery) -> Result<Format> {
        if let Some(from) = self.from {
            return Ok(from);
        }
        if let Some(media_type) = &delivery.message.media_type {
            return Ok(media_type.as_str().parse()?);
        }
        let mut start = Vec::new();
        delivery.body.by_ref().take(Format::START_BYTES).read_to_end(&mut start)?;
        delivery.body.rewind()?;
        Ok(Format::detect(&start, delivery.body.len_bytes())?)
    }

    /// Deletes what was written, or tells its receipts.
    fn settle(&self, store: &dyn Store, emitted: &[Delivery], receipts: &mut ReceiptSink) -> Result<()> {
        if self.delete {
            let receipts: Vec<Receipt> = emitted.iter().map(|delivery| delivery.receipt.clone()).collect();
            return Ok(store.delete(&receipts).into_iter().collect::<store::Result<()>>()?);
        }
        emitted.iter().try_for_each(|delivery| receipts.tell(&delivery.receipt))
    }

    fn hand_to_command(&self, store: &dyn Store, context: &Context) -> Result<Outcome> {
        let mut deliveries = self.claim(store, 1, true)?.deliveries;
        let Some(mut delivery) = deliveries.pop() else { return Ok(Outcome::Nothing) };
        match self.convert(&mut delivery) {
            Ok(converted) => super::run::run(&self.command, delivery, converted, self.to, store, context),
            Err(error) => Ok(Outcome::Failed(give_back(store, vec![(delivery, error)]))),
        }
    }
}

/// Gives claims back whose bodies were not handed over, `delay` as for [`Store::release`]. A failure leaves them to their
/// timeouts.
fn release<'a>(store: &dyn Store, deliveries: impl IntoIterator<Item = &'a Delivery>, delay: Option<Duration>) {
    let receipts: Vec<Receipt> = deliveries.into_iter().map(|delivery| delivery.receipt.clone()).collect();
    let _ = store.release(&receipts, delay);
}

/// Gives messages back whose bodies could not be written as was asked, each with the reason in its delivery log. They have
/// failed, and would fail again: the queue's back-off is for them.
fn give_back(store: &dyn Store, refused: Vec<(Delivery, anyhow::Error)>) -> Vec<anyhow::Error> {
    let note = |(delivery, error): &(Delivery, anyhow::Error)| {
        let reason = store::chain(error.as_ref());
        let failure = Failure { at: SystemClock.now(), delivery: delivery.deliveries, reason };
        // Best effort: the message goes back all the same.
        let _ = store.note_failure(&delivery.receipt, &failure);
    };
    refused.iter().for_each(note);
    release(store, refused.iter().map(|(delivery, _)| delivery), None);
    refused.into_iter().map(|(_, error)| error).collect()
}

/// Where receipts go.
enum ReceiptSink {
    /// Nowhere: they are in the envelopes, or the messages are deleted.
    Nowhere,
    Stderr,
    /// Here, which the user calls so.
    File(std::fs::File, PathBuf),
}

impl ReceiptSink {
    /// Opened before anything is claimed, so that a claim is not wasted on a file that cannot be written.
    fn new(args: &GetArgs) -> Result<Self> {
        Ok(match (&args.receipt_file, args.receipt_fd) {
            (Some(path), _) => Self::File(create_file(path)?, path.clone()),
            (None, Some(number)) => Self::File(open_descriptor(number)?, format!("file descriptor {number}").into()),
            (None, None) if args.json || args.delete => Self::Nowhere,
            (None, None) => Self::Stderr,
        })
    }

    fn tell(&mut self, receipt: &Receipt) -> Result<()> {
        match self {
            Self::Nowhere => {}
            Self::Stderr => writeln!(io::stderr(), "receipt: {receipt}")?,
            Self::File(file, path) => {
                file.write_all(format!("{receipt}\n").as_bytes()).map_err(|error| write_failed(path, error))?;
            }
        }
        Ok(())
    }
}
