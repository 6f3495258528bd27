// Tox: vectors/FUNCTIONS.md, tox.

import { hsalsa, xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { bytesOf, isMapped, textOf } from "./address.js";
import { cut, fromBig, fromLittle, hex, join, toBig, unhex } from "./bytes.js";
import { orRefuse, refuseIf } from "./refusal.js";

const publicKey = (secret) => Buffer.from(x25519.getPublicKey(secret));

// crypto_box_beforenm of NaCl: HSalsa20 of the X25519 agreement, with an input of zeros.
function agree(secret, other) {
  const point = orRefuse("bad_point", () => x25519.getSharedSecret(secret, other));
  const words = (bytes) => new Uint32Array(new Uint8Array(bytes).buffer);
  const out = new Uint32Array(8);
  hsalsa(words(Buffer.from("expand 32-byte k")), words(point), words(Buffer.alloc(16)), out);
  return Buffer.from(out.buffer);
}

const seal = (key, nonce, clear) => Buffer.from(xsalsa20poly1305(key, nonce).encrypt(clear));
const open = (key, nonce, sealed) => orRefuse("bad_mac", () => xsalsa20poly1305(key, nonce).decrypt(sealed));
const nonceAfter = (nonce, count = 1) => toBig((fromBig(nonce) + BigInt(count)) % (1n << 192n), 24);

// Opens what stands behind a head of the packet that ends with the nonce, and seals it again.
function opened(packet, headSize, key) {
  const [head, sealed] = cut(packet, headSize);
  const nonce = head.subarray(-24);
  const plain = open(key, nonce, sealed);
  return { plain, out: join(head, seal(key, nonce, plain)) };
}

function openCookie(cookie, secret) {
  const [nonce, sealed] = cut(cookie, 24);
  const plain = open(secret, nonce, sealed);
  const [time, keys] = cut(plain, 8);
  return { plain, time: Number(fromLittle(time)), keys };
}

const wrapped = (number) => Number(BigInt.asUintN(32, BigInt(number)));

// A step for each missing number, and a 0 wherever 255 numbers are passed over, up to `end`.
function writeRequest(start, end, most, missing) {
  const steps = [1];
  const wanted = new Set(missing);
  let step = 0;
  for (let number = start; number !== end && steps.length < most; number = wrapped(number + 1)) {
    step += 1;
    if (wanted.has(number)) steps.push(step);
    else if (step === 255) steps.push(0);
    else continue;
    step = 0;
  }
  return Buffer.from(steps);
}

function readRequest(list, start, end) {
  const missing = [];
  const count = wrapped(end - start);
  let at = -1;
  for (const step of list.subarray(1)) {
    at += step || 255;
    if (at >= count) break;
    if (step) missing.push(wrapped(start + at));
  }
  return missing;
}

const formulas = {
  "tox.public_key": ({ secret_key }) => ({ out: publicKey(secret_key) }),
  "tox.seal": ({ shared_key, nonce, plain }) => ({ out: seal(shared_key, nonce, plain) }),
  "tox.box": ({ secret_key, public_key, nonce, plain }) => ({ out: seal(agree(secret_key, public_key), nonce, plain) }),
  "tox.nonce": ({ nonce, n = 1 }) => ({ out: nonceAfter(nonce, n) }),
  "tox.sha512": ({ data }) => ({ out: sha512(data) }),

  "tox.request": ({ buffer_start, buffer_end, max_len, missing }) => {
    const out = writeRequest(buffer_start, buffer_end, max_len, missing);
    return { out, decoded: readRequest(out, buffer_start, buffer_end) };
  },

  "tox.data": ({ shared_key, nonce, buffer_start, packet_number, payload }) => {
    const padding = (1373 - payload.length) % 8;
    const plain = join(toBig(buffer_start, 4), toBig(packet_number, 4), Buffer.alloc(padding), payload);
    return { plain, padding, out: join(Buffer.from([0x1b]), nonce.subarray(-2), seal(shared_key, nonce, plain)) };
  },

  "tox.cookie_request": ({ packet, receiver_dht_sk, sender_dht_pk }) =>
    opened(packet, 57, agree(receiver_dht_sk, sender_dht_pk)),

  "tox.cookie_response": ({
    packet,
    receiver_dht_sk,
    sender_dht_sk,
    sender_dht_pk = publicKey(sender_dht_sk),
    cookie_symmetric_key,
  }) => {
    const { plain, out } = opened(packet, 25, agree(receiver_dht_sk, sender_dht_pk));
    const [cookie, number] = cut(plain, 112);
    const inside = openCookie(cookie, cookie_symmetric_key);
    return {
      sender_dht_pk,
      receiver_dht_pk: publicKey(receiver_dht_sk),
      plain,
      out,
      cookie,
      number_bytes: number,
      accepted: true,
      cookie_plain: inside.plain,
      mono_time_s: inside.time,
    };
  },

  "tox.cookie": ({ cookie, cookie_symmetric_key }) => ({
    accepted: true,
    out: openCookie(cookie, cookie_symmetric_key).keys,
  }),

  "tox.handshake": ({ packet, receiver_real_sk, sender_real_pk, session_pk, cookie_symmetric_key_of_receiver }) => {
    openCookie(packet.subarray(1, 113), cookie_symmetric_key_of_receiver);
    const { plain, out } = opened(packet, 137, agree(receiver_real_sk, sender_real_pk));
    const [base_nonce, key, hash] = cut(plain, 24, 32, 64);
    refuseIf(hex(hash) !== hex(sha512(packet.subarray(1, 113))), "bad_checksum");
    refuseIf(hex(key) !== hex(session_pk), "bad_value");
    return { plain, base_nonce, out };
  },

  "tox.node": ({ kind, ip, port, public_key }, layout) => ({ out: writeNode(layout, kind, ip, port, public_key) }),

  "tox.relay_frame": ({ shared_key, nonce, plain }) => {
    const sealed = seal(shared_key, nonce, plain);
    return {
      out: join(toBig(sealed.length, 2), sealed),
      next_nonce: nonceAfter(nonce),
      accepted: true,
      routing_id: plain[1],
    };
  },

  "tox.relay_hello": ({ packet, client_sk, server_sk, client_temp_sk }) => {
    const [client_pk, server_pk] = [publicKey(client_sk), publicKey(server_sk)];
    const { plain, out } = opened(packet, 56, agree(server_sk, client_pk));
    const [key, client_base_nonce] = cut(plain, 32);
    refuseIf(hex(key) !== hex(publicKey(client_temp_sk)), "bad_value");
    return { client_pk, server_pk, client_base_nonce, accepted: true, plain, out };
  },

  "tox.keys": (secrets) => {
    const shared = agree(secrets.a_session_sk, publicKey(secrets.b_session_sk));
    return {
      a_session_pk: publicKey(secrets.a_session_sk),
      b_session_pk: publicKey(secrets.b_session_sk),
      a_dht_pk: publicKey(secrets.a_dht_sk),
      b_dht_pk: publicKey(secrets.b_dht_sk),
      shared_a: shared,
      shared_b: agree(secrets.b_session_sk, publicKey(secrets.a_session_sk)),
      out: shared,
    };
  },
};

const TEXTS = ["kind", "ip", "direction", "note"];

// Inputs are bytes, but for a few texts and numbers.
const given = (inputs) =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => [
      name,
      typeof value === "string" && !TEXTS.includes(name) ? unhex(value) : value,
    ]),
  );

