"""A bench for chaos runs: questions, weights of three models and a baseline's answers, with every
kind of reply, and copies of the project in which Snakemake makes their answers and judges them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.questions import read_questions
from arena.setup.resolve import resolve
from arena.setup.settings import Settings

from tests.chaos import known
from tests.chaos.known import MODELS
from tests.checkpoints import adapter, checkpoint
from tests.conftest import PROJECT
from tests.faults import message_digest
from tests.synthetic import write_lines
from tests.workflow.conftest import copy_project

JUDGE = "chaos-judge"
PARALLEL = 12  # requests open at the judge
# Seconds, where a user waits for minutes: fields of arena.judge.server.Limits.
LIMITS = {"grace": 1, "look": 0.3, "hang": 2, "engine": 1, "backoff": 0}


@dataclass(frozen=True)
class Bench:
    """Files of a bench, and the copy of the project in which a run of it leaves its own."""

    data: Path
    run: Path
    questions: int

    def write(self) -> None:
        """Questions, the baseline's answers, weights, and the answers that are to come of them."""
        questions = [
            {"uid": f"q{n:03}", "category": "hard", "prompt": f"How would you sort {n} things?"}
            for n in range(self.questions)
        ]
        write_lines(self.data / "chaos/question.jsonl", questions)
        for model in (*MODELS, "base"):
            answers = []
            for question in questions:
                text = known.answer(model, question["prompt"])
                answers.append({"uid": question["uid"], "messages": [{"content": text}]})
            write_lines(self.expected(model), answers)
        full, *adapters = MODELS
        checkpoint(self.data / "weights" / full)
        base = checkpoint(self.data / "weights/tiny")
        for model in adapters:
            adapter(self.data / "weights" / model, base)

    def write_project(self, program: str, **usual: float) -> None:
        """A copy of the project whose judge and writers are started by this command. usual: keys
        of both in the config."""
        copy_project(PROJECT, self.run)
        config = yaml.safe_dump(self._config(program, **usual))
        (self.run / "config/config.yaml").write_text(config)

    def _config(self, program: str, **usual: float) -> dict[str, Any]:
        program += " --host {host} --port {port}"
        usual |= {"parallel": PARALLEL, "max_restarts": 1000, "ready_minutes": 10}
        return {
            "bench": "chaos",
            "data_dir": str(self.data),
            "judgments_dir": str(self.run / "judgments"),
            "results_dir": str(self.run / "results"),
            "models": list(MODELS),
            "baseline": "base",
            "leaderboard": {"rounds": 20},
            "judge": usual
            | {"name": JUDGE, "server": "vllm", "command": f"{program} --name {{name}}"},
            "answers": usual
            | {
                "models": {model: str(self.data / "weights" / model) for model in MODELS},
                "dir": str(self.run / "answers"),
                "command": f"{program} --served-model-name {{name}} {{options}}",
            },
        }

    @property
    def settings(self) -> Settings:
        return resolve(self._config("serve"))

    @property
    def leaderboard(self) -> Path:
        return self.settings.root / "leaderboard.csv"

    def output(self, model: str) -> Path:
        return self.run / "judgments" / JUDGE / f"{model}.jsonl"

    def answers(self, model: str) -> Path:
        return self.run / "answers" / f"{model}.jsonl"

    def expected(self, model: str) -> Path:
        """The answers that a model must get; of the baseline, those that it has."""
        folder = "model_answer" if model == "base" else "expected"
        return self.data / "chaos" / folder / f"{model}.jsonl"

    def journals(self, model: str) -> list[Path]:
        """Of its answers, and of its games."""
        settings = self.settings
        return [Layout(root).journal(model) for root in (settings.answers.root, settings.root)]

    def prompts(self, *, plain: bool = False) -> dict[Path, dict[str, tuple[str, int]]]:
        """Journal -> the server's name of a prompt (`message_digest`) -> the key of its game.

        plain: only those whose replies are ordinary ones.
        """
        settings, found = self.settings, {}
        questions = read_questions(settings.questions)
        params = GameSettings.from_dict(settings.judgment_params())
        base = read_answers(self.expected("base")).answers
        for model in MODELS:
            answers, games = self.journals(model)
            asked = [([{"role": "user", "content": one.prompt}], one.uid) for one in questions]
            found[answers] = {message_digest(messages, model): (uid, 0) for messages, uid in asked}
            expected = read_answers(self.expected(model)).answers
            found[games] = {
                message_digest(game.messages): game.key
                for game in plan_games(params, questions, expected, {"base": base})
                if not (plain and "<<judge:" in game.messages[-1]["content"])
            }
        return found
