"""Volumes and mounts: their options, the store of named volumes, and what a container mounts."""
