"""The config as the tools read it that run without Snakemake."""

import pytest
from arena.setup.load import load_settings
from arena.support.errors import ConfigError


@pytest.mark.parametrize(
    ("content", "override", "expected"),
    [
        (None, "", "config.yaml: No such file or directory. Run this in the folder where"),
        (b"bench: caf\xe9\n", "", "config.yaml: not UTF-8 at byte 11"),
        (b"a: 1\nb: [\n", "", "config.yaml:2: not YAML: "),
        (b"- a\n", "", "config.yaml: contains no settings"),
        (b"bench: b\n", "judge={name: j", "--config judge:1: not YAML: "),
        (b"bench: b\n", "judge", "--config judge: write KEY=VALUE"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(tmp_path, content, override, expected):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, [override] if override else [])
    assert expected in str(caught.value)
