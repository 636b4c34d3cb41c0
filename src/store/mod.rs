//! The contract of an engine: [`Store`], every method a promise, and the errors that all engines speak.
//!
//! Two engines keep it: [`spool`], the directory, and [`memory`], the reference model that says what is
//! right in the fewest lines. One conformance suite runs over both.

use std::fmt;
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::lifecycle::{self, Facts, State};
use crate::domain::queue::PolicyError;
use crate::domain::{
    Attributes, Group, MediaType, MessageId, NewMessage, Origin, Policy, Priority, QueueName, Receipt, Unique,
    UniqueKey, UnixMillis, UnixSeconds, Visibility,
};

mod archive;
mod edit;
mod error;
mod filter;
pub mod memory;
pub mod spool;
mod stat;

pub use crate::domain::Failure;
pub use archive::Archived;
pub use edit::{Rewrite, Uneditable};
pub(crate) use error::{At, chain};
pub use error::{Error, Result};
pub(crate) use filter::last_reason;
pub use filter::{AttributeFilter, Filter, StateName};
pub use stat::{AGE_LIMITS_S, Ages, DELIVERY_LIMITS, InState, Numbers, Stat};

/// A message as it was put: all that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The queue that it was put to (a dead letter remembers where it comes from).
    pub queue: QueueName,
    /// When it was put.
    pub put_at: UnixMillis,
    /// Its priority.
    pub priority: Priority,
    /// The length of its body.
    pub len_bytes: u64,
    /// What the body is.
    pub media_type: Option<MediaType>,
    /// The sender's own facts.
    pub attributes: Attributes,
    /// The queue that an answer should be put to.
    pub reply_to: Option<QueueName>,
    /// Not deliverable before this second.
    pub due: Option<UnixSeconds>,
    /// Not deliverable from this instant on.
    pub expires_at: Option<UnixMillis>,
    /// What it is handled in order with.
    pub group: Option<Group>,
    /// The key that it is the only message of.
    pub unique: Option<UniqueKey>,
    /// When another message of that key may be put, if that has nothing to do with this one's fate.
    pub unique_until: Option<UnixSeconds>,
}

impl Message {
    /// The message that `new` becomes when it is put to `queue` at `now`, with the id `fresh` if it has none, and the state
    /// that it begins in. `delay` is for a sender who does not say. The length of the body is still to be told.
    pub(crate) fn of(
        new: &NewMessage,
        queue: &QueueName,
        fresh: impl FnOnce() -> MessageId,
        delay: Duration,
        now: UnixMillis,
    ) -> (Self, State) {
        let origin = new.origin.as_deref();
        let state = match origin {
            Some(Origin { due: Some(due), .. }) if !due.is_due(now) => State::Delayed { due: *due },
            Some(_) => State::Ready,
            None => lifecycle::first_state(new.delay.unwrap_or(delay), now),
        };
        let message = Self {
            id: origin.map_or_else(fresh, |origin| origin.id),
            queue: origin.map_or(queue, |origin| &origin.queue).clone(),
            put_at: origin.map_or(now, |origin| origin.put_at),
            priority: new.priority,
            len_bytes: 0,
            media_type: new.media_type.clone(),
            attributes: new.attributes.clone(),
            reply_to: new.reply_to.clone(),
            due: if let State::Delayed { due } = state { Some(due) } else { None },
            expires_at: origin.map_or_else(|| new.ttl.map(|ttl| now.plus(ttl)), |origin| origin.expires_at),
            group: new.group.clone(),
            unique: None,
            unique_until: None,
        };
        (message, state)
    }

    /// What the life cycle needs to know of a message whose delivery log says this: with its log its age can begin anew.
    pub(crate) fn facts(&self, deliveries: u32, log: &[Failure]) -> Facts {
        Failure::age_of(log, Facts { deliveries, put_at: self.put_at, expires_at: self.expires_at })
    }
}

/// The bytes of a body that has been checked whole.
pub struct Body {
    source: Box<dyn ReadSeek>,
    len_bytes: u64,
}

/// Something that can be read, and read again.
pub trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Body {
    /// A body in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let len_bytes = bytes.len() as u64;
        Self { source: Box::new(io::Cursor::new(bytes)), len_bytes }
    }

    /// A body that is read from `source`, which gives exactly `len_bytes`.
    pub(crate) fn from_source(source: Box<dyn ReadSeek>, len_bytes: u64) -> Self {
        Self { source, len_bytes }
    }

    /// How many bytes there are.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Back to the first byte.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.source.rewind()
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }
}

