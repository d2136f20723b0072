//! Planted bugs, with which the simulator is tested: each is a mistake that an honest hand could make, and the
//! oracles must find it. Nothing of this is in what ships: without the feature `planted` no bug ever [`is`].
//!
//! One bug at a time is planted in a process, before any world begins. A bug is asked for at the one place where
//! the mistake would be made; what it does stands there.

/// The bugs, each with a name for the command line and the sentence for the kill table.
macro_rules! bugs {
    ($($(#[doc = $text:literal])+ $bug:ident,)+) => {
        /// A mistake that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Bug { $($(#[doc = $text])+ $bug,)+ }

        impl Bug {
            /// All of them, each with its sentence.
            pub const ALL: &[(Self, &str)] = &[$((Self::$bug, concat!($($text),+)),)+];
        }
    };
}

bugs! {
    /// A save is stored with relaxed durability.
    RelaxedSave,
    /// A batch is sent without being sealed.
    UnsealedBatch,
    /// A write is merged into an operation that was sealed.
    MergedIntoSealed,
    /// A merged update keeps only the later of two changes.
    MergedOver,
    /// A create and a delete annul each other although others name the record.
    AnnulledThoughNamed,
    /// The IDs of rows that refer to a record with a new ID are left as they are.
    CascadeLeftOut,
    /// A mapping from temp to real ID is not stored.
    MappingForgotten,
    /// An outcome is applied to an operation that no longer waits for one.
    OutcomeUnguarded,
    /// An outcome takes away what was written while its operation was on its way.
    EditsDropped,
    /// An applied operation leaves the record at the version it had.
    VersionKept,
    /// The losing side of a conflict that a rule decided is not kept.
    LoserDropped,
    /// A rejected operation is deleted in the place of being parked.
    RejectedDeleted,
    /// A rejected operation is sent again and again.
    RejectedRetried,
    /// A page overwrites what was written here.
    PageOverEdits,
    /// A page with an older version than the known one is applied to a record.
    OlderPageApplied,
    /// A page is applied wherever the database stands.
    PageUnguarded,
    /// A newer state that comes while an operation is on its way is forgotten.
    NewsForgotten,
    /// The checkpoint of a page counts, its last record does not.
    RecordSkipped,
    /// The checkpoint of the old epoch is kept in the new one.
    CheckpointOverEpochs,
    /// What an epoch change could have lost is not sent again.
    NotSentAgain,
    /// An applied operation is forgotten before its version is durable.
    SettledEarly,
    /// What found its wish fulfilled is forgotten before what fulfilled it is durable.
    RestsOnIgnored,
    /// A resync leaves records that the server has no more.
    GoneKept,
    /// A resync takes away what was written meanwhile.
    ResyncOverEdits,
    /// Every attempt is a new operation.
    FreshIdEachAttempt,
    /// Several operations of one decision carry one ID.
    OneIdForSeveral,
    /// Two operations of one decision carry one sequence.
    OneSequenceForTwo,
    /// The audit row of a decision leaves out what ended.
    AuditLeftOut,
    /// The audit row is not chained to the one before.
    AuditUnchained,
    /// After a failure nobody looks again by himself.
    NeverRetried,
    /// A wait counts to a time of the clock, whatever happens to the clock.
    WaitsByTheClock,
    /// A resolved conflict stands on the state that it was written on.
    ResolvedOnOldState,
    /// What is written out to a file is not sealed.
    ExportUnsealed,
    /// Work from another device counts as written on what this device has.
    ImportedAsOwn,
    /// A damaged row counts as none.
    RottenIgnored,
    /// The download of one entity moves the checkpoint of all.
    ScopeMovesAll,
    /// A discarded operation leaves what depends on it in the queue.
    DependentsLeft,
    /// A parked operation does not hold up what depends on it.
    DependentsSent,
    /// A new operation in the place of a group's member leaves the group.
    GroupBroken,
    /// What follows an operation in conflict is not judged with it.
    FollowersUnjudged,
    /// The other members of a group that is issued anew go over what others wrote, without a look at it.
    MembersUnjudged,
    /// A conflict keeps of each field what stands in the place of what lost.
    WinnerKept,
    /// An undo gives back what others have written over since.
    UndoneOver,
    /// A conflict that another device met is decided on the record as it was when it was told of.
    HeldOnOldState,
    /// What was written while a conflict was open is decided with it, and not kept with what lost.
    MeanwhileForgotten,
    /// What an operation was written on is taken for what its record stands on by now.
    GroundForgotten,
    /// What a restored server lost of the trail is not sent again.
    TrailNotSentAgain,
    /// Rows of the trail go that tell of what is unfinished.
    TrailLetGoOpen,
    /// The server remembers no updates.
    ServerNoReceipt,
    /// The server takes an update whatever version it was written on.
    ServerBaseIgnored,
    /// The server leaves a conflict open over which somebody decided there.
    ServerDecisionOpen,
    /// The server counts again what was counted under another name.
    ServerCountsTwice,
    /// The server lets an update bring back a deleted record.
    ServerResurrects,
    /// The server deletes a record, and leaves what came to it that its writer did not know.
    ServerAlongLeft,
    /// The server lets a second record have what only one may have.
    ServerUniqueIgnored,
    /// The server takes into a field what is declared to be no value of it.
    ServerFieldsIgnored,
    /// The server's page says that it ends at the newest change, though it was cut off.
    ServerPageCut,
    /// The server takes a checkpoint from before what it has forgotten.
    ServerForgottenIgnored,
    /// A restored server issues the same numbers again.
    ServerNumbersAgain,
    /// The server forgets which temp ID became which record.
    ServerTempForgotten,
    /// The server says that everything is durable.
    ServerAllDurable,
    /// What a group did before one of its members failed stays.
    ServerGroupInParts,
    /// The server ends a page in the middle of a group.
    ServerGroupSplit,
    /// All tenants share one set of tables.
    ServerOneTenant,
    /// The server answers an upload before it has stored it.
    ServerAnswersFirst,
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(u8::MAX);

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug is planted: in what ships none is.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}

/// Plants a bug in this process, or takes it away.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(u8::MAX, |bug| bug as u8), std::sync::atomic::Ordering::Relaxed);
}
