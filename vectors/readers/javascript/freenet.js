// Freenet: vectors/FUNCTIONS.md, freenet.

import { gcm } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { textOf } from "./address.js";
import { hex, join, unhex } from "./bytes.js";
import { orRefuse } from "./refusal.js";

// The nonce is zero: such a key seals once.
const introSeal = (key) => chacha20poly1305(key, Buffer.alloc(12));
const agree = (secret, other) => orRefuse("bad_point", () => x25519.getSharedSecret(secret, other));

const datagram = (layout, bytes) => layout.decode(layout.codecs.DATAGRAM, bytes);

function openIntro(layout, { static_secret, datagram: data }) {
  const { ephemeral, sealed } = datagram(layout, unhex(data)).fields;
  const key = agree(unhex(static_secret), unhex(ephemeral));
  const clear = orRefuse("bad_mac", () => introSeal(key).decrypt(unhex(sealed)));
  const body = layout.decodePacket("IntroBody", clear);
  return { version: body.version, receive_key: body.key };
}

function sealIntro(layout, { peer_public, ephemeral_secret, version, receive_key }) {
  const secret = unhex(ephemeral_secret);
  const clear = layout.writeFields("IntroBody", { version, key: receive_key });
  const sealed = introSeal(agree(secret, unhex(peer_public))).encrypt(clear);
  const fields = { ephemeral: hex(x25519.getPublicKey(secret)), sealed: hex(sealed) };
  return { datagram: layout.write(layout.codecs.DATAGRAM, { packet: "Intro", fields }) };
}

function openSymmetric(layout, { key, datagram: data }) {
  const { nonce, sealed } = datagram(layout, unhex(data)).fields;
  const cipher = gcm(unhex(key), unhex(nonce));
  const clear = orRefuse("bad_mac", () => cipher.decrypt(unhex(sealed)));
  return { nonce, clear, message: message(layout, clear) };
}

// -- versions

function readVersion(layout, field) {
  const bytes = unhex(field);
  const isNew = bytes[0] === 0xff && bytes[7] !== 0;
  const { major, minor, patch, minimum } = layout.decodePacket(isNew ? "VersionField" : "OldVersionField", bytes);
  return { version: [major, minor, patch], minimum: isNew ? [major, minor, minimum] : null };
}

const compare = (one, other) => one.map((part, index) => part - other[index]).find((difference) => difference) ?? 0;
const suits = ({ version }, { minimum }) => minimum === null || compare(version, minimum) >= 0;

function version(layout, { ours, field }) {
  const [own, other] = [ours, field].map((bytes) => readVersion(layout, bytes));
  const compatible = suits(own, other) && suits(other, own);
  return { ...other, compatible, ack_v2: compare(other.version, layout.constant("FIRST_WITH_VERSION")) >= 0 };
}

// -- what is sealed

const NAMES = {
  AckConnection: "ack",
  AckConnectionV2: "ack_v2",
  ShortMessage: "short",
  StreamFragment: "stream",
  NoOp: "noop",
  Ping: "ping",
  Pong: "pong",
};

const place = ({ packet, fields: { host, port } }) =>
  packet === "AddressV4" ? `${textOf(unhex(host))}:${port}` : `[${textOf(unhex(host))}]:${port}`;

// Bytes behind a Clear are not looked at.
function message(layout, clear) {
  const { packet_id, acked, body } = layout.decodePrefix({ kind: "packet", name: "Clear" }, clear).value;
  const { packet, fields } = body;
  const told = packet === "AckConnection" ? fields.result.fields : fields;
  const { reason, address, ...others } = told;
  return { kind: NAMES[packet], packet_id, acked, ...others, error: reason, address: address && place(address) };
}

// A Clear is named by its body; its other fields are the header.
const clear = (layout) => ({
  decode(wire) {
    const { body, ...header } = layout.decodePacket("Clear", wire);
    return { ...body, header };
  },
  encode: ({ packet, header, fields }) => layout.writeFields("Clear", { ...header, body: { packet, fields } }),
});

function split(layout, { size }) {
  if (size <= layout.constant("MAX_SHORT")) return { short: true, fragments: [] };
  const most = layout.constant("FRAGMENT_SIZE");
  const fragments = Array.from({ length: Math.ceil(size / most) }, (_, index) => Math.min(most, size - index * most));
  return { short: false, fragments };
}

export const codecs = (layout) => ({ "freenet.clear": clear(layout) });

export const functions = (layout) => ({
  "freenet.open_intro": (inputs) => openIntro(layout, inputs),
  "freenet.seal_intro": (inputs) => sealIntro(layout, inputs),
  "freenet.version": (inputs) => version(layout, inputs),
  "freenet.symmetric": (inputs) => {
    const { nonce, clear: text, message: found } = openSymmetric(layout, inputs);
    const sealed = gcm(unhex(inputs.key), unhex(nonce)).encrypt(text);
    if (inputs.datagram !== hex(join(Buffer.from([2]), unhex(nonce), sealed))) throw new Error("sealed otherwise");
    return { nonce, clear: text, message: found };
  },
  "freenet.open_symmetric": (inputs) => openSymmetric(layout, inputs),
  "freenet.decode": (inputs) => ({ message: message(layout, unhex(inputs.clear)) }),
  "freenet.split": (inputs) => split(layout, inputs),
});
