"""Addresses on the web, as keys of our files give them."""

from httpx import URL, InvalidURL


def web_address(value: str, instead: str = "leave it out") -> str:
    """The value if it is an http(s) URL without user or password; `ValueError` with what to do instead otherwise."""
    try:
        url = URL(value)
    except InvalidURL:
        raise ValueError("is no URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no URL that starts with https:// or http://")
    if url.userinfo:
        raise ValueError(f"holds a user or password: {instead}")
    return value
