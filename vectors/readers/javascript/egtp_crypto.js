// Keys, tokens, handshakes and Data packets of EGTP: vectors/FUNCTIONS.md, egtp.

import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { bytesOf, isMapped } from "./address.js";
import { ascii, hex, hexed, join, toLittle, unhex } from "./bytes.js";
import { Transcript, publicKey, readFirst, readSecond, seal, writeFirst, writeSecond } from "./noise.js";

// -- hashes: a label of 8 letters first

const digest = (size, ...parts) => Buffer.from(blake2s(join(...parts), { dkLen: size }));
const keyed = (size, key, ...parts) => Buffer.from(blake2s(join(...parts), { dkLen: size, key }));

export const macKey = (recipient) => digest(32, ascii("EGTP-mac"), recipient);
export const handshakeId = (h1) => digest(32, ascii("EGTP-hid"), h1.subarray(8, 128));

export function resetToken(secret, sid) {
  const label = ascii("EGTP-rst");
  return keyed(16, keyed(32, secret, label), label, sid);
}

export function makeToken(secret, path, time) {
  const stamp = toLittle(time, 8);
  return join(stamp, keyed(16, secret, ascii("EGTP-tok"), stamp, path));
}

export function challenge(layout, id, token, chainingKey) {
  const head = join(Buffer.from([layout.packets.CH.id]), id.subarray(0, 8), token);
  if (!chainingKey) return join(head, Buffer.alloc(8));
  const key = hmac(blake2s, chainingKey, ascii("EGTP-chp"));
  return join(head, keyed(8, key, head));
}

export const pathValue = ({ secret, peer, path, epoch }) =>
  keyed(8, secret, ascii("EGTP-pch"), peer, toLittle(epoch, 8), path);

export function pathBytes(layout, { host, port, scope = 0, label = "" }) {
  const bytes = bytesOf(host);
  const address = isMapped(bytes) ? bytes.subarray(12) : bytes;
  const packet = address.length === 4 ? "PathV4" : "PathV6";
  const fields = { label: hex(Buffer.from(label)), address: hex(address), port, scope };
  return layout.write(layout.codecs.PATH, { packet, fields });
}

// -- the handshake

export const prologue = (token) => join(ascii("EGTP-R1/datagram"), token);

export function makeH1(layout, { own, responder, ephemeral, token, stamp, instance, sid }) {
  const transcript = new Transcript(prologue(token), responder);
  const payload = layout.writeFields("InitPayload", hexed({ stamp, instance, sid }));
  const message = writeFirst(transcript, { ephemeral, own, responder, payload });
  const fields = hexed({ ...message, token, mac: Buffer.alloc(16) });
  const unsigned = layout.write(layout.codecs.DATAGRAM, { packet: "H1", fields }).subarray(0, 160);
  return { h1: join(unsigned, keyed(16, macKey(responder), unsigned)), transcript };
}

export const macOf = (own, h1) => keyed(16, macKey(own), h1.subarray(0, 160));

export function openH1(layout, own, h1) {
  const { ephemeral, static: sealed, payload, token } = layout.decode(layout.codecs.DATAGRAM, h1).fields;
  const transcript = new Transcript(prologue(unhex(token)), publicKey(own));
  const found = readFirst(transcript, own, {
    ephemeral: unhex(ephemeral),
    static: unhex(sealed),
    payload: unhex(payload),
  });
  return {
    transcript,
    ephemeral: unhex(ephemeral),
    initiator: found.initiator,
    ...layout.decodePacket("InitPayload", found.payload),
  };
}

export function makeH2(layout, opened, { ephemeral, sid, instance, own }) {
  const { transcript, ephemeral: theirEphemeral, initiator } = opened;
  const payload = layout.writeFields("ReplyPayload", hexed({ sid, instance, reset_token: resetToken(own, sid) }));
  const message = writeSecond(transcript, { ephemeral, theirEphemeral, initiator, payload });
  const h2 = layout.write(layout.codecs.DATAGRAM, { packet: "H2", fields: hexed({ sid: opened.sid, ...message }) });
  const [keyI2r, keyR2i] = transcript.split();
  return { h2, keyI2r, keyR2i };
}

export function openH2(layout, transcript, { ephemeral, own }, h2) {
  const { fields } = layout.decode(layout.codecs.DATAGRAM, h2);
  const message = { ephemeral: unhex(fields.ephemeral), payload: unhex(fields.payload) };
  return layout.decodePacket("ReplyPayload", readSecond(transcript, { ephemeral, own }, message));
}

export const kindOf = (name) =>
  name
    .split("_")
    .map((part) => part[0].toUpperCase() + part.slice(1))
    .join("");

export function makeData(layout, key, sid, counter, kind, body) {
  const head = join(Buffer.from([layout.packets.Data.id]), sid, toLittle(counter, 8));
  return join(head, seal(key, counter, head, join(Buffer.from([layout.packets[kind].id]), body)));
}

// -- the window of counters

// What was seen, or lies 8192 or more behind the highest one, is refused.
export class Window {
  constructor(seen = []) {
    this.seen = new Set(seen.map(BigInt));
    this.highest = seen.map(BigInt).reduce((most, counter) => (counter > most ? counter : most), -1n);
  }

  accepts(counter) {
    return !this.seen.has(counter) && counter + 8192n > this.highest;
  }

  add(counter) {
    if (!this.accepts(counter)) return false;
    this.seen.add(counter);
    if (counter > this.highest) this.highest = counter;
    return true;
  }
}
