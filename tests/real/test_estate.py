"""The embedded estate is real, ours, closed to the world, and gone when it is stopped or its keeper is killed."""

import os
import pty
import select
import signal
import stat
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from muster.errors import MusterError, StepError, UsageError
from muster.settings import Settings
from tasks.estate.card import card_path, read_card, write_card
from tasks.estate.estate import Estate, Part
from tasks.postgres.basebackup import read_backups
from tasks.postgres.references import read_references
from tasks.process import Identity, Processes

CHECKOUT = Path(__file__).parents[2]
DATA_PARTS = (Part.SHOP, Part.OBJECTS)
ORDERS = 600
GARBLED = """select count(*) from canary
  where checksum <> md5(id::text || '|' || (extract(epoch from written_at) * 1000000)::bigint::text)"""

KEEPER = f"""
import sys
from pathlib import Path
from muster.cli.up import up
from muster.settings import Settings
from tasks.estate.estate import Part
sys.exit(up(Settings(home=Path(sys.argv[1])), scale={ORDERS}, parts=[Part.SHOP]))
"""


def wait_for(condition, seconds=60):
    pause = threading.Event()
    for _ in range(seconds * 20):
        if found := condition():
            return found
        pause.wait(0.05)
    raise AssertionError("it never came true")


def identities(processes: Processes) -> dict[str, Identity]:
    return {name: processes.identity(name) for name in processes.names()}


def s3(card, secret=None):
    access, right = card.objects.credentials()
    return boto3.client(
        "s3",
        endpoint_url=card.objects.endpoint,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret or right,
    )


def ask(card, question):
    with card.connect_source() as connection:
        return connection.execute(question).fetchone()[0]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"), plans=CHECKOUT / "deployments")


@pytest.fixture(scope="module")
def estate(settings):
    made = Estate(settings, DATA_PARTS, orders=ORDERS)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def card(estate, settings):
    return read_card(settings)


def test_another_process_finds_it(card, settings):
    script = "import sys; from pathlib import Path; from muster.settings import Settings\n"
    script += "from tasks.estate.card import read_card; print(read_card(Settings(home=Path(sys.argv[1]))) is not None)"
    said = subprocess.run([sys.executable, "-c", script, settings.root], capture_output=True, text=True, cwd=CHECKOUT)
    assert said.stdout == "True\n"
    assert card.scheduler is None


def test_a_shop_that_is_not_ours_is_refused(card):
    other = card.model_copy(update={"shop": card.shop.model_copy(update={"system_identifier": "1"})})
    with pytest.raises(StepError, match="another server answers"):
        other.connect_source()
    assert ask(card, "select 1") == 1


def test_the_shop_holds_what_restores_get_wrong(card):
    assert ask(card, "select count(*) from orders") >= ORDERS
    assert ask(card, "select count(*) from pg_constraint where contype = 'f'") >= 2
    assert ask(card, "select count(*) from pg_inherits") >= 5
    assert ask(card, "select sum(length(lo_get(body))) from documents") > 100_000
    assert ask(card, "select last_value from invoice_number") >= 10_000 + ORDERS
    assert ask(card, "select sum(orders) from sales_by_day") == ORDERS
    assert ask(card, "select count(*) from pg_extension where extname in ('amcheck', 'vector')") == 2
    assert ask(card, "select count(*) from pg_roles where rolname in ('shop_app', 'shop_reader')") == 2
    assert ask(card, "show data_checksums") == "on"
    assert ask(card, "show listen_addresses") == ""


def test_traffic_goes_on_and_every_canary_is_sound(card):
    canaries = ask(card, "select max(id) from canary")
    orders = ask(card, "select count(*) from orders")
    wait_for(lambda: ask(card, "select max(id) from canary") > canaries + 1)
    assert ask(card, "select count(*) from orders") > orders
    assert ask(card, GARBLED) == 0


