// What the page knows of a call, as pure functions: (state, message from the server) -> next state.
// The messages are those of docs/events.md; nothing here touches the DOM, the network or a clock.

/** A call that has not begun. `microphone`: "off" (typing only), "on" or "muted". `readiness`: the server's. */
export const initialState = Object.freeze({
  phase: "idle", // idle | connecting | live | ended
  callState: "listening", // the server's word: listening | hearing | thinking | speaking | paused | ended
  microphone: "off",
  readiness: "unknown", // unknown | loading | ready
  call: null, // {profile, models, version} from the `call` event or /api/info
  turns: [],
  errands: [], // questions that the expert has: {errand, turn, request, state, open, cancelling, answer}
  volumePercent: 100,
  notice: "", // the server's latest `error`, in words
  problem: null, // see problems.js
});

export const CALL_STATES = ["listening", "hearing", "thinking", "speaking", "paused", "ended"];
const OPEN_ERRAND_STATES = ["pending", "ready", "speaking"];

/** What stays from one call to the next: the server, not the talk. */
export function freshCall(state) {
  return { ...initialState, readiness: state.readiness, call: state.call, phase: "connecting" };
}

/** `route`: why it was answered so, as in the `turn` event; `late`: the words that a late answer answers. */
function emptyTurn(turn) {
  const told = { heard: "", final: false, replies: [], tools: [], late: "" };
  return { turn, ...told, model: "", route: {}, v2vMs: null, waterfall: null };
}

/** Replace the turn `number` by change(turn), making it where it is new; turns stay in the order they came. */
function withTurn(state, number, change) {
  const known = state.turns.some((turn) => turn.turn === number);
  const turns = known ? state.turns : [...state.turns, emptyTurn(number)];
  return { ...state, turns: turns.map((turn) => (turn.turn === number ? change(turn) : turn)) };
}

/** A cough or a backchannel was no turn: it goes, unless the bot has answered under its number. */
function withdrawn(state, number) {
  const turns = state.turns.filter((turn) => turn.turn !== number || turn.replies.length);
  return { ...state, turns };
}

function withReply(turn, message) {
  const { reply, text = "", heard = "", final = false, interrupted = false } = message;
  const next = { reply, text, heard, final, interrupted };
  const known = turn.replies.some((old) => old.reply === reply);
  const replies = known ? turn.replies.map((old) => (old.reply === reply ? next : old)) : [...turn.replies, next];
  return { ...turn, replies };
}

/** Words under a number of their own while an errand's answer is due are that answer. */
function withLateAnswer(state, number) {
  const errand = state.errands.find((each) => each.state === "speaking" && each.answer === null);
  if (!errand || state.turns.some((turn) => turn.turn === number)) return state;
  const errands = state.errands.map((each) => (each === errand ? { ...each, answer: number } : each));
  return withTurn({ ...state, errands }, number, (turn) => ({ ...turn, final: true, late: errand.request }));
}

/** What has become of a question; what the expert has cost by now is part of the turn that asked. */
function withErrand(state, { errand, turn, request, state: now, cost_usd: cost }) {
  const open = OPEN_ERRAND_STATES.includes(now);
  const next = { errand, turn, request: String(request ?? ""), state: now, open, cancelling: false, answer: null };
  const known = state.errands.some((each) => each.errand === errand);
  const errands = known ? state.errands.map((each) => (each.errand === errand ? next : each)) : [...state.errands, next];
  const turns = state.turns.map((each) =>
    each.turn === turn && cost !== undefined ? { ...each, route: { ...each.route, cost_usd: cost } } : each,
  );
  return { ...state, errands, turns };
}

/** The latest question that a turn put to the expert, or undefined. */
export function errandOf(errands, turn) {
  return errands.findLast((errand) => errand.turn === turn);
}

/** The caller has asked for an errand's end; the server has the last word. */
export function markCancelling(errands, number) {
  return errands.map((each) => (each.errand === number ? { ...each, cancelling: true } : each));
}

