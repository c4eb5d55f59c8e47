/*! clefstorm.js: leaves the page when its user is signed out. Apache-2.0 */
/*
 *   <script src="/auth/clefstorm.js" data-signed-out="/bye" async></script>
 *
 * on pages for signed-in users, and on no others. Its endpoints lie beside its own address. A
 * Content-Security-Policy has to allow 'self' for script-src and connect-src, and nothing more.
 *
 * One tab of a browser, the leader, holds the connection (Web Locks), because HTTP/1.1 gives six
 * to a site. The others hear of a logout through a BroadcastChannel, and replace a leader that
 * does not answer. Without Web Locks (plain http) each tab holds its own.
 *
 * At the end the document gets an event "clefstorm:logout" with detail.reason. Whoever calls its
 * preventDefault() stays on the page, and calls detail.leave() when ready to go.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  const base = new URL(".", script.src).href;
  const farewell = new URL(script.dataset.signedOut || base + "logged-out", location).href;
  const name = "clefstorm " + base;
  const style = document.documentElement.style;

  let here = false; // shown, and not on its way into the back/forward cache
  let gone = false; // the farewell was said
  let user; // the tag of the user whose page this is, once known
  let failures = 0; // in a row

  // -- the farewell ----------------------------------------------------------------------------

  let sent = -1e9; // when a form was last sent from here

  // A form on its way may be the logout itself, which leads on to the provider's: to go elsewhere
  // meanwhile would cut it off. So it gets some time to take the page away.
  const go = () => {
    style.visibility = "hidden";
    setTimeout(() => location.replace(farewell), sent + 15000 - performance.now());
  };

  const leave = (reason) => {
    if (gone) return;
    gone = true;
    letGo();
    const event = new CustomEvent("clefstorm:logout", {
      cancelable: true,
      detail: { reason, leave: go },
    });
    if (!document.dispatchEvent(event)) return;
    // A farewell page that has this script by mistake must not load itself for ever.
    if (farewell !== location.href || !noted("1")) go();
  };

  // Notes in this tab that it said goodbye, or with "" that it did not; returns the note before.
  const noted = (left) => {
    try {
      const before = sessionStorage.getItem(name);
      sessionStorage.setItem(name, left);
      return before;
    } catch {
      return ""; // no storage here, no note
    }
  };

  // A new login of the same user, in another tab, is no reason to go.
  const ended = (reason) => {
    disconnect();
    if (reason === "replaced") look(reason);
    else leave(reason);
  };

  // False when the browser belongs to somebody else by now: then the page has to go.
  const isOurs = (tag) => {
    user = user || tag;
    if (user !== tag) leave("replaced");
    return user === tag;
  };

  // -- who am I? The first look, and one whenever the page may have missed something -----------

  let lookTimer;

  const get = (what, signal) =>
    fetch(base + what, { cache: "no-store", credentials: "same-origin", signal }).then((answer) => {
      if (!answer.ok) throw new Error(answer.status);
      return answer.json();
    });

  const look = (reason, again) => {
    clearTimeout(lookTimer);
    get("me").then(
      (me) => {
        if (!here) return;
        // The new login's cookie may still be on its way to this browser.
        if (!me.signed_in && reason === "replaced" && !again)
          lookTimer = setTimeout(look, 2000, reason, true);
        else if (!me.signed_in) leave(reason || "signed_out");
        else if (isOurs(me.user)) {
          noted("");
          style.visibility = "";
          if (leading && !connection) connect();
        }
      },
      () => {
        if (here) lookTimer = setTimeout(look, pause(), reason, again);
      },
    );
  };

  // -- the connection ----------------------------------------------------------------------------

  let connection; // what ends it: a function
  let connectTimer, helloTimer;
  let byPoll = !window.EventSource;
  let streamed = false; // a stream has worked on this page, so nothing on the way swallows them

  // Milliseconds: doubling up to half a minute, and never the same in two browsers.
  const pause = () => jitter(Math.min(30000, 1000 * 2 ** failures++));
  const jitter = (mean) => mean * (0.5 + Math.random());

  const disconnect = () => {
    clearTimeout(connectTimer);
    clearTimeout(helloTimer);
    if (connection) connection();
    connection = null;
  };

  const connect = () => {
    disconnect();
    if (byPoll) poll();
    else stream();
  };

  const connectIn = (milliseconds) => {
    disconnect();
    connectTimer = setTimeout(connect, milliseconds);
  };

  const stream = () => {
    const source = new EventSource(base + "events");
    const on = (type, act) =>
      source.addEventListener(type, (event) => act(JSON.parse(event.data)));
    const lost = () => {
      byPoll = !streamed;
      connectIn(pause());
    };
    connection = () => source.close();
    helloTimer = setTimeout(lost, 10000);
    source.onerror = lost;
    on("hello", (data) => {
      clearTimeout(helloTimer);
      streamed = true;
      failures = 0;
      isOurs(data.user);
    });
    on("logout", (data) => tell(data.reason));
    on("retry", (data) => connectIn(jitter(data.after)));
  };

  const poll = () => {
    const controller = new AbortController();
    const signal = controller.signal;
    connection = () => controller.abort();
    get("poll", signal).then(
      (answer) => {
        if (signal.aborted) return;
        failures = 0;
        if (answer.state === "signed_out") return tell(answer.reason);
        if (isOurs(answer.user)) connect();
      },
      () => {
        if (signal.aborted) return;
        byPoll = !window.EventSource;
        connectIn(pause());
      },
    );
  };

  const tell = (reason) => {
    post({ ended: reason });
    ended(reason);
  };

  // -- one tab for all of a browser --------------------------------------------------------------

  let leading; // what gives the lead up: a function
  let request; // AbortController of our place in the queue for it
  let channel, pingTimer, pongTimer;

  const post = (message) => {
    if (channel) channel.postMessage(message);
  };

  const hear = ({ data }) => {
    if (data.ended) ended(data.ended);
    if (data.pong) clearTimeout(pongTimer);
    if (data.ping && leading) {
      post({ pong: true });
      if (!connection) connect(); // the timers of a hidden leader run late
    }
  };

  const lead = (steal) => {
    if (request) request.abort();
    const mine = (request = new AbortController());
    navigator.locks
      .request(name, steal ? { steal } : { signal: mine.signal }, () => {
        if (request !== mine) return;
        clearTimeout(pongTimer);
        connect();
        return new Promise((resolve) => (leading = resolve));
      })
      .catch(() => {
        if (request !== mine) return; // we left the queue ourselves
        leading = null; // taken from us, because we did not answer
        disconnect();
        lead();
      });
  };

  // Only a tab that is looked at asks.
  const ping = () => {
    if (leading || document.hidden) return;
    clearTimeout(pongTimer);
    pongTimer = setTimeout(lead, 3000, true);
    post({ ping: true });
  };

  // -- coming and going ----------------------------------------------------------------------------

  const start = () => {
    if (here || gone) return;
    here = true;
    if (navigator.locks && window.BroadcastChannel) {
      channel = new BroadcastChannel(name);
      channel.onmessage = hear;
      pingTimer = setInterval(ping, 10000);
      lead();
    } else {
      leading = () => {};
    }
    look();
  };

  const letGo = () => {
    here = false;
    disconnect();
    clearTimeout(lookTimer);
    clearInterval(pingTimer);
    clearTimeout(pongTimer);
    const queued = request;
    request = null;
    if (queued) queued.abort();
    if (leading) leading();
    leading = null;
    if (channel) channel.close();
    channel = null;
  };

  const lookAgain = () => {
    if (!here || document.hidden) return;
    look();
    if (channel) ping();
  };

  // Last of all, so that a script that sends the form by itself has said so.
  addEventListener("submit", (event) => {
    if (!event.defaultPrevented) sent = performance.now();
  });
  addEventListener("pagehide", () => {
    style.visibility = "hidden"; // if Back brings this page again, then hidden until the look
    letGo();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) (gone ? go : start)();
  });
  document.addEventListener("freeze", letGo);
  document.addEventListener("resume", start);
  document.addEventListener("visibilitychange", lookAgain);
  addEventListener("online", lookAgain);
  start();
})();
