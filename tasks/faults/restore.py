"""The restore drill's catalogue: what is planted, and what must catch it.

A row is a fault when something must catch it, else a healthy form, which must pass with nothing failed and nothing
left in the dark. `bytes=False` and the like leave a rung out on purpose: the next one must catch the fault alone.
"""

from muster.prove import Check, Form
from tasks.faults import damage
from tasks.faults.base import POINT, pristine_base
from tasks.faults.stage import base_backup

make_base = pristine_base

FORMS: tuple[Form, ...] = (
    # The backup's own bytes.
    Form("flipped-heap", "a byte flipped in a table's page", base_backup(damage.flip("orders")), Check("bytes")),
    Form("flipped-heap-unverified", "the same, and nobody verifies the backup's bytes",
         base_backup(damage.flip("orders"), bytes=False), Check("page checksums")),
    Form("flipped-index", "a byte flipped in an index's page", base_backup(damage.flip("orders_pkey")), Check("bytes")),
    Form("flipped-index-unverified", "the same, and nobody verifies the backup's bytes",
         base_backup(damage.flip("orders_pkey"), bytes=False), Check("amcheck")),
    Form("zeroed-page", "a page of zeros in a table", base_backup(damage.zero_page("orders")), Check("bytes")),
    Form("zeroed-page-unverified", "the same, and nobody verifies the backup's bytes",
         base_backup(damage.zero_page("orders"), bytes=False), Check("rows")),
    Form("truncated-table", "a table's file cut short", base_backup(damage.truncate("customers")), Check("bytes")),
    Form("deleted-table", "a table's file deleted", base_backup(damage.delete("payments")), Check("bytes")),
    Form("deleted-table-unverified", "the same, and nobody verifies the backup's bytes",
         base_backup(damage.delete("payments"), bytes=False), Check("rows")),
    Form("truncated-manifest", "a backup manifest cut short", base_backup(damage.truncate_manifest), Check("bytes")),
    Form("edited-manifest", "a checksum in the manifest edited", base_backup(damage.edit_manifest), Check("bytes")),
    Form("forged-manifest", "a file deleted, and a manifest forged to fit", base_backup(damage.forge_manifest), Check("rows")),
    Form("missing-parent", "the full backup gone that an incremental one builds upon",
         base_backup(damage.lose("full"), backup={"choose": "named", "name": "incr"}), Check("restored", "step fetch")),
    # The log.
    Form("flipped-log", "a byte flipped in a segment after the reference, where recovery silently ends early",
         base_backup(damage.flip_log(1)), Check("wal")),
    Form("flipped-log-early", "a byte flipped in a segment that leads to the reference",
         base_backup(damage.flip_log(-1)), Check("restored", "step replay")),
    Form("missing-log", "a segment of the log missing", base_backup(damage.lose_log(1)), Check("wal")),
    Form("truncated-log", "a segment of the log cut in half", base_backup(damage.truncate_log(1)), Check("wal")),
    # Healthy forms.
    Form("full", "a full backup, to the end of the archive", base_backup()),
    Form("chain", "an incremental chain, to the end of the archive", base_backup(backup={"choose": "latest"})),
    Form("to-name", "a full backup, to a restore point", base_backup(recovery={"to": "name", "name": POINT})),
    Form("to-time", "a full backup, to a time", base_backup(recovery=lambda base: {"to": "time", "time": base.moment})),
    Form("to-lsn", "a full backup, to a position in the log", base_backup(recovery=lambda base: {"to": "lsn", "lsn": base.lsn})),
    Form("random", "a backup drawn by a seed",
         base_backup(backup={"choose": "random", "within": "1d", "seed": 7})),
)
