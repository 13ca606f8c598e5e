// The page: asks the API with the key that was typed in, and shows its answer or what is wrong.

import { element } from "./charts.mjs";
import { report } from "./report.mjs";

/** Pages of a list that are read at most, of 500 entries each. */
const MOST_PAGES = 20;

/** A request that has no result, with a text for the person. */
class Failure extends Error {}

/** The words for a response that is no success. */
function problemOf(status, body, retryAfter) {
  if (status === 401) return "This key is not valid, or no longer.";
  if (status === 429) return `Too many requests: try again in ${retryAfter ?? "some"} seconds.`;
  const fields = (body?.errors ?? []).map(({ field, problem }) => `${field}: ${problem}`);
  return [body?.detail ?? `The server responded with status ${status}.`, ...fields].join(" ");
}

/** Wires the page up. `fetch` takes paths of this server. */
export function start(document, fetch) {
  const at = (id) => document.getElementById(id);
  const state = { key: "", names: { tenant: "", numbers: new Map(), profiles: new Map() }, request: null };

  async function ask(path, signal) {
    let response;
    try {
      response = await fetch(path, { headers: { authorization: `Bearer ${state.key}` }, signal, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failure("The server cannot be reached.");
    }
    const body = await response.json().catch(() => null);
    if (!response.ok) throw new Failure(problemOf(response.status, body, response.headers.get("retry-after")));
    return body;
  }

  async function list(path, signal) {
    const items = [];
    let cursor = "";
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const { items: found, next_cursor } = await ask(`${path}?limit=500${cursor}`, signal);
      items.push(...found);
      if (!next_cursor) break;
      cursor = `&cursor=${encodeURIComponent(next_cursor)}`;
    }
    return items;
  }

  function offer(id, entries) {
    at(id).replaceChildren(...entries.map(([value, name]) => element(document, "option", { value }, name)));
    at(id).value = entries[0]?.[0] ?? "";
  }

  /** Carries out what the person asked for last; an earlier request is given up. */
  async function carryOut(work) {
    state.request?.abort();
    const request = new AbortController();
    state.request = request;
    at("error").textContent = "";
    at("status").textContent = "Loading …";
    at("report").setAttribute("aria-busy", "true");
    try {
      const done = await work(request.signal);
      if (state.request === request) at("status").textContent = done;
    } catch (error) {
      if (state.request !== request) return;
      at("status").textContent = "";
      at("report").replaceChildren();
      at("error").textContent = error instanceof Failure ? error.message : "The report cannot be shown.";
    } finally {
      if (state.request === request) at("report").setAttribute("aria-busy", "false");
    }
  }

  async function enter(signal) {
    const { tenant } = await ask("/api/whoami", signal);
    const present = ({ status }) => status !== "deleted";
    const tenants = tenant ? [tenant] : (await list("/api/tenants", signal)).filter(present);
    if (tenants.length === 0) throw new Failure("There are no tenants yet.");
    offer("tenant", tenants.map(({ id, name }) => [id, name]));
    at("access").hidden = true;
    at("choices").hidden = false;
    at("period").focus();
    return show(signal);
  }

  /** The numbers and profiles of the tenant, to choose from and to name in the report. */
  async function readNames(signal) {
    const tenant = at("tenant").value;
    const path = `/api/tenants/${encodeURIComponent(tenant)}`;
    const numbers = await list(`${path}/phone-numbers`, signal);
    const profiles = await list(`${path}/ai-profiles`, signal);
    state.names.numbers = new Map(numbers.map(({ id, did_number }) => [id, did_number]));
    state.names.profiles = new Map(profiles.map(({ id, name }) => [id, name]));
    state.names.tenant = tenant;
    offer("number", [["", "all"], ...state.names.numbers]);
    offer("profile", [["", "all"], ...state.names.profiles]);
  }

  /** The begin and the end of the chosen period. */
  function period() {
    const days = at("period").value;
    if (days !== "dates") {
      const now = new Date();
      const from = new Date(now);
      from.setDate(from.getDate() - Number(days));
      return [from, now];
    }
    const [from, to] = ["from", "to"].map((id) => new Date(`${at(id).value}T00:00`));
    if (Number.isNaN(from.getTime()) || Number.isNaN(to.getTime())) throw new Failure("Choose both dates.");
    to.setDate(to.getDate() + 1);
    if (to <= from) throw new Failure("The first date is later than the last one.");
    return [from, to];
  }

  async function show(signal) {
    if (state.names.tenant !== at("tenant").value) await readNames(signal);
    const [from, to] = period();
    const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
    const query = new URLSearchParams({ from: from.toISOString(), to: to.toISOString(), interval: "day", timezone });
    if (at("number").value) query.set("phone_number_id", at("number").value);
    if (at("profile").value) query.set("ai_profile_id", at("profile").value);
    const tenant = encodeURIComponent(at("tenant").value);
    const results = await ask(`/api/tenants/${tenant}/analytics/results?${query}`, signal);
    at("report").replaceChildren(...report(document, results, state.names));
    const calls = results.answered === 1 ? "call" : "calls";
    return `${results.answered} answered ${calls}, days of the time zone ${results.timezone}.`;
  }

  at("access").addEventListener("submit", (event) => {
    event.preventDefault();
    state.key = at("key").value.trim();
    return carryOut(enter);
  });
  at("choices").addEventListener("submit", (event) => {
    event.preventDefault();
    return carryOut(show);
  });
  at("tenant").addEventListener("change", () => carryOut(show));
  at("period").addEventListener("change", () => {
    const isDates = at("period").value === "dates";
    for (const node of document.querySelectorAll(".dates")) node.hidden = !isDates;
  });
}
