"""Portable names: the only ones that members, keys and bundles may have.

The rules are the verifier's own (`evidence.verify`, "Names"), so what is written is what it accepts.
"""

from evidence.verify import find_clash, is_portable

__all__ = ["find_clash", "is_portable"]
