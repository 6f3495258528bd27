// Checks all codec and crypto vectors: `node run.js [FOLDER]`. Ends with 1 if a test fails, or if there is none.

import fs from "node:fs";
import path from "node:path";
import { checkCodec, checkFunction, codecOf } from "./check.js";
import { Layout } from "./layout.js";

const folder = process.argv[2] ?? path.join(import.meta.dirname, "..", "..");
const parse = (...names) => JSON.parse(fs.readFileSync(path.join(folder, ...names), "utf8"));

// What this reader can do, besides what each protocol's module says, and what it leaves to others.
const KINDS = ["codec", "crypto"];
const OTHER_KINDS = ["session", "duet", "machine", "transcript", "capture"];
const ABILITIES = ["secret-packet"];
const NO_PROTOCOLS = ["layouts", "machines", "readers", "schema"];

async function load(protocol) {
  if (!fs.existsSync(path.join(import.meta.dirname, `${protocol}.js`))) return null;
  const { kinds, codecs, functions } = await import(`./${protocol}.js`);
  const layout = new Layout(parse("layouts", `${protocol}.json`), kinds);
  return { layout, codecs: codecs?.(layout) ?? {}, functions: functions(layout) };
}

function judge(protocol, type, test) {
  const { layout, codecs, functions } = protocol;
  if (type in functions) return checkFunction(functions[type], test);
  if (type in codecs) return checkCodec(codecs[type], test);
  if (type in layout.types) return checkCodec(codecOf(layout, type), test);
  return [`no check for ${type}`];
}

// The differences, of which what nobody expected is one, too.
function differences(protocol, type, test) {
  try {
    return judge(protocol, type, test);
  } catch (error) {
    return [error.stack];
  }
}

function skip(counts, size, what, why) {
  counts.skipped += size;
  console.log(`SKIPPED ${what}: ${why}`);
}

function checkGroup(file, { type, requires, tests }, protocol, counts) {
  const unmet = requires.filter((ability) => !ABILITIES.includes(ability));
  if (unmet.length) return skip(counts, tests.length, `${file}, ${type}`, `requires ${unmet.join(", ")}`);
  for (const test of tests) {
    const found = differences(protocol, type, test);
    counts[found.length ? "failed" : "passed"] += 1;
    for (const difference of found) {
      console.log(`FAILED ${file}, ${type}, ${test.tcId} (${test.comment}): ${difference}`);
    }
  }
}

function checkFile(file, document, protocol, counts) {
  const { schema, schemaVersion, numberOfTests, testGroups } = document;
  if (schemaVersion !== 1) return skip(counts, numberOfTests, file, `schemaVersion ${schemaVersion}`);
  if (!KINDS.includes(schema)) return skip(counts, numberOfTests, file, `schema ${schema}`);
  if (!protocol) return skip(counts, numberOfTests, file, "a protocol that is not known");
  for (const group of testGroups) checkGroup(file, group, protocol, counts);
  const found = testGroups.reduce((sum, { tests }) => sum + tests.length, 0);
  if (found !== numberOfTests) skip(counts, 1, file, `${found} tests of ${numberOfTests}`);
}

const say = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed, ${skipped} skipped`;
const total = { passed: 0, failed: 0, skipped: 0 };
const others = {};
for (const name of fs.readdirSync(folder).sort()) {
  const isFolder = fs.statSync(path.join(folder, name)).isDirectory();
  if (!isFolder || NO_PROTOCOLS.includes(name)) continue;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const protocol = await load(name);
  for (const file of fs.readdirSync(path.join(folder, name)).sort()) {
    const document = parse(name, file);
    const { schema } = document;
    if (OTHER_KINDS.includes(schema)) others[schema] = (others[schema] ?? 0) + 1;
    else checkFile(`${name}/${file}`, document, protocol, counts);
  }
  console.log(`${name}: ${say(counts)}`);
  for (const count of Object.keys(total)) total[count] += counts[count];
}
console.log(`total: ${say(total)}`);
const left = Object.entries(others).map(([kind, files]) => `${files} of ${kind}`);
console.log(`files of other kinds, which this reader does not run: ${left.join(", ")}`);
process.exitCode = total.passed && !total.failed && !total.skipped ? 0 : 1;
