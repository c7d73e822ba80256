//! Requests become steps, steps become tokens: scheduling, sampling, text.
#![forbid(unsafe_code)]
