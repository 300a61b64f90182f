"""A bench for chaos runs: questions, three models and a baseline, with every kind of reply."""

import json
from dataclasses import dataclass
from pathlib import Path

from arena.data.games import Game, GameSettings
from arena.data.questions import read_questions
from arena.demo.server import message_digest
from arena.playing.judging import Job, plan_of

MODELS = ("alpha", "beta", "gamma")
# Replies that are what they are, in the undisturbed run as well: one of each in every 80 answers.
LASTING = ("null", "empty", "reasoning", "thought", "think", "tool", "refusal", "length")
LASTING += ("longwinded", "unparsed", "odd", "huge", "nousage", "too_long", "toolong_openai")
LASTING += ("filter",)
SETTINGS = {
    "judge": "chaos-judge",
    "temperature": 0,
    "max_tokens": 4096,
    "baseline": "base",
    "system_prompt": "You judge two replies.",
    "prompt_template": "<request>\n{QUESTION}\n</request>\n<reply_A>\n{ANSWER_A}\n</reply_A>\n"
    "<reply_B>\n{ANSWER_B}\n</reply_B>",
    "toy": True,
}


@dataclass(frozen=True)
class Bench:
    """Files of a bench, and the folder in which a run of it leaves its own."""

    data: Path
    run: Path
    questions: int

    def write(self) -> None:
        """Questions and answers; texts differ in length, so that verdicts differ too."""
        self.data.mkdir(parents=True, exist_ok=True)
        questions = [
            {"uid": f"q{n:03}", "category": "hard", "prompt": f"How would you sort {n} things?"}
            for n in range(self.questions)
        ]
        write_lines(self.data / "question.jsonl", questions)
        for number, model in enumerate((*MODELS, "base")):
            answers = []
            for n, question in enumerate(questions):
                text = f"{model} sorts {n} things. " * (1 + (7 * n + 5 * number) % 11)
                if model != "base" and (n + 13 * number) % 80 < len(LASTING):
                    text += f"<<judge:{LASTING[(n + 13 * number) % 80]}>>"
                answers.append({"uid": question["uid"], "messages": [{"content": text}]})
            write_lines(self.data / f"{model}.jsonl", answers)

    @property
    def root(self) -> Path:
        return self.run / "results"

    def server(self, batch: str) -> Path:
        return self.root / "server" / f"{batch}.json"

    def job(self, model: str, batch: str = "none") -> Job:
        return Job(
            model=model,
            answer=self.data / f"{model}.jsonl",
            baselines=[self.data / "base.jsonl"],
            questions=self.data / "question.jsonl",
            server=self.server(batch),
            output=self.run / "judgments" / f"{model}.jsonl",
        )

    def described(self, model: str, batch: str) -> str:
        """The job as `player.py` reads it."""
        job = self.job(model, batch)
        paths = {key: str(getattr(job, key)) for key in ("answer", "questions", "server", "output")}
        return json.dumps(
            {
                "model": model,
                "paths": paths | {"baseline": str(job.baselines[0])},
                "settings": SETTINGS,
                "log": str(self.log(model)),
            }
        )

    def log(self, model: str) -> Path:
        return self.root / "logs" / "gen_judgment" / f"{model}.log"

    def prompts(self) -> dict[str, dict[str, str]]:
        """model -> the judge's name of a prompt (`message_digest`) -> the game's digest."""
        return {
            model: {message_digest(game.messages): game.digest for game in self._games(model)}
            for model in MODELS
        }

    def plain_prompts(self) -> list[str]:
        """The prompts whose replies are ordinary ones."""
        return sorted(
            message_digest(game.messages)
            for model in MODELS
            for game in self._games(model)
            if "<<judge:" not in game.messages[-1]["content"]
        )

    def _games(self, model: str) -> list[Game]:
        settings = GameSettings.from_dict(SETTINGS)
        return plan_of(self.job(model), settings, read_questions(self.data / "question.jsonl"))


def write_lines(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
