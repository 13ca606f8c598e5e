// Runs the vendors' own clients for Node against a local server of their APIs, refusals included. Prints "done".

import assert from "node:assert/strict";
import { DeepgramClient } from "@deepgram/sdk";
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";
import OpenAI, { toFile } from "openai";

const { VENDOR_URL: url, LIMITED_URL: limited, VENDOR_KEY: key } = process.env;
const reply = "We are open from nine to five.";
const tool = { type: "function", function: { name: "end_call", parameters: { type: "object", properties: {} } } };

function client(at = url, apiKey = key) {
  return new OpenAI({ baseURL: `${at}/v1`, apiKey, maxRetries: 0 });
}

function ask(fields) {
  const { text = "Hours?", at = url, ...rest } = fields;
  const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: text }];
  return client(at).chat.completions.create({ model: "gpt-5.4-mini", messages, ...rest });
}

/** A WAV file of 16-bit samples at 8 kHz. */
function clip(seconds) {
  const samples = Buffer.alloc(Math.round(8000 * seconds) * 2, Buffer.from([0, 16]));
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8000, 24);
  header.writeUInt32LE(16000, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.length, 40);
  return toFile(Buffer.concat([header, samples]), "speech.wav", { type: "audio/wav" });
}

async function bytes(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function chat() {
  const models = new Map();
  for await (const model of client().models.list()) models.set(model.id, model.shutdown_date);
  assert.equal(models.get("tts-1"), "2027-01-06");
  const whole = await ask({ max_completion_tokens: 16 });
  assert.equal(whole.choices[0].message.content, reply);
  assert.equal(whole.usage.completion_tokens, 8);

  const options = { stream: true, stream_options: { include_usage: true }, tools: [tool] };
  let [text, usage, finish] = ["", null, null];
  for await (const chunk of await ask(options)) {
    text += chunk.choices[0]?.delta.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.deepEqual([text, finish, usage.prompt_tokens], [reply, "stop", 40]);

  const called = client().chat.completions.stream({
    model: "gpt-5.4-mini",
    messages: [{ role: "user", content: "Goodbye." }],
    tools: [tool],
  });
  const { message, finish_reason } = (await called.finalChatCompletion()).choices[0];
  assert.deepEqual([finish_reason, message.tool_calls[0].function.name], ["tool_calls", "end_call"]);

  const refusal = { status: 400, code: "unsupported_parameter", param: "max_tokens" };
  await assert.rejects(ask({ max_tokens: 16 }), refusal);
  await assert.rejects(ask({ no_such_field: 1 }), { status: 400, code: "unknown_parameter" });
  await assert.rejects(client(url, "sk-wrong").models.list(), { status: 401, code: "invalid_api_key" });
  await assert.rejects(ask({ at: limited }), { status: 429, code: "insufficient_quota" });
}

async function transcription() {
  const create = async (fields, seconds = 0.5, at = url) =>
    client(at).audio.transcriptions.create({ file: await clip(seconds), ...fields });
  const current = await create({ model: "gpt-transcribe", response_format: "json" });
  assert.equal(current.text, "What are your opening hours?");
  const former = await create({ model: "whisper-1", language: "de" }, 1.5);
  assert.deepEqual([former.usage.type, former.usage.seconds], ["duration", 2]);
  const verbose = await create({ model: "whisper-1", response_format: "verbose_json" }, 1.5);
  assert.ok(verbose.segments[0].no_speech_prob < 0.1 && verbose.duration === 1.5, JSON.stringify(verbose));
  await assert.rejects(create({ model: "gpt-transcribe", language: "de" }), { status: 400 });
  await assert.rejects(create({ model: "gpt-transcribe", response_format: "verbose_json" }), { status: 400 });
  await assert.rejects(create({ model: "whisper-1" }, 0.05), { status: 400 });
  await assert.rejects(create({ model: "whisper-1" }, 1, limited), { status: 429, code: "insufficient_quota" });
}

async function speech() {
  const speak = async (fields) => {
    const order = { model: "tts-1", voice: "alloy", input: "Hello.", ...fields };
    return Buffer.from(await (await client().audio.speech.create(order)).arrayBuffer());
  };
  assert.equal((await speak({ response_format: "pcm", instructions: "Calmly." })).length, Math.round(2 * 24000 * 0.68));
  assert.equal((await speak({ response_format: "wav" })).toString("latin1", 0, 4), "RIFF");
  await assert.rejects(speak({ voice: "nobody" }), { status: 400 });
  await assert.rejects(speak({ response_format: "mulaw" }), { status: 400 });
}

async function elevenlabs() {
  const speak = async ({ at = url, apiKey = key, voice = "JBFqnCBsd6RMkjVDRZzb", ...fields }) => {
    const eleven = new ElevenLabsClient({ baseUrl: `${at}/elevenlabs`, apiKey, maxRetries: 0 });
    const order = { text: "Hello.", modelId: "eleven_flash_v2_5", outputFormat: "pcm_16000", ...fields };
    return bytes(await eleven.textToSpeech.stream(voice, order));
  };
  const models = await new ElevenLabsClient({ baseUrl: `${url}/elevenlabs`, apiKey: key }).models.list();
  assert.ok(models.some((model) => model.modelId === "eleven_flash_v2_5"));
  assert.equal((await speak({ languageCode: "de", seed: 7 })).length, 2 * 16000 * 0.68);
  assert.equal((await speak({ outputFormat: "ulaw_8000" })).length, 8000 * 0.68);
  await assert.rejects(speak({ apiKey: "wrong" }), { statusCode: 401 });
  await assert.rejects(speak({ voice: "nobody" }), { statusCode: 404 });
  await assert.rejects(speak({ modelId: "eleven_multilingual_v2", languageCode: "de" }), { statusCode: 400 });
  const refused = speak({ at: limited });
  await assert.rejects(refused, (error) => error.statusCode === 401 && error.body.detail.status === "quota_exceeded");
}

async function deepgram() {
  const speak = async ({ at = url, apiKey = key, ...fields }) => {
    const aura = new DeepgramClient({ apiKey, baseUrl: `${at}/deepgram`, maxRetries: 0 }).speak.v1.audio;
    const order = { text: "Hello.", model: "aura-2-thalia-en", encoding: "linear16", container: "none", ...fields };
    return bytes((await aura.generate(order)).stream());
  };
  assert.equal((await speak({ sample_rate: 16000 })).length, 2 * 16000 * 0.68);
  const mulaw = { encoding: "mulaw", sample_rate: 8000, tag: ["a", "b"], speed: 1.1 };
  assert.equal((await speak(mulaw)).length, 8000 * 0.68);
  await assert.rejects(speak({ apiKey: "wrong" }), { statusCode: 401 });
  await assert.rejects(speak({ sample_rate: 11025 }), { statusCode: 400 });
  await assert.rejects(speak({ at: limited }), { statusCode: 402 });
}

for (const run of [chat, transcription, speech, elevenlabs, deepgram]) await run();
console.log("done");
