// A spoken talk through the official Realtime session of @openai/agents, over WebSocket: a question, a tool call, an
// interruption. Run by test_openai_agents.py: node agents_talk.mjs URL QUESTION.pcm INTERRUPTION.pcm
// (24 kHz int16). Prints one JSON line for each thing that happened; the last says "over".
import { readFileSync } from "node:fs";
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";

const [url, question, interruption] = process.argv.slice(2);
const FRAME = 960;
const tell = (kind, more = {}) => console.log(JSON.stringify({ kind, ...more }));
const fail = (why) => {
  tell("failed", { why });
  process.exit(1);
};
setTimeout(() => fail("took too long"), 45_000).unref();

const lookUp = tool({
  name: "look_up",
  description: "Where an order is.",
  parameters: { type: "object", properties: { order: { type: "string" } }, required: ["order"], additionalProperties: false },
  strict: true,
  execute: async ({ order }) => {
    tell("tool", { order });
    return JSON.stringify({ state: "sent" });
  },
});
const agent = new RealtimeAgent({ name: "clerk", instructions: "Be brief.", tools: [lookUp] });
const transport = new OpenAIRealtimeWebSocket({ url });
const session = new RealtimeSession(agent, { transport, model: "voicebot" });

let saying = Buffer.alloc(0);
let heardMs = 0;
let step = "asking";
session.on("audio", (event) => {
  heardMs += event.data.byteLength / 48;
  if (step === "answering" && heardMs > 3_000) {
    step = "interrupting";
    saying = readFileSync(interruption);
  }
});
session.on("agent_tool_end", (_context, _agent, _tool, result) => {
  tell("tool ended", { result });
  heardMs = 0;
  step = "answering";
});
session.on("audio_interrupted", () => {
  tell("interrupted", { heard_ms: Math.round(heardMs) });
  step = "cut";
});
session.on("error", (event) => fail(String(event.error?.message ?? JSON.stringify(event))));
session.on("transport_event", (event) => {
  if (event.type === "conversation.item.input_audio_transcription.completed") tell("transcript", { text: event.transcript });
  if (event.type === "conversation.item.truncated") {
    tell("truncated", { ms: event.audio_end_ms, text: event.transcript });
    tell("over", { history: session.history.map((item) => item.type).length });
    session.close();
    process.exit(0);
  }
});

await session.connect({ apiKey: "any" });
saying = readFileSync(question);
let due = Date.now();
const talk = () => {
  const frame = Buffer.alloc(FRAME);
  saying.copy(frame, 0, 0, FRAME);
  saying = saying.subarray(FRAME);
  session.sendAudio(frame.buffer.slice(frame.byteOffset, frame.byteOffset + FRAME));
  due += 20;
  setTimeout(talk, Math.max(0, due - Date.now()));
};
talk();
