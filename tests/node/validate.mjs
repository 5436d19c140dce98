// Validates messages with JSON Schemas of the 2020-12 dialect.
//
//     node validate.mjs < JSON
//
// Reads an array of [path of a schema, message] and prints an array with the errors of each message, or null.

import { readFileSync } from "node:fs";

import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const ajv = new Ajv({ strict: false, allErrors: true });
formats(ajv);
const validators = new Map();
const validator = (path) => {
  if (!validators.has(path)) validators.set(path, ajv.compile(JSON.parse(readFileSync(path, "utf8"))));
  return validators.get(path);
};
const errors = JSON.parse(readFileSync(0, "utf8")).map(([path, message]) => {
  const validate = validator(path);
  return validate(message) ? null : validate.errors.map(({ instancePath, message: text }) => `${instancePath} ${text}`);
});
console.log(JSON.stringify(errors));
