#!/usr/bin/env python3
"""Write a GGUF model of a real shape with random weights, for measuring speed.

    synth_gguf.py SHAPE TYPE OUT.gguf [--tokenizer FILE.gguf]

The weights of every matrix have mean zero and a spread of about 0.02, so that activations stay in range. There is
no tokenizer ("none") unless one is taken from another file: `wootz bench` and `llama-bench` need none, servers do.
Where it has fewer tokens than the shape, tokens that stand for nothing fill up. Quantised types get random block bytes with sane
scales instead of quantised numbers, which makes a gigabyte in seconds. Needs: pip install gguf numpy.
"""
import argparse
import sys
from dataclasses import dataclass

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind


@dataclass(frozen=True)
class Shape:
    architecture: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    rope_base: float
    qkv_bias: bool
    tied: bool


SHAPES = {
    "qwen2.5-0.5b": Shape("qwen2", 24, 896, 4864, 14, 2, 64, 151936, 1e6, True, True),
    "llama3.2-1b": Shape("llama", 16, 2048, 8192, 32, 8, 64, 128256, 5e5, False, True),
    "llama3.1-8b": Shape("llama", 32, 4096, 14336, 32, 8, 128, 128256, 5e5, False, False),
    "tiny": Shape("llama", 4, 256, 768, 8, 4, 32, 32000, 1e4, False, True),
}
CONTEXT = 32768
SPREAD = 0.02

random = np.random.default_rng(20261121)
random_bytes_pool = random.integers(0, 256, size=1 << 24, dtype=np.uint8)
normal_pool = (random.standard_normal(1 << 22, dtype=np.float32) * SPREAD).astype(np.float32)


def from_pool(pool, count):
    """`count` elements of the pool, from a random place on, over and over."""
    return np.resize(np.roll(pool, -int(random.integers(len(pool)))), count)


def random_bytes(blocks, width):
    return from_pool(random_bytes_pool, blocks * width).reshape(blocks, width)


def half(value):
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def q8_0(blocks):
    """f16 scale, 32 signed bytes; their spread is 74."""
    out = np.empty((blocks, 34), np.uint8)
    out[:, :2] = half(SPREAD / 74)
    out[:, 2:] = random_bytes(blocks, 32)
    return out


def q4_0(blocks):
    """f16 scale, 32 nibbles less 8; their spread is 4.6."""
    out = np.empty((blocks, 18), np.uint8)
    out[:, :2] = half(SPREAD / 4.6)
    out[:, 2:] = random_bytes(blocks, 16)
    return out


def q5_0(blocks):
    """f16 scale, 32 fifth bits, 32 nibbles; numbers less 16, their spread is 9.2."""
    out = np.empty((blocks, 22), np.uint8)
    out[:, :2] = half(SPREAD / 9.2)
    out[:, 2:] = random_bytes(blocks, 20)
    return out


def scales_and_minima(blocks):
    """The 12 bytes of eight 6-bit scales and eight equal minima, as Q4_K and Q5_K pack them; values 32 to 63."""
    scales = 32 + (random_bytes(blocks, 8) & 31)
    low, high = scales[:, :4], scales[:, 4:]
    first = low | (high >> 4 << 6)
    last = (high & 15) | (high & 15) << 4
    return np.concatenate([first, first, last], axis=1).astype(np.uint8)


def q4_k(blocks):
    """f16 scale and minimum, 12 bytes of 6-bit scales, 256 nibbles. Minimum = 7.5 scales: mean zero."""
    scale = SPREAD / (4.6 * 47.5)
    out = np.empty((blocks, 144), np.uint8)
    out[:, 0:2] = half(scale)
    out[:, 2:4] = half(scale * 7.5)
    out[:, 4:16] = scales_and_minima(blocks)
    out[:, 16:] = random_bytes(blocks, 128)
    return out


def q5_k(blocks):
    """As Q4_K with a fifth bit for each number: the middle is 15.5, the spread 9.2."""
    scale = SPREAD / (9.2 * 47.5)
    out = np.empty((blocks, 176), np.uint8)
    out[:, 0:2] = half(scale)
    out[:, 2:4] = half(scale * 15.5)
    out[:, 4:16] = scales_and_minima(blocks)
    out[:, 16:] = random_bytes(blocks, 160)
    return out


def q6_k(blocks):
    """192 bytes of 6-bit numbers less 32 (spread 18.5), 16 signed scales (16 to 47), f16 scale."""
    out = np.empty((blocks, 210), np.uint8)
    out[:, :192] = random_bytes(blocks, 192)
    out[:, 192:208] = (random_bytes(blocks, 16) & 31) + 16
    out[:, 208:] = half(SPREAD / (18.5 * 31.5))
    return out


def f16(elements):
    return from_pool(normal_pool, elements).astype(np.float16)


