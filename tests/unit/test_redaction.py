"""No secret that this process knows goes into evidence; what is no secret stays."""

from pathlib import Path

import pytest

from muster.redaction import known_secrets, redact_logs


@pytest.mark.parametrize(
    ("environment", "secrets"),
    [
        ({"PGPASSWORD": "hunter2"}, ("hunter2",)),
        ({"AWS_SECRET_ACCESS_KEY": "abcd/efgh"}, ("abcd/efgh",)),
        ({"SHOP_DSN": "host=db password=hunter2 dbname=shop"}, ("hunter2",)),
        ({"SHOP_DSN": "host=db password='two words' dbname=shop"}, ("two words",)),
        ({"SHOP_DSN": "postgresql://muster:hunt%40er@db/shop"}, ("hunt%40er", "hunt@er")),
        ({"SHOP_DSN": "postgresql://muster@db/shop", "HOME": "/root", "PGUSER": "muster"}, ()),
        ({"API_TOKEN": "abc"}, ()),
    ],
    ids=["password", "s3 secret", "in a dsn", "quoted", "in a url", "none", "too short"],
)
def test_secrets_are_known_by_name_and_in_dsns(environment: dict[str, str], secrets: tuple[str, ...]) -> None:
    assert known_secrets(environment) == secrets


def test_a_log_with_a_secret_is_rewritten_and_others_are_not(tmp_path: Path) -> None:
    loud, quiet = tmp_path / "restore.log", tmp_path / "amcheck.log"
    loud.write_bytes(b"connecting with hunter2\n\xff ok hunter2hunter2\n")
    quiet.write_text("all is well\n")
    before = quiet.stat()
    redact_logs(tmp_path, ("hunter2",))
    assert loud.read_bytes() == b"connecting with [redacted]\n\xff ok [redacted][redacted]\n"
    assert (quiet.stat().st_ino, quiet.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    redact_logs(tmp_path, ())
    redact_logs(tmp_path / "missing", ("hunter2",))
