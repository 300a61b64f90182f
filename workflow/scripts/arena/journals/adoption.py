"""Adopting all judgment files of a campaign that others made: the work behind `snakemake adopt`."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.judgments import is_foreign
from arena.data.questions import read_questions
from arena.journals.adopt import Adopted, adopt, move_aside
from arena.journals.journal import Journal
from arena.journals.lock import Lock
from arena.setup.settings import Settings
from arena.support.errors import DataError


def adopt_all(campaign: Settings, *, dry_run: bool = False) -> Iterator[Adopted | DataError]:
    """Adopt the foreign judgment files of all configured models, one after the other.

    The journal is on disk before a file is moved aside, so that an adoption that is interrupted
    is simply started again. Yields a DataError for a file that cannot be judged against anything,
    which stays where it is. dry_run: neither writes nor moves.
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
        with ExitStack() as stack:
            journal = None
            if not dry_run or journal_path.exists():
                lock = Lock(journal_path)
                lock.acquire(until=time.time())
                stack.enter_context(lock)
                journal = stack.enter_context(
                    Journal(journal_path, {game.digest for game in games})
                )
            result = adopt(
                path,
                model=model,
                settings=settings,
                games=games,
                categories=categories,
                journal=journal,
                dry_run=dry_run,
            )
            if journal is not None and not dry_run:
                journal.sync()
                result.moved_to = move_aside(path, campaign.root / "adopted", now)
        yield result


def _paths(campaign: Settings, model: str) -> tuple[Path, Path]:
    return Path(campaign.judgment(model)), campaign.root / "games" / f"{model}.jsonl"
