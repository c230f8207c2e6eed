"""A real time-stamp authority on loopback: `openssl ts` behind a small web server, with the faults one may have."""

import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

POLICY = "1.2.3.4.1"
_OTHER_POLICY = "1.2.3.4.2"
_ROOM = f"nsComment={'it takes room ' * 8}\n"
"""In a certificate this makes it the longer, and so the later one in a sorted set."""
_TSA = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n"
_NO_PURPOSE = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
_CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = intermediate.pem
signer_digest = {digest}
default_policy = {policy}
other_policies = {other}
digests = sha256, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(*arguments: str, folder: Path, when: str = "", content: bytes | None = None) -> bytes:
    """Run the command in `folder`, at another time if `when` names one (as in `3 years ago`); what it wrote."""
    command = ["faketime", when, "openssl", *arguments] if when else ["openssl", *arguments]
    done = subprocess.run(command, cwd=folder, input=content, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class TimestampAuthority:
    """Root, intermediate and time-stamping certificates in `folder`, made by the `openssl` command.

    `made` is when its own certificate was made, to be valid for `days`. An `unsorted` authority sends its certificates
    in an order that is not DER; `digest` is what it signs over, `intermediate` and `certificate` what its
    certificates were signed over, `root` what its root signed itself over. For MD5 its keys are of RSA.
    """

    def __init__(
        self,
        folder: Path,
        *,
        made: str = "",
        days: int = 30,
        unsorted: bool = False,
        digest: str = "sha256",
        certificate: str = "sha256",
        intermediate: str = "sha256",
        root: str = "sha256",
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.root = folder / "root.pem"
        self._lock = Lock()
        above, below = ("", _ROOM) if unsorted else (_ROOM, "")
        self._is_rsa = "md5" in (digest, certificate, intermediate, root)
        self._make_root(root)
        self._make("intermediate", _CA + above, signer="root", made="4 years ago", days=5000, digest=intermediate)
        self._make("tsa", _TSA + below, signer="intermediate", made=made, days=days, digest=certificate)
        self._make("plain", _NO_PURPOSE, signer="intermediate", made=made, days=days)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(digest=digest, policy=POLICY, other=_OTHER_POLICY))

    def query(self, content: bytes, *options: str) -> bytes:
        """A request for a time-stamp of these bytes, over SHA-256 and with a nonce unless an option says otherwise."""
        with self._lock:
            (self.folder / "data").write_bytes(content)
            digest = () if "-sha512" in options else ("-sha256",)
            openssl("ts", "-query", "-data", "data", *digest, "-cert", *options, "-out", "query", folder=self.folder)
            return (self.folder / "query").read_bytes()

    def reply(self, query: bytes, when: str = "") -> bytes:
        """The authority's answer to a request, given at the time `when`."""
        with self._lock:
            (self.folder / "query").write_bytes(query)
            command = ("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
            openssl(*command, folder=self.folder, when=when)
            return (self.folder / "reply").read_bytes()

    def stamp(self, content: bytes, *options: str, when: str = "") -> bytes:
        """A time-stamp of these bytes that nobody asked for over the wire."""
        return self.reply(self.query(content, *options), when)

    def rejection(self) -> bytes:
        """An answer that grants nothing: the request asked for a policy that is not offered."""
        return self.stamp(b"anything", "-tspolicy", "1.2.3.4.9")

    def without_purpose(self, token: bytes) -> bytes:
        """The same, signed instead with a certificate that is not for time-stamping: `openssl ts` itself would not."""
        return self._signed_again(token, "plain", "-cades")

    def unnamed(self, token: bytes) -> bytes:
        """The same, without the attribute in which a token has to name its certificate by a digest."""
        return self._signed_again(token, "tsa")

    def _signed_again(self, token: bytes, signer: str, *options: str) -> bytes:
        with self._lock:
            folder = self.folder
            (folder / "reply").write_bytes(token)
            openssl("ts", "-reply", "-in", "reply", "-token_out", "-out", "token", folder=folder)
            openssl("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-out", "info", folder=folder)
            signed = openssl(
                *("cms", "-sign", *options, "-binary", "-nodetach", "-in", "info", "-outform", "DER"),
                *("-econtent_type", "1.2.840.113549.1.9.16.1.4", "-md", "sha256"),
                *("-signer", f"{signer}.pem", "-inkey", f"{signer}.key", "-certfile", "intermediate.pem"),
                folder=folder,
            )
        granted = bytes.fromhex("3003020100")
        return b"\x30\x82" + (len(granted) + len(signed)).to_bytes(2, "big") + granted + signed

    def web_certificate(self) -> Path:
        """A certificate for a web server, and its key, in one file."""
        path = self.folder / "web.pem"
        path.write_bytes((self.folder / "plain.pem").read_bytes() + (self.folder / "plain.key").read_bytes())
        return path

    def verifies(self, token: bytes, content: bytes, when: int | None = None) -> bool:
        """Whether `openssl ts -verify` accepts the token over these bytes, now or at a time in seconds since 1970."""
        with self._lock:
            (self.folder / "token").write_bytes(token)
            (self.folder / "data").write_bytes(content)
            command = ["openssl", "ts", "-verify", "-data", "data", "-in", "token", "-CAfile", "root.pem"]
            command += [] if when is None else ["-attime", str(when)]
            done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=60, check=False)
            return done.returncode == 0

    def _make_root(self, digest: str) -> None:
        self._make_key("root")
        openssl(
            *("req", "-x509", "-new", "-key", "root.key", f"-{digest}", "-days", "9000", "-subj", "/CN=Root"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", "root.pem"),
            folder=self.folder,
            when="5 years ago",
        )

    def _make(self, name: str, extensions: str, *, signer: str, made: str, days: int, digest: str = "sha256") -> None:
        (self.folder / "extensions").write_text(extensions)
        self._make_key(name)
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr", folder=self.folder)
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", f"-{digest}"),
            *("-set_serial", f"0x{os.urandom(8).hex()}", "-days", str(days), "-extfile", "extensions"),
            *("-out", f"{name}.pem"),
            folder=self.folder,
            when=made,
        )

    def _make_key(self, name: str) -> None:
        kind = ("-algorithm", "RSA") if self._is_rsa else ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        openssl("genpkey", *kind, "-out", f"{name}.key", folder=self.folder)


@dataclass(frozen=True)
class Reply:
    """What the server says to one request; `pace` are seconds between each two bytes, of the header and the body."""

    content: bytes
    status: int = 200
    pace: float = 0.0


@dataclass
class Counter:
    """A web server before an authority: what it answers can be changed while it runs, what it was asked is kept."""

    url: str
    answer: Callable[[bytes], Reply]
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[bytes], Reply], tls: Path | None = None) -> Iterator[Counter]:
    """A server on a free port of loopback, which answers each POST as `answer` says.

    It speaks TLS with the certificate and key in the file `tls`, if that is given.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["content-length"]))
            counter.asked.append(query)
            reply = counter.answer(query)
            head = f"HTTP/1.1 {reply.status} as told\r\ncontent-type: application/timestamp-reply\r\n\r\n"
            self.close_connection = True
            with suppress(OSError):  # who asked may have gone
                self._write(head.encode() + reply.content, reply.pace)

        def _write(self, content: bytes, pace: float) -> None:
            if not pace:
                self.wfile.write(content)
                return
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(pace)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    counter = Counter(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/tsr", answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield counter
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
