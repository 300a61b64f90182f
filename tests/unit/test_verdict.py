"""From a reply to its verdict, and no vote that is none."""

import json

import pytest
from arena.data.verdict import (
    DEFAULT_PATTERNS,
    LABELS,
    LABELS_OF,
    as_label,
    check_patterns,
    parse_verdict,
    verdict_of,
    without_thoughts,
)
from arena.support.errors import ConfigError

CHANNEL = "<|channel|>"


@pytest.mark.parametrize(
    ("text", "v2", "v1"),
    [
        ("My final verdict is: [[A>>B]]", "A>>B", "A>>B"),
        ("first [[A>B]], on reflection [[B>A]]", "B>A", None),
        ("twice [[A=B]] and [[A=B]]", "A=B", "A=B"),
        ("verdict in lower case [[b>>a]]", "B>>A", None),
        ("single brackets [A>B]", "A>B", None),
        ("the double ones decide: [[A<B]] then [B>A]", "A<B", None),
        ("[[B<A]] is none of them", "B<A", None),
        ("code without a verdict: x = arr[b]", None, None),
        ("a verdict before code [A>B] and then arr[b]", "A>B", None),
        ("[[A>>B]], as in x[[B]]", "A>>B", None),
        ("df[[b]] is wrong, so [A>B]", "A>B", None),
        ("[[A>>A]]", None, None),
        ("[[B]]", None, None),
        ("[[A>> B]]", None, None),
        ("<think>[[A>>B]]</think> so [[B>A]]", "B>A", "B>A"),
        ("<think>[[A>>B]]", None, None),
        ("$ERROR$", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_both_rules(text, v2, v1):
    assert parse_verdict(text) == v2
    assert parse_verdict(text, rule="v0.1") == v1


def test_only_the_ten_known_labels_exist():
    assert len(LABELS) == 10
    assert {verdict_of(label) for label in LABELS} == {"A>>B", "A>B", "A=B", "B>A", "B>>A"}
    turned = {"A<<B": "B>>A", "A<B": "B>A", "B=A": "A=B", "B<A": "A>B", "B<<A": "A>>B"}
    assert {label: verdict_of(label) for label in turned} == turned
    assert (as_label(" b>a\n"), as_label("[A=B]"), as_label(1.0)) == ("B>A", None, None)


def test_patterns_are_the_users_own():
    # the reply is upper-cased
    assert parse_verdict("Winner: B>A!", [r"Winner: ([AB<>=]+)"]) is None
    assert parse_verdict("Winner: B>A!", [r"WINNER: ([AB<>=]+)"]) == "B>A"
    assert parse_verdict("so A>>B", [r"A>>B|B>>A"]) == "A>>B", "a pattern without a group"


def test_a_hundred_thousand_characters_are_no_trouble():
    assert parse_verdict("[[A>B]]" + "[[" * 50_000) == "A>B"
    assert parse_verdict("[[A>B]]" + "<think>" * 15_000) == "A>B"


@pytest.mark.parametrize(
    ("reply", "spoken"),
    [
        ("\n<think>no</think>\nyes", "\n\nyes"),
        ("no</think>yes", "yes"),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("<think>never ended", ""),
        (" <think>a</think>\n<think>never ended", ""),
        ("a stray <think> tag, so yes", "a stray <think> tag, so yes"),
        ("yes, as B leaks <think>hm</think> tags", "yes, as B leaks  tags"),
        ("<think>no</think>yes, as B leaks </think>", "yes, as B leaks "),
        ("B leaks <think>hm</think>, so no</think>yes", "yes"),
    ],
)
def test_thoughts_are_not_spoken(reply, spoken):
    assert without_thoughts(reply) == spoken


@pytest.mark.parametrize(
    ("reply", "spoken"),
    [
        (f"{begin}{thought}{end}{answer}", answer)
        for begin, end in [
            ("<think>", "</think>"),
            ("<THINKING>", "</thinking>"),
            ("<thought>", "</thought>"),
            ("<Reasoning>", "</Reasoning>"),
            ("<seed:think>", "</seed:think>"),
            ("<longcat_think>", "</longcat_think>"),
            ("<think >", "</think >"),
            ('<think type="deep">', "</think>"),
            ("<mm:think>", "</mm:think>"),
            ("[THINK]", "[/THINK]"),
            ("[unused16]", "[unused17]"),
            ("<|begin_of_thinking|>", "<|end_of_thinking|>"),
            ("<|start_of_reasoning|>", "<|end_of_reasoning|>"),
            ("<|think|>", "<|end|><|begin|>assistant<|content|>"),
            ("◁think▷", "◁/think▷"),
            ("<|begin_of_thought|>", "<|end_of_thought|>"),
            ("<|START_THINKING|>", "<|END_THINKING|>"),
            ("<|inner_prefix|>", "<|inner_suffix|>"),
            ("<|channel>thought", "<channel|>"),
            ("<unused94>thought", "<unused95>"),
            ("Here is my thought process:", "Here is my response:"),
            (
                f"{CHANNEL}analysis<|message|>",
                f"<|end|><|start|>assistant{CHANNEL}final<|message|>",
            ),
            (
                f"{CHANNEL}analysis<|message|>a<|end|><|start|>assistant{CHANNEL}commentary",
                f"<|end|><|start|>assistant{CHANNEL}final <|constrain|>json<|message|>",
            ),
            ("analysisWe compare.", "assistantfinal"),
        ]
        for thought, answer in [
            ("\nhm [[A>B]]\n", "\nso [[B>A]]"),
            ("A leaks </reasoning> tags, [[A>B]].", "[[B>A]]"),
        ]
        if "Reason" not in begin or "</" not in thought  # there it would be the end
    ],
)
def test_thoughts_of_every_family(reply, spoken):
    assert without_thoughts(reply) == spoken
    thought = reply.removesuffix(spoken)
    assert parse_verdict(thought) is None, "no reply after it"
    cut = thought[: thought.rindex("]]") + 2]
    assert parse_verdict(cut) is None, "cut off within it"


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("My verdict: [[A>B]]. Note that B leaks a stray </think> tag.", "A>B"),
        ("[[A>B]]\n\n(`</think>` in B is a mistake.)", "A>B"),
        ("[[A>B]]\nAnswer B ends with </reasoning>", "A>B"),
        ("so [[A>B]]\n</think>\n\nAnswer B", None),
        ("so I choose A, [[A>B]].</think>", None),
        ("hm, B says `</think>`, [[A>B]]\n</think>\n\n[[B>A]]", "B>A"),
        ("I compare them.\n<think>\n[[A>B]], but wait", None),
        ("An analysis: [[A>B]]", "A>B"),
        ("Analysis\nA is better: [[A>B]]", "A>B"),
    ],
)
def test_a_verdict_and_a_stray_tag(reply, label):
    assert parse_verdict(reply) == label
    assert parse_verdict(reply, rule="v0.1") == label


def test_real_odd_replies(shared_data):
    files = sorted((shared_data / "odd_replies").glob("*.jsonl"))
    cases = [json.loads(line) for file in files for line in file.open(encoding="utf-8")]
    tagged = [case for case in cases if "v1_parse" in case]
    assert (len(cases), len(tagged)) == (151, 140)
    for case in tagged:
        for rule, expected in (("v0.1", case["v1_parse"]), ("v2.0", case["v2_parse"])):
            expected = expected if expected in LABELS_OF[rule] else None  # [[A>>A]] is no vote
            assert parse_verdict(case["text"], rule=rule) == expected, case["source"]
    for case in cases:
        assert parse_verdict(case.get("text")) in LABELS | {None}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"\[\[([ab<>=]+)\]\]", "upper case"),
        (r"[Ww]inner:\s*\**([AB<>=]+)", "upper case"),
        (r"<verdict>\s*([AB<>=]+)\s*</verdict>", "upper case"),
        (r"\\boxed\{([AB<>=]+)\}", "upper case"),
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
