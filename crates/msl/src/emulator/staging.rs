//! Where buffers lie while a checked dispatch runs: copies, far apart from each other.
//!
//! A pointer in C++ does not know its buffer. Were two buffers neighbours, as they are in a device's arena, an index
//! that runs off one would land in the other and look like an access of that. So each buffer is copied to a place with
//! nothing around it for 64 MiB, and any stray access close by can be told, and blamed on the right argument. Ranges
//! that overlap stay one range. What a kernel may write is copied back at the end.

use std::io;

use super::abi::SLOTS;
use super::dispatch::{Binding, BufferAccess, Dispatch};
use super::fault::FaultKind;
use super::fiber::Mapping;
use super::mistake::Mistake;
use super::order::Space;
use super::shadow::Shadow;
use crate::EntryPoint;
use crate::lower::{Access, Argument};

/// Addresses kept free on each side of a buffer.
const GAP: usize = 64 << 20;
/// A multiple of every system's page.
const PAGE: usize = 16 << 10;

/// An argument's place in a region.
pub struct Place {
    pub index: u32,
    pub name: String,
    pub offset: usize,
    pub bytes: usize,
    pub writable: bool,
}

/// Bytes without a gap: one buffer, or several that overlap.
pub struct Region {
    /// Its address while the dispatch runs.
    pub start: usize,
    pub bytes: usize,
    /// The caller's bytes.
    original: *mut u8,
    pub places: Vec<Place>,
    /// Who accessed what, if a kernel may write here.
    pub shadow: Option<Shadow>,
    /// Whether these are inline constants, which don't count as device memory.
    pub inline: bool,
    /// Where its pages begin in the mapping, and how many bytes they are.
    pages: (usize, usize),
}

/// The buffers of one dispatch.
pub struct Staging {
    mapping: Mapping,
    pub regions: Vec<Region>,
}

// SAFETY: the addresses are the caller's, who lends the memory to the dispatch.
unsafe impl Send for Staging {}

struct Bound<'a> {
    start: *mut u8,
    bytes: usize,
    access: BufferAccess,
    inline: bool,
    index: u32,
    name: &'a str,
    writable: bool,
}

impl Staging {
    /// Copies what a dispatch binds, and puts the new addresses in `buffers`.
    pub fn new(
        kernel: &EntryPoint,
        dispatch: &Dispatch<'_>,
        buffers: &mut [*mut std::ffi::c_void; SLOTS],
    ) -> Result<Self, Box<Mistake>> {
        let mut bound: Vec<Bound<'_>> =
            dispatch.arguments.iter().map(|(index, binding)| describe(kernel, *index, binding)).collect();
        bound.sort_by_key(|bound| bound.start as usize);
        let mut regions: Vec<Region> = Vec::new();
        for bound in &bound {
            join(&mut regions, bound);
        }
        let mut reserved = GAP;
        for region in &mut regions {
            // The address keeps its place in a page, and with it its alignment.
            let within = region.original as usize % PAGE;
            region.pages = (reserved, (within + region.bytes).next_multiple_of(PAGE));
            reserved += region.pages.1 + GAP;
        }
        let mapping = Mapping::reserved(reserved).map_err(|error| no_memory(reserved, &error))?;
        for region in &mut regions {
            region.start = mapping.start() as usize + region.pages.0 + region.original as usize % PAGE;
            for place in &region.places {
                buffers[place.index as usize] = (region.start + place.offset) as *mut std::ffi::c_void;
            }
            if region.places.iter().any(|place| place.writable) {
                let fresh = bound.iter().filter(|bound| region.holds_original(bound.start as usize));
                let output = fresh.clone().all(|bound| bound.access == BufferAccess::Output);
                region.shadow = Some(Shadow::new(Space::Device, region.bytes, output)?);
            }
        }
        let staging = Self { mapping, regions };
        staging.copy_in()?;
        Ok(staging)
    }

