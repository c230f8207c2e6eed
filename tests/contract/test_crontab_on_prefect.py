"""Jobs of a crontab come to Prefect: under the same names, with owner and command, held until they are released."""

from pathlib import Path

from muster.cutover.schedule import Cut, Inventory
from muster.cutover.spec import CutoverSpec
from tasks.schedulers.scheduler import Reach
from tests.contract.prefect_servers import POOL
from tests.contract.scheduler_cases import CASES

REACH = Reach("plan/run 1", lambda: 60.0)
OWN = {"entrypoint": "flows/command.py:command", "work_pool_name": POOL}
SPEC = CutoverSpec.model_validate({"jobs": [{"jobs": ["*"], "own": OWN}]})


def test_a_crontab_on_prefect_keeps_its_names(tmp_path: Path) -> None:
    with CASES["cron-user"](tmp_path) as cron, CASES["prefect"](tmp_path) as prefect:
        before, green = cron.scheduler.inventory(Cut()), prefect.empty
        jobs = {job.name: SPEC.told_of(job) for job in before.jobs}
        asked = [one.model_copy(update={"parameters": dict(jobs[one.job].parameters)}) for one in before.schedules]
        assert not [words for one in asked for words in green.untold(jobs[one.job], one)]
        for _ in range(2):
            green.mirror(list(jobs.values()), asked, REACH)
            found = green.inventory(Cut())
            assert {s.name: (s.rule, s.parameters, s.active) for s in found.schedules} == {
                s.name: (s.rule, s.parameters, False) for s in asked
            }
            assert {job.name: (job.owner, job.parameters) for job in found.jobs} == {
                job.name: (job.owner, job.parameters) for job in jobs.values()
            }
            assert found.unfit == ()
        names = {one.name for one in asked}
        assert green.released(names) == frozenset()
        green.arm(names, REACH)
        assert green.released(names) == frozenset()
        green.release(names, REACH)
        assert green.released(names) == names
        green.remove(list(jobs), REACH)
        assert green.inventory(Cut()) == Inventory(jobs=(), schedules=())
