// Wiring: buttons, keys and the server's messages change the state; the state draws the page.
import { CallAudio } from "./audio.js";
import { Call } from "./call.js";
import { Captions } from "./captions.js";
import { Devices } from "./devices.js";
import { Errands } from "./errands.js";
import { Orb } from "./orb.js";
import { unexpectedProblem } from "./problems.js";
import { CallProblem, readiness, serverInfo } from "./server.js";
import { Store, markCancelling } from "./state.js";
import { View } from "./view.js";

const READY_POLL_MS = 2000;
const SERVER_FAULTS = new Set(["server-gone", "failed", "not-ready"]); // over once the server is ready
const REST_LEVEL = 0.14; // the orb breathes a little when nobody speaks
const METER_WORDS_MS = 500; // how often a meter's value is told to assistive technology

const byId = (id) => document.getElementById(id);
const store = new Store();
const voice = byId("voice");
const orb = new Orb(byId("orb-canvas"));
const captions = new Captions({ scroller: byId("conversation"), list: byId("turns") });
const errands = new Errands({
  list: byId("errands"),
  live: byId("errands-live"),
  refuge: byId("conversation"),
  onCancel: cancelErrand,
});
const view = new View((action) => (action === "type" ? start({ microphone: false }) : retry()));
const devices = new Devices({
  microphone: byId("microphone"),
  speaker: byId("speaker"),
  speakerLabel: byId("speaker-label"),
  onMicrophone: () => store.state.phase === "live" && store.state.microphone !== "off" && switchMicrophoneOn(),
  onSpeaker: chooseSpeaker,
});

let call = null;
let audio = null;
let unsent = []; // messages typed before the channel opened
let nextPoll = null;
let iceServers = null; // unknown until /api/info has said

// --- the call ---------------------------------------------------------------------------------------------

/** Starts a call; `text` is said first. Without a microphone the caller types. */
async function start({ microphone = true, text = "" } = {}) {
  if (call || audio || store.state.readiness === "loading") return;
  store.reset();
  unsent = text ? [text] : [];
  audio = new CallAudio();
  audio.onMicrophoneLost = () => loseMicrophone();
  const mine = audio;
  byId("hang-up").focus();
  try {
    const track = microphone ? await audio.openMicrophone(devices.microphoneId) : audio.silentTrack;
    if (audio !== mine) return; // hung up while the browser asked
    store.update({ microphone: microphone ? "on" : "off" });
    await connect(track);
  } catch (error) {
    if (audio === mine) finish(error instanceof CallProblem ? error.problem : unexpectedProblem(error));
    if (!(error instanceof CallProblem)) console.error(error);
  }
}

async function connect(track) {
  await devices.refresh();
  if (iceServers === null) await readInfo();
  if (!audio) return;
  call = new Call({
    iceServers: iceServers ?? [],
    track,
    onOpen: opened,
    onMessage: received,
    onStream: play,
    onUnstable: (unstable) => store.update({ notice: unstable ? "The connection is unsteady." : "" }),
    onEnd: finish,
  });
  await call.connect();
}

function opened() {
  store.update({ phase: "live" });
  for (const text of unsent.splice(0)) call.send({ type: "text", text });
}

function received(message) {
  store.apply(message);
}

function play(stream) {
  voice.srcObject = stream;
  audio.hear(stream);
  chooseSpeaker(devices.speakerId);
  voice.play().catch((error) => {
    if (error.name === "AbortError") return; // the call ended first
    store.update({ notice: "The browser keeps the sound off. Click anywhere to hear the answer." });
    addEventListener("click", () => voice.play().then(() => store.update({ notice: "" })), { once: true });
  });
}

/** Everything that a call holds is let go, whoever ended it. */
function finish(problem) {
  call?.hangUp();
  audio?.close();
  call = audio = null;
  voice.srcObject = null;
  store.update({ phase: "ended", microphone: "off", problem });
  const target = problem ? byId("problem-actions").querySelector("button") : byId("start");
  target?.focus();
}

function hangUp() {
  if (call || audio) finish(null);
}

async function retry() {
  store.update({ problem: null, phase: store.state.turns.length ? "ended" : "idle" });
  if (await checkServer()) await start();
  else pollSoon();
}

function cancelErrand(errand) {
  if (call?.send({ type: "cancel_errand", errand })) {
    store.update({ errands: markCancelling(store.state.errands, errand) });
  }
}

// --- microphone and speaker -------------------------------------------------------------------------------