/// Fills `buffer` as far as the source goes; less than all of it means that the source has ended.
pub(crate) fn read_full(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len_bytes)
    }
}

/// What keeps a held claim alive: the claim ends when the last copy of it is gone, however it goes.
pub trait Hold {
    /// The descriptor to hand on to a command, where the engine has one: the claim then lives as long as
    /// either of the two.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Lets go, for all who have a copy: the claim has been ended by other means, and a process that a command left
    /// behind must not keep others from claiming the message.
    fn let_go(&mut self);

    /// An open file that stands at the body's first byte and ends with its last, if there is one: a command
    /// can have it as its standard input, and needs nobody who feeds it.
    fn body_file(&self) -> io::Result<Option<std::fs::File>>;
}

/// One claimed message.
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Its body, checked.
    pub body: Body,
    /// How many times it has been claimed, this one included.
    pub deliveries: u32,
    /// The token of this claim.
    pub receipt: Receipt,
    /// When a timed claim ends.
    pub visible_until: Option<UnixSeconds>,
    /// What keeps a held claim alive.
    pub hold: Option<Box<dyn Hold>>,
}

/// What a receiver asks for.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest {
    /// How long the claims are to last.
    pub visibility: Visibility,
    /// At most so many messages.
    pub most: usize,
}

/// What a receiver gets, and what was noticed on the way.
#[derive(Default)]
pub struct Claims {
    /// The claimed messages, in order; empty when nothing is deliverable.
    pub deliveries: Vec<Delivery>,
    /// What somebody should know although nothing failed.
    pub notices: Vec<Notice>,
}

/// Something noticed in passing that a person should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A message whose bytes are not what was put: set aside, never delivered.
    Quarantined {
        /// Where it lies now.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Fewer messages were claimed than there are.
    Stopped {
        /// Why no more.
        why: String,
    },
    /// A message that cannot be had keeps no other.
    PassedOver {
        /// What is wrong with the first of them.
        why: String,
    },
    /// A message that could not be moved to the dead-letter queue: it stays where it is.
    NotBuried {
        /// The message.
        id: MessageId,
        /// What went wrong.
        why: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quarantined { path, why } => {
                write!(f, "a damaged message was set aside, not delivered: {} ({why})", path.display())
            }
            Self::Stopped { why } => write!(f, "not all that was asked for could be claimed at once: {why}"),
            Self::PassedOver { why } => write!(f, "a message was passed over: {why}"),
            Self::NotBuried { id, why } => {
                write!(f, "message {id} has used up its deliveries, but cannot go to the dead letters: {why}")
            }
        }
    }
}

/// What became of a put that had to be the only one of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniquePut {
    /// The message is put.
    New(MessageId),
    /// Nothing was put, for this message was there before: what was promised for it is promised again.
    Present(MessageId),
}

impl UniquePut {
    /// The one message of the key.
    pub fn id(self) -> MessageId {
        match self {
            Self::New(id) | Self::Present(id) => id,
        }
    }
}

/// What became of a batch: the first `ids.len()` messages are put for good, the rest is not.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    /// The ids of the messages that were put, in input order.
    pub ids: Vec<MessageId>,
    /// Why the rest was not.
    pub error: Option<Error>,
}

/// Messages that are put as one. Until [`AtomicBatch::commit`] nothing is put; dropped before, nothing ever is.
pub trait AtomicBatch {
    /// Adds a message behind the others. After an error there is nothing to do but to drop the batch.
    ///
    /// Errors: [`Error::NotInABatch`]: one of a group, a delayed one, one of another priority than the first, more than
    /// 65,536; [`Error::TooLarge`]; [`Error::Body`].
    fn add(&mut self, new: &NewMessage, body: &mut dyn Read) -> Result<()>;

    /// Puts all of them, with the promise of [`Store::put`], and the strongest durability that any of them was given; their
    /// ids, in order. With an error none is put (but that, as with any put whose last sync failed, all may be there).
    fn commit(self: Box<Self>) -> Result<Vec<MessageId>>;
}

/// A message as it stands in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The message.
    pub message: Message,
    /// Where it is in its life.
    pub state: State,
    /// How many times it has been claimed.
    pub deliveries: u32,
    /// Why earlier deliveries failed, the last one last.
    pub failures: Vec<Failure>,
    /// Why its file could not be read, if it could not: then all that is not in its name is left empty.
    pub unread: Option<String>,
}

