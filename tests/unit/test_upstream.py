"""Checkouts of Arena-Hard-Auto in both layouts, with texts of our own."""

import pickle
import re

import pytest
from arena.setup.resolve import resolve
from arena.setup.upstream import Upstream, endpoints, read_literal
from arena.support.errors import ConfigError

V2 = r"""
judge_model: judge-70b
bench_name: arena-hard-v2.0
temperature: 0.0
max_tokens: 16000
reference: null
regex_patterns: ['\[\[([AB<>=]+)\]\]', '\[([AB<>=]+)\]']
prompt_template: "Q\n{QUESTION}\n{ANSWER_A}\n{ANSWER_B}"
model_list: [model-1, model-2]
"""

V1 = r"""
name: judgment
bench_name: arena-hard-v0.1
judge_model: judge-4
reference: False
ref_model: null
baseline: True
baseline_model: base-1
pairwise: True
temperature: 0
max_tokens: 4096
regex_pattern: \[\[([AB<>=]+)\]\]
number_of_judgment_attempts: 2
system_prompt: "Judge.\nWell."
prompt_template: ["Q {question_1} A {answer_1} B {answer_2}"]
model_list: [model-1]
"""

API = """
# comment
judge-70b:
    model: org/Judge-70B
    endpoints:
        - {api_base: http://127.0.0.1:8000/v1, api_key: secret-1}
        - {api_base: http://127.0.0.1:8001/v1, api_key: '-', model_name: other}
    api_type: openai
    parallel: 32
hosted: {model_name: hosted-2024, endpoints: null, api_type: openai}
claude: {model: claude-x, endpoints: null, api_type: anthropic}
unfinished: {endpoints: [{api_base: 'http://0.0.0.0:<port_number>/v1', api_key: x}]}
keyless: {endpoints: [{api_base: http://h/v1, api_key: <your_api_key>}]}
no_base: {endpoints: [{api_key: x}]}
no_url: {endpoints: [{api_base: h/v1}]}
secret: {endpoints: [{api_base: 'https://me:S3cret@h/v1'}]}
"""

UTILS = """
import requests
PLAIN = "Judge."
JUDGE_SETTINGS = {
    "hard_prompt": {"baseline": "base-hard", "system_prompt": PLAIN},
    "creative_writing": {"baseline": "base-creative", "system_prompt": PLAIN + " Kindly."},
}
"""

NAMES = {
    "v2": "config/arena-hard-v2.0.yaml",
    "v1": "config/judge_config.yaml",
    "api": "config/api_config.yaml",
    "utils": "utils/judge_utils.py",
}


