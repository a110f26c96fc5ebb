// The page's own script. Pages are plain HTML, links and forms; this adds what plain HTML cannot:
// the second half of the session, showing and copying secrets, searching as one types, and freshness.

const TOKEN = "X-Kinring-Token";
const BACKGROUND = "X-Kinring-Background";
const HIDE_AFTER = 30_000;
const GONE = "The page does not answer. Is Kinring still running?";
// The one way from text to HTML, for the server's answers alone: there, values are escaped already.
const asHtml = (text) => text;
const policy = globalThis.trustedTypes?.createPolicy("kinring", { createHTML: asHtml }) ?? { createHTML: asHtml };
const others = new BroadcastChannel("kinring"); // other tabs of this origin, port included
const known = new Map(); // the parts of the page that refresh, as the server gave them
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => root.querySelectorAll(selector);

// The session's second half

const token = () => sessionStorage.getItem(TOKEN);

others.onmessage = ({ data }) => {
  if (data.ask && token()) others.postMessage({ token: token() });
  if (data.locked && $("#page").dataset.signed) leave();
};

function askOthers() {
  return new Promise((resolve) => {
    const hear = ({ data }) => data.token && resolve(data.token);
    others.addEventListener("message", hear);
    others.postMessage({ ask: true });
    setTimeout(() => { others.removeEventListener("message", hear); resolve(null); }, 200);
  });
}

function leave() {
  sessionStorage.removeItem(TOKEN);
  others.postMessage({ locked: true });
  location.replace("/unlock");
}

async function request(url, { body, background } = {}) {
  const headers = { ...(token() && { [TOKEN]: token() }), ...(background && { [BACKGROUND]: "1" }) };
  if (!background) lastTouch = Date.now();
  const response = await fetch(url, { method: body ? "POST" : "GET", body, headers, cache: "no-store" });
  const fresh = response.headers.get(TOKEN);
  if (fresh) sessionStorage.setItem(TOKEN, fresh);
  if (response.status === 401) {
    sessionStorage.setItem("next", location.pathname);
    leave();
    return new Promise(() => {}); // the page is going away
  }
  return response;
}

// Showing pages

const parse = (text) => new DOMParser().parseFromString(policy.createHTML(text), "text/html");

function remember() {
  known.clear();
  for (const part of $$("[data-refresh]")) known.set(part.id, part.outerHTML);
  ($("[autofocus]") ?? $("#main")).focus({ preventScroll: true });
  if ($("#page").dataset.signed) listen();
  keepAsking();
}

let poll;
function keepAsking() { // where the server waits for another device
  clearTimeout(poll);
  if ($("[data-poll]")) poll = setTimeout(refresh, 1000);
}

async function show(response, { push = true, keep = false } = {}) {
  const page = parse(await response.text());
  const next = $("#page", page);
  if (response.redirected && new URL(response.url).pathname === "/unlock") return leave();
  if ("frame" in next.dataset) {
    const wanted = next.dataset.frame || sessionStorage.getItem("next") || "/";
    sessionStorage.removeItem("next");
    return visit(wanted, { replace: true });
  }
  document.title = page.title;
  $("#page").replaceWith(document.adoptNode(next));
  const url = new URL(response.url);
  url.searchParams.delete("said");
  if (url.href !== location.href && !keep) history[push ? "pushState" : "replaceState"](null, "", url);
  scrollTo(0, 0);
  remember();
  const message = $("[data-said]");
  if (message) tell(message.dataset.said);
}

async function visit(url, { push = true, replace = false } = {}) {
  document.documentElement.classList.add("busy");
  try {
    await show(await request(url), { push: push && !replace });
  } catch { tell(GONE); } finally {
    document.documentElement.classList.remove("busy");
  }
}

// Bring the parts that refresh up to date, unless somebody is typing there.
async function refresh({ background = true } = {}) {
  const url = location.href;
  const response = await request(url, { background });
  if (!response.ok || url !== location.href) return; // or an answer to an older question
  const page = parse(await response.text());
  for (const id of known.keys()) {
    const fresh = page.getElementById(id);
    const old = document.getElementById(id);
    if (!fresh || !old || known.get(id) === fresh.outerHTML) continue;
    if (old.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) continue;
    known.set(id, fresh.outerHTML);
    old.replaceWith(document.adoptNode(fresh));
  }
  keepAsking();
}

// Forms

function filled(form, submitter) {
  const data = new FormData(form, submitter);
  if (!("partial" in form.dataset)) return data;
  for (const input of form.elements) { // what was not touched is not sent: it may have changed meanwhile
    if (!input.name || input.name.startsWith("custom-")) continue;
    const box = input.type === "checkbox";
    const same = box ? input.checked === input.defaultChecked
      : input.selectedOptions ? input.selectedOptions[0].defaultSelected : input.value === input.defaultValue;
    if (same) data.delete(input.name);
    else if (box) data.set(input.name, input.checked ? "yes" : "no");
  }
  return data;
}

async function submit(form, submitter) {
  const alert = $("[role=alert]", form);
  if (alert) alert.hidden = true;
  const data = filled(form, submitter); // before its button is disabled
  for (const button of $$("button", form)) button.disabled = true;
  try {
    const response = await request(form.action, { body: data });
    if (response.ok || !alert) return await show(response, { keep: !response.redirected });
    const page = parse(await response.text());
    alert.textContent = [...$$(".told", page)].map((line) => line.textContent).join(" ");
    alert.hidden = false;
    $("input[type=password]", form)?.select();
  } catch { tell(GONE); } finally {
    for (const button of $$("button", form)) button.disabled = false;
  }
}

