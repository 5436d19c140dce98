// Reads an MP4 with a parser that shares no code with FFmpeg, and prints what it found as JSON.
//
//     node inspect.mjs FILE
//
// Ends with 1 where the parser reports an error or a sample lies outside the file.

import { readFileSync } from "node:fs";
import process from "node:process";

import { createFile, Log } from "mp4box";

const complaints = [];
Log.error = (module, text) => complaints.push(`${module}: ${text}`);
Log.warn = (module, text) => complaints.push(`${module}: ${text}`);

const bytes = readFileSync(process.argv[2]);
const file = createFile();
file.onError = (module, text) => complaints.push(`${module}: ${text}`);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
buffer.fileStart = 0;
file.appendBuffer(buffer, true);
file.flush();

const info = file.getInfo();
const tracks = info.tracks.map((track) => {
  const samples = file.getTrackSamplesInfo(track.id);
  if (samples.some((sample) => sample.offset + sample.size > bytes.length)) complaints.push("a sample lies outside the file");
  return {
    codec: track.codec,
    samples: samples.length,
    sync: samples.filter((sample) => sample.is_sync).length,
    edits: (track.edits ?? []).length,
    ordered: samples.every((sample, i) => i === 0 || sample.dts > samples[i - 1].dts),
    reordered: samples.some((sample) => sample.cts !== sample.dts),
    seconds: samples.reduce((sum, sample) => sum + sample.duration, 0) / track.timescale,
  };
});
console.log(JSON.stringify({ progressive: info.isProgressive, fragmented: info.isFragmented, tracks, complaints }));
process.exitCode = complaints.length ? 1 : 0;
