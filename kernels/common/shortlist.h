// The tokens of a row that are close to the best, sorted in threadgroup memory, and what filters keep of them: needs draw.h.
//
// An entry is key << 32 | ~token, so entries sort as tokens do: the most likely first, equals by id. In that order a filter
// keeps the first so many, and the place of a draw is where sums of shares from the first on reach it. Shares are integers:
// the answer is that of the searches among all tokens (search.h), to the bit.
#pragma once

// The longest shortlist.
constant constexpr uint SHORTLIST = 2048;
// The longest list of a part.
constant constexpr uint PART_LIST = 256;
// How far from the best one may reach; the last takes every possible token.
constant constexpr uint REACH_COUNT = 6;
constant float REACHES[REACH_COUNT] = {1.0f, 2.0f, 4.0f, 8.0f, 14.0f, FLT_MAX};

// A visitor that counts the tokens within each reach.
struct Within {
    float best;
    uint counts[REACH_COUNT];

    void take(float logit, uint token) {
        const bool possible = key_of(logit) > KEY_IMPOSSIBLE;
        const float distance = best - logit;
        for (uint reach = 0; reach < REACH_COUNT; reach++) {
            counts[reach] += uint(distance <= REACHES[reach]) & uint(possible);
        }
    }
};

inline Within nothing_within(float best) { return Within{best, {0, 0, 0, 0, 0, 0}}; }

// The threads' counts together.
inline Within team_within(Within mine, threadgroup ulong* partial, Team team) {
    for (uint first = 0; first < REACH_COUNT; first += 3) {
        // Three counts of 21 bits in one sum.
        const ulong packed = ulong(mine.counts[first]) | (ulong(mine.counts[first + 1]) << 21) |
                             (ulong(mine.counts[first + 2]) << 42);
        const ulong sum = team_sum_wide(packed, partial, team);
        for (uint place = 0; place < 3; place++) mine.counts[first + place] = uint(sum >> (21 * place)) & 0x1fffffu;
    }
    return mine;
}

// A list in threadgroup memory.
struct Shortlist {
    threadgroup ulong* entries;        // [SHORTLIST]
    threadgroup atomic_uint* count;    // begins at zero

    void put(uint key, uint token) const {
        entries[atomic_fetch_add_explicit(count, 1u, memory_order_relaxed)] = (ulong(key) << 32) | ~token;
    }
};

// Which tokens are listed: those within a reach. (No condition waits for another one: the loads would with it.)
struct Near {
    float best;
    float reach;
    bool has(uint key, uint token) const { return (key > KEY_IMPOSSIBLE) & (best - number_of(key) <= reach); }
};

// The same: the first of the order.
struct First {
    Kept kept;
    uint last_tie;    // at kept.key, if there are ties
    bool has(uint key, uint token) const {
        return (key > kept.key) | ((key == kept.key) & (kept.ties > 0) & (token <= last_tie));
    }
};

template <bool WHOLE, typename Which>
inline void list_quads(Shortlist list, Which which, Vocabulary row, uint first, uint stride) {
    float4 quads[UNDER_WAY];
    load_logits<WHOLE>(row, first, stride, quads);
    // Most quads have no token for the list: all are looked at before any is listed, so all are loaded first.
    uint listed = 0;
    for (uint k = 0; k < UNDER_WAY; k++) {
        const uint token = 4 * (first + k * stride);
        const uint4 key = uint4(key_of(quads[k].x), key_of(quads[k].y), key_of(quads[k].z), key_of(quads[k].w));
        listed |= uint(which.has(key.x, token)) | uint(which.has(key.y, token + 1)) |
                  uint(which.has(key.z, token + 2)) | uint(which.has(key.w, token + 3));
    }
    if (listed == 0) return;
    for (uint k = 0; k < UNDER_WAY; k++) {
        const uint token = 4 * (first + k * stride);
        const uint4 key = uint4(key_of(quads[k].x), key_of(quads[k].y), key_of(quads[k].z), key_of(quads[k].w));
        if (which.has(key.x, token)) list.put(key.x, token);
        if (which.has(key.y, token + 1)) list.put(key.y, token + 1);
        if (which.has(key.z, token + 2)) list.put(key.z, token + 2);
        if (which.has(key.w, token + 3)) list.put(key.w, token + 3);
    }
}

template <typename Which>
inline void list_quads(Shortlist list, Which which, Vocabulary row, uint first, uint stride) {
    if (whole_quads(row)) list_quads<true>(list, which, row, first, stride);
    else list_quads<false>(list, which, row, first, stride);
}

