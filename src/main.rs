//! The `mq` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mq::run(std::env::args_os())
}
