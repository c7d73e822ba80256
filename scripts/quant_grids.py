#!/usr/bin/env python3
"""Write crates/wootz-weights/src/quant/grids.rs: the grids of the IQ formats, from the gguf Python package.

    pip install gguf==0.19.0
    scripts/quant_grids.py

The grids are data of the formats: a file's indices mean nothing without exactly these numbers.
"""

from importlib.metadata import version
from pathlib import Path

from gguf import quants

TARGET = Path(__file__).parent.parent / "crates/wootz-weights/src/quant/grids.rs"

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


def table(kind):
    """The Rust text of one format's grid. The package packs 16 bits an entry, first element lowest."""
    entries, elements = kind.grid_shape
    packed = bytes.fromhex(kind.grid_hex.decode())
    assert len(packed) == 2 * entries
    words = [int.from_bytes(packed[i : i + 2], "little") for i in range(0, len(packed), 2)]
    values = ", ".join(str(int(value)) for value in kind.grid_map)
    lines = "\n".join(
        "        " + " ".join(f"0x{word:04x}," for word in words[i : i + 12]) for i in range(0, len(words), 12)
    )
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
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
