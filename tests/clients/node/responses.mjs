// OpenAI's Node SDK with responses, whole and by the accumulator of `stream`. Nothing is stored.
import OpenAI from "openai";
import { failure, plan, run } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${plan.url}/v1`, apiKey: plan.key, maxRetries: 0 });

function user(text, image) {
  if (!image) return { role: "user", content: text };
  const shown = { type: "input_image", image_url: `data:image/png;base64,${image}`, detail: "auto" };
  return { role: "user", content: [{ type: "input_text", text }, shown] };
}

function results(answers) {
  return answers.map(([call, output]) => ({ type: "function_call_output", call_id: call.id, output }));
}

async function say(model, input, { tools, schema, think, stream }) {
  const asked = { model, input, store: false };
  if (tools) {
    asked.tools = tools.map(({ name, description, schema: parameters }) => ({
      type: "function",
      name,
      description,
      parameters,
      strict: false,
    }));
  }
  if (schema) asked.text = { format: { type: "json_schema", name: "weather", strict: true, schema } };
  if (think) {
    asked.reasoning = { effort: "medium", summary: "auto" };
    asked.include = ["reasoning.encrypted_content"];
  }
  const done = stream
    ? await client.responses.stream(asked).finalResponse()
    : await client.responses.create(asked);
  const calls = done.output
    .filter((item) => item.type === "function_call")
    .map((item) => ({ id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments) }));
  const thinking = done.output
    .filter((item) => item.type === "reasoning")
    .flatMap((item) => [...item.summary, ...(item.content ?? [])])
    .map((part) => part.text)
    .join("");
  const { input_tokens: read, output_tokens: written } = done.usage;
  const text = done.output_text;
  return { text, thinking, calls, finish: done.status, input: read, output: written, turn: done.output };
}

await run({ user, results, say, failure });