@pytest.fixture
def checkout(tmp_path):
    """Make a checkout from file names and texts."""

    def make(**files):
        (tmp_path / "config").mkdir(exist_ok=True)
        for name, text in files.items():
            path = tmp_path / NAMES.get(name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Upstream(tmp_path)

    return make


def test_settings_of_both_layouts(checkout):
    upstream = checkout(v1=V1, v2=V2)
    assert upstream.settings("arena-hard-v2.0") == {
        "by_category": {},
        **{"judge_model": "judge-70b", "temperature": 0.0, "max_tokens": 16000, "reference": None},
        "regex_patterns": [r"\[\[([AB<>=]+)\]\]", r"\[([AB<>=]+)\]"],
        "prompt_template": "Q\n{QUESTION}\n{ANSWER_A}\n{ANSWER_B}",
    }
    assert upstream.settings("arena-hard-v0.1") == {
        **{"judge_model": "judge-4", "temperature": 0, "max_tokens": 4096, "reference": None},
        "regex_patterns": [r"\[\[([AB<>=]+)\]\]"],
        "prompt_template": "Q {QUESTION} A {ANSWER_A} B {ANSWER_B}",
        "by_category": {"*": {"baseline": "base-1", "system_prompt": "Judge.\nWell."}},
    }


@pytest.mark.parametrize("place", [NAMES["utils"], "src/arenahard/utils/judge_utils.py"])
def test_judge_settings_of_v2(checkout, place):
    assert checkout(v2=V2, **{place: UTILS}).settings("arena-hard-v2.0")["by_category"] == {
        "hard_prompt": {"baseline": "base-hard", "system_prompt": "Judge."},
        "creative_writing": {"baseline": "base-creative", "system_prompt": "Judge. Kindly."},
    }


def test_a_checkout_without_files_about_the_bench_gives_nothing(checkout):
    upstream = checkout(v2=V2)
    assert (upstream.settings("my-bench"), upstream.api_config) == ({"by_category": {}}, {})


def test_the_file_of_the_benchs_name_wins_over_others_and_two_others_are_refused(checkout):
    upstream = checkout(**{"config/a.yaml": V2.replace("judge-70b", "judge-a")})
    assert upstream.settings("arena-hard-v2.0")["judge_model"] == "judge-a", "by its bench_name"
    checkout(v2=V2)
    assert upstream.settings("arena-hard-v2.0")["judge_model"] == "judge-70b"
    (upstream.directory / NAMES["v2"]).rename(upstream.directory / "config/b.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml, .*b\.yaml: all have `bench_name"):
        upstream.settings("arena-hard-v2.0")


def test_the_file_of_the_benchs_name_needs_no_bench_name(checkout):
    text = re.sub("(bench_name|judge_model|temperature): .*\n", "", V2)
    upstream = checkout(v2=text, **{"config/notes.yaml": "- a list\n"})
    found = upstream.settings("arena-hard-v2.0")
    assert (found["max_tokens"], "temperature" in found) == (16000, False)


def test_endpoints(checkout):
    upstream = checkout(api=API)
    found = upstream.endpoints("judge-70b")
    assert [tuple(one.values()) for one in found] == [
        ("http://127.0.0.1:8000/v1", "secret-1", None, "org/Judge-70B"),
        ("http://127.0.0.1:8001/v1", "-", None, "other"),
    ]
    assert "secret-1" not in repr(upstream)
    (hosted,) = upstream.endpoints("hosted")
    expected = ("https://api.openai.com/v1", None, "OPENAI_API_KEY", "hosted-2024")
    assert tuple(hosted.values()) == expected


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("judge-70", r"api_config\.yaml: no block 'judge-70'; did you mean 'judge-70b'\?"),
        ("claude", r"api_config\.yaml: claude: api_type: 'anthropic' is not OpenAI-compatible"),
        ("unfinished", r"unfinished: endpoints\[0\]: api_base still contains a placeholder"),
        ("keyless", r"keyless: endpoints\[0\]: api_key is still a placeholder"),
        ("no_base", r"no_base: endpoints\[0\]: api_base is missing"),
        ("no_url", r"no_url: endpoints\[0\]: api_base is not a URL \(http://\.\.\.\): h/v1"),
        ("secret", r"secret: endpoints\[0\]: api_base: https://\*\*\*@h/v1 contains a user name"),
    ],
)
def test_endpoints_that_cannot_work_are_refused(checkout, name, error):
    with pytest.raises(ConfigError, match=error):
        checkout(api=API).endpoints(name)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("temperature: 0.0", "temperature: cold", "temperature: cannot be 'cold'"),
        ("temperature: 0.0", "temperature: .nan", "temperature: cannot be nan"),
        ("judge_model: judge-70b", "judge_model: 0", "judge_model: cannot be 0"),
        ("max_tokens: 16000", "max_tokens: yes", "max_tokens: cannot be True"),
        ("{ANSWER_B}", "{ANSWER_C}", r"v2\.0\.yaml: prompt_template: unknown marker {ANSWER_C}"),
        (r"\n{ANSWER_B}", "", "prompt_template: the marker {ANSWER_B} is missing"),
        (r"'\[([AB<>=]+)\]'", "'['", "regex_patterns: '\\['"),
        (r"'\[([AB<>=]+)\]'", "7", "must be a list of regular expressions"),
        ("reference: null", "reference: [a, b]", "reference: cannot be"),
        ("judge_model: judge-70b", "judge_model: j\npairwise: False", "pairwise: False"),
        ("model_list:", "model_list: [", r"v2\.0\.yaml:9: not YAML"),
    ],
)
def test_settings_that_cannot_work_name_file_and_key(checkout, old, new, error):
    assert old in V2
    with pytest.raises(ConfigError, match=error):
        checkout(v2=V2.replace(old, new)).settings("arena-hard-v2.0")


def test_a_key_without_its_indentation_is_not_printed(checkout):
    with pytest.raises(ConfigError, match=r"\.yaml: api_key: must be a block of settings$"):
        checkout(api="api_key: S3cret\n").block("judge-70b")


