"""`make size`: what counts as a line of code."""

from tests.size import code_lines, long_functions

SOURCE = '''"""A module."""

# a comment
import os  # counts


def work(
    x: int,
) -> int:
    """Two lines
    of documentation."""
    text = """two
    lines"""

    return x
'''


def test_blanks_comments_and_docstrings_are_no_code() -> None:
    assert code_lines(SOURCE) == 7


def test_a_function_is_long_with_its_documentation() -> None:
    assert long_functions(SOURCE) == []
    assert long_functions("def work():\n" + '    """\n' + "\n" * 60 + '    """\n') == [("work", 63)]
