"""The client: asks the judge for the open games of a batch."""
