// Fetches the page again while somebody looks at it, and puts in anew the parts that say so. Without it all works.
"use strict";

const beat = document.querySelector("[data-live]");

function isBusy(part) {
  return part.contains(document.activeElement) || !window.getSelection().isCollapsed;
}

async function renew() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "error" });
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-replace], #as-of")) {
    const other = fresh.getElementById(part.id);
    if (other && !isBusy(part) && other.innerHTML !== part.innerHTML) part.innerHTML = other.innerHTML;
  }
}

async function follow(seconds) {
  for (let wait = seconds; ; ) {
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    try {
      await renew();
      document.body.classList.remove("is-stale");
      wait = seconds;
    } catch {
      document.body.classList.add("is-stale");
      wait = Math.min(60, wait * 2);
    }
  }
}

if (beat) follow(Number(beat.dataset.live));
