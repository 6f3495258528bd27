// Reads and writes packets as a file of vectors/layouts/ declares them. Values are those of the vectors: bytes are
// hexadecimal digits, numbers that can exceed 2^53 decimal text, members of enumerations their names.

import { ascii, fromBig, fromLittle, hex, toBig, toLittle, unhex } from "./bytes.js";
import { isObject, parseStrictly } from "./json.js";
import { Refusal, refuseIf } from "./refusal.js";

// What is left to read of some bytes.
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  // The next bytes. `after` is how many more the fields behind them take at least.
  take(size, after) {
    refuseIf(this.left < size, "truncated", { need: size - this.left + after });
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encodings = {
  "utf-8": { decode: (bytes) => utf8.decode(bytes), encode: (text) => Buffer.from(text, "utf8") },
  "utf-16-be": {
    decode: (bytes) => Buffer.from(bytes).swap16().toString("utf16le"),
    encode: (text) => Buffer.from(text, "utf16le").swap16(),
  },
  json: {
    decode: (bytes) => {
      const text = utf8.decode(bytes);
      refuseIf(!isObject(parseStrictly(text)), "bad_value");
      return text;
    },
    encode: (text) => Buffer.from(text, "utf8"),
  },
};

function decodeText(bytes, text) {
  if (text === undefined) return hex(bytes);
  try {
    return encodings[text].decode(bytes);
  } catch (error) {
    throw error instanceof Refusal ? error : new Refusal("bad_encoding");
  }
}

const encodeText = (value, text) => (text === undefined ? unhex(value) : encodings[text].encode(value));

// The shortest text that gives a number: with a point, or below 0.0001 and from 10^16 on with an exponent of two digits.
export function textOfFloat(number) {
  if (!Number.isFinite(number)) return String(number).replace("Infinity", "inf").toLowerCase();
  if (Object.is(number, -0)) return "-0.0";
  const [, digits, sign, exponent] = number.toExponential().match(/^(.*)e([+-])(\d+)$/);
  const power = Number(sign + exponent);
  if (number !== 0 && (power < -4 || power >= 16)) return `${digits}e${sign}${exponent.padStart(2, "0")}`;
  const text = String(number);
  return text.includes(".") ? text : `${text}.0`;
}

export const floatOf = (text) => Number(text.replace("inf", "Infinity").replace("nan", "NaN"));

// By kind of type: the fewest bytes that it takes, how it is read, how it is written.
const kinds = {
  int: {
    least: ({ size }) => size,
    read({ size, order, signed, min, max }, reader, after) {
      const raw = reader.take(size, after);
      let number = order === "little" ? fromLittle(raw) : fromBig(raw);
      if (signed) number = BigInt.asIntN(8 * size, number);
      refuseIf(number < (min ?? number) || number > (max ?? number), "bad_value");
      return size === 8 && !(max <= Number.MAX_SAFE_INTEGER) ? String(number) : Number(number);
    },
    write({ size, order }, value) {
      const number = BigInt.asUintN(8 * size, BigInt(value));
      return order === "little" ? toLittle(number, size) : toBig(number, size);
    },
  },

  float: {
    least: ({ size }) => size,
    read({ size, order }, reader, after) {
      const raw = Buffer.from(reader.take(size, after));
      if (order === "little") raw.reverse();
      return textOfFloat(size === 4 ? raw.readFloatBE() : raw.readDoubleBE());
    },
    write({ size, order }, value) {
      const raw = Buffer.alloc(size);
      if (size === 4) raw.writeFloatBE(floatOf(value));
      else raw.writeDoubleBE(floatOf(value));
      return order === "little" ? raw.reverse() : raw;
    },
  },

  bool: {
    least: () => 1,
    read(_, reader, after) {
      const [byte] = reader.take(1, after);
      refuseIf(byte > 1, "bad_value");
      return byte === 1;
    },
    write: (_, value) => Buffer.from([value ? 1 : 0]),
  },

  bytes: {
    least: ({ size }) => size,
    read: ({ size }, reader, after) => hex(reader.take(size, after)),
    write: (_, value) => unhex(value),
  },

  const: {
    least: ({ bytes }) => bytes.length / 2,
    read({ bytes, error }, reader, after) {
      refuseIf(hex(reader.take(bytes.length / 2, after)) !== bytes, error);
      return undefined;
    },
    write: ({ bytes }) => unhex(bytes),
  },

  hex_digits: {
    least: ({ size }) => size,
    read({ size }, reader, after) {
      const digits = reader.take(size, after).toString("latin1");
      refuseIf(!/^[0-9a-f]+$/i.test(digits), "bad_encoding");
      return parseInt(digits, 16);
    },
    write: ({ size }, value) => ascii(value.toString(16).padStart(size, "0")),
  },

  enum: {
    least: (type, layout) => layout.least(type.as),
    read({ of, as, open, error }, reader, after, layout) {
      const value = layout.read(as, reader, after);
      const name = layout.nameOf(of, value);
      refuseIf(name === undefined && !open, error);
      return name ?? value;
    },
    write: ({ of, as }, value, layout) => layout.write(as, layout.enumerations[of][value]?.value ?? value),
  },

  // One of the words of an enumeration, up to a byte that may follow, or to the end.
  word: {
    least: ({ of }, layout) => Math.min(...layout.valuesOf(of).map((word) => word.length / 2)),
    read({ of, before }, reader, _, layout) {
      const stop = reader.bytes.indexOf(unhex(before), reader.at);
      const word = hex(reader.take((stop < 0 ? reader.bytes.length : stop) - reader.at, 0));
      const name = layout.nameOf(of, word);
      refuseIf(name === undefined, "bad_value");
      return name;
    },
    write: ({ of }, value, layout) => unhex(layout.enumerations[of][value].value),
  },

  // A count of bytes, then the bytes, or the text that they are.
  counted: {
    least: ({ count, min }, layout) => layout.least(count) + min,
    read({ count, min, max, null: none, text }, reader, after, layout) {
      const start = reader.at;
      const size = Number(layout.read(count, reader, after));
      if (none !== undefined && hex(reader.bytes.subarray(start, reader.at)) === none) return null;
      refuseIf(text === "utf-16-be" && size % 2, "bad_encoding");
      refuseIf(size < min || size > max, "bad_length");
      return decodeText(reader.take(size, after), text);
    },
    write({ count, null: none, text }, value, layout) {
      if (value === null) return unhex(none);
      const content = encodeText(value, text);
      return Buffer.concat([layout.write(count, content.length), content]);
    },
  },

  // ASCII text up to a terminator, which is no part of the value.
  terminated: {
    least: ({ by, min }) => min + by.length / 2,
    read({ by, min, max, allowed: [first, last] }, reader, after) {
      const end = unhex(by);
      const window = reader.bytes.subarray(reader.at, reader.at + max + end.length);
      const size = window.indexOf(end);
      if (size < 0) refuseIf(window.length === max + end.length, "bad_length");
      refuseIf(size < 0, "truncated", { need: 1 + after });
      refuseIf(size < min, "bad_length");
      const raw = reader.take(size, 0);
      refuseIf(
        raw.some((byte) => byte > 0x7f),
        "bad_encoding",
      );
      refuseIf(
        raw.some((byte) => byte < first || byte > last),
        "bad_value",
      );
      reader.take(end.length, 0);
      return raw.toString("latin1");
    },
    write: ({ by }, value) => Buffer.concat([ascii(value), unhex(by)]),
  },

  // All that is left. `lead` stands before it and is no part of the value.
  rest: {
    least: ({ min, lead = "" }) => min + lead.length / 2,
    read({ min, max, lead = "", text }, reader) {
      const size = lead.length / 2;
      refuseIf(reader.left > max + size, "bad_length");
      const raw = reader.take(Math.max(reader.left, min + size), 0);
      refuseIf(hex(raw.subarray(0, size)) !== lead, "bad_value");
      return decodeText(raw.subarray(size), text);
    },
    write: ({ lead = "", text }, value) => Buffer.concat([unhex(lead), encodeText(value, text)]),
  },

  // A count, then as many items; without a count as many as there are up to the end.
  list: {
    least: ({ count }, layout) => (count ? layout.least(count) : 0),
    read({ count, of, max }, reader, after, layout) {
      const items = [];
      if (!count) {
        while (reader.left) {
          refuseIf(items.length === max, "bad_length");
          items.push(layout.read(of, reader, 0));
        }
        return items;
      }
      const number = Number(layout.read(count, reader, after));
      refuseIf(number > max, "bad_length");
      const least = number * layout.least(of);
      refuseIf(least > reader.left, "truncated", { need: least - reader.left + after });
      while (items.length < number) items.push(layout.read(of, reader, after));
      return items;
    },
    write({ count, of }, value, layout) {
      const items = value.map((item) => layout.write(of, item));
      return Buffer.concat(count ? [layout.write(count, items.length), ...items] : items);
    },
  },

  // A byte, 0 or 1; behind a 1 the value.
  optional: {
    least: () => 1,
    read({ of }, reader, after, layout) {
      const [there] = reader.take(1, after);
      refuseIf(there > 1, "bad_value");
      return there ? layout.read(of, reader, after) : null;
    },
    write: ({ of }, value, layout) =>
      value === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), layout.write(of, value)]),
  },

  // What the end of the packet may leave out.
  trailing: {
    least: () => 0,
    read: ({ of }, reader, _, layout) => (reader.left ? layout.read(of, reader, 0) : undefined),
    write: ({ of }, value, layout) => (value === undefined ? Buffer.alloc(0) : layout.write(of, value)),
  },

  // `null` are the bytes that stand at the end instead of the packet.
  packet: {
    least: ({ name, null: none }, layout) => (none === undefined ? layout.packets[name].min : none.length / 2),
    read({ name, null: none }, reader, after, layout) {
      if (none === undefined || reader.left > none.length / 2) return layout.readFields(name, reader, after);
      refuseIf(hex(reader.take(none.length / 2, after)) !== none, "bad_value");
      return null;
    },
    write: ({ name, null: none }, value, layout) => (value === null ? unhex(none) : layout.writeFields(name, value)),
  },

  // A tag, then the packet that it names.
  one_of: {
    least: ({ tag, packets }, layout) => layout.least(tag) + layout.leastOf(packets),
    read({ tag, packets }, reader, after, layout) {
      const packet = packets[layout.read(tag, reader, after)];
      refuseIf(packet === undefined, "bad_type");
      return { packet, fields: layout.readFields(packet, reader, after) };
    },
    write({ tag, packets }, { packet, fields }, layout) {
      const number = Object.keys(packets).find((one) => packets[one] === packet);
      return Buffer.concat([layout.write(tag, number), layout.writeFields(packet, fields)]);
    },
  },

  // A header packet, then the packet that one of its fields names.
  frame: {
    least: ({ header, packets }, layout) => layout.packets[header].min + layout.leastOf(packets),
    read({ header: name, tag, packets }, reader, after, layout) {
      const header = layout.readFields(name, reader, after);
      const packet = packets[header[tag]];
      refuseIf(packet === undefined, "bad_type");
      return { packet, header, fields: layout.readFields(packet, reader, after) };
    },
    write: ({ header: name }, { packet, header, fields }, layout) =>
      Buffer.concat([layout.writeFields(name, header), layout.writeFields(packet, fields)]),
  },
};

