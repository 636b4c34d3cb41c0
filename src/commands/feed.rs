//! From streams of many messages to puts: gathers what has arrived, and puts it before it gets old.
//!
//! Invariants: what was acknowledged is printed, in input order; a message that has arrived whole is put within
//! [`SILENCE`] of the last byte that came, and within [`OLDEST`] of its own; memory holds one batch at most, and
//! a message larger than [`LARGE_BYTES`] is never held whole.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::envelope::{self, Envelope};
use super::intake::Intake;
use super::progress::Progress;
use super::streams::{Arrival, Input, Stdout, StdoutError, interruption, open_file};
use crate::codec::framing::{Framing, Splitter};
use crate::domain::{Clock as _, MessageId, NewMessage, QueueName, SystemClock, Unique};
use crate::store::{AtomicBatch, Error, Result as Stored, Store, UniquePut, read_full};

/// How long a pipe has to be silent until what has arrived is put.
const SILENCE: Duration = Duration::from_millis(3);

/// How long a message waits at most for others to share its batch, on a pipe that is never silent.
const OLDEST: Duration = Duration::from_millis(50);

/// A batch is put when it has so many messages …
const BATCH_MESSAGES: usize = 1024;

/// … or so many bytes.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// A message longer than this goes through without being gathered.
const LARGE_BYTES: usize = 512 * 1024;

const CHUNK: usize = 64 * 1024;

/// How a stream holds many messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// As bytes between delimiters or behind lengths.
    Bytes(Framing),
    /// As envelopes, one a line.
    Envelopes,
    /// As an export: envelopes of messages that go on to be what they were.
    Exported,
}

