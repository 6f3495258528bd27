// The file that Bob's peers send each other: a git PACK of a tag and a blob, and the typed records around it.

import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { cut, hex, same } from "./bytes.js";
import { inflate } from "./inflate.js";
import { Refusal, refuseIf } from "./refusal.js";

const TAG = 4;
const BLOB = 3;
const MOST_RAW_NAME = 1024; // bytes of a path
const MOST_METADATA = 64; // records
const MOST_CONTENTS = 2 ** 20; // as much as any vector has

// -- the PACK

function take(data, size) {
  refuseIf(data.length < size, "truncated", { need: size - data.length });
  return cut(data, size);
}

// The kind is in bits 4 to 6 of the first byte; the size in its bits 0 to 3, then 7 bits of each further byte, as long as
// the highest bit is set.
function objectHeader(data, kind, most) {
  let [[byte], rest] = take(data, 1);
  refuseIf(((byte >> 4) & 7) !== kind, "bad_type");
  let size = byte & 15;
  for (let scale = 16; byte & 0x80; scale *= 128) {
    [[byte], rest] = take(rest, 1);
    size += (byte & 0x7f) * scale;
  }
  refuseIf(size > most, "bad_length");
  return { size, rest };
}

// What stands behind the last slash of a path.
function safeName(raw) {
  const name = raw.subarray(raw.lastIndexOf("/") + 1);
  const isText = isUtf8(name);
  refuseIf(!isText || ["", ".", ".."].includes(name.toString()) || /\p{Cc}/u.test(name.toString()), "bad_value");
  return name.toString();
}

// The name and contents of a PACK, and what is left behind it.
function readPack(data, isStream = false) {
  const [head, first] = take(data, 12);
  refuseIf(head.toString("latin1", 0, 4) !== "PACK", "bad_value");
  refuseIf(head.readUInt32BE(4) !== 2, "unsupported");
  refuseIf(head.readUInt32BE(8) !== 2, "bad_value");
  const tag = objectHeader(first, TAG, MOST_RAW_NAME);
  const { content: raw, rest: second } = inflate(tag.rest, tag.size);
  const name = safeName(raw);
  const blob = objectHeader(second, BLOB, MOST_CONTENTS);
  const { content, rest } = inflate(blob.rest, isStream ? null : blob.size);
  const [checksum, behind] = take(rest, 20);
  const hashed = data.subarray(0, data.length - rest.length);
  refuseIf(!same(checksum, createHash("sha1").update(hashed).digest()), "bad_checksum");
  refuseIf(behind.length, "trailing");
  return { name, contents: hex(content) };
}

// -- typed records

const METADATA = 1;
const isPlain = ([first]) => first?.[0] === 0x50;

function readTransfer(layout, records) {
  if (isPlain(records)) return received(Buffer.concat(records));
  const data = [];
  const metadata = [];
  let over = null;
  for (const one of records) {
    refuseIf(over, "trailing");
    const { packet, fields } = layout.decode(layout.codecs.SENT_FRAME, one);
    if (packet === "SentMetadata") metadata.push(fields.fields);
    refuseIf(metadata.length > MOST_METADATA, "bad_value");
    if (packet === "SentData") data.push(Buffer.from(fields.data, "hex"));
    if (packet === "SentError") over = { packet: "SenderFailed", fields: { text: fields.text } };
    if (packet === "SentEnd") over = {};
  }
  if (over?.packet) return over;
  const isStream = records[0]?.[0] === METADATA && JSON.parse(metadata[0]).stream === true;
  const found = received(Buffer.concat(data), isStream);
  refuseIf(!over, "truncated");
  return found;
}

function received(data, isStream) {
  const { name, contents } = readPack(data, isStream);
  const digest = createHash("sha256").update(contents, "hex").digest("hex");
  const receipt = hex(Buffer.from(`verified {"sha256": "${digest}"}`));
  return { packet: "Transfer", fields: { name, contents, receipt } };
}

// Compression has no canonical form: both are decoded only.
export const codecsOfFiles = (layout) => ({
  "bob.pack": { decode: (wire) => ({ packet: "Pack", fields: readPack(wire) }) },
  "bob.transfer": { decode: (wire, { pieces }) => readTransfer(layout, cut(wire, ...pieces.slice(0, -1))) },
});
