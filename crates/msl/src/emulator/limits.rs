//! Whether a dispatch fits its kernel and the limits that every Apple GPU has.

use super::abi::SLOTS;
use super::dispatch::{Binding, BufferAccess, Dispatch};
use super::fault::{Fault, FaultKind};
use super::memory::LIMIT_BYTES;
use crate::EntryPoint;
use crate::lower::{Access, Argument};

/// Threads that a threadgroup can have.
const MAX_THREADS: u64 = 1024;
/// Bytes of inline constants that one argument can have.
const MAX_INLINE_BYTES: usize = 4096;
/// The least alignment that a buffer's offset must have, whatever its type.
const BUFFER_ALIGNMENT: usize = 4;

/// Checks a dispatch before anything runs.
pub fn check(kernel: &EntryPoint, dispatch: &Dispatch<'_>) -> Result<(), Box<Fault>> {
    let refuse = |message| Fault::before_launch(FaultKind::Dispatch, &kernel.name, message);
    check_grid(kernel, dispatch).map_err(refuse)?;
    check_indices(dispatch).map_err(refuse)?;
    let lengths = dispatch.threadgroup_memory.iter().map(|(_, bytes)| *bytes);
    let used: usize = lengths.map(|bytes| bytes.min(LIMIT_BYTES + 1).next_multiple_of(16)).sum();
    if used > LIMIT_BYTES {
        let text = format!("arguments of {used} bytes of threadgroup memory: {LIMIT_BYTES} are possible");
        return Err(Fault::before_launch(FaultKind::ThreadgroupMemory, &kernel.name, text));
    }
    kernel.arguments.iter().try_for_each(|argument| check_argument(argument, dispatch)).map_err(refuse)
}

fn check_grid(kernel: &EntryPoint, dispatch: &Dispatch<'_>) -> Result<(), String> {
    let threads: u64 = dispatch.threads.iter().map(|&count| u64::from(count).min(MAX_THREADS + 1)).product();
    let limit = kernel.max_threads.map_or(MAX_THREADS, |own| u64::from(own).min(MAX_THREADS));
    if threads == 0 || threads > limit {
        let [x, y, z] = dispatch.threads;
        return Err(format!("{x} x {y} x {z} threads in a threadgroup: 1 to {limit} are possible"));
    }
    if dispatch.threadgroups.contains(&0) {
        let [x, y, z] = dispatch.threadgroups;
        return Err(format!("{x} x {y} x {z} threadgroups: at least one is needed along each axis"));
    }
    let grid = (0..3).map(|axis| u64::from(dispatch.threadgroups[axis]) * u64::from(dispatch.threads[axis]));
    if grid.max().is_some_and(|threads| threads > u64::from(u32::MAX)) {
        return Err("the grid has more threads along an axis than 32 bits can count".to_owned());
    }
    Ok(())
}

fn check_indices(dispatch: &Dispatch<'_>) -> Result<(), String> {
    for (place, (index, _)) in dispatch.arguments.iter().enumerate() {
        if *index as usize >= SLOTS {
            return Err(format!("buffer({index}): indices below {SLOTS} are possible"));
        }
        if dispatch.arguments[..place].iter().any(|(earlier, _)| earlier == index) {
            return Err(format!("buffer({index}) is bound twice"));
        }
    }
    match dispatch.threadgroup_memory.iter().find(|(index, _)| *index as usize >= SLOTS) {
        Some((index, _)) => Err(format!("threadgroup({index}): indices below {SLOTS} are possible")),
        None => Ok(()),
    }
}

fn check_argument(argument: &Argument, dispatch: &Dispatch<'_>) -> Result<(), String> {
    match argument {
        Argument::Builtin { .. } => Ok(()),
        Argument::Threadgroup { index, name, .. } => {
            let given = dispatch.threadgroup_memory.iter().any(|(bound, bytes)| bound == index && *bytes > 0);
            if given { Ok(()) } else { Err(format!("threadgroup({index}) `{name}` has no length")) }
        }
        Argument::Buffer { index, name, type_name, access, condition, .. } => {
            let bound = dispatch.arguments.iter().find(|(bound, _)| bound == index);
            let Some((_, binding)) = bound else {
                let missing = Err(format!("buffer({index}) `{name}` is not bound"));
                return if condition.is_some() { Ok(()) } else { missing };
            };
            check_binding(binding, type_name, *access)
                .map_err(|reason| format!("buffer({index}) `{name}`: {reason}"))
        }
    }
}

fn check_binding(binding: &Binding<'_>, type_name: &str, access: Access) -> Result<(), String> {
    let buffer = match binding {
        Binding::Bytes(bytes) if bytes.len() > MAX_INLINE_BYTES => {
            return Err(format!("{} bytes inline, {MAX_INLINE_BYTES} are possible", bytes.len()));
        }
        Binding::Bytes(_) => return Ok(()),
        Binding::Buffer(buffer) => buffer,
    };
    let alignment = type_alignment(type_name).max(BUFFER_ALIGNMENT);
    let past = buffer.start as usize % alignment;
    if past != 0 {
        let type_name = type_name.trim();
        return Err(format!("begins {past} bytes past a multiple of {alignment}, which `{type_name}` needs"));
    }
    match (buffer.access, access) {
        (BufferAccess::Output, Access::Read) => {
            Err("is bound as output, but the kernel only reads it".to_owned())
        }
        _ => Ok(()),
    }
}

/// What the address of a parameter of this type has to be a multiple of, as far as its name tells: a structure's
/// does not.
fn type_alignment(type_name: &str) -> usize {
    let words = type_name.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.filter_map(scalar_or_vector).max().unwrap_or(1)
}

fn scalar_or_vector(word: &str) -> Option<usize> {
    let (scalar, lanes) = match word.strip_suffix(['2', '3', '4']) {
        Some(scalar) => (scalar, if word.ends_with('2') { 2 } else { 4 }),
        None => (word, 1),
    };
    let bytes = match scalar {
        "char" | "uchar" | "bool" => 1,
        "short" | "ushort" | "half" | "bfloat" => 2,
        "int" | "uint" | "float" => 4,
        "long" | "ulong" => 8,
        _ => return None,
    };
    Some(bytes * lanes)
}

#[cfg(test)]
mod tests {
    use super::type_alignment;

    #[test]
    fn alignments_follow_names() {
        assert_eq!(type_alignment("device const float *"), 4);
        assert_eq!(type_alignment("device const half4*"), 8);
        assert_eq!(type_alignment("constant float3 &"), 16);
        assert_eq!(type_alignment("device const block_q4_K*"), 1);
        assert_eq!(type_alignment("device const packed_float3*"), 1);
    }
}
