"""`muster evidence export`: a package as folders for a tool of a compliance team."""

from pathlib import Path

from muster.package.intake import Intake
from muster.package.intake import export as export_package
from muster.quantity import count_of
from muster.verdict import ExitCode


def export(package: Path, intake: str, output: Path) -> int:
    """Write the folders, and say where and how many."""
    done = export_package(package, Intake(intake), output)
    copied = count_of(done.bundles, "bundle", "bundles")
    print(f"{done.folder}: {count_of(len(done.controls), 'control', 'controls')}, {copied} copied")
    return ExitCode.PASS
