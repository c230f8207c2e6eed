"""The client's loop, without a server: what a server says unasked makes no second call beside the one that is due."""

import time
from types import SimpleNamespace

from tasks.client.logs import Sessions
from tasks.client.loop import Loop
from tasks.client.pace import Pace

SECOND = 10**9


class Idle:
    """A caller with a session, between two calls."""

    def __init__(self):
        self.pace = Pace(SECOND, time.monotonic_ns() + SECOND)
        self.log = SimpleNamespace(name="w-000.log", write=lambda: None)
        self.session, self.deadline_ns, self.is_open = 1, 0, True
        self.heard = 0

    def hear(self):
        self.heard += 1


def test_a_server_that_speaks_unasked_makes_no_second_call_due(tmp_path):
    caller = Idle()
    loop = Loop([caller], Sessions(tmp_path))
    loop._go_on(caller)
    for _ in range(3):
        loop._hear(caller)
    assert (len(loop._due), caller.heard) == (1, 3)