def test_settings_take_no_key_along_into_the_files_of_scripts(checkout, tmp_path):
    """Snakemake pickles a rule's params; the server reads the keys anew, from their own file."""
    checkout(v2=V2, api=API, utils=UTILS)
    (tmp_path / "data/arena-hard-v2.0").mkdir(parents=True)
    config = {"bench": "arena-hard-v2.0", "models": ["m"], "baseline": "base"}
    config |= {"arena_hard_dir": str(tmp_path), "judge": {"server": "external"}}
    found = resolve(config)
    pickled = pickle.dumps(found)
    assert b"secret-1" not in pickled
    again = pickle.loads(pickled)
    assert again == found
    assert [one["key"] for one in endpoints(again.server_settings())] == ["secret-1", "-"]


def test_yaml_is_loaded_safely(checkout, tmp_path):
    mark = tmp_path / "mark"
    code = f"x: !!python/object/apply:os.system ['touch {mark}']"
    with pytest.raises(ConfigError, match=r"api_config\.yaml:1: not YAML"):
        checkout(api=code).block("j")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("utils", "error"),
    [
        ("{'a': {'baseline': 'b'}}", r"judge_utils\.py: a: system_prompt is missing"),
        ("{'a': 'b'}", "a: must be a dict of baseline and system_prompt"),
        ("['a']", "JUDGE_SETTINGS must be a dict"),
        ("load()", r"judge_utils\.py:1: JUDGE_SETTINGS cannot be read"),
    ],
)
def test_judge_settings_that_cannot_be_read_name_the_place(checkout, utils, error):
    with pytest.raises(ConfigError, match=error):
        checkout(v2=V2, utils=f"JUDGE_SETTINGS = {utils}").settings("arena-hard-v2.0")
    with pytest.raises(ConfigError, match=r"judge_config\.yaml: baseline_model is missing"):
        checkout(v1=V1.replace("baseline_model:", "other:")).settings("arena-hard-v0.1")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"arena_hard_dir: .* no folder config/"):
        Upstream(tmp_path)


def test_a_reference_model_and_an_empty_list_of_templates(checkout):
    v1 = V1.replace("reference: False", "reference: True").replace("null", "[ref-1]")
    v1 = v1.replace('["Q {question_1} A {answer_1} B {answer_2}"]', "[]")
    found = checkout(v1=v1).settings("arena-hard-v0.1")
    assert (found["reference"], found["prompt_template"]) == ("ref-1", None)
    v2 = checkout(v2=V2.replace("reference: null", "reference: ref-2"))
    assert v2.settings("arena-hard-v2.0")["reference"] == "ref-2"


def literal(tmp_path, code, name="X"):
    path = tmp_path / "code.py"
    path.write_text(code)
    return read_literal(path, name)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("X = 'a' 'b' + \"c\"", "abc"),
        ("A: str = 'a'\nX: list = [A, 1, None, True, (2.5,)]", ["a", 1, None, True, [2.5]]),
        ("A = 'a'\nX = f'{A}!'", "a!"),
        ("X = '  a '.strip()", "a"),
        ("D = {'a': {'b': 'c'}}\nX = D['a']['b']", "c"),
        ("D = {'a': 1}\nX = {**D, 'b': 2}", {"a": 1, "b": 2}),
        ("X = 'a'\nX += 'b'", "ab"),
        ("X = {'a': {'b': 1}}\nX['a']['b'] = 2\nX['c'] = 3", {"a": {"b": 2}, "c": 3}),
    ],
)
def test_literals_of_a_python_file(tmp_path, code, value):
    assert literal(tmp_path, code) == value


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os\n\nX = os.environ['A']", r"code\.py:3: X cannot be read: 'os\.environ'"),
        ("from a import P\nX = {'p': P}", "P is not a literal assigned above"),
        ("P = f()\nX = [P]", r":1: X cannot be read: 'f\(\)'"),
        ("X = 1\nX['a'] = 2", ":2: X cannot be read"),
        ("X = {'a': 1}\nX['b']['c'] = 2", ":2: X cannot be read"),
        ("X = [1].strip()", ":1: X cannot be read"),
        ("def f():\n    X = 1", "X is not assigned at the top level"),
        ("X = (", r"code\.py:1: not Python"),
        ("X = 1\0", "not Python"),
    ],
)
def test_what_is_no_literal_is_named_with_its_line(tmp_path, code, error):
    with pytest.raises(ConfigError, match=error):
        literal(tmp_path, code)


def test_nothing_is_run(tmp_path):
    mark = tmp_path / "mark"
    assert literal(tmp_path, f"open({str(mark)!r}, 'w').close()\nY = f()\nX = 1") == 1
    assert not mark.exists()
