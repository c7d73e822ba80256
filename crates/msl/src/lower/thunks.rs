//! Thunks: for each entry point a C function that starts one of its threads.
//!
//! All thunks have one type, `void (const msl_launch*)`, so the emulator can call any kernel without knowing its
//! parameters. The parameters' types come from the kernel itself (`decltype`), because a template's are not written
//! out anywhere.
//!
//! For a GPU a thunk is the kernel that the driver starts. Its parameters are the kernel's buffers in the order of their
//! numbers: an address, or the struct itself where the kernel takes a `constant T&`.

use std::fmt::Write;

use super::Target;
use super::arguments::Argument;
use super::entry_points::EntryPoint;

/// The thunks' text. Gives each entry point its symbol.
pub(crate) fn text(entry_points: &mut [EntryPoint], target: Target) -> String {
    match target {
        Target::Emulator => for_emulator(entry_points),
        Target::Ptx => for_ptx(entry_points),
    }
}

fn for_emulator(entry_points: &mut [EntryPoint]) -> String {
    let mut text = String::from("\n#line 1 \"msl/thunks.h\"\n");
    for (number, entry_point) in entry_points.iter_mut().enumerate() {
        entry_point.symbol = format!("msl_entry_{number}");
        let (symbol, function) = (&entry_point.symbol, &entry_point.expression);
        let _ =
            writeln!(text, "extern \"C\" MSL_EXPORT void {symbol}(const __private msl_launch* launch) {{");
        let _ = writeln!(text, "  typedef msl_signature<decltype({function})> signature;");
        let arguments: Vec<String> = entry_point.arguments.iter().enumerate().map(argument).collect();
        let _ = writeln!(text, "  {function}({});\n}}", arguments.join(", "));
    }
    text
}

fn argument((position, argument): (usize, &Argument)) -> String {
    let (source, index) = match argument {
        Argument::Buffer { index, .. } => ("msl_buffer_argument", *index),
        Argument::Threadgroup { index, .. } => ("msl_threadgroup_argument", *index),
        Argument::Builtin { builtin, .. } => ("msl_builtin_argument", builtin.code()),
    };
    format!("{source}<signature::at<{position}>>(launch, {index})")
}

fn for_ptx(entry_points: &mut [EntryPoint]) -> String {
    let mut text = String::from("\n#line 1 \"msl/thunks.h\"\n");
    for (number, entry_point) in entry_points.iter_mut().enumerate() {
        let thunk_name = format!("msl_entry_{number}");
        // What profilers and debuggers print. The C++ name is another, since the kernel's own may be just this.
        let is_plain = entry_point.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        entry_point.symbol = if is_plain { entry_point.name.clone() } else { thunk_name.clone() };
        let (symbol, function) = (&entry_point.symbol, &entry_point.expression);
        let of = |position| format!("msl_signature<decltype({function})>::at<{position}>");
        let (mut parameters, mut arguments) = (Vec::new(), Vec::new());
        for (position, argument) in entry_point.arguments.iter().enumerate() {
            let of = of(position);
            match argument {
                Argument::Buffer { index, .. } => {
                    parameters.push((*index, format!("msl_parameter<{of}>::type buffer_{index}")));
                    arguments.push(format!("msl_from_parameter<{of}>(buffer_{index})"));
                }
                // Nothing gives such memory its size: a kernel that wants some is refused by name when it is loaded.
                Argument::Threadgroup { .. } => arguments.push("nullptr".to_owned()),
                Argument::Builtin { builtin, .. } => {
                    arguments.push(format!("msl_builtin_argument<{of}, {}>()", builtin.code()));
                }
            }
        }
        parameters.sort();
        let parameters: Vec<String> = parameters.into_iter().map(|(_, text)| text).collect();
        let (parameters, arguments) = (parameters.join(", "), arguments.join(", "));
        let thunk = format!("extern \"C\" __attribute__((nvptx_kernel)) void {thunk_name}({parameters})");
        let _ = writeln!(text, "{thunk} __asm__(\"{symbol}\");\n{thunk} {{ {function}({arguments}); }}");
    }
    text
}
