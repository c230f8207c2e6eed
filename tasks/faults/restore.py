"""The restore drill's catalogue: what is planted, and what must catch it.

A row is a fault when something must catch it, else a healthy form, which must pass with nothing failed and nothing
left in the dark. `bytes=False` leaves a rung out on purpose: the next one must catch the fault alone.
"""

from collections.abc import Mapping
from datetime import timedelta

from muster.prove import Check, Ending, Form
from muster.verdict import Outcome
from tasks.faults import damage, drills, sources, stage
from tasks.faults.altering import first, leaving
from tasks.faults.base import POINT, pristine_base
from tasks.faults.repository import flip_file, is_installed, lose_segment, repository
from tasks.faults.sources import source
from tasks.faults.stage import base_backup, dump
from tasks.postgres.dumps import DumpForm

make_base = pristine_base
BASE = "a shop and its backups"
"""What `make_base` makes, in words."""

CUSTOM, DIRECTORY, PLAIN, GZIP = DumpForm
_INCR = {"choose": "named", "name": "incr"}
_DRAWN = {"choose": "random", "within": "1d", "seed": 7}
_LOAD_FAILS = Check("restored", "does not load")
_NO_ROOM = Ending(Outcome.REFUSED, "choose", "no room")
_DISK_FULL = Ending(Outcome.ABORTED, "restore", "No space left on device")

# fmt: off
BYTES = (
    Form("flipped-heap", "a byte flipped in a table's page",
         base_backup(damage.flip("orders")), Check("bytes")),
    Form("flipped-heap-unverified", "a byte flipped in a table's page, the backup's bytes not verified",
         base_backup(damage.flip("orders"), bytes=False), Check("page checksums")),
    Form("flipped-index", "a byte flipped in an index's page",
         base_backup(damage.flip("orders_pkey")), Check("bytes")),
    Form("flipped-index-unverified", "a byte flipped in an index's page, the backup's bytes not verified",
         base_backup(damage.flip("orders_pkey"), bytes=False), Check("amcheck")),
    Form("zeroed-page", "a page of zeros in a table",
         base_backup(damage.zero_page("orders")), Check("bytes")),
    Form("zeroed-page-unverified", "a page of zeros in a table, the backup's bytes not verified",
         base_backup(damage.zero_page("orders"), bytes=False), Check("rows")),
    Form("truncated-file", "a table's file cut short",
         base_backup(damage.truncate("customers")), Check("bytes")),
    Form("deleted-file", "a table's file deleted",
         base_backup(damage.delete("payments")), Check("bytes")),
    Form("deleted-file-unverified", "a table's file deleted, the backup's bytes not verified",
         base_backup(damage.delete("payments"), bytes=False), Check("rows")),
    Form("truncated-manifest", "a backup manifest cut short",
         base_backup(damage.truncate_manifest), Check("bytes")),
    Form("edited-manifest", "a checksum in the manifest edited",
         base_backup(damage.edit_manifest), Check("bytes")),
    Form("forged-manifest", "a file deleted, and a manifest forged to fit",
         base_backup(damage.forge_manifest), Check("rows")),
    Form("missing-parent", "the full backup gone that an incremental one builds upon",
         base_backup(damage.lose("full"), backup=_INCR), Check("restored", "step fetch")),
)

LOG = (
    Form("flipped-log", "a byte flipped after the reference, where recovery silently ends early",
         base_backup(damage.flip_log(1)), Check("wal")),
    Form("flipped-log-early", "a byte flipped before the reference",
         base_backup(damage.flip_log(-1)), Check("restored", "step replay")),
    Form("flipped-log-end", "a byte flipped in the archive's last segment",
         base_backup(damage.flip_last_log), Check("wal")),
    Form("ended-early", "a byte flipped after the reference, the log not audited",
         base_backup(damage.flip_log(1), wal=False), Check("reached")),
    Form("foreign-log", "another cluster's segment in the archive",
         base_backup(damage.foreign_log(1)), Check("wal")),
    Form("missing-log", "a segment missing",
         base_backup(damage.lose_log(1)), Check("wal")),
    Form("truncated-log", "a segment cut in half",
         base_backup(damage.truncate_log(1)), Check("restored", "step promote")),
)