def test_backups_are_whole_and_their_point_is_archived(estate, card):
    full, incremental = read_backups(estate.home / "backups", estate.home / "archive")
    (reference,) = read_references(estate.home / "references")
    assert incremental.chain == (full.label, incremental.label)
    assert reference.system_identifier == card.shop.system_identifier
    assert reference.canary_after == reference.canary_before + 1
    verify = estate._shop.server.binaries.tool("pg_verifybackup")
    for backup in (full, incremental):
        estate.processes.run([verify, "--quiet", "--no-parse-wal", backup.location], log="verify.log", timeout=60)
    segment = ask(card, f"select pg_walfile_name('{reference.lsn}')")
    assert (estate.home / "archive" / segment).exists()


def test_traffic_outlives_a_restart_of_the_shop(estate, card, settings):
    shop = estate._shop
    shop.server.stop("immediate")
    assert "shop" not in estate.processes.alive()
    again = shop.start(ORDERS)
    write_card(card.model_copy(update={"shop": again}), settings)
    canaries = ask(read_card(settings), "select max(id) from canary")
    wait_for(lambda: ask(read_card(settings), "select max(id) from canary") > canaries)
    assert again.system_identifier == card.shop.system_identifier


def test_old_cycles_go_with_their_log(estate):
    oldest = min((estate.home / "backups").iterdir())
    first_segment = min((estate.home / "archive").iterdir())
    for _ in range(2):
        estate.back_up()
    labels = {path.name for path in (estate.home / "backups").iterdir()}
    assert len(labels) == 4
    assert oldest.name not in labels
    assert len(list((estate.home / "references").iterdir())) == 2
    assert not first_segment.exists()


def test_locked_objects_cannot_be_deleted(card):
    client = s3(card)
    put = client.put_object(
        Bucket=card.objects.bucket,
        Key="locked",
        Body=b"evidence",
        ChecksumAlgorithm="SHA256",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate="2099-01-01T00:00:00Z",
    )
    with pytest.raises(ClientError):
        client.delete_object(Bucket=card.objects.bucket, Key="locked", VersionId=put["VersionId"])
    found = client.get_object(Bucket=card.objects.bucket, Key="locked", VersionId=put["VersionId"])
    assert found["Body"].read() == b"evidence"


def test_the_store_keeps_its_logs_and_its_socket_below_its_folder(estate, card):
    """The machine's folder for temporary files outlives the estate."""
    objects, port = estate.home / "objects", card.objects.endpoint.rpartition(":")[2]
    assert (objects / "s3.sock").is_socket()
    assert not Path(f"/tmp/seaweedfs-s3-{port}.sock").exists()
    written = [f.path for f in psutil.Process(card.objects.process.pid).open_files() if f.mode != "r"]
    assert any(".log.INFO" in path for path in written)
    assert [path for path in written if not path.startswith(str(estate.home))] == []


