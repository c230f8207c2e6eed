"""Asking a server: what is tried again, what is not, and that nothing else than its words comes back."""

from collections.abc import Callable

import httpx
import pytest

from evidence.asking import Answer, NoAnswer, Patience, Question, ask

QUICK = Patience(answer=20.0, attempts=3, pause=0.001)
ADDRESS = "http://authority.test/secret-path"


def asking(*answers: httpx.Response | Exception) -> tuple[Callable[..., Answer], list[httpx.Request]]:
    """A way to ask a server that gives these answers in turn, and what it was asked."""
    waiting, seen = list(answers), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        given = waiting.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def once(limit: int = 100) -> Answer:
        with httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as http:
            return ask(http, Question("POST", ADDRESS, b"body", {"content-type": "a/b"}, limit), QUICK)

    return once, seen


def said(status: int, content: bytes = b"", **headers: str) -> httpx.Response:
    """As it comes from a wire: not read yet."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, stream=httpx.ByteStream(content), headers=named)


def ok(content: bytes = b"yes") -> httpx.Response:
    return said(200, content, content_type="text/x.tlog.size; charset=utf-8")


def test_an_answer_comes_as_it_is() -> None:
    once, seen = asking(ok())
    assert once() == Answer(200, "text/x.tlog.size", b"yes")
    assert (seen[0].method, seen[0].content, seen[0].headers["content-type"]) == ("POST", b"body", "a/b")


@pytest.mark.parametrize(
    "trouble",
    [
        *(said(status) for status in (408, 425, 429, 500, 503)),
        httpx.ConnectError("away"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(trouble: httpx.Response | Exception) -> None:
    once, seen = asking(trouble, ok())
    assert once().content == b"yes"
    assert len(seen) == 2


def test_trying_ends() -> None:
    once, seen = asking(*[httpx.ConnectError("away")] * 4)
    with pytest.raises(NoAnswer, match="cannot be reached") as caught:
        once()
    assert len(seen) == QUICK.attempts
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize("status", [204, 301, 302, 400, 403, 404, 409, 422])
def test_another_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    once, seen = asking(said(status, location="http://elsewhere.test/"))
    assert once().status == status
    assert len(seen) == 1


def test_more_than_the_limit_is_refused_and_not_asked_again() -> None:
    assert asking(ok(b"x" * 100))[0]().content == b"x" * 100
    once, seen = asking(ok(b"x" * 101))
    with pytest.raises(NoAnswer, match="larger than 100 bytes"):
        once()
    assert len(seen) == 1


def test_a_compressed_answer_is_not_unpacked() -> None:
    once, _ = asking(said(200, b"\x1f\x8bbomb", content_encoding="gzip"))
    assert once().content == b"\x1f\x8bbomb"


def test_an_address_that_is_none_is_said_so() -> None:
    with httpx.Client() as http, pytest.raises(NoAnswer, match="cannot be"):
        ask(http, Question("GET", "no address"), QUICK)
