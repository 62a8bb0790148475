// Everything that makes or takes sound: the microphone, the bot's voice, and both levels.
import { microphoneProblem, insecureContext } from "./problems.js";
import { CallProblem } from "./server.js";

const FLOOR_DBFS = -60; // shown as silence
const CEILING_DBFS = -6; // shown as full
const RELEASE = 0.88; // share of a level kept per frame as it falls; it rises at once

/** Level 0..1 of float samples in -1..1, linear in decibels between the floor and the ceiling. */
export function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const dbfs = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (dbfs - FLOOR_DBFS) / (CEILING_DBFS - FLOOR_DBFS)));
}

/** The level of one MediaStream, eased so that the eye can follow it. */
class LevelTap {
  #analyser;
  #source = null;
  #samples;
  #level = 0;

  constructor(context) {
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  listen(stream) {
    this.#source?.disconnect();
    this.#source = stream && this.#analyser.context.createMediaStreamSource(stream);
    this.#source?.connect(this.#analyser);
  }

  read() {
    if (!this.#source) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    this.#level = Math.max(levelOf(this.#samples), this.#level * RELEASE);
    return this.#level;
  }
}

/** The sound of one call. Make it inside a click, or the browser keeps it silent. */
export class CallAudio {
  #context = new AudioContext();
  #silence = this.#context.createMediaStreamDestination();
  #microphone = null;
  #you = new LevelTap(this.#context);
  #bot = new LevelTap(this.#context);

  /** Called when the microphone vanishes, e.g. its cable was pulled. */
  onMicrophoneLost = () => {};

  /** A track to send before, or instead of, a microphone. */
  get silentTrack() {
    return this.#silence.stream.getAudioTracks()[0];
  }

  /** Opens a microphone ("" is the default one) in place of the one in use; throws CallProblem in words. */
  async openMicrophone(deviceId, muted = false) {
    if (!navigator.mediaDevices?.getUserMedia) throw new CallProblem(insecureContext);
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
          ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
        },
      });
    } catch (error) {
      throw new CallProblem(microphoneProblem(error));
    }
    return this.#adopt(stream, muted);
  }

  #adopt(stream, muted) {
    this.#stopMicrophone();
    this.#microphone = stream;
    const [track] = stream.getAudioTracks();
    track.enabled = !muted;
    track.addEventListener("ended", () => this.#microphone === stream && this.onMicrophoneLost());
    this.#you.listen(stream);
    return track;
  }

  /** A muted track sends silence; the browser's microphone light stays on. */
  mute(muted) {
    for (const track of this.#microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** The bot's voice, for its level meter; an <audio> element plays it. */
  hear(stream) {
    this.#bot.listen(stream);
  }

  /** {you, bot}: both levels now, 0..1. */
  levels() {
    return { you: this.#you.read(), bot: this.#bot.read() };
  }

  /** Switches the microphone's light off and frees the audio device. */
  close() {
    this.#stopMicrophone();
    this.#you.listen(null);
    this.#bot.listen(null);
    if (this.#context.state !== "closed") this.#context.close();
  }

  #stopMicrophone() {
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.#microphone = null;
  }
}
