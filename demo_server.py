#!/usr/bin/env python3
"""The demo of clefstorm: sign in on two screens, sign out at the provider, watch both leave.

It starts two servers in one process, on two sites as in life:

    http://127.0.0.1:8300   the application: this file, and the handlers that clefstorm mounts
    http://localhost:8301   its OpenID provider: clefstorm.testing, which is for loopback only

Read it from top to bottom to get the know-how; everything an application needs is in here:

    1. settings     where the demo keeps ports, keys and sessions
    2. handlers     who is signed in, a chat and a live log on the bus, signing out everywhere
    3. application  configure(), RelyingParty, login_routes(): four lines of an application's own
    4. page         plain HTML and a little JavaScript; one line of it is clefstorm's

It needs no internet and no configuration. Ports, keys and sessions are kept in the folder .demo,
so a sign-in survives a restart of the server. ``--help`` says the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
from pathlib import Path
from typing import Any

try:
    import tornado.httpserver
    import tornado.web

    import clefstorm
    from clefstorm.testing import Provider
except ImportError as missing:
    sys.exit(
        f"The demo needs a package that is not installed: {missing.name}.\n"
        "Either let the script beside this file do it all:\n\n"
        "    ./run demo\n\n"
        "or do the same by hand:\n\n"
        "    python3 -m venv .venv\n"
        '    .venv/bin/pip install -e ".[demo]"\n'
        "    .venv/bin/python demo_server.py"
    )

POLL_HOLD = 25.0  # seconds that a poll waits for news before it is answered with none
LONGEST_LINE = 300  # characters of a chat line


# 1. Settings ---------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="demo_server.py",
        description="An application with sign-in by clefstorm, and the provider that it uses.",
        epilog="Open the printed address in two browsers. Ctrl-C stops both servers. "
        "Delete the folder to begin anew.",
    )
    parser.add_argument("--port", type=port_number, help="the application's (kept; at first 8300)")
    parser.add_argument(
        "--provider-port", type=port_number, help="the provider's (kept; at first 8301)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(__file__).resolve().parent / ".demo",
        help="where ports, keys and sessions are kept (default: .demo beside this file)",
    )
    parser.add_argument("--verbose", action="store_true", help="log each request")
    return parser.parse_args()


def port_number(text: str) -> int:
    """Read a port from the command line."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return int(text)


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_ports(options: argparse.Namespace) -> tuple[int, int]:
    """Return the two ports: as asked for, else as last time, else free ones near 8300.

    The provider knows the application by its address, so the ports are kept with the sessions.
    """
    file = options.folder / "ports.json"
    try:
        kept = json.loads(file.read_text()) if file.exists() else {}
    except ValueError:
        sys.exit(f"{file} is broken: delete it, and the demo chooses ports anew.")
    free = (port for port in range(8300, 9000) if is_free(port))
    application = options.port or kept.get("application") or next(free)
    provider = options.provider_port or kept.get("provider") or next(free)
    if application == provider:
        sys.exit("The application and its provider need a port each.")
    for port in (application, provider):
        if not is_free(port):
            sys.exit(
                f"Port {port} is in use: is the demo running already? If not, choose others:\n\n"
                "    ./run demo --folder .demo2 --port 9000 --provider-port 9001"
            )
    file.write_text(json.dumps({"application": application, "provider": provider}))
    return application, provider


# 2. Handlers ---------------------------------------------------------------------------------


class Home(clefstorm.UserMixin, tornado.web.RequestHandler):
    """The page. UserMixin has read the session: ``current_user`` is it, or None."""

    async def get(self) -> None:
        wave = None
        if self.current_user is None:
            wave = await clefstorm.wave_button(self, "clef")  # a login that begins in the page
        # "begin" is the bus's position when the server started: all it still holds is replayed.
        self.render(
            "home.html",
            user=self.current_user,
            wave=wave,
            provider=self.settings["provider"],
            begin=self.settings["begin"],
        )


class Bye(tornado.web.RequestHandler):
    """Where browsers go when their session has ended; it shows nobody's data."""

    def get(self) -> None:
        self.render("bye.html")


class SignOutEverywhere(clefstorm.UserMixin, tornado.web.RequestHandler):
    """End all sessions of the user: in the store first, then every open tab is told."""

    @clefstorm.authenticated
    async def post(self) -> None:
        user = self.current_user
        await self.settings["clefstorm"].revoke_user(user.iss, user.sub, reason="everywhere")
        self.redirect("/bye")


