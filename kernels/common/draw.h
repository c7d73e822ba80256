// Draws from the tokens of a row: needs shares.h, search.h and random.h. Every function is called by the whole
// threadgroup, and gives every thread the same answer.
#pragma once

// Tokens that the draw from a whole vocabulary sums together, as the engine's sampler does.
constant constexpr uint BLOCK = 1024;
// The longest shortlist.
constant constexpr uint SHORTLIST = 2048;
// No token.
constant constexpr uint NONE = 0xffffffffu;

// What is said of a row in `status`, with the place of a broken logit beside it.
constant constexpr uint CHOSEN = 0;
constant constexpr uint NO_TOKEN_LEFT = 1;
constant constexpr uint BROKEN_LOGIT = 2;

// Threadgroup memory of a draw.
struct Scratch {
    threadgroup ulong* sums;       // [BLOCK]
    threadgroup ulong* partial;    // [32]
    threadgroup uint* least;       // [32]
};

// The greatest logit of a row.
struct Best {
    uint key;
    uint token;     // the lowest with that logit
    uint broken;    // the first token whose logit is no number, or NONE
};

inline Best best_of(device const float* x, uint vocab, threadgroup uint* least, Team team) {
    Best mine = {0, NONE, NONE};
    for (uint i = team.index; i < vocab; i += team.count) {
        const float logit = x[i];
        if (is_broken(logit)) mine.broken = min(mine.broken, i);
        const uint key = key_of(logit);
        if (key > mine.key) {
            mine.key = key;
            mine.token = i;
        }
    }
    const uint key = ~team_min(~mine.key, least, team);
    const uint token = team_min(mine.key == key ? mine.token : NONE, least, team);
    return Best{key, token, team_min(mine.broken, least, team)};
}

// Mass of the tokens `first` to `first + 16`, or to the end of the vocabulary.
inline ulong mass_from(device const float* x, uint first, uint vocab, float best, float scale) {
    if (first + 16 <= vocab) return chunk_mass(x + first, best, scale);
    ulong sum = 0;
    for (uint i = first; i < vocab; i++) sum += fixed_share(share_exp((x[i] - best) * scale));
    return sum;
}

inline ulong mass_of_all(device const float* x, uint vocab, float best, Scratch scratch, Team team) {
    ulong sum = 0;
    for (uint first = 16 * team.index; first < vocab; first += 16 * team.count) {
        sum += mass_from(x, first, vocab, best, 1.0f);
    }
    return team_sum_wide(sum, scratch.partial, team);
}

// The token of block `block` at mass `rest` of it; in simdgroup 0 only.
inline uint draw_in_block(
    device const float* x, uint vocab, uint block, ulong rest, float best, float scale, threadgroup ulong* partial,
    uint lane)
{
    const uint start = block * BLOCK + lane * (BLOCK / 32);
    const uint end = min(vocab, start + BLOCK / 32);
    ulong mine = 0;
    uint last = 0;
    for (uint i = start; i < end; i++) {
        const ulong share = fixed_share(share_exp((x[i] - best) * scale));
        mine += share;
        if (share > 0) last = i + 1;
    }
    partial[lane] = mine;
    simdgroup_barrier(mem_flags::mem_threadgroup);
    ulong before = 0;
    for (uint other = 0; other < lane; other++) before += partial[other];
    uint found = NONE;
    if (before <= rest && rest - before < mine) {
        ulong left = rest - before;
        for (uint i = start; i < end && found == NONE; i++) {
            const ulong share = fixed_share(share_exp((x[i] - best) * scale));
            if (left < share) found = i;
            left -= share;
        }
    }
    found = simd_min(found);
    // The block's sum was rounded otherwise than its tokens': past the end the last is meant.
    last = simd_max(last);
    return found == NONE ? last - 1 : found;
}

// A token of the whole vocabulary, walking by id.
inline uint draw_from_all(
    device const float* x, uint vocab, float best, float scale, ulong uniform, Scratch scratch, Team team)
{
    const uint blocks = (vocab + BLOCK - 1) / BLOCK;
    for (uint block = team.simdgroup; block < blocks; block += team.simdgroups) {
        const uint first = block * BLOCK + team.lane * 32;
        ulong sum = 0;
        if (first < vocab) sum += mass_from(x, first, vocab, best, scale);
        if (first + 16 < vocab) sum += mass_from(x, first + 16, vocab, best, scale);
        sum = simd_sum_wide(sum);
        if (team.lane == 0) scratch.sums[block] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    ulong mass = 0;
    for (uint block = 0; block < blocks; block++) mass += scratch.sums[block];
    ulong low = 0;
    ulong rest = wide_product(uniform, mass, low);
    uint block = 0;
    while (block + 1 < blocks && rest >= scratch.sums[block]) {
        rest -= scratch.sums[block];
        block += 1;
    }
    uint token = 0;
    if (team.simdgroup == 0) {
        token = draw_in_block(x, vocab, block, rest, best, scale, scratch.partial, team.lane);
    }
    return team_min(team.simdgroup == 0 ? token : NONE, scratch.least, team);
}

// The token number `index` by id of those at `key`.
template <typename Source>
inline uint tied_token(Source source, uint key, ulong index, Scratch scratch, Team team) {
    if (index > 0) return ~search(source, CountedTies{key}, index + 1, scratch.partial, team);
    uint first = NONE;
    for (uint i = team.index; i < source.count; i += team.count) {
        if (key_of(source.logit(i)) == key) first = min(first, source.token(i));
    }
    return team_min(first, scratch.least, team);
}

// Mass that the nucleus must reach: the share top_p (in units of 2^-64) of all, rounded up.
inline ulong nucleus_mass(ulong mass, device const SampleRow& row) {
    ulong low = 0;
    const ulong high = wide_product(mass, ulong(row.top_p[0]) | (ulong(row.top_p[1]) << 32), low);
    return high + (low != 0 ? 1 : 0);
}

inline bool has_top_p(device const SampleRow& row) { return (row.top_p[0] | row.top_p[1]) != 0; }

// A token of those that top-k, top-p and min-p leave, walking from the most likely on.
template <typename Source>
inline uint draw_filtered(
    Source source, device const SampleRow& row, float best, ulong whole_mass, ulong uniform, Scratch scratch,
    Team team)
{
    Weighed measure = {Kept{KEY_IMPOSSIBLE, 0}, best, 1.0f, 0.0f, false};
    if (row.top_k > 0) measure.kept = first_tokens(source, row.top_k, scratch.partial, team);
    if (has_top_p(row)) {
        ulong mass = whole_mass;
        if (row.top_k > 0) mass = sum_above(source, measure, 0, scratch.partial, team) + measure.below(0);
        measure.kept = first_mass(source, measure, nucleus_mass(mass, row), scratch.partial, team);
    }
    measure.scale = row.scale;
    measure.floor = row.min_p_floor;
    measure.has_floor = row.has_min_p != 0;
    const ulong mass = sum_above(source, measure, 0, scratch.partial, team) + measure.below(0);
    ulong low = 0;
    const ulong target = wide_product(uniform, mass, low);
    const uint key = search(source, measure, target + 1, scratch.partial, team);
    const ulong into = target - sum_above(source, measure, key, scratch.partial, team);
    return tied_token(source, key, measure.tokens_in(into, key), scratch, team);
}
