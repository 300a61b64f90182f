"""Breaking a run in every way we know: `python tests/chaos --help`."""
