// A turn's latency drawn to scale: a table whose middle column is a millisecond axis, so that what the eye
// sees as bars a screen reader reads as rows.
import { element } from "./dom.js";

const GRID_MS = 200;
const MOST_LABELS = 6; // labels on the axis beyond the zero

const STAGES = {
  wait: ["Wait", "From the end of speech until it was sure that the turn had ended"],
  stt: ["Hear", "Speech to text"],
  llm: ["Think", "The model, up to its first clause"],
  tts: ["Voice", "Text to speech, up to its first sound"],
  playout: ["Send", "Until the first sound went out"],
};

/** {startMs, stopMs, gridMs, labelMs}: whole grid steps around every stage and zero. */
export function axisOf(waterfall) {
  const times = waterfall.stages.flatMap((stage) => [stage.start_ms, stage.stop_ms]);
  const latest = Math.max(GRID_MS, waterfall.v2v_ms || 0, ...times);
  const startMs = Math.floor(Math.min(0, ...times) / GRID_MS) * GRID_MS;
  const stopMs = Math.ceil(latest / GRID_MS) * GRID_MS;
  const steps = (stopMs - startMs) / GRID_MS;
  return { startMs, stopMs, gridMs: GRID_MS, labelMs: Math.ceil(steps / MOST_LABELS) * GRID_MS };
}

/** {left, width} in percent of the axis. */
export function placed(axis, startMs, stopMs) {
  const span = axis.stopMs - axis.startMs;
  return { left: ((startMs - axis.startMs) / span) * 100, width: (Math.max(0, stopMs - startMs) / span) * 100 };
}

/** Times to write under the axis, from its start. */
export function axisLabels(axis) {
  const labels = [];
  for (let ms = axis.startMs; ms <= axis.stopMs; ms += axis.labelMs) labels.push(ms);
  return labels;
}

function bar(axis, startMs, stopMs, className) {
  const node = element("span", `bar ${className}`);
  const { left, width } = placed(axis, startMs, stopMs);
  node.style.left = `${left}%`;
  node.style.width = `${width}%`;
  return node;
}

function row(axis, { name, title, startMs, stopMs, className }) {
  const line = element("tr");
  const head = element("th", "", name);
  head.scope = "row";
  head.title = title;
  const track = element("td", "track");
  track.append(bar(axis, startMs, stopMs, className));
  const from = element("span", "visually-hidden", `from ${Math.round(startMs)} to ${Math.round(stopMs)} milliseconds`);
  track.append(from);
  const time = element("td", "time", `${Math.round(stopMs - startMs)}`);
  line.append(head, track, time);
  return line;
}

function header(axis) {
  const line = element("tr");
  const scale = element("th", "track axis");
  scale.scope = "col";
  scale.append(element("span", "visually-hidden", "When"));
  for (const ms of axisLabels(axis)) {
    const label = element("span", "tick", `${ms}`);
    label.setAttribute("aria-hidden", "true");
    label.style.left = `${placed(axis, ms, ms).left}%`;
    scale.append(label);
  }
  const stage = element("th", "", "Stage");
  const time = element("th", "time", "ms");
  stage.scope = time.scope = "col";
  line.append(stage, scale, time);
  return line;
}

function stageRow(axis, { name, start_ms: startMs, stop_ms: stopMs }) {
  const [label, title] = STAGES[name] || [name, name];
  return row(axis, { name: label, title, startMs, stopMs, className: Object.hasOwn(STAGES, name) ? name : "other" });
}

/** The <table> of one turn. `waterfall` as in docs/events.md. */
export function waterfallTable(waterfall) {
  const axis = axisOf(waterfall);
  const table = element("table", "waterfall");
  table.append(element("caption", "visually-hidden", "Latency of this turn, from the last sample of your speech"));
  table.style.setProperty("--grid", `${(axis.gridMs / (axis.stopMs - axis.startMs)) * 100}%`);
  const head = element("thead");
  head.append(header(axis));
  const body = element("tbody");
  body.append(...waterfall.stages.map((stage) => stageRow(axis, stage)));
  table.append(head, body);
  if (Number.isFinite(waterfall.v2v_ms)) {
    const foot = element("tfoot");
    const title = "From your last word to the first sound of the answer";
    foot.append(row(axis, { name: "Total", title, startMs: 0, stopMs: waterfall.v2v_ms, className: "total" }));
    table.append(foot);
  }
  return table;
}
