"""Values of a Python file, read without running it."""

import pytest
from arena.support.errors import ConfigError
from arena.support.python_literals import read_literal


def read(tmp_path, code, name="X"):
    path = tmp_path / "code.py"
    path.write_text(code)
    return read_literal(path, name)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("X = 'a' 'b' + \"c\"", "abc"),
        ("A = '''a\nb'''\nX = A", "a\nb"),
        ("A: str = 'a'\nX: list = [A, 1, None, True, (2.5,)]", ["a", 1, None, True, [2.5]]),
        ("A = 'a'\nX = f'{A}!'", "a!"),
        ("X = '  a '.strip()", "a"),
        ("D = {'a': {'b': 'c'}}\nX = D['a']['b']", "c"),
        ("D = {'a': 1}\nX = {**D, 'b': 2}", {"a": 1, "b": 2}),
        ("X = 'a'\nX += 'b'", "ab"),
        ("X = {'a': {'b': 1}}\nX['a']['b'] = 2\nX['c'] = 3", {"a": {"b": 2}, "c": 3}),
        ("import os\nos.system('false')\nY = os.environ\nX = 1", 1),
    ],
)
def test_literals(tmp_path, code, value):
    assert read(tmp_path, code) == value


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os\n\nX = os.environ['A']", r"code\.py:3: X cannot be read: 'os\.environ'"),
        ("X = 'a' + open('b').read()", r":1: X cannot be read: .* is not a literal"),
        ("from a import P\nX = {'p': P}", "P is not a literal assigned above"),
        ("P = f()\nX = [P]", r":1: X cannot be read: 'f\(\)'"),
        ("X = 1\nX['a'] = 2", ":2: X cannot be read"),
        ("X = {'a': 1}\nX['b']['c'] = 2", ":2: X cannot be read"),
        ("X = 'a' + 1", ":1: X cannot be read"),
        ("X = [1].strip()", ":1: X cannot be read"),
        ("def f():\n    X = 1", "X is not assigned at the top level"),
        ("X = (", r"code\.py:1: not Python"),
        ("X = 1\0", "not Python"),
    ],
)
def test_what_is_no_literal_is_named_with_its_line(tmp_path, code, error):
    with pytest.raises(ConfigError, match=error):
        read(tmp_path, code)


def test_nothing_is_run(tmp_path):
    mark = tmp_path / "mark"
    read(tmp_path, f"open({str(mark)!r}, 'w').close()\nX = 1")
    assert not mark.exists()