    fn copy_in(&self) -> Result<(), Box<Mistake>> {
        for region in &self.regions {
            let (offset, bytes) = region.pages;
            self.mapping.allow(offset, bytes).map_err(|error| no_memory(bytes, &error))?;
            // SAFETY: the caller of `run` lends these bytes for the dispatch, and the copy's pages were just opened.
            unsafe { (region.start as *mut u8).copy_from_nonoverlapping(region.original, region.bytes) };
        }
        Ok(())
    }

    /// Copies back what the kernel may have written.
    pub fn copy_back(&self) {
        for region in &self.regions {
            for place in region.places.iter().filter(|place| place.writable) {
                // SAFETY: as in `copy_in`; the caller lends what is bound for writing to be written.
                unsafe {
                    let copy = (region.start as *const u8).add(place.offset);
                    region.original.add(place.offset).copy_from_nonoverlapping(copy, place.bytes);
                }
            }
        }
    }

    /// Whether an address belongs to a buffer or the emptiness around it.
    #[inline]
    pub fn contains(&self, address: usize) -> bool {
        self.mapping.contains(address)
    }

    /// The region in or near which an address lies.
    #[inline]
    pub fn region(&mut self, address: usize) -> Option<&mut Region> {
        let offset = address.wrapping_sub(self.mapping.start() as usize);
        self.regions.iter_mut().find(|region| offset < region.pages.0 + region.pages.1 + GAP / 2)
    }
}

impl Region {
    fn holds_original(&self, address: usize) -> bool {
        address.wrapping_sub(self.original as usize) < self.bytes.max(1)
    }

    /// The argument to name for an offset in or near the region.
    pub fn place(&self, offset: isize) -> &Place {
        let inside = |place: &&Place| {
            usize::try_from(offset).is_ok_and(|at| at.wrapping_sub(place.offset) < place.bytes)
        };
        let nearest = if offset < 0 { self.places.first() } else { self.places.last() };
        self.places.iter().find(inside).or(nearest).unwrap_or(&self.places[0])
    }
}

fn describe<'a>(kernel: &'a EntryPoint, index: u32, binding: &Binding<'_>) -> Bound<'a> {
    let argument = kernel.arguments.iter().find_map(|argument| match argument {
        Argument::Buffer { index: own, name, access, .. } if *own == index => Some((name.as_str(), *access)),
        _ => None,
    });
    let (name, kernel_access) = argument.unwrap_or(("(not an argument of the kernel)", Access::Read));
    match binding {
        Binding::Bytes(bytes) => Bound {
            start: bytes.as_ptr().cast_mut(),
            bytes: bytes.len(),
            access: BufferAccess::Read,
            inline: true,
            index,
            name,
            writable: false,
        },
        Binding::Buffer(buffer) => Bound {
            start: buffer.start,
            bytes: buffer.bytes,
            access: buffer.access,
            inline: false,
            index,
            name,
            writable: buffer.access != BufferAccess::Read && kernel_access == Access::Write,
        },
    }
}

/// Adds a binding to the last region, if they overlap, or else as a new one. Bindings come in the order of addresses.
fn join(regions: &mut Vec<Region>, bound: &Bound<'_>) {
    let start = bound.start as usize;
    let place = |offset| Place {
        index: bound.index,
        name: bound.name.to_owned(),
        offset,
        bytes: bound.bytes,
        writable: bound.writable,
    };
    if let Some(last) = regions.last_mut()
        && start < last.original as usize + last.bytes
    {
        let offset = start - last.original as usize;
        last.bytes = last.bytes.max(offset + bound.bytes);
        last.inline &= bound.inline;
        last.places.push(place(offset));
        return;
    }
    regions.push(Region {
        start: 0,
        bytes: bound.bytes,
        original: bound.start,
        places: vec![place(0)],
        shadow: None,
        inline: bound.inline,
        pages: (0, 0),
    });
}

fn no_memory(bytes: usize, error: &io::Error) -> Box<Mistake> {
    Mistake::new(
        FaultKind::Resources,
        format!("the system has no {bytes} bytes for copies of the buffers: {error}"),
    )
}
