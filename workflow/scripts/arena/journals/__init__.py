"""The journal of a model's games: one writer, nothing lost, nothing asked twice."""
