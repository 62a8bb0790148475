// Why a turn was answered as it was, in words and nodes: its task, who answered, its privacy label and its cost as
// one line of chips, which opens to the reason.
import { element, icon } from "./dom.js";

const LABELS = {
  local_only: { name: "Private", icon: "#i-lock", meaning: "Never leaves this machine" },
  redact: { name: "Redact", icon: "#i-shield", meaning: "May leave this machine with personal details replaced" },
  open: { name: "Open", icon: "#i-unlock", meaning: "May leave this machine as it was said" },
};
const EXPERT = "frontier"; // the name under which the expert's answers are booked

const ERRAND_WORDS = {
  pending: "Asking the expert",
  ready: "Late answer is ready",
  speaking: "Answering late",
  delivered: "Answered late",
  cancelled: "Cancelled",
  superseded: "Replaced",
  stale: "Too late, dropped",
  ended: "Call ended first",
};

const percent = (share) => `${Math.round(share * 100)} %`;
const NAMES = { [EXPERT]: "expert", oos: "nobody’s task" };
const plain = (name) => (Object.hasOwn(NAMES, name) ? NAMES[name] : String(name).replaceAll("_", " "));

/** US dollars as people read them: "$0", "$0.0012", "$1.50". */
export function dollars(usd) {
  if (usd === 0) return "$0";
  if (usd < 0.0001) return "< $0.0001";
  const digits = usd < 1 ? { maximumSignificantDigits: 2 } : {};
  return new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", ...digits }).format(usd);
}

/** What the call has cost, in words: "" before a price is known, "≥" where one of its turns has none. */
export function totalCost(turns) {
  const costs = turns.map(({ route }) => route.cost_usd).filter((cost) => cost !== undefined);
  const known = costs.filter(Number.isFinite);
  if (!known.length) return "";
  const usd = known.reduce((sum, cost) => sum + cost, 0);
  return known.length < costs.length ? `≥ ${dollars(usd < 0.0001 ? 0 : usd)}` : dollars(usd);
}

/** {role, name}: who answered, where the server says so; else whom the plan names. */
export function answerer({ member, kind, members }) {
  if (member) return { role: "Answered by", name: plain(member) };
  if (kind === "expert" || kind === "errand") return { role: "Asked", name: "expert" };
  const named = Array.isArray(members) ? members.map(plain).join(", then ") : "";
  return { role: "Asked", name: named };
}

/** {aheadMs, workMs}: how much of a reply's making was done before the turn was known to be over; null if unknown. */
export function draftedAhead(waterfall) {
  const stages = waterfall?.stages ?? [];
  const wait = stages.find(({ name }) => name === "wait");
  const work = stages.filter(({ name }) => ["stt", "llm", "tts"].includes(name));
  if (!wait || !work.length) return null;
  const doneBy = (ms) => Math.round(work.reduce((sum, { start_ms, stop_ms }) => sum + Math.max(0, Math.min(stop_ms, ms) - start_ms), 0));
  return { aheadMs: doneBy(wait.stop_ms), workMs: doneBy(Infinity) };
}

function chip(className, before, name, after = "") {
  const node = element("span", `chip ${className}`);
  if (before) node.append(element("span", "visually-hidden", `${before} `));
  node.append(element("b", "", name), after, element("span", "visually-hidden", ". "));
  return node;
}

function labelChip(label) {
  const known = Object.hasOwn(LABELS, label) ? LABELS[label] : { name: plain(label), icon: "#i-lock" };
  const node = chip(`label ${Object.hasOwn(LABELS, label) ? label : ""}`, "Privacy:", known.name);
  node.prepend(icon(known.icon));
  if (known.meaning) node.title = known.meaning;
  return node;
}

/** The chips of one turn, in the order of interest. */
export function routeChips({ route }, errand) {
  const chips = [];
  const sure = Number.isFinite(route.confidence) ? ` ${percent(route.confidence)}` : "";
  if (route.task) chips.push(chip("task", "Task:", plain(route.task), sure));
  const { role, name } = answerer(route);
  if (errand) {
    const words = Object.hasOwn(ERRAND_WORDS, errand.state) ? ERRAND_WORDS[errand.state] : plain(errand.state);
    chips.push(chip(`errand ${errand.open ? "open" : ""}`, "Expert:", words));
  } else if (name) chips.push(chip("member", `${role}:`, name));
  if (route.label) chips.push(labelChip(route.label));
  if (Number.isFinite(route.cost_usd)) chips.push(chip("cost", "Cost:", dollars(route.cost_usd)));
  return chips;
}

function routeWords({ task, confidence, hard, oos }) {
  const parts = [
    Number.isFinite(confidence) && `${percent(confidence)} sure`,
    Number.isFinite(hard) && `hard ${percent(hard)}`,
    Number.isFinite(oos) && `nobody’s task ${percent(oos)}`,
  ];
  return [task && plain(task), ...parts].filter(Boolean).join(", ");
}

function draftWords({ waterfall, replies }) {
  const ahead = draftedAhead(waterfall);
  const taken = replies.filter((reply) => reply.final && reply.interrupted && !reply.heard).length;
  const done = ahead && `${ahead.aheadMs} of ${ahead.workMs} ms of the work was done before the turn was over`;
  return [done, taken && `${taken} taken back unheard`].filter(Boolean).join(", ");
}

/** [name, words] of everything that is known of how a turn came to its answer. */
export function routeRows(turn, errand) {
  const { route, model } = turn;
  const { role, name } = answerer(route);
  const cost = Number.isFinite(route.cost_usd) ? dollars(route.cost_usd) : "unknown";
  const rows = [
    ["Why", route.reason],
    ["Escalated", route.escalated],
    ["Route", routeWords(route)],
    [role, name],
    ["Model", model],
    ["Expert", errand && `${ERRAND_WORDS[errand.state] ?? errand.state}: ${errand.request}`],
    ["Privacy", LABELS[route.label]?.meaning],
    ["Cost", "cost_usd" in route && cost],
    ["Drafts", draftWords(turn)],
  ];
  return rows.filter(([, words]) => words).map(([title, words]) => [title, String(words)]);
}

/** A turn's line of chips, and what it opens to. */
export class RouteView {
  node = element("details", "route");
  #chips = element("span", "chips");
  #rows = element("dl", "reasons");

  constructor() {
    const summary = element("summary");
    const more = element("span", "why", "Why");
    more.append(icon("#i-chevron"));
    summary.append(this.#chips, more);
    this.node.append(summary, this.#rows);
  }

  update(turn, errand) {
    const chips = routeChips(turn, errand);
    this.node.hidden = !chips.length;
    if (!chips.length) return;
    this.#chips.replaceChildren(...chips);
    const rows = routeRows(turn, errand).map(([title, words]) => {
      const row = element("div");
      row.append(element("dt", "", title), element("dd", "", words));
      return row;
    });
    this.#rows.replaceChildren(...rows);
  }
}
