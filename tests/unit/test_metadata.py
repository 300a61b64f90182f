"""Counts that must equal the official ones."""

import math
import shutil
import tempfile
from pathlib import Path

import pytest
from arena.data import metadata
from arena.data.answers import read_answers
from arena.data.metadata import complete_metadata, count_metadata, estimate_tokens, token_counter

TEXT = """# Title
## Two
####### seven is no header
#none
1. one
  2. two
- a
* b
+ c
-none
**bold** and **also bold** but **not
over lines** and __this__ too
```python
# a comment, not a header
- 1
**x**
```
"""


def test_counts_of_a_text():
    assert count_metadata(TEXT, token_len=5) == {
        "token_len": 5,
        "header_count": {"h1": 1, "h2": 1, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
        "list_count": {"ordered": 2, "unordered": 3},
        "bold_count": {"**": 2, "__": 1},
    }


def test_the_inside_of_a_code_block_is_removed_everywhere():
    """The official quirk: the header outside repeats the block's inside and goes with it."""
    assert count_metadata("```\n# x\n```\n# x\n", 0)["header_count"]["h1"] == 0
    assert count_metadata("```\n# y\n```\n# x\n", 0)["header_count"]["h1"] == 1


@pytest.mark.parametrize("name", ["gpt-3.5-turbo-0125", "gpt-4-0314", "gpt-4-0613"])
def test_equal_to_the_official_counts_answer_by_answer(shared_data, name):
    folder = shared_data / "arena-hard-v0.1-older-shape" / "model_answer"
    answers = read_answers(folder / f"{name}.jsonl").answers
    assert len(answers) == 500
    official = {uid: answer.metadata["token_len"] for uid, answer in answers.items()}
    for uid, answer in answers.items():
        assert count_metadata(answer.text, official[uid]) == answer.metadata, uid
    # These are of an older encoding, which needs a little more tokens.
    estimate = sum(estimate_tokens(answer.text) for answer in answers.values())
    assert estimate == pytest.approx(sum(official.values()), rel=0.05)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("Hello, world!", 4), ("12345", 2), ("a" * 100, 10), ("日本", 1), ("   \n\n", 1)],
)
def test_estimates(text, tokens):
    assert estimate_tokens(text) == tokens


def test_what_a_file_has_stays_and_the_rest_is_counted():
    full = count_metadata(TEXT, 5)
    given = {"token_len": 77, "list_count": {"ordered": 9, "unordered": 9}}
    assert complete_metadata(TEXT, full | given | {"other": 1}) == full | given
    assert complete_metadata(TEXT, given) == full | given
    assert complete_metadata("x", None) == count_metadata("x")
    for broken in (None, -1, math.nan, math.inf, "1", 10**400, True):
        assert complete_metadata(TEXT, full | {"header_count": {"h1": broken}}) == full
        assert complete_metadata("x", {"token_len": broken})["token_len"] == 1


def test_an_endless_loop_of_line_ends_is_counted_in_one_pass():
    """A million of them would otherwise be half a million times a million steps: for ever."""
    for text, ordered, unordered in (
        ("\n" * 1_000_000 + "- x", 0, 1),
        ("\n \r\n\t1. x\n\n- \n* y", 1, 2),
    ):
        counted = count_metadata(text, 0)["list_count"]
        assert counted == {"ordered": ordered, "unordered": unordered}


@pytest.mark.parametrize("content", [None, "damaged"])
def test_without_the_encodings_file_the_estimate_says_so(no_tiktoken, content):
    if content:
        (no_tiktoken / metadata._O200K_NAME).write_text(content)
    count, name = token_counter()
    assert count is estimate_tokens
    assert name.startswith("estimate (") and str(no_tiktoken) in name
    assert [file.read_text() for file in no_tiktoken.iterdir()] == ([content] if content else [])


def test_with_the_encodings_file_tokens_are_exact(no_tiktoken, monkeypatch):
    """Run where tiktoken's cache holds the file; known numbers of o200k_base."""
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    file = Path(tempfile.gettempdir()) / "data-gym-cache" / metadata._O200K_NAME
    if not file.is_file():
        pytest.skip(f"needs the file of o200k_base at {file}")
    shutil.copy(file, no_tiktoken)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(no_tiktoken))
    count, name = token_counter()
    assert name == "o200k_base"
    assert count("Hello, world!") == 4
    assert count("A" * 100_000) == 12_500
    assert count("<|endoftext|>") > 1, "the mark of the end is text here"
