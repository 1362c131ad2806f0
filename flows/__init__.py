"""The order of work: one flow a file, and the command line."""
