//! Mistakes that the engine can be told to make, one at a time, by a simulated file system.
//!
//! A proof that finds nothing wrong proves something only if it would find what is wrong. Each of these stands at
//! the place where somebody could once make it, and the simulation has to find every one of them. On the real file
//! system [`Fs::commits`](super::fs::Fs::commits) is the constant `false`, and nothing of them is left in the program.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A put does not sync its file.
    NoFileSync,
    /// A put syncs another file than its own.
    WrongFileSync,
    /// A put goes on although its sync failed.
    FailedSyncIgnored,
    /// A message gets its place before its bytes are synced.
    PublishBeforeSync,
    /// Where renames are whole: the temporary's name is not synced.
    NoTemporaryNameSync,
    /// On bare POSIX: the published name is not synced.
    NoPublishedNameSync,
    /// On bare POSIX: the names of new directories are not synced.
    NoParentSync,
    /// On bare POSIX: a move is one rename, and nothing is synced.
    MoveByRename,
    /// On bare POSIX: nothing says that a removal of an old name is not durable.
    RemovalUnmarked,
    /// The names that a batch got are not synced.
    NoBatchSync,
    /// A delete is not synced.
    NoDeleteSync,
    /// A receipt is honoured whatever delivery it names: its count is not compared.
    CountNotCompared,
    /// The sweep returns held claims without trying their locks.
    SweepTakesHeld,
    /// The sweep returns claims before they have ended.
    SweepTakesLive,
    /// The sweep takes temporaries whose writers live.
    SweepTakesWriters,
    /// The sweep publishes temporaries that are not complete.
    PublishIncomplete,
    /// A held claim is locked after its rename.
    LockAfterRename,
    /// The counter begins at its last synced value after a power cut.
    CounterGoesBack,
    /// A claim does not raise the delivery count.
    CountNotRaised,
    /// A message's bytes are not checked before they are handed over.
    NotChecked,
    /// The entry of a unique key is made after its message was published.
    UniqueAfterPublish,
    /// The entry of a unique key is not synced before its message is complete.
    UniqueNotSynced,
    /// Who puts with a unique key does not take its lock.
    UniqueUnlocked,
    /// Who puts a message of a group, or gives one its turn, does not take the group's lock.
    GroupUnlocked,
    /// The next of a group gets its entry after its place.
    GroupEntryLate,
    /// The next of a group gets its turn before the removal of the one before is durable, and its entry is not synced.
    GroupNotSynced,
    /// A message of a group that leaves its queue is not marked.
    GroupUnmarked,
    /// Who counts a message of a capped queue does not take the lock of the count.
    RoomUnlocked,
    /// A message counts as gone before it is.
    RoomGivenEarly,
    /// A count passes over what has its room and not yet its place.
    RoomOfWritersForgotten,
    /// The messages of an atomic batch are published one by one.
    BatchInParts,
    /// The file with the new body of a message is not synced.
    EditNotSynced,
    /// A file with a new body overwrites what has the message's name, if anything still has it.
    EditByReplace,
    /// Who takes a held claim does not look whether what he has locked is still the message.
    EditNotNoticed,
    /// A delete that archives is not synced: the move is taken for durable.
    ArchiveNotSynced,
    /// The entry of a unique key is not marked when its message is archived.
    ArchiveUnmarked,
    /// The entry of a unique key is not marked while its message is on its way from another queue.
    KeyBeforeMessage,
    /// A message that is moved leaves its unique key behind.
    KeyLeftBehind,
    /// A replay does not look whether the delete of what is archived has come to its end.
    ReplayOfUndeleted,
    /// What a replay puts is not synced.
    ReplayNotSynced,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 40] = [
        Self::NoFileSync,
        Self::WrongFileSync,
        Self::FailedSyncIgnored,
        Self::PublishBeforeSync,
        Self::NoTemporaryNameSync,
        Self::NoPublishedNameSync,
        Self::NoParentSync,
        Self::MoveByRename,
        Self::RemovalUnmarked,
        Self::NoBatchSync,
        Self::NoDeleteSync,
        Self::CountNotCompared,
        Self::SweepTakesHeld,
        Self::SweepTakesLive,
        Self::SweepTakesWriters,
        Self::PublishIncomplete,
        Self::LockAfterRename,
        Self::CounterGoesBack,
        Self::CountNotRaised,
        Self::NotChecked,
        Self::UniqueAfterPublish,
        Self::UniqueNotSynced,
        Self::UniqueUnlocked,
        Self::GroupUnlocked,
        Self::GroupEntryLate,
        Self::GroupNotSynced,
        Self::GroupUnmarked,
        Self::RoomUnlocked,
        Self::RoomGivenEarly,
        Self::RoomOfWritersForgotten,
        Self::BatchInParts,
        Self::EditNotSynced,
        Self::EditByReplace,
        Self::EditNotNoticed,
        Self::ArchiveNotSynced,
        Self::ArchiveUnmarked,
        Self::KeyBeforeMessage,
        Self::KeyLeftBehind,
        Self::ReplayOfUndeleted,
        Self::ReplayNotSynced,
    ];
}
