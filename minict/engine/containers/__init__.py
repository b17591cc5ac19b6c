"""The data of containers: their records, names, options and policies."""
