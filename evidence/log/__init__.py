"""The log: every sealed thing in one Merkle tree, under signed heads."""

from evidence.log.entries import Bundle, Draft, Entry, Kind, package_draft, record_draft, run_draft
from evidence.log.heads import Head, head_key, parse_head
from evidence.log.reader import Reader
from evidence.log.shelf import ForkAlarm, Shelf
from evidence.log.view import View
from evidence.log.writer import Appended, Log

__all__ = [
    "Appended",
    "Bundle",
    "Draft",
    "Entry",
    "ForkAlarm",
    "Head",
    "Kind",
    "Log",
    "Reader",
    "Shelf",
    "View",
    "head_key",
    "package_draft",
    "parse_head",
    "record_draft",
    "run_draft",
]
