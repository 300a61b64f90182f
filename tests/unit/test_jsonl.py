"""Lines as they are found in the wild, byte by byte."""

import pytest
from arena.support.errors import DataError
from arena.support.jsonl import iter_lines, write_atomic


def read(tmp_path, content: bytes):
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    return list(iter_lines(path))


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (b'{"a":1}\n{"a":2}\n', [1, 2]),
        (b'{"a":1}\r\n{"a":2}\r\n', [1, 2]),
        (b'{"a":1}\n{"a":2}', [1, 2]),
        (b'\xef\xbb\xbf{"a":1}\n{"a":2}\n', [1, 2]),
        (b'\n{"a":1}\n\n \t{"a":2}\n\n\r\n  \n', [2, 4]),
    ],
)
def test_harmless_differences_are_accepted(tmp_path, content, numbers):
    lines = read(tmp_path, content)
    assert [line.obj for line in lines] == [{"a": 1}, {"a": 2}]
    assert [line.number for line in lines] == numbers


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b'{"a": "b\n', "string starting at column 7"),
        (b"<<<<<<< HEAD\n", "git conflict marker"),
        (b'{"a":"\xff"}\n', "not UTF-8 at byte 7"),
        (b"[1]\n", "not a JSON object but list"),
        (b'{"a":1}{"a":2}\n', "more than one JSON value, the second at column 8"),
        (b"\0\0\0\0\n", "only NUL bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}\n", "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_the_next_is_read(tmp_path, bad, error):
    first, second = read(tmp_path, bad + b'{"a":2}\n')
    assert first.obj is None
    assert error in first.error
    assert (first.number, first.torn) == (1, False)
    assert second.obj == {"a": 2}


@pytest.mark.parametrize("tail", [b'{"a": "b', b'{"a": "\xc3', b"\0\0"])
def test_a_file_that_ends_inside_a_line_is_torn(tmp_path, tail):
    first, last = read(tmp_path, b'{"a":1}\n' + tail)
    assert first.obj == {"a": 1}
    assert (last.number, last.torn) == (2, True)
    assert "torn" in last.error


def test_odd_characters(tmp_path):
    separators = '{"a":"x\u2028y\u0085z"}\n'.encode()  # which end no line
    first, second = read(tmp_path, separators + b'{"a":["\\ud83d\\ude00", "x\\uD800y"]}\n')
    assert first.obj == {"a": "x\u2028y\u0085z"}
    assert second.obj == {"a": ["😀", "x\ufffdy"]}, "a pair stays, a lone surrogate does not"


@pytest.mark.parametrize(("name", "why"), [("none.jsonl", "no such file"), ("", "cannot be read")])
def test_what_cannot_be_opened_is_an_error_that_names_it(tmp_path, name, why):
    with pytest.raises(DataError, match=f"{tmp_path / name}: {why}"):
        list(iter_lines(tmp_path / name))


def test_write_atomic_writes_text_and_iterables_and_makes_folders(tmp_path):
    path = tmp_path / "new" / "file.jsonl"
    write_atomic(path, "one\n")
    assert path.read_bytes() == b"one\n"
    write_atomic(path, (f"{i}\r\n" for i in range(3)))
    assert path.read_bytes() == b"0\r\n1\r\n2\r\n"
    assert [item.name for item in path.parent.iterdir()] == ["file.jsonl"]


def test_write_atomic_keeps_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "file.jsonl"
    path.write_text("old")

    def lines():
        yield "new"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomic(path, lines())
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.jsonl"]
