"""A diaspora* pod as its own pages use it: sign in, the token, calls with it, sign out.

LAW: everything goes to the pod's own origin, the password in one form; no redirect is followed
anywhere else, and none with a form. What the pod answers stands in no error.
Source: the pages of diaspora* (Devise's forms, Rails' CSRF token); RFC 9110, section 15.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypedDict
from urllib.parse import urlencode, urlsplit

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError, URLError
from clefstorm.protocol.authorization_header import is_credential
from clefstorm.protocol.exchange import Flow, Request, Response, fetch
from clefstorm.protocol.metadata import check_url
from clefstorm.protocol.pod_cookies import PodCookies
from clefstorm.protocol.pod_page import check_html, read_token
from clefstorm.protocol.redirects import (
    MOST_REDIRECTS,
    REDIRECTS,
    is_same_origin,
    redirect_target,
)
from clefstorm.protocol.strict_json import is_unicode

SIGN_IN = "users/sign_in"
SIGN_OUT = "users/sign_out"
STREAM = "stream"
"""The page that has the token; without a session the pod leads on to its sign-in page."""

TOKEN_METHODS = frozenset({"POST", "PUT", "DELETE"})
"""Methods that a pod accepts with its token alone."""

Fields = Mapping[str, object] | Sequence[tuple[str, object]]
"""Names and values, in a query or a form; a list as a value stands for the name so many times."""
Data = Fields | str | bytes | None
"""What a call brings: names and values as a form, a text or bytes as they are."""

_FORM = "application/x-www-form-urlencoded"


class CallOptions(TypedDict, total=False):
    """What every call may have: more for the query, and headers of the script's own."""

    params: Fields | None
    headers: Mapping[str, str] | None


class PodSession:
    """What a pod has given one script so far: its cookies, and the token ('' for none).

    Each login has one of its own, so that an answer to a call of before changes nothing in it.
    """

    def __init__(self, pod: str, *, clock: Callable[[], float]) -> None:
        self.pod = pod
        self.cookies = PodCookies(pod, clock=clock)
        self.token = ""
        self.signed_in = False


def check_pod(pod: object) -> str:
    """Return the pod's origin, such as https://pod.example.com, without a slash at its end.

    Raises URLError (``pod_invalid``) unless it is an absolute https URL (http on loopback)
    without a path.
    """
    try:
        parts = urlsplit(check_url(pod, name="pod"))
    except ProtocolViolation as error:
        reason = error.message
    else:
        if parts.path in ("", "/") and not parts.query:
            return f"{parts.scheme}://{parts.netloc.lower()}"
        reason = "a path or a query"
    raise URLError(
        "pod is the https address of a pod, such as https://pod.example.com",
        code="pod_invalid",
        reason=reason,
    )


def check_credential(value: object, *, name: str) -> str:
    """Return a user name or password; raises ConfigurationError (``<name>_invalid``)."""
    if is_credential(value):
        return value
    raise ConfigurationError(f"{name} is a text, not empty", code=f"{name}_invalid")


def build_call(
    pod: str,
    method: str,
    path: str,
    data: Data = None,
    *,
    params: Fields | None = None,
    headers: Mapping[str, str] | None = None,
) -> Request:
    """Build a call of the script's own.

    ``path`` is a path of the pod, with or without a slash before it, or a whole URL of the pod;
    ``params`` are added to its query. ``data`` with names is sent as a form, a text or bytes as
    they are, with the Content-Type of ``headers``. Raises URLError (``url_invalid``,
    ``origin_mismatch``), ConfigurationError (``header_reserved``, ``data_invalid``).
    """
    url = path if "://" in path.partition("?")[0] else f"{pod}/{path.removeprefix('/')}"
    if params:
        url += ("&" if "?" in url else "?") + _encoded(params)
    try:
        check_url(url, name="path")
    except ProtocolViolation:
        raise URLError(
            "a path of the pod, or a whole URL of it, percent-encoded and without a fragment",
            code="url_invalid",
        ) from None
    if not is_same_origin(pod, url):
        raise URLError("this connection speaks to its pod alone", code="origin_mismatch")
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    if "cookie" in sent:
        raise ConfigurationError(
            "the pod's cookies are kept for you, and you can't add any", code="header_reserved"
        )
    body: bytes | None
    if data is None or isinstance(data, bytes):
        body = data
    elif isinstance(data, str):
        if not is_unicode(data):
            raise _unsendable()
        body = data.encode()
    else:
        sent.setdefault("content-type", _FORM)
        body = _encoded(data).encode("ascii")
    return Request(method=method, url=url, headers=sent, body=body)


def _encoded(fields: Fields) -> str:
    with suppress(TypeError, ValueError):
        return urlencode(fields, doseq=True)
    # Outside of that block: the exception holds the text.
    raise _unsendable()


