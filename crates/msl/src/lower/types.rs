//! The names of Metal's numbers and vectors.

const NUMBERS: [&str; 20] = [
    "bool",
    "char",
    "uchar",
    "short",
    "ushort",
    "int",
    "uint",
    "long",
    "ulong",
    "half",
    "float",
    "bfloat",
    "size_t",
    "ptrdiff_t",
    "int8_t",
    "uint8_t",
    "int16_t",
    "uint16_t",
    "int32_t",
    "uint32_t",
];

/// Whether `word` names a number, or a vector such as `half4` and `packed_float3`, or is `vec` itself.
pub(crate) fn is_number_or_vector(word: &str) -> bool {
    let element = word.strip_prefix("packed_").unwrap_or(word).trim_end_matches(['2', '3', '4']);
    let vector = word.ends_with(['2', '3', '4']) && NUMBERS.contains(&element);
    NUMBERS.contains(&word) || vector || matches!(word, "vec" | "packed_vec")
}
