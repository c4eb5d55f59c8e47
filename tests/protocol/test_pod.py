"""A pod's pages, driven by hand: what is sent, what is followed, what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import NOW, clock, drive, form_of

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError, URLError
from clefstorm.protocol.exchange import Ask, Request, Response
from clefstorm.protocol.pod import (
    PodSession,
    build_call,
    call,
    check_credential,
    check_pod,
    fetch_token,
    sign_in,
    sign_out,
)

POD = "https://pod.example"
SIGN_IN = f"{POD}/users/sign_in"
STREAM = f"{POD}/stream"
PASSWORD = "correct horse"


def page(token: str = "outside", *set_cookies: str) -> Response:
    return Response(
        status=200,
        headers={"content-type": "text/html; charset=utf-8"},
        body=f'<html><head><meta name="csrf-token" content="{token}"></head></html>'.encode(),
        set_cookies=set_cookies,
    )


def to(location: str | None, *set_cookies: str, status: int = 302) -> Response:
    headers = {} if location is None else {"location": location}
    return Response(status=status, headers=headers, set_cookies=set_cookies)


@dataclass
class Pod:
    """A pod that answers well until a test puts another answer under "GET URL"."""

    instead: dict[str, Response] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __call__(self, ask: Ask) -> Response:
        assert isinstance(ask, Request)
        self.requests.append(ask)
        name = f"{ask.method} {ask.url}"
        if name in self.instead:
            return self.instead[name]
        known = "signed=in" in ask.headers.get("cookie", "")
        match name:
            case "GET https://pod.example/users/sign_in":
                return page("outside", "visitor=1; path=/; HttpOnly")
            case "POST https://pod.example/users/sign_in":
                return to(STREAM, "signed=in; path=/; HttpOnly", "remember=me; path=/")
            case "GET https://pod.example/stream":
                return page("inside") if known else to(SIGN_IN)
            case "GET https://pod.example/users/sign_out":
                return to(SIGN_IN, "signed=; path=/; max-age=0")
        return Response(status=200, body=b"done")


@pytest.fixture
def pod() -> Pod:
    return Pod()


def new_session() -> PodSession:
    return PodSession(POD, clock=clock)


def signed_in(pod: Pod) -> PodSession:
    session = new_session()
    drive(sign_in(session, "ann", PASSWORD), pod)
    return session


def test_sign_in(pod: Pod) -> None:
    """The form carries the page's token and cookies; the session's own token is fetched after."""
    session = signed_in(pod)
    assert [f"{r.method} {r.url}" for r in pod.requests] == [
        f"GET {SIGN_IN}",
        f"POST {SIGN_IN}",
        f"GET {STREAM}",
    ]
    assert form_of(pod.requests[1]) == {
        "user[username]": "ann",
        "user[password]": PASSWORD,
        "user[remember_me]": "1",
        "authenticity_token": "outside",
    }
    assert [r.headers.get("cookie") for r in pod.requests] == [
        None,
        "visitor=1",
        "visitor=1; signed=in; remember=me",
    ]
    assert (session.token, session.signed_in) == ("inside", True)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param(STREAM, id="absolute"),
        pytest.param("/stream", id="path"),
        pytest.param("../stream", id="relative"),
        pytest.param("//pod.example/stream", id="scheme_relative"),
        pytest.param("https://pod.example:443/stream", id="default_port"),
        pytest.param("https://POD.example/stream#new", id="case_and_fragment"),
    ],
)
@pytest.mark.parametrize("status", [302, 303])
def test_the_redirect_of_success(pod: Pod, location: str, status: int) -> None:
    """A redirect to anywhere within the pod, but to the form, is a success."""
    pod.instead[f"POST {SIGN_IN}"] = to(location, "signed=in; path=/", status=status)
    assert signed_in(pod).token == "inside"


NOT_HTML = Response(status=200, headers={"content-type": "application/json"}, body=b"{}")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(page(), id="the_page_again"),
        pytest.param(Response(status=401), id="unauthorized"),
        pytest.param(Response(status=422), id="unprocessable"),
        pytest.param(to(SIGN_IN), id="back_to_the_form"),
        pytest.param(to("sign_in"), id="back_by_relative_path"),
        pytest.param(to("/users/sign_in?locked=1"), id="back_with_query"),
    ],
)
def test_refused_login(pod: Pod, answer: Response) -> None:
    """A pod that says no to the password is a ProviderError, which says nothing secret."""
    assert signed_in(pod).signed_in
    pod.instead[f"POST {SIGN_IN}"] = answer
    with refusal(ProviderError, "login_refused") as caught:
        signed_in(pod)
    assert not {PASSWORD, "outside"} & set(str(caught.value).split())


@pytest.mark.parametrize(
    ("name", "answer", "code"),
    [
        pytest.param(f"GET {SIGN_IN}", Response(status=404), "pod_status", id="no_form"),
        pytest.param(f"GET {SIGN_IN}", Response(status=503), "pod_status", id="form_unavailable"),
        pytest.param(f"GET {SIGN_IN}", NOT_HTML, "pod_page_not_html", id="form_not_html"),
        pytest.param(f"GET {SIGN_IN}", page(""), "pod_token_invalid", id="empty_token"),
        pytest.param(f"GET {SIGN_IN}", to(STREAM), "pod_redirects", id="circle"),
        pytest.param(f"POST {SIGN_IN}", Response(status=500), "pod_status", id="post_fails"),
        pytest.param(f"POST {SIGN_IN}", Response(status=403), "pod_status", id="post_forbidden"),
        pytest.param(f"POST {SIGN_IN}", to(STREAM, status=307), "pod_status", id="post_again"),
        pytest.param(f"POST {SIGN_IN}", to(STREAM, status=308), "pod_status", id="always_again"),
        pytest.param(f"POST {SIGN_IN}", NOT_HTML, "pod_page_not_html", id="post_not_html"),
        pytest.param(f"POST {SIGN_IN}", to(None), "pod_redirect_invalid", id="no_location"),
        pytest.param(
            f"POST {SIGN_IN}", to("https://[x/"), "pod_redirect_invalid", id="broken_location"
        ),
        pytest.param(
            f"POST {SIGN_IN}",
            to("https://ann@pod.example/"),
            "pod_redirect_invalid",
            id="location_with_user",
        ),
        pytest.param(
            f"POST {SIGN_IN}",
            to("http://pod.example/stream"),
            "pod_redirect_invalid",
            id="location_in_clear",
        ),
        pytest.param(
            f"POST {SIGN_IN}",
            to("https://evil.example/stream"),
            "pod_redirect_foreign",
            id="success_leads_away",
        ),
        pytest.param(
            f"POST {SIGN_IN}", to(STREAM), "pod_session_missing", id="success_without_session"
        ),
        pytest.param(f"GET {STREAM}", Response(status=500), "pod_status", id="stream_fails"),
        pytest.param(f"GET {STREAM}", to(STREAM), "pod_redirects", id="stream_circle"),
        pytest.param(
            f"GET {STREAM}", to("//evil.example/"), "pod_redirect_foreign", id="stream_leads_away"
        ),
        pytest.param(
            f"GET {STREAM}",
            to("https://pod.example:8443/"),
            "pod_redirect_foreign",
            id="another_port",
        ),
        pytest.param(
            f"GET {STREAM}",
            to("https://pod.example.evil.example/"),
            "pod_redirect_foreign",
            id="longer_name",
        ),
        pytest.param(
            f"GET {STREAM}",
            Response(status=200, headers={"content-type": "text/html"}, body=b"<p>hello"),
            "pod_token_missing",
            id="stream_without_token",
        ),
    ],
)
def test_no_pod(pod: Pod, name: str, answer: Response, code: str) -> None:
    """What answers otherwise than pods do is a ProtocolViolation, and gets nothing it shouldn't."""
    assert signed_in(pod).signed_in
    pod.requests.clear()
    pod.instead[name] = answer
    with refusal(ProtocolViolation, code) as caught:
        signed_in(pod)
    assert all(request.url.startswith(f"{POD}/") for request in pod.requests)
    secrets = (PASSWORD, "outside", "inside", "visitor=1")
    assert not any(secret in str(caught.value) for secret in secrets)
    with_password = [r for r in pod.requests if b"correct" in (r.body or b"")]
    assert [f"{r.method} {r.url}" for r in with_password] in ([], [f"POST {SIGN_IN}"])


