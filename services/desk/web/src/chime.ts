/** The ring as samples: two soft notes and a pause, to be played in a loop. A pure function, no file to load. */

// Enough for notes below 2 kHz, and a third of the work of 48 kHz.
export const SAMPLE_RATE = 16_000;
// One ring in three seconds: heard from the next desk, and not nagging for the fifteen seconds that a phone rings.
export const PERIOD_S = 3;
// Heard above an office; in a headset it startles nobody.
const LOUDNESS = 0.3;
// E5 and C#5: a falling third, as a door bell. [Hz, begins at s]
const NOTES = [
  [659.26, 0],
  [554.37, 0.35],
] as const;
// A bell: there at once, but without the click of a step, and gone before the next ring.
const ATTACK_S = 0.008;
const DECAY_S = 0.28;
const NOTE_S = 1.6;

/** Mono samples within ±0.3, `PERIOD_S` long; silent at both ends, so that the loop has no seam. */
export function chime(): Float32Array<ArrayBuffer> {
  const samples = new Float32Array(SAMPLE_RATE * PERIOD_S);
  for (const [frequency, begin] of NOTES) {
    const first = Math.round(begin * SAMPLE_RATE);
    for (let n = 0; n < NOTE_S * SAMPLE_RATE; n++) {
      const t = n / SAMPLE_RATE;
      const envelope = Math.min(1, t / ATTACK_S) * Math.exp(-t / DECAY_S) * (1 - t / NOTE_S);
      const phase = 2 * Math.PI * frequency * t;
      // The octave above makes it clear in small loudspeakers.
      samples[first + n] = (samples[first + n] ?? 0) + envelope * (0.8 * Math.sin(phase) + 0.2 * Math.sin(2 * phase));
    }
  }
  const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  return samples.map((sample) => (sample / peak) * LOUDNESS);
}
