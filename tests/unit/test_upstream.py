"""Checkouts of Arena-Hard-Auto in both layouts, with texts of our own."""

import pickle
import re

import pytest
from arena.judge.endpoints import endpoints
from arena.setup.resolve import resolve
from arena.setup.upstream import Endpoint, Upstream, read_endpoints
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
        **{"judge_model": "judge-70b", "temperature": 0.0, "max_tokens": 16000, "reference": None},
        "regex_patterns": [r"\[\[([AB<>=]+)\]\]", r"\[([AB<>=]+)\]"],
        "prompt_template": "Q\n{QUESTION}\n{ANSWER_A}\n{ANSWER_B}",
    }
    assert upstream.settings("arena-hard-v0.1") == {
        **{"judge_model": "judge-4", "temperature": 0, "max_tokens": 4096, "reference": None},
        "regex_patterns": [r"\[\[([AB<>=]+)\]\]"],
        "prompt_template": "Q {QUESTION} A {ANSWER_A} B {ANSWER_B}",
    }
    (entry,) = upstream.judge_settings("arena-hard-v0.1").items()
    assert entry == ("*", {"baseline": "base-1", "system_prompt": "Judge.\nWell."})


@pytest.mark.parametrize("place", [NAMES["utils"], "src/arenahard/utils/judge_utils.py"])
def test_judge_settings_of_v2(checkout, place):
    assert checkout(v2=V2, **{place: UTILS}).judge_settings("arena-hard-v2.0") == {
        "hard_prompt": {"baseline": "base-hard", "system_prompt": "Judge."},
        "creative_writing": {"baseline": "base-creative", "system_prompt": "Judge. Kindly."},
    }


def test_a_checkout_without_files_about_the_bench_gives_nothing(checkout):
    upstream = checkout(v2=V2)
    told = upstream.settings("my-bench"), upstream.judge_settings("my-bench"), upstream.api_config
    assert told == ({}, {}, {})


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
    assert upstream.settings("another") == {}


def test_endpoints(checkout):
    upstream = checkout(api=API)
    found = read_endpoints(upstream.api_config_file, "judge-70b")
    assert found == [
        Endpoint("http://127.0.0.1:8000/v1", "secret-1", "org/Judge-70B"),
        Endpoint("http://127.0.0.1:8001/v1", "-", "other"),
    ]
    assert "secret-1" not in repr(found) + repr(upstream)
    assert read_endpoints(upstream.api_config_file, "hosted") == [
        Endpoint("https://api.openai.com/v1", None, "hosted-2024")
    ]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("judge-70", r"api_config\.yaml: no block 'judge-70'; did you mean 'judge-70b'\?"),
        ("claude", r"api_config\.yaml: claude: api_type: 'anthropic' is not OpenAI-compatible"),
        ("unfinished", r"unfinished: endpoints\[0\]: api_base still contains a placeholder"),
        ("keyless", r"keyless: endpoints\[0\]: api_key is still a placeholder"),
        ("no_base", r"no_base: endpoints\[0\]: api_base is missing"),
        ("no_url", r"no_url: endpoints\[0\]: api_base is not a URL \(http://\.\.\.\): h/v1"),
    ],
)
def test_endpoints_that_cannot_work_are_refused(checkout, name, error):
    with pytest.raises(ConfigError, match=error):
        read_endpoints(checkout(api=API).api_config_file, name)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("temperature: 0.0", "temperature: cold", "temperature: cannot be 'cold'"),
        ("temperature: 0.0", "temperature: .nan", "temperature: cannot be nan"),
        ("judge_model: judge-70b", "judge_model: 7", "judge_model: cannot be 7"),
        ("max_tokens: 16000", "max_tokens: yes", "max_tokens: cannot be True"),
        ("{ANSWER_B}", "{ANSWER_C}", r"v2\.0\.yaml: prompt_template: unknown marker {ANSWER_C}"),
        (r"\n{ANSWER_B}", "", "prompt_template: the marker {ANSWER_B} is missing"),
        (r"'\[([AB<>=]+)\]'", "'['", "regex_patterns: '\\['"),
        (r"'\[([AB<>=]+)\]'", "'x'", "must have 1 group"),
        ("reference: null", "reference: [a, b]", "reference: cannot be"),
        ("judge_model: judge-70b", "judge_model: j\npairwise: False", "pairwise: False"),
        ("model_list:", "model_list: [", r"v2\.0\.yaml:9: not YAML"),
    ],
)
def test_settings_that_cannot_work_name_file_and_key(checkout, old, new, error):
    assert old in V2
    with pytest.raises(ConfigError, match=error):
        checkout(v2=V2.replace(old, new)).settings("arena-hard-v2.0")


def test_settings_take_no_key_along_into_the_files_of_scripts(checkout, tmp_path, project):
    """Snakemake pickles a rule's params; the server reads the keys anew, from their own file."""
    checkout(v2=V2, api=API, utils=UTILS)
    (tmp_path / "data/arena-hard-v2.0").mkdir(parents=True)
    config = {"bench": "arena-hard-v2.0", "models": ["m"], "baseline": "base"}
    config |= {"arena_hard_dir": str(tmp_path), "judge": {"server": "external"}}
    found = resolve(config, project / "config/prompts")
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
        ("JUDGE_SETTINGS = {'a': {'baseline': 'b'}}", r"judge_utils\.py: a: system_prompt is miss"),
        ("JUDGE_SETTINGS = {'a': 'b'}", "a: must be a dict of baseline and system_prompt"),
        ("JUDGE_SETTINGS = ['a']", "JUDGE_SETTINGS must be a dict"),
        ("JUDGE_SETTINGS = load()", r"judge_utils\.py:1: JUDGE_SETTINGS cannot be read"),
    ],
)
def test_judge_settings_that_cannot_be_read_name_the_place(checkout, utils, error):
    with pytest.raises(ConfigError, match=error):
        checkout(v2=V2, utils=utils).judge_settings("arena-hard-v2.0")


def test_v1_without_a_baseline_names_the_key(checkout):
    with pytest.raises(ConfigError, match=r"judge_config\.yaml: baseline_model is missing"):
        checkout(v1=V1.replace("baseline_model:", "other:")).judge_settings("arena-hard-v0.1")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"arena_hard_dir: .* no folder config/"):
        Upstream(tmp_path)


def test_an_empty_list_of_templates_is_none(checkout):
    text = V1.replace('["Q {question_1} A {answer_1} B {answer_2}"]', "[]")
    assert checkout(v1=text).settings("arena-hard-v0.1")["prompt_template"] is None


def test_a_reference_model(checkout):
    v1 = V1.replace("reference: False", "reference: True").replace("null", "[ref-1]")
    assert checkout(v1=v1).settings("arena-hard-v0.1")["reference"] == "ref-1"
    v2 = checkout(v2=V2.replace("reference: null", "reference: ref-2"))
    assert v2.settings("arena-hard-v2.0")["reference"] == "ref-2"


def test_a_secret_in_an_address_is_refused_and_never_printed(checkout):
    upstream = checkout(api="j: {endpoints: [{api_base: 'https://me:S3cret@h/v1'}]}")
    with pytest.raises(ConfigError, match="api_base") as caught:
        read_endpoints(upstream.api_config_file, "j")
    assert "S3cret" not in str(caught.value)