/// Which message to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The deliverable ones, in the order in which they would be delivered, at most so many.
    Next(usize),
    /// This one, in whatever state.
    Id(MessageId),
    /// All of them, in whatever state: what is claimed, what is held back, and what is deliverable in its order. One that
    /// moves meanwhile is shown once.
    All,
}

/// Who hears of each message that a purge or a move has done with, and can break it off.
pub type AfterEach<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// Sleeps until something may have become deliverable.
pub trait Watch {
    /// Returns when a message was put or came back, when one becomes due, or after `at_most`; sometimes
    /// for nothing.
    fn wait(&mut self, at_most: Duration) -> Result<()>;
}

/// An engine: keeps queues of messages, and is used by many processes at once.
///
/// Every method is atomic against every other, in this process or another, and against the death of its
/// caller: each message is before or after a transition of [`crate::domain::lifecycle`], never between.
pub trait Store {
    /// Makes a queue. `mode` overrides the permissions it would get.
    ///
    /// Errors: [`Error::QueueExists`], [`Error::Policy`].
    fn create_queue(&self, queue: &QueueName, policy: &Policy, mode: Option<u32>) -> Result<()>;

    /// The queue's policy.
    fn policy(&self, queue: &QueueName) -> Result<Policy>;

    /// Changes the policy; two changes at once both take effect. Returns the new one.
    fn change_policy(
        &self,
        queue: &QueueName,
        change: &mut dyn FnMut(&mut Policy) -> Result<(), PolicyError>,
    ) -> Result<Policy>;

    /// Removes a queue, with its messages if `force`. Returns how many messages went with it.
    ///
    /// Errors: [`Error::QueueNotEmpty`] unless `force`.
    fn drop_queue(&self, queue: &QueueName, force: bool) -> Result<u64>;

    /// The names of all queues, sorted.
    fn queues(&self) -> Result<Vec<QueueName>>;

    /// Puts one message, its body read to the end. When this returns the message is durable as its
    /// queue's policy or the message itself says (I1); when it fails there is no message and no litter (I9).
    ///
    /// One of a group waits while an earlier one of that group is in the queue, in whatever state: of a group one message
    /// at a time is deliverable or claimed, in the order of their puts, whatever their priorities (I8). A message that has
    /// left the queue (deleted, moved, too old, dead, set aside) holds up nobody; in a dead-letter queue the dead wait for
    /// nobody.
    fn put(&self, queue: &QueueName, new: &NewMessage, body: &mut dyn Read) -> Result<MessageId>;

    /// Puts one message as [`Store::put`] does, unless another one of its key is in force in the queue: of many who put
    /// with the same key at once, one puts, and all get the same id. A key is in force while its message is queued or
    /// claimed and not too old, or until its window has passed.
    ///
    /// Errors: [`Error::UniqueForTooLong`], [`Error::DelayTooLong`].
    fn put_unique(
        &self,
        queue: &QueueName,
        new: &NewMessage,
        unique: &Unique,
        body: &mut dyn Read,
    ) -> Result<UniquePut>;

