"""A campaign as a whole: validation, plan, progress, problems, stopping it."""
