#!/usr/bin/env python3
"""Write the grids of the IQ formats, from the gguf Python package: crates/wootz-weights/src/quant/grids.rs for the decoder,
kernels/common/grids.h for kernels.

    pip install gguf==0.19.0
    scripts/quant_grids.py

The grids are data of the formats: a file's indices mean nothing without exactly these numbers.
"""

from importlib.metadata import version
from pathlib import Path

from gguf import quants

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "crates/wootz-weights/src/quant/grids.rs"
METAL_TARGET = ROOT / "kernels/common/grids.h"

HEADER = f"""//! The grids of the IQ formats: which eight (or four) small numbers an index stands for.
//!
//! Written by `scripts/quant_grids.py` from the `gguf` Python package {version("gguf")} (`quants.py`), part of
//! llama.cpp, Copyright (c) 2023 Georgi Gerganov, MIT licence: see NOTICE. (size gate: a table)

/// Expands entries of `N` elements, element 0 lowest, `BITS` bits each, which choose from `values`.
const fn expand<const ENTRIES: usize, const N: usize, const BITS: usize>(
    packed: [u16; ENTRIES],
    values: &[i8],
) -> [[i8; N]; ENTRIES] {{
    let mut grid = [[0; N]; ENTRIES];
    let mut entry = 0;
    while entry < ENTRIES {{
        let mut i = 0;
        while i < N {{
            grid[entry][i] = values[packed[entry] as usize >> (i * BITS) & ((1 << BITS) - 1)];
            i += 1;
        }}
        entry += 1;
    }}
    grid
}}
"""


METAL_HEADER = f"""// The grids of the IQ formats: which eight (or four) small numbers an index stands for.
//
// An entry has 16 bits, two or four for an element, element 0 lowest; format_iq.h says what number each stands for.
//
// Written by scripts/quant_grids.py from the gguf Python package {version("gguf")} (quants.py), part of
// llama.cpp, Copyright (c) 2023 Georgi Gerganov, MIT licence: see NOTICE. (size gate: a table)
#pragma once
"""

# What format_iq.h computes from an element's bits, instead of looking it up.
METAL_VALUES = {
    "IQ2_XXS": [8, 25, 43],
    "IQ2_XS": [8, 25, 43],
    "IQ2_S": [8, 25, 43],
    "IQ3_XXS": [4, 12, 20, 28, 36, 44, 52, 62],
    "IQ3_S": [1, 3, 5, 7, 9, 11, 13, 15],
    "IQ1_S": [-1, 0, 1],
}


def packed_words(kind):
    """The entries of a format's grid. The package packs 16 bits an entry, first element lowest."""
    entries, _ = kind.grid_shape
    packed = bytes.fromhex(kind.grid_hex.decode())
    assert len(packed) == 2 * entries
    return [int.from_bytes(packed[i : i + 2], "little") for i in range(0, len(packed), 2)]


def listed(words, indentation):
    return "\n".join(
        indentation + " ".join(f"0x{word:04x}," for word in words[i : i + 12]) for i in range(0, len(words), 12)
    )


def metal_table(kind):
    """The Metal text of one format's grid."""
    name = kind.qtype.name
    assert [int(value) for value in kind.grid_map] == METAL_VALUES[name], name
    words = packed_words(kind)
    short = "IQ1" if name == "IQ1_S" else name
    return f"""
constant ushort GRID_{short}[{len(words)}] = {{
{listed(words, "    ")}
}};
"""


def table(kind):
    """The Rust text of one format's grid."""
    entries, elements = kind.grid_shape
    values = ", ".join(str(int(value)) for value in kind.grid_map)
    lines = listed(packed_words(kind), "        ")
    name = kind.qtype.name
    return f"""
/// Of {name}{" and IQ1_M" if name == "IQ1_S" else ""}.
#[rustfmt::skip]
pub(super) static {name}: [[i8; {elements}]; {entries}] = expand::<{entries}, {elements}, {16 // elements}>(
    [
{lines}
    ],
    &[{values}],
);
"""


def main():
    kinds = [quants.IQ2_XXS, quants.IQ2_XS, quants.IQ2_S, quants.IQ3_XXS, quants.IQ3_S, quants.IQ1_S]
    TARGET.write_text(HEADER + "".join(table(kind) for kind in kinds))
    METAL_TARGET.write_text(METAL_HEADER + "".join(metal_table(kind) for kind in kinds))
    print(f"wrote {TARGET} and {METAL_TARGET}")


if __name__ == "__main__":
    main()
