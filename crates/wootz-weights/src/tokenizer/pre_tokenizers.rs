//! How each family of BPE models cuts text into pieces before merging: facts of the models, by the names that GGUF
//! gives them (`tokenizer.ggml.pre`). The patterns are those of the models' own `tokenizer.json`.

/// What merges work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// Merges decide.
    Merged,
    /// A piece that is a token is that token, whatever the merges say.
    WholeFirst,
    /// Spaces are written `▁`, bytes without a token `<0xNN>`: SentencePiece's spelling, with ranked merges.
    SentencePiece,
}

/// Whether a text begins with the token that begins a sequence, where the file does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Bare,
    Bos,
}

/// One way of cutting text.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    /// What GGUF calls it.
    pub(super) names: &'static [&'static str],
    /// Applied one after the other, each to the pieces that the one before made; what matches is a piece, and so is
    /// what lies between.
    pub(super) splits: &'static [&'static str],
    pub(super) start: Start,
    pub(super) pieces: Pieces,
}

/// The way of the given name.
pub(super) fn find(name: &str) -> Option<&'static PreTokenizer> {
    PRE_TOKENIZERS.iter().find(|known| known.names.contains(&name))
}

/// All names, for an error message.
pub(super) fn known() -> String {
    PRE_TOKENIZERS.iter().flat_map(|known| known.names).copied().collect::<Vec<_>>().join(", ")
}

/// GPT-2's.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's: numbers in groups of three.
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's: numbers digit by digit.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5's: marks belong to words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-4o's: words split where capitals begin.
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As GPT-4o's, with single digits.
const YOUTU_WORDS: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's Tekken.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Kimi's: GPT-4o's with runs of Han apart.
const KIMI: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Jais 2's: whitespace in powers of two.
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
/// Bloom's.
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
/// Bailing's.
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
/// Seed-Coder's.
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's without English contractions.
const UFAKZEKA: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// EXAONE MoE's: several words may be one piece.
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
/// MiniCPM 5's.
const MINICPM5_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// DeepSeek V3's words and punctuation.
const DEEPSEEK_WORDS: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Spark's words and punctuation.
const SPARK_WORDS: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
/// Runs of scripts that write without spaces.
const AFMOE_SCRIPTS: &str = r"[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+";
/// Letters with case, as DeepSeek LLM lists them.
const DEEPSEEK_LLM_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
/// Punctuation, as DeepSeek LLM lists it.
const DEEPSEEK_LLM_MARKS: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
/// Runs of Korean, of Chinese punctuation, of bopomofo, of Chinese and Japanese.
const YOUTU_SCRIPTS: &str = r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+";
/// Chinese and Korean, as DeepSeek's first models list them.
const HAN_RANGES: &str = r"[一-龥ࠀ-一가-퟿]+";
/// Chinese and Japanese.
const CJK: &str = r"[一-龥぀-ゟ゠-ヿ]+";
/// Single digits.
const DIGIT: &str = r"\p{N}";
/// Whole numbers.
const DIGITS: &str = r"\p{N}+";
/// Up to three digits.
const THREE_DIGITS: &str = r"\p{N}{1,3}";
/// Lines and runs of line feeds.
const LINES: &str = r"[^\n]+|[\n]+";

static PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["default"],
        splits: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, DIGITS, r"[0-9][0-9][0-9]"],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        splits: &[CL100K],
        start: Start::Bos,
        pieces: Pieces::WholeFirst,
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe"],
        splits: &[CL100K],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["glm4", "glm5"],
        splits: &[CL100K],
        start: Start::Bare,
        pieces: Pieces::WholeFirst,
    },
    PreTokenizer { names: &["jais-2"], splits: &[JAIS2], start: Start::Bare, pieces: Pieces::Merged },
    PreTokenizer {
        names: &["deepseek-llm"],
        splits: &[r"[\r\n]", DEEPSEEK_LLM_LETTERS, DEEPSEEK_LLM_MARKS, r"\s+$", HAN_RANGES, DIGITS],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        splits: &[THREE_DIGITS, CJK, DEEPSEEK_WORDS],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["spark2_5"],
        splits: &[THREE_DIGITS, CJK, SPARK_WORDS, DIGIT],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["youtu"],
        splits: &[YOUTU_SCRIPTS, YOUTU_WORDS],
        start: Start::Bare,
        pieces: Pieces::WholeFirst,
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        splits: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN_RANGES, DIGIT],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["falcon"],
        splits: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        splits: &[DIGIT, GPT2],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
            "trillion",
            "granite-docling",
        ],
        splits: &[GPT2],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "stablelm2",
            "megrez",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        splits: &[QWEN2],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer { names: &["qwen35"], splits: &[QWEN35], start: Start::Bare, pieces: Pieces::Merged },
    PreTokenizer {
        names: &["poro-chat", "bloom", "gpt3-finnish"],
        splits: &[BLOOM],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer { names: &["viking"], splits: &[BLOOM, DIGIT], start: Start::Bare, pieces: Pieces::Merged },
    PreTokenizer { names: &["tekken"], splits: &[TEKKEN], start: Start::Bos, pieces: Pieces::WholeFirst },
    PreTokenizer {
        names: &["chameleon"],
        splits: &[
            r"<sentinel:[0-9]+>",
            r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            DIGIT,
            r"[\p{P}!-/:-@\[-`{-~]",
            GPT2,
        ],
        start: Start::Bos,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        splits: &[O200K],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["granite-embed-multi-97m"],
        splits: &[O200K],
        start: Start::Bare,
        pieces: Pieces::WholeFirst,
    },
    PreTokenizer {
        names: &["tiny_aya", "cohere2moe"],
        splits: &[r"\d{1,3}(?=(?:\d{3})*\b)", O200K],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer { names: &["kimi-k2"], splits: &[KIMI], start: Start::Bare, pieces: Pieces::Merged },
    PreTokenizer {
        names: &["superbpe"],
        splits: &[DIGITS, r"(?=(\d{3})+(?!\d))"],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["bailingmoe", "bailingmoe2", "llada-moe"],
        splits: &[BAILING],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["seed-coder"],
        splits: &[SEED_CODER],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer { names: &["ufakzeka"], splits: &[UFAKZEKA], start: Start::Bare, pieces: Pieces::Merged },
    PreTokenizer {
        names: &["afmoe"],
        splits: &[r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", AFMOE_SCRIPTS, DEEPSEEK_WORDS],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer { names: &["laguna"], splits: &[LINES, QWEN2], start: Start::Bare, pieces: Pieces::Merged },
    PreTokenizer {
        names: &["exaone-moe"],
        splits: &[EXAONE_MOE],
        start: Start::Bare,
        pieces: Pieces::Merged,
    },
    PreTokenizer {
        names: &["minicpm5"],
        splits: &[THREE_DIGITS, MINICPM5_WORDS],
        start: Start::Bare,
        pieces: Pieces::WholeFirst,
    },
    PreTokenizer {
        names: &["gemma4", "granite-embed-multi-311m"],
        splits: &[LINES],
        start: Start::Bos,
        pieces: Pieces::SentencePiece,
    },
    PreTokenizer {
        names: &["sarvam-moe"],
        splits: &[LINES],
        start: Start::Bare,
        pieces: Pieces::SentencePiece,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_every_name_is_known_once() {
        let mut names = std::collections::HashSet::new();
        for known in PRE_TOKENIZERS {
            assert!(known.names.iter().all(|name| names.insert(*name)));
            for split in known.splits {
                tokenizers::utils::SysRegex::new(split).unwrap_or_else(|error| panic!("{split}: {error}"));
            }
        }
        assert!(find("llama-bpe").is_some() && find("no-such").is_none());
    }
}