/** A turn's summary; its words stand in where no transcript or reply event came before it. */
function withSummary(turn, message) {
  const summed = {
    ...turn,
    heard: message.heard || turn.heard,
    final: true,
    model: message.model || "",
    route: message.route || {},
    v2vMs: Number.isFinite(message.v2v_ms) ? message.v2v_ms : null,
    waterfall: message.waterfall || null,
  };
  if (turn.replies.length || !message.reply) return summed;
  return withReply(summed, { reply: "summary", text: message.reply, heard: message.reply, final: true });
}

const handlers = {
  call: (state, { profile, models, version }) => ({ ...state, call: { profile, models, version } }),
  state: (state, message) => (CALL_STATES.includes(message.state) ? { ...state, callState: message.state } : state),
  transcript: (state, { turn, text, final }) =>
    final && !text
      ? withdrawn(state, turn)
      : withTurn(state, turn, (old) => ({ ...old, heard: text || "", final: Boolean(final) })),
  reply: (state, message) =>
    withTurn(withLateAnswer(state, message.turn), message.turn, (old) => withReply(old, message)),
  turn: (state, message) => withTurn(state, message.turn, (old) => withSummary(old, message)),
  tool: (state, { turn, name, arguments: args, speech }) =>
    withTurn(state, turn, (old) => ({ ...old, tools: [...old.tools, { name, args, speech }] })),
  errand: withErrand,
  volume: (state, { percent }) =>
    Number.isFinite(percent) ? { ...state, volumePercent: Math.min(100, Math.max(0, percent)) } : state,
  error: (state, { message }) => ({ ...state, notice: message || "Something failed on the server." }),
};

/** The next state; a message of an unknown type changes nothing, so that an older page outlives a newer server. */
export function applyMessage(state, message) {
  return Object.hasOwn(handlers, message?.type) ? handlers[message.type](state, message) : state;
}

/** {heard, pending}: the reply's text split where playout stands; the space between goes to what was heard. */
export function splitReply({ text, heard }) {
  let cut = Math.min(heard.length, text.length);
  while (cut < text.length && /\s/.test(text[cut])) cut += 1;
  return { heard: text.slice(0, cut), pending: text.slice(cut) };
}

/** The replies worth showing: one that was cut before its first word gives way to the others of its turn. */
export function shownReplies(turn) {
  const spoken = turn.replies.filter((reply) => reply.heard || !reply.interrupted);
  return spoken.length ? spoken : turn.replies.slice(-1);
}

/** Median voice-to-voice latency of the call in milliseconds, or null before the first. */
export function medianMs(turns) {
  const sorted = turns.map((turn) => turn.v2vMs).filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** A tool's arguments as a person reads them: "seconds 600". They come as an object or as its JSON text. */
export function argumentsInWords(args) {
  if (args === null || args === undefined) return "";
  let value = args;
  if (typeof args === "string") {
    try {
      value = JSON.parse(args);
    } catch {
      return args; // not JSON: already words
    }
  }
  if (typeof value !== "object" || value === null) return String(value);
  const words = (each) => (typeof each === "object" ? JSON.stringify(each) : String(each).trim());
  return Object.entries(value).map(([name, each]) => `${name} ${words(each)}`).join(", ");
}

/** One state, its changes, and whoever wants to know. */
export class Store {
  #state = initialState;
  #listeners = [];

  get state() {
    return this.#state;
  }

  subscribe(listener) {
    this.#listeners.push(listener);
  }

  update(patch) {
    this.#set({ ...this.#state, ...patch });
  }

  apply(message) {
    this.#set(applyMessage(this.#state, message));
  }

  reset() {
    this.#set(freshCall(this.#state));
  }

  #set(next) {
    const before = this.#state;
    this.#state = next;
    for (const listener of this.#listeners) listener(next, before);
  }
}
