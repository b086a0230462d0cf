"""How fast foldq is, measured beside its peers; `python -m benchmarks --help`."""
