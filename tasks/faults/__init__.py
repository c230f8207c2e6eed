"""Faults planted on purpose, one catalogue a kind of drill: `FORMS` and `make_base`."""