async function switchMicrophoneOn() {
  try {
    const track = await audio.openMicrophone(devices.microphoneId, store.state.microphone === "muted");
    await call.replaceTrack(track);
    store.update({ microphone: store.state.microphone === "muted" ? "muted" : "on", notice: "" });
    await devices.refresh();
  } catch (error) {
    if (!(error instanceof CallProblem)) throw error;
    store.update({ notice: `${error.problem.title}. ${error.problem.detail}` });
  }
}

async function loseMicrophone() {
  await call?.replaceTrack(audio.silentTrack);
  store.update({ microphone: "off", notice: "The microphone was unplugged. Choose another one, or type." });
}

function toggleMute() {
  const { microphone, phase } = store.state;
  if (phase !== "live") return;
  if (microphone === "off") {
    switchMicrophoneOn();
    return;
  }
  audio.mute(microphone === "on");
  store.update({ microphone: microphone === "on" ? "muted" : "on" });
}

async function chooseSpeaker(id) {
  if (!voice.setSinkId) return;
  try {
    await voice.setSinkId(id);
  } catch (error) {
    store.update({ notice: `The speaker cannot be used: ${error.message}` });
  }
}

// --- the server -------------------------------------------------------------------------------------------

async function readInfo() {
  const info = await serverInfo();
  iceServers = info.ice_servers ?? [];
  if (info.models) store.update({ call: info });
}

/** True when the server is ready for a call; otherwise the page says why. */
async function checkServer() {
  try {
    const { status, problem } = await readiness();
    const kept = SERVER_FAULTS.has(store.state.problem?.kind) ? null : store.state.problem;
    store.update({ readiness: status === "ready" ? "ready" : "loading", problem: problem ?? kept });
    if (status === "ready" && !store.state.call) await readInfo();
    return status === "ready";
  } catch (error) {
    if (!(error instanceof CallProblem)) throw error;
    store.update({ problem: error.problem, readiness: "unknown" });
    return false;
  }
}

/** Asks until the server is ready; a call in progress is left alone. */
async function waitUntilReady() {
  const ready = store.state.phase === "connecting" || store.state.phase === "live" || (await checkServer());
  if (!ready) pollSoon();
}

function pollSoon() {
  clearTimeout(nextPoll);
  nextPoll = setTimeout(waitUntilReady, READY_POLL_MS);
}

// --- keys, forms, drawing ---------------------------------------------------------------------------------

function onKey(event) {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || !(call || audio)) return;
  if (event.key === "Escape" && !typing) hangUp();
  else if (event.key === "Escape") event.target.blur();
  else if (event.key.toLowerCase() === "m" && !typing && !event.repeat) toggleMute();
}

function say(text) {
  const words = text.trim();
  if (!words) return;
  if (store.state.phase === "live") call.send({ type: "text", text: words });
  else if (store.state.phase === "connecting") unsent.push(words);
  else start({ microphone: false, text: words });
}

function drawLevels(nowMs) {
  const { phase, callState } = store.state;
  const { you, bot } = audio ? audio.levels() : { you: 0, bot: 0 };
  drawMeter(byId("meter-you"), you, nowMs);
  drawMeter(byId("meter-bot"), bot, nowMs);
  const level = callState === "speaking" ? bot : you;
  const busy = phase === "connecting" || (phase === "live" && callState === "thinking");
  orb.draw(nowMs, phase === "live" ? Math.max(level, REST_LEVEL) : REST_LEVEL, busy);
  requestAnimationFrame(drawLevels);
}

function drawMeter(meter, level, nowMs) {
  meter.firstElementChild.style.transform = `scaleX(${level.toFixed(3)})`;
  if (nowMs - (meter.toldAt ?? 0) < METER_WORDS_MS) return;
  meter.toldAt = nowMs;
  meter.setAttribute("aria-valuenow", String(Math.round(level * 100)));
}

function wire() {
  store.subscribe((state, before) => view.draw(state, before));
  store.subscribe((state, before) => errands.draw(state, before));
  store.subscribe((state, before) => {
    if (state.turns !== before.turns || state.errands !== before.errands) captions.update(state);
  });
  store.subscribe(({ volumePercent }) => (voice.volume = volumePercent / 100));
  byId("start").addEventListener("click", () => start());
  byId("mute").addEventListener("click", toggleMute);
  byId("hang-up").addEventListener("click", hangUp);
  byId("suggestions").addEventListener("click", ({ target }) => target.matches("button") && say(target.textContent));
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    say(byId("message").value);
    byId("message").value = "";
  });
  addEventListener("keydown", onKey);
  addEventListener("pagehide", hangUp);
  byId("more").open = matchMedia("(min-width: 60rem)").matches;
}

wire();
store.update({});
requestAnimationFrame(drawLevels);
devices.refresh();
waitUntilReady();