class Say(clefstorm.UserMixin, tornado.web.RequestHandler):
    """One line of chat: publish it under the key "chat", and every waiting browser has it."""

    @clefstorm.authenticated
    async def post(self) -> None:
        text = self.get_body_argument("text", "").strip()[:LONGEST_LINE]
        if text:
            line = {"who": self.current_user.name or self.current_user.sub, "text": text}
            await self.settings["clefstorm"].bus.publish("chat", line)
        self.set_status(204)


class Live(clefstorm.UserMixin, tornado.web.RequestHandler):
    """News for one open page, by long poll: the bus from a handler of one's own.

    The page says which notification it saw last. What the bus still holds since then comes at
    once, so nothing is missed between two polls; else the poll waits.
    """

    counts_as_activity = False  # a page that only waits does not keep its user signed in
    waiting: asyncio.Task[Any] | None = None

    async def get(self) -> None:
        keys = ["log", "chat"] if self.current_user else ["log"]
        bus = self.settings["clefstorm"].bus
        with bus.subscribe(keys, after=self.get_query_argument("after", None)) as news:
            self.waiting = asyncio.ensure_future(news.next(timeout=POLL_HOLD))
            found = []
            try:
                found.append(await self.waiting)
                while True:  # what has come by now goes into the same answer
                    found.append(await news.next(timeout=0))
            except clefstorm.BusTimeoutError:
                self.write({"news": [(n.key, n.message) for n in found], "after": news.position})
            except (asyncio.CancelledError, clefstorm.BusClosed):
                return  # the browser has left, or the server stops

    def on_connection_close(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()


# 3. Application ------------------------------------------------------------------------------

WORDS = {
    "login_started": "A browser sets out to the provider",
    "login_offered": "A page offers the wave button",
    "signed_in": "Signed in: state, id token and nonce are good",
    "login_refused": "A login was refused",
    "login_declined": "The provider knows nobody in this browser",
    "logout_received": "The provider sent a logout token, and it is good",
    "logout_repeated": "The same logout token came again: nothing to do",
    "logout_refused": "A logout token was refused",
    "signed_out": "A session ended; its tabs are told",
    "refreshed": "Tokens refreshed",
    "tab_opened": "A tab listens",
    "tab_closed": "A tab let go",
}


def tell_the_log(relying_party: clefstorm.RelyingParty) -> None:
    """Publish what happens in the relying party on the bus, for the live log of the page."""
    loop, running = asyncio.get_running_loop(), set()

    async def publish(entry: dict[str, Any]) -> None:
        with contextlib.suppress(clefstorm.BusClosed):  # the server stops
            await relying_party.bus.publish("log", entry)

    def listener(happening: Any) -> None:
        entry = {
            "at": time.strftime("%H:%M:%S", time.localtime(happening.at)),
            "event": happening.event,
            "words": WORDS.get(happening.event, happening.event.replace("_", " ")),
            "facts": dict(happening.facts),
        }
        task = loop.create_task(publish(entry))
        running.add(task)
        task.add_done_callback(running.discard)

    relying_party.listeners.append(listener)


def make_application(
    port: int, provider: Provider, folder: Path, *, verbose: bool
) -> tuple[tornado.web.Application, clefstorm.RelyingParty]:
    """Return the application: these lines are what an application of your own needs too."""
    here = f"http://127.0.0.1:{port}"
    provider.add_client(
        "demo",
        "a-secret-of-the-demo-that-never-leaves-this-machine",
        redirect_uris=[f"{here}/auth/callback"],
        post_logout_redirect_uris=[f"{here}/auth/logged-out"],
        backchannel_logout_uri=f"{here}/auth/backchannel-logout",
    )
    provider.add_client(
        "demo-clef",
        "another-secret-that-never-leaves-this-machine",
        redirect_uris=[f"{here}/auth/callback"],
        clef_logout_uri=f"{here}/auth/clef-logout",
    )
    clefstorm.configure(
        default={
            "issuer": provider.issuer,
            "client_id": "demo",
            "client_secret": "a-secret-of-the-demo-that-never-leaves-this-machine",
            "redirect_uri": f"{here}/auth/callback",
            "post_logout_redirect_uri": f"{here}/auth/logged-out",
        },
        clef={
            "provider": "clef",
            "api_url": provider.api_url,
            "client_id": "demo-clef",
            "client_secret": "another-secret-that-never-leaves-this-machine",
            "redirect_uri": f"{here}/auth/callback",
        },
    )
    relying_party = clefstorm.RelyingParty(path=folder)
    with relying_party.bus.subscribe(["log"]) as news:
        begin = news.position
    tell_the_log(relying_party)
    quiet: dict[str, Any] = {} if verbose else {"log_function": lambda handler: None}
    application = tornado.web.Application(
        [
            (r"/", Home),
            (r"/bye", Bye),
            (r"/everywhere", SignOutEverywhere),
            (r"/say", Say),
            (r"/live", Live),
            *clefstorm.login_routes(relying_party, "/auth"),
        ],
        clefstorm=relying_party,
        provider=provider.issuer,
        begin=begin,
        xsrf_cookies=True,
        xsrf_cookie_name=f"_xsrf_{port}",  # ports of one host share their cookies
        template_loader=tornado.template.DictLoader(PAGES),
        **quiet,
    )
    return application, relying_party


async def serve(options: argparse.Namespace) -> None:
    """Run both servers until they are stopped."""
    try:
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"The folder {options.folder} can't be used: {error.strerror}.")
    port, provider_port = choose_ports(options)
    provider = Provider(port=provider_port, path=options.folder / "provider")
    await provider.start()
    application, relying_party = make_application(
        port, provider, options.folder, verbose=options.verbose
    )
    server = tornado.httpserver.HTTPServer(application)
    server.listen(port, address="127.0.0.1")
    print(
        f"\n  The application:  http://127.0.0.1:{port}/\n"
        f"  Its provider:     {provider.issuer}/admin\n\n"
        "  Open the application in two browsers (a private window is one), sign in on both,\n"
        "  then sign the user out at the provider: both leave. Ctrl-C stops the demo.\n",
        flush=True,
    )
    try:
        await asyncio.Event().wait()
    finally:
        server.stop()
        await relying_party.close()
        await server.close_all_connections()
        await provider.stop()