// Lists some of a row's tokens, SHORTLIST at most, in any order: how many they are.
template <typename Which>
inline uint list_tokens(Shortlist list, Which which, Vocabulary row, Team team) {
    const uint quads = quads_of(row.count);
    for (uint first = team.index; first < quads; first += UNDER_WAY * team.count) {
        list_quads(list, which, row, first, team.count);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return atomic_load_explicit(list.count, memory_order_relaxed);
}

// The same of tokens that the lists of all parts have, where zeros are none.
template <typename Which>
inline uint list_listed(Shortlist list, Which which, device const ulong2* lists, uint parts, Team team) {
    const uint pairs = parts * (PART_LIST / 2);
    for (uint first = team.index; first < pairs; first += UNDER_WAY * team.count) {
        ulong2 entries[UNDER_WAY];
        for (uint k = 0; k < UNDER_WAY; k++) {
            const uint pair = first + k * team.count;
            entries[k] = lists[min(pair, pairs - 1)] * (pair < pairs ? 1ul : 0ul);
        }
        for (uint k = 0; k < UNDER_WAY; k++) {
            const ulong a = entries[k].x, b = entries[k].y;
            if (which.has(uint(a >> 32), ~uint(a))) list.put(uint(a >> 32), ~uint(a));
            if (which.has(uint(b >> 32), ~uint(b))) list.put(uint(b >> 32), ~uint(b));
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return atomic_load_explicit(list.count, memory_order_relaxed);
}

inline uint entry_token(ulong entry) { return ~uint(entry); }
inline float entry_logit(ulong entry) { return number_of(uint(entry >> 32)); }

// Sorts entries, the greatest first, by Batcher's bitonic network; places up to the next power of two are written too.
inline void sort(threadgroup ulong* entries, uint count, Team team) {
    uint size = 1;
    while (size < count) size *= 2;
    for (uint i = count + team.index; i < size; i += team.count) entries[i] = 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint run = 2; run <= size; run *= 2) {
        for (uint apart = run / 2; apart > 0; apart /= 2) {
            for (uint pair = team.index; pair < size / 2; pair += team.count) {
                const uint low = 2 * pair - (pair & (apart - 1));
                const ulong a = entries[low], b = entries[low + apart];
                // Runs alternate in their direction, so that two beside each other rise and fall.
                if ((a < b) == ((low & run) == 0)) {
                    entries[low] = b;
                    entries[low + apart] = a;
                }
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
}

// The entries of a thread: neighbours, in the order of threads.
struct Stretch {
    uint first;
    uint end;
};

inline Stretch stretch_of(uint count, Team team) {
    const uint each = (count + team.count - 1) / team.count;
    return Stretch{min(count, team.index * each), min(count, (team.index + 1) * each)};
}

inline ulong mass_of(threadgroup const ulong* entries, Stretch mine, Weighed measure) {
    ulong sum = 0;
    for (uint i = mine.first; i < mine.end; i++) sum += measure.share(entry_logit(entries[i]));
    return sum;
}

// A token of those that top-k, top-p and min-p leave, all of which are among the sorted entries.
inline uint draw_sorted(
    threadgroup const ulong* entries, uint count, device const SampleRow& row, float best, ulong whole_mass,
    ulong uniform, Scratch scratch, Team team)
{
    if (row.top_k > 0) count = min(count, row.top_k);
    if (has_top_p(row)) {
        const Weighed measure = untempered(best);
        const Stretch mine = stretch_of(count, team);
        const Before before = team_before(mass_of(entries, mine, measure), scratch.partial, team);
        const ulong wanted = nucleus_mass(row.top_k > 0 ? before.all : whole_mass, row);
        ulong sum = before.mine;
        uint kept = 0;
        for (uint i = mine.first; i < mine.end && sum < wanted; i++) {
            kept += 1;
            sum += measure.share(entry_logit(entries[i]));
        }
        count = uint(team_sum_wide(kept, scratch.partial, team));
    }
    const Weighed measure = tempered(row, best);
    const Stretch mine = stretch_of(count, team);
    const Before before = team_before(mass_of(entries, mine, measure), scratch.partial, team);
    ulong low = 0;
    const ulong target = wide_product(uniform, before.all, low);
    ulong sum = before.mine;
    uint found = NONE;
    for (uint i = mine.first; i < mine.end; i++) {
        const ulong share = measure.share(entry_logit(entries[i]));
        if (sum <= target && target - sum < share) found = i;
        sum += share;
    }
    return entry_token(entries[team_min(found, scratch.least, team)]);
}
