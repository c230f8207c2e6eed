"""The gate: whether a release may go on, judged from the deck by a policy."""
