// Tokens that may stand for ones that are not known yet.
#pragma once

// Set in an entry that names a row of the previous step.
constant constexpr uint PREVIOUS = 0x80000000u;

// An entry's token: itself, or the one that a row of the previous step chose. `previous` is read for such entries only.
inline uint resolved(uint entry, device const uint* previous) {
    return (entry & PREVIOUS) != 0 ? previous[entry & ~PREVIOUS] : entry;
}
