// Makes one HTTP call as JavaScript clients do: with fetch, or with axios and form-data. The call is read from standard
// input; the body of the response goes to the file "body", status and headers to standard output.
import axios from 'axios';
import StreamingForm from 'form-data';
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

const call = JSON.parse(fs.readFileSync(0, 'utf8'));
const fileOf = value => (typeof value === 'string' && value.startsWith('@') ? value.slice(1) : null);

async function withFetch() {
  const options = { method: call.method, headers: call.headers };
  if (call.json) {
    options.headers = { ...call.headers, 'Content-Type': 'application/json' };
    options.body = JSON.stringify(call.json);
  } else if (call.form.length) {
    options.body = new FormData();
    for (const [name, value] of call.form) {
      const file = fileOf(value);
      const type = file && call.kinds[path.extname(file)];
      options.body.append(name, file ? new File([fs.readFileSync(file)], file, { type }) : value);
    }
  }
  const response = await fetch(call.url, options);
  fs.writeFileSync('body', Buffer.from(await response.arrayBuffer()));
  return { status: response.status, headers: Object.fromEntries(response.headers) };
}

async function withAxios() {
  const form = new StreamingForm();
  for (const [name, value] of call.form) {
    const file = fileOf(value);
    form.append(name, file ? fs.createReadStream(file) : value);
  }
  const response = await axios.post(call.url, form, {
    headers: { ...form.getHeaders() },
    responseType: 'stream',
    timeout: call.milliseconds,
  });
  await pipeline(response.data, fs.createWriteStream('body'));
  return { status: response.status, headers: response.headers };
}

console.log(JSON.stringify(await (call.client === 'axios' ? withAxios() : withFetch())));
