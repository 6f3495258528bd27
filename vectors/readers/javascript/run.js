// Checks all codec and crypto vectors: `node run.js [FOLDER]`. Ends with 1 if a test fails, or if there is none.

import fs from "node:fs";
import path from "node:path";
import { checkCodec, checkFunction, codecOf } from "./check.js";
import { Layout } from "./layout.js";

const folder = process.argv[2] ?? path.join(import.meta.dirname, "..", "..");
const parse = (...names) => JSON.parse(fs.readFileSync(path.join(folder, ...names), "utf8"));

// What this reader can do, besides what each protocol's module says.
const KINDS = ["codec", "crypto"];
const ABILITIES = ["secret-packet"];

async function load(protocol) {
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

function check(file, document, protocol, counts) {
  for (const { type, requires, tests } of document.testGroups) {
    if (requires.some((ability) => !ABILITIES.includes(ability))) {
      counts.skipped += tests.length;
      console.log(`SKIPPED ${file}, ${type}: requires ${requires.join(", ")}`);
      continue;
    }
    for (const test of tests) {
      const found = differences(protocol, type, test);
      counts[found.length ? "failed" : "passed"] += 1;
      for (const difference of found)
        console.log(`FAILED ${file}, ${type}, ${test.tcId} (${test.comment}): ${difference}`);
    }
  }
}

const total = { passed: 0, failed: 0, skipped: 0 };
const other = {};
for (const name of fs.readdirSync(folder).sort()) {
  if (!fs.existsSync(path.join(folder, "layouts", `${name}.json`))) continue;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const protocol = await load(name);
  for (const file of fs.readdirSync(path.join(folder, name)).sort()) {
    const document = parse(name, file);
    if (document.schemaVersion !== 1) throw new Error(`${file} has schemaVersion ${document.schemaVersion}`);
    if (KINDS.includes(document.schema)) check(`${name}/${file}`, document, protocol, counts);
    else other[document.schema] = (other[document.schema] ?? 0) + 1;
  }
  console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  for (const count of Object.keys(total)) total[count] += counts[count];
}
console.log(`total: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
const left = Object.entries(other).map(([kind, files]) => `${files} of ${kind}`);
console.log(`files of other kinds, which this reader does not run: ${left.join(", ")}`);
process.exitCode = total.passed && !total.failed && !total.skipped ? 0 : 1;