def test_redirects_to_a_page_are_counted(pod: Pod) -> None:
    """Five redirects are followed to a page, six are not."""
    for step in range(6):
        pod.instead[f"GET {POD}/{step}"] = to(f"/{step + 1}", status=301)
    pod.instead[f"GET {POD}/6"] = page("found")
    pod.instead[f"GET {STREAM}"] = to("/2")
    assert drive(fetch_token(new_session()), pod).result == "found"
    pod.instead[f"GET {STREAM}"] = to("/1")
    with refusal(ProtocolViolation, "pod_redirects"):
        drive(fetch_token(new_session()), pod)


def test_token_without_a_login(pod: Pod) -> None:
    """Whoever is not signed in gets the token of the page that the pod leads to."""
    session = new_session()
    assert drive(fetch_token(session), pod).result == session.token == "outside"
    assert not session.signed_in


def test_token_of_a_session(pod: Pod) -> None:
    """A token is fetched again with the cookies of the session."""
    session = signed_in(pod)
    pod.instead[f"GET {STREAM}"] = page("newer")
    assert drive(fetch_token(session), pod).result == session.token == "newer"
    assert "signed=in" in pod.requests[-1].headers["cookie"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(to(SIGN_IN), id="redirect"),
        pytest.param(to("https://else.example/"), id="redirect_away"),
        pytest.param(Response(status=200), id="page"),
        pytest.param(Response(status=204), id="nothing"),
    ],
)
def test_sign_out(pod: Pod, answer: Response) -> None:
    """The session's cookies go to the pod's sign-out, once; no redirect is followed."""
    session = signed_in(pod)
    pod.requests.clear()
    pod.instead[f"GET {POD}/users/sign_out"] = answer
    drive(sign_out(session), pod)
    [request] = pod.requests
    assert request.url == f"{POD}/users/sign_out"
    assert "signed=in" in request.headers["cookie"]


