// Numbers in few bytes, as Overte's avatars, gains and views have them: vectors/FUNCTIONS.md, overte.

import { hex, unhex } from "./bytes.js";
import { floatOf, textOfFloat } from "./layout.js";

const f32 = Math.fround;
const HALF_ROOT = f32(1 / Math.sqrt(2));
const ROOT = f32(Math.sqrt(2));
const STEPS = 32767;
const FLAG = 0x8000;

// The largest of the four numbers is left out; the highest bits of the first two words say which one it is.
function packRotation(rotation) {
  const largest = rotation.reduce((best, one, index) => (Math.abs(one) > Math.abs(rotation[best]) ? index : best), 0);
  const sign = rotation[largest] > 0 ? -1 : 1;
  const words = rotation
    .filter((_, index) => index !== largest)
    .map((one) => Math.trunc(f32(f32(f32(sign * one + HALF_ROOT) / ROOT) * STEPS)) & ~FLAG);
  words[0] |= (largest & 1) * FLAG;
  words[1] |= (largest >> 1) * FLAG;
  return hex(Buffer.from(words.flatMap((word) => [(word >> 8) & 0xff, word & 0xff])));
}

function unpackRotation(digits) {
  const bytes = unhex(digits);
  const words = [0, 2, 4].map((at) => bytes.readUInt16BE(at));
  const others = words.map((word) => f32(f32(f32((word & ~FLAG) / STEPS) * ROOT) - HALF_ROOT));
  const left = others.reduce((rest, one) => f32(rest - f32(one * one)), 1);
  others.splice((words[0] >> 15) | ((words[1] >> 15) << 1), 0, -f32(Math.sqrt(Math.max(0, left))));
  return others;
}

const RATIO = 3276.7;
const GAIN = 12.0412;
const DEGREES = 65535 / 360;

// By the name of a packing: how a number is packed, and how it is read.
const packings = {
  rotation: { pack: packRotation, unpack: unpackRotation },
  ratio: {
    pack: (ratio) => Math.floor(ratio < 10 ? RATIO * ratio : -32.768 * (Math.min(ratio, 1000) - 10)),
    unpack: (packed) => (packed > 0 ? packed / RATIO : 10 - packed / 32.768),
  },
  gain: {
    pack: (gain) => (gain <= 0 ? 0 : Math.min(Math.max(Math.trunc(GAIN * Math.log2(gain) + 195.5), 0), 255)),
    unpack: (packed) => (packed ? 2 ** ((packed - 195) / GAIN) : 0),
  },
  angle: {
    pack: (degrees) => Math.floor((degrees + 180) * DEGREES),
    unpack: (packed) => packed / DEGREES - 180,
  },
  clip: {
    pack: (distance) => (distance < 10 ? Math.floor(distance * RATIO) : -Math.floor(distance)),
    unpack: (packed) => (packed > 0 ? packed / RATIO : -packed),
  },
};

const each = (change, value) => (Array.isArray(value) ? value.map(change) : change(value));

export const pack = ({ as, value }) => ({ packed: packings[as].pack(each(floatOf, value)) });
export const unpack = ({ as, packed }) => ({ value: each(textOfFloat, packings[as].unpack(packed)) });

// The last digits of what is read depend on the mathematics: they agree up to a 10,000th.
export function isClose(expected, got) {
  if (Array.isArray(expected)) return expected.every((one, index) => isClose(one, got[index]));
  const [one, other] = [floatOf(expected), floatOf(got)];
  return Math.abs(one - other) <= 1e-4 * Math.max(Math.abs(one), Math.abs(other));
}
