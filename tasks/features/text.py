"""Numbers from text: hashed words and parts of words, and the entries of a list in a cell.

What is counted is chosen on training rows without a look at the target.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from treadle.tasks.features.spec import READ_AS_MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import numpy as np
    import pyarrow as pa

WORD = re.compile(r"\w+")

GRAMS = 64
"""Buckets kept for words, and as many for parts of words."""

ENTRIES = 32
"""Entries of a list that get an indicator, the most frequent."""

LEAST_ROWS = 5
"""A word or an entry of fewer training rows gets no feature."""

LEARNED_ROWS = 20_000
"""Words are chosen in so many rows, evenly spaced."""

SEPARATORS = (";", "|", ",")

ENTRY_LENGTH = 40
"""Longer pieces between separators are no entries of a list."""


def gram_counts(
    column: pa.ChunkedArray, buckets: Sequence[int], read_as_missing: Collection[str] = READ_AS_MISSING
) -> np.ndarray:
    """How often each text has a gram of each of `buckets`: float32 [rows, buckets], NaN for missing."""
    import numpy as np

    place = {bucket: index for index, bucket in enumerate(buckets)}
    known: dict[str, list[int]] = {}

    def counts_of(text: str) -> np.ndarray:
        found: list[int] = []
        for word in WORD.findall(text.lower()):
            if word not in known:
                known[word] = [place[bucket] for bucket in word_buckets(word) if bucket in place]
            found += known[word]
        return np.bincount(np.array(found, dtype=np.int64), minlength=len(buckets))

    return _each_text(column, len(buckets), counts_of, read_as_missing)


def word_buckets(word: str) -> list[int]:
    """The hashes of a word, then those of its runs of three characters, its ends marked by a space.

    CRC-32 of UTF-8, which every Python has: words are even numbers, parts of words odd. See Weinberger and others 2009,
    Feature hashing for large scale multitask learning.
    """
    marked = f" {word} "
    parts = (marked[start : start + 3] for start in range(len(marked) - 2))
    return [_hash(word) & ~1, *(_hash(part) | 1 for part in parts)]


def entry_counts(
    column: pa.ChunkedArray,
    separator: str,
    entries: Sequence[str | None],
    read_as_missing: Collection[str] = READ_AS_MISSING,
) -> np.ndarray:
    """Whether each list has each of `entries` (None: how many it has): float32 [rows, entries], NaN for missing."""
    import numpy as np

    def counts_of(text: str) -> np.ndarray:
        there = split_list(text, separator)
        return np.array([len(there) if entry is None else entry in there for entry in entries], dtype=np.float32)

    return _each_text(column, len(entries), counts_of, read_as_missing)


def split_list(text: str, separator: str) -> set[str]:
    """The entries of a list in a cell, in small letters, without space around them; empty ones are none."""
    return {entry for part in text.split(separator) if (entry := part.strip().lower())}


def frequent_buckets(column: pa.ChunkedArray) -> list[int]:
    """The hashes of words, then of parts of words, that part the training rows best: those nearest to half of them."""
    texts = _sample(column)
    found: Counter[int] = Counter()
    known: dict[str, list[int]] = {}
    for text in texts:
        words = set(WORD.findall(text.lower()))
        for word in words - known.keys():
            known[word] = word_buckets(word)
        found.update({bucket for word in words for bucket in known[word]})
    half = len(texts) / 2
    ranked = sorted(
        (bucket for bucket, rows in found.items() if LEAST_ROWS <= rows < len(texts)),
        key=lambda bucket: (abs(found[bucket] - half), bucket),
    )
    return [bucket for odd in (0, 1) for bucket in [one for one in ranked if one % 2 == odd][:GRAMS]]


def list_separator(column: pa.ChunkedArray) -> str:
    """The character that parts the entries of the lists in a column, empty where its cells hold no lists.

    At least a fifth of the cells hold it, the pieces are short, and they come back: of all pieces at most a tenth are
    distinct.
    """
    texts = _sample(column)
    for separator in SEPARATORS:
        lists = [text for text in texts if separator in text]
        if len(lists) < max(LEAST_ROWS, len(texts) / 5):
            continue
        pieces = [piece for text in texts for piece in split_list(text, separator)]
        if pieces and len(set(pieces)) <= len(pieces) / 10 and max(map(len, pieces)) <= ENTRY_LENGTH:
            return separator
    return ""


def frequent_entries(column: pa.ChunkedArray, separator: str) -> list[str]:
    """The entries that most training rows have, at most `ENTRIES`, the most frequent first."""
    found: Counter[str] = Counter()
    for text in _sample(column):
        found.update(split_list(text, separator))
    ranked = sorted((entry for entry, rows in found.items() if rows >= LEAST_ROWS), key=lambda one: (-found[one], one))
    return ranked[:ENTRIES]


def words_per_text(column: pa.ChunkedArray) -> float:
    """How many words a text has on average, 0 without texts."""
    texts = _sample(column)
    return sum(len(WORD.findall(text)) for text in texts) / max(1, len(texts))


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace"))


def _sample(column: pa.ChunkedArray) -> list[str]:
    """The texts of at most `LEARNED_ROWS` rows, without those that mean no value."""
    step = max(1, -(-len(column) // LEARNED_ROWS))
    values: Iterable[str | None] = column.take(list(range(0, len(column), step))).to_pylist()
    return [text for text in values if text is not None and text not in READ_AS_MISSING]


def _each_text(
    column: pa.ChunkedArray, width: int, count: Callable[[str], np.ndarray], read_as_missing: Collection[str]
) -> np.ndarray:
    """`count` applied once to every distinct text: float32 [rows, width], NaN for missing."""
    import numpy as np

    coded = column.combine_chunks().dictionary_encode()
    absent = frozenset(read_as_missing)
    table = np.full((len(coded.dictionary) + 1, width), np.nan, dtype=np.float32)
    for index, text in enumerate(coded.dictionary.to_pylist()):
        if text is not None and text not in absent:
            table[index] = count(text)
    placed = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    return np.asarray(table[placed])
