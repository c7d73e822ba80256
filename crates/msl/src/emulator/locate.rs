//! From an address in a loaded library to a line of the kernel's source.
//!
//! clang writes DWARF tables into a library that is compiled with checks. They know the chain of functions that were
//! inlined at an address; the innermost of those that isn't the prelude's is the line to show.

use std::path::{Path, PathBuf};

use addr2line::Loader;
use object::{Object, ObjectSegment, ObjectSymbol};

use crate::Location;

/// A symbol that every library exports: its address tells where the library was loaded.
const ANCHOR: &[u8] = b"msl_bind";
/// The folder that libraries are compiled in, as far as their tables know.
const COMPILED_IN: &str = "/msl/";
/// Where the prelude and the thunks lie below it.
const PRELUDE: &str = "msl/";

/// What finds the source of an address in one library.
pub struct Debugger {
    path: PathBuf,
    /// Where the file's address zero was loaded.
    base: usize,
    /// Bytes from there to the end of the library.
    bytes: usize,
}

impl Debugger {
    /// For a library whose `msl_bind` was loaded at `anchor`.
    pub fn new(path: &Path, anchor: usize) -> Option<Self> {
        let file = std::fs::read(path).ok()?;
        let file = object::File::parse(&*file).ok()?;
        let is_anchor = |symbol: &object::Symbol<'_, '_>| {
            symbol
                .name_bytes()
                .is_ok_and(|name| name.strip_prefix(b"_").unwrap_or(name) == ANCHOR || name == ANCHOR)
        };
        let symbol = file.dynamic_symbols().chain(file.symbols()).find(is_anchor)?;
        let end = file.segments().map(|segment| segment.address() + segment.size()).max()?;
        let base = anchor.checked_sub(usize::try_from(symbol.address()).ok()?)?;
        Some(Self { path: path.to_path_buf(), base, bytes: usize::try_from(end).ok()? })
    }

    /// Whether an address lies in the library: a constant table, for example.
    pub fn holds(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.bytes
    }

    /// An address as an offset in the library.
    #[inline]
    pub fn offset(&self, address: usize) -> u32 {
        address.wrapping_sub(self.base) as u32
    }

    /// The address of an offset.
    pub fn address(&self, offset: u32) -> usize {
        self.base + offset as usize
    }

    /// The lines of the kernel's source that a chain of return addresses stands for, innermost first.
    pub fn kernel_lines(&self, addresses: &[usize]) -> Vec<Location> {
        let Ok(loader) = Loader::new(&self.path) else { return Vec::new() };
        let own = addresses.iter().take_while(|address| self.holds(**address));
        let lines = own.flat_map(|address| self.lines(&loader, *address));
        lines
            .filter(|line| !line.file.starts_with(PRELUDE))
            .map(|line| Location { file: line.file, line: line.line })
            .collect()
    }

    /// Whether two return addresses come from one call in the source, as far as the tables tell.
    pub fn same_place(&self, a: usize, b: usize) -> bool {
        if !self.holds(a) || !self.holds(b) {
            return false;
        }
        let Ok(loader) = Loader::new(&self.path) else { return true };
        let (a, b) = (self.lines(&loader, a), self.lines(&loader, b));
        a.is_empty() || b.is_empty() || a == b
    }

    /// The lines of a return address: of the innermost inlined function first, then of where it was inlined.
    fn lines(&self, loader: &Loader, address: usize) -> Vec<Line> {
        // A return address is that of the instruction after the call, which may belong to another line.
        let probe = (address - 1).wrapping_sub(self.base) as u64;
        let mut lines = Vec::new();
        let Ok(mut frames) = loader.find_frames(probe) else { return lines };
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else { continue };
            // Line zero is the compiler's word for code that it can't place.
            let (Some(file), Some(line @ 1..)) = (location.file, location.line) else { continue };
            let file = file.strip_prefix(COMPILED_IN).unwrap_or(file).trim_start_matches("./").to_owned();
            lines.push(Line { file, line, column: location.column });
        }
        lines
    }
}

#[derive(PartialEq, Eq)]
struct Line {
    file: String,
    line: u32,
    column: Option<u32>,
}
