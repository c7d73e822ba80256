//! GPT-2's alphabet: every byte as a visible character, so that a vocabulary of strings holds all bytes. Bytes that are
//! visible in Latin-1 stand for themselves, the others are numbered from U+0100 on.

/// Appends the bytes that a token's text stands for. A character outside the alphabet stands for itself.
pub(super) fn decode(text: &str, out: &mut Vec<u8>) {
    for letter in text.chars() {
        match letter as u32 {
            code @ 0x21..=0x7e | code @ 0xa1..=0xac | code @ 0xae..=0xff => out.push(code as u8),
            code @ 0x100..=0x143 => out.push(INVISIBLE[(code - 0x100) as usize]),
            _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The 68 bytes that U+0100 to U+0143 stand for, in order.
const INVISIBLE: [u8; 68] = {
    let mut bytes = [0; 68];
    let (mut byte, mut count) = (0usize, 0);
    while byte < 256 {
        if !matches!(byte as u8, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) {
            bytes[count] = byte as u8;
            count += 1;
        }
        byte += 1;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_stood_for_once() {
        let alphabet = (0x21..=0x7eu32).chain(0xa1..=0xac).chain(0xae..=0xff).chain(0x100..=0x143);
        let text: String = alphabet.filter_map(char::from_u32).collect();
        let mut bytes = Vec::new();
        decode(&text, &mut bytes);
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        let mut out = Vec::new();
        decode("ĠĊ日", &mut out);
        assert_eq!(out, " \n日".as_bytes());
    }
}
