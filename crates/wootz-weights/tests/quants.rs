//! Every tensor type decodes to the very bits that the `gguf` Python package decodes it to.

use std::path::Path;

use wootz_weights::{Checkpoint, TensorType};

fn fixture() -> Checkpoint {
    Checkpoint::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quants.gguf")).unwrap()
}

#[test]
fn every_type_decodes_bit_for_bit() {
    let checkpoint = fixture();
    for kind in TensorType::ALL {
        let tensor = checkpoint.require(kind.name()).unwrap();
        let expected = checkpoint.require(&format!("{kind}.expected")).unwrap().to_f32();
        assert_eq!(tensor.kind, kind);
        assert_eq!(tensor.elements(), expected.len(), "{kind}");
        for (i, (found, expected)) in tensor.to_f32().iter().zip(&expected).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{kind} element {i}: {found} is not {expected}");
        }
    }
}

#[test]
fn blocks_decode_alone_as_they_do_together() {
    let checkpoint = fixture();
    for kind in TensorType::ALL {
        let tensor = checkpoint.require(kind.name()).unwrap();
        let mut out = vec![0.0; kind.block_elements()];
        let whole = tensor.to_f32();
        for (block, expected) in
            tensor.data().chunks(kind.block_bytes()).zip(whole.chunks(kind.block_elements()))
        {
            kind.dequantize(block, &mut out);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&out), bits(expected), "{kind}");
        }
    }
}

#[test]
#[should_panic(expected = "31 elements of Q8_0")]
fn part_of_a_block_is_refused() {
    TensorType::Q8_0.dequantize(&[0; 34], &mut [0.0; 31]);
}
