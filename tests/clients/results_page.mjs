// The page of results against a server: node results_page.mjs FOLDER-OF-THE-PAGE BASE-URL KEY. It ends with an error where the
// page does not do what it should.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fakeDocument } from "./fake_document.mjs";

const [folder, base, key] = process.argv.slice(2);
const { start } = await import(`${folder}/page.mjs`);
const { report } = await import(`${folder}/report.mjs`);

const html = readFileSync(`${folder}/index.html`, "utf8");
const ids = [...html.matchAll(/ id="([a-z]+)"/g)].map(([, id]) => id);
const HOSTILE = '<img src=x onerror="alert(1)">';

function totals(changes) {
  return {
    answered: 4, outcomes: {}, successes: 0, failures: 0, success_rate: null,
    sentiments: { positive: 0, neutral: 0, negative: 0 }, ratings: 0, average_rating: null, ...changes,
  };
}

function results(changes) {
  const series = [1, 2].map((n) => ({ at: `2026-11-0${n}T23:00:00Z`, ...totals(changes) }));
  return { timezone: "Europe/Berlin", interval: "day", series, numbers: [], profiles: [], ...totals(changes) };
}

function drawn(answer, names = { numbers: new Map(), profiles: new Map() }) {
  const document = fakeDocument([]);
  const all = document.createElement("main");
  all.append(...report(document, answer, names));
  return all;
}

// Nothing happened, and nothing was analysed.
assert.match(drawn(results({ answered: 0 })).textContent, /No call was answered/);
assert.match(drawn(results({})).textContent, /No call of this period has an analysis/);

// Each chart has a title, a summary and a table; names are texts, whatever they are.
const outcomes = Object.fromEntries(["a", "b", "c", "d", "e", "f", HOSTILE].map((name, at) => [name, at + 1]));
const judged = totals({ outcomes, successes: 3, failures: 1, success_rate: 0.75, ratings: 2, average_rating: 4.5 });
const busy = results({ ...judged, sentiments: { positive: 3, neutral: 1, negative: 0 } });
busy.numbers = [{ phone_number_id: "n", ...judged }];
busy.profiles = [{ ai_profile_id: "p", ai_profile_version: 3, share: 1, weight: null, ...judged }];
const names = { numbers: new Map([["n", "+493055500100"]]), profiles: new Map([["p", HOSTILE]]) };
const shown = drawn(busy, names);
const titles = shown.all("figcaption").map((node) => node.textContent);
assert.deepEqual(titles, ["Success rate by day", "Outcomes", "Outcomes by day", "Sentiment by day",
  "Success rate by number", "Success rate by profile and version"]);
for (const figure of shown.all("figure")) {
  const svg = figure.all("svg").find((node) => node.attributes.role === "img");
  const described = svg.attributes["aria-labelledby"].split(" ");
  assert.deepEqual([...svg.all("title"), ...svg.all("desc")].map((node) => node.attributes.id), described);
  assert.equal(figure.all("details").length, 1, "the table opens by the keyboard");
  assert.ok(figure.all("td").length > 0);
}
assert.deepEqual(shown.all("img"), []);
assert.ok(shown.textContent.includes(HOSTILE));
assert.ok(shown.textContent.includes(`${HOSTILE}, version 3`));
assert.ok(shown.textContent.includes("2026-11-02"), "days are those of the report's time zone");
assert.ok(shown.textContent.includes("2 others"), "rare outcomes are one series");
assert.ok(shown.textContent.includes("75 %"));

// A person at the keyboard: a wrong key, the right one, a number of their own, impossible dates, a server that is away.
const document = fakeDocument(ids);
const at = (id) => document.getElementById(id);
let away = false;
const asked = [];
start(document, (path, options) => {
  asked.push(path);
  return away ? Promise.reject(new TypeError("refused")) : fetch(base + path, options);
});
at("period").value = "30";
at("key").value = `${key}x`;
await at("access").fire("submit");
assert.equal(at("error").textContent, "This key is not valid, or no longer.");
at("key").value = ` ${key} `;
await at("access").fire("submit");
assert.equal(at("error").textContent, "", at("error").textContent);
assert.match(at("status").textContent, /^1 answered call,/);
assert.deepEqual([at("access").hidden, at("choices").hidden], [true, false]);
assert.equal(document.focused(), at("period"));
assert.ok(at("report").textContent.includes("order placed"), at("report").textContent);
assert.ok(asked.every((path) => !path.includes(key)), "the key is in no URL");
const [, number] = at("number").children;
at("number").value = number.value;
await at("choices").fire("submit");
assert.ok(asked.at(-1).includes(`phone_number_id=${number.value}`), asked.at(-1));
assert.match(at("status").textContent, /^1 answered call,/);
at("period").value = "dates";
await at("choices").fire("submit");
assert.equal(at("error").textContent, "Choose both dates.");
[at("from").value, at("to").value] = ["2020-01-01", "2026-01-01"];
await at("choices").fire("submit");
assert.match(at("error").textContent, /to: /, "the API's words");
assert.equal(at("report").children.length, 0);
[at("from").value, at("to").value] = ["2020-01-01", "2020-01-02"];
await at("choices").fire("submit");
assert.match(at("report").textContent, /No call was answered/);
away = true;
await at("choices").fire("submit");
assert.equal(at("error").textContent, "The server cannot be reached.");
console.log("the page of results works");
