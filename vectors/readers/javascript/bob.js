// Bob: vectors/FUNCTIONS.md, bob.

import { createHash } from "node:crypto";
import { gcm } from "@noble/ciphers/aes.js";
import { codecsOfFiles } from "./bob_files.js";
import { cut, hex, join, same, toBig, unhex, unhexed } from "./bytes.js";
import { codecOf } from "./check.js";
import { refuseIf } from "./refusal.js";
import * as spoke from "./spoke.js";

// -- the key exchange

const materialOf = ({ password, salt, count }) => spoke.keyMaterial(password, salt, count);

function keyMaterial(layout, inputs) {
  const material = materialOf(unhexed(inputs));
  const { count, server_cipher, client_cipher, salt } = inputs;
  const packet = layout.writeFields("PublicParameters", { version: 1, count, server_cipher, client_cipher, salt });
  const { m_point, n_point, h_k, l_point } = material;
  return { ...material, public: packet, secret: join(packet, m_point, n_point, h_k, l_point) };
}

function handshake(inputs) {
  const given = unhexed(inputs);
  const material = materialOf(given);
  const x_point = spoke.clientHello(given, material);
  const reply = spoke.serverReply(given, x_point, material);
  const finish = spoke.clientFinish(given, reply, material);
  refuseIf(!same(reply.transcript, finish.transcript), "bad_mac");
  const [x_base, y_base] = [given.x_scalar, given.y_scalar].map((scalar) =>
    spoke.encodedTimesBase(spoke.unclamped(scalar)),
  );
  return { ...material, ...reply, x_point, x_base, y_base };
}

function serverReply(inputs) {
  const given = unhexed(inputs);
  return spoke.serverReply(given, given.x_point, materialOf(given));
}

function serverFinish(inputs) {
  const reply = serverReply(inputs);
  refuseIf(!same(reply.client_validator, unhex(inputs.client_validator)), "bad_mac");
  return reply;
}

function clientFinish(inputs) {
  const given = unhexed(inputs);
  return spoke.clientFinish(given, given, materialOf(given));
}

function basePoint({ scalar }) {
  const bytes = unhex(scalar);
  return {
    clamped: spoke.encodedTimesBase(spoke.clamped(bytes)),
    unclamped: spoke.encodedTimesBase(spoke.unclamped(bytes)),
  };
}

// -- the channel

const MOST = 0x7fff; // bytes of the plaintext of a record
const TAG = 16;

function partsOf(cipher, sharedKey, sequence, length) {
  refuseIf(cipher !== "AES_256_GCM", "unsupported");
  const [aead_key, base_nonce] = cut(unhex(sharedKey), 32, 12);
  return {
    aead_key,
    base_nonce,
    nonce: join(base_nonce, toBig(sequence, 8)),
    associated_data: join(Buffer.from([0, 1]), toBig(length, 2)),
  };
}

const cipherOf = ({ aead_key, nonce, associated_data }) => gcm(aead_key, nonce, associated_data);

function record({ cipher, shared_key, sequence, plaintext }) {
  const clear = unhex(plaintext);
  const parts = partsOf(cipher, shared_key, sequence, clear.length);
  return { ...parts, record: join(toBig(clear.length, 2), cipherOf(parts).encrypt(clear)) };
}

const pattern = (length) =>
  Buffer.from(Array.from({ length }, (_, index) => (7 * index + Math.floor(index / 256)) % 256));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

// Bytes as they are, or as their length, hash and perhaps beginning.
const inForm = (bytes) => ({
  hex: hex(bytes),
  length: bytes.length,
  sha256: sha256(bytes),
  start: bytes.subarray(0, 64),
});

function channelSend(inputs) {
  const records = [];
  const received = [];
  for (const { hex: digits, length } of inputs.payloads) {
    for (let left = digits === undefined ? pattern(length) : unhex(digits); left.length; left = left.subarray(MOST)) {
      const plaintext = left.subarray(0, MOST);
      received.push(inForm(plaintext));
      records.push(record({ ...inputs, sequence: records.length, plaintext: hex(plaintext) }).record);
    }
  }
  return { wire: inForm(Buffer.concat(records)), received };
}

function channelReceive({ cipher, shared_key, wire }) {
  const received = [];
  let left = unhex(wire);
  for (let sequence = 0; ; sequence += 1) {
    const refuse = (condition, error) => refuseIf(condition, error, { outputs: { received } });
    if (!left.length) return { received, end: "eof", reply: "" };
    refuse(left.length < 2, "truncated");
    const length = left.readUInt16BE();
    if (length === 0xffff) return { received, end: "closed", reply: "ffffffff" };
    refuse(length > MOST, "bad_length");
    const [, sealed, rest] = cut(left, 2, length + TAG);
    refuse(sealed.length < length + TAG, "truncated");
    const clear = opened(partsOf(cipher, shared_key, sequence, length), sealed);
    refuse(!clear, "bad_mac");
    if (clear.length) received.push(clear);
    left = rest;
  }
}

function opened(parts, sealed) {
  try {
    return Buffer.from(cipherOf(parts).decrypt(sealed));
  } catch {
    return null;
  }
}

export const codecs = (layout) => ({
  "bob.frame": codecOf(layout, "bob.frame", { leavesRest: true, isStream: true }),
  ...codecsOfFiles(layout),
});

export const functions = (layout) => ({
  "bob.pbkdf2": ({ password, salt, count, length }) => ({
    key: spoke.derive(unhex(password), unhex(salt), count, length),
  }),
  "bob.key_material": (inputs) => keyMaterial(layout, inputs),
  "bob.map": ({ uniform }) => ({ point: spoke.toPoint(unhex(uniform)) }),
  "bob.base_point": basePoint,
  "bob.point_difference": ({ left, right }) => ({ point: spoke.difference(unhex(left), unhex(right)) }),
  "bob.handshake": handshake,
  "bob.server_reply": serverReply,
  "bob.client_finish": clientFinish,
  "bob.server_finish": serverFinish,
  "bob.record": record,
  "bob.channel_send": channelSend,
  "bob.channel_receive": channelReceive,
});
