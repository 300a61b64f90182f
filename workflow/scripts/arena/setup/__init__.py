"""From config.yaml and the user's Arena-Hard-Auto checkout to the settings of a campaign."""
