// The wave button: each script element of the class clef-button gets a link where it stands.
// Looks are set through the object model, which a strict Content-Security-Policy allows.
(() => {
  "use strict";
  const words = {
    login: "Log in with a wave",
    register: "Register with a wave",
    connect: "Connect with a wave",
  };
  const colors = { blue: ["#0e6fc5", "#fff"], white: ["#fff", "#0e4f8a"] };
  const isSet = (value) => value !== undefined && value !== "false";

  function draw(script) {
    const { appId, redirectUrl, type = "login", color, style, custom, embed } = script.dataset;
    const target = new URL("/clef/wave", script.src);
    target.searchParams.set("app_id", appId || "");
    target.searchParams.set("redirect_url", redirectUrl || "");
    target.searchParams.set("type", type);
    const link = document.createElement("a");
    link.className = "clef-wave";
    link.href = target.href;
    link.textContent = words[type] || words.login;
    // A custom wave is left to the page's own style sheet, by its class.
    if (!isSet(custom)) {
      const [back, ink] = colors[color] || colors.blue;
      link.style.cssText =
        "box-sizing:border-box;padding:.65rem 1.1rem;font:600 1rem/1.4 system-ui,sans-serif;" +
        "text-decoration:none;text-align:center";
      link.style.background = back;
      link.style.color = ink;
      link.style.border = "1px solid " + (color === "white" ? "#9db4cc" : back);
      link.style.borderRadius = style === "flat" ? "0" : ".6rem";
      link.style.boxShadow = style === "flat" ? "none" : "0 1px 3px #0004";
    }
    // An embedded one fills the place it is put in; it opens as a page, never in a frame.
    link.style.display = isSet(embed) ? "block" : "inline-block";
    script.insertAdjacentElement("afterend", link);
    script.dataset.drawn = "true";
  }

  document.querySelectorAll("script.clef-button:not([data-drawn])").forEach(draw);
})();
