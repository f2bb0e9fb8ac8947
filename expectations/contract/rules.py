"""Sentences for people: what an expectation requires, and how a batch breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.expectations.contract.suite import NOT_NULL, TYPE, UNIQUE, UNIQUE_TOGETHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from treadle.expectations.contract.engine import ExpectationResult
    from treadle.expectations.contract.suite import Expectation
    from treadle.tasks.dataset.schema import Schema

SHOWN = 5
KINDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "text": "text",
    "date": "a date",
    "timestamp": "a time",
}

PHRASES = {
    NOT_NULL: "missing",
    UNIQUE: "that come more than once",
    UNIQUE_TOGETHER: "that share them with another row",
    "expect_column_values_to_match_regex": "of another form",
    "expect_column_values_to_be_in_set": "outside the set",
}


def about(columns: tuple[str, ...]) -> str:
    """`column 'a'`, `columns 'a', 'b'`, or `the batch`."""
    names = ", ".join(repr(name) for name in columns)
    return f"column{'s' if len(columns) > 1 else ''} {names}" if columns else "the batch"


def contract(expectation: Expectation, schema: Schema) -> str:
    """What must hold, as short as it goes: `<= 1440`, `one of 'a', 'b'`, `never missing`."""
    arguments = expectation.arguments
    kind = expectation.type
    if kind == TYPE:
        column = schema.column(expectation.columns[0])
        text = KINDS[column.kind] + (f" written {column.format}" if column.format else "")
    elif kind == NOT_NULL:
        text = (
            "never missing" if expectation.mostly >= 1 else f"at least {expectation.mostly:.4g} of the values present"
        )
    elif kind == UNIQUE:
        text = "unique"
    elif kind == UNIQUE_TOGETHER:
        text = "unique together"
    elif kind == "expect_column_values_to_match_regex":
        text = f"like {arguments.get('regex')}"
    elif "value_set" in arguments:
        text = _set(arguments["value_set"])
    elif "min_value" in arguments or "max_value" in arguments:
        text = _range(arguments)
    else:
        text = _other(expectation)
    if expectation.mostly < 1 and kind != NOT_NULL:
        text += f" for at least {expectation.mostly:.4g} of the values"
    return text


def row_sentence(expectation: Expectation, schema: Schema, broken: int, evaluated: int) -> str:
    """`column 'dep_delay': 312 of 24,961 values above 1,440 (contract: <= 1440)`."""
    unit = "rows" if len(expectation.columns) > 1 else "values"
    head = f"{about(expectation.columns)}: {broken:,} of {evaluated:,} {unit}"
    return f"{head} {_broken(expectation, schema)} (contract: {contract(expectation, schema)})"


def batch_sentence(expectation: Expectation, schema: Schema, verdict: ExpectationResult) -> str:
    """`column 'age': mean is 12 (contract: 30 to 50)`."""
    if verdict.broken is not None and verdict.evaluated:
        return row_sentence(expectation, schema, verdict.broken, verdict.evaluated)
    observed = verdict.result.get("observed_value")
    examples = verdict.result.get("partial_unexpected_list")
    if observed is None and isinstance(examples, list) and examples:
        finding = f"has {', '.join(_shown(value) for value in examples)}"
    elif observed is None:
        finding = f"{_name(expectation)}: has nothing to evaluate"
    else:
        finding = f"{_name(expectation)} is {_shown(observed)}"
    return f"{about(expectation.columns)}: {finding} (contract: {contract(expectation, schema)})"


def _broken(expectation: Expectation, schema: Schema) -> str:
    """What the offending values are: `above 1,440`, `not in the set`."""
    arguments = expectation.arguments
    if expectation.type == TYPE:
        return f"that are not {KINDS[schema.column(expectation.columns[0]).kind]}"
    if expectation.type in PHRASES:
        return PHRASES[expectation.type]
    if expectation.type in ("expect_column_values_to_be_between", "expect_column_value_lengths_to_be_between"):
        of = "with a length " if "length" in expectation.type else ""
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if low is None:
            return f"{of}above {_grouped(high)}"
        return of + (f"below {_grouped(low)}" if high is None else f"outside {_grouped(low)} to {_grouped(high)}")
    return f"break {_name(expectation)}"


def _range(arguments: Mapping[str, JsonValue]) -> str:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None and high is not None and not arguments.get("strict_min") and not arguments.get("strict_max"):
        return f"{_plain(low)} to {_plain(high)}"
    parts = []
    if low is not None:
        parts.append(f"{'>' if arguments.get('strict_min') else '>='} {_plain(low)}")
    if high is not None:
        parts.append(f"{'<' if arguments.get('strict_max') else '<='} {_plain(high)}")
    return " and ".join(parts) or "anything"


def _set(values: JsonValue) -> str:
    listed = values if isinstance(values, list) else [values]
    text = ", ".join(_shown(value) for value in listed[:SHOWN])
    more = len(listed) - SHOWN
    return f"one of {text}" + (f" and {more:,} more" if more > 0 else "")


def _other(expectation: Expectation) -> str:
    hidden = {"column", "column_A", "column_B", "column_list", "mostly", "condition_parser"}
    parts = [f"{key} = {_shown(value)}" for key, value in expectation.arguments.items() if key not in hidden]
    return ", ".join(parts)[:200] or _name(expectation)


def _name(expectation: Expectation) -> str:
    """`expect_column_mean_to_be_between` -> `mean`; others: the words between."""
    words = expectation.type.removeprefix("expect_").removeprefix("column_").removeprefix("table_")
    return words.split("_to_be_")[0].replace("_", " ")


def _plain(value: JsonValue) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _grouped(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,}"


def _shown(value: JsonValue) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)[:100]
