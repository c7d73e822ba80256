//! Arguments: what a kernel is given, and where from.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::MslError;

use super::attributes::{self, Attribute};
use super::tokens::Tokens;

/// Buffers that an entry point may have: Metal's limit.
pub const BUFFERS: u32 = 31;
/// Threadgroup allocations that an entry point may have: Metal's limit.
pub const THREADGROUP_ALLOCATIONS: u32 = 31;

/// One parameter of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// Memory that the dispatch binds.
    Buffer {
        /// The number in `[[buffer(n)]]`.
        index: u32,
        /// The parameter's name.
        name: String,
        /// Its type as written, such as `device const half4*`. Template parameters stand as they are.
        type_name: String,
        /// What the kernel may do with it.
        access: Access,
        /// Which memory space it lies in.
        space: Space,
        /// The function constant that must be true for the buffer to be there.
        condition: Option<String>,
    },
    /// Threadgroup memory whose size the dispatch gives.
    Threadgroup {
        /// The number in `[[threadgroup(n)]]`.
        index: u32,
        /// The parameter's name.
        name: String,
        /// Its type as written.
        type_name: String,
    },
    /// A value that tells a thread where it is.
    Builtin {
        /// Which one.
        builtin: Builtin,
        /// The parameter's name.
        name: String,
        /// Its type as written, such as `uint2`.
        type_name: String,
    },
}

/// What a kernel may do with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    /// It is `const` or `constant`.
    Read,
    /// It is `device` without `const`: the kernel may also read it.
    Write,
}

/// The memory space of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// `device`
    Device,
    /// `constant`
    Constant,
}

macro_rules! builtins {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// A value that tells a thread where it is. The numbers are the places in `msl_launch::values`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the names are Metal's, and its language specification describes each")]
        pub enum Builtin { $($(#[$doc])* $variant = $code,)* }

        impl Builtin {
            /// The builtin of an attribute.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Its attribute.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its place among the values that a thread is started with.
            pub fn code(self) -> u32 {
                self as u32
            }
        }
    };
}

builtins! {
    ThreadPositionInGrid = 0, "thread_position_in_grid";
    ThreadPositionInThreadgroup = 1, "thread_position_in_threadgroup";
    ThreadgroupPositionInGrid = 2, "threadgroup_position_in_grid";
    ThreadsPerThreadgroup = 3, "threads_per_threadgroup";
    ThreadgroupsPerGrid = 4, "threadgroups_per_grid";
    ThreadsPerGrid = 5, "threads_per_grid";
    ThreadIndexInThreadgroup = 6, "thread_index_in_threadgroup";
    SimdgroupIndexInThreadgroup = 7, "simdgroup_index_in_threadgroup";
    ThreadIndexInSimdgroup = 8, "thread_index_in_simdgroup";
    SimdgroupsPerThreadgroup = 9, "simdgroups_per_threadgroup";
    ThreadsPerSimdgroup = 10, "threads_per_simdgroup";
    DispatchThreadsPerThreadgroup = 11, "dispatch_threads_per_threadgroup";
    DispatchSimdgroupsPerThreadgroup = 12, "dispatch_simdgroups_per_threadgroup";
    ThreadExecutionWidth = 13, "thread_execution_width";
    QuadgroupIndexInThreadgroup = 14, "quadgroup_index_in_threadgroup";
    ThreadIndexInQuadgroup = 15, "thread_index_in_quadgroup";
    GridOrigin = 16, "grid_origin";
    GridSize = 17, "grid_size";
}

impl Argument {
    /// The parameter's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Buffer { name, .. } | Self::Threadgroup { name, .. } | Self::Builtin { name, .. } => name,
        }
    }
}

/// Reads one parameter and its attributes.
pub(crate) fn read(tokens: &Tokens, range: Range<usize>) -> Result<Argument, MslError> {
    let attributes = parameter_attributes(tokens, range.clone())?;
    let declaration_end = attributes.first().map_or(range.end, |(start, _)| *start);
    let name_index =
        declaration_end.checked_sub(1).filter(|index| *index > range.start && tokens.is_word(*index));
    let Some(name_index) = name_index else {
        return Err(tokens.error(range.start, "a kernel's parameters need a type, a name and an attribute"));
    };
    let name = tokens.text(name_index).to_owned();
    let type_name = tokens.join(range.start..name_index);
    let condition = attributes.iter().find(|(_, attribute)| attribute.name == "function_constant");
    let condition = condition.map(|(_, attribute)| tokens.join(attribute.arguments.clone()));
    for (_, attribute) in &attributes {
        if let Some(builtin) = Builtin::named(&attribute.name) {
            return Ok(Argument::Builtin { builtin, name, type_name });
        }
        match attribute.name.as_str() {
            "buffer" => {
                let index = number_below(tokens, attribute, BUFFERS)?;
                let words: Vec<&str> = (range.start..name_index).map(|word| tokens.text(word)).collect();
                let (space, access) = buffer_kind(&words)
                    .map_err(|message| tokens.error(range.start, format!("buffer `{name}` {message}")))?;
                return Ok(Argument::Buffer { index, name, type_name, access, space, condition });
            }
            "threadgroup" => {
                let index = number_below(tokens, attribute, THREADGROUP_ALLOCATIONS)?;
                return Ok(Argument::Threadgroup { index, name, type_name });
            }
            "function_constant" => {}
            other => {
                let message = format!(
                    "parameter `{name}` has the attribute `{other}`; possible are buffer(n), threadgroup(n) and the positions of a thread, such as thread_position_in_grid"
                );
                return Err(tokens.error(attribute.at, message));
            }
        }
    }
    let message =
        format!("parameter `{name}` needs an attribute that says where it comes from, such as [[buffer(0)]]");
    Err(tokens.error(name_index, message))
}

/// The attributes of a parameter, each with the first token of its list.
fn parameter_attributes(tokens: &Tokens, range: Range<usize>) -> Result<Vec<(usize, Attribute)>, MslError> {
    let mut attributes = Vec::new();
    let mut at = range.start;
    while at < range.end {
        if tokens.is_attribute(at) {
            let list = attributes::read(tokens, at)?;
            attributes.extend(list.attributes.into_iter().map(|attribute| (at, attribute)));
        }
        at = tokens.step(at);
    }
    Ok(attributes)
}

fn number_below(tokens: &Tokens, attribute: &Attribute, limit: u32) -> Result<u32, MslError> {
    let number = attribute.number(tokens)?;
    if number < limit {
        return Ok(number);
    }
    let message = format!("`{}({number})`: the highest index is {}", attribute.name, limit - 1);
    Err(tokens.error(attribute.at, message))
}

/// Memory space and access of a buffer, from the words of its type.
fn buffer_kind(words: &[&str]) -> Result<(Space, Access), &'static str> {
    if !matches!(words.last(), Some(&"*" | &"&")) {
        return Err("must be a pointer or a reference");
    }
    match (words.contains(&"device"), words.contains(&"constant")) {
        // `device T* const p` has a constant pointer, but then the type would not end with `*`.
        (true, false) if words.contains(&"const") => Ok((Space::Device, Access::Read)),
        (true, false) => Ok((Space::Device, Access::Write)),
        (false, true) => Ok((Space::Constant, Access::Read)),
        (true, true) => Err("cannot lie in `device` and in `constant` memory"),
        (false, false) => Err("must lie in `device` or `constant` memory"),
    }
}
