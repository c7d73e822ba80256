// Passes over the logits of a row, and searches among its tokens that need no sorting: needs quads.h, team.h and shares.h.
//
// Sorted, tokens stand most likely first, equals by id. A filter keeps the first so many of them. Where that ends is
// found from the other side: the greatest key at which the mass of all tokens from that key up reaches what is wanted.
// Its bits are tried from the top, two in one pass over the tokens; the sums are of integers, so they are exact.
#pragma once

// All logits of a row.
struct Vocabulary {
    device const float* logits;
    uint count;
};

// Quads of a row that a thread has under way before it looks at any.
constant constexpr uint UNDER_WAY = 4;

// Whether all quads of a row are whole, and each is loaded by one instruction.
inline bool whole_quads(Vocabulary row) {
#ifdef MSL_PTX
    return whole_vectors(row.logits, row.count);
#else
    return row.count % 4 == 0;
#endif
}

inline float4 whole_quad(Vocabulary row, uint quad) {
#ifdef MSL_PTX
    return reinterpret_cast<device const float4*>(row.logits)[quad];
#else
    return float4(*reinterpret_cast<device const packed_float4*>(row.logits + 4 * quad));
#endif
}

// The elements of a quad that there are, and minus infinity.
inline float4 short_quad(Vocabulary row, uint quad) {
    const uint first = 4 * quad;
    float4 value = float4(-INFINITY);
    if (first < row.count) value.x = row.logits[first];
    if (first + 1 < row.count) value.y = row.logits[first + 1];
    if (first + 2 < row.count) value.z = row.logits[first + 2];
    if (first + 3 < row.count) value.w = row.logits[first + 3];
    return value;
}

// Quads first, first + stride, … of a row, with minus infinity behind its end. No load waits for another one, nor for a
// condition that differs between them: only where a row of other than whole quads ends.
template <bool WHOLE>
inline void load_logits(Vocabulary row, uint first, uint stride, thread float4 (&quads)[UNDER_WAY]) {
    if (WHOLE) {
        const uint count = row.count / 4;
        for (uint k = 0; k < UNDER_WAY; k++) {
            const uint quad = first + k * stride;
            quads[k] = select(float4(-INFINITY), whole_quad(row, min(quad, count - 1)), bool4(quad < count));
        }
    } else if (4 * (first + (UNDER_WAY - 1) * stride) + 4 <= row.count) {
        for (uint k = 0; k < UNDER_WAY; k++) {
            quads[k] = float4(*reinterpret_cast<device const packed_float4*>(row.logits + 4 * (first + k * stride)));
        }
    } else {
        for (uint k = 0; k < UNDER_WAY; k++) quads[k] = short_quad(row, first + k * stride);
    }
}

// Shows a visitor the quads first, first + stride, … of a row. A visitor has `take(logit, token)`, and whatever is behind the
// row's end is to it a token that is impossible.
template <bool WHOLE, typename Visitor>
inline void take_quads(thread Visitor& visitor, Vocabulary row, uint first, uint stride) {
    float4 quads[UNDER_WAY];
    load_logits<WHOLE>(row, first, stride, quads);
    for (uint k = 0; k < UNDER_WAY; k++) {
        const uint token = 4 * (first + k * stride);
        visitor.take(quads[k].x, token);
        visitor.take(quads[k].y, token + 1);
        visitor.take(quads[k].z, token + 2);
        visitor.take(quads[k].w, token + 3);
    }
}

// The same, whatever the row.
template <typename Visitor>
inline void take_quads(thread Visitor& visitor, Vocabulary row, uint first, uint stride) {
    if (whole_quads(row)) take_quads<true>(visitor, row, first, stride);
    else take_quads<false>(visitor, row, first, stride);
}

// Shows the threads' visitors every logit of a row once, and each of them its own in the order of tokens.
template <typename Visitor>
inline void take_all(thread Visitor& visitor, Vocabulary source, Team team) {
    const uint quads = quads_of(source.count);
    for (uint first = team.index; first < quads; first += UNDER_WAY * team.count) {
        take_quads(visitor, source, first, team.count);
    }
}

// The first of the order: all tokens above `key`, and of those at `key` the `ties` with the lowest ids.
struct Kept {
    uint key;
    uint ties;
};

// What is summed for the tokens that are kept: their number.
struct Counted {
    uint place(float logit, uint token) const { return key_of(logit); }
    ulong weight(float logit, uint token) const { return key_of(logit) > KEY_IMPOSSIBLE ? 1 : 0; }
    ulong below(uint candidate) const { return 0; }
};

// The number of tokens at a key, the lowest ids first.
struct CountedTies {
    uint key;
    uint place(float logit, uint token) const { return ~token; }
    ulong weight(float logit, uint token) const { return key_of(logit) == key ? 1 : 0; }
    ulong below(uint candidate) const { return 0; }
};

