"""The commands that come in groups, one group a file, and what all commands share."""
