//! One file a command: what it accepts, and what it does.

pub mod bench;
pub mod bench_serve;
pub mod completions;
mod disk_options;
pub mod doctor;
pub mod info;
mod listening_options;
pub mod perplexity;
pub mod run;
pub mod serve;
pub mod tokenize;
pub mod tune;
