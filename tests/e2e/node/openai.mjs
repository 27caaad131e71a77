// OpenAI's Node SDK through the gateway: prints what came of each call as JSON.
import OpenAI, { toFile } from "openai";

const key = process.env.GATEWAY_KEY;
const client = new OpenAI({ baseURL: `${process.env.GATEWAY_URL}/v1`, apiKey: key, maxRetries: 0 });
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Hello [mock tokens=9]" }];
const out = {};

async function failure(call) {
  try {
    await call();
    return { name: "nothing was thrown" };
  } catch (error) {
    return { name: error.constructor.name, status: error.status ?? null, message: error.message };
  }
}

{
  const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
  out.whole = {
    text: data.choices[0].message.content,
    usage: data.usage,
    headers: Object.fromEntries(response.headers),
  };
}
{
  const { data, response } = await client.chat.completions.create({ model, messages, stream: true }).withResponse();
  const chunks = [];
  for await (const chunk of data) chunks.push(chunk);
  out.streamed = {
    text: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""),
    usages: chunks.filter((chunk) => chunk.usage).length,
    headers: Object.fromEntries(response.headers),
  };
}
{
  const asked = { model, messages, stream: true, stream_options: { include_usage: true } };
  let usage = null;
  for await (const chunk of await client.chat.completions.create(asked)) usage = chunk.usage ?? usage;
  out.usage = usage;
}
{
  const tools = [
    {
      type: "function",
      function: {
        name: "weather",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      },
    },
  ];
  const asked = { model, messages, tools, tool_choice: "required" };
  const whole = await client.chat.completions.create(asked);
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  out.tools = [whole, streamed].map((reply) => reply.choices[0].message.tool_calls[0].function.arguments);
}
{
  const input = "Hello [mock tokens=9]";
  const whole = await client.responses.create({ model, input });
  let last = null;
  for await (const event of await client.responses.create({ model, input, stream: true })) last = event;
  out.responses = { whole: whole.output_text, last: last.type, streamed: last.response.output[0].content[0].text };
}
{
  const made = await client.embeddings.create({ model: "text-embedding-3-small", input: "a cat", dimensions: 8 });
  out.embedding = made.data[0].embedding.length;
}
{
  const sound = new Uint8Array(2_000_000).fill(7);
  const file = await toFile(sound, "long.wav");
  out.transcript = (await client.audio.transcriptions.create({ model: "gpt-4o-transcribe", file })).text;
  const speech = await client.audio.speech.create({
    model: "gpt-4o-mini-tts", voice: "alloy", input: "Hello there", response_format: "wav",
  });
  out.speech = Buffer.from(await speech.arrayBuffer()).subarray(0, 4).toString();
}
{
  const page = await client.models.list();
  out.models = page.data.map((each) => each.id).filter((id) => id === `openai/${model}`).length;
}
{
  const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: "sk-of-somebody-else", maxRetries: 0 });
  const say = (content, more) => ({ model, messages: [{ role: "user", content }], ...more });
  out.failures = {
    key: await failure(() => stranger.chat.completions.create({ model, messages })),
    model: await failure(() => client.chat.completions.create({ model: "nobody/nothing", messages })),
    limit: await failure(() => client.chat.completions.create(say("[mock status=429 retry_after=7]"))),
    server: await failure(() => client.chat.completions.create(say("[mock status=500]"))),
    cut: await failure(async () => {
      const prompt = "[mock tokens=20 fault=cut-mid-chunk at=6 pace=0.002]";
      for await (const _ of await client.chat.completions.create(say(prompt, { stream: true })));
    }),
  };
}
console.log(JSON.stringify(out));
