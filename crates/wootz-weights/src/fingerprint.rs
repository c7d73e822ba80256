//! A name for a model's weights that is quick to find: reading all of a large file would take minutes.

use crate::checkpoint::Checkpoint;
use crate::error::WeightsError;

/// Bytes of a tensor that are looked at in each of three places.
const SAMPLE: usize = 4096;

/// Blake3 over the configuration (for a GGUF file, its metadata as far as the model depends on it), every tensor's name,
/// type and shape in the order of the files, and the first, the middle and the last 4 KiB of its bytes.
///
/// It tells apart models of other shapes, other types, other configurations; other trainings and fine-tunings, which
/// change every tensor that they touch nearly everywhere; other quantisations. It does not notice a change that
/// leaves all samples as they are: a few weights edited by hand, a flipped bit. Tokenizer, chat template and the
/// file's place and time are no part of it: what a model computes from token ids does not depend on them.
///
/// Of each tensor 12 KiB are read, so a file of 40 GB with a thousand tensors takes some 12 MB.
///
/// # Errors
/// When the file has no configuration that can be read.
pub fn fingerprint(checkpoint: &Checkpoint) -> Result<[u8; 32], WeightsError> {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(format!("{:?}", checkpoint.format()).as_bytes());
    field(checkpoint.config()?.to_string().as_bytes());
    for tensor in checkpoint.tensors() {
        field(tensor.name.as_bytes());
        field(tensor.kind.name().as_bytes());
        field(&tensor.shape.iter().flat_map(|size| (*size as u64).to_le_bytes()).collect::<Vec<u8>>());
        let bytes = tensor.data();
        let sample = |start: usize| &bytes[start..bytes.len().min(start + SAMPLE)];
        field(sample(0));
        field(sample(bytes.len().saturating_sub(SAMPLE) / 2));
        field(sample(bytes.len().saturating_sub(SAMPLE)));
    }
    Ok(hasher.finalize().into())
}