    /// Begins to gather messages that are put as one: all of them or none. See [`AtomicBatch`].
    fn begin_atomic<'a>(&'a self, queue: &QueueName) -> Result<Box<dyn AtomicBatch + 'a>>;

    /// Puts many messages in one go: the same promise as [`Store::put`] for those whose ids come back.
    fn put_batch(&self, queue: &QueueName, batch: &[(NewMessage, Vec<u8>)]) -> BatchOutcome;

    /// Claims deliverable messages: those of the highest priority first, then in the order of their puts (I8). Messages of a
    /// group are claimed one at a time.
    /// No other claim on them lives (I2), and their bodies are what was put (I3).
    ///
    /// Errors: [`Error::Paused`].
    fn claim(&self, queue: &QueueName, request: &ClaimRequest) -> Result<Claims>;

    /// Starts to watch for deliverable messages. One that is put after this returned ends a wait.
    fn watch<'a>(&'a self, queue: &QueueName) -> Result<Box<dyn Watch + 'a>>;

    /// Finishes claims for good, one result per receipt. A receipt works until its message has been
    /// delivered again, even when the claim has ended; after that it is [`Error::StaleReceipt`] and
    /// changes nothing (I5). With durability `full` a deleted message never comes back (I4): where the policy has an
    /// `archive` it is kept there for a while, best effort, and is no message of the queue any more.
    fn delete(&self, receipts: &[Receipt]) -> Vec<Result<()>>;

    /// Gives claims back, deliverable after `delay`; when it is not said, after what the queue's policy says for the delivery.
    /// Receipts as for [`Store::delete`].
    ///
    /// Errors: [`Error::DelayTooLong`], and the claim goes on.
    fn release(&self, receipts: &[Receipt], delay: Option<Duration>) -> Vec<Result<()>>;

    /// Whether a held claim still is as it was made: its holder may have deleted or released the message by its
    /// receipt, and that is to stay done.
    fn is_held(&self, receipt: &Receipt) -> Result<bool>;

    /// Moves the end of timed claims to now + `visibility`; the receipts stay valid. Receipts as for
    /// [`Store::delete`]. Returns when the claims end now.
    fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Vec<Result<UnixSeconds>>;

    /// Notes in the message's delivery log why its present delivery failed. Best effort: nothing depends on it.
    fn note_failure(&self, receipt: &Receipt, failure: &Failure) -> Result<()>;

    /// Shows messages without claiming them or counting a delivery.
    fn peek(&self, queue: &QueueName, which: Which, each: &mut dyn FnMut(Peeked) -> ControlFlow<()>) -> Result<()>;

    /// Shows the messages of a queue that are meant, the deliverable ones first and in order.
    fn list(&self, queue: &QueueName, which: &Filter, each: &mut dyn FnMut(Listed) -> ControlFlow<()>) -> Result<()>;

    /// Counts what is in a queue.
    fn stat(&self, queue: &QueueName) -> Result<Stat>;

    /// Deletes the messages of a queue that are meant, claimed ones too. `after_each` hears of each that is gone, and can
    /// break it off. Returns how many there were.
    fn purge_some(&self, queue: &QueueName, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64>;

    /// Moves the messages of `from` that are meant and not claimed to the end of `to`, in order, their delivery counts
    /// back at zero. One of a group goes to the end of its group there, and rests no longer than its sender said.
    /// `after_each` as for [`Store::purge_some`]. Returns how many. A queue moved to itself stays as it is.
    fn move_some(
        &self,
        from: &QueueName,
        to: &QueueName,
        which: &Filter,
        after_each: &mut AfterEach<'_>,
    ) -> Result<u64>;

    /// Gives a message that nobody has claimed another body; all else of it stays, its place in the order too. When this
    /// returns `true` nobody is delivered the old one any more; with durability `full`, not after a power cut either. The new
    /// one is what `rewrite` gives; `false` if it gives none.
    ///
    /// Errors: [`Error::NoSuchMessage`], [`Error::NotEdited`], [`Error::TooLarge`].
    fn edit(&self, queue: &QueueName, id: MessageId, rewrite: &mut Rewrite<'_>) -> Result<bool>;

    /// Shows the deleted messages that the queue's archive still has and that are meant, in the order in which they were
    /// put to the queue.
    fn list_archived(
        &self,
        queue: &QueueName,
        which: &Filter,
        each: &mut dyn FnMut(Archived) -> ControlFlow<()>,
    ) -> Result<()>;

    /// Puts those again that [`Store::list_archived`] shows, in that order, each as [`Store::put`] does and with its
    /// promises: what comes of it is another message, with an id and a time of its own and no unique key, and the archived
    /// one stays where it is. `after_each` as for [`Store::purge_some`]. Returns how many. One that cannot be read, or is
    /// damaged, keeps none of the others, and is the error in the end.
    fn replay(&self, queue: &QueueName, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64>;

    /// Deletes every message of a queue, as [`Store::purge_some`] does.
    fn purge(&self, queue: &QueueName) -> Result<u64> {
        self.purge_some(queue, &Filter::default(), &mut || ControlFlow::Continue(()))
    }

    /// Moves every message of `from` that is not claimed, as [`Store::move_some`] does.
    fn move_all(&self, from: &QueueName, to: &QueueName) -> Result<u64> {
        self.move_some(from, to, &Filter::default(), &mut || ControlFlow::Continue(()))
    }
}

/// A message shown without being claimed.
#[derive(Debug)]
pub struct Peeked {
    /// The message and where it stands.
    pub listed: Listed,
    /// Its body, checked.
    pub body: Body,
}
