//! Chat completions against models that say what a test wants.

mod answers;
mod channels;
mod guided;
mod refusals;
mod scripted;