SOURCE = (
    Form("dropped-table", "a table dropped",
         source("drop table payments"), Check("structure")),
    Form("dropped-index", "an index dropped",
         source("drop index orders_placed_at_idx"), Check("structure")),
    Form("deleted-rows", "most of a table's rows deleted",
         source("delete from payments where id % 10 <> 0"), Check("volume")),
    Form("orphaned-rows", "rows deleted that others refer to",
         source(*sources.ORPHANS), Check(f"sql: {stage.QUESTION}")),
    Form("garbled-canary", "a canary overwritten",
         source("update canary set checksum = md5('') where id = 1"), Check("canary")),
    Form("lost-canary", "the canary table dropped",
         source("drop table canary"), Check("canary")),
    Form("behind-sequence", "a sequence behind its column",
         source("select setval('customers_id_seq', 1)"), Check("sequences")),
    Form("behind-shared-sequence", "a sequence behind the column whose default it is",
         source("select setval('invoice_number', 10001)"), Check("sequences")),
    Form("unpopulated-view", "a materialised view without its rows",
         source("refresh materialized view sales_by_day with no data"), Check("materialised views")),
    Form("invalid-index", "an index that its build left invalid",
         source(sources.INVALID), Check("invalid indexes")),
    Form("unindexed-rows", "rows missing from an index",
         source(*sources.UNINDEXED), Check("amcheck")),
    Form("changed-collation", "a collation of another version than the one indexes were built with",
         source("update pg_database set datcollversion = '0' where datname = 'shop'"), Check("collations")),
    Form("missing-role", "a role dropped",
         source("drop owned by shop_reader", "drop role shop_reader"), Check("roles")),
    Form("missing-extension", "an extension dropped",
         source("drop extension vector cascade"), Check("extensions")),
    Form("empty-database", "an empty database where the shop was",
         source("drop database shop", "create database shop", database="postgres"), Check("volume")),
    Form("another-cluster", "another cluster's backup where this one's should be",
         base_backup(sources.another_cluster, rows=False), Check("identity")),
)

