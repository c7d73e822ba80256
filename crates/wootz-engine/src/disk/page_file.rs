//! The file of a block.
//!
//! ```text
//!   0   8  "wootz kv"
//!   8   4  version, little endian
//!  12   4  zeros
//!  16  32  the model's fingerprint
//!  48  32  the block's key
//!  80   8  bytes of the page, little endian
//!  88  32  blake3 of bytes 0 to 88 and the page
//! 120   8  zeros
//! 128   …  the page
//! ```

use crate::block::BlockKey;

/// Bytes before the page.
pub const HEADER_BYTES: usize = 128;

const MAGIC: &[u8; 8] = b"wootz kv";
/// Of the layout above. What pages mean is part of the model's fingerprint.
const VERSION: u32 = 1;
/// What is hashed of the header.
const HASHED: usize = 88;
const CHECKSUM: std::ops::Range<usize> = HASHED..HASHED + 32;

/// The header of a block's file.
pub fn header(model: &[u8; 32], key: &BlockKey, page: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..48].copy_from_slice(model);
    header[48..80].copy_from_slice(&key.0);
    header[80..88].copy_from_slice(&(page.len() as u64).to_le_bytes());
    let checksum = blake3::Hasher::new().update(&header[..HASHED]).update(page).finalize();
    header[CHECKSUM].copy_from_slice(checksum.as_bytes());
    header
}

/// Whether `header` is that of this block with this page: everything in it follows from them.
pub fn is_whole(header: &[u8; HEADER_BYTES], model: &[u8; 32], key: &BlockKey, page: &[u8]) -> bool {
    *header == self::header(model, key, page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_shows() {
        let (model, key) = ([7; 32], BlockKey([9; 32]));
        let page: Vec<u8> = (0..96).collect();
        let whole = [header(&model, &key, &page).as_slice(), &page].concat();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (header, page) = flipped.split_first_chunk().unwrap();
            assert!(!is_whole(header, &model, &key, page), "bit {bit}");
        }
        let (header, page) = whole.split_first_chunk().unwrap();
        assert!(is_whole(header, &model, &key, page));
        assert!(!is_whole(header, &[8; 32], &key, page));
        assert!(!is_whole(header, &model, &BlockKey([0; 32]), page));
    }
}
