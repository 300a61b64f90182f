"""Adopting all judgment files of a campaign that others made: the work behind `snakemake adopt`."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.judgments import is_foreign
from arena.data.questions import read_questions
from arena.journals.adopt import Adopted, adopt, move_aside, totals
from arena.journals.journal import Journal, read_records
from arena.journals.lock import Lock
from arena.setup.settings import Settings
from arena.support.errors import ArenaError, DataError, JournalError


def report_adoption(
    campaign: Settings, tell: Callable[[str], None], *, dry_run: bool = False
) -> bool:
    """Adopt all and tell what became of each file; whether none of them had to stay."""
    if dry_run:
        tell("a dry run: nothing is written or moved; this is what would be taken")
    adopted, stayed = [], 0
    for result in adopt_all(campaign, dry_run=dry_run):
        if isinstance(result, ArenaError):
            stayed += 1
            tell(f"adopt: {result}")
        else:
            adopted.append(result)
            tell("\n".join(result.lines()))
    nothing = "adopt: no judgment file of others; nothing to do"
    tell(totals(adopted) if adopted or stayed else nothing)
    return not stayed


def adopt_all(campaign: Settings, *, dry_run: bool = False) -> Iterator[Adopted | ArenaError]:
    """Adopt the foreign judgment files of all configured models, one after the other.

    The journal is on disk before a file is moved aside, so that an adoption that is interrupted
    is simply started again. Yields an ArenaError for a file that stays where it is: it cannot be
    judged against anything, or a client plays from its journal. dry_run: neither writes nor moves.
    """
    found = [model for model in campaign.models if is_foreign(*_paths(campaign, model))]
    if not found:
        return
    settings = GameSettings.from_dict(campaign.judgment_params())
    questions = read_questions(campaign.questions)
    categories = {question.uid: question.category for question in questions}
    others = {
        name: read_answers(campaign.answer(name)).answers
        for name in {*campaign.baseline_models, *filter(None, [settings.reference])}
    }
    reference = others.get(settings.reference) if settings.reference else None
    now = datetime.now().astimezone()
    for model in found:
        path, journal_path = _paths(campaign, model)
        try:
            answers = read_answers(campaign.answer(model)).answers
        except DataError as error:
            yield DataError(f"{path} cannot be adopted without the answers it is about: {error}")
            continue
        games = plan_games(settings, questions, answers, others, reference)
        digests = {game.digest for game in games}
        take = partial(
            adopt, path, model=model, settings=settings, games=games, categories=categories
        )
        if dry_run:
            records = read_records(journal_path) if journal_path.exists() else ()
            known = digests & {record.digest for record in records}
            yield take(known=known, append=lambda _: None)
            continue
        try:
            with Lock(journal_path) as lock:
                lock.acquire(until=time.time())
                with Journal(journal_path, digests) as journal:
                    result = take(known=journal.records.keys(), append=journal.append)
                    journal.sync()
                    result.moved_to = move_aside(path, campaign.root / "adopted", now)
        except JournalError as error:
            yield error
            continue
        yield result


def _paths(campaign: Settings, model: str) -> tuple[Path, Path]:
    return Path(campaign.judgment(model)), campaign.root / "games" / f"{model}.jsonl"
