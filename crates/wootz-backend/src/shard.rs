//! How a model is divided among devices that compute each step together (Shoeybi et al. 2019).
//!
//! A *rank* is one of the devices. It has a share of the heads of every layer and a share of the feed-forward width:
//!
//! ```text
//! query, key, value, gate, up     some of the outputs: rows of the matrix
//! attention's output, down        some of the inputs: columns of the matrix
//! ```
//!
//! so what lies between the two belongs to one rank alone, and the second product gives each rank a part of a sum that
//! [`Op::AllReduce`](crate::ops::Op::AllReduce) adds up. Everything else is on every rank, which computes the same.

use std::ops::Range;

use wootz_spec::{Ffn, LayerRole, Mixer, ModelSpec, TensorRole};
use wootz_weights::{Checkpoint, TensorType};

use crate::binding;
use crate::error::BackendError;

/// Widths of the pieces in which a feed-forward width is shared out, the best first: whole blocks of most formats, whole
/// groups of those whose matrices are packed, whole words.
const PIECES: [usize; 6] = [256, 128, 64, 32, 4, 1];

/// What one rank has of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    rank: usize,
    ranks: usize,
    /// `[layers]`: its part of the feed-forward width.
    hidden: Vec<Range<usize>>,
}

/// The part of a tensor that a rank has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// All of it.
    Whole,
    /// These rows of a matrix, or these elements of a vector.
    Outputs(Range<usize>),
    /// These columns of a matrix.
    Inputs(Range<usize>),
}

impl Shard {
    /// All of a model.
    pub fn whole(spec: &ModelSpec) -> Shard {
        let hidden = spec.layers.iter().map(|layer| 0..hidden_width(&layer.ffn));
        Shard { rank: 0, ranks: 1, hidden: hidden.collect() }
    }

    /// Divides a model among `ranks`, at the boundaries of its checkpoint's blocks.
    ///
    /// # Errors
    /// [`BackendError::Division`] names what does not divide.
    pub fn divide(
        spec: &ModelSpec,
        checkpoint: &Checkpoint,
        ranks: usize,
    ) -> Result<Vec<Shard>, BackendError> {
        let refused = |reason: String| BackendError::Division { ranks, reason };
        let mut shards: Vec<Shard> =
            (0..ranks).map(|rank| Shard { rank, ranks, hidden: Vec::new() }).collect();
        for (index, layer) in spec.layers.iter().enumerate() {
            let Mixer::Attention(attention) = &layer.mixer;
            let even = |what, count: usize| match count.is_multiple_of(ranks) && count > 0 {
                true => Ok(count / ranks),
                false => Err(refused(format!("layer {index} has {count} {what}, no multiple of {ranks}"))),
            };
            even("key/value heads", attention.kv_heads)?;
            let width = even("query heads", attention.heads)? * attention.head_dim;
            let of = |role| {
                let role = TensorRole::Layer(index, role);
                binding::named(checkpoint, role).map(|tensor| (tensor.name.clone(), tensor.kind))
            };
            let (name, kind) = of(LayerRole::AttentionOutput)?;
            if !width.is_multiple_of(kind.block_elements()) {
                return Err(refused(format!(
                    "each would have {width} columns of {name}, which has blocks of {} ({kind})",
                    kind.block_elements()
                )));
            }
            let (hidden, (name, kind)) = (hidden_width(&layer.ffn), of(LayerRole::Down)?);
            let Some(piece) = piece(hidden, kind, ranks) else {
                return Err(refused(format!(
                    "{name} has {hidden} columns in blocks of {} ({kind}), too few for {ranks}",
                    kind.block_elements()
                )));
            };
            let pieces = hidden / piece;
            let ends = |rank: usize| rank * pieces / ranks * piece;
            shards.iter_mut().for_each(|shard| shard.hidden.push(ends(shard.rank)..ends(shard.rank + 1)));
        }
        Ok(shards)
    }

    /// Which of the ranks it is, from 0 on.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks share the model: 1 when it is not divided.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Its part of a layer's feed-forward width.
    pub fn hidden(&self, layer: usize) -> Range<usize> {
        self.hidden[layer].clone()
    }

    /// Its part of so many heads.
    pub fn heads(&self, all: usize) -> Range<usize> {
        self.rank * all / self.ranks..(self.rank + 1) * all / self.ranks
    }

    /// Whether it adds the biases of products that all ranks add up: one of them does.
    pub fn adds_bias(&self) -> bool {
        self.rank == 0
    }

    /// Its part of a tensor.
    pub fn cut(&self, spec: &ModelSpec, role: TensorRole) -> Cut {
        use LayerRole::*;
        let TensorRole::Layer(layer, role) = role else { return Cut::Whole };
        if self.ranks == 1 {
            return Cut::Whole;
        }
        let Mixer::Attention(attention) = &spec.layers[layer].mixer;
        let of_heads = |count| {
            let heads = self.heads(count);
            heads.start * attention.head_dim..heads.end * attention.head_dim
        };
        match role {
            Query | QueryBias => Cut::Outputs(of_heads(attention.heads)),
            Key | KeyBias | Value | ValueBias => Cut::Outputs(of_heads(attention.kv_heads)),
            AttentionOutput => Cut::Inputs(of_heads(attention.heads)),
            Gate | GateBias | Up | UpBias => Cut::Outputs(self.hidden(layer)),
            Down => Cut::Inputs(self.hidden(layer)),
            MixerNorm | QueryNorm | KeyNorm | AttentionOutputBias | FfnNorm | DownBias => Cut::Whole,
        }
    }
}

fn hidden_width(ffn: &Ffn) -> usize {
    let Ffn::Dense { hidden, .. } = *ffn;
    hidden
}

/// The widest piece that fits the blocks of `down`, of which there is at least one for each rank.
fn piece(hidden: usize, down: TensorType, ranks: usize) -> Option<usize> {
    let fits = |piece: usize| {
        piece.is_multiple_of(down.block_elements()) && hidden.is_multiple_of(piece) && hidden / piece >= ranks
    };
    PIECES.into_iter().find(|&piece| fits(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_shared_out_in_the_widest_pieces() {
        assert_eq!(piece(14336, TensorType::Q4_K, 8), Some(256));
        assert_eq!(piece(18944, TensorType::Q4_K, 4), Some(256));
        assert_eq!(piece(172, TensorType::F32, 4), Some(4));
        assert_eq!(piece(33, TensorType::F32, 2), Some(1));
        assert_eq!(piece(96, TensorType::Q8_0, 2), Some(32));
        assert_eq!(piece(256, TensorType::Q4_K, 2), None);
        assert_eq!(piece(32, TensorType::Q8_0, 2), None);
    }
}
