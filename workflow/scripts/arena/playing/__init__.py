"""The client: asks the judge for the open games of one model."""
