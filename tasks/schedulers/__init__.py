"""Schedulers that a cutover knows, a file a kind."""
