"""The failover rehearsal's catalogue: what is planted, and what must catch it."""

from collections.abc import Mapping

from muster.prove import Check, Form
from tasks.faults import failover_steps as steps
from tasks.faults.altering import instead
from tasks.faults.failover_base import pristine_pair
from tasks.faults.failover_stage import rehearsal

make_base = pristine_pair
BASE = "two regions of one database"
"""What `make_base` makes, in words."""

# fmt: off
PROMISES = (
    Form("slow-takeover", "a takeover slower than its objective",
         rehearsal(objectives={"rto": "10ms"}, failback=None), Check("rto")),
    Form("lost-tail", "a failback that promotes the home region without the other's last writes",
         rehearsal(commit="asynchronous", objectives={"rpo": "1m"}, drill=instead("failback", steps.lose_the_tail)),
         Check("failback rpo")),
)
HEALTHY = (
    Form("kill", "the primary killed", rehearsal(scenario="kill")),
    Form("switchover", "a planned switch", rehearsal(scenario="switchover")),
)
# fmt: on

GROUPS: Mapping[str, tuple[Form, ...]] = {
    "What the plan promises": PROMISES,
    "Healthy forms": HEALTHY,
}
FORMS = tuple(form for group in GROUPS.values() for form in group)