def _unsendable() -> ConfigurationError:
    return ConfigurationError(
        "what is sent are names with values, or a text, of Unicode; or bytes", code="data_invalid"
    )


def call(session: PodSession, request: Request) -> Flow[Response]:
    """Send a call with the session's cookies, and its token where the method wants it.

    An ``X-CSRF-Token`` of the caller's own goes before the session's. Returns the answer of
    whatever status, a redirect too.
    """
    headers = dict(request.headers)
    if request.method in TOKEN_METHODS:
        headers.setdefault("x-csrf-token", session.token)
    return (yield from _send(session, replace(request, headers=headers)))


def sign_in(session: PodSession, username: str, password: str) -> Flow[None]:
    """Sign in to a pod that has not seen this session yet, and fetch the token.

    Raises ProviderError (``login_refused``) when the pod says no, ProtocolViolation for a pod
    that answers otherwise than pods do.
    """
    _, page = yield from _page(session, SIGN_IN)
    form = {
        "user[username]": username,
        "user[password]": password,
        "user[remember_me]": "1",
        "authenticity_token": read_token(page),
    }
    request = build_call(session.pod, "POST", SIGN_IN, form)
    _check_signed_in(session, (yield from _send(session, request)))
    # Devise changes the token when somebody signs in.
    url, page = yield from _page(session, STREAM)
    if _is_sign_in(url):
        raise ProtocolViolation(
            "the pod accepted the login and has forgotten it; did its cookies need https?",
            code="pod_session_missing",
        )
    session.token = read_token(page)
    session.signed_in = True


def fetch_token(session: PodSession) -> Flow[str]:
    """Fetch the token of this session, signed in or not; keep it, and return it."""
    _, page = yield from _page(session, STREAM)
    session.token = read_token(page)
    return session.token


def sign_out(session: PodSession) -> Flow[None]:
    """End the session at the pod. Raises ProtocolViolation (``pod_status``) when that says no."""
    if not session.cookies:
        return  # The pod has never heard of us.
    answer = yield from _send(session, build_call(session.pod, "GET", SIGN_OUT))
    if not 200 <= answer.status < 300 and answer.status not in REDIRECTS:
        raise _status(SIGN_OUT, answer)


def _check_signed_in(session: PodSession, answer: Response) -> None:
    """Judge the answer to the form: a redirect to anywhere but the form."""
    if answer.status in (302, 303):
        if not _is_sign_in(_target(session, f"{session.pod}/{SIGN_IN}", answer)):
            return
    elif answer.status == 200:
        check_html(answer)
    elif answer.status not in (401, 422):
        raise _status(SIGN_IN, answer)
    raise ProviderError(
        "the pod did not accept this user name and password; it may want a second factor too",
        error="login_refused",
        code="login_refused",
    )


def _page(session: PodSession, path: str) -> Flow[tuple[str, Response]]:
    """Get a page, after a few redirects within the pod; return its URL and itself."""
    url = f"{session.pod}/{path}"
    for _ in range(MOST_REDIRECTS + 1):
        request = Request(method="GET", url=url, headers={"accept": "text/html"})
        answer = yield from _send(session, request)
        if answer.status == 200:
            return url, answer
        if answer.status not in REDIRECTS:
            raise _status(path, answer)
        url = _target(session, url, answer)
    raise ProtocolViolation(
        "the pod redirects in a circle", code="pod_redirects", page=path, most=MOST_REDIRECTS
    )


def _send(session: PodSession, request: Request) -> Flow[Response]:
    """Send what is for the pod; the one place where its cookies come and go."""
    cookie = session.cookies.header(request.url)
    if cookie is not None:
        request = replace(request, headers={**request.headers, "cookie": cookie})
    answer = yield from fetch(request)
    session.cookies.receive(request.url, answer.set_cookies)
    return answer


def _target(session: PodSession, url: str, answer: Response) -> str:
    """Return where a redirect leads within the pod.

    Raises ProtocolViolation: ``pod_redirect_invalid``, ``pod_redirect_foreign``.
    """
    target = redirect_target(url, answer)
    if target is None:
        raise ProtocolViolation(
            "the pod redirects, and not to a URL that can be followed", code="pod_redirect_invalid"
        )
    if not is_same_origin(session.pod, target):
        raise ProtocolViolation(
            "the pod redirects to somebody else, to whom nothing of it is sent",
            code="pod_redirect_foreign",
            got=urlsplit(target).hostname,
        )
    return target


def _is_sign_in(url: str) -> bool:
    return urlsplit(url).path == f"/{SIGN_IN}"


def _status(page: str, answer: Response) -> ProtocolViolation:
    return ProtocolViolation(
        "the pod gave no answer that could be used", code="pod_status", page=page, got=answer.status
    )
