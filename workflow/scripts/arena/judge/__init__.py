"""Starts a server as a child process: launch, health, restarts, causes, end."""
