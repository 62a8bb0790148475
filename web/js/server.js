// The HTTP side of docs/events.md: readiness, information, and the offer.
import { failedServer, refusalProblem, serverGone } from "./problems.js";

const HEALTH_TIMEOUT_MS = 5000; // a server that takes longer to say that it is well is not

/** A failure that already has its words. */
export class CallProblem extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

async function jsonOf(response) {
  try {
    return await response.json();
  } catch (error) {
    console.warn("The server's answer is not JSON:", error.message);
    return {};
  }
}

async function request(path, options = {}) {
  try {
    return await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    console.warn(`${path} failed:`, error.message);
    throw new CallProblem(serverGone);
  }
}

/** {status: "ready" | "loading" | "draining", problem?}; throws CallProblem where the server cannot be reached. */
export async function readiness() {
  const response = await request("healthz", { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) });
  const { status = "loading", error } = await jsonOf(response);
  return status === "failed" ? { status, problem: failedServer(error) } : { status };
}

/** {profile, models, version, ice_servers}. */
export async function serverInfo() {
  const response = await request("api/info");
  return response.ok ? jsonOf(response) : {};
}

/** The server's answer to our SDP offer; throws CallProblem with its words when it refuses. */
export async function sendOffer(description, signal) {
  const response = await request("api/offer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sdp: description.sdp, type: description.type }),
    signal,
  });
  const body = await jsonOf(response);
  if (response.ok) return body;
  const ready = response.status === 503 && (await readiness()).status === "ready";
  throw new CallProblem(refusalProblem(response.status, body.error, ready));
}
