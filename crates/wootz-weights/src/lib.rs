//! What is on disk: checkpoints, quantisation codecs, tokenizers and chat templates.
#![deny(unsafe_code)]
