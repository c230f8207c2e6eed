"""Prefect flows, one file a kind of drill."""
