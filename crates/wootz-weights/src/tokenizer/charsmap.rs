//! Checks SentencePiece's `precompiled_charsmap`, which the library that applies it trusts.
//!
//! Layout: bytes of the trie u32 · trie, an array of u32 units · replacement texts, each ended by a zero byte. A unit
//! holds a label (bits 0 to 7), whether a value follows (bit 8), and the offset to its children (bits 10 to 30, times
//! 256 if bit 9 is set); the child for byte `c` is unit `position ^ c`, a value is an offset into the texts.

/// Whether every walk through the trie stays inside it, and every value inside the texts, at the start of a character.
pub(super) fn check(charsmap: &[u8]) -> Result<(), String> {
    let size =
        charsmap.get(..4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize);
    let (Some(size), Some(rest)) = (size, charsmap.get(4..)) else {
        return Err("fewer than four bytes".to_owned());
    };
    if size % 4 != 0 || size == 0 || size > rest.len() {
        return Err(format!("a trie of {size} bytes in {} bytes", rest.len()));
    }
    let (trie, texts) = rest.split_at(size);
    let texts = std::str::from_utf8(texts).map_err(|_| "texts that are not UTF-8".to_owned())?;
    let units: Vec<u32> = trie
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let mut seen = vec![false; units.len()];
    // Positions whose children are still to be looked at.
    let mut open = vec![offset(units[0])];
    while let Some(position) = open.pop() {
        for byte in 1..=255usize {
            let Some(&unit) = units.get(position ^ byte) else {
                return Err(format!("a child at unit {} of {}", position ^ byte, units.len()));
            };
            if unit & (1 << 31 | 0xff) != byte as u32 || std::mem::replace(&mut seen[position ^ byte], true) {
                continue;
            }
            let below = position ^ byte ^ offset(unit);
            if unit >> 8 & 1 == 1 {
                let value = units.get(below).map(|leaf| (leaf & !(1 << 31)) as usize);
                if !value.is_some_and(|value| texts.is_char_boundary(value)) {
                    return Err(format!("a value {value:?} in texts of {} bytes", texts.len()));
                }
            }
            open.push(below);
        }
    }
    Ok(())
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6)
}

/// The bytes of base64 text, as `tokenizer.json` stores the map.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut buffer, mut bits) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_that_leave_the_trie_are_found() {
        assert!(check(&[]).is_err());
        assert!(check(&[8, 0, 0, 0, 0, 0, 0, 0]).is_err());
        let mut map = vec![0, 4, 0, 0];
        map.extend([0; 1024]);
        assert!(check(&map).is_ok(), "an empty trie of 256 units");
        // The unit for 'a' says that its children are at 0x61 ^ 256.
        map[4 + 0x61 * 4..][..4].copy_from_slice(&(0x61u32 | 256 << 10).to_le_bytes());
        assert!(check(&map).is_err());
        map[4 + 0x61 * 4..][..4].copy_from_slice(&(0x61u32 | 1 << 8).to_le_bytes());
        assert!(check(&map).is_err(), "a value without texts is out of range");
    }

    #[test]
    fn base64_decodes() {
        assert_eq!(from_base64("TWFueSBoYW5kcw==").unwrap(), b"Many hands");
        assert!(from_base64("a b").is_none());
    }
}
