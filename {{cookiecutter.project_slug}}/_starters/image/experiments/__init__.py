"""One file an experiment; `kgl train NAME` trains the file NAME.py."""