def main() -> None:
    """Start the demo."""
    options = arguments()
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(message)s",
        datefmt="%H:%M:%S",
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options))


# 4. Page -------------------------------------------------------------------------------------

PAGES = {
    "frame.html": """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title %}clefstorm demo{% end %}</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6478; --paper: #f5f6fa;
  --card: #fff; --line: #dfe3ec; --key: #3747d6; --key-ink: #fff; --good: #14804a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf4; --soft: #9aa3b8;
  --paper: #12151d; --card: #1b202c; --line: #2e3546; --key: #8c98ff; --key-ink: #10131b;
  --good: #4fd08c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main { max-width: 64rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { display: flex; align-items: center; gap: .6rem; font-weight: 650; }
header svg { width: 1.5rem; height: 1.5rem; color: var(--key); }
header small { margin-left: auto; font-weight: 400; color: var(--soft); }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1rem; margin: 0 0 .75rem; }
p { margin: 0 0 1rem; } .soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .9rem;
  padding: 1.25rem; margin-bottom: 1rem; min-width: 0; }
.grid { display: grid; gap: 1rem; } @media (min-width: 48rem) {
  .grid { grid-template-columns: 1fr 1fr; } .wide { grid-column: 1 / -1; } }
.grid .card { margin: 0; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
.who { display: flex; gap: 1rem; align-items: center; margin-bottom: 1rem; }
.face { width: 3.2rem; height: 3.2rem; border-radius: 50%; background: var(--key); flex: none;
  color: var(--key-ink); display: grid; place-items: center; font-size: 1.4rem; font-weight: 650; }
.who div { min-width: 0; overflow-wrap: anywhere; } .who b { font-size: 1.2rem; }
button, .button { font: inherit; font-weight: 600; border: 1px solid var(--line);
  background: transparent; color: var(--ink); border-radius: .6rem; padding: .6rem 1rem;
  cursor: pointer; text-decoration: none; display: inline-block; }
button:hover, .button:hover { border-color: var(--key); }
button.key, .button.key { background: var(--key); color: var(--key-ink); border-color: var(--key); }
:focus-visible { outline: 3px solid var(--key); outline-offset: 2px; }
form { margin: 0; } form.say { display: flex; gap: .6rem; margin-top: .75rem; }
input { font: inherit; flex: 1; min-width: 0; padding: .6rem .8rem; border-radius: .6rem;
  border: 1px solid var(--line); background: var(--paper); color: var(--ink); }
ol { list-style: none; margin: 0; padding: 0; height: 13rem; overflow-y: auto;
  scrollbar-width: thin; }
#chat { height: 8rem; }
ol li { padding: .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
ol li:last-child { border: 0; } ol time, ol code { color: var(--soft); font-size: .85rem; }
ol.steps { list-style: decimal; height: auto; padding-left: 1.2rem; margin: 0 0 1.25rem; }
ol.steps li { border: 0; }
.dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--good);
  display: inline-block; }
</style>
</head>
<body>
<header>
<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.2"
  stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="8" cy="15" r="4.5"/>
  <path d="M11.5 11.5 20 3m-4 4 3 3m-6 0 2 2"/></svg>
clefstorm <small>demo</small>
</header>
<main>{% block main %}{% end %}</main>
</body>
</html>
""",
    "bye.html": """{% extends "frame.html" %}
{% block title %}Signed out · clefstorm demo{% end %}
{% block main %}
<section class="card">
<h1>You are signed out</h1>
<p class="soft">The session has ended, here and in every other tab that was open on it. The provider
may still know you: then signing in again takes one tap and no question.</p>
<a class="button key" href="/">Back to the start</a>
</section>
{% end %}
""",
    "home.html": """{% extends "frame.html" %}
{% block main %}
{% if user %}
<!-- This line is what makes a tab leave when its session ends. -->
<script src="/auth/clefstorm.js" data-signed-out="/bye" async></script>
<div class="grid">
<section class="card">
<div class="who">
<span class="face" aria-hidden="true">{{ (user.name or user.sub)[:1].upper() }}</span>
<div><b>{{ user.name or user.sub }}</b><br><span class="soft">{{ user.email or "" }}</span></div>
</div>
<p class="soft"><span class="dot"></span> Signed in through <b>{{ user.iss }}</b></p>
<div class="row">
<form method="post" action="/auth/logout">{% module xsrf_form_html() %}
<input type="hidden" name="next" value="/bye"><button>Sign out here</button></form>
<form method="post" action="/everywhere">{% module xsrf_form_html() %}
<button>Sign out everywhere</button></form>
<a class="button" href="{{ provider }}/admin" target="_blank" rel="noopener">To the provider,
to sign out there</a>
</div>
</section>
<section class="card">
<h2>Chat, over the bus</h2>
<ol id="chat" aria-live="polite"></ol>
<form class="say" id="say" autocomplete="off">{% module xsrf_form_html() %}
<input name="text" maxlength="300" placeholder="Say something" aria-label="Say something" required>
<button class="key">Send</button></form>
</section>
{% else %}
<section class="card">
<h1>Sign in on two screens.<br>Sign out once.</h1>
<ol class="steps">
<li>Sign in here, and again in a second browser or a private window.</li>
<li>At the provider, sign the user out.</li>
<li>Both screens leave by themselves.</li>
</ol>
<div class="row">
<a class="button key" href="/auth/login?next=/">Sign in</a>
<!-- The same people by another protocol: Clef's button is drawn by the provider's script. -->
<span>{% raw wave %}</span>
</div>
</section>
<div class="grid">
{% end %}
<section class="card wide">
<h2>What happens, live</h2>
<ol id="log" aria-live="polite"><li class="soft">Nothing yet.</li></ol>
</section>
</div>
<script>
"use strict";
const lists = { log: document.getElementById("log"), chat: document.getElementById("chat") };
function show([key, message]) {
  const list = lists[key], item = document.createElement("li");
  if (!list) return;
  if (key === "log") {
    list.querySelector(".soft")?.remove();
    const time = document.createElement("time"), facts = document.createElement("code");
    time.textContent = message.at;
    facts.textContent = Object.entries(message.facts).map(([k, v]) => k + "=" + v).join(" ");
    item.append(time, " " + message.words + " ", facts);
  } else {
    const who = document.createElement("b");
    who.textContent = message.who;
    item.append(who, " " + message.text);
  }
  list.append(item);
  list.scrollTop = item.offsetTop - list.offsetTop;  // of a long line its beginning
}
async function listen() {
  // One poll for each visible page: a browser opens only six connections to one address.
  let after = "{{ begin }}", wait = 500, leaving;
  const visible = () => new Promise((go) => {
    if (!document.hidden) return go();
    document.addEventListener("visibilitychange", go, { once: true });
  });
  document.addEventListener("visibilitychange", () => document.hidden && leaving?.abort());
  for (;;) {
    await visible();
    leaving = new AbortController();
    try {
      const url = "/live?after=" + encodeURIComponent(after);
      const answer = await fetch(url, { signal: leaving.signal });
      if (answer.status === 200) {
        const { news, after: position } = await answer.json();
        after = position;
        news.forEach(show);
      } else throw new Error(answer.status);
      wait = 500;
    } catch (error) {
      if (error.name === "AbortError") continue;
      await new Promise((go) => setTimeout(go, wait * (0.5 + Math.random())));
      wait = Math.min(wait * 2, 10000);
    }
  }
}
listen();
const say = document.getElementById("say");
say?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(say));
  say.text.value = "";
  await fetch("/say", { method: "POST", body });
});
</script>
{% end %}
""",
}

if __name__ == "__main__":
    main()
