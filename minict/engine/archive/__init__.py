"""Archives and files of containers: reading hostile archives, extracting them, copying files in and out."""
