"""The benchmark suite: `python -m bench`, as `make bench` runs it."""