@pytest.mark.parametrize("status", [199, 300, 400, 404, 500])
def test_sign_out_that_fails(pod: Pod, status: int) -> None:
    """A pod that doesn't sign out is a ProtocolViolation."""
    session = signed_in(pod)
    pod.instead[f"GET {POD}/users/sign_out"] = Response(status=status)
    with refusal(ProtocolViolation, "pod_status"):
        drive(sign_out(session), pod)


def test_nothing_to_sign_out(pod: Pod) -> None:
    """A pod that never gave us a cookie is asked nothing."""
    drive(sign_out(new_session()), pod)
    assert pod.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_calls_with_the_token(pod: Pod, method: str) -> None:
    """What changes something carries the token and the cookies."""
    session = signed_in(pod)
    answer = drive(call(session, build_call(POD, method, "posts/1")), pod).result
    assert answer.body == b"done"
    assert pod.requests[-1].headers["x-csrf-token"] == "inside"
    assert "signed=in" in pod.requests[-1].headers["cookie"]


def test_a_token_of_the_callers_own(pod: Pod) -> None:
    """An X-CSRF-Token among the headers goes before the session's."""
    session = signed_in(pod)
    request = build_call(POD, "POST", "posts", headers={"X-CSRF-Token": "mine"})
    drive(call(session, request), pod)
    assert pod.requests[-1].headers["x-csrf-token"] == "mine"


def test_get_carries_no_token(pod: Pod) -> None:
    """A GET needs no token and gets none."""
    session = signed_in(pod)
    drive(call(session, build_call(POD, "GET", "people")), pod)
    assert "x-csrf-token" not in pod.requests[-1].headers


def test_a_redirect_of_a_call_is_its_answer(pod: Pod) -> None:
    """Where a pod sends a call's answer is for the caller to see: nothing is followed."""
    session = signed_in(pod)
    pod.requests.clear()
    pod.instead[f"GET {POD}/authorize?client_id=app"] = to("https://app.example/callback?code=1")
    request = build_call(POD, "GET", f"{POD}/authorize?client_id=app")
    answer = drive(call(session, request), pod).result
    assert answer.headers["location"] == "https://app.example/callback?code=1"
    assert len(pod.requests) == 1


def test_cookies_of_calls_are_kept(pod: Pod) -> None:
    """What a call's answer sets, the next call sends; also what it takes away."""
    session = signed_in(pod)
    pod.instead[f"GET {POD}/a"] = Response(
        status=200, set_cookies=("new=1; path=/", "visitor=; max-age=0; path=/")
    )
    drive(call(session, build_call(POD, "GET", "a")), pod)
    drive(call(session, build_call(POD, "GET", "b")), pod)
    assert pod.requests[-1].headers["cookie"] == "signed=in; remember=me; new=1"


