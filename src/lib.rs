//! `mq`, a durable message queue for the shell: the queue is a directory, a message is a file, and every step of
//! a message's life is one rename. This is the whole program as a library; `src/main.rs` only calls [`run`].
//!
//! # The life of a message
//!
//! ```text
//!   put ────────────► ready ──── claim ────► claimed ───── delete ────► gone
//!    │                ▲  ▲                   │  │ │
//!    └─(delay)► delayed  └── timeout, release┘  │ └── deliveries used up ──► QUEUE.dead
//!                  ▲                            │
//!                  └────── release --delay ─────┘
//! ```
//!
//! [`domain::lifecycle`] is the one table of these transitions; engines obey it.
//!
//! # The rooms, and the only way the arrows run
//!
//! ```text
//!   domain ◄── codec ◄── store ◄── commands ◄── cli ◄── main
//! ```
//!
//! - [`domain`]: the nouns and the rules. No I/O, no clock.
//! - [`codec`]: bytes in one format to bytes in another; many messages in one stream.
//! - [`store`]: the contract of an engine, the directory engine ([`store::spool`]), and the model that says what
//!   is right ([`store::memory`]).
//! - `commands`: one verb per file.
//! - `cli`: arguments, exit statuses, errors, manual, completions.
//!
//! A test holds the arrows, and `clippy.toml` holds the boundaries: the file system is called in
//! `store/spool/fs`, the clock is read in `domain/clock.rs`.

#![forbid(unsafe_code)]

pub mod codec;
pub mod domain;
pub mod store;

mod cli;
mod commands;

#[cfg(fuzzing)]
pub mod fuzzing;

/// Runs the program on the arguments of a process, its own name first, and returns its exit status.
///
/// Reads stdin and writes stdout and stderr as the arguments say; see mq(1).
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    cli::run(args)
}
