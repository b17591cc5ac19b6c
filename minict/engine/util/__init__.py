"""Helpers that know nothing of containers: times, units, tables, templates, progress, background processes."""
