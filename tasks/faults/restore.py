"""The restore drill's catalogue: what is planted, and what must catch it.

A row is a fault when something must catch it, else a healthy form, which must pass with nothing failed and nothing
left in the dark. `bytes=False` and the like leave a rung out on purpose: the next one must catch the fault alone.
"""

from datetime import timedelta

from muster.prove import Check, Ending, Form
from muster.verdict import Outcome
from tasks.faults import damage, drills, sources, stage
from tasks.faults.base import POINT, pristine_base
from tasks.faults.sources import source
from tasks.faults.stage import base_backup, dump
from tasks.postgres.dumps import DumpForm

make_base = pristine_base
CUSTOM, DIRECTORY, PLAIN, GZIP = DumpForm
LOAD_FAILS = Check("restored", "does not load")

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
    Form("flipped-log-end", "a byte flipped in the archive's last segment", base_backup(damage.flip_last_log), Check("wal")),
    Form("foreign-log", "another cluster's segment in the archive", base_backup(damage.foreign_log(1)), Check("wal")),
    Form("missing-log", "a segment of the log missing", base_backup(damage.lose_log(1)), Check("wal")),
    Form("truncated-log", "a segment of the log cut in half", base_backup(damage.truncate_log(1)), Check("wal")),
    # The source, before it was backed up.
    Form("dropped-table", "a table dropped in the source", source("drop table payments"), Check("structure")),
    Form("dropped-index", "an index dropped in the source", source("drop index orders_placed_at_idx"), Check("structure")),
    Form("deleted-rows", "5 % of a table's rows deleted in the source",
         source("delete from payments where id % 20 = 0"), Check("volume")),
    Form("orphaned-rows", "rows deleted that others refer to", source(*sources.ORPHANS), Check(f"sql: {stage.QUESTION}")),
    Form("garbled-canary", "a canary overwritten", source("update canary set checksum = md5('') where id = 1"),
         Check("canary")),
    Form("lost-canary", "the canary table dropped", source("drop table canary"), Check("canary")),
    Form("behind-sequence", "a sequence behind its column", source("select setval('customers_id_seq', 1)"),
         Check("sequences")),
    Form("behind-shared-sequence", "a sequence behind the column whose default it is",
         source("select setval('invoice_number', 10001)"), Check("sequences")),
    Form("unpopulated-view", "a materialised view without its rows",
         source("refresh materialized view sales_by_day with no data"), Check("materialised views")),
    Form("invalid-index", "an index that its build left invalid", source(sources.INVALID), Check("invalid indexes")),
    Form("unindexed-rows", "rows missing from an index", source(*sources.UNINDEXED), Check("amcheck")),
    Form("changed-collation", "a collation of another version than the one indexes were built with",
         source("update pg_database set datcollversion = '0' where datname = current_database()"), Check("collations")),
    Form("missing-role", "a role dropped", source("drop owned by shop_reader", "drop role shop_reader"), Check("roles")),
    Form("missing-extension", "an extension dropped", source("drop extension vector cascade"), Check("extensions")),
    Form("empty-database", "an empty database where the shop was",
         source("drop database shop", "create database shop", database="postgres"), Check("volume")),
    Form("another-cluster", "another cluster's backup where this one's should be",
         base_backup(sources.another_cluster, rows=False), Check("identity")),
    # Dumps.
    Form("cut-custom", "a custom dump cut amid a table's rows", dump(CUSTOM, damage.cut_dump(CUSTOM)), LOAD_FAILS),
    Form("cut-directory", "a directory dump, one table's rows cut", dump(DIRECTORY, damage.cut_dump(DIRECTORY)), LOAD_FAILS),
    Form("cut-plain", "a plain dump cut amid a row", dump(PLAIN, damage.cut_dump(PLAIN)), LOAD_FAILS),
    Form("cut-gzip", "a gzipped plain dump cut amid a row", dump(GZIP, damage.cut_dump(GZIP)), LOAD_FAILS),
    Form("ended-plain", "a plain dump that ends between two rows, which psql loads gladly",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\n", skip=10_000)), Check("bytes")),
    Form("ended-gzip", "the same, gzipped after it was cut",
         dump(GZIP, damage.end_dump(GZIP, "orders", b"\n", skip=10_000)), Check("bytes")),
    Form("statement-plain", "a plain dump that ends between two statements",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\\.\n")), Check("bytes")),
    Form("statement-plain-unverified", "the same, and nobody verifies the dump's bytes",
         dump(PLAIN, damage.end_dump(PLAIN, "orders", b"\\.\n"), bytes=False), Check("rows")),
    Form("flipped-custom", "a byte flipped in a custom dump", dump(CUSTOM, damage.flip_dump(CUSTOM)), LOAD_FAILS),
    Form("flipped-directory", "a byte flipped in a directory dump", dump(DIRECTORY, damage.flip_dump(DIRECTORY)), LOAD_FAILS),
    Form("flipped-gzip", "a byte flipped in a gzipped plain dump", dump(GZIP, damage.flip_dump(GZIP)), LOAD_FAILS),
    Form("dump-without-roles", "a dump whose roles nobody kept", dump(CUSTOM, roles=False), Check("restored", 'role "')),
    # What the plan promises.
    Form("stale-backup", "a backup three days old", base_backup(later=timedelta(days=3)), Check("backup age")),
    Form("lost-days", "an archive that ended two days ago",
         base_backup(later=timedelta(days=2), max_backup_age=None), Check("rpo")),
    Form("slow-recovery", "a recovery slower than its objective", base_backup(rto="0.001s"), Check("rto")),
    Form("wrong-version", "a server of another major version than the plan names", base_backup(server_major=9),
         Check("server version")),
    Form("beyond-archive", "a time to recover to that the archive does not reach",
         base_backup(recovery=lambda base: {"to": "time", "time": base.moment + timedelta(hours=1)}),
         Check("restored", "step promote")),
    Form("before-backup", "a time to recover to that is before the first backup",
         base_backup(recovery=lambda base: {"to": "time", "time": base.moment - timedelta(days=1)}),
         Check("restored", "step choose")),
    Form("unknown-point", "a restore point that the log does not hold",
         base_backup(recovery={"to": "name", "name": "nowhere"}, rows=False), Check("restored", "step replay")),
    # The drill and its own machine.
    Form("open-server", "a drill that lets the restored configuration archive",
         base_backup(drills.would_archive, drill=drills.first("inspect", drills.let_configuration_rule)),
         Check("isolation")),
    Form("failing-undo", "a drill that leaves its server behind", base_backup(drill=drills.leaving("inspect")),
         Check("left behind")),
    Form("full-disk", "a scratch disk too small for the backup", base_backup(disk=0.5),
         Ending(Outcome.REFUSED, "choose", "no room")),
    Form("full-disk-chain", "a scratch disk too small for a chain, though not for its last increment",
         base_backup(disk=0.9, backup={"choose": "latest"}), Ending(Outcome.REFUSED, "choose", "no room")),
    Form("filling-disk", "a scratch disk that somebody else fills while the drill restores",
         base_backup(disk=2, drill=drills.first("restore", drills.fill_disk)),
         Ending(Outcome.ABORTED, "restore", "No space left on device")),
    # Healthy forms.
    Form("rewritten", "a backup of the source started, changed in nothing, and stopped", source()),
    Form("would-archive", "a backup whose own configuration archives", base_backup(drills.would_archive)),
    Form("failed-over", "a log that goes on in a second timeline", base_backup(sources.fail_over)),
    Form("full", "a full backup, to the end of the archive", base_backup()),
    Form("chain", "an incremental chain, to the end of the archive", base_backup(backup={"choose": "latest"})),
    Form("to-name", "a full backup, to a restore point", base_backup(recovery={"to": "name", "name": POINT})),
    Form("to-time", "a full backup, to a time", base_backup(recovery=lambda base: {"to": "time", "time": base.moment})),
    Form("to-lsn", "a full backup, to a position in the log", base_backup(recovery=lambda base: {"to": "lsn", "lsn": base.lsn})),
    Form("random", "a backup drawn by a seed",
         base_backup(backup={"choose": "random", "within": "1d", "seed": 7})),
    Form("custom", "a custom dump", dump(CUSTOM)),
    Form("directory", "a directory dump", dump(DIRECTORY)),
    Form("plain", "a plain dump", dump(PLAIN)),
    Form("gzip", "a gzipped plain dump", dump(GZIP)),
)