let typing;
async function search(form) {
  const url = new URL(form.action);
  for (const [name, value] of new FormData(form)) if (value) url.searchParams.set(name, value);
  history.replaceState(null, "", url);
  await refresh({ background: false });
}

// Secrets: fetched when asked for, never part of a page
async function secret(button) {
  const { url, field, dot = "" } = button.closest("[data-url]").dataset;
  const body = new FormData();
  body.set("field", field);
  body.set("dot", dot);
  const response = await request(url, { body });
  if (!response.ok) throw new Error("refused");
  return (await response.json()).value;
}

async function reveal(button) {
  const place = $("output", button.closest("[data-url]"));
  const hide = () => { place.textContent = "••••••••"; place.classList.remove("open"); button.textContent = "Show"; };
  if (place.classList.contains("open")) return hide();
  place.textContent = await secret(button);
  place.classList.add("open");
  button.textContent = "Hide";
  setTimeout(() => place.isConnected && hide(), HIDE_AFTER);
}
let emptyAt = 0;
async function copy(text, what) {
  await navigator.clipboard.writeText(text);
  tell(what);
  emptyAt = Date.now() + HIDE_AFTER;
  setTimeout(emptyClipboard, HIDE_AFTER + 50);
}

async function emptyClipboard() { // a browser lets only the page in front write: else when it is so again
  if (!emptyAt || Date.now() < emptyAt || !document.hasFocus()) return;
  emptyAt = 0;
  await navigator.clipboard.writeText("").catch(() => {});
}

async function load(button) { // a secret into its input, to be changed
  const input = $("input, textarea", button.closest("[data-url]"));
  input.defaultValue = await secret(button);
  Object.assign(input, { value: input.defaultValue, disabled: false, placeholder: "" });
  button.hidden = true;
  input.focus();
}

function generate(button) {
  const letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-_.!+";
  const input = $("input", button.closest(".field"));
  const limit = 256 - (256 % letters.length); // above it some letters would come more often
  let text = "";
  for (let byte; text.length < 20; ) {
    if (([byte] = crypto.getRandomValues(new Uint8Array(1))) && byte < limit) text += letters[byte % letters.length];
  }
  Object.assign(input, { value: text, type: "text", disabled: false });
}
let toast;
function tell(text) {
  $("#toast").textContent = text;
  clearTimeout(toast);
  toast = setTimeout(() => { $("#toast").textContent = ""; }, 5000);
}

const acts = {
  reveal, load, generate,
  copy: async (button) => copy(await secret(button), "Copied. The clipboard is emptied in 30 seconds."),
  "copy-text": (button) => copy(button.dataset.copyText, "Copied."),
  print: () => print(),
  more: (button) => button.before(document.importNode($(`#${button.dataset.more}`).content, true)),
};

// Events
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  const act = button && Object.keys(acts).find((name) => name.replace(/-./, (m) => m[1].toUpperCase()) in button.dataset);
  if (act) {
    event.preventDefault();
    return Promise.resolve(acts[act](button)).catch(() => tell("That did not work. Load the page again."));
  }
  const link = event.target.closest("a[href]");
  if (!link || link.target || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.origin !== location.origin || link.hash) return;
  event.preventDefault();
  await visit(link.href);
});

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  await (form.method === "post" ? submit(form, event.submitter) : search(form));
});

document.addEventListener("input", ({ target }) => {
  const form = target.closest("form[data-live]");
  clearTimeout(typing);
  if (form) typing = setTimeout(() => search(form), target.tagName === "SELECT" ? 0 : 120);
});

document.addEventListener("keydown", (event) => {
  touch();
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = { "/": "#search", n: "#new-item", e: "#edit-item" }[event.key];
  const found = target && $(target);
  if (!found) return;
  event.preventDefault();
  found.select ? found.select() : found.click();
});

let lastTouch = Date.now();
async function touch() { // somebody is here, though nothing was asked for: typing puts off locking
  if (!token() || Date.now() - lastTouch < 60_000) return;
  lastTouch = Date.now();
  await request("/here", { body: new FormData() }).catch(() => {});
}
document.addEventListener("pointerdown", touch);
addEventListener("focus", emptyClipboard);
addEventListener("popstate", () => visit(location.href, { push: false }));
addEventListener("pageshow", (event) => event.persisted && location.reload()); // nothing comes back from a cache

// Hearing of changes
let listening = false;
async function listen() {
  if (listening) return;
  listening = true;
  for (let pause = 1000; token(); ) {
    try {
      const response = await request("/live", { background: true });
      pause = response.ok ? 1000 : 30_000;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (part.value.includes("changed")) await refresh();
      }
    } catch { pause = 1000; }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  leave(); // another tab locked, and took the token along
}

if ("frame" in $("#page").dataset) {
  if (!token()) {
    const given = await askOthers();
    if (given) sessionStorage.setItem(TOKEN, given);
  }
  token() ? await visit(location.href, { push: false }) : location.replace("/unlock");
} else remember();
