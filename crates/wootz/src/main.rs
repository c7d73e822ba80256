//! The `wootz` command line.
#![forbid(unsafe_code)]

fn main() {}
