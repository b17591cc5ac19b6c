"""The whole installation: doctor, info, disk usage, pruning."""
