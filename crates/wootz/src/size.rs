//! Sizes as people write them: `2GiB`, `500M`, `1048576`.

/// Bytes of a size. Units of 1024 (K, M, G, T, with or without iB); plain numbers are bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim().find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.trim().len());
    let (number, unit) = text.trim().split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" | "kb" => 1 << 10,
        "m" | "mib" | "mb" => 1 << 20,
        "g" | "gib" | "gb" => 1 << 30,
        "t" | "tib" | "tb" => 1 << 40,
        _ => return Err(format!("{unit:?} is no unit of size; there are K, M, G and T, like 512M or 2G")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("{text:?} is no size; write it like 512M, 2G or 1.5G"))?;
    let bytes = number * factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(format!("{text:?} is too large")) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_are_of_1024_and_nonsense_is_refused() {
        for (text, bytes) in
            [("4096", 4096), ("1K", 1024), ("512 MiB", 512 << 20), ("1.5g", 3 << 29), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "two", "5X", "1..2", "-1", "99999999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
