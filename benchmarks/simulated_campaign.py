"""Write the judgments of a simulated campaign, to try out the leaderboard and its report.

    python benchmarks/simulated_campaign.py FOLDER [--steps 28] [--questions 750]

Four runs with checkpoints and five other models on two categories, by a judge that slightly prefers
the first answer and sometimes writes until max_tokens. Then, for example:

    python workflow/scripts/show_result.py --data-dir FOLDER -b simulated -j judge \
        --steps '(?P<run>.+)-step(?P<step>\\d+)' --out FOLDER/out
"""

import argparse
import json
import math
import random
from pathlib import Path

VERDICTS = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
# run -> log-odds at the end of training, and steps to two thirds of the way there
RUNS = {"run-a": (1.2, 8e3), "run-b": (0.9, 5e3), "run-c": (0.2, 12e3), "run-d": (-0.3, 20e3)}
OTHERS = {"chat-large": 1.6, "chat-medium": 1.3, "chat-small": 0.6}
OTHERS |= {"old-large": -0.7, "old-small": -1}
START = -3.2  # log-odds of an untrained model
FIRST_ANSWER = 0.5  # how much the judge prefers it
SILENT = 0.002  # share of replies without a verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--questions", type=int, default=750)
    args = parser.parse_args()
    rng = random.Random(3)
    folder = args.folder / "simulated" / "model_judgment" / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    easiness = [rng.gauss(0, 1.2) for _ in range(args.questions)]
    for model, strength in models(args.steps, rng).items():
        lines = (
            json.dumps(judgment(number, easy, args.questions, model, strength, rng)) + "\n"
            for number, easy in enumerate(easiness)
        )
        (folder / f"{model}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{len(list(folder.glob('*.jsonl')))} models in {folder}")


def models(steps: int, rng: random.Random) -> dict[str, float]:
    found = dict(OTHERS)
    for run, (end, pace) in RUNS.items():
        for step in range(1000, 1000 * steps + 1, 1000):
            learned = 1 - math.exp(-step / pace)
            found[f"{run}-step{step}"] = START + (end - START) * learned + rng.gauss(0, 0.05)
    return found


def judgment(
    number: int, easy: float, questions: int, model: str, strength: float, rng: random.Random
) -> dict:
    hard = number < questions * 2 // 3
    skill = strength + easy + rng.gauss(0, 0.8) + (0 if hard else 0.4)
    games = []
    for game in (0, 1):
        noisy = skill + rng.gauss(0, 1) + (FIRST_ANSWER if game else -FIRST_ANSWER)
        outcome = sum(noisy > cut for cut in (-1.9, -0.2, 0.2, 1.9))  # 0: strong loss of the model
        label = VERDICTS[4 - outcome] if game else VERDICTS[outcome]
        silent = rng.random() < SILENT
        reply = "both answers have their merits, and " * 9 if silent else f"Verdict: [[{label}]]"
        end = "length" if silent else "stop"
        score = None if silent else label
        games.append({"score": score, "judgment": {"answer": reply}, "finish_reason": end})
    category = "hard_prompt" if hard else "creative_writing"
    names = {"category": category, "judge": "judge", "model": model, "baseline": "chat-baseline"}
    return {"uid": f"q{number:04}", **names, "games": games}


if __name__ == "__main__":
    main()
