"""What holds for every test."""

from hypothesis import settings

# A busy machine is no defect: examples are bounded by their number, not by the clock.
settings.register_profile("muster", deadline=None)
settings.load_profile("muster")
