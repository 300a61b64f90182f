"""The demo judge: deterministic verdicts over real HTTP, with faults on demand."""
