// The page's still parts drawn from the state: layout, words of the state, problem, figures, models, live regions.
import { newlyFinal } from "./captions.js";
import { waitingErrands } from "./errands.js";
import { totalCost } from "./route.js";
import { medianMs } from "./state.js";

const SPOKEN_LINES_KEPT = 50; // lines kept in the screen reader's log

const WORDS = {
  listening: ["Listening", "Go ahead, speak naturally."],
  hearing: ["Hearing you", "Take your time."],
  thinking: ["Thinking", "One moment."],
  speaking: ["Speaking", "Interrupt whenever you like."],
  paused: ["Paused", "Go on, or stay silent and it continues."],
  ended: ["Ended", ""],
};

const LIVE_WORDS = {
  on: "The call is live. Your microphone is on.",
  muted: "Muted.",
  off: "The call is live, without a microphone.",
};

const STAGE_NAMES = {
  vad: "Voice activity",
  turn: "End of turn",
  stt: "Hearing",
  llm: "Thinking",
  tts: "Voice",
  frontier: "Expert",
};
const ACTION_NAMES = { retry: "Try again", type: "Type instead" };

const byId = (id) => document.getElementById(id);

/** [title, hint] for what the call is doing. */
export function stateWords({ phase, callState, microphone, readiness, turns }) {
  if (phase === "connecting") return ["Connecting", "Allow the microphone if the browser asks."];
  if (phase === "ended") return ["Call ended", turns.length ? "What was said stays here until the next call." : ""];
  if (phase === "idle" && readiness === "loading") return ["Getting ready", "The server is loading its models."];
  if (phase === "idle") return ["Ready", ""];
  if (callState === "listening" && microphone === "muted") return ["Muted", "Nothing that you say is sent."];
  if (callState === "listening" && microphone === "off") return ["Waiting", "Type, or switch the microphone on."];
  return WORDS[callState];
}

/** Which colour and motion the orb has. */
export function orbState({ phase, callState, microphone }) {
  if (phase !== "live") return phase === "connecting" ? "connecting" : "idle";
  return callState === "listening" && microphone !== "on" ? "muted" : callState;
}

function startWords({ phase, readiness, turns }) {
  if (phase === "ended") return turns.length ? "Call again" : "Start talking";
  return readiness === "loading" ? "Getting ready" : "Start talking";
}

function microphoneButton(microphone) {
  if (microphone === "off") return ["Use microphone", "#i-mic-off"];
  return microphone === "muted" ? ["Unmute", "#i-mic-off"] : ["Mute", "#i-mic"];
}

/** Asked at each poll: the same problem is not announced twice. */
function sameProblem(one, other) {
  return one?.kind === other?.kind && one?.detail === other?.detail;
}

/** Draws a state; `act(name)` is called with "retry" or "type" from a problem's buttons. */
export class View {
  #act;

  constructor(act) {
    this.#act = act;
  }

  draw(state, before) {
    const calling = state.phase === "connecting" || state.phase === "live";
    document.body.dataset.phase = state.phase;
    document.body.dataset.layout = calling || state.turns.length ? "talk" : "hero";
    this.#drawStage(state, calling);
    this.#drawControls(state, calling);
    if (!sameProblem(state.problem, before.problem)) this.#drawProblem(state.problem);
    if (state.call !== before.call) this.#drawModels(state.call);
    this.#drawFigures(state.turns);
    byId("notice").hidden = !state.notice;
    if (state.notice !== before.notice) byId("notice").textContent = state.notice;
    this.#announce(state, before);
  }

  #drawStage(state, calling) {
    const [title, hint] = stateWords(state);
    byId("state").textContent = title;
    byId("hint").textContent = hint;
    byId("hint").hidden = waitingErrands(state).length > 0;
    byId("orb").dataset.state = orbState(state);
    byId("orb-muted").toggleAttribute("hidden", !(state.phase === "live" && state.microphone !== "on"));
    byId("now").hidden = Boolean(state.problem) && !calling;
    byId("start").hidden = calling;
    byId("start").disabled = state.readiness === "loading";
    byId("start-label").textContent = startWords(state);
    byId("suggestions").hidden = state.turns.length > 0 || Boolean(state.problem);
    byId("empty").hidden = state.turns.length > 0;
    const place = byId(calling ? "empty" : "hero-suggestions");
    if (byId("suggestions").parentElement !== place) place.append(byId("suggestions"));
  }

  #drawControls({ microphone, phase }, calling) {
    const [label, icon] = microphoneButton(microphone);
    byId("controls").hidden = !calling;
    byId("meters").hidden = !calling;
    byId("mute").disabled = phase !== "live";
    byId("mute").dataset.microphone = microphone;
    byId("mute-label").textContent = label;
    byId("mute-icon").setAttribute("href", icon);
  }

  #drawProblem(problem) {
    const box = byId("problem");
    box.hidden = !problem;
    box.dataset.kind = problem?.kind ?? "";
    byId("problem-title").textContent = problem?.title ?? "";
    byId("problem-detail").textContent = problem?.detail ?? "";
    const actions = (problem?.actions ?? []).map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "action";
      const again = problem.kind === "connection-lost" && name === "retry";
      button.textContent = again ? "Call again" : ACTION_NAMES[name];
      button.addEventListener("click", () => this.#act(name));
      return button;
    });
    byId("problem-actions").replaceChildren(...actions);
  }

  #drawModels(call) {
    const profile = call?.profile;
    byId("profile").hidden = !profile;
    byId("profile").textContent = profile ? `${profile} profile` : "";
    const rows = Object.entries(call?.models ?? {}).map(([kind, name]) => {
      const row = document.createElement("div");
      row.append(document.createElement("dt"), document.createElement("dd"));
      row.firstChild.textContent = STAGE_NAMES[kind] || kind;
      row.lastChild.textContent = name;
      return row;
    });
    byId("models").replaceChildren(...rows);
  }

  #drawFigures(turns) {
    const median = medianMs(turns);
    byId("figures").hidden = median === null;
    byId("p50").textContent = median === null ? "–" : `${Math.round(median)} ms`;
    byId("turn-count").textContent = String(turns.filter((turn) => !turn.late).length);
    const cost = totalCost(turns);
    byId("cost-row").hidden = !cost;
    byId("cost").textContent = cost;
  }

  /** Only what is final is read out: half-heard words would be read over and over. */
  #announce(state, before) {
    const log = byId("captions-live");
    for (const line of newlyFinal(state.turns, before.turns)) {
      const node = document.createElement("p");
      node.textContent = line;
      log.append(node);
    }
    while (log.children.length > SPOKEN_LINES_KEPT) log.firstChild.remove();
    const changed = state.phase !== before.phase || state.microphone !== before.microphone;
    if (changed) byId("status-live").textContent = this.#statusWords(state);
  }

  #statusWords({ phase, microphone }) {
    if (phase === "connecting") return "Connecting.";
    if (phase === "ended") return "The call has ended.";
    if (phase !== "live") return "";
    return LIVE_WORDS[microphone];
  }
}
