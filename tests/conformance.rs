//! One suite over every engine: what `Store` promises, held to the letter by the reference model and by the
//! spool in both of its orders. A test is named by what it holds, with the invariant's number where there is one.

#![allow(missing_docs)]

/// Its files lie in `tests/conformance/`.
mod conformance {
    mod archive;
    mod atomic;
    mod batches;
    mod bench;
    mod caps;
    mod claims;
    mod clocks;
    mod dead_letters;
    mod edits;
    mod expiry;
    mod filters;
    mod fsck;
    mod groups;
    mod looks;
    mod puts;
    mod queues;
    mod receipts;
    mod retry;
    mod spool;
    mod unique;
}