def bf16(elements):
    """The upper half of each float, as bytes; truncated, which a random weight does not mind."""
    return (from_pool(normal_pool, elements).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


# How a matrix is filled, and the elements in one block.
FILL = {
    Kind.F16: (f16, 1),
    Kind.BF16: (bf16, 1),
    Kind.Q8_0: (q8_0, 32),
    Kind.Q4_0: (q4_0, 32),
    Kind.Q5_0: (q5_0, 32),
    Kind.Q4_K: (q4_k, 256),
    Kind.Q5_K: (q5_k, 256),
    Kind.Q6_K: (q6_k, 256),
}
# What stands in where a row is not a whole number of 256-element blocks.
NARROW = {Kind.Q4_K: Kind.Q4_0, Kind.Q5_K: Kind.Q5_0, Kind.Q6_K: Kind.Q8_0}
PLAIN = {"f16": Kind.F16, "bf16": Kind.BF16, "q8_0": Kind.Q8_0, "q4_0": Kind.Q4_0, "q5_0": Kind.Q5_0, "q4_k": Kind.Q4_K,
         "q5_k": Kind.Q5_K, "q6_k": Kind.Q6_K}
# The mixes: the type of most matrices; the embedding table, the head and some of the others are Q6_K.
MIXED = {"q4_k_m": Kind.Q4_K, "q5_k_m": Kind.Q5_K}


class Model:
    def __init__(self, shape, type_name, path, tokenizer=None):
        self.shape = shape
        self.tokenizer = tokenizer
        self.mixed = type_name in MIXED
        self.kind = MIXED.get(type_name) or PLAIN[type_name]
        self.writer = gguf.GGUFWriter(path, shape.architecture)

    def matrix(self, name, rows, columns, kind):
        if columns % FILL[kind][1]:
            kind = NARROW[kind]
        fill, block = FILL[kind]
        data = fill(rows * columns // block).reshape(rows, -1)
        self.writer.add_tensor(name, data, raw_dtype=kind)

    def vector(self, name, length, value):
        self.writer.add_tensor(name, np.full(length, value, np.float32))

    def sensitive(self, layer):
        """Whether a mix keeps this layer's value and down projections in Q6_K: the ends and every third between."""
        eighth = self.shape.layers // 8
        chosen = layer < eighth or layer >= 7 * self.shape.layers // 8 or (layer - eighth) % 3 == 2
        return Kind.Q6_K if self.mixed and chosen else self.kind

    def layer(self, index):
        shape, prefix, fine = self.shape, f"blk.{index}.", self.sensitive(index)
        query, key = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
        self.vector(prefix + "attn_norm.weight", shape.width, 1.0)
        self.matrix(prefix + "attn_q.weight", query, shape.width, self.kind)
        self.matrix(prefix + "attn_k.weight", key, shape.width, self.kind)
        self.matrix(prefix + "attn_v.weight", key, shape.width, fine)
        if shape.qkv_bias:
            for name, length in (("q", query), ("k", key), ("v", key)):
                self.vector(f"{prefix}attn_{name}.bias", length, 0.01)
        self.matrix(prefix + "attn_output.weight", shape.width, query, self.kind)
        self.vector(prefix + "ffn_norm.weight", shape.width, 1.0)
        self.matrix(prefix + "ffn_gate.weight", shape.feed_forward, shape.width, self.kind)
        self.matrix(prefix + "ffn_up.weight", shape.feed_forward, shape.width, self.kind)
        self.matrix(prefix + "ffn_down.weight", shape.width, shape.feed_forward, fine)

    def metadata(self, name):
        shape, writer = self.shape, self.writer
        writer.add_name(name)
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(shape.width)
        writer.add_block_count(shape.layers)
        writer.add_feed_forward_length(shape.feed_forward)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_key_length(shape.head_width)
        writer.add_value_length(shape.head_width)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(shape.rope_base)
        writer.add_rope_dimension_count(shape.head_width)
        writer.add_vocab_size(shape.vocabulary)
        if self.tokenizer:
            self.copy_tokenizer()
        else:
            writer.add_tokenizer_model("none")

    def copy_tokenizer(self):
        """All that the other file says about its tokenizer, with as many tokens as the shape has."""
        for name, field in gguf.GGUFReader(self.tokenizer).fields.items():
            if not name.startswith("tokenizer."):
                continue
            value, kinds = field.contents(), field.types
            missing = self.shape.vocabulary - len(value) if kinds[0] == gguf.GGUFValueType.ARRAY else 0
            if name.endswith(".tokens"):
                value += [f"[unused{index}]" for index in range(missing)]
            elif name.endswith(".token_type"):
                value += [int(gguf.TokenType.UNUSED)] * missing
            elif name.endswith(".scores"):
                value += [0.0] * missing
            if name.endswith((".tokens", ".token_type", ".scores")) and missing < 0:
                sys.exit(f"{self.tokenizer} has {-missing} tokens more than the shape's {self.shape.vocabulary}")
            sub = kinds[1] if len(kinds) > 1 else None
            self.writer.add_key_value(name, value, kinds[0], sub)

    def write(self, name):
        shape = self.shape
        self.metadata(name)
        table = Kind.Q6_K if self.mixed and shape.tied else self.kind
        self.matrix("token_embd.weight", shape.vocabulary, shape.width, table)
        if not shape.tied:
            self.matrix("output.weight", shape.vocabulary, shape.width, Kind.Q6_K if self.mixed else self.kind)
        self.vector("output_norm.weight", shape.width, 1.0)
        for index in range(shape.layers):
            self.layer(index)
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=[*PLAIN, *MIXED])
    parser.add_argument("out")
    parser.add_argument("--tokenizer", metavar="FILE.gguf", help="take the tokenizer of this model")
    arguments = parser.parse_args()
    Model(SHAPES[arguments.shape], arguments.type, arguments.out, arguments.tokenizer).write(f"{arguments.shape}-{arguments.type}-random")


if __name__ == "__main__":
    main()
