"""A run's own folder on this machine."""

import shutil

from muster.drill import Workspace
from muster.errors import StepError


def drop_scratch(workspace: Workspace) -> None:
    """Make sure that it is gone."""
    shutil.rmtree(workspace.scratch, ignore_errors=True)
    if workspace.scratch.exists():
        raise StepError(f"{workspace.scratch} cannot be removed", "remove it by hand")
