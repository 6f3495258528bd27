// Overte: vectors/FUNCTIONS.md, overte.

import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { hmac } from "@noble/hashes/hmac.js";
import { md5 } from "@noble/hashes/legacy.js";
import { bytesOf, textOf } from "./address.js";
import { cut, fromBig, hex, join, same, toBig, unhex } from "./bytes.js";
import { codecOf } from "./check.js";
import { inflate } from "./inflate.js";
import { isClose, pack, unpack } from "./packed.js";
import { refuseIf } from "./refusal.js";

// -- addresses

const PLACES = { Any: "*", NullAddress: "" };

function hostOf({ packet, fields: { address } }) {
  if (packet === "V4") return textOf(toBig(address, 4));
  return packet === "V6" ? textOf(unhex(address)) : PLACES[packet];
}

function bodyOf({ host, port, scope = null }) {
  const place = Object.keys(PLACES).find((packet) => PLACES[packet] === host);
  if (place) return { packet: place, fields: { port } };
  if (host.includes(":")) return { packet: "V6", fields: { address: hex(bytesOf(host)), scope, port } };
  return { packet: "V4", fields: { address: Number(fromBig(bytesOf(host))), port } };
}

export const kinds = {
  socket_address: {
    least: ({ socket_type: type, address }, layout) => (type ? 1 : 0) + layout.least(address),
    read({ socket_type: type, address }, reader, after, layout) {
      const kind = type && layout.read(type, reader, after);
      const body = layout.read(address, reader, after);
      const { port, scope } = body.fields;
      return { host: hostOf(body), port, ...(scope == null ? {} : { scope }), ...(kind === undefined ? {} : { kind }) };
    },
    write({ socket_type: type, address }, value, layout) {
      return join(type ? layout.write(type, value.kind) : Buffer.alloc(0), layout.write(address, bodyOf(value)));
    },
  },

  // Flags, then the sections whose flags are set.
  sections: {
    least: ({ flags }, layout) => layout.least(flags),
    read({ flags, sections }, reader, after, layout) {
      const set = layout.read(flags, reader, after);
      const isSet = ({ flag }) => (set & flag) !== 0;
      refuseIf(
        sections.reduce((left, { flag }) => left & ~flag, set),
        "bad_value",
      );
      const needed = ({ with: other }) => other === undefined || isSet(sections.find(({ name }) => name === other));
      const there = sections.filter((one) => isSet(one) && needed(one));
      return Object.fromEntries(there.map(({ name, type }) => [name, layout.read(type, reader, after)]));
    },
    write({ flags, sections }, value, layout) {
      const there = sections.filter(({ name }) => name in value);
      const set = there.reduce((sum, { flag }) => sum | flag, 0);
      return join(layout.write(flags, set), ...there.map(({ name, type }) => layout.write(type, value[name])));
    },
  },

  // Fields of which some say how large others are.
  struct: {
    least: ({ fields }, layout) => fields.reduce((sum, { type }) => sum + (type.count ? 0 : layout.least(type)), 0),
    read({ fields }, reader, after, layout) {
      const value = {};
      for (const { name, type } of fields) {
        const size = sizeOf(type, value);
        value[name] = size === undefined ? layout.read(type, reader, after) : hex(reader.take(size, after));
      }
      return value;
    },
    write: ({ fields }, value, layout) =>
      join(...fields.map(({ name, type }) => (type.count ? unhex(value[name]) : layout.write(type, value[name])))),
  },

  // Traits up to one that is the end, if each has a version, or up to the end of the packet.
  traits: {
    least: ({ version, type }, layout) => (version ? layout.least(type) : 0),
    read(type, reader, after, layout) {
      const traits = [];
      while (type.version || reader.left) {
        const kind = layout.read(type.type, reader, after);
        if (kind === type.end) {
          refuseIf(!type.version, "bad_type");
          break;
        }
        refuseIf(traits.length === type.max, "bad_length");
        traits.push(readTrait(kind, type, reader, after, layout));
      }
      return traits;
    },
    write(type, value, layout) {
      const written = value.map((trait) => writeTrait(trait, type, layout));
      return join(...written, type.version ? layout.write(type.type, type.end) : Buffer.alloc(0));
    },
  },
};

const bitsIn = (digits, count) => [...Array(count).keys()].filter((bit) => unhex(digits)[bit >> 3] & (1 << (bit & 7)));

function sizeOf({ kind, bits, count, size }, value) {
  if (kind === "bits") return Math.ceil(value[count] / 8);
  return kind === "marked" ? size * bitsIn(value[bits], value[count]).length : undefined;
}

function readTrait(kind, { version, instance, size, max_size, gone }, reader, after, layout) {
  const trait = { type: kind };
  if (version) trait.version = layout.read(version, reader, after);
  if (kind >= instance.from) trait.instance = layout.read(instance.type, reader, after);
  const length = layout.read(size, reader, after);
  if (length === gone) return trait;
  refuseIf(length < 0 || length > max_size, "bad_length");
  return { ...trait, data: hex(reader.take(length, after)) };
}

