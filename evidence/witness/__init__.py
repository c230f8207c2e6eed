"""Witnesses: others who see every head of the log, and would see it if there were two histories."""

from evidence.witness.asking import check, cosign
from evidence.witness.keeping import COSIGNATURES, cosignature_key, keep_cosignatures, read_cosignatures
from evidence.witness.lines import Cosigner, VerifierKey, parse_verifier_key
from evidence.witness.words import NOT_CONFIGURED, Cosigned, NotCosigned, Why, Witness

__all__ = [
    "COSIGNATURES",
    "NOT_CONFIGURED",
    "Cosigned",
    "Cosigner",
    "NotCosigned",
    "VerifierKey",
    "Why",
    "Witness",
    "check",
    "cosign",
    "cosignature_key",
    "keep_cosignatures",
    "parse_verifier_key",
    "read_cosignatures",
]