@pytest.mark.parametrize(
    ("path", "params", "url"),
    [
        pytest.param("stream", None, f"{POD}/stream", id="name"),
        pytest.param("/stream", None, f"{POD}/stream", id="path"),
        pytest.param("", None, f"{POD}/", id="root"),
        pytest.param(f"{POD}/stream", None, f"{POD}/stream", id="whole"),
        pytest.param("//evil.example/", None, f"{POD}//evil.example/", id="two_slashes"),
        pytest.param("a", {"q": "b c", "n": 1}, f"{POD}/a?q=b+c&n=1", id="params"),
        pytest.param("a?x=1", [("q", "2")], f"{POD}/a?x=1&q=2", id="more_params"),
        pytest.param("a", {"q": [1, 2]}, f"{POD}/a?q=1&q=2", id="list"),
        pytest.param("a?u=https://x.example", None, f"{POD}/a?u=https://x.example", id="query"),
    ],
)
def test_paths(path: str, params: Any, url: str) -> None:
    """A path of the pod or a whole URL of it, with params in the query."""
    assert build_call(POD, "GET", path, params=params).url == url


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("https://evil.example/", "origin_mismatch", id="foreign"),
        pytest.param("https://pod.example:444/", "origin_mismatch", id="another_port"),
        pytest.param("http://localhost/", "origin_mismatch", id="another_scheme"),
        pytest.param("https://pod.example@evil.example/", "url_invalid", id="user_info"),
        pytest.param("http://pod.example/", "url_invalid", id="in_clear"),
        pytest.param("javascript://pod.example/", "url_invalid", id="another_kind"),
        pytest.param("stream#new", "url_invalid", id="fragment"),
        pytest.param("people/änn", "url_invalid", id="not_ascii"),
        pytest.param("a b", "url_invalid", id="space"),
        pytest.param("a\r\nHost: b", "url_invalid", id="newline"),
        pytest.param("\\\\evil.example", "url_invalid", id="back_slashes"),
    ],
)
def test_refused_paths(path: str, code: str) -> None:
    """A call goes to the pod or nowhere; the error doesn't quote the path."""
    assert build_call(POD, "GET", "stream").url == STREAM
    with refusal(URLError, code) as caught:
        build_call(POD, "GET", path)
    assert path not in str(caught.value)


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("data", "headers", "body", "content_type"),
    [
        pytest.param(None, None, None, None, id="nothing"),
        pytest.param({"a[b]": "ü", "n": 1}, None, b"a%5Bb%5D=%C3%BC&n=1", FORM, id="form"),
        pytest.param([("a", "1"), ("a", "2")], None, b"a=1&a=2", FORM, id="pairs"),
        pytest.param({"a": ["1", "2"]}, None, b"a=1&a=2", FORM, id="list"),
        pytest.param({}, None, b"", FORM, id="empty_form"),
        pytest.param(
            '{"ü": 1}',
            {"Content-Type": "application/json"},
            '{"ü": 1}'.encode(),
            "application/json",
            id="text",
        ),
        pytest.param(b"\xff", None, b"\xff", None, id="bytes"),
    ],
)
def test_data(data: Any, headers: Any, body: bytes | None, content_type: str | None) -> None:
    """Names and values are a form; a text or bytes go as they are, of the type that was said."""
    request = build_call(POD, "POST", "a", data, headers=headers)
    assert (request.body, request.headers.get("content-type")) == (body, content_type)


@pytest.mark.parametrize("name", ["Cookie", "cookie", "COOKIE"])
def test_no_cookies_of_the_callers_own(name: str) -> None:
    """A Cookie header would replace the session's without a word, so it is refused."""
    assert build_call(POD, "GET", "a", headers={"Accept": "text/html"}).headers == {
        "accept": "text/html"
    }
    with refusal(ConfigurationError, "header_reserved"):
        build_call(POD, "GET", "a", headers={name: "a=b"})


