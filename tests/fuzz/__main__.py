"""Fuzzes every target for a while, each in a process of its own: `python -m tests.fuzz [--seconds N] [TARGET ...]`.

As many run at once as there are cores. Exit code 0 when nothing was found, 1 when something was, 64 when it could not
begin. What was found is left in `tests/fuzz/found/TARGET/`: once the parser is mended, keep it there, and every run of
the test suite tries it again.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"
_HANG = 60
"""Seconds for one input: far more than any needs, on a busy machine too."""
_MEMORY = 2048
"""Megabytes."""
_LONGEST = 1 << 16
"""Bytes of one input."""
_DONE = re.compile(r"#([0-9]+)\s+DONE\s+cov: ([0-9]+)")


def main() -> int:
    """Run the targets that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers of foreign bytes.")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--found", type=Path, default=FOUND, help="where what is found is left")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    asked = parser.parse_args()
    names = asked.targets or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        parser.exit(64, f"no such target: {', '.join(sorted(unknown))}\n")
    if find_spec("atheris") is None:
        parser.exit(64, "atheris is not installed\n  -> pip install 'muster[fuzz]'\n")
    workers = os.cpu_count() or 1
    fuzz = partial(_fuzz, asked.found, max(1, asked.seconds * workers // len(names)))
    with ThreadPoolExecutor(workers) as pool:
        return 0 if all(list(pool.map(fuzz, names))) else 1  # each is run, whatever the others find


def _fuzz(found: Path, seconds: int, name: str) -> bool:
    """Whether nothing was found."""
    (found / name).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="fuzz-") as folder:
        for number, seed in enumerate(TARGETS[name].seeds()):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        options = {
            "max_total_time": seconds,
            "timeout": _HANG,
            "rss_limit_mb": _MEMORY,
            "max_len": _LONGEST,
            "artifact_prefix": f"{found / name}/",
        }
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.fuzz.worker",
                name,
                folder,
                *(f"-{key}={value}" for key, value in options.items()),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    return _tell(name, found / name, done)


def _tell(name: str, found: Path, done: "subprocess.CompletedProcess[str]") -> bool:
    ended = _DONE.search(done.stderr)
    if done.returncode == 0 and ended:
        print(f"{name:18} nothing found: {int(ended[1]):>9,} inputs, {int(ended[2]):>5,} places reached", flush=True)
        if not any(found.iterdir()):
            found.rmdir()
        return True
    print(f"{name:18} FOUND, see {found}\n{done.stdout[-4000:]}\n{done.stderr[-1000:]}", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
