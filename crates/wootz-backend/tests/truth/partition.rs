//! What a token's logits are does not depend on how the work is cut into steps.

use wootz_backend::Model;
use wootz_backend::cpu::reference::CachePrecision;
use wootz_backend::step::{SequenceSlice, Step};

use crate::fixture::{Expected, fixtures, logits, reference, step};

#[test]
fn chunks_give_the_same_bits() {
    for name in ["llama", "mistral_window"] {
        let folder = fixtures().join("models").join(name);
        let Expected { prompt, vocab, .. } = Expected::read(&folder);
        let mut model = reference(&folder, CachePrecision::F16);
        let whole = logits(&mut model, &prompt);
        let mut start = 0;
        for size in [1, 14, 2, 16, 7] {
            let rows = (0..size as u32).collect();
            let chunk = model.forward(&step(&prompt[start..start + size], start, rows)).unwrap();
            assert_eq!(
                chunk,
                &whole[start * vocab..(start + size) * vocab],
                "{name}, {size} tokens from {start}"
            );
            start += size;
        }
        assert_eq!(start, prompt.len());
    }
}

#[test]
fn sequences_in_one_step_do_not_see_each_other() {
    let folder = fixtures().join("models/llama");
    let Expected { prompt, vocab, .. } = Expected::read(&folder);
    let mut model = reference(&folder, CachePrecision::F16);
    let (long, short) = (&prompt[..23], &prompt[23..28]);
    let (alone_long, alone_short) = (logits(&mut model, long), logits(&mut model, short));

    // Pages out of order, and only the last row of the first sequence sampled.
    let together = Step {
        tokens: prompt[..28].to_vec(),
        positions: (0..23).chain(0..5).collect(),
        sequences: vec![
            SequenceSlice { rows: 0..23, pages: 0..2 },
            SequenceSlice { rows: 23..28, pages: 2..4 },
        ],
        page_table: vec![7, 3, 5, 0],
        sample_rows: vec![22, 23, 27],
        copies: Vec::new(),
    };
    let found = model.forward(&together).unwrap();
    assert_eq!(found[..vocab], alone_long[22 * vocab..]);
    assert_eq!(found[vocab..2 * vocab], alone_short[..vocab]);
    assert_eq!(found[2 * vocab..], alone_short[4 * vocab..]);
}

#[test]
fn a_step_that_samples_nothing_still_fills_the_cache() {
    let folder = fixtures().join("models/qwen3");
    let Expected { prompt, vocab, .. } = Expected::read(&folder);
    let mut model = reference(&folder, CachePrecision::F16);
    let whole = logits(&mut model, &prompt);
    let mut again = reference(&folder, CachePrecision::F16);
    assert!(again.forward(&step(&prompt[..39], 0, vec![])).unwrap().is_empty());
    let last = again.forward(&step(&prompt[39..], 39, vec![0])).unwrap();
    assert_eq!(last, &whole[39 * vocab..]);
}
