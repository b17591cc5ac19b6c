"""The command line: parser, help, completion, and the commands."""
