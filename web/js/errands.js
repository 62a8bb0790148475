// The questions that the expert is working on: one chip each, with the seconds that it has taken and a way to stop it.
import { element, icon } from "./dom.js";

const TICK_MS = 1000;
const CHIP_WORDS = { pending: "Asking the expert…", ready: "The late answer is ready" };
const SPOKEN_WORDS = {
  pending: "Asking the expert",
  ready: "The expert’s answer is ready",
  cancelled: "The question to the expert was cancelled",
  superseded: "The question to the expert was replaced",
  stale: "The expert’s answer came too late",
};

/** Errands whose chip is shown: worked on, or waiting for a pause in the talk. */
export function waitingErrands({ phase, errands }) {
  return phase === "live" ? errands.filter(({ state }) => Object.hasOwn(CHIP_WORDS, state)) : [];
}

/** What a screen reader is told when errands have changed; "" for nothing. Seconds are never read out. */
export function errandNews(errands, before) {
  const changed = errands.filter(({ errand, state }) => before.find((old) => old.errand === errand)?.state !== state);
  const told = changed.filter(({ state }) => Object.hasOwn(SPOKEN_WORDS, state));
  return told.map(({ state, request }) => `${SPOKEN_WORDS[state]}: ${request}.`).join(" ");
}

class ErrandChip {
  node = element("li", "errand-chip");
  #words = element("b");
  #seconds = element("span", "seconds");
  #cancel = element("button", "cancel");
  #beganMs = performance.now();

  constructor({ errand, request }, onCancel) {
    const text = element("span", "errand-words");
    const line = element("span", "errand-state");
    this.#seconds.setAttribute("aria-hidden", "true");
    line.append(this.#words, this.#seconds);
    text.append(line, element("span", "errand-request", request));
    this.#cancel.type = "button";
    this.#cancel.setAttribute("aria-label", `Cancel: ${request}`);
    this.#cancel.append(icon("#i-cross"), element("span", "", "Cancel"));
    this.#cancel.addEventListener("click", () => onCancel(errand));
    const dot = element("span", "dot");
    dot.setAttribute("aria-hidden", "true");
    this.node.append(dot, text, this.#cancel);
    this.node.title = request;
  }

  update({ state, cancelling }) {
    this.node.dataset.state = state;
    this.#words.textContent = CHIP_WORDS[state];
    this.#seconds.hidden = state !== "pending";
    this.#cancel.disabled = cancelling;
    this.tick();
  }

  tick() {
    this.#seconds.textContent = `${Math.floor((performance.now() - this.#beganMs) / TICK_MS)} s`;
  }
}

/** `list`: the <ul> of chips; `live`: a polite live region; `refuge`: what gets the focus of a chip that goes. */
export class Errands {
  #list;
  #live;
  #refuge;
  #onCancel;
  #chips = new Map();
  #ticking = null;

  constructor({ list, live, refuge, onCancel }) {
    this.#list = list;
    this.#live = live;
    this.#refuge = refuge;
    this.#onCancel = onCancel;
  }

  draw(state, before) {
    if (state.errands === before.errands && state.phase === before.phase) return;
    const waiting = waitingErrands(state);
    const numbers = new Set(waiting.map(({ errand }) => errand));
    for (const number of [...this.#chips.keys()]) if (!numbers.has(number)) this.#drop(number);
    for (const errand of waiting) this.#chip(errand).update(errand);
    this.#list.hidden = !waiting.length;
    this.#tick(waiting.length > 0);
    const news = errandNews(state.errands, before.errands);
    if (news) this.#live.textContent = news;
  }

  #chip(errand) {
    if (!this.#chips.has(errand.errand)) {
      const chip = new ErrandChip(errand, this.#onCancel);
      this.#chips.set(errand.errand, chip);
      this.#list.append(chip.node);
    }
    return this.#chips.get(errand.errand);
  }

  #drop(number) {
    const { node } = this.#chips.get(number);
    if (node.contains(document.activeElement)) this.#refuge.focus();
    node.remove();
    this.#chips.delete(number);
  }

  #tick(needed) {
    if (needed === (this.#ticking !== null)) return;
    clearInterval(this.#ticking);
    this.#ticking = needed ? setInterval(() => this.#chips.forEach((chip) => chip.tick()), TICK_MS) : null;
  }
}
