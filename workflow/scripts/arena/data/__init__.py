"""Questions, answers, prompts, games, verdicts, judgments: read, checked, written."""
