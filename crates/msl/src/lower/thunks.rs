//! Thunks: for each entry point a C function that starts one of its threads.
//!
//! All thunks have one type, `void (const msl_launch*)`, so the emulator can call any kernel without knowing its
//! parameters. The parameters' types come from the kernel itself (`decltype`), because a template's are not written
//! out anywhere.

use std::fmt::Write;

use super::arguments::Argument;
use super::entry_points::EntryPoint;

/// The thunks' text. Gives each entry point its symbol.
pub(crate) fn text(entry_points: &mut [EntryPoint]) -> String {
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
