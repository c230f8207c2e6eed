"""The ledger's schema, step by step. Revisions are numbered, so a newer one is known by its name."""

HEAD = "0004"
"""The newest revision that this Muster knows."""
