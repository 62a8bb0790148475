// Choice of microphone and speaker, remembered on this machine; labels appear once the browser gives them out.

const KEYS = { audioinput: "voicebot.microphone", audiooutput: "voicebot.speaker" };

function read(key) {
  try {
    return localStorage.getItem(key) || "";
  } catch (error) {
    console.info("Devices cannot be remembered here:", error.message);
    return "";
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch (error) {
    console.info("Devices cannot be remembered here:", error.message);
  }
}

/** [{value, label}] for a <select>: the default first, then every device that may be named. */
export function choices(devices, kind, fallback) {
  const named = devices.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== "default");
  const noun = kind === "audioinput" ? "Microphone" : "Speaker";
  const options = named.map(({ deviceId: value, label }, index) => ({ value, label: label || `${noun} ${index + 1}` }));
  return [{ value: "", label: fallback }, ...options];
}

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(({ value, label }) => new Option(label, value)));
  select.value = options.some((option) => option.value === chosen) ? chosen : "";
}

/** Wires both selects. `onMicrophone(id)` and `onSpeaker(id)` are called at each choice. */
export class Devices {
  #microphone;
  #speaker;
  #canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

  constructor({ microphone, speaker, speakerLabel, onMicrophone, onSpeaker }) {
    this.#microphone = microphone;
    this.#speaker = speaker;
    speaker.hidden = !this.#canChooseSpeaker;
    speakerLabel.hidden = !this.#canChooseSpeaker;
    microphone.addEventListener("change", () => this.#choose(KEYS.audioinput, microphone, onMicrophone));
    speaker.addEventListener("change", () => this.#choose(KEYS.audiooutput, speaker, onSpeaker));
    navigator.mediaDevices?.addEventListener("devicechange", () => this.refresh());
  }

  /** Ids of the chosen devices; "" is the default one. */
  get microphoneId() {
    return this.#microphone.value;
  }

  get speakerId() {
    return this.#canChooseSpeaker ? this.#speaker.value : "";
  }

  /** Reads the list again; call it after permission was given, when the labels become known. */
  async refresh() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const microphones = choices(devices, "audioinput", "Default microphone");
    fill(this.#microphone, microphones, this.#microphone.value || read(KEYS.audioinput));
    const speakers = choices(devices, "audiooutput", "Default speaker");
    fill(this.#speaker, speakers, this.#speaker.value || read(KEYS.audiooutput));
  }

  #choose(key, select, act) {
    write(key, select.value);
    act(select.value);
  }
}
