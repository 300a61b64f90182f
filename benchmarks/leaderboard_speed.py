"""Duration of the leaderboard, compared with just reading the same files.

    python benchmarks/leaderboard_speed.py [--models 117] [--questions 500] [--rounds 1000]

Writes judgments (with prompts and replies of real sizes) and answers with metadata into a temporary
folder, then measures whole commands: starting Python, reading JSONL, writing all tables.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "workflow" / "scripts" / "show_result.py"
LABELS = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
REPLY_CHARS = 2_500  # means of gpt-4o's judgments of Arena-Hard v0.1
PROMPT_CHARS = 6_000
READ_BYTES = "import sys\nfor p in sys.argv[1:]:\n    for line in open(p, 'rb'): pass"
READ_JSON = "import sys, json\nfor p in sys.argv[1:]:\n    for line in open(p): json.loads(line)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=117)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_data(data, args.models, args.questions)
        judgments = sorted(map(str, data.glob("bench/model_judgment/judge/*.jsonl")))
        size = sum(Path(path).stat().st_size for path in judgments) / 1e6
        print(f"{args.models} models x {args.questions} questions, {size:.0f} MB of judgments\n")
        base = [sys.executable, str(SCRIPT), "--data-dir", folder, "-b", "bench", "-j", "judge"]
        base += ["--rounds", str(args.rounds), "--out", str(data / "out")]
        commands = {
            "read the lines": [sys.executable, "-c", READ_BYTES, *judgments],
            "json.loads of each line": [sys.executable, "-c", READ_JSON, *judgments],
            "show_result": base,
            "show_result --ci upstream": [*base, "--ci", "upstream"],
            "show_result -f length markdown": [*base, "-f", "length", "markdown"],
        }
        unit = None
        print(f"{'command':<32}{'seconds':>9}{'ratio':>8}{'peak MB':>9}")
        for name, command in commands.items():
            seconds, peak = measure(command, args.repeats)
            unit = unit or seconds
            print(f"{name:<32}{seconds:>9.2f}{seconds / unit:>8.1f}{peak:>9.0f}")


def measure(command: list[str], repeats: int) -> tuple[float, float]:
    """Median wall time in seconds, and the peak memory of all children so far in MB."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return sorted(times)[len(times) // 2], peak


def write_data(data: Path, models: int, questions: int) -> None:
    rng = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    words += ["\n\n- **point**", "\n", '"quoted"', "caf\u00e9"] * 20  # escapes, as in real replies
    text = " ".join(rng.choices(words, k=20_000))
    for kind in ("model_judgment/judge", "model_answer"):
        (data / "bench" / kind).mkdir(parents=True)
    names = ["baseline", *(f"model-{number:03}" for number in range(models))]
    for name in names:
        skill = rng.random()
        files = {"model_answer": [answer(f"q{n}", name, text, rng) for n in range(questions)]}
        if name != "baseline":
            lines = [judgment(f"q{n}", name, skill, text, rng) for n in range(questions)]
            files["model_judgment/judge"] = lines
        for kind, lines in files.items():
            with (data / f"bench/{kind}/{name}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)


def judgment(uid: str, model: str, skill: float, text: str, rng: random.Random) -> dict:
    games = []
    for better in (LABELS[::-1], LABELS):  # in games[0] the model is B
        label = better[min(int(rng.random() * 3 + 2 * (1 - skill)), 4)]
        start = rng.randrange(1000)
        reply = f"{text[start : start + REPLY_CHARS]} My final verdict is: [[{label}]]"
        prompt = [{"role": "user", "content": text[start : start + PROMPT_CHARS]}]
        games.append({"score": label, "judgment": {"answer": reply}, "prompt": prompt})
    keys = {"category": "bench", "judge": "judge", "model": model, "baseline": "baseline"}
    return {"uid": uid, **keys, "games": games}


def answer(uid: str, model: str, text: str, rng: random.Random) -> dict:
    tokens = rng.randrange(20, 1200)
    metadata = {
        "token_len": tokens,
        "header_count": {f"h{level}": rng.randrange(3) for level in range(1, 7)},
        "list_count": {"ordered": rng.randrange(9), "unordered": rng.randrange(9)},
        "bold_count": {"**": rng.randrange(9), "__": 0},
    }
    messages = [{"role": "assistant", "content": {"answer": text[: 4 * tokens]}}]
    return {"uid": uid, "model": model, "messages": messages, "metadata": metadata}


if __name__ == "__main__":
    main()
