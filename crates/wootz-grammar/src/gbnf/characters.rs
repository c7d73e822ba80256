//! Sets of characters.

/// The code points that are no characters: halves of pairs in UTF-16.
const SURROGATES: (u32, u32) = (0xD800, 0xDFFF);
const LAST: u32 = char::MAX as u32;

/// A set of characters as ranges of code points, sorted, apart from each other, ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Characters {
    ranges: Vec<(u32, u32)>,
}

impl Characters {
    /// The characters of some ranges in any order; code points that are no characters are left out.
    pub(super) fn of(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.retain(|(low, high)| low <= high);
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        let mut ranges = Vec::with_capacity(merged.len());
        for (low, high) in merged {
            ranges.push((low, high.min(SURROGATES.0 - 1)));
            ranges.push((low.max(SURROGATES.1 + 1), high.min(LAST)));
        }
        ranges.retain(|(low, high)| low <= high);
        Self { ranges }
    }

    /// All characters.
    pub(super) fn all() -> Self {
        Self::of(vec![(0, LAST)])
    }

    /// All others.
    pub(super) fn negated(&self) -> Self {
        let mut next = 0;
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for (low, high) in &self.ranges {
            if *low > next {
                ranges.push((next, low - 1));
            }
            next = high + 1;
        }
        ranges.push((next, LAST));
        Self::of(ranges)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of ranges.
    pub(super) fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the two have a character in common.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            if x.1 < y.0 {
                a.next();
            } else if y.1 < x.0 {
                b.next();
            } else {
                return true;
            }
        }
        false
    }

    /// Adds the characters of another set; whether there was a new one.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        if other.ranges.iter().all(|range| self.contains(*range)) {
            return false;
        }
        let ranges = self.ranges.iter().chain(&other.ranges).copied().collect();
        *self = Self::of(ranges);
        true
    }

    fn contains(&self, (low, high): (u32, u32)) -> bool {
        let place = self.ranges.partition_point(|range| range.1 < low);
        self.ranges.get(place).is_some_and(|range| range.0 <= low && high <= range.1)
    }

    /// Appends the class in the syntax of Rust's regular expressions.
    pub(super) fn write(&self, out: &mut String) {
        use std::fmt::Write;
        out.push('[');
        for (low, high) in &self.ranges {
            // Writing to a string cannot fail.
            let _ = if low == high {
                write!(out, "\\x{{{low:X}}}")
            } else {
                write!(out, "\\x{{{low:X}}}-\\x{{{high:X}}}")
            };
        }
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_normal() {
        let set = Characters::of(vec![(0x62, 0x64), (0x61, 0x61), (0x70, 0x6f), (0x63, 0x66)]);
        assert_eq!(set.ranges, [(0x61, 0x66)]);
        let mut text = String::new();
        Characters::of(vec![(0x5d, 0x5d), (0x61, 0x62)]).write(&mut text);
        assert_eq!(text, "[\\x{5D}\\x{61}-\\x{62}]");
        assert_eq!(Characters::all().ranges, [(0, 0xD7FF), (0xE000, 0x10FFFF)]);
        assert!(Characters::of(vec![(0xD800, 0xDFFF)]).is_empty());
        assert!(Characters::all().negated().is_empty());
        assert_eq!(set.negated().negated(), set);
    }

    #[test]
    fn sets_meet_and_grow() {
        let set = |ranges: &[(u32, u32)]| Characters::of(ranges.to_vec());
        let mut set_a = set(&[(1, 3), (10, 20)]);
        assert!(!set_a.meets(&set(&[(4, 9), (21, 30)])));
        assert!(set_a.meets(&set(&[(4, 9), (20, 30)])));
        assert!(!set_a.add(&set(&[(2, 3), (11, 11)])));
        assert!(set_a.add(&set(&[(4, 9)])));
        assert_eq!(set_a, set(&[(1, 20)]));
        assert!(!set_a.meets(&Characters::default()));
    }
}
