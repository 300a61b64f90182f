"""Counts of tokens, headers, list items and bold passages of every answer, for style control."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from arena.data.answers import left_out, read_answers
from arena.data.judgments import BUFFER
from arena.data.metadata import complete_metadata, token_counter
from arena.ranking.votes import Array

_Count = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]


class _Metadata(msgspec.Struct):
    token_len: _Count
    header_count: dict[str, _Count]
    list_count: dict[str, _Count]
    bold_count: dict[str, _Count]


class _Line(msgspec.Struct):
    uid: str | int | None = None
    question_id: str | int | None = None
    metadata: _Metadata | None = None
    conv_metadata: _Metadata | None = None


_DECODER = msgspec.json.Decoder(_Line)


def read_style_counts(
    files: Mapping[str, Path], questions: Sequence[str]
) -> tuple[dict[str, Array], list[str]]:
    """Return model -> counts [Q, 4] in the order of `questions`, and notes.

    Missing metadata is computed from the answers. NaN: no answer; a model without an answer file
    has only NaN, and a note.
    """
    place = {uid: number for number, uid in enumerate(questions)}
    counts = {model: np.full((len(questions), 4), np.nan) for model in files}
    notes, counted, missing = [], 0, []
    for model, path in files.items():
        if not path.is_file():
            missing.append(model)
            continue
        rows = _stored(path)
        if rows is None:
            file = read_answers(path)
            rows = [
                (uid, _row(complete_metadata(answer.text, answer.metadata)))
                for uid, answer in file.answers.items()
            ]
            notes += left_out(path, file.unreadable)
            counted += 1
        for uid, row in rows:
            if uid in place:
                counts[model][place[uid]] = row
    if missing:
        notes.append(f"no answer file, so tokens and style are not known: {', '.join(missing)}")
    if counted:
        notes.append(
            f"style metadata computed from the answers of {counted} models; token counts: "
            f"{token_counter()[1]}"
        )
    return counts, notes


def _stored(path: Path) -> list[tuple[str, tuple[float, ...]]] | None:
    """The file's own metadata, read without decoding texts; None if any line has none."""
    rows = []
    with path.open("rb", buffering=BUFFER) as file:
        for raw in file:
            if raw.isspace():
                continue
            try:
                line = _DECODER.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None  # read_answers reports or tolerates it
            metadata = line.metadata or line.conv_metadata
            uid = line.question_id if line.uid is None else line.uid
            if metadata is None or uid is None:
                return None
            rows.append((str(uid), _row(msgspec.structs.asdict(metadata))))
    return rows


def _row(metadata: dict[str, Any]) -> tuple[float, ...]:
    kinds = ("header_count", "list_count", "bold_count")
    return (metadata["token_len"], *(sum(metadata[kind].values()) for kind in kinds))
