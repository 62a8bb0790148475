// Everything that can go wrong, in words: what happened, what to do, and the buttons that do it.
// A problem is {kind, title, detail, actions}; actions: "retry" (call), "type" (call without a microphone).

const MICROPHONE_FAULTS = {
  NotAllowedError: {
    kind: "permission-denied",
    title: "The microphone is blocked",
    detail: "Allow it for this site in the address bar’s settings and try again, or type instead.",
  },
  NotFoundError: {
    kind: "no-microphone",
    title: "No microphone found",
    detail: "Plug in or switch on a microphone and try again, or type instead.",
  },
  NotReadableError: {
    kind: "microphone-busy",
    title: "The microphone cannot be opened",
    detail: "Another program may be using it. Close that program or choose another microphone, or type instead.",
  },
  OverconstrainedError: {
    kind: "microphone-gone",
    title: "That microphone is gone",
    detail: "Choose another one under “Devices and models” and try again, or type instead.",
  },
};

/** A page that is neither https nor localhost gets no microphone from the browser. */
export const insecureContext = Object.freeze({
  kind: "insecure",
  title: "The microphone needs a secure address",
  detail: "Browsers allow the microphone only over https, or on localhost. Open this page that way, or type instead.",
  actions: ["type"],
});

export const serverGone = Object.freeze({
  kind: "server-gone",
  title: "The server cannot be reached",
  detail: "It may be stopped or restarting, or your network is down. Check it and try again.",
  actions: ["retry"],
});

export const connectionLost = Object.freeze({
  kind: "connection-lost",
  title: "The connection was lost",
  detail: "The call ended because nothing came through any more. What was said is kept here.",
  actions: ["retry"],
});

export const noConnection = Object.freeze({
  kind: "no-connection",
  title: "No connection for sound",
  detail: "No audio path to the server opened. A firewall may block UDP; ask its operator for a TURN server.",
  actions: ["retry"],
});

/** Why getUserMedia refused; `error` is its DOMException. */
export function microphoneProblem(error) {
  const known = MICROPHONE_FAULTS[error.name];
  const fault = known || {
    kind: "microphone-failed",
    title: "The microphone failed",
    detail: `The browser says: ${error.message || error.name}. Try again, or type instead.`,
  };
  return { ...fault, actions: ["retry", "type"] };
}

/** A refusal of POST /api/offer. `words`: its body's `error`. `ready`: what /healthz says meanwhile. */
export function refusalProblem(status, words, ready) {
  if (status === 503 && ready) {
    const detail = words || "Please try again in a moment.";
    return { kind: "busy", title: "All lines are busy", detail, actions: ["retry"] };
  }
  if (status === 503) {
    const detail = words || "It is loading or closing.";
    return { kind: "not-ready", title: "The server is not ready", detail, actions: ["retry"] };
  }
  const detail = words || `It answered with HTTP status ${status}.`;
  return { kind: "refused", title: "The server refused the call", detail, actions: ["retry"] };
}

/** /healthz says "failed": a person must look at the server. */
export function failedServer(words) {
  const detail = words || "An engine did not load. Its log says more.";
  return { kind: "failed", title: "The server could not start", detail, actions: ["retry"] };
}

/** A fault of this page or browser that has no better words. */
export function unexpectedProblem(error) {
  const detail = String(error.message || error);
  return { kind: "unexpected", title: "The call could not start", detail, actions: ["retry"] };
}
