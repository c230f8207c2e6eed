"""A driver that does not come up, dies, hangs or is there already: what becomes of it, and in which words it is told.

Drivers are scripts here; how they are started, found and ended is as ever.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from muster.errors import StepError, SystemFailure
from tasks.process import AT_ONCE, Processes
from tasks.spark import session, standalone
from tasks.spark.post import Ask, ask_name, hear
from tasks.spark.session import DriverSession, Launch

UP = '{"application": "app-%s", "ui": "", "spark": "4.3.0", "java": "21", "cores": 2}'
COMES_UP = f"""#!/bin/sh
cat > "$3/up.json.partial" << EOF
{UP % '$(basename "$3")'}
EOF
mv "$3/up.json.partial" "$3/up.json"
while [ ! -e "$3/die" ]; do sleep 0.02; done
echo "Exception in thread main"
echo "java.lang.OutOfMemoryError: Java heap space"
exit 1
"""
DIES = """#!/bin/sh
echo "Unsupported class file major version 52"
echo "[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number."
exit 1
"""
WAITS = "#!/bin/sh\nexec sleep 600\n"


class Scene:
    """Sessions whose driver is a script."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.processes = Processes(folder / "records", folder / "logs")

    def session(self, driver: str, *, up_within: float = 60.0, may_restart: bool = False) -> DriverSession:
        script = self.folder / "driver"
        script.write_text(driver)
        script.chmod(0o755)
        self.monkeypatch.setattr(session, "sys", SimpleNamespace(executable=str(script)))
        launch = Launch(
            application="muster-run", master="spark://a:7077", settings={}, environment={}, workload={},
            data="file:/x", folder=self.folder / "sessions", events=self.folder / "events", up_within=up_within,
        )  # fmt: skip
        return DriverSession("plain-0", launch, self.processes, lambda: 60.0, may_restart)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(tmp_path, monkeypatch)
    yield made
    made.processes.stop_all(signals=AT_ONCE)


def test_a_driver_that_ends_before_it_is_up_is_told_with_its_last_words(scene: Scene) -> None:
    with pytest.raises(StepError, match=r"the driver did not come up: .*class file.*JAVA_GATEWAY_EXITED") as caught:
        scene.session(DIES).open()
    assert "driver-plain-0.log" in caught.value.advice
    assert scene.processes.alive() == ()


def test_a_master_that_gives_no_application_is_told_and_the_driver_ended(scene: Scene) -> None:
    with pytest.raises(StepError, match=r"spark://a:7077 gave the driver no application within 0\.3 seconds") as caught:
        scene.session(WAITS, up_within=0.3).open()
    assert "whether the master answers" in caught.value.advice
    assert scene.processes.alive() == ()


def test_a_driver_that_is_there_is_found_again(scene: Scene) -> None:
    first = scene.session(COMES_UP).open()
    before = scene.processes.identity(first.process)
    second = scene.session(COMES_UP).open()
    assert first.applications == second.applications == ("app-0",)
    assert scene.processes.identity(second.process) == before


def test_a_driver_that_dies_in_a_lap_is_told_with_its_last_words(scene: Scene) -> None:
    opened = scene.session(COMES_UP).open()
    opened.begin(0, "g-0", "a lap", disturbed=True)
    assert opened.ended() is None
    _let_die(scene, 0)
    while opened.process in scene.processes.alive():
        pass
    with pytest.raises(SystemFailure, match=r"the driver died: .*OutOfMemoryError"):
        opened.ended()


def test_one_that_may_die_is_followed_by_another_that_does_the_lap_again(scene: Scene) -> None:
    opened = scene.session(COMES_UP, may_restart=True).open()
    opened.begin(3, "g-3", "a lap", disturbed=True)
    _let_die(scene, 0)
    while len(opened.applications) == 1:
        assert opened.ended() is None
    assert opened.applications == ("app-0", "app-1")
    asked = hear(scene.folder / "sessions" / "plain-0" / "1", ask_name(0), Ask)
    assert asked == Ask(number=0, lap=3, group="g-3", words="a lap", disturbed=True, is_again=True)


def _let_die(scene: Scene, number: int) -> None:
    (scene.folder / "sessions" / "plain-0" / str(number) / "die").touch()


def test_a_master_that_takes_the_question_and_never_answers_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        seen = standalone.look(f"http://127.0.0.1:{silent.getsockname()[1]}", "ready")
    assert seen.workers == ()
    assert "the master does not answer: timed out" in seen.problems[0]
