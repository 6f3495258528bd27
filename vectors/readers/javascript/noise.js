// Noise_IK_25519_ChaChaPoly_BLAKE2s, as EGTP uses it. Nonces are 4 zero bytes and the counter, little-endian.

import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { ascii, join, toLittle } from "./bytes.js";
import { orRefuse } from "./refusal.js";

const hash = (bytes) => Buffer.from(blake2s(bytes));
const nonce = (counter) => join(Buffer.alloc(4), toLittle(counter, 8));

export const publicKey = (secret) => Buffer.from(x25519.getPublicKey(secret));
export const agree = (secret, other) => orRefuse("bad_point", () => x25519.getSharedSecret(secret, other));
export const seal = (key, counter, header, clear) =>
  Buffer.from(chacha20poly1305(key, nonce(counter), header).encrypt(clear));
export const open = (key, counter, header, sealed) =>
  orRefuse("bad_mac", () => chacha20poly1305(key, nonce(counter), header).decrypt(sealed));

export function hkdf(chainingKey, input) {
  const secret = hmac(blake2s, chainingKey, input);
  const first = Buffer.from(hmac(blake2s, secret, Buffer.from([1])));
  return [first, Buffer.from(hmac(blake2s, secret, join(first, Buffer.from([2]))))];
}

// The symmetric state. `steps` shows it after each step.
export class Transcript {
  constructor(prologue, responder) {
    this.hash = this.chainingKey = hash(ascii("Noise_IK_25519_ChaChaPoly_BLAKE2s"));
    this.steps = [];
    this.#note("init");
    this.mixHash(prologue);
    this.mixHash(responder);
  }

  #note(step) {
    this.steps.push({ step, h: this.hash, ck: this.chainingKey });
  }

  mixHash(bytes) {
    this.hash = hash(join(this.hash, bytes));
    this.#note("mix_hash");
  }

  mixKey(input) {
    [this.chainingKey, this.key] = hkdf(this.chainingKey, input);
    this.#note("mix_key");
  }

  // Under each key one text is sealed, with the counter 0.
  seal(clear) {
    const sealed = seal(this.key, 0, this.hash, clear);
    this.mixHash(sealed);
    return sealed;
  }

  open(sealed) {
    const clear = open(this.key, 0, this.hash, sealed);
    this.mixHash(sealed);
    return clear;
  }

  split = () => hkdf(this.chainingKey, Buffer.alloc(0));
}

// -- the first message

export function writeFirst(transcript, { ephemeral, own, responder, payload }) {
  const point = publicKey(ephemeral);
  transcript.mixHash(point);
  transcript.mixKey(agree(ephemeral, responder));
  const sealedStatic = transcript.seal(publicKey(own));
  transcript.mixKey(agree(own, responder));
  return { ephemeral: point, static: sealedStatic, payload: transcript.seal(payload) };
}

const PRIME = 2n ** 255n - 19n;
const isCanonical = (key) => BigInt(`0x${Buffer.from(key).reverse().toString("hex")}`) < PRIME;

export function readFirst(transcript, own, message) {
  transcript.mixHash(message.ephemeral);
  transcript.mixKey(agree(own, message.ephemeral));
  const initiator = transcript.open(message.static);
  orRefuse("bad_point", () => (isCanonical(initiator) ? initiator : null));
  transcript.mixKey(agree(own, initiator));
  return { initiator, payload: transcript.open(message.payload) };
}

// -- the second one

export function writeSecond(transcript, { ephemeral, theirEphemeral, initiator, payload }) {
  const point = publicKey(ephemeral);
  transcript.mixHash(point);
  transcript.mixKey(agree(ephemeral, theirEphemeral));
  transcript.mixKey(agree(ephemeral, initiator));
  return { ephemeral: point, payload: transcript.seal(payload) };
}

export function readSecond(transcript, { ephemeral, own }, message) {
  transcript.mixHash(message.ephemeral);
  transcript.mixKey(agree(ephemeral, message.ephemeral));
  transcript.mixKey(agree(own, message.ephemeral));
  return transcript.open(message.payload);
}
