// One WebRTC call: offer, answer, the data channel `events`, the bot's sound, and its end.
// It knows nothing of the page: everything it learns goes to the callbacks that it was given.
import { connectionLost, noConnection, serverGone } from "./problems.js";
import { CallProblem, readiness, sendOffer } from "./server.js";

const FIRST_CANDIDATE_GRACE_MS = 1000; // once one ICE candidate is known, wait this long for better ones
const GATHERING_LIMIT_MS = 3000; // an offline STUN server never answers: offer with what there is
const CONNECT_LIMIT_MS = 15000; // from the answer to an open data channel
const OUTAGE_LIMIT_MS = 8000; // a network change heals within seconds or not at all

/** Resolves when ICE gathering is complete, or good enough by the limits above. */
export function candidatesGathered(pc) {
  return new Promise((resolve) => {
    const limit = setTimeout(resolve, GATHERING_LIMIT_MS);
    let grace = null;
    const done = () => {
      clearTimeout(limit);
      clearTimeout(grace);
      resolve();
    };
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate && grace === null) grace = setTimeout(done, FIRST_CANDIDATE_GRACE_MS);
    });
    if (pc.iceGatheringState === "complete") done();
  });
}

/**
 * A call in progress. Callbacks: onOpen(), onMessage(object), onStream(MediaStream), onUnstable(boolean),
 * onEnd(problem or null), the last exactly once and never after hangUp().
 */
export class Call {
  #pc;
  #channel;
  #sender;
  #callbacks;
  #over = false;
  #outage = null;
  #aborted = new AbortController();

  constructor({ iceServers, track, ...callbacks }) {
    this.#callbacks = callbacks;
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#channel = this.#pc.createDataChannel("events");
    this.#sender = this.#pc.addTransceiver(track, { direction: "sendrecv" }).sender;
    this.#listen();
  }

  /** Offers and waits for the channel to open. Throws CallProblem when it cannot; the call is then over. */
  async connect() {
    try {
      await this.#pc.setLocalDescription(await this.#pc.createOffer());
      await candidatesGathered(this.#pc);
      const answer = await sendOffer(this.#pc.localDescription, this.#aborted.signal);
      if (this.#over) return;
      await this.#pc.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
      await this.#opened();
    } catch (error) {
      if (this.#over) return; // hung up meanwhile: whatever failed was our own closing
      this.#close();
      throw error;
    }
  }

  /** Sends one message of docs/events.md; false where the channel is not open. */
  send(message) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  /** Speaks through another track from now on, without a new offer. */
  replaceTrack(track) {
    return this.#sender.replaceTrack(track);
  }

  /** Ends the call from our side. Idempotent, and safe while it is still connecting. */
  hangUp() {
    if (this.#over) return;
    this.send({ type: "hang_up" });
    this.#close();
  }

  #listen() {
    const { onMessage, onOpen, onStream } = this.#callbacks;
    this.#channel.addEventListener("open", () => onOpen());
    this.#channel.addEventListener("message", ({ data }) => this.#received(data, onMessage));
    this.#channel.addEventListener("close", () => this.#ended());
    this.#pc.addEventListener("track", ({ track, streams }) => onStream(streams[0] || new MediaStream([track])));
    this.#pc.addEventListener("connectionstatechange", () => this.#connectionChanged());
  }

  #received(data, onMessage) {
    let message;
    try {
      message = JSON.parse(data);
    } catch (error) {
      console.warn("The server sent an event that is not JSON:", error.message);
      return;
    }
    onMessage(message);
    if (message.type === "state" && message.state === "ended") this.#finish(null);
  }

  #opened() {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new CallProblem(noConnection)), CONNECT_LIMIT_MS);
      const settle = (act) => {
        clearTimeout(limit);
        act();
      };
      if (this.#channel.readyState === "open") settle(resolve);
      this.#channel.addEventListener("open", () => settle(resolve));
      this.#aborted.signal.addEventListener("abort", () => settle(resolve));
      this.#pc.addEventListener("connectionstatechange", () => {
        if (this.#pc.connectionState === "failed") settle(() => reject(new CallProblem(noConnection)));
      });
    });
  }

  #connectionChanged() {
    const state = this.#pc.connectionState;
    const wasOpen = this.#channel.readyState !== "connecting";
    clearTimeout(this.#outage);
    this.#callbacks.onUnstable(state === "disconnected");
    if (!wasOpen) return; // #opened reports a call that never came up
    if (state === "disconnected") {
      this.#outage = setTimeout(() => this.#ended(), OUTAGE_LIMIT_MS);
      readiness().catch(() => this.#ended()); // a dead server need not be waited for
    }
    if (state === "failed" || state === "closed") this.#ended();
  }

  /** The line went dead without a goodbye: was it the server, or the path to it? */
  async #ended() {
    if (this.#over) return;
    const problem = await readiness().then(() => connectionLost, () => serverGone);
    this.#finish(problem);
  }

  #finish(problem) {
    if (this.#over) return;
    this.#close();
    this.#callbacks.onEnd(problem);
  }

  #close() {
    this.#over = true;
    clearTimeout(this.#outage);
    this.#aborted.abort();
    this.#channel.close();
    this.#pc.close();
  }
}
