"""A real SeaweedFS that tests start, stop, kill and start again on the same data and ports.

It serves S3 with three buckets: `plain`, `versioned` and `locked` (Object Lock).
"""

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CREDENTIALS = ("drill", "drill-secret")
WEED = Path(sys.executable).with_name("weed")


@dataclass
class Weed:
    """A SeaweedFS whose data lie in `folder`. `config` is what `weed -s3.config` reads, beside the one who may all."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    ports: list[int] = field(default_factory=lambda: free_ports(5))
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @cached_property
    def client(self) -> Any:
        """Who may do everything."""
        return self.client_of(CREDENTIALS)

    def client_of(self, credentials: tuple[str, str]) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            config=Config(s3={"addressing_style": "path"}, connect_timeout=3, read_timeout=20),
        )

    def start(self) -> None:
        """Start it, and wait until it takes a write."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                env={"HOME": str(self.folder), "TMPDIR": str(self.folder), "PATH": os.environ["PATH"]},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self._wait_for(lambda: _answers(self.endpoint))
        self._wait_for(lambda: _make_buckets(self.client))

    def stop(self) -> None:
        """End it in good order; its data stay."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """As a power cut ends it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    @property
    def log(self) -> Path:
        return self.folder / "weed.log"

    def _command(self) -> list[str]:
        s3, master, volume, filer, admin = self.ports
        root = {"name": "drill", "credentials": [{"accessKey": CREDENTIALS[0], "secretKey": CREDENTIALS[1]}]}
        identities = [root | {"actions": ["Admin"]}, *self.config.get("identities", ())]
        (self.folder / "s3.json").write_text(json.dumps(self.config | {"identities": identities}))
        return [
            str(WEED), "mini", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}",
            f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}",
            "-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock", "-webdav=false", "-admin.ui=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-s3.config={self.folder / 's3.json'}", "-master.telemetry=false", "-volume.preStopSeconds=0",
            *self.arguments,
        ]  # fmt: skip

    def _wait_for(self, question: Callable[[], bool]) -> None:
        assert self.process is not None
        deadline = time.monotonic() + 90
        while not question():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS did not come up: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)


@contextmanager
def running_weed(folder: Path, config: dict[str, Any] | None = None, arguments: Sequence[str] = ()) -> Iterator[Weed]:
    """One that runs until the block ends."""
    weed = Weed(folder, config or {}, arguments)
    try:
        weed.start()
        yield weed
    finally:
        weed.stop()


def free_ports(count: int) -> list[int]:
    """Below the ports that the system hands out, and free at 10000 more too: there SeaweedFS puts gRPC."""
    candidates = random.sample(range(12_000, 22_000), 1000)
    return [port for port in candidates if _is_free(port) and _is_free(port + 10_000)][:count]


def _is_free(port: int) -> bool:
    with socket.socket() as one, contextlib.suppress(OSError):
        one.bind(("127.0.0.1", port))
        return True
    return False


def _answers(endpoint: str) -> bool:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _make_buckets(client: Any) -> bool:
    """Whether the buckets are there and a write was taken: the gateway answers a little before that."""
    try:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in {"plain", "versioned", "locked"} - there:
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bucket == "locked")
        client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket="plain", Key="up", Body=b"")
    except (BotoCoreError, ClientError):
        return False
    return True
