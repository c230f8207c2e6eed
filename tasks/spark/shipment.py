"""What a cluster needs of ours to run a lap: a zip of the modules that a driver imports, and a script that begins."""

import io
import zipfile
from pathlib import Path

ZIP, SCRIPT = "muster.zip", "onelap.py"
BEGIN = """import sys
sys.path[:0] = sys.argv[2:]
from tasks.spark.onelap import main
main(sys.argv[1])
"""
"""The script. Its first argument is the lap's folder, the others are where Python finds our zip, if not by itself."""
_ROOT = Path(__file__).parents[2]
_PARTS = ("muster/*.py", "muster/spark/*.py", "tasks/__init__.py", "tasks/spark/*.py", "tasks/spark/workloads/*.py")
_THEN = (1980, 1, 1, 0, 0, 0)
"""One time for all, so that the same modules make the same bytes."""


def pack() -> bytes:
    """The zip. It holds no setting, and nothing of any plan."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as into:
        for path in sorted(path for part in _PARTS for path in _ROOT.glob(part)):
            name = zipfile.ZipInfo(path.relative_to(_ROOT).as_posix(), _THEN)
            into.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()