DUMPS = (
    Form("cut-custom", "a custom dump cut amid a table's rows",
         dump(CUSTOM, damage.cut_dump(CUSTOM)), _LOAD_FAILS),
    Form("cut-directory", "a directory dump, one table's rows cut",
         dump(DIRECTORY, damage.cut_dump(DIRECTORY)), _LOAD_FAILS),
    Form("cut-plain", "a plain dump cut amid a row",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\n", skip=10_000, beyond=3)), _LOAD_FAILS),
    Form("cut-gzip", "a gzipped plain dump cut amid a row",
         dump(GZIP, damage.cut_dump(GZIP)), _LOAD_FAILS),
    Form("ended-plain", "a plain dump that ends between two rows, which psql loads gladly",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\n", skip=10_000)), Check("bytes")),
    Form("ended-gzip", "a plain dump that ends between two rows, then gzipped",
         dump(GZIP, damage.end_dump(GZIP, "orders", b"\n", skip=10_000)), Check("bytes")),
    Form("statement-plain", "a plain dump that ends between two statements",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\\.\n")), Check("bytes")),
    Form("statement-plain-unverified", "a plain dump that ends between two statements, its bytes not verified",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\\.\n"), bytes=False), Check("rows")),
    Form("flipped-custom", "a byte flipped in a custom dump",
         dump(CUSTOM, damage.flip_dump(CUSTOM)), _LOAD_FAILS),
    Form("flipped-directory", "a byte flipped in a directory dump",
         dump(DIRECTORY, damage.flip_dump(DIRECTORY)), _LOAD_FAILS),
    Form("flipped-gzip", "a byte flipped in a gzipped plain dump",
         dump(GZIP, damage.flip_dump(GZIP)), _LOAD_FAILS),
    Form("dump-without-roles", "a dump whose roles nobody kept",
         dump(CUSTOM, roles=False), Check("restored", 'role "')),
)

REPOSITORY = (
    Form("flipped-repository", "a byte flipped in a file of the full backup",
         repository(flip_file), Check("bytes")),
    Form("missing-repository-log", "a segment missing, which pgBackRest's own verify does not mention",
         repository(lose_segment), Check("wal")),
)

PROMISES = (
    Form("stale-backup", "a backup three days old",
         base_backup(later=timedelta(days=3)), Check("backup age")),
    Form("lost-days", "an archive that ended two days ago",
         base_backup(later=timedelta(days=2), max_backup_age=None), Check("rpo")),
    Form("slow-recovery", "a recovery slower than its objective",
         base_backup(rto="0.001s"), Check("rto")),
    Form("wrong-version", "another major version than the plan names",
         base_backup(server_major=9), Check("server version")),
    Form("beyond-archive", "a recovery target beyond the archive",
         base_backup(recovery=lambda base: {"to": "time", "time": base.moment + timedelta(hours=1)}),
         Check("restored", "step promote")),
    Form("before-backup", "a recovery target before the first backup",
         base_backup(recovery=lambda base: {"to": "time", "time": base.moment - timedelta(days=1)}),
         Check("restored", "step choose")),
    Form("unknown-point", "a restore point that the log does not hold",
         base_backup(recovery={"to": "name", "name": "nowhere"}, rows=False), Check("restored", "step replay")),
)

DRILL = (
    Form("open-server", "a drill that lets the restored configuration archive",
         base_backup(drills.would_archive, drill=first("inspect", drills.let_configuration_rule)),
         Check("isolation")),
    Form("overshot", "a drill that recovers beyond its target",
         base_backup(recovery={"to": "name", "name": POINT}, drill=first("compare", drills.overshoot)),
         Check("reached")),
    Form("failing-undo", "a drill that does not undo a step",
         base_backup(drill=leaving("inspect")), Check("left behind")),
    Form("full-disk", "a scratch disk too small for the backup",
         base_backup(disk=0.5), _NO_ROOM),
    Form("full-disk-chain", "a scratch disk too small for a chain, though not for its last increment",
         base_backup(disk=0.9, backup=_INCR), _NO_ROOM),
    Form("filling-disk", "a scratch disk that somebody else fills while the drill restores",
         base_backup(disk=2, drill=first("restore", drills.fill_disk)), _DISK_FULL),
)

HEALTHY = (
    Form("full", "a full backup, to the end of the archive", base_backup()),
    Form("chain", "an incremental chain, to the end of the archive", base_backup(backup=_INCR)),
    Form("latest", "the latest backup", base_backup(backup="latest")),
    Form("random", "a backup drawn by a seed", base_backup(backup=_DRAWN)),
    Form("to-name", "to a restore point", base_backup(recovery={"to": "name", "name": POINT})),
    Form("to-time", "to a time", base_backup(recovery=lambda base: {"to": "time", "time": base.moment})),
    Form("to-lsn", "to a position in the log", base_backup(recovery=lambda base: {"to": "lsn", "lsn": base.lsn})),
    Form("rewritten", "a source that was started and stopped, changed in nothing", source()),
    Form("would-archive", "a backup whose own configuration archives", base_backup(drills.would_archive)),
    Form("failed-over", "a log that goes on in a second timeline", base_backup(sources.fail_over)),
    Form("custom", "a custom dump", dump(CUSTOM)),
    Form("directory", "a directory dump", dump(DIRECTORY)),
    Form("plain", "a plain dump", dump(PLAIN)),
    Form("gzip", "a gzipped plain dump", dump(GZIP)),
)

HEALTHY_REPOSITORY = (
    Form("repository", "an incremental backup in a pgBackRest repository", repository()),
)
# fmt: on

GROUPS: Mapping[str, tuple[Form, ...]] = {
    "The backup's bytes": BYTES,
    "The log": LOG,
    "The source, before it was backed up": SOURCE,
    "Dumps": DUMPS,
    "A pgBackRest repository, where pgBackRest and PostgreSQL 15 are installed": REPOSITORY,
    "What the plan promises": PROMISES,
    "The drill and its machine": DRILL,
    "Healthy forms": HEALTHY,
    "A healthy repository, where pgBackRest and PostgreSQL 15 are installed": HEALTHY_REPOSITORY,
}
_NOT_HERE = () if is_installed() else (*REPOSITORY, *HEALTHY_REPOSITORY)
FORMS = tuple(form for group in GROUPS.values() for form in group if form not in _NOT_HERE)
