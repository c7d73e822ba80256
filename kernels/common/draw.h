// Draws from the tokens of a row: needs shares.h, search.h, prefix.h and random.h. Every function is called by the whole
// threadgroup, and gives every thread the same answer.
#pragma once

// Logits of a row that a threadgroup has in the launches that many threadgroups share.
constant constexpr uint PART = 4096;
// Tokens that the draw from a whole vocabulary sums together, as the engine's sampler does.
constant constexpr uint BLOCK = 1024;
// No token.
constant constexpr uint NONE = 0xffffffffu;

// What is said of a row in `status`, with the place of a broken logit beside it.
constant constexpr uint CHOSEN = 0;
constant constexpr uint NO_TOKEN_LEFT = 1;
constant constexpr uint BROKEN_LOGIT = 2;

inline uint parts_of(uint vocab) { return (vocab + PART - 1) / PART; }
inline uint blocks_of(uint vocab) { return (vocab + BLOCK - 1) / BLOCK; }

// The logits that a row is sampled from. Where no row of the step changes its own, none is asked before they are loaded.
inline Vocabulary sampled_row(
    device const float* logits, device const float* changed, device const SampleRow* rows, uint row_index,
    constant SampleArguments& args)
{
    const ulong start = ulong(row_index) * args.vocab;
    if (args.changes != 0 && rows[row_index].changes != 0) return Vocabulary{changed + start, args.vocab};
    return Vocabulary{logits + start, args.vocab};
}

// Threadgroup memory of a draw.
struct Scratch {
    threadgroup ulong* partial;    // [32]
    threadgroup uint* least;       // [96]
};

// The greatest logit of a row, or of some tokens.
struct Best {
    uint key;
    uint token;     // the lowest with that logit, if that is possible
    uint broken;    // the first token whose logit is no number, or NONE

    // Tokens have to come in their order.
    void take(float logit, uint other) {
        if (is_broken(logit)) broken = min(broken, other);
        const uint found = key_of(logit);
        if (found > key) {
            key = found;
            token = other;
        }
    }
};

inline Best no_best() { return Best{0, NONE, NONE}; }

inline Best simd_best(Best mine) {
    const uint key = simd_max(mine.key);
    return Best{key, simd_min(mine.key == key ? mine.token : NONE), simd_min(mine.broken)};
}

