// The plain console: signs a person in and out, and shows the sessions. Every text of the server is set
// with textContent, so it never becomes markup.
"use strict";

const at = (id) => document.getElementById(id);
const FRAGMENT = "#signin=";
const VIA = { link: "Sign-in link", token: "Token", oidc: "Organisation" };

let cursor = null;

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, "Rollbook cannot be reached. Is it running?");
  }
  const text = await answer.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(answer.status, `The answer cannot be read (${answer.status}).`);
  }
  if (!answer.ok) {
    throw new Refused(answer.status, content?.detail ?? `The request was refused (${answer.status}).`);
  }
  return content;
}

function say(text) {
  at("status").textContent = text;
}

function fail(error) {
  say("");
  at("error").textContent = error.message;
  at("error").hidden = false;
  at("error").focus();
}

// Runs one action of a button or form, which cannot be sent a second time meanwhile.
async function once(button, action) {
  button.disabled = true;
  at("error").hidden = true;
  try {
    await action();
  } catch (error) {
    fail(error);
  } finally {
    button.disabled = false;
  }
}

function moment(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function show(section, focus) {
  at("signed-in").hidden = section !== "signed-in";
  at("signed-out").hidden = section !== "signed-out";
  if (focus) {
    at(section === "signed-in" ? "you-title" : "sign-in-title").focus();
  }
}

async function showSignedOut(focus) {
  const methods = await call("GET", "/auth/methods");
  at("provider").hidden = !methods.oidc;
  at("sessions").replaceChildren();
  show("signed-out", focus);
}

async function showSignedIn(me, focus) {
  at("name").textContent = me.name ?? "–";
  at("actor").textContent = me.actor;
  const permissions = me.permissions.join(", ") || "none";
  at("permissions").textContent = me.preset ? `${me.preset} (${permissions})` : permissions;
  at("until").textContent = moment(me.expires_at);
  at("until").dateTime = me.expires_at;
  show("signed-in", focus);
  cursor = null;
  await addSessions();
}

// The caller with a session, or null.
async function signedIn() {
  try {
    return await call("GET", "/v1/me");
  } catch (error) {
    if (error.status !== 401) {
      throw error;
    }
    return null;
  }
}

async function signIn(proof) {
  say("Signing in …");
  await call("POST", "/auth/signin", proof);
  const me = await signedIn();
  if (me === null) {
    throw new Refused(401, "The browser did not keep the session. Use https, or localhost.");
  }
  say("");
  await showSignedIn(me, true);
}

async function signOut() {
  await call("POST", "/auth/signout");
  say("You are signed out.");
  await showSignedOut(true);
}

async function addSessions() {
  const query = new URLSearchParams(cursor === null ? {} : { cursor });
  const page = await call("GET", `/v1/sessions?${query}`);
  const rows = page.items.map(sessionRow);
  if (cursor === null) {
    at("sessions").replaceChildren(...rows);
  } else {
    at("sessions").append(...rows);
  }
  cursor = page.next_cursor;
  at("more").hidden = cursor === null;
}

function sessionRow(session) {
  const row = document.createElement("tr");
  const times = [moment(session.created_at), moment(session.last_seen_at)];
  for (const text of [session.actor, VIA[session.via] ?? session.via, ...times]) {
    row.insertCell().textContent = text;
  }
  const last = row.insertCell();
  if (session.current) {
    last.textContent = "This one";
    return row;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "End";
  button.setAttribute("aria-label", `End the session of ${session.actor} that began ${times[0]}`);
  button.addEventListener("click", () => once(button, () => endSession(session, row)));
  last.append(button);
  return row;
}

async function endSession(session, row) {
  try {
    await call("DELETE", `/v1/sessions/${encodeURIComponent(session.id)}`);
  } catch (error) {
    // It has ended already.
    if (error.status !== 404) {
      throw error;
    }
  }
  row.remove();
  say("The session is ended.");
  at("you-title").focus();
}

async function begin() {
  at("error").hidden = true;
  const hash = location.hash;
  if (hash.startsWith(FRAGMENT)) {
    // At once, so that the code stays neither in the address bar nor in the history.
    history.replaceState(null, "", location.pathname);
    let refused = null;
    try {
      return await signIn({ code: hash.slice(FRAGMENT.length) });
    } catch (error) {
      refused = error;
    }
    await beginWithout(false);
    throw refused;
  }
  await beginWithout(false);
}

async function beginWithout(focus) {
  const me = await signedIn();
  await (me === null ? showSignedOut(focus) : showSignedIn(me, focus));
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = at("token");
  const token = field.value.trim();
  field.value = "";
  once(event.submitter ?? at("token-form").querySelector("button"), () => signIn({ token }));
});
at("sign-out").addEventListener("click", () => once(at("sign-out"), signOut));
at("more").addEventListener("click", () => once(at("more"), addSessions));
// A link that is opened while the page is shown changes only the fragment.
addEventListener("hashchange", () => {
  if (location.hash.startsWith(FRAGMENT)) {
    begin().catch(fail);
  }
});
begin().catch(fail);
