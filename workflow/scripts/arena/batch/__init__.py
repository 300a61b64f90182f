"""A batch of models that share a server: its plan, its job, its judgments or answers."""