def test_its_credentials_are_ours_alone(card):
    for path in (card.objects.credentials_file, card.objects.credentials_file.with_name("s3.json")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(secret not in card.model_dump_json() for secret in card.objects.credentials())
    with pytest.raises(ClientError):
        s3(card, secret="guessed").list_buckets()
    said = "".join(Path(f"/proc/{card.objects.process.pid}/cmdline").read_text().split("\0"))
    assert not any(secret in said for secret in card.objects.credentials())


def test_it_listens_on_loopback_alone(estate):
    for identity in identities(estate.processes).values():
        family = [psutil.Process(identity.pid), *psutil.Process(identity.pid).children(recursive=True)]
        listening = [c for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert {c.laddr.ip for c in listening} <= {"127.0.0.1"}


def test_a_second_keeper_is_refused_and_changes_nothing(estate, settings, card):
    second = Estate(settings, DATA_PARTS, orders=ORDERS)
    with pytest.raises(UsageError, match="already up"):
        second.start()
    second.stop()
    assert read_card(settings) is not None
    assert estate.dead() == ()


def test_a_part_that_dies_is_off_the_card(estate, settings, card):
    os.kill(card.objects.process.pid, signal.SIGKILL)
    wait_for(lambda: "objects" in estate.dead())
    assert read_card(settings).objects is None
    assert read_card(settings).shop is not None


def test_a_failing_part_stops_the_others(tmp_path):
    settings = Settings(home=tmp_path / "home")
    private = settings.estate / "credentials"
    private.mkdir(parents=True)
    credentials = '{"access_key": "a", "secret_key": "b", "filer_key": "c"}'
    (private / "credentials.json").write_text(credentials)
    (private / "s3.json").write_text("no json")
    estate = Estate(settings, DATA_PARTS, orders=ORDERS)
    with pytest.raises(MusterError, match="objects ended while it started"):
        estate.start()
    assert estate.processes.names() == ()
    assert read_card(settings) is None
    estate.stop()
    (private / "s3.json").unlink()
    (private / "credentials.json").unlink()
    mended = Estate(settings, DATA_PARTS, orders=ORDERS)
    try:
        assert ask(mended.start(), "select count(*) from customers") > 0
    finally:
        mended.stop()


@pytest.fixture
def keeper_home(tmp_path):
    settings = Settings(home=tmp_path / "home")
    yield settings
    Processes(settings.estate / "processes", settings.estate / "logs").stop_all()


def test_what_a_killed_keeper_left_is_found_and_cleaned(keeper_home):
    argv = [sys.executable, "-c", KEEPER, str(keeper_home.root)]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.DEVNULL) as keeper:
        card = wait_for(lambda: read_card(keeper_home))
        keeper.kill()
    left = identities(Processes(keeper_home.estate / "processes", keeper_home.estate / "logs"))
    assert left.keys() == {"shop", "traffic"}
    assert all(identity.is_alive() for identity in left.values())
    assert card_path(keeper_home).exists()
    assert read_card(keeper_home) is None
    estate = Estate(keeper_home, [Part.SHOP], orders=ORDERS)
    try:
        again = estate.start()
        assert not any(identity.is_alive() for identity in left.values())
        assert again.shop.system_identifier == card.shop.system_identifier  # the same shop, not made anew
    finally:
        estate.stop()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, None], ids=["Ctrl-C", "SIGTERM", "terminal dies"])
@pytest.mark.parametrize("when", ["starting", "up"])
def test_its_keeper_stops_all_of_it(keeper_home, end, when):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        os.execv(sys.executable, [sys.executable, "-c", KEEPER, str(keeper_home.root)])
    processes = Processes(keeper_home.estate / "processes", keeper_home.estate / "logs")
    watched = threading.Event()
    reader = threading.Thread(target=drain, args=(terminal, watched))
    reader.start()
    wait_for(lambda: "shop" in processes.alive() if when == "starting" else read_card(keeper_home))
    seen = identities(processes)
    if end is not None:
        os.kill(pid, end)
        os.waitpid(pid, 0)
    watched.set()
    reader.join()
    os.close(terminal)
    if end is None:
        os.waitpid(pid, 0)
    assert processes.names() == ()
    assert not any(identity and identity.is_alive() for identity in seen.values())
    assert read_card(keeper_home) is None


def drain(terminal, watched):
    """Read what is shown, as a terminal does."""
    while not watched.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                os.read(terminal, 4096)
            except OSError:
                return


def test_the_scheduler_serves_its_deployments(tmp_path):
    settings = Settings(home=tmp_path / "home", plans=CHECKOUT / "deployments")
    estate = Estate(settings, [Part.SCHEDULER])
    try:
        card = estate.start()
        request = urllib.request.Request(
            f"{card.scheduler.api}/deployments/filter", b"{}", {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            assert b'"restore-embedded"' in response.read()
        with urllib.request.urlopen(card.scheduler.ui) as response:
            assert response.status == 200
        seen = identities(estate.processes)
        assert seen.keys() == {"prefect-server", "prefect-worker"}
    finally:
        estate.stop()
    assert not any(identity.is_alive() for identity in seen.values())
