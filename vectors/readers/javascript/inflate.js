// zlib streams.

import { inflateSync } from "node:zlib";
import { Refusal, refuseIf } from "./refusal.js";

const MOST = 2 ** 20; // more than any vector has
const ERRORS = { ERR_BUFFER_TOO_LARGE: "bad_length", Z_BUF_ERROR: "truncated" };

// The stream of exactly `size` bytes that the data begin with, or of any size if it is null, and what is behind it.
export function inflate(data, size) {
  try {
    const { buffer, engine } = inflateSync(data, { maxOutputLength: (size ?? MOST) + 1, info: true });
    refuseIf(size !== null && buffer.length !== size, "bad_length");
    return { content: buffer, rest: data.subarray(engine.bytesWritten) };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(
      error.message === "incorrect data check" ? "bad_checksum" : (ERRORS[error.code] ?? "bad_encoding"),
    );
  }
}
