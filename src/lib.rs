//! mq
#![forbid(unsafe_code)]
pub mod codec;
pub mod domain;
pub mod store;
/// run
pub fn run(_a: std::env::ArgsOs) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
