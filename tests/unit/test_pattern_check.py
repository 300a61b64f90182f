"""Patterns that cannot find a verdict are refused; every other one is believed."""

import pytest
from arena.data.verdict import DEFAULT_PATTERNS
from arena.setup.pattern_check import check_patterns
from arena.support.errors import ConfigError


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"\[\[([ab<>=]+)\]\]", "upper case"),
        (r"Winner: ([AB<>=]+)", "upper case"),
        (r"[Ww]inner:\s*\**([AB<>=]+)", "upper case"),
        (r"<verdict>\s*([AB<>=]+)\s*</verdict>", "upper case"),
        (r"\\boxed\{([AB<>=]+)\}", "upper case"),
        (r"final verdict is (A>>B|A>B|A=B|B>A|B>>A)", "upper case"),
        (r"(\[\[[AB<>=]+\]\])", "without brackets"),
        (r"VERDICT: (\[[AB<>=]+\])", "without brackets"),
        (r"\[\[[AB<>=]+\]\]", "without brackets"),
        (r"(?P<label>\[\[[AB<>=]+)\]\]", "without brackets"),
        ("(A", "is not a regular expression"),
    ],
)
def test_patterns_that_cannot_work(pattern, said):
    with pytest.raises(ConfigError, match=said) as refused:
        check_patterns([*DEFAULT_PATTERNS, pattern])
    assert repr(pattern) in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [
        *DEFAULT_PATTERNS,
        r"WINNER: ([AB<>=]+)",
        r"(?i)winner: ([AB<>=]+)",
        r"(?i:winner): ([AB<>=]+)",
        r"[Ww](?:inner|INNER): ([AB<>=]+)",
        r"\\BOXED\{([AB<>=]+)\}",
        r"A>>B|A>B|A=B|B>A|B>>A",
        r"(?<=VERDICT IS )([AB<>=]+)",
        r"\[\[\s*(A>>B|A>B|A=B|B>A|B>>A)\s*\]\]",
        r"FINAL.{0,20}?\b(?P<label>[AB][<>=]{1,2}[AB])\b(?!.*VERDICT)",
        r"THE (?:BETTER|BEST) ONE IS ([AB])\.",
    ],
)
def test_patterns_that_can_work(pattern):
    check_patterns([pattern])
