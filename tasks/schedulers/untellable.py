"""What a scheduler has no words for."""


class Untellable(ValueError):
    """A rule that cannot be told to a scheduler, and why."""
