"""Numbers from text: hashed words and parts of words, and the entries of a list in a cell.

Repeats tasks/features/text.py.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from treadle.infra.tracking.scorer.values import is_number, number_of, only_once, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from treadle.infra.tracking.scorer.reading import Reader

WORD = re.compile(r"\w+")


def gram_counts(reader: Reader, series: pd.Series, buckets: Sequence[int], absent: Iterable[str]) -> np.ndarray:
    """How often each text has a gram of each of `buckets`: float32 [rows, buckets], NaN for missing."""
    place = {bucket: index for index, bucket in enumerate(buckets)}
    known: dict[str, list[int]] = {}

    def counts_of(value: object) -> np.ndarray:
        found: list[int] = []
        for word in WORD.findall(text_of(value).lower()):
            if word not in known:
                known[word] = [place[bucket] for bucket in word_buckets(word) if bucket in place]
            found += known[word]
        return np.bincount(np.array(found, dtype=np.int64), minlength=len(buckets))

    return each_text(reader, series, len(buckets), counts_of, absent)


def word_buckets(word: str) -> list[int]:
    """The hashes of a word (even), then those of its runs of three characters (odd), its ends marked by a space."""
    marked = f" {word} "
    parts = (marked[start : start + 3] for start in range(len(marked) - 2))
    return [hash_of(word) & ~1, *(hash_of(part) | 1 for part in parts)]


def hash_of(text: str) -> int:
    """CRC-32 of UTF-8."""
    return zlib.crc32(text.encode("utf-8", "replace"))


def entry_counts(
    reader: Reader, series: pd.Series, separator: str, entries: Sequence[str | None], absent: Iterable[str]
) -> np.ndarray:
    """Whether each list has each of `entries` (None: how many it has): float32 [rows, entries], NaN for missing.

    Where pandas took a list of one entry for a number, the entry is found by its value.
    """
    by_number = only_once((number_of(entry), entry) for entry in entries if entry is not None and is_number(entry))

    def counts_of(value: object) -> np.ndarray:
        there = {entry for part in text_of(value).split(separator) if (entry := part.strip().lower())}
        if not isinstance(value, str | bool | np.bool_) and not there & set(entries):
            there = {by_number.get(number_of(value), "")}
        return np.array([len(there) if entry is None else entry in there for entry in entries], dtype=np.float32)

    return each_text(reader, series, len(entries), counts_of, absent)


def each_text(
    reader: Reader, series: pd.Series, width: int, count: Callable[[object], np.ndarray], absent: Iterable[str]
) -> np.ndarray:
    """`count` applied once to every distinct value: float32 [rows, width], NaN for missing."""
    codes, uniques = pd.factorize(series)
    no_value = frozenset(absent)
    table = np.full((len(uniques) + 1, width), np.nan, dtype=np.float32)
    for index, value in enumerate(uniques):
        if not reader.is_missing(value) and text_of(value) not in no_value:
            table[index] = count(value)
    return table[codes]
