//! A real server on a free port, with the small model that the repository ships, on the processor.

mod completions;
mod errors;
mod faults;
mod limits;
mod load;
mod random_bodies;
mod shutdown;
mod streams;
mod support;
