"""A bench for chaos runs: questions, three models and a baseline, with every kind of reply, and
copies of the project in which Snakemake judges them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from arena.data.answers import read_answers
from arena.data.games import Game, GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.questions import read_questions
from arena.setup.resolve import resolve
from arena.setup.settings import Settings

from tests.conftest import PROJECT
from tests.faults import message_digest
from tests.synthetic import write_lines
from tests.workflow.conftest import copy_project

MODELS = ("alpha", "beta", "gamma")
JUDGE = "chaos-judge"
PARALLEL = 12  # requests open at the judge
# Replies that are what they are, in the undisturbed run as well: one of each in every 80 answers.
LASTING = ("null", "empty", "reasoning", "thought", "think", "tool", "refusal", "length")
LASTING += ("longwinded", "unparsed", "odd", "huge", "nousage", "too_long", "toolong_openai")
LASTING += ("filter", "turned")
# Seconds, where a user waits for minutes: fields of arena.judge.server.Limits.
LIMITS = {"grace": 1, "look": 0.3, "hang": 2, "engine": 1, "backoff": 0}


@dataclass(frozen=True)
class Bench:
    """Files of a bench, and the copy of the project in which a run of it leaves its own."""

    data: Path
    run: Path
    questions: int

    def write(self) -> None:
        """Questions and answers; texts differ in length, so that verdicts differ too."""
        questions = [
            {"uid": f"q{n:03}", "category": "hard", "prompt": f"How would you sort {n} things?"}
            for n in range(self.questions)
        ]
        write_lines(self.data / "chaos/question.jsonl", questions)
        for number, model in enumerate((*MODELS, "base")):
            answers = []
            for n, question in enumerate(questions):
                text = f"{model} sorts {n} things. " * (1 + (7 * n + 5 * number) % 11)
                if model != "base" and (n + 13 * number) % 80 < len(LASTING):
                    text += f"<<judge:{LASTING[(n + 13 * number) % 80]}>>"
                answers.append({"uid": question["uid"], "messages": [{"content": text}]})
            write_lines(self.data / f"chaos/model_answer/{model}.jsonl", answers)

    def write_project(self, command: str) -> None:
        """A copy of the project whose judge is started by this command."""
        copy_project(PROJECT, self.run)
        (self.run / "config/config.yaml").write_text(yaml.safe_dump(self._config(command)))

    def _config(self, command: str) -> dict[str, Any]:
        return {
            "bench": "chaos",
            "data_dir": str(self.data),
            "judgments_dir": str(self.run / "judgments"),
            "results_dir": str(self.run / "results"),
            "models": list(MODELS),
            "baseline": "base",
            "leaderboard": {"rounds": 20},
            "judge": {
                "name": JUDGE,
                "server": "vllm",
                "command": command,
                "parallel": PARALLEL,
                "timeout_s": 4.0,  # a stall costs so long
                "max_restarts": 1000,
                "ready_minutes": 1,
            },
        }

    @property
    def settings(self) -> Settings:
        return resolve(self._config("serve {host}"), PROJECT / "config/prompts")

    @property
    def leaderboard(self) -> Path:
        return self.settings.root / "leaderboard.csv"

    def output(self, model: str) -> Path:
        return self.run / "judgments" / JUDGE / f"{model}.jsonl"

    def journal(self, model: str) -> Path:
        return Layout(self.settings.root).journal(model)

    def games(self, model: str) -> list[Game]:
        settings = self.settings
        answers = {name: read_answers(settings.answer(name)).answers for name in (model, "base")}
        plain = GameSettings.from_dict(settings.judgment_params())
        questions = read_questions(settings.questions)
        return plan_games(plain, questions, answers[model], {"base": answers["base"]})

    def prompts(self) -> dict[str, dict[str, str]]:
        """model -> the judge's name of a prompt (`message_digest`) -> the game's digest."""
        return {
            model: {message_digest(game.messages): game.digest for game in self.games(model)}
            for model in MODELS
        }

    def plain_prompts(self) -> list[str]:
        """The prompts whose replies are ordinary ones."""
        return sorted(
            message_digest(game.messages)
            for model in MODELS
            for game in self.games(model)
            if "<<judge:" not in game.messages[-1]["content"]
        )
