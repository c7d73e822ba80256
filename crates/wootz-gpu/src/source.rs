//! The embedded kernel sources, and the one text that a compiler gets of each.
//!
//! Metal compiles from a string and has no folder to include from, so headers are put in their place here, each
//! once. `#line` directives keep every message at its file and line.

use std::collections::BTreeSet;

/// A `.metal` file of `kernels/`.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelSource {
    /// Its name: `norm.metal`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The argument structs that it uses, as Metal text: what `#include "arguments.h"` gives it.
    pub arguments: &'static [&'static str],
}

/// The headers that kernels may include, by the path that they do it with.
macro_rules! headers {
    ($($path:literal),* $(,)?) => {
        const HEADERS: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../kernels/", $path)))),*];
    };
}

headers![
    "common/pack_source.h",
    "common/packed.h",
    "common/packed_normed.h",
    "common/packed_record.h",
    "common/packed_results.h",
    "common/packed_store.h",
    "common/packed_units.h",
    "common/packet_affine.h",
    "common/packet_fp4.h",
    "common/packet_fp8.h",
    "common/attention.h",
    "common/attention_decode.h",
    "common/attention_matrix.h",
    "common/attention_partition.h",
    "common/attention_prefill.h",
    "common/attention_prefill_registers.h",
    "common/attention_registers.h",
    "common/draw.h",
    "common/earlier.h",
    "common/entries.h",
    "common/format.h",
    "common/format_affine.h",
    "common/format_fp4.h",
    "common/format_fp8.h",
    "common/format_iq.h",
    "common/format_k.h",
    "common/format_legacy.h",
    "common/format_nf4.h",
    "common/format_plain.h",
    "common/format_q8.h",
    "common/format_ternary.h",
    "common/gemv.h",
    "common/gemm.h",
    "common/gemm_packed.h",
    "common/gemm_staged.h",
    "common/gemm_warpgroup.h",
    "common/gemm_tensor.h",
    "common/gemm_tile.h",
    "common/grids.h",
    "common/half_rows.h",
    "common/joint_rows.h",
    "common/kv_page.h",
    "common/matrix_unit.h",
    "common/order.h",
    "common/moe_gemv.h",
    "common/page_factors.h",
    "common/page_stage.h",
    "common/weights.h",
    "common/gemv_generic.h",
    "common/packet_k.h",
    "common/packet_legacy.h",
    "common/packet_plain.h",
    "common/quads.h",
    "common/prefix.h",
    "common/random.h",
    "common/rms_norm.h",
    "common/rows.h",
    "common/search.h",
    "common/shares.h",
    "common/shortlist.h",
    "common/silu.h",
    "common/spread.h",
    "common/team.h",
    "common/tile.h",
    "common/tile_mma.h",
    "common/tile_mma_multiply.h",
    "common/tile_simdgroup.h",
    "common/unpack.h",
    "common/warpgroup.h",
];

/// What the sources include that are written in Metal 4.
const TENSOR_HEADER: &str = "#include <metal_tensor>";
/// What those include that hold factors of NVIDIA's matrix unit in registers.
const REGISTER_HEADERS: [&str; 6] = [
    "#include \"common/packed.h\"",
    "#include \"common/packed_results.h\"",
    "#include \"common/packed_normed.h\"",
    "#include \"common/gemm_packed.h\"",
    "#include \"common/attention_registers.h\"",
    WARPGROUP_HEADER,
];
/// What those include whose simdgroups multiply four together.
const WARPGROUP_HEADER: &str = "#include \"common/gemm_warpgroup.h\"";

impl KernelSource {
    /// Whether it is compiled. What has no text is done by a library, or by several devices together.
    pub fn is_compiled(&self) -> bool {
        !self.text.is_empty()
    }

    /// Whether its kernels run only on devices with [`crate::device::DeviceFacts::tensor_operations`].
    pub fn needs_tensor_operations(&self) -> bool {
        self.text.contains(TENSOR_HEADER)
    }

    /// Whether its kernels run only on devices with [`crate::device::DeviceFacts::register_factors`].
    pub fn needs_register_factors(&self) -> bool {
        REGISTER_HEADERS.iter().any(|header| self.text.contains(header))
    }

    /// Whether its kernels run only on devices with [`crate::device::DeviceFacts::warpgroup_products`].
    pub fn needs_warpgroup_products(&self) -> bool {
        self.text.contains(WARPGROUP_HEADER)
    }

    /// The whole text: the file with its headers in place.
    ///
    /// # Errors
    /// The name of a header that does not exist.
    pub fn flattened(&self) -> Result<String, String> {
        let mut out = String::with_capacity(4 * self.text.len());
        let mut seen = BTreeSet::new();
        self.append(self.file, self.text, &mut seen, &mut out)?;
        Ok(out)
    }

    fn append(
        &self,
        file: &'static str,
        text: &'static str,
        seen: &mut BTreeSet<&'static str>,
        out: &mut String,
    ) -> Result<(), String> {
        line_marker(1, file, out);
        for (number, line) in text.lines().enumerate() {
            match included(line) {
                None => {
                    out.push_str(line);
                    out.push('\n');
                }
                Some("arguments.h") => {
                    line_marker(1, "arguments.h", out);
                    self.arguments.iter().for_each(|text| out.push_str(text));
                    line_marker(number + 2, file, out);
                }
                Some(path) => {
                    let (path, header) = HEADERS
                        .iter()
                        .find(|(known, _)| *known == path)
                        .ok_or_else(|| format!("{file}:{}: no header {path}", number + 1))?;
                    if seen.insert(path) {
                        self.append(path, header, seen, out)?;
                        line_marker(number + 2, file, out);
                    } else {
                        out.push('\n');
                    }
                }
            }
        }
        Ok(())
    }
}

fn line_marker(line: usize, file: &str, out: &mut String) {
    out.push_str(&format!("#line {line} \"{file}\"\n"));
}

/// The path of `#include "path"`; headers of Metal itself, in angle brackets, are the compiler's.
fn included(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("#include")?.trim().strip_prefix('"')?.strip_suffix('"')
}
