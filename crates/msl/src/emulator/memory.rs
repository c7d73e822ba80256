//! Threadgroup memory: what the threads of one threadgroup share.

use std::ffi::{CStr, c_char, c_void};
use std::io;

use super::abi::SLOTS;
use super::fault::FaultKind;
use super::fiber::Mapping;
use super::mistake::Mistake;

/// Bytes of threadgroup memory that a threadgroup can have on every Apple GPU.
pub const LIMIT_BYTES: usize = 32 * 1024;
/// What each variable's size is rounded up to.
const ALIGNMENT: usize = 16;
/// With checks, variables lie apart, so that an index that runs off one does not hit the next.
const GAP_BYTES: usize = 256;
/// The mapping holds the limit and the gaps of more variables than a kernel has.
const MAPPED_BYTES: usize = 64 * 1024;
/// The most that a library can be allowed.
pub const MOST_BYTES: usize = 48 * 1024;
/// What fresh memory holds. As floating point it is NaN, which shows in a result.
const POISON: u8 = 0xff;

/// One variable, or one argument, in threadgroup memory.
#[derive(Clone, Copy)]
pub struct Variable {
    key: Key,
    /// Where it begins.
    pub offset: usize,
    /// Its size.
    pub bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// A variable of the kernel: the number of its declaration, and its name. Instances of one template share
    /// the number, but their sizes differ.
    Declared(u32, *const c_char),
    /// An argument by its index.
    Argument(usize),
}

impl Variable {
    /// What the kernel's author calls it.
    pub fn name(&self) -> String {
        match self.key {
            Key::Argument(index) => format!("threadgroup argument {index}"),
            Key::Declared(_, name) if name.is_null() => "a threadgroup variable".to_owned(),
            // SAFETY: the lowering passes a string constant of the library, which is loaded while it runs.
            Key::Declared(_, name) => format!("`{}`", unsafe { CStr::from_ptr(name) }.to_string_lossy()),
        }
    }
}

/// The threadgroup memory of the threadgroup that a worker runs.
pub struct ThreadgroupMemory {
    mapping: Mapping,
    variables: Vec<Variable>,
    /// Bytes in use, without the gaps.
    used: usize,
    /// Where the next variable may begin.
    top: usize,
    gap: usize,
    limit: usize,
    arguments: Box<[*mut c_void; SLOTS]>,
}

impl ThreadgroupMemory {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            mapping: Mapping::new(MAPPED_BYTES)?,
            variables: Vec::new(),
            used: 0,
            top: 0,
            gap: 0,
            limit: LIMIT_BYTES,
            arguments: Box::new([std::ptr::null_mut(); SLOTS]),
        })
    }

    /// Forgets all variables, and gives the arguments of a dispatch their places.
    pub fn begin(
        &mut self,
        lengths: &[usize; SLOTS],
        limit: usize,
        checked: bool,
    ) -> Result<(), Box<Mistake>> {
        self.limit = limit;
        self.gap = if checked { GAP_BYTES } else { 0 };
        self.used = 0;
        self.top = self.gap;
        self.variables.clear();
        for (index, &bytes) in lengths.iter().enumerate() {
            self.arguments[index] = std::ptr::null_mut();
            if bytes != 0 {
                self.arguments[index] = self.add(Key::Argument(index), bytes)?.cast();
            }
        }
        Ok(())
    }

    /// The addresses of the arguments.
    pub fn arguments(&self) -> *const [*mut c_void; SLOTS] {
        &raw const *self.arguments
    }

    /// The address of a variable. All threads that come to its declaration get the same.
    pub fn variable(
        &mut self,
        site: u32,
        bytes: usize,
        name: *const c_char,
    ) -> Result<*mut u8, Box<Mistake>> {
        let key = Key::Declared(site, name);
        let known = self.variables.iter().find(|known| {
            matches!(known.key, Key::Declared(number, _) if number == site) && known.bytes == bytes
        });
        match known {
            Some(known) => Ok(self.mapping.start().wrapping_add(known.offset)),
            None => self.add(key, bytes),
        }
    }

    fn add(&mut self, key: Key, bytes: usize) -> Result<*mut u8, Box<Mistake>> {
        let offset = self.top;
        let variable = Variable { key, offset, bytes };
        let rounded = bytes.next_multiple_of(ALIGNMENT);
        if self.used + rounded > self.limit || offset + rounded + self.gap > MAPPED_BYTES {
            let (name, used, limit) = (variable.name(), self.used, self.limit);
            return Err(Mistake::new(
                FaultKind::ThreadgroupMemory,
                format!("{name} takes {bytes} bytes of threadgroup memory, {used} of {limit} are in use"),
            ));
        }
        self.used += rounded;
        self.top = offset + rounded + self.gap;
        self.variables.push(variable);
        // SAFETY: the range lies in the mapping, as was just checked. The kernel that could also write to it runs
        // on this very operating-system thread, and waits.
        unsafe {
            let start = self.mapping.start().add(offset);
            start.write_bytes(POISON, rounded);
            Ok(start)
        }
    }

    /// The offset of an address in this memory.
    #[inline]
    pub fn offset(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.mapping.start() as usize);
        (offset < MAPPED_BYTES).then_some(offset)
    }

    /// The variable that holds all of these bytes.
    #[inline]
    pub fn holding(&self, offset: usize, bytes: usize) -> Option<&Variable> {
        self.variables
            .iter()
            .find(|known| offset >= known.offset && offset + bytes <= known.offset + known.bytes)
    }

    /// The variable that begins last before an offset, or else the first one.
    pub fn nearest(&self, offset: usize) -> Option<&Variable> {
        self.variables.iter().rfind(|known| known.offset <= offset).or(self.variables.first())
    }
}

/// Bytes that [`ThreadgroupMemory::offset`] is below.
pub const fn mapped_bytes() -> usize {
    MAPPED_BYTES
}
