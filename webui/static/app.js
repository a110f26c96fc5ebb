// The page's own script. Pages are plain HTML; htmx fetches and shows what their links and forms lead to.
// This adds what it cannot know of: the second half of the session, secrets, the keyboard, other tabs.

const TOKEN = "X-Kinring-Token";
const BACKGROUND = "X-Kinring-Background";
const HIDE_AFTER = 30_000;
const GONE = "The page does not answer. Is Kinring still running?";
const others = new BroadcastChannel("kinring"); // other tabs of this origin, port included
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => root.querySelectorAll(selector);

// The one way from text to HTML, for whatever script: only the answer that is being shown right now.
// In it, values are escaped already. Nothing makes a script from text.
let answer;
globalThis.trustedTypes?.createPolicy("default", { createHTML: (text) => (text === answer ? text : null) });

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

let leaving = false;
function leave(next) { // coming back, a person wants to go on there
  if (leaving) return; // each tab tells the others once, or they would call each other again and again
  leaving = true;
  if (next) sessionStorage.setItem("next", next);
  sessionStorage.removeItem(TOKEN);
  others.postMessage({ locked: true });
  location.replace("/unlock");
}

const heard = (token) => token && sessionStorage.setItem(TOKEN, token); // a fresh second half, or null

const halves = (background) => ({ ...(token() && { [TOKEN]: token() }), ...(background && { [BACKGROUND]: "1" }) });

async function request(url, { body, background } = {}) { // for what is no page
  const response = await fetch(url, { method: body ? "POST" : "GET", body, headers: halves(background), cache: "no-store" });
  heard(response.headers.get(TOKEN));
  if (response.status === 401) {
    leave(location.pathname);
    return new Promise(() => {}); // the page is going away
  }
  return response;
}

// What htmx asks for and shows. `data-fresh` marks what asks again by itself for the part that it names.
const isFresh = (element) => "fresh" in element.dataset;
const isPart = (element) => element.matches("[hx-select]:not(#page)");
let shown; // that part, as the server gave it last
let coming, missed; // a whole page that was asked for: no part is replaced meanwhile, for what asked may stand in it

const partOf = (page) => $($("[data-fresh]", page)?.getAttribute("hx-target") ?? "none", page)?.outerHTML;

function on(name, act) {
  document.addEventListener(`htmx:${name}`, (event) => act(event.detail, event));
}

on("confirm", async ({ elt, issueRequest }, event) => { // a frame without a token: another tab may have it
  if (!("frame" in elt.dataset) || token()) return;
  event.preventDefault();
  heard(await askOthers());
  token() ? issueRequest(true) : location.replace("/unlock");
});

on("configRequest", (detail, event) => {
  const { elt, verb, formData, headers } = detail;
  Object.assign(headers, halves(isFresh(elt)));
  if (elt.id === "here" && !$("#page").dataset.signed) event.preventDefault(); // nobody's session to keep
  if ("frame" in elt.dataset && detail.path === "/") { // just unlocked
    detail.path = sessionStorage.getItem("next") ?? "/";
    sessionStorage.removeItem("next");
  }
  if (!elt.matches("form")) return;
  if (verb === "get") for (const [name, value] of [...formData]) value || formData.delete(name);
  if ("partial" in elt.dataset) leaveUntouched(elt, formData);
});

function leaveUntouched(form, data) { // what was not touched is not sent: it may have changed meanwhile
  for (const input of form.elements) {
    if (!input.name || input.name.startsWith("custom-")) continue;
    const box = input.type === "checkbox";
    const same = box ? input.checked === input.defaultChecked
      : input.selectedOptions ? input.selectedOptions[0].defaultSelected : input.value === input.defaultValue;
    if (same) data.delete(input.name);
    else if (box) data.set(input.name, input.checked ? "yes" : "no");
  }
}

function waiting(form, yes) {
  if (form.method === "post") for (const button of $$("button", form)) button.disabled = yes;
}

on("beforeRequest", (detail) => {
  const { xhr, requestConfig: { elt } } = detail;
  if (!isPart(elt) && elt.id !== "here") coming = xhr;
  for (const alert of $$("[role=alert]", elt)) alert.hidden = true;
  waiting(elt, true);
  xhr.addEventListener("readystatechange", () => { // another answer may have replaced its place meanwhile
    if (xhr.readyState === 4 && !detail.target.isConnected) {
      detail.target = document.getElementById(detail.target.id) ?? $("#page");
    }
  });
});
on("afterRequest", ({ xhr, requestConfig: { elt } }) => {
  answer = undefined;
  waiting(elt, false);
  if (coming !== xhr) return;
  if (missed) changed();
  coming = missed = false;
});
on("sendError", ({ requestConfig: { elt } }) => isFresh(elt) || tell(GONE));

on("beforeSwap", (detail) => {
  const { xhr, target, pathInfo, requestConfig: { elt, path, verb } } = detail;
  const skip = (reason) => { detail.shouldSwap = !reason; return reason; };
  heard(xhr.getResponseHeader(TOKEN));
  if (xhr.status === 204) return;
  if (skip(xhr.status === 401)) return leave(location.pathname);
  if (skip(pathInfo.responsePath === "/unlock" && path !== "/unlock")) return leave();
  answer = detail.serverResponse;
  const page = new DOMParser().parseFromString(answer, "text/html");
  const alert = $("[role=alert]", elt);
  if (skip(xhr.status >= 400 && verb === "post" && alert)) {
    alert.textContent = [...$$(".told", page)].map((line) => line.textContent).join(" ");
    alert.hidden = false;
    return $("input[type=password]", elt)?.select();
  }
  const part = partOf(page);
  if (skip(isPart(elt) && (coming || !elt.isConnected))) { // to be asked again, where it is still wanted
    return coming ? (missed = true) : isFresh(elt) && changed();
  }
  if (isFresh(elt)) {
    const typing = target.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
    if (skip(new URL(path, location).href !== location.href)) return changed(); // the answer to an older question
    if (skip(xhr.status !== 200 || typing || !part || part === shown)) return;
  }
  shown = part;
});

on("beforeHistoryUpdate", ({ history: update, requestConfig: { verb, path }, pathInfo: { responsePath } }) => {
  const url = new URL(verb === "post" && responsePath === path ? location : update.path, location);
  url.searchParams.delete("said");
  update.path = url.pathname + url.search;
  if (url.href === location.href) update.type = "replace";
});

on("afterSettle", (_, { target }) => {
  if (target.id !== "page") return;
  ($("[autofocus]") ?? $("#main")).focus({ preventScroll: true });
  if (target.dataset.signed) listen();
  for (const message of $$("[data-said]")) tell(message.dataset.said);
});

const changed = () => document.body.dispatchEvent(new Event("changed"));

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
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const act = button && Object.keys(acts).find((name) => name.replace(/-./, (m) => m[1].toUpperCase()) in button.dataset);
  if (!act) return;
  event.preventDefault();
  Promise.resolve(acts[act](button)).catch(() => tell("That did not work. Load the page again."));
});
addEventListener("click", (event) => { // a new window is the browser's to open
  if (event.shiftKey && event.target.closest("a[href]")) event.stopPropagation();
}, true);

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const found = $({ "/": "#search", n: "#new-item", e: "#edit-item" }[event.key] ?? "none");
  if (!found) return;
  event.preventDefault();
  found.select ? found.select() : found.click();
});

addEventListener("focus", emptyClipboard);
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
        if (part.value.includes("changed")) changed();
      }
    } catch { pause = 1000; }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  leave(); // another tab locked, and took the token along
}
