// SPOKE, the key exchange of Bob: vectors/FUNCTIONS.md, bob. Points and scalars have 32 bytes, little-endian.

import { createHmac } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { blake2b } from "@noble/hashes/blake2.js";
import { ascii, cut, fromLittle, join, same, toLittle } from "./bytes.js";
import { Refusal, refuseIf } from "./refusal.js";

const { Point } = ed25519;
const { Fp, Fn } = Point;

// -- the password

// PBKDF2 with HMAC-SHA-256, but with the number of the block in little-endian.
export function derive(password, salt, count, length) {
  const mac = (message) => createHmac("sha256", password).update(message).digest();
  const blocks = [];
  for (let block = 1; 32 * blocks.length < length; block += 1) {
    let round = mac(join(salt, toLittle(block, 4)));
    const sum = Buffer.from(round);
    for (let done = 1; done < count; done += 1) {
      round = mac(round);
      for (let index = 0; index < 32; index += 1) sum[index] ^= round[index];
    }
    blocks.push(sum);
  }
  return Buffer.concat(blocks).subarray(0, length);
}

// The parts of 128 bytes.
export function keyMaterial(password, salt, count) {
  const mnkl = derive(password, salt, count, 128);
  const [m, n, h_k, h_l] = cut(mnkl, 32, 32, 32);
  return { mnkl, m_point: toPoint(m), n_point: toPoint(n), h_k, h_l, l_point: encode(timesBase(clamped(h_l))) };
}

// -- points

const encode = (point) => Buffer.from(point.toBytes());

// Takes a y that is not reduced, as the reference does.
function decode(bytes) {
  try {
    return Point.fromBytes(bytes, true);
  } catch {
    throw new Refusal("bad_point");
  }
}

const LOWER_255 = (1n << 255n) - 1n;
export const unclamped = (bytes) => fromLittle(bytes) & LOWER_255;
export const clamped = (bytes) => (unclamped(bytes) & ~7n) | (1n << 254n);

function times(scalar, point) {
  const number = Fn.create(scalar);
  refuseIf(number === 0n || !point.isTorsionFree() || point.is0(), "bad_point");
  return point.multiply(number);
}

export const timesBase = (scalar) => times(scalar, Point.BASE);
export const encodedTimesBase = (scalar) => encode(timesBase(scalar));
export const difference = (left, right) => encode(decode(left).subtract(decode(right)));

// Elligator 2 of the lower 255 bits onto the Montgomery curve; the highest bit is the sign of x on the Edwards curve; then
// times the cofactor.
const A = 486662n;
export function toPoint(uniform) {
  const r = Fp.create(unclamped(uniform));
  const candidate = Fp.neg(Fp.div(A, Fp.add(1n, Fp.mul(2n, Fp.sqr(r)))));
  const right = Fp.mul(candidate, Fp.add(Fp.mul(candidate, Fp.add(candidate, A)), 1n));
  const isSquare = Fp.is0(right) || Fp.eql(Fp.pow(right, (Fp.ORDER - 1n) / 2n), 1n);
  const u = isSquare ? candidate : Fp.neg(Fp.add(candidate, A));
  const sum = Fp.add(u, 1n);
  const y = Fp.is0(sum) ? 0n : Fp.div(Fp.sub(u, 1n), sum);
  const bytes = toLittle(y, 32);
  bytes[31] |= uniform[31] & 0x80;
  return encode(decode(bytes).clearCofactor());
}

// -- the exchange

const blind = (scalar, mask) => encode(timesBase(unclamped(scalar)).add(decode(mask)));
const unblind = (point, mask) => decode(point).subtract(decode(mask));

// The keys and validators of a transcript.
function agree({ client_identity, server_identity, x_point, y_point, z, h_k, v }) {
  const transcript = join(Buffer.from([1, 0]), client_identity, server_identity, x_point, y_point, z, h_k, v);
  const main_key = Buffer.from(blake2b(transcript, { dkLen: 64 }));
  const label = join(ascii("SPOKE"), Buffer.alloc(11));
  const [client_shared_key, server_shared_key, server_validator, client_validator] = [0, 1, 2, 3].map((index) =>
    Buffer.from(blake2b(join(label, toLittle(index, 16)), { dkLen: 64, key: main_key })),
  );
  return { transcript, main_key, client_shared_key, server_shared_key, server_validator, client_validator };
}

export const clientHello = (given, { m_point }) => blind(given.x_scalar, m_point);

export function serverReply(given, x_point, { m_point, n_point, h_k, l_point }) {
  const y = unclamped(given.y_scalar);
  const y_point = blind(given.y_scalar, n_point);
  const z = encode(times(y, unblind(x_point, m_point)));
  const v = encode(times(y, decode(l_point)));
  return { y_point, z, v, ...agree({ ...given, x_point, y_point, z, h_k, v }) };
}

export function clientFinish(given, { y_point, server_validator }, material) {
  const x_point = clientHello(given, material);
  const element = unblind(y_point, material.n_point);
  const z = encode(times(unclamped(given.x_scalar), element));
  const v = encode(times(clamped(material.h_l), element));
  const agreed = agree({ ...given, x_point, y_point, z, h_k: material.h_k, v });
  refuseIf(!same(agreed.server_validator, server_validator), "bad_mac");
  return { x_point, ...agreed };
}
