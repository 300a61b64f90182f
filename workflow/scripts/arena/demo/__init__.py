"""The demo judge: deterministic verdicts over real HTTP."""
