// Keeps the page up to date: fetches it again, and changes what differs. Without JavaScript the page works as well.
"use strict";
(() => {
  const button = document.getElementById("live");
  const words = document.getElementById("live-words");
  let halted = sessionStorage.getItem("halted") === "1";
  let timer = 0;
  let seen = "";

  const seconds = () => Number(document.getElementById("page").dataset.live || 0);

  const show = () => {
    button.hidden = !seconds();
    button.setAttribute("aria-pressed", String(!halted));
    words.textContent = halted ? "Halted" : "Live";
  };

  // What the visitor is using stays as it is: an open part, a field with text in it.
  const keep = (old, fresh) => {
    if (old.tagName === "DETAILS" && old.open) fresh.setAttribute("open", "");
    if (old.tagName === "INPUT" || old.tagName === "SELECT" || old.tagName === "TEXTAREA") return old.type === "hidden";
    return !old.dataset.inlined;
  };

  const look = async () => {
    clearTimeout(timer);
    if (!halted && seconds() && !document.hidden) {
      try {
        const answer = await fetch(location.href, {cache: "no-cache", redirect: "error"});
        const text = await answer.text();
        if (text !== seen) {
          const page = new DOMParser().parseFromString(text, "text/html").getElementById("page");
          if (page) Idiomorph.morph(document.getElementById("page"), page, {callbacks: {beforeNodeMorphed: (old, fresh) => old.nodeType !== 1 || keep(old, fresh)}, restoreFocus: true});
          seen = text;
        }
        button.classList.remove("away");
      } catch {
        button.classList.add("away");
      }
      show();
    }
    timer = setTimeout(look, Math.max(seconds(), 1) * 1000);
  };

  button.addEventListener("click", () => {
    halted = !halted;
    sessionStorage.setItem("halted", halted ? "1" : "0");
    show();
    if (!halted) look();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

  // A link to a text file opens below itself.
  document.addEventListener("click", async event => {
    const link = event.target.closest("a[data-inline]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const holder = link.parentElement;
    if (holder.dataset.inlined) { holder.querySelector("pre").remove(); delete holder.dataset.inlined; return; }
    const answer = await fetch(link.href);
    const pre = document.createElement("pre");
    pre.tabIndex = 0;
    const text = await answer.text();
    try { pre.textContent = JSON.stringify(JSON.parse(text), null, 2); } catch { pre.textContent = text; }
    holder.append(pre);
    holder.dataset.inlined = "1";
  });

  show();
  timer = setTimeout(look, Math.max(seconds(), 1) * 1000);
})();
