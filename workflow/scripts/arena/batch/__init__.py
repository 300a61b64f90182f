"""A batch of models that share one judge: its plan, its job, its judgments."""
