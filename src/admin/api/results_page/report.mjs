// The report of a period: what is drawn of the API's answer.

import { bars, columns, element, table } from "./charts.mjs";

/** Outcomes that have a colour of their own; the others are one series. */
const MOST_OUTCOMES = 5;
const SENTIMENTS = ["positive", "neutral", "negative"];
/** The colours of sentiments: green, grey and red. */
const SENTIMENT_COLOURS = ["s2", "rest", "s5"];

const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`);
const decimal = (number) => (number === null || number === undefined ? "–" : number.toFixed(1));

/** The day of a time in a time zone, as YYYY-MM-DD. */
export function day(at, timezone) {
  const parts = { timeZone: timezone, year: "numeric", month: "2-digit", day: "2-digit" };
  return new Intl.DateTimeFormat("sv-SE", parts).format(new Date(at));
}

/** The nodes of a report. `names` has the numbers and profiles of the tenant by their ids. */
export function report(document, results, names) {
  if (results.answered === 0) {
    return [element(document, "p", { class: "empty" }, "No call was answered in this period.")];
  }
  const nodes = [overview(document, results)];
  const days = results.series.map(({ at }) => day(at, results.timezone));
  nodes.push(...success(document, results, days), ...outcomes(document, results, days));
  nodes.push(...sentiments(document, results, days));
  if (nodes.length === 1) {
    nodes.push(element(document, "p", { class: "empty" },
      "No call of this period has an analysis. A profile's setting “analysis” switches it on."));
  }
  const numbers = results.numbers.map((it) => ({ ...it, name: names.numbers.get(it.phone_number_id) ?? it.phone_number_id }));
  const profiles = results.profiles.map((it) => {
    const name = names.profiles.get(it.ai_profile_id) ?? it.ai_profile_id;
    return { ...it, name: `${name}, version ${it.ai_profile_version}` };
  });
  nodes.push(...parts(document, "Success rate by number", "number", numbers));
  nodes.push(...parts(document, "Success rate by profile and version", "profile", profiles));
  return nodes;
}

function overview(document, results) {
  const rated = results.ratings > 0 ? `${decimal(results.average_rating)} of 5 (${results.ratings} ratings)` : "–";
  const rows = [
    ["answered calls", String(results.answered)],
    ["success rate", percent(results.success_rate)],
    ["successes and failures", `${results.successes} and ${results.failures}`],
    ["callers' rating", rated],
  ];
  return element(document, "section", {}, element(document, "h2", {}, "Totals"),
    table(document, ["figure", "value"], rows));
}

function success(document, { series, success_rate, successes, failures }, days) {
  if (successes + failures === 0) return [];
  const judged = successes + failures;
  const summary = `${successes} of ${judged} judged calls were a success: ${percent(success_rate)}.`;
  const rates = { name: "success rate", values: series.map((it) => it.success_rate) };
  const about = { title: "Success rate by day", summary };
  return [columns(document, about, days, [rates], { format: percent, top: 1 })];
}

function outcomes(document, { series, outcomes: totals }, days) {
  const found = Object.entries(totals).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([name]) => name);
  if (found.length === 0) return [];
  const [named, rest] = [found.slice(0, MOST_OUTCOMES), found.slice(MOST_OUTCOMES)];
  const value = (it, name) => it.outcomes[name] ?? 0;
  const all = named.map((name) => ({ name, values: series.map((it) => value(it, name)) }));
  if (rest.length > 0) {
    const sum = (it) => rest.reduce((sum, name) => sum + value(it, name), 0);
    all.push({ name: `${rest.length} others`, values: series.map(sum), colour: "rest" });
  }
  const summary = `The most frequent outcome is “${found[0]}”, of ${totals[found[0]]} calls.`;
  const rows = found.map((name) => [name, String(totals[name])]);
  const highest = Math.max(...found.map((name) => totals[name]));
  const entries = found.slice(0, 20).map((name) => ({ name, value: totals[name], text: String(totals[name]) }));
  return [
    bars(document, { title: "Outcomes", summary }, entries, highest, table(document, ["outcome", "calls"], rows)),
    columns(document, { title: "Outcomes by day", summary: "Calls by outcome." }, days, all),
  ];
}

function sentiments(document, { series, sentiments: totals }, days) {
  if (SENTIMENTS.every((name) => totals[name] === 0)) return [];
  const counts = SENTIMENTS.map((name) => `${totals[name]} ${name}`).join(", ");
  const all = SENTIMENTS.map((name, index) => ({ name, colour: SENTIMENT_COLOURS[index], values: series.map((it) => it.sentiments[name]) }));
  return [columns(document, { title: "Sentiment by day", summary: `Calls: ${counts}.` }, days, all)];
}

/** The success rates of numbers or profiles, and their other figures in the table. */
function parts(document, title, kind, all) {
  if (all.length === 0) return [];
  const entries = all.slice(0, 30).map(({ name, success_rate }) => ({ name, value: success_rate, text: percent(success_rate) }));
  const rows = all.map((it) => {
    const [first] = Object.entries(it.outcomes).sort(([, m], [, n]) => n - m);
    const outcome = first ? `${first[0]} (${first[1]})` : "–";
    return [it.name, String(it.answered), percent(it.success_rate), outcome,
      ...SENTIMENTS.map((name) => String(it.sentiments[name])), decimal(it.average_rating)];
  });
  const heads = [kind, "answered", "success rate", "most frequent outcome", ...SENTIMENTS, "rating"];
  const summary = `${all.length} with answered calls; the table has their other figures.`;
  return [bars(document, { title, summary }, entries, 1, table(document, heads, rows))];
}
