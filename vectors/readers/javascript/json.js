// JSON as all readers understand it: no member twice.

import { Refusal, refuseIf } from "./refusal.js";

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+)/y;

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

export function parseStrictly(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal("bad_encoding");
  }
  refuseTwice(text);
  return value;
}

// `text` is well-formed: a text in front of a colon is the name of a member of the innermost object.
function refuseTwice(text) {
  const open = [];
  let last;
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const token = match[1];
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const name = JSON.parse(last);
      refuseIf(open.at(-1).has(name), "bad_encoding");
      open.at(-1).add(name);
    }
    last = token;
  }
}
