// Numeric addresses as text, and as the bytes that they are.

import { hex, unhex } from "./bytes.js";

const MAPPED = `${"00".repeat(10)}ffff`; // IPv4 within IPv6

const textOfV4 = (bytes) => [...bytes].join(".");
const bytesOfV4 = (text) => Buffer.from(text.split(".").map(Number));

// RFC 5952: the longest row of at least two groups of zeros is left out.
function textOfV6(bytes) {
  if (hex(bytes).startsWith(MAPPED)) return `::ffff:${textOfV4(bytes.subarray(12))}`;
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  const text = groups.join(":");
  const rows = text.match(/\b0(:0)+\b/g) ?? [];
  const longest = rows.reduce((best, row) => (row.length > best.length ? row : best), "");
  return longest ? text.replace(new RegExp(`:?\\b${longest}\\b:?`), "::") : text;
}

function bytesOfV6(text) {
  if (text.startsWith("::ffff:") && text.includes(".")) return Buffer.concat([unhex(MAPPED), bytesOfV4(text.slice(7))]);
  const [head, tail] = text.split("::").map((part) => part.split(":").filter(Boolean));
  const zeros = tail ? Array(8 - head.length - tail.length).fill("0") : [];
  return unhex([...head, ...zeros, ...(tail ?? [])].map((group) => group.padStart(4, "0")).join(""));
}

export const isMapped = (bytes) => bytes.length === 16 && hex(bytes).startsWith(MAPPED);
export const textOf = (bytes) => (bytes.length === 4 ? textOfV4(bytes) : textOfV6(bytes));
export const bytesOf = (text) => (text.includes(":") ? bytesOfV6(text) : bytesOfV4(text));