// `least` may be used again at once.
inline Best team_best(Best mine, threadgroup uint* least, Team team) {
    mine = simd_best(mine);
    if (team.simdgroups == 1) return mine;   // all threads
    if (team.lane == 0) {
        least[team.simdgroup] = mine.key;
        least[32 + team.simdgroup] = mine.token;
        least[64 + team.simdgroup] = mine.broken;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    mine = no_best();
    if (team.lane < team.simdgroups) mine = Best{least[team.lane], least[32 + team.lane], least[64 + team.lane]};
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_best(mine);
}

inline Best best_of(Vocabulary row, threadgroup uint* least, Team team) {
    Best mine = no_best();
    take_all(mine, row, team);
    return team_best(mine, least, team);
}

// The same of what is known of the row's parts.
inline Best best_of_parts(device const uint4* parts, uint count, threadgroup uint* least, Team team) {
    Best mine = no_best();
    for (uint part = team.index; part < count; part += team.count) {
        const uint4 other = parts[part];
        mine.broken = min(mine.broken, other.z);
        if (other.x > mine.key) {
            mine.key = other.x;
            mine.token = other.y;
        }
    }
    return team_best(mine, least, team);
}

// Mass of the tokens `first` to `first + 16`, or to the end of the vocabulary.
inline ulong mass_from(Vocabulary row, uint first, float best, float scale) {
    if (first + 16 <= row.count) return chunk_mass(row.logits + first, best, scale);
    ulong sum = 0;
    for (uint i = first; i < row.count; i++) sum += fixed_share(share_exp((row.logits[i] - best) * scale));
    return sum;
}

inline ulong mass_of_all(Vocabulary row, float best, threadgroup ulong* partial, Team team) {
    ulong sum = 0;
    for (uint first = 16 * team.index; first < row.count; first += 16 * team.count) {
        sum += mass_from(row, first, best, 1.0f);
    }
    return team_sum_wide(sum, partial, team);
}

// The token of block `block` at mass `rest` of it.
inline uint draw_in_block(Vocabulary row, uint block, ulong rest, float best, float scale, Scratch scratch, Team team) {
    const uint each = (BLOCK + team.count - 1) / team.count;
    const uint start = block * BLOCK + team.index * each;
    const uint end = min(min(row.count, (block + 1) * BLOCK), start + each);
    ulong mine = 0;
    uint last = 0;
    for (uint i = start; i < end; i++) {
        const ulong share = fixed_share(share_exp((row.logits[i] - best) * scale));
        mine += share;
        if (share > 0) last = i + 1;
    }
    const ulong before = team_before(mine, scratch.partial, team).mine;
    uint found = NONE;
    if (before <= rest && rest - before < mine) {
        ulong left = rest - before;
        for (uint i = start; i < end && found == NONE; i++) {
            const ulong share = fixed_share(share_exp((row.logits[i] - best) * scale));
            if (left < share) found = i;
            left -= share;
        }
    }
    found = team_min(found, scratch.least, team);
    // The block's sum was rounded otherwise than its tokens': past the end the last is meant.
    last = ~team_min(~last, scratch.least, team);
    return found == NONE ? last - 1 : found;
}

// A token of the whole vocabulary, walking by id; `sums` are the masses of its blocks. There are as many threads as blocks.
inline uint draw_from_all(
    Vocabulary row, device const ulong* sums, float best, float scale, ulong uniform, Scratch scratch, Team team)
{
    const ulong own = team.index < blocks_of(row.count) ? sums[team.index] : 0ul;
    const Before before = team_before(own, scratch.partial, team);
    ulong low = 0;
    const ulong target = wide_product(uniform, before.all, low);
    const bool here = before.mine <= target && target - before.mine < own;
    const uint block = team_min(here ? team.index : NONE, scratch.least, team);
    if (here) scratch.partial[0] = target - before.mine;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const ulong rest = scratch.partial[0];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return draw_in_block(row, block, rest, best, scale, scratch, team);
}

// Mass that the nucleus must reach: the share top_p (in units of 2^-64) of all, rounded up.
inline ulong nucleus_mass(ulong mass, device const SampleRow& row) {
    ulong low = 0;
    const ulong high = wide_product(mass, ulong(row.top_p[0]) | (ulong(row.top_p[1]) << 32), low);
    return high + (low != 0 ? 1 : 0);
}

inline bool has_top_p(device const SampleRow& row) { return (row.top_p[0] | row.top_p[1]) != 0; }

// Whether nothing but the temperature decides.
inline bool keeps_all(device const SampleRow& row) {
    return row.top_k == 0 && !has_top_p(row) && row.has_min_p == 0;
}

// Whether the row's first filter is top-p: then it needs the mass of the whole vocabulary.
inline bool keeps_by_mass(device const SampleRow& row) { return row.top_k == 0 && has_top_p(row); }

// What a draw weighs tokens by, those of all keys.
inline Weighed tempered(device const SampleRow& row, float best) {
    return Weighed{Kept{KEY_IMPOSSIBLE, 0}, best, row.scale, row.min_p_floor, row.has_min_p != 0};
}

// The same before the temperature.
inline Weighed untempered(float best) { return Weighed{Kept{KEY_IMPOSSIBLE, 0}, best, 1.0f, 0.0f, false}; }

// A token of those that top-k, top-p and min-p leave of a vocabulary, walking from the most likely on.
inline uint draw_filtered(
    Vocabulary source, device const SampleRow& row, float best, ulong whole_mass, ulong uniform, Scratch scratch,
    Team team)
{
    Weighed measure = untempered(best);
    if (row.top_k > 0) measure.kept = first_tokens(source, row.top_k, scratch.partial, team);
    if (has_top_p(row)) {
        ulong mass = whole_mass;
        if (row.top_k > 0) mass = sum_above(source, measure, 0, scratch.partial, team) + measure.below(0);
        measure.kept = first_mass(source, measure, nucleus_mass(mass, row), scratch.partial, team);
    }
    const Kept kept = measure.kept;
    measure = tempered(row, best);
    measure.kept = kept;
    const ulong mass = sum_above(source, measure, 0, scratch.partial, team) + measure.below(0);
    ulong low = 0;
    const ulong target = wide_product(uniform, mass, low);
    const uint key = search(source, measure, target + 1, scratch.partial, team);
    const ulong into = target - sum_above(source, measure, key, scratch.partial, team);
    return tied_token(source, key, measure.tokens_in(into, key), scratch.partial, scratch.least, team);
}