function writeTrait(trait, { type, version, instance, size, gone }, layout) {
  const data = trait.data === undefined ? null : unhex(trait.data);
  return join(
    layout.write(type, trait.type),
    version ? layout.write(version, trait.version) : Buffer.alloc(0),
    trait.instance === undefined ? Buffer.alloc(0) : layout.write(instance.type, trait.instance),
    layout.write(size, data ? data.length : gone),
    data ?? Buffer.alloc(0),
  );
}

// -- datagrams

function exclusiveOr(layout, level, bytes) {
  if (!level) return bytes;
  const key = unhex(layout.constant("OBFUSCATION_KEYS")[level - 1]);
  return Buffer.from(bytes.map((byte, index) => byte ^ key[index % key.length]));
}

const prefix = (layout, name, bytes) => layout.decodePrefix({ kind: "packet", name }, bytes);
const FORMS = { UNSOURCED: "Unsourced", SOURCED: "Sourced", VERIFIED: "Verified" };

function decodeControl(layout, word, data) {
  const type = layout.nameOf("ControlType", (word & 0x7fffffff) >>> 16);
  refuseIf(type === undefined, "bad_type");
  refuseIf(word & 0xffff, "bad_value");
  if (type === "HANDSHAKE_REQUEST") return { packet: "Control", fields: { type }, rest: data };
  const { value, rest } = prefix(layout, "NumberedControl", data);
  return { packet: "Control", fields: { type, ...value }, rest };
}

function decodeDatagram(layout, wire) {
  let {
    value: { word },
    rest: data,
  } = prefix(layout, "Word", wire);
  if (word & layout.constant("CONTROL_BIT")) return decodeControl(layout, word, data);
  const header = { sequence: word & layout.constant("MAX_SEQUENCE") };
  if (word & layout.constant("RELIABLE_BIT")) header.reliable = true;
  if (word & layout.constant("MESSAGE_BIT")) {
    const { value, rest } = prefix(layout, "PartOfMessage", data);
    const position = layout.nameOf("Position", value.message >>> 30);
    header.part = { position, message: value.message & layout.constant("MAX_MESSAGE_NUMBER"), number: value.part };
    data = rest;
  }
  const level = (word >>> layout.constant("LEVEL_SHIFT")) & 3;
  if (level) header.obfuscation = level;
  return { header, ...decodeTyped(layout, header, exclusiveOr(layout, level, data)) };
}

function decodeTyped(layout, header, data) {
  const { type } = prefix(layout, "Unsourced", data).value;
  const { form, value: number } = layout.enumerations.PacketType[type];
  const { value, rest } = prefix(layout, FORMS[form], data);
  Object.assign(header, value);
  if (header.part && header.part.position !== "ONLY") return { packet: "Part", fields: { payload: hex(rest) } };
  const packet = packetOf(layout, number);
  if (!packet) return { packet: "Payload", fields: { payload: hex(rest) } };
  const payload = prefix(layout, packet, rest);
  return { packet, fields: payload.value, rest: payload.rest };
}

const packetOf = (layout, number) =>
  Object.keys(layout.types["overte.payload"].packets).find((name) => layout.packets[name].id === number);

function encodeDatagram(layout, { packet, header, fields }) {
  if (packet === "Control") {
    const type = layout.enumerations.ControlType[fields.type].value;
    const word = layout.writeFields("Word", { word: layout.constant("CONTROL_BIT") + type * 2 ** 16 });
    return join(word, "sequence" in fields ? layout.writeFields("NumberedControl", fields) : Buffer.alloc(0));
  }
  const { sequence, reliable, part, obfuscation: level = 0, type } = header;
  const flags = (reliable ? layout.constant("RELIABLE_BIT") : 0) + (part ? layout.constant("MESSAGE_BIT") : 0);
  const word = layout.writeFields("Word", { word: sequence + flags + level * 2 ** layout.constant("LEVEL_SHIFT") });
  const message = part && layout.enumerations.Position[part.position].value * 2 ** 30 + part.message;
  const place = part ? layout.writeFields("PartOfMessage", { message, part: part.number }) : Buffer.alloc(0);
  const head = layout.writeFields(FORMS[layout.enumerations.PacketType[type].form], header);
  const payload =
    "payload" in fields && !(packet in layout.packets) ? unhex(fields.payload) : layout.writeFields(packet, fields);
  return join(word, place, exclusiveOr(layout, level, join(head, payload)));
}

// -- how the reference reads: vectors/FUNCTIONS.md, overte

