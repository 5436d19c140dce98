// Reads an AsyncAPI document with the official parser, and prints it resolved as JSON.
//
//     node asyncapi.mjs FILE [--quiet]
//
// Ends with 1 where the parser has an error or a warning; each is printed.

import { readFileSync } from "node:fs";
import process from "node:process";

import { Parser } from "@asyncapi/parser";

const [path, quiet] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"), { source: path });
// The parser also remarks that there is a newer version of AsyncAPI; remarks are not printed.
for (const { severity, code, message, path: where, range } of diagnostics.filter(({ severity }) => severity < 2)) {
  console.error(`${path}:${range.start.line + 1}: ${["error", "warning"][severity]} ${code} at ${where.join(".")}: ${message}`);
}
if (document === undefined || diagnostics.some(({ severity }) => severity < 2)) process.exitCode = 1;
else if (quiet !== "--quiet") console.log(JSON.stringify(document.json()));