@pytest.mark.parametrize(
    ("given", "pod"),
    [
        pytest.param("https://pod.example", "https://pod.example", id="origin"),
        pytest.param("https://Pod.Example/", "https://pod.example", id="case_and_slash"),
        pytest.param("https://pod.example:8443", "https://pod.example:8443", id="port"),
        pytest.param("http://localhost:3000", "http://localhost:3000", id="localhost"),
        pytest.param("http://127.0.0.1:3000", "http://127.0.0.1:3000", id="ipv4"),
        pytest.param("http://[::1]:3000", "http://[::1]:3000", id="ipv6"),
    ],
)
def test_pods(given: str, pod: str) -> None:
    """A pod is an https origin, or http on this machine."""
    assert check_pod(given) == pod


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param("http://pod.example", id="password_in_clear"),
        pytest.param("http://10.0.0.1", id="private_network_in_clear"),
        pytest.param("pod.example", id="no_scheme"),
        pytest.param("//pod.example", id="empty_scheme"),
        pytest.param("ftp://pod.example", id="another_scheme"),
        pytest.param("https://ann:secret@pod.example", id="user_info"),
        pytest.param("https://pod.example/social", id="path"),
        pytest.param("https://pod.example?a=1", id="query"),
        pytest.param("https://pod.example:0", id="port_zero"),
        pytest.param("https://", id="no_host"),
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
        pytest.param(b"https://pod.example", id="bytes"),
    ],
)
def test_refused_pods(pod: Any) -> None:
    """Where a password would be overheard, or nobody is, nothing begins; no password is quoted."""
    assert check_pod(POD) == POD
    with refusal(URLError, "pod_invalid") as caught:
        check_pod(pod)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", None, 7, b"ann", "half\ud800"])
@pytest.mark.parametrize("name", ["username", "password"])
def test_refused_credentials(name: str, value: Any) -> None:
    """A user name or password that no form can carry is refused, and not quoted."""
    assert check_credential("ü n", name=name) == "ü n"
    with refusal(ConfigurationError, f"{name}_invalid") as caught:
        check_credential(value, name=name)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "half" not in str(caught.value)


def test_expired_cookies_are_not_sent(pod: Pod) -> None:
    """The session's clock decides when a cookie ends."""
    now = NOW
    session = PodSession(POD, clock=lambda: now)
    pod.instead[f"POST {SIGN_IN}"] = to(STREAM, "signed=in; path=/; max-age=60")
    drive(sign_in(session, "ann", PASSWORD), pod)
    now += 61
    drive(call(session, build_call(POD, "GET", "a")), pod)
    assert pod.requests[-1].headers["cookie"] == "visitor=1"


def test_a_session_before_its_sign_in() -> None:
    """Nobody is signed in, and there is no token to show."""
    session = new_session()
    assert (session.pod, session.token, session.signed_in) == (POD, "", False)
    assert len(session.cookies) == 0


def test_pages_are_asked_for_as_pages(pod: Pod) -> None:
    """A pod answers what its client accepts, and only a page holds the token."""
    signed_in(pod)
    pages = [request for request in pod.requests if request.method == "GET"]
    assert {request.headers["accept"] for request in pages} == {"text/html"}


def test_a_cookie_of_one_path(pod: Pod) -> None:
    """A cookie goes where its Path says, and without one to where it was set (RFC 6265, sections
    5.1.4 and 5.3).
    """
    session = signed_in(pod)
    pod.instead[f"GET {POD}/a/b"] = page("", "narrow=1", "wide=1; path=/a")
    drive(call(session, build_call(POD, "GET", "a/b")), pod)
    for path, sent in (("a/c", True), ("b", False)):
        drive(call(session, build_call(POD, "GET", path)), pod)
        cookie = pod.requests[-1].headers["cookie"]
        assert ("wide=1" in cookie, "narrow=1" in cookie) == (sent, sent)


@pytest.mark.parametrize("data", ["half\ud800", {"half\ud800": "a"}, {"a": "half\ud800"}])
def test_what_cannot_be_sent(data: Any) -> None:
    """Half of a pair has no bytes: it is refused, and quoted nowhere."""
    assert build_call(POD, "POST", "posts", {"a": "\u00e9"}).body == b"a=%C3%A9"
    with refusal(ConfigurationError, "data_invalid") as caught:
        build_call(POD, "POST", "posts", data)
    assert caught.value.__cause__ is caught.value.__context__ is None
