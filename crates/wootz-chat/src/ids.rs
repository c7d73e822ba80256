//! Ids of tool calls, for models that give none.

/// What an id looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum IdStyle {
    /// `call_` and 20 letters and digits.
    #[default]
    Call,
    /// Nine letters and digits: Mistral's templates refuse anything else.
    Nine,
}

/// The length of an id of Mistral's.
const NINE: usize = 9;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl IdStyle {
    /// A new random id.
    pub(crate) fn make(self) -> String {
        match self {
            IdStyle::Call => format!("call_{}", letters(uuid::Uuid::new_v4().as_u128(), 20)),
            IdStyle::Nine => letters(uuid::Uuid::new_v4().as_u128() >> 62, NINE),
        }
    }

    /// The id as the template takes it. The same id gives the same text, so that results still find their calls.
    pub(crate) fn fit(self, id: &str) -> String {
        let fits = id.len() == NINE && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if self == IdStyle::Call || fits {
            return id.to_owned();
        }
        // FNV-1a over 128 bits: any well-spread function of the id does.
        let hash = id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        letters(hash, NINE)
    }
}

fn letters(mut number: u128, count: usize) -> String {
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from(ALPHABET[(number % 62) as usize]));
        number /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_shape() {
        assert_eq!(IdStyle::Call.make().len(), 25);
        assert_eq!(IdStyle::Nine.make().len(), 9);
        assert_ne!(IdStyle::Nine.make(), IdStyle::Nine.make());
        assert_eq!(IdStyle::Nine.fit("abcdefgh1"), "abcdefgh1");
        let fitted = IdStyle::Nine.fit("call_123");
        assert_eq!((fitted.len(), IdStyle::Nine.fit("call_123")), (9, fitted.clone()));
        assert_ne!(IdStyle::Nine.fit("call_124"), fitted);
        assert_eq!(IdStyle::Call.fit("call_123"), "call_123");
    }
}