export const functions = (layout) =>
  Object.fromEntries(
    Object.entries(formulas).map(([type, formula]) => [type, (inputs) => formula(given(inputs), layout)]),
  );

// -- packets

function writeNode(layout, kind, ip, port, key) {
  const packet = { udp: { 4: "UdpV4", 16: "UdpV6" }, tcp: { 4: "TcpV4", 16: "TcpV6" } }[kind];
  const address = bytesOf(ip);
  const fields = { address: hex(address), port, key: hex(key) };
  return layout.write(layout.codecs.NODE, { packet: packet[address.length], fields });
}

// What is in a frame of a relay: with an id of 16 and more, a packet for somebody else.
const frame = (layout) => {
  const relayed = { kind: "packet", name: "Relayed" };
  return {
    decode(wire) {
      if (!(wire[0] >= layout.constant("FIRST_ID"))) return layout.decode(layout.codecs.CONTROL, wire);
      return { packet: "Relayed", fields: layout.decode(relayed, wire) };
    },
    encode({ packet, fields }) {
      return packet === "Relayed"
        ? layout.write(relayed, fields)
        : layout.write(layout.codecs.CONTROL, { packet, fields });
    },
  };
};

// Up to three nodes. What is not understood ends the list; nodes of UDP are taken as relays, IPv4 within IPv6 is IPv4.
const nodes = (layout) => ({
  decode(wire) {
    const relays = [];
    let rest = wire;
    while (relays.length < 3 && (rest.length || !relays.length)) {
      const next = nextNode(layout, rest, relays.length > 0);
      if (!next) break;
      relays.push(next.relay);
      rest = next.rest;
    }
    return { packet: "Nodes", fields: { relays } };
  },
  encode: ({ fields: { relays } }) =>
    join(...relays.map(({ key, host, port }) => writeNode(layout, "tcp", host, port, unhex(key)))),
});

const hostOf = (address) => textOf(isMapped(address) ? address.subarray(12) : address);

// The next node of a list, or null if the list ends here: in front of a family that is not known, or of an address that
// is cut off.
function nextNode(layout, data, hasOthers) {
  const packet = layout.codecs.NODE.packets[data[0]];
  const isCut = packet && data.length < 1 + layout.packets[packet].min - 32;
  if (hasOthers && (!packet || isCut)) return null;
  const { value, rest } = layout.decodePrefix(layout.codecs.NODE, data);
  const { address, port, key } = value.fields;
  agree(Buffer.alloc(32, 1), unhex(key)); // refuses a key of small order
  return { relay: { key, host: hostOf(unhex(address)), port }, rest };
}

export const codecs = (layout) => ({ "tox.frame": frame(layout), "tox.nodes": nodes(layout) });
