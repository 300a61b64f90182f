"""The demo judge and the demo writer: deterministic verdicts and answers over real HTTP."""
