"""What the negative controls of each drill kind showed, in the ledger.

Promise: a proof once recorded never changes.
"""

from sqlalchemy import insert, select

from muster.ledger.database import Database
from muster.ledger.rows import Proof, canonical
from muster.ledger.schema import proofs


class Proofs(Database):
    """What the ledger knows of proofs."""

    def record_proof(self, proof: Proof) -> None:
        """Keep what the negative controls showed."""
        values = proof.model_dump() | {"matrix": canonical(proof.model_dump(mode="json")["matrix"])}
        with self.writing() as connection:
            connection.execute(insert(proofs).values(values))

    def proofs(self) -> tuple[Proof, ...]:
        """Every proof, the oldest first."""
        columns = [proofs.c[name] for name in Proof.model_fields]
        query = select(*columns).order_by(proofs.c.at, proofs.c.id)
        with self.reading() as connection:
            return tuple(Proof.model_validate(row._asdict()) for row in connection.execute(query))

    def last_proof(self, kind: str) -> Proof | None:
        """The newest proof of a drill kind."""
        newest = (proofs.c.at.desc(), proofs.c.id.desc())
        columns = [proofs.c[name] for name in Proof.model_fields]
        with self.reading() as connection:
            found = connection.execute(select(*columns).where(proofs.c.kind == kind).order_by(*newest).limit(1))
            row = found.first()
            return Proof.model_validate(row._asdict()) if row else None
