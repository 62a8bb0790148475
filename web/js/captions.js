// The conversation as a list of turns: what the caller said, what the bot says and how far it has been heard,
// tools, why it was answered so, and the turn's waterfall. Nodes are updated in place, so that focus and open details survive.
import { element, icon } from "./dom.js";
import { RouteView } from "./route.js";
import { argumentsInWords, errandOf, shownReplies, splitReply } from "./state.js";
import { waterfallTable } from "./waterfall.js";

const NEAR_BOTTOM_PX = 80; // closer than this to the newest turn: keep it in view

function line(className, who) {
  const node = element("div", `line ${className}`);
  const words = element("div", "words");
  node.append(element("span", "who", who), words);
  return { node, words };
}

function replyNode(reply) {
  const node = element("p", "reply");
  const { heard, pending } = splitReply(reply);
  node.append(element("span", "heard", heard));
  const cut = reply.final && reply.interrupted;
  if (pending) node.append(element("span", cut ? "pending cut" : "pending", pending));
  if (cut) node.append(" ", element("span", "tag", heard ? "interrupted" : "not spoken"));
  node.classList.toggle("interrupted", cut);
  return node;
}

function toolNode(tool) {
  const node = element("li", "chip");
  node.append(element("b", "", tool.name));
  const words = argumentsInWords(tool.args);
  if (words) node.append(` ${words}`);
  if (tool.speech) node.title = tool.speech;
  return node;
}

/** What an answer that comes late is the answer to. */
function lateNode(request) {
  const node = element("p", "late");
  const words = element("span", "", "Late answer to: ");
  words.append(element("q", "", request));
  node.append(icon("#i-return"), words);
  return node;
}

/** One turn on the page. */
class TurnView {
  node = element("li", "turn");
  #turn = null;
  #errand = undefined;
  #caller = line("caller", "You");
  #bot = line("bot", "Voicebot");
  #tools = element("ul", "chips");
  #model = element("span", "badge");
  #route = new RouteView();
  #latency = element("details", "latency");
  #summary = element("summary");
  #chosenByHand = false;

  constructor() {
    const facts = element("div", "facts");
    facts.append(this.#tools, this.#model);
    this.#tools.setAttribute("aria-label", "Tools that ran");
    this.#latency.append(this.#summary);
    this.#summary.addEventListener("click", () => (this.#chosenByHand = true));
    this.node.append(this.#caller.node, this.#bot.node, facts, this.#route.node, this.#latency);
  }

  update(turn, errand, latest) {
    if (!this.#chosenByHand) this.#latency.open = latest;
    if (turn === this.#turn && errand === this.#errand) return;
    const before = this.#turn;
    this.#turn = turn;
    this.#errand = errand;
    this.#caller.words.textContent = turn.heard;
    this.#caller.node.hidden = !turn.heard;
    this.#caller.node.classList.toggle("partial", !turn.final);
    const late = turn.late ? [lateNode(turn.late)] : [];
    this.#bot.words.replaceChildren(...late, ...shownReplies(turn).map(replyNode));
    this.node.classList.toggle("answers-late", Boolean(turn.late));
    this.#bot.node.hidden = !turn.replies.length;
    this.#tools.replaceChildren(...turn.tools.map(toolNode));
    this.#tools.hidden = !turn.tools.length;
    this.#route.update(turn, errand);
    this.#model.textContent = turn.model;
    this.#model.hidden = !turn.model || !this.#route.node.hidden;
    if (!before || turn.waterfall !== before.waterfall || turn.v2vMs !== before.v2vMs) this.#drawLatency(turn);
  }

  #drawLatency({ waterfall, v2vMs }) {
    this.#latency.hidden = !waterfall?.stages?.length;
    if (this.#latency.hidden) return;
    const total = element("b", "", v2vMs === null ? "–" : `${Math.round(v2vMs)} ms`);
    this.#summary.replaceChildren(total, v2vMs === null ? " latency" : " to the first sound", readyWords(waterfall));
    this.#latency.querySelector("table")?.remove();
    this.#latency.append(waterfallTable({ ...waterfall, v2v_ms: waterfall.v2v_ms ?? v2vMs }));
  }
}

/** What came of answering early: how long the answer lay ready before it was sure that the caller had finished. */
function readyWords({ ready_ms: readyMs, drafts }) {
  if (!Number.isFinite(readyMs)) return "";
  const begun = drafts > 1 ? `, ${drafts} drafts` : "";
  return readyMs >= 0 ? `, ready ${Math.round(readyMs)} ms early${begun}` : begun;
}

/** The whole conversation. `scroller` is the box that scrolls, `list` the <ol> in it. */
export class Captions {
  #scroller;
  #list;
  #views = new Map();

  constructor({ scroller, list }) {
    this.#scroller = scroller;
    this.#list = list;
  }

  update({ turns, errands }) {
    const following = this.#follows();
    const numbers = new Set(turns.map((turn) => turn.turn));
    for (const [number, view] of this.#views) if (!numbers.has(number)) this.#drop(number, view);
    turns.forEach((turn, index) => {
      this.#view(turn.turn).update(turn, errandOf(errands, turn.turn), index === turns.length - 1);
    });
    if (following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #follows() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
  }

  #view(number) {
    if (!this.#views.has(number)) {
      const view = new TurnView();
      this.#views.set(number, view);
      this.#list.append(view.node);
    }
    return this.#views.get(number);
  }

  #drop(number, view) {
    view.node.remove();
    this.#views.delete(number);
  }
}

/** Sentences for the screen reader that became final between two lists of turns. */
export function newlyFinal(turns, before) {
  const old = new Map(before.map((turn) => [turn.turn, turn]));
  return turns.flatMap((turn) => {
    const previous = old.get(turn.turn);
    const said = turn.final && turn.heard && !(previous?.final && previous.heard === turn.heard);
    const lines = said ? [`You: ${turn.heard}`] : [];
    for (const reply of turn.replies) {
      const was = previous?.replies.find((other) => other.reply === reply.reply);
      if (reply.final && !was?.final && reply.heard) {
        const late = turn.late ? `, late answer to “${turn.late}”` : "";
        lines.push(`Voicebot${late}: ${reply.heard}${reply.interrupted ? " (interrupted)" : ""}`);
      }
    }
    return lines;
  });
}
