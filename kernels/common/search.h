// Searches among the tokens of a vocabulary that need no sorting.
//
// Sorted, tokens stand most likely first, equals by id. A filter keeps the first so many of them. Where that ends is
// found from the other side: the greatest key at which the mass of all tokens from that key up reaches what is wanted.
// Its bits are tried from the top, two in one pass over the tokens; the sums are of integers, so they are exact.
#pragma once

// All logits of a row.
struct Vocabulary {
    device const float* logits;
    uint count;
    float logit(uint place) const { return logits[place]; }
    uint token(uint place) const { return place; }
};

// The tokens that were close enough to the best, in any order.
struct Shortlist {
    threadgroup float* logits;
    threadgroup uint* tokens;
    uint count;
    float logit(uint place) const { return logits[place]; }
    uint token(uint place) const { return tokens[place]; }
};

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
        const ulong each = share(logit_of(key));
        return each == 0 ? 0 : mass / each;
    }
    uint place(float logit, uint token) const { return key_of(logit); }
    ulong weight(float logit, uint token) const { return key_of(logit) > kept.key ? share(logit) : 0; }
    // The ties at the end of what is kept count for every candidate that is not above them.
    ulong below(uint candidate) const {
        return kept.ties > 0 && candidate <= kept.key ? kept.ties * share(logit_of(kept.key)) : 0;
    }
};

// The greatest place such that the weights of it and all above it sum to `wanted` at least; 0 if there is none.
template <typename Source, typename Measure>
inline uint search(Source source, Measure measure, ulong wanted, threadgroup ulong* partial, Team team) {
    uint found = 0;
    for (uint step = 0; step < 16; step++) {
        const uint shift = 30 - 2 * step;
        const uint one = found | (1u << shift), two = found | (2u << shift), three = found | (3u << shift);
        ulong from_one = 0, from_two = 0, from_three = 0;
        for (uint i = team.index; i < source.count; i += team.count) {
            const float logit = source.logit(i);
            const uint token = source.token(i);
            const uint place = measure.place(logit, token);
            if (place < one) continue;
            const ulong weight = measure.weight(logit, token);
            from_one += weight;
            if (place >= two) from_two += weight;
            if (place >= three) from_three += weight;
        }
        from_one = team_sum_wide(from_one, partial, team) + measure.below(one);
        from_two = team_sum_wide(from_two, partial, team) + measure.below(two);
        from_three = team_sum_wide(from_three, partial, team) + measure.below(three);
        if (from_three >= wanted) found = three;
        else if (from_two >= wanted) found = two;
        else if (from_one >= wanted) found = one;
    }
    return found;
}

// The weights of all places above `bound`, without what `below` adds.
template <typename Source, typename Measure>
inline ulong sum_above(Source source, Measure measure, uint bound, threadgroup ulong* partial, Team team) {
    ulong sum = 0;
    for (uint i = team.index; i < source.count; i += team.count) {
        const float logit = source.logit(i);
        const uint token = source.token(i);
        if (measure.place(logit, token) > bound) sum += measure.weight(logit, token);
    }
    return team_sum_wide(sum, partial, team);
}

// The `count` first of the order; all possible tokens if there are fewer.
template <typename Source>
inline Kept first_tokens(Source source, uint count, threadgroup ulong* partial, Team team) {
    const uint key = search(source, Counted{}, count, partial, team);
    if (key <= KEY_IMPOSSIBLE) return Kept{KEY_IMPOSSIBLE, 0};
    return Kept{key, uint(count - sum_above(source, Counted{}, key, partial, team))};
}

// Of what `measure` keeps, the first whose mass reaches `wanted`; all of it if it has less.
template <typename Source>
inline Kept first_mass(Source source, Weighed measure, ulong wanted, threadgroup ulong* partial, Team team) {
    const uint key = search(source, measure, wanted, partial, team);
    if (key <= KEY_IMPOSSIBLE) return measure.kept;
    // The last unit of what is missing lies in the last token that is kept.
    const ulong missing = wanted - sum_above(source, measure, key, partial, team);
    return Kept{key, uint(measure.tokens_in(missing - 1, key)) + 1};
}
