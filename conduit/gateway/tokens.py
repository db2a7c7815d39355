"""Token counts where no provider gives any: an estimate of a text, and an upper one for holds.

The estimate never looks a token up. A byte-level vocabulary makes about one token of a common word,
of a few digits, of a run of punctuation, so it is enough to count such runs. Every byte becomes a
letter for its kind, UTF-8's continuation bytes fall away (one letter a character is left), and
`bytes.count` finds the places where one kind meets another, some thousand times faster than a
loop. The weights are a least-squares fit to the vocabulary o200k_base over some 700 pieces of
prose, code and interface texts in 20 languages; `tests/fixtures/tokens/` holds texts that it is
measured against.
"""

_KINDS = (
    (0x00, 0x7F, "."),  # punctuation, but for what is named below
    (0xC2, 0xCD, "l"),  # Latin letters with marks
    (0xCE, 0xCF, "g"),  # Greek
    (0xD0, 0xD3, "c"),  # Cyrillic
    (0xD4, 0xDF, "h"),  # Armenian, Hebrew, Arabic
    (0xE0, 0xE1, "i"),  # Indic scripts, Thai
    (0xE2, 0xE2, "."),  # typographic signs
    (0xE3, 0xE3, "k"),  # kana
    (0xE4, 0xE9, "z"),  # Han
    (0xEA, 0xED, "o"),  # Hangul
    (0xEE, 0xEF, "."),  # full-width punctuation
    (0xF0, 0xF4, "e"),  # emoji and rare scripts
    (0x61, 0x7A, "a"),
    (0x41, 0x5A, "A"),
    (0x30, 0x39, "0"),
    (0x20, 0x20, " "),
    (0x09, 0x0D, "\n"),
)
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))

# Thousandths of a token for each place where such kinds stand side by side. Matches of one pattern
# do not overlap: "0" less "00" is half the length of each run of digits, rounded up.
_ASCII_WEIGHTS: tuple[tuple[bytes, int], ...] = (
    (b" a", 817),  # a word begins
    (b".a", 817),
    (b"\na", 817),
    (b"0a", 817),
    (b" A", 1017),
    (b".A", 1017),
    (b"\nA", 1017),
    (b"aA", 486),  # camelCase
    (b"AAAA", 300),
    (b"a", 61),  # a long word may be several tokens
    (b"aaaaaaaaa", 218),
    (b"aaaaaaaaaaaaa", 2002),
    (b"0", 1732),
    (b"00", -1732),
    (b"\n", 662),  # an empty line belongs to the line before it
    (b"\n\n", -662),
    (b"\n ", 358),  # indentation
    (b".", 135),
    (b" .", 1140),
    (b"a.", 263),
)
_OTHER_WEIGHTS: tuple[tuple[bytes, int], ...] = (
    (b"l", 1007),
    (b"al", 549),
    (b"g", 420),
    (b"c", 19),
    (b" c", 1702),
    (b"h", 411),
    (b"i", 405),
    (b"k", 738),
    (b"z", 769),
    (b"o", 236),
    (b" o", 1611),
    (b"e", 2500),
)

# The most tokens that one picture, recording or document is known to be billed as.
_IMAGE_TOKENS = 10_000
"""The largest patch budget of the OpenAI vision guide; Together bills at most 6,404 an image,
Anthropic and Google less."""

_DENSE_IMAGE_TOKENS = 48_169
"""gpt-4o-mini counts 2,833 and 5,667 for each of at most 8 tiles (OpenAI vision guide)."""

_DENSE_IMAGE_MODEL = "gpt-4o-mini"

_AUDIO_TOKENS = 19_200
"""Ten minutes at the 32 tokens a second of the Gemini audio guide; OpenAI counts 10 a second."""

_FILE_TOKENS = 300_000
"""100 pages, the limit of the Anthropic PDF guide for most models, at its 3,000 tokens a page."""

# What they are most often, or at least.
_USUAL_IMAGE_TOKENS = 1_600
"""A picture as large as the Anthropic vision guide lets it be; OpenAI and Google count less."""

_USUAL_AUDIO_TOKENS = 1_920
"""A minute of the Gemini audio guide."""

_PAGE_TOKENS = 3_000
"""One page of the Anthropic PDF guide."""

_SAMPLES = 32
_SAMPLE_BYTES = 1024


def _kind_table() -> bytes:
    table = bytearray(256)
    for first, last, kind in _KINDS:
        table[first : last + 1] = kind.encode("ascii") * (last + 1 - first)
    return bytes(table)


_KIND_OF_BYTE = _kind_table()


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is; 0 only for the empty text."""
    return estimate_tokens_utf8(text.encode("utf-8", "surrogatepass"))


def estimate_tokens_utf8(encoded: bytes) -> int:
    """`estimate_tokens` of a text that is at hand as UTF-8."""
    if not encoded:
        return 0
    # A leading space, so that a word at the beginning begins too; in most vocabularies it is free.
    kinds = b" " + encoded.translate(_KIND_OF_BYTE, _CONTINUATION_BYTES)
    count = kinds.count
    thousandths = sum([count(pattern) * weight for pattern, weight in _ASCII_WEIGHTS])
    if not encoded.isascii():
        thousandths += sum([count(pattern) * weight for pattern, weight in _OTHER_WEIGHTS])
    return max(1, (thousandths + 500) // 1000)


def upper_estimate(
    utf8_bytes: int, images: int, audios: int, files: int, *, model: str = ""
) -> int:
    """The tokens to hold for an input: of texts by their bytes, of media by the table above.

    `utf8_bytes` are those of texts, tools and schemas, not of media inside data URLs. Three bytes
    a token is high for prose and code in every script, but not for columns of numbers, whose
    tokens may be as short as a byte and a half: `most_of` is never too low. A caller that knows
    the size of the model's context should not hold more than that.
    """
    text = -(-utf8_bytes // 3)
    if not (images or audios or files):
        return text
    per_image = _DENSE_IMAGE_TOKENS if _DENSE_IMAGE_MODEL in model else _IMAGE_TOKENS
    return text + images * per_image + audios * _AUDIO_TOKENS + files * _FILE_TOKENS


def most_of(utf8_bytes: int, images: int, audio: tuple[int, int], files: tuple[int, int]) -> int:
    """The tokens that an input is never more than, for strict holds: a token is a byte at least.

    `audio` and `files` are how many there are, and the bytes of all as they are sent: at 32 tokens
    a second no recording has more tokens than bytes, and neither has a file of text, so that the
    table counts only for those that are short or that the provider fetches itself. Each picture
    counts as much as the dearest model takes it for.
    """
    return (
        utf8_bytes
        + images * _DENSE_IMAGE_TOKENS
        + max(audio[0] * _AUDIO_TOKENS, audio[1])
        + max(files[0] * _FILE_TOKENS, files[1])
    )


def usual_media(images: int, audios: int, files: int) -> int:
    """The tokens that media most often are, where the upper estimate would be absurd."""
    return images * _USUAL_IMAGE_TOKENS + audios * _USUAL_AUDIO_TOKENS + files * _PAGE_TOKENS


def tokens_per_kilobyte(encoded: bytes) -> int:
    """How dense a text is, in tokens a thousand bytes; from samples all over a long one."""
    size = len(encoded)
    if size > _SAMPLES * _SAMPLE_BYTES:
        starts = range(0, size, -(-size // _SAMPLES))
        encoded = b"".join([encoded[at : at + _SAMPLE_BYTES] for at in starts])
    return -(-1000 * estimate_tokens_utf8(encoded) // max(1, len(encoded)))
