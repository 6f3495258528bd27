// Bytes are Buffers everywhere; in vectors they are strings of hexadecimal digits.

export const unhex = (digits) => Buffer.from(digits, "hex");
export const hex = (bytes) => Buffer.from(bytes).toString("hex");
export const ascii = (text) => Buffer.from(text, "latin1");
export const join = (...parts) => Buffer.concat(parts);
export const same = (one, other) => Buffer.compare(one, other) === 0;
export const isZero = (bytes) => bytes.every((byte) => byte === 0);

// Unsigned numbers of any size; all of them are BigInt in between.
export const fromBig = (bytes) => BigInt(`0x${hex(bytes) || "0"}`);
export const fromLittle = (bytes) => fromBig(Buffer.from(bytes).reverse());
export const toBig = (number, size) =>
  unhex(
    BigInt(number)
      .toString(16)
      .padStart(2 * size, "0"),
  );
export const toLittle = (number, size) => toBig(number, size).reverse();

// Cuts bytes into pieces of the given sizes; the last piece is what is left.
export function cut(bytes, ...sizes) {
  const pieces = [];
  for (const size of sizes) {
    pieces.push(bytes.subarray(0, size));
    bytes = bytes.subarray(size);
  }
  return [...pieces, bytes];
}

// Tables of bytes: as vectors have them, and back. What is no string of hexadecimal digits stays what it is.
const isHex = (value) => typeof value === "string" && /^([0-9a-f]{2})*$/.test(value);
const mapped = (table, change) =>
  Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)]));
export const unhexed = (table) => mapped(table, (value) => (isHex(value) ? unhex(value) : value));
export const hexed = (table) => mapped(table, (value) => (value instanceof Uint8Array ? hex(value) : value));
