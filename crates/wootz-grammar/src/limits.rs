//! How much a grammar from outside may cost.

/// Bounds on the size of a grammar and on the work that it may cause.
///
/// The defaults let pass what people write (a schema of a few thousand fields) and hold one compilation to a few
/// hundred milliseconds, one mask to some tens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrammarLimits {
    /// Bytes of the text of a grammar, or of all keys and strings of a schema.
    pub bytes: usize,
    /// Values in a schema, entries of a list of choices.
    pub parts: usize,
    /// Rules of a grammar; the time to compile grows with the square of their number.
    pub rules: usize,
    /// Members of one object in a schema; as for the rules.
    pub members: usize,
    /// How deep brackets or schemas may be nested.
    pub depth: usize,
    /// Symbols in all productions of the compiled grammar.
    pub symbols: usize,
    /// Work to build the regular expressions of a grammar's words; about 50,000 a millisecond.
    pub compile_work: u64,
    /// Work on those expressions for one mask; about 14,000 a millisecond.
    pub mask_work: u64,
    /// Parser items for one mask; about 20,000 a millisecond.
    pub mask_items: usize,
    /// States of the lexer over the whole life of a grammar; 1 to 2 KiB each.
    pub states: usize,
}

impl Default for GrammarLimits {
    fn default() -> Self {
        Self {
            bytes: 512 << 10,
            parts: 20_000,
            rules: 2000,
            members: 1000,
            depth: 100,
            symbols: 500_000,
            compile_work: 2_000_000,
            mask_work: 400_000,
            mask_items: 400_000,
            states: 100_000,
        }
    }
}
