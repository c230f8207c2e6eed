"""A run's folder in a Databricks workspace: on DBFS (`dbfs:/...`), or in a volume (`/Volumes/...`).

Promises: only what is below the run's own folder is listed, read or deleted; what is not there is no error.
Source: Databricks REST API reference: DBFS 2.0, Files 2.0.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from muster.errors import StepError
from tasks.spark.databricks_api import Databricks, Missing

_CHUNK = 2**20
"""Bytes that one answer, or one `put`, may have."""
_VOLUMES = "/Volumes/"


class Files(ABC):
    """One folder. Names are relative to it."""

    def __init__(self, api: Databricks, uri: str) -> None:
        self._api = api
        self._uri = uri

    @property
    def uri(self) -> str:
        """As Spark names it."""
        return self._uri

    @property
    @abstractmethod
    def mounted(self) -> str:
        """As a program on the cluster names it, among its own files."""

    @property
    @abstractmethod
    def log_conf(self) -> dict[str, dict[str, str]]:
        """Where a cluster delivers its logs, as its specification says it, but for the folder below."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A file; `None` when there is none."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """A file, in the place of one that is there."""

    @abstractmethod
    def entries(self, folder: str) -> tuple[tuple[str, bool], ...]:
        """What is directly in a folder, by its name relative to the whole, and whether it is a folder."""

    @abstractmethod
    def drop(self) -> None:
        """Make sure that nothing of it is left."""

    def names(self, folder: str) -> Iterator[str]:
        """Every file below a folder, by its name relative to the whole."""
        for name, is_folder in self.entries(folder):
            if is_folder:
                yield from self.names(name)
            else:
                yield name


class Dbfs(Files):
    """`dbfs:/...`."""

    @property
    def mounted(self) -> str:
        """Below `/dbfs`."""
        return f"/dbfs{self._path('')}"

    @property
    def log_conf(self) -> dict[str, dict[str, str]]:
        """`dbfs`."""
        return {"dbfs": {"destination": self._uri}}

    def read(self, name: str) -> bytes | None:
        """In pieces: an answer holds a MiB."""
        content, piece = b"", b""
        try:
            while not content or len(piece) == _CHUNK:
                where = {"path": self._path(name), "offset": str(len(content)), "length": str(_CHUNK)}
                piece = base64.b64decode(self._api.json("GET", "/api/2.0/dbfs/read", params=where).get("data", ""))
                content += piece
                if not piece:
                    break
        except Missing:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """In one piece: what we write is small."""
        if len(content) > _CHUNK:
            raise StepError(f"{name} is too large for DBFS", "use a volume: target.data: /Volumes/...")
        body = {"path": self._path(name), "contents": base64.b64encode(content).decode(), "overwrite": True}
        self._api.json("POST", "/api/2.0/dbfs/put", body=body)

    def entries(self, folder: str) -> tuple[tuple[str, bool], ...]:
        """By `list`; nothing where there is no such folder."""
        try:
            told = self._api.json("GET", "/api/2.0/dbfs/list", params={"path": self._path(folder)}).get("files", ())
        except Missing:
            return ()
        start = len(self._path("")) + 1
        return tuple((str(each["path"])[start:], bool(each["is_dir"])) for each in told)

    def drop(self) -> None:
        """With all below it."""
        with suppress(Missing):
            self._api.json("POST", "/api/2.0/dbfs/delete", body={"path": self._path(""), "recursive": True})

    def _path(self, name: str) -> str:
        return f"{self._uri.removeprefix('dbfs:')}/{name}".rstrip("/")


class Volume(Files):
    """`/Volumes/CATALOG/SCHEMA/VOLUME/...`."""

    @property
    def mounted(self) -> str:
        """The same."""
        return self._uri

    @property
    def log_conf(self) -> dict[str, dict[str, str]]:
        """`volumes`."""
        return {"volumes": {"destination": self._uri}}

    def read(self, name: str) -> bytes | None:
        """By the Files API."""
        try:
            return bytes(self._api.send("GET", self._at("files", name)).content)
        except Missing:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Its folder is made first."""
        self._api.send("PUT", self._at("directories", name.rpartition("/")[0]))
        self._api.send("PUT", self._at("files", name), params={"overwrite": "true"}, content=content)

    def entries(self, folder: str) -> tuple[tuple[str, bool], ...]:
        """By pages; nothing where there is no such folder."""
        found: list[tuple[str, bool]] = []
        params: dict[str, str] = {}
        while True:
            try:
                told = self._api.json("GET", self._at("directories", folder), params=params)
            except Missing:
                return tuple(found)
            start = len(self._uri) + 1
            found += [(str(e["path"]).rstrip("/")[start:], bool(e["is_directory"])) for e in told.get("contents", ())]
            if not (page := told.get("next_page_token")):
                return tuple(found)
            params = {"page_token": page}

    def drop(self) -> None:
        """File by file, then folder by folder: only empty ones can be deleted."""
        self._drop("")

    def _drop(self, folder: str) -> None:
        for name, is_folder in self.entries(folder):
            if is_folder:
                self._drop(name)
            else:
                self._delete("files", name)
        self._delete("directories", folder)

    def _delete(self, kind: str, name: str) -> None:
        with suppress(Missing):
            self._api.send("DELETE", self._at(kind, name))

    def _at(self, kind: str, name: str) -> str:
        return quote(f"/api/2.0/fs/{kind}{self._uri}/{name}".rstrip("/"))


def files_at(api: Databricks, uri: str) -> Files:
    """The folder of a URI."""
    return Volume(api, uri) if uri.startswith(_VOLUMES) else Dbfs(api, uri)