function readLeniently(layout, name, data) {
  let left = data;
  const take = (size) => {
    const [taken, rest] = cut(left, Math.min(size, left.length));
    left = rest;
    return taken;
  };
  const exactly = (size, otherwise) => {
    const taken = take(size);
    return taken.length === size ? taken : otherwise;
  };
  const count = (type) => Number(value(type));
  const filled = (type, bytes) => layout.decode(type, bytes);
  const packet = (one) =>
    Object.fromEntries(layout.packets[one].fields.map(({ name: field, type }) => [field, value(type)]));
  const readers = {
    int: (type) => filled(type, exactly(type.size, Buffer.alloc(type.size))),
    bytes: ({ size }) => hex(exactly(size, Buffer.alloc(size))),
    bool: () => exactly(1, Buffer.alloc(1))[0] !== 0,
    enum: (type) => layout.nameOf(type.of, value(type.as)) ?? value(type.as),
    counted(type) {
      const size = count(type.count);
      if (type.null && size === 0xffffffff) return null;
      if (!type.text) return hex(exactly(size, Buffer.alloc(0)));
      return size % 2 ? "" : exactly(size, Buffer.alloc(0)).swap16().toString("utf16le");
    },
    socket_address({ socket_type, address }) {
      const kind = socket_type && value(socket_type);
      const form = address.packets[value(address.tag)] ?? "NullAddress";
      const fields = form === "V6" ? v6() : packet(form);
      const { port, scope } = fields;
      return {
        host: hostOf({ packet: form, fields }),
        port,
        ...(scope == null ? {} : { scope }),
        ...(kind ? { kind } : {}),
      };
    },
    packet: (type) => packet(type.name),
    trailing: ({ of }) => (left.length ? value(of) : undefined),
    list({ of }) {
      const items = [];
      while (left.length) items.push(value(of));
      return items;
    },
  };
  // Its 16 bytes are read one by one.
  const v6 = () => {
    const [address, ...others] = layout.packets.V6.fields;
    const bytes = Buffer.concat([take(16)], 16);
    return {
      [address.name]: hex(bytes),
      ...Object.fromEntries(others.map(({ name: field, type }) => [field, value(type)])),
    };
  };
  const value = (type) => readers[type.kind](type);
  return packet(name);
}

// -- values of QDataStream

// A QHostAddress is a SockAddr without a port.
function qt(layout) {
  const codec = codecOf(layout, "overte.qt");
  const asSocket = { packet: "SockAddr" };
  return {
    decode(wire, test) {
      if (test.packet !== "QHostAddress") {
        const { packet, fields, rest } = codec.decode(wire, test);
        return {
          packet,
          rest,
          fields: layout.types["overte.qt"].packets[packet].kind === "socket_address" ? fields.value : fields,
        };
      }
      const { fields, rest } = codec.decode(join(wire, Buffer.alloc(2)), asSocket);
      const { port, ...host } = fields.value;
      return { packet: "QHostAddress", fields: host, rest };
    },
    encode(found, test) {
      if (test.packet === "QHostAddress") return qtHost(codec, found);
      const isAddress = layout.types["overte.qt"].packets[test.packet].kind === "socket_address";
      return codec.encode(isAddress ? { fields: { value: found.fields } } : found, test);
    },
  };
}

const qtHost = (codec, { fields }) =>
  codec.encode({ fields: { value: { ...fields, port: 0 } } }, { packet: "SockAddr" }).subarray(0, -2);

export const codecs = (layout) => ({
  "overte.datagram": {
    leavesRest: true,
    decode: (wire) => decodeDatagram(layout, wire),
    encode: (found) => encodeDatagram(layout, found),
  },
  "overte.payload": codecOf(layout, "overte.payload", { leavesRest: true }),
  "overte.lenient": {
    decode: (wire, { packet }) => ({ packet, fields: readLeniently(layout, packet, wire) }),
  },
  "overte.qt": qt(layout),
});

// -- functions

function qcompress({ compressed, limit }) {
  const [length, stream] = cut(unhex(compressed), 4);
  refuseIf(length.length < 4, "truncated");
  const size = Number(fromBig(length));
  refuseIf(size > limit, "bad_length");
  if (!size && !stream.length) return { content: "" };
  const { content, rest } = inflate(stream, size);
  refuseIf(rest.length, "trailing");
  return { content };
}

function mac({ secret, payload, mac: expected }) {
  const made = Buffer.from(hmac(md5, unhex(secret), unhex(payload)));
  refuseIf(!same(made, unhex(expected)), "bad_mac");
  return { mac: made };
}

function usernameSignature({ private_key, public_key, username, token, signature }) {
  const message = join(Buffer.from(username.toLowerCase(), "utf8"), unhex(token));
  const key = createPrivateKey({ key: unhex(private_key), format: "der", type: "pkcs1" });
  const given = createPublicKey({ key: unhex(public_key), format: "der", type: "spki" });
  refuseIf(!verify("sha256", message, given, unhex(signature)), "bad_mac");
  const own = createPublicKey(key).export({ format: "der", type: "spki" });
  return { public_key: own, message, signature: sign("sha256", message, key) };
}

// Instead of comparing the values that come out: whether those of a test are close.
const unpacked = (inputs, outputs) => {
  const { value } = unpack(inputs);
  return { value: isClose(outputs.value, value) ? outputs.value : value };
};

export const functions = () => ({
  "overte.packed": pack,
  "overte.unpacked": unpacked,
  "overte.qcompress": qcompress,
  "overte.mac": mac,
  "overte.username_signature": usernameSignature,
  "overte.protocol_signature": ({ versions }) => {
    const bytes = unhex(versions);
    return { signature: md5(join(Buffer.from([bytes.length]), bytes)) };
  },
});
