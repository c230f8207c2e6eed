"""What a standalone master tells of its cluster: its JSON page. Source: Spark's `JsonProtocol.writeMasterState`."""

import httpx

from muster.spark.observations import ClusterSeen, WorkerSeen

_SECONDS = 10.0


def look(ui: str, stage: str) -> ClusterSeen:
    """The cluster by its master; one that cannot be asked is a problem, and has no workers."""
    try:
        with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
            answer = client.get(f"{ui}/json/")
            answer.raise_for_status()
            told = answer.json()
        workers = tuple(
            WorkerSeen(
                name=str(w["id"]),
                host=str(w["host"]),
                state=str(w["state"]),
                cores=int(w["cores"]),
                cores_free=int(w["coresfree"]),
                memory=int(w["memory"]),
                memory_free=int(w["memoryfree"]),
            )
            for w in told["workers"]
        )
        applications = tuple(str(a["name"]) for a in told.get("activeapps", ()))
        status = str(told["status"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return ClusterSeen(
            stage=stage, manager=ui, spark="", workers=(), problems=(f"the master does not answer: {error}",)
        )
    problems = () if status == "ALIVE" else (f"the master is {status}",)
    return ClusterSeen(stage=stage, manager=ui, spark="", workers=workers, applications=applications, problems=problems)
