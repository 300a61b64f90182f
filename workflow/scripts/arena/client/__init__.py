"""Sends the requests of a batch: rate, retries, circuit breaker, deadline, budget."""
