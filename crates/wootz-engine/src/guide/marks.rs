//! Sequences of tokens in a stream of tokens.

/// How many tokens at the beginning of `mark` the stream ends with after `token`, if it ended with `matched` before.
///
/// The mark may begin again inside itself, as in Knuth, Morris and Pratt's search; marks are short, so no table is kept.
pub(super) fn advance(mark: &[u32], matched: usize, token: u32) -> usize {
    (1..=(matched + 1).min(mark.len()))
        .rev()
        .find(|&length| {
            mark[length - 1] == token && mark[..length - 1] == mark[matched + 1 - length..matched]
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::advance;

    #[test]
    fn a_mark_is_found_wherever_it_begins() {
        let mark = [1, 1, 2, 1, 1, 3];
        let stream = [1, 1, 1, 2, 1, 1, 2, 1, 1, 3, 1];
        let mut matched = 0;
        for (index, token) in stream.iter().enumerate() {
            matched = advance(&mark, matched, *token);
            let seen = &stream[..=index];
            let right = (0..=mark.len()).rev().find(|length| seen.ends_with(&mark[..*length])).unwrap();
            assert_eq!(matched, right, "at {index}");
            if matched == mark.len() {
                assert_eq!(index, 9);
                matched = 0;
            }
        }
        assert_eq!(advance(&[], 0, 5), 0);
    }
}
