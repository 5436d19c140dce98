// Publishes JSON messages as they are, one a line, and waits until the broker has them.
//
//     node publish.mjs AMQP_URL QUEUE < requests.jsonl
//
// Prints how many were confirmed. Ends with 1 if one was refused or no queue took it.

import { createInterface } from "node:readline";
import process from "node:process";

import amqplib from "amqplib";

const [url, queue] = process.argv.slice(2);
if (!url || !queue) {
  console.error("usage: node publish.mjs AMQP_URL QUEUE < requests.jsonl");
  process.exit(2);
}

const connection = await amqplib.connect(url);
const channel = await connection.createConfirmChannel();
const returned = [];
channel.on("return", (message) => returned.push(message.fields.replyText));

let count = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  const room = channel.publish("", queue, Buffer.from(line, "utf8"), {
    contentType: "application/json",
    persistent: true,
    mandatory: true,
  });
  count += 1;
  if (!room) await new Promise((resolve) => channel.once("drain", resolve));
}

try {
  await channel.waitForConfirms();
} catch (error) {
  console.error(`refused by the broker: ${error.message}`);
  process.exitCode = 1;
}
if (returned.length > 0) {
  console.error(`${returned.length} came back: ${returned[0]}`);
  process.exitCode = 1;
}
console.log(count - returned.length);
await connection.close();
