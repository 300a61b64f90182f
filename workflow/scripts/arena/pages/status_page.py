"""The monitor's page: the output of `--json` as an HTML page that reloads itself."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arena.pages import charts
from arena.pages.html import Card, Cell, Page, Part, Stretch, Tab, Value, plain_table
from arena.support.humanize import duration, share
from arena.support.times import epoch

# The states of models, in the order of the map.
ORDER = (
    *("judging", "answering", "starting", "queued", "planned"),
    *("stopped", "failed", "no job", "left out", "no answers", "done"),
)
TOY = "The demo judge is a toy: its verdicts are meaningless."

Plain = Mapping[str, Any]


def status_page(status: Plain, refresh: float | None = None) -> Page:
    """status: the monitor's JSON with `history`. refresh: see Page."""
    root = Path(status["root"])
    written = epoch(status["time"]) or 0
    about = f"{root}, updated {datetime.fromtimestamp(written).strftime('%d %b %H:%M:%S')}"
    models = [model["model"] for model in status["models"]]
    page = Page(f"{root.parent.name}, judge {root.name}", about, models=models)
    page.notes = [TOY] if status["toy"] else []
    page.notes += [f"Another results folder, not shown here: {path}" for path in status["beside"]]
    page.written, page.refresh = written, refresh
    page.tabs = [Tab("Judgments", list(_parts(page, status, "Games")))]
    if status["answers"]:
        page.tabs.append(Tab("Answers", list(_parts(page, status["answers"], "Answers"))))
    return page


def _parts(page: Page, status: Plain, what: str) -> Iterator[Part]:
    """what: Games or Answers."""
    yield Part(cards=_cards(status, what))
    remarks = [
        (f"{one['text']}\nsee {one['where']}" if one["where"] else one["text"], one["grave"])
        for one in status["wrong"]
    ]
    if remarks:
        yield Part("Problems", remarks=remarks)
    text = "One square per model, filled by its progress."
    yield Part("Models by state", text, tiles=_map(status))
    if jobs := status["jobs"]:
        columns = ("Batch", "Job", "State", "Node", "Time", "Models done", what, "Reason")
        lines = [_job(job, status) for job in jobs]
        yield Part("Jobs of the newest run", table=plain_table(columns, lines))
    if points := _points(status["history"]):
        text = "Blue: all jobs together; grey: single jobs, whose names are tooltips."
        yield Part(f"{what} per second", text, page.chart(charts.speeds(points, what.lower())))
    judging = what == "Games"
    missed = "No verdict" if judging else "No answer"
    heads = {
        **{"Model": "", "State": "", "Progress": f"blue: done, orange: {missed.lower()}"},
        **{what: "", **({"Answers": "of the questions"} if judging else {})},
        **{missed: "", "Retries": "", f"{what}/s": "in the last five minutes"},
        **{"Left": "at this speed", "Batch": ""},
    }
    lines = [_model(one, judging) for one in status["models"]]
    yield Part("Models", table=plain_table(heads, lines))


def _cards(status: Plain, what: str) -> list[Card]:
    totals, grave = status["totals"], sum(one["grave"] for one in status["wrong"])
    played, games, speed = totals["played"], totals["games"], totals["games_per_second"]
    left = totals["seconds_left"]
    missed = played - totals["states"]["ok"]
    rest = f"{totals['partial']} partial, {totals['missing']} missing"
    cards = [
        Card("Models", f"{totals['models']}", f"{_dash(totals['with_answers'])} with answers"),
        Card("Done", f"{totals['done']}", rest),
        Card(what, share(played, games), f"{played:,} of {games:,}"),
        Card("Speed", f"{speed:.1f}/s", f"{duration(left)} left" if left else "nothing runs"),
    ]
    if what == "Games":
        retries = f"{missed:,}; {totals['retries']:,} retries"
        serious = f"{grave} of them stop work"
        cards.append(Card("No verdict", share(missed, played), retries))
        cards.append(Card("Problems", f"{len(status['wrong'])}", serious, bool(grave)))
    return cards


def _map(status: Plain) -> dict[str, list[tuple[str, float]]]:
    tiles = defaultdict(list)
    for model in status["models"]:
        played, games = model["played"], model["games"]
        part = 100 if model["at"] == "done" else 100 * min(1, played / games) if games else 0
        tiles[model["at"]].append((f"{model['model']}: {_of(played, games)}", part))
    return {state: tiles[state] for state in (*ORDER, *sorted({*tiles} - {*ORDER})) if tiles[state]}


def _job(job: Plain, status: Plain) -> list[Value]:
    models = [model for model in status["models"] if model["model"] in job["models"]]
    played = sum(model["played"] for model in models)
    games = sum(model["games"] or 0 for model in models)
    done = sum(model["judgments"] == "done" for model in models)
    time = "" if job["seconds"] is None else duration(job["seconds"])
    limit = f" of {duration(job['limit'])}" if job["limit"] and time else ""
    return [
        *(job["batch"], job["job"] or "", job["state"], job["node"] or ""),
        Cell(time + limit, job["seconds"] or ""),
        Cell(_of(done, len(job["models"])), done),
        Cell(_of(played, games), played),
        job["reason"] or "",
    ]


def _model(model: Plain, judging: bool) -> list[Value]:
    played, games, ok = model["played"], model["games"], model["states"]["ok"]
    parts = {"busy": ok, "starting": played - ok}
    bar = [
        Stretch(name, 100 * number / max(games, played), f"{number:,}")
        for name, number in parts.items()
        if games and number
    ]
    at, missed, left = model["at"], played - ok, model["seconds_left"]
    return [
        *(model["model"], at),
        Cell("", played / games, stretches=bar) if bar else Cell(""),
        Cell(_of(played, games), played),
        *([Cell(_of(model["answers"], model["questions"]), model["answers"] or 0)] * judging),
        Cell(f"{missed or ''}", missed),
        Cell(f"{model['retries'] or ''}", model["retries"]),
        Cell(f"{model['games_per_second'] or ''}", model["games_per_second"]),
        Cell("" if left is None else duration(left), "" if left is None else left),
        model["batch"] or "",
    ]


def _points(history: Plain | None) -> list[dict[str, Any]]:
    """Time, batch and speed; the batch "" is the sum of all batches."""
    if not history:
        return []
    step, start = history["seconds"], epoch(history["start"]) or 0
    sums = [sum(counts) for counts in zip(*history["batches"].values(), strict=True)]
    return [
        {
            "time": datetime.fromtimestamp(start + (place + 0.5) * step, UTC).isoformat(),
            "batch": batch,
            "speed": number / step,
        }
        for batch, counts in {"": sums, **history["batches"]}.items()
        for place, number in enumerate(counts)
    ]


def _of(part: int | None, whole: int | None) -> str:
    return f"{_dash(part)}/{_dash(whole)}"


def _dash(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
