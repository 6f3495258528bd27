// Does what the functions of a protocol make of a test agree with what the test says?

import { isDeepStrictEqual } from "node:util";
import { hex, unhex } from "./bytes.js";
import { Refusal } from "./refusal.js";

// As a vector has it: bytes are hexadecimal digits, and what is not there is left out.
export function plain(value) {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, plain(member)]));
}

// A codec of a type of test: `decode(wire, test)` gives packet, header, fields and rest, `encode` what is written.
export function codecOf(layout, name, options = {}) {
  const type = typeof layout.types[name] === "string" ? layout.codecs[layout.types[name]] : layout.types[name];
  const typeFor = (test) => (type.kind === "named" ? type.packets[test.packet] : type);
  const isWhole = (kind) => kind === "one_of" || kind === "frame";
  return {
    ...options,
    decode(wire, test) {
      const one = typeFor(test);
      const { value, rest } = layout.decodePrefix(one, wire);
      const fields = one.kind === "packet" ? value : { value };
      return { ...(isWhole(one.kind) ? value : { packet: one.name ?? test.packet, fields }), rest };
    },
    encode(found, test) {
      const one = typeFor(test);
      if (isWhole(one.kind)) return layout.write(one, found);
      return layout.write(one, one.kind === "packet" ? found.fields : found.fields.value);
    },
  };
}

function attempt(action) {
  try {
    return { got: action() };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { error: error.error, need: error.need, got: error.outputs ?? {} };
  }
}

// Of an output that is an object, only what a test names is compared: long bytes may stand there as length and hash.
function agrees(expected, got) {
  if (Array.isArray(expected))
    return expected.length === got?.length && expected.every((one, index) => agrees(one, got[index]));
  if (typeof expected !== "object" || expected === null) return expected === got;
  return Object.keys(expected).every((name) => agrees(expected[name], got?.[name]));
}

function compare(expected, got, same = isDeepStrictEqual) {
  return Object.keys(expected)
    .filter((name) => !same(expected[name], plain(got[name])))
    .map((name) => `${name}: expected ${JSON.stringify(expected[name])}, got ${JSON.stringify(plain(got[name]))}`);
}

export function checkFunction(answer, test) {
  const { got, error } = attempt(() => answer(test.inputs, test.outputs));
  return compare({ ...test.outputs, error: test.error }, { ...got, error }, agrees);
}

export function checkCodec(codec, test) {
  const wire = unhex(test.wire);
  const { got, error, need } = attempt(() => whole(codec, wire, test));
  const verdict = compare({ error: test.error, ...(test.need ? { need: test.need } : {}) }, { error, need });
  if (verdict.length || test.result === "invalid") return verdict;
  const { packet, header, fields, rest = "" } = test;
  const found = [
    ...compare({ packet, header, fields, rest }, got),
    ...(codec.isStream ? checkStream(codec, wire, test) : []),
  ];
  if (found.length || !codec.encode) return found;
  const canonical = test.canonical ?? test.wire.slice(0, test.wire.length - rest.length);
  return compare({ canonical }, { canonical: codec.encode({ packet, header, fields }, test) });
}

function whole(codec, wire, test) {
  const found = codec.decode(wire, test);
  if (found.rest?.length && !codec.leavesRest) throw new Refusal("trailing");
  return { rest: Buffer.alloc(0), ...found };
}

// On a stream each beginning of a packet asks for more bytes, and never for more than are missing.
function checkStream(codec, wire, test) {
  const size = wire.length - (test.rest ?? "").length / 2;
  for (let there = 0; there < size; there += 1) {
    const { error, need } = attempt(() => codec.decode(wire.subarray(0, there), test));
    if (error !== "truncated" || !(need >= 1 && need <= size - there))
      return [`with ${there} bytes: ${error}, need ${need}`];
  }
  return [];
}
