//! `mq` as its users meet it: real processes, each test on a spool of its own, a module per verb or theme.
//!
//! No test sleeps to let something happen: it waits for a condition with a deadline, or a FIFO says when. Where
//! a test holds one of the invariants I1 to I9, its name begins with it.

// The boundaries of the library are not those of its tests.
#![allow(clippy::disallowed_methods)]

mod completions;
mod convert;
mod convert_formats;
mod create;
mod damage;
mod delete;
mod drop_queue;
mod edit;
mod export_import;
mod extend;
mod fsck;
mod fsck_spool;
mod get;
mod get_command;
mod get_delivery;
mod get_framing;
mod get_wait;
mod import_dirs;
mod list;
mod man;
mod move_all;
mod pause;
mod peek;
mod place;
mod progress;
mod protobuf;
mod purge;
mod put;
mod put_atomic;
mod put_caps;
mod put_group;
mod put_store_as;
mod put_streams;
mod put_unique;
mod redrive;
mod release;
mod replay;
mod retry;
mod set;
mod stat;
mod stat_prometheus;
mod stat_watch;
mod status;
mod support;
mod trouble;