const isZero = (digits) => /^0*$/.test(digits);
const holds = {
  is: (rule, fields) => rule.of.every((name) => fields[name] === rule.is),
  not: (rule, fields) => !rule.of.every((name) => isZero(fields[name])),
  has: (rule, fields) => rule.of.every((name) => /^[0-9a-f]{64}$/.test(parseStrictly(fields[name] ?? "{}")[rule.has])),
};

function keepRules(rules, fields, layout) {
  for (const rule of rules) {
    if (Object.entries(rule.when ?? {}).some(([name, value]) => fields[name] !== value)) continue;
    if (rule.holds) rule.of.forEach((name) => layout.decodePacket(rule.holds, unhex(fields[name])));
    for (const check of Object.keys(holds)) refuseIf(check in rule && !holds[check](rule, fields), rule.error);
  }
}

export class Layout {
  // `more`: further kinds of types, which a protocol has for itself.
  constructor(file, more = {}) {
    Object.assign(this, file);
    this.kinds = { ...kinds, ...more };
  }

  constant = (name) => this.constants[name].value;
  valuesOf = (enumeration) => Object.values(this.enumerations[enumeration]).map((member) => member.value);

  nameOf(enumeration, value) {
    return Object.entries(this.enumerations[enumeration]).find(([, member]) => member.value === value)?.[0];
  }

