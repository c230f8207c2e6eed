"""What the Airflow of the tests has deployed: a DAG of each kind of timetable. Read by Airflow, from a copy.

Promise: the same at every parse; `AIRFLOW_DAGS_SINCE` says from when the catching-up ones count.
"""

import datetime as dt
import os
import time
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, task
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable, MultipleCronTriggerTimetable

EVERY_MINUTE = "* * * * *"
START = pendulum.datetime(2026, 1, 1, tz="UTC")
BERLIN = pendulum.datetime(2026, 1, 1, tz="Europe/Berlin")
SINCE = pendulum.parse(os.environ["AIRFLOW_DAGS_SINCE"])


def make(name: str, schedule: Any, start: Any = START, seconds: float = 0, tasks: int = 1, **more: Any) -> DAG:
    """A DAG whose tasks sleep, one after the other."""
    with DAG(name, schedule=schedule, start_date=start, **more) as dag:
        before = None
        for number in range(tasks):

            @task(task_id=f"work_{number}")
            def work() -> None:
                time.sleep(seconds)

            done = work()
            if before is not None:
                before >> done
            before = done
    return dag


minutely = make(
    "minutely", EVERY_MINUTE, tags=["nightly", "etl"], max_active_runs=1, params={"table": "orders"},
    default_args={"owner": "data"},
)  # fmt: skip
interval = make("interval", CronDataIntervalTimetable(EVERY_MINUTE, timezone="UTC"), tags=["etl"])
slow = make("slow", EVERY_MINUTE, seconds=20, tasks=2, max_active_runs=1, tags=["etl"])
daily = make("daily", "@daily", start=BERLIN, tags=["etl"])
every = make("every", dt.timedelta(minutes=90), tags=["etl"])
grid = make("grid", dt.timedelta(minutes=2), start=SINCE, catchup=True, tags=["etl"])
zoned = make("zoned", CronTriggerTimetable("0 12 * * *", timezone="Asia/Tokyo"), tags=["odd"])
several = make("several", MultipleCronTriggerTimetable("0 1 * * *", "0 2 * * *", timezone="UTC"), tags=["odd"])
once = make("once", "@once", tags=["odd"])
never = make("never", None, tags=["odd"])
asset = make("asset", [Asset("s3://bucket/key")], tags=["odd"])
ended = make("ended", "0 1 * * *", end_date=pendulum.datetime(2026, 2, 1, tz="UTC"), tags=["odd"])

# Those of the contract suite (`tests/contract/scheduler_cases.py`).
orders = make("orders", "*/5 * * * *", tags=["shop", "hourly"], default_args={"owner": "data"})
invoices = make("invoices", "0 5 * * 1-5", tags=["shop"], default_args={"owner": "data"})
report = make("report", "30 2 1 * *", default_args={"owner": "ops"})
boot = make("boot", "@once")
