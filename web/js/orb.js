// The call's centre: a soft disc that moves with whoever speaks. Its colour is the CSS colour of its canvas, so
// that themes and states fade in the style sheet; with reduced motion it is a still disc.

const FRAME_MS = 33; // 30 frames a second are smooth for a slow shape, and spare a phone
const WAVES = [
  { lobes: 3, speed: 0.9, phase: 0, alpha: 0.16, reach: 1.3 },
  { lobes: 4, speed: -0.7, phase: 2, alpha: 0.24, reach: 1.14 },
  { lobes: 5, speed: 0.6, phase: 4, alpha: 1, reach: 1 },
];

/** Radius of the outline at `angle`: the disc's, pushed in and out by a slow wave as the level rises. */
export function outline(radius, angle, seconds, level, wave) {
  const swell = Math.sin(wave.lobes * angle + wave.speed * seconds * 2 + wave.phase);
  const ripple = Math.sin((wave.lobes + 2) * angle - wave.speed * seconds * 3);
  return radius * (1 + level * (0.05 * swell + 0.03 * ripple));
}

/** Draws the disc into a canvas 30 times a second while it runs. */
export class Orb {
  #canvas;
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #drawnAt = 0;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  /** `level` 0..1; `busy` draws the turning arc of thinking. Call it per animation frame. */
  draw(nowMs, level, busy) {
    if (nowMs - this.#drawnAt < FRAME_MS) return;
    this.#drawnAt = nowMs;
    const side = this.#fit();
    const context = this.#canvas.getContext("2d");
    const seconds = this.#still.matches ? 0 : nowMs / 1000;
    const strength = this.#still.matches ? 0 : level;
    context.clearRect(0, 0, side, side);
    context.save();
    context.translate(side / 2, side / 2);
    for (const wave of WAVES) this.#drawWave(context, side * 0.36, seconds, strength, wave);
    if (busy) this.#drawArc(context, side * 0.42, seconds);
    context.restore();
  }

  #fit() {
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
    return side;
  }

  #drawWave(context, radius, seconds, level, wave) {
    const size = radius * (wave.reach === 1 ? 1 : 1 + (wave.reach - 1) * (0.35 + 0.65 * level));
    const colour = getComputedStyle(this.#canvas).color;
    context.beginPath();
    for (let step = 0; step <= 90; step += 1) {
      const angle = (step / 90) * 2 * Math.PI;
      const reach = outline(size, angle, seconds, level, wave);
      context.lineTo(Math.cos(angle) * reach, Math.sin(angle) * reach);
    }
    context.globalAlpha = wave.alpha;
    context.fillStyle = colour;
    context.fill();
    if (wave.reach === 1) this.#drawLight(context, radius);
  }

  /** A soft light from above gives the disc its body. */
  #drawLight(context, radius) {
    const light = context.createRadialGradient(-radius * 0.35, -radius * 0.5, radius * 0.1, 0, 0, radius * 1.1);
    light.addColorStop(0, "rgba(255, 255, 255, 0.15)");
    light.addColorStop(1, "rgba(255, 255, 255, 0)");
    context.globalAlpha = 1;
    context.fillStyle = light;
    context.fill();
  }

  #drawArc(context, radius, seconds) {
    context.globalAlpha = 0.9;
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineWidth = Math.max(2, radius * 0.035);
    context.lineCap = "round";
    context.beginPath();
    context.arc(0, 0, radius, seconds * 2.4, seconds * 2.4 + Math.PI * 0.6);
    context.stroke();
  }
}