  least = (type) => this.kinds[type.kind].least(type, this);
  leastOf = (packets) => Math.min(...Object.values(packets).map((name) => this.packets[name].min));
  read = (type, reader, after) => this.kinds[type.kind].read(type, reader, after, this);
  write = (type, value) => this.kinds[type.kind].write(type, value, this);

  readFields(name, reader, after) {
    const { fields, rules = [] } = this.packets[name];
    const values = {};
    fields.forEach((field, index) => {
      const behind = fields.slice(index + 1).reduce((sum, later) => sum + this.least(later.type), after);
      const value = this.read(field.type, reader, behind);
      if (value !== undefined) values[field.name] = value;
    });
    keepRules(rules, values, this);
    return values;
  }

  writeFields(name, values) {
    return Buffer.concat(this.packets[name].fields.map((field) => this.write(field.type, values[field.name])));
  }

  // The value that bytes begin with, and the bytes behind it.
  decodePrefix(type, bytes) {
    const reader = new Reader(bytes);
    return { value: this.read(type, reader, 0), rest: bytes.subarray(reader.at) };
  }

  decode(type, bytes) {
    const { value, rest } = this.decodePrefix(type, bytes);
    refuseIf(rest.length, "trailing");
    return value;
  }

  // The same for a packet by its name.
  decodePacket = (name, bytes) => this.decode({ kind: "packet", name }, bytes);
}
