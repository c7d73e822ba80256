//! The set of tokens that may come next.

/// A set of tokens as bits, 32 to a word, the lowest token in the lowest bit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
    width: usize,
}

impl TokenMask {
    /// A mask over the model's `width` tokens (rows of its logits) that allows none.
    pub fn none(width: usize) -> Self {
        Self { words: vec![0; width.div_ceil(32)], width }
    }

    /// A mask over `width` tokens that allows all.
    pub fn all(width: usize) -> Self {
        let mut mask = Self { words: vec![u32::MAX; width.div_ceil(32)], width };
        mask.clear_beyond_width();
        mask
    }

    /// Number of tokens that it speaks of.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its words; bits at and beyond [`Self::width`] are 0.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Whether a token may come; false beyond the width.
    pub fn allows(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word & (1 << (token % 32)) != 0)
    }

    /// Lets a token come. Tokens beyond the width stay forbidden.
    pub fn allow(&mut self, token: u32) {
        if (token as usize) < self.width {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    /// Forbids a token.
    pub fn forbid(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word &= !(1 << (token % 32));
        }
    }

    /// Forbids all tokens.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// How many tokens may come.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The allowed tokens in order.
    pub fn tokens(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let first = index as u32 * 32;
            (0..32).filter(move |bit| word & (1 << bit) != 0).map(move |bit| first + bit)
        })
    }

    /// Takes over a set in the same layout, cut or filled up with forbidden tokens to this mask's width.
    pub(crate) fn copy_from(&mut self, words: &[u32]) {
        let shared = words.len().min(self.words.len());
        self.words[..shared].copy_from_slice(&words[..shared]);
        self.words[shared..].fill(0);
        self.clear_beyond_width();
    }

    /// Forbids what `other` forbids; tokens beyond its width too.
    pub(crate) fn keep(&mut self, other: &TokenMask) {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        self.words.iter_mut().zip(others).for_each(|(word, other)| *word &= other);
    }

    fn clear_beyond_width(&mut self) {
        if let Some(last) = self.words.last_mut().filter(|_| !self.width.is_multiple_of(32)) {
            *last &= (1 << (self.width % 32)) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_beyond_the_width_are_never_allowed() {
        for width in [0, 1, 31, 32, 33, 70] {
            let mut mask = TokenMask::none(width);
            mask.copy_from(&[u32::MAX; 4]);
            assert_eq!(mask, TokenMask::all(width));
            assert_eq!(mask.count(), width);
            assert_eq!(mask.tokens().collect::<Vec<_>>(), (0..width as u32).collect::<Vec<_>>());
            mask.allow(width as u32);
            assert!(!mask.allows(width as u32) && !mask.allows(u32::MAX));
            mask.copy_from(&[]);
            assert_eq!(mask, TokenMask::none(width));
        }
    }

    #[test]
    fn one_token_at_a_time() {
        let mut mask = TokenMask::none(40);
        mask.allow(3);
        mask.allow(33);
        assert!(mask.allows(3) && mask.allows(33) && !mask.allows(4));
        mask.forbid(3);
        assert_eq!(mask.tokens().collect::<Vec<_>>(), [33]);
    }
}
