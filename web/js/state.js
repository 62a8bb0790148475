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
  volumePercent: 100,
  notice: "", // the server's latest `error`, in words
  problem: null, // see problems.js
});

export const CALL_STATES = ["listening", "hearing", "thinking", "speaking", "paused", "ended"];

/** What stays from one call to the next: the server, not the talk. */
export function freshCall(state) {
  return { ...initialState, readiness: state.readiness, call: state.call, phase: "connecting" };
}

function emptyTurn(turn) {
  return { turn, heard: "", final: false, replies: [], tools: [], model: "", v2vMs: null, waterfall: null };
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

/** A turn's summary; its words stand in where no transcript or reply event came before it. */
function withSummary(turn, message) {
  const summed = {
    ...turn,
    heard: message.heard || turn.heard,
    final: true,
    model: message.model || "",
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
  reply: (state, message) => withTurn(state, message.turn, (old) => withReply(old, message)),
  turn: (state, message) => withTurn(state, message.turn, (old) => withSummary(old, message)),
  tool: (state, { turn, name, arguments: args, speech }) =>
    withTurn(state, turn, (old) => ({ ...old, tools: [...old.tools, { name, args, speech }] })),
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