/// Puts messages into one queue and prints their ids.
pub(super) struct Feeder<'a> {
    store: &'a dyn Store,
    queue: &'a QueueName,
    create: bool,
    defaults: &'a NewMessage,
    /// What bodies become on their way, if they are not put as they are.
    intake: Option<Intake>,
    /// What the one message that is put is to be the only one of.
    unique: Option<&'a Unique>,
    /// What gathers all of the messages, if they are put as one.
    atomic: Option<Box<dyn AtomicBatch + 'a>>,
    batch: Vec<(NewMessage, Vec<u8>)>,
    batch_bytes: usize,
    /// When the first message of the batch came.
    since: Option<Instant>,
    put: u64,
    /// The messages that are not to be imported, for they are there, and how many they were.
    known: HashSet<MessageId>,
    passed_over: u64,
    /// Who sits and waits, if anybody is to be told how it goes.
    progress: Option<Progress>,
    /// Nobody reads the ids any more; the messages are put all the same.
    stdout: Result<(), StdoutError>,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(store: &'a dyn Store, queue: &'a QueueName, create: bool, defaults: &'a NewMessage) -> Self {
        let (batch, batch_bytes, since) = (Vec::new(), 0, None);
        Self {
            store,
            queue,
            create,
            defaults,
            intake: None,
            unique: None,
            atomic: None,
            batch,
            batch_bytes,
            since,
            put: 0,
            known: HashSet::new(),
            passed_over: 0,
            progress: None,
            stdout: Ok(()),
        }
    }

    /// Converts each body.
    pub(super) fn converting(self, intake: Option<Intake>) -> Self {
        Self { intake, ..self }
    }

    /// Puts nothing where a message of that key is in force.
    pub(super) fn only(self, unique: Option<&'a Unique>) -> Self {
        Self { unique, ..self }
    }

    /// Puts nothing until [`Self::commit`], and then all.
    pub(super) fn into_one(self, atomic: Option<Box<dyn AtomicBatch + 'a>>) -> Self {
        Self { atomic, ..self }
    }

    /// Puts what was gathered to be put as one.
    pub(super) fn commit(&mut self) -> Result<()> {
        if let Some(batch) = self.atomic.take() {
            let ids = batch.commit()?;
            self.print(&ids);
        }
        Ok(())
    }

    /// Imports none of these.
    pub(super) fn knowing(self, known: HashSet<MessageId>) -> Self {
        Self { known, ..self }
    }

    /// Tells of each message that is put.
    pub(super) fn watched(self, progress: Progress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// One message is not imported, for it is there.
    pub(super) fn pass_over(&mut self) {
        self.passed_over += 1;
        self.progress.iter_mut().for_each(|progress| progress.add(0));
    }

    /// How many messages were not imported, for they were there.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// How many messages have been put.
    pub(super) fn put_count(&self) -> u64 {
        self.put
    }

    /// No more is to come: what is said next has its line for itself.
    pub(super) fn end_progress(&mut self) {
        self.progress.iter_mut().for_each(Progress::finish);
    }

    /// Whether all the ids could be printed.
    pub(super) fn finish(self) -> Result<()> {
        Ok(self.stdout?)
    }

    /// Adds a message to the batch, and puts the batch if that makes it full.
    pub(super) fn add(&mut self, mut new: NewMessage, mut body: Vec<u8>) -> Result<()> {
        if let Some(intake) = self.intake {
            let mut converted = intake.convert(&mut new, &mut body.as_slice())?;
            body.clear();
            converted.read_to_end(&mut body).context("cannot read the converted body again")?;
        }
        if let Some(batch) = &mut self.atomic {
            return Ok(batch.add(&new, &mut body.as_slice())?);
        }
        self.batch_bytes += body.len();
        self.batch.push((new, body));
        self.since.get_or_insert_with(Instant::now);
        let is_full = self.batch.len() >= BATCH_MESSAGES || self.batch_bytes >= BATCH_BYTES;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Puts what is gathered.
    pub(super) fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.since = None;
        match batch.as_slice() {
            [] => Ok(()),
            // One alone needs no directory of its own.
            [(new, body)] => self.put_now(new, self.unique, &mut body.as_slice()),
            batch => {
                let mut outcome = self.store.put_batch(self.queue, batch);
                if self.create && matches!(outcome.error, Some(Error::NoSuchQueue { .. })) {
                    super::creating(self.store, self.queue, true, || self.store.policy(self.queue))?;
                    outcome = self.store.put_batch(self.queue, batch);
                }
                self.print(&outcome.ids);
                outcome.error.map_or(Ok(()), |error| Err(error.into()))
            }
        }
    }

    /// Puts one message past the batch. What was gathered goes first, so that the order stays.
    pub(super) fn put_one(&mut self, new: &NewMessage, body: &mut dyn Read) -> Result<()> {
        self.flush()?;
        self.put_converted(new, self.unique, body)
    }

    fn put_converted(&mut self, new: &NewMessage, unique: Option<&Unique>, body: &mut dyn Read) -> Result<()> {
        let Some(intake) = self.intake else { return self.put_now(new, unique, body) };
        let mut new = new.clone();
        let mut converted = intake.convert(&mut new, body)?;
        self.put_now(&new, unique, &mut converted)
    }

    /// Adds what an envelope says. The only one of a key is put by itself.
    fn add_envelope(&mut self, envelope: Envelope) -> Result<()> {
        let Envelope { new, unique, body } = envelope;
        match unique {
            None => self.add(new, body),
            Some(_) if self.atomic.is_some() => {
                let why = "a message of a unique key is put, or not, by itself".to_owned();
                Err(Error::NotInABatch { why }.into())
            }
            Some(unique) => {
                self.flush()?;
                self.put_converted(&new, Some(&unique), &mut body.as_slice())
            }
        }
    }

    fn put_now(&mut self, new: &NewMessage, unique: Option<&Unique>, body: &mut dyn Read) -> Result<()> {
        if let Some(batch) = &mut self.atomic {
            return Ok(batch.add(new, body)?);
        }
        let mut body = Watched { body, is_touched: false };
        let id = match self.put_in_store(new, unique, &mut body) {
            // A missing queue is noticed before the body is touched. One that is dropped later has taken the body
            // along: what a second try would find is not what was sent (I3).
            Err(Error::NoSuchQueue { .. }) if self.create && !body.is_touched => {
                super::creating(self.store, self.queue, true, || self.store.policy(self.queue))?;
                self.put_in_store(new, unique, &mut body)?
            }
            other => other?,
        };
        self.print(&[id]);
        Ok(())
    }

    fn put_in_store(&self, new: &NewMessage, unique: Option<&Unique>, body: &mut dyn Read) -> Stored<MessageId> {
        let Some(unique) = unique else { return self.store.put(self.queue, new, body) };
        let put = self.store.put_unique(self.queue, new, unique, body)?;
        if let UniquePut::Present(id) = put {
            super::note(format_args!("nothing was put: message {id} has the key '{}'", unique.key));
        }
        Ok(put.id())
    }

    fn print(&mut self, ids: &[MessageId]) {
        self.put += ids.len() as u64;
        self.progress.iter_mut().for_each(|progress| progress.add(ids.len() as u64));
        let mut text = String::with_capacity(ids.len() * 37);
        for id in ids {
            text.push_str(&id.to_string());
            text.push('\n');
        }
        if self.stdout.is_ok() {
            self.stdout = Stdout.write_all(text.as_bytes()).map_err(StdoutError);
        }
    }

    /// Puts every message of a stream.
    pub(super) fn feed(&mut self, frames: Frames, input: &mut Input) -> Result<()> {
        let framing = match frames {
            Frames::Bytes(framing) => framing,
            Frames::Envelopes | Frames::Exported => Framing::Lines,
        };
        let mut splitter = Splitter::new(framing);
        let mut number = 0;
        let fed = self.feed_frames(frames, &mut splitter, input, &mut number);
        // What had arrived whole is put, whatever ended the stream.
        let flushed = self.flush();
        fed.and(flushed)
    }

    fn feed_frames(
        &mut self,
        frames: Frames,
        splitter: &mut Splitter,
        input: &mut Input,
        number: &mut u64,
    ) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            while let Some(frame) = splitter.next_frame()? {
                self.add_frame(frames, frame, number)?;
            }
            if splitter.buffered() > LARGE_BYTES && matches!(frames, Frames::Bytes(_)) {
                *number += 1;
                self.flush()?;
                let new = self.defaults;
                self.put_converted(new, self.unique, &mut splitter.stream_frame(input))?;
                continue;
            }
            if self.since.is_some_and(|since| since.elapsed() >= OLDEST) {
                self.flush()?;
            }
            let patience = self.since.is_some().then_some(SILENCE);
            match input.arrive(&mut chunk, patience).context("cannot read the messages")? {
                Arrival::Bytes(n) => splitter.push(&chunk[..n]),
                Arrival::Silence => self.flush()?,
                Arrival::End => break,
            }
        }
        while let Some(frame) = splitter.finish()? {
            self.add_frame(frames, frame, number)?;
        }
        Ok(())
    }

    fn add_frame(&mut self, frames: Frames, frame: Vec<u8>, number: &mut u64) -> Result<()> {
        *number += 1;
        match frames {
            Frames::Bytes(_) => self.add(self.defaults.clone(), frame),
            // An empty line between envelopes is no message.
            Frames::Envelopes | Frames::Exported if frame.trim_ascii().is_empty() => Ok(()),
            Frames::Envelopes => {
                let envelope = envelope::read(&frame, *number, self.defaults)?;
                self.add_envelope(envelope)
            }
            Frames::Exported => {
                let (mut new, body) = envelope::read_exported(&frame, *number)?;
                // What is there, and too old for the queue, would go at once.
                if let Ok(policy) = self.store.policy(self.queue) {
                    new.begin_age(&policy, SystemClock.now());
                }
                let is_there = new.origin.as_ref().is_some_and(|origin| !self.known.insert(origin.id));
                if is_there {
                    self.pass_over();
                    return Ok(());
                }
                self.add(new, body)
            }
        }
    }

    /// Puts each file as a message.
    pub(super) fn feed_files(&mut self, files: &[OsString], input: &mut Input) -> Result<()> {
        let fed = files.iter().try_for_each(|path| {
            input.switch_to(if path == "-" { None } else { Some(open_file(path.as_ref())?) });
            self.feed_whole(self.defaults.clone(), path.as_ref(), input)
        });
        // The files before one that cannot be read are put, however many a batch holds.
        let flushed = self.flush();
        fed.and(flushed)
    }

    /// Puts all of the input, which is the file at `path`, as one message: with others, if it is small.
    pub(super) fn feed_whole(&mut self, new: NewMessage, path: &Path, input: &mut Input) -> Result<()> {
        let mut start = vec![0; LARGE_BYTES];
        let got = read_full(input, &mut start).with_context(|| format!("cannot read {}", path.display()))?;
        start.truncate(got);
        // A batch of small files must not hold the room of large ones.
        start.shrink_to_fit();
        if got < LARGE_BYTES { self.add(new, start) } else { self.put_one(&new, &mut start.as_slice().chain(input)) }
    }
}

/// A body that tells whether somebody has begun to read it.
struct Watched<'a> {
    body: &'a mut dyn Read,
    is_touched: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_touched = true;
        self.body.read(buffer)
    }
}

/// Whether an error only says that a signal came.
pub(super) fn is_interruption(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| interruption(cause).is_some())
}