// Their mass, where min-p may drop some more.
struct Weighed {
    Kept kept;
    float best;
    float scale;       // 1 / temperature, or 1
    float floor;       // least logit - best, if has_floor
    bool has_floor;

    ulong share(float logit) const {
        const float distance = logit - best;
        if (has_floor && distance < floor) return 0;
        return fixed_share(share_exp(distance * scale));
    }
    // How many tokens of this key make up `mass`, rounded down. A search never ends at a key without a share; were it to,
    // nothing is divided by zero.
    ulong tokens_in(ulong mass, uint key) const {
        const ulong each = share(number_of(key));
        return each == 0 ? 0 : mass / each;
    }
    uint place(float logit, uint token) const { return key_of(logit); }
    ulong weight(float logit, uint token) const { return key_of(logit) > kept.key ? share(logit) : 0; }
    // The ties at the end of what is kept count for every candidate that is not above them.
    ulong below(uint candidate) const {
        return kept.ties > 0 && candidate <= kept.key ? kept.ties * share(number_of(kept.key)) : 0;
    }
};

// A visitor that adds up the weights from each of three places on.
template <typename Measure>
struct FromThree {
    Measure measure;
    uint one, two, three;
    ulong from_one, from_two, from_three;

    void take(float logit, uint token) {
        const uint place = measure.place(logit, token);
        if (place < one) return;
        const ulong weight = measure.weight(logit, token);
        from_one += weight;
        if (place >= two) from_two += weight;
        if (place >= three) from_three += weight;
    }
};

// The greatest place such that the weights of it and all above it sum to `wanted` at least; 0 if there is none.
template <typename Measure>
inline uint search(Vocabulary source, Measure measure, ulong wanted, threadgroup ulong* partial, Team team) {
    uint found = 0;
    for (uint step = 0; step < 16; step++) {
        const uint shift = 30 - 2 * step;
        const uint one = found | (1u << shift), two = found | (2u << shift), three = found | (3u << shift);
        FromThree<Measure> sums = {measure, one, two, three, 0, 0, 0};
        take_all(sums, source, team);
        const ulong from_one = team_sum_wide(sums.from_one, partial, team) + measure.below(one);
        const ulong from_two = team_sum_wide(sums.from_two, partial, team) + measure.below(two);
        const ulong from_three = team_sum_wide(sums.from_three, partial, team) + measure.below(three);
        if (from_three >= wanted) found = three;
        else if (from_two >= wanted) found = two;
        else if (from_one >= wanted) found = one;
    }
    return found;
}

// A visitor that adds up the weights of all places above a bound.
template <typename Measure>
struct Above {
    Measure measure;
    uint bound;
    ulong sum;

    void take(float logit, uint token) {
        if (measure.place(logit, token) > bound) sum += measure.weight(logit, token);
    }
};

// The weights of all places above `bound`, without what `below` adds.
template <typename Measure>
inline ulong sum_above(Vocabulary source, Measure measure, uint bound, threadgroup ulong* partial, Team team) {
    Above<Measure> above = {measure, bound, 0};
    take_all(above, source, team);
    return team_sum_wide(above.sum, partial, team);
}

// The `count` first of the order; all possible tokens if there are fewer.
inline Kept first_tokens(Vocabulary source, uint count, threadgroup ulong* partial, Team team) {
    const uint key = search(source, Counted{}, count, partial, team);
    if (key <= KEY_IMPOSSIBLE) return Kept{KEY_IMPOSSIBLE, 0};
    return Kept{key, uint(count - sum_above(source, Counted{}, key, partial, team))};
}

// Of what `measure` keeps, the first whose mass reaches `wanted`; all of it if it has less.
inline Kept first_mass(Vocabulary source, Weighed measure, ulong wanted, threadgroup ulong* partial, Team team) {
    const uint key = search(source, measure, wanted, partial, team);
    if (key <= KEY_IMPOSSIBLE) return measure.kept;
    // The last unit of what is missing lies in the last token that is kept.
    const ulong missing = wanted - sum_above(source, measure, key, partial, team);
    return Kept{key, uint(measure.tokens_in(missing - 1, key)) + 1};
}

// A visitor that finds the first token at a key.
struct FirstAt {
    uint key;
    uint token;

    void take(float logit, uint other) {
        if (key_of(logit) == key) token = min(token, other);
    }
};

// The token number `index` by id of those at `key`.
inline uint tied_token(
    Vocabulary source, uint key, ulong index, threadgroup ulong* partial, threadgroup uint* least, Team team)
{
    if (index > 0) return ~search(source, CountedTies{key}, index + 1, partial, team);
    FirstAt first = {key, 0xffffffffu};
    take_all(first, source, team);
    return team_min(first.token, least, team);
}
