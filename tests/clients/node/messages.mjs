// Anthropic's Node SDK, whole and by the accumulator of `stream`.
import Anthropic from "@anthropic-ai/sdk";
import { failure, plan, run } from "./cases.mjs";

const client = new Anthropic({ baseURL: plan.url, apiKey: plan.key, maxRetries: 0 });

function user(text, image) {
  if (!image) return { role: "user", content: text };
  const source = { type: "base64", media_type: "image/png", data: image };
  return { role: "user", content: [{ type: "text", text }, { type: "image", source }] };
}

function results(answers) {
  const content = answers.map(([call, text]) => ({ type: "tool_result", tool_use_id: call.id, content: text }));
  return [{ role: "user", content }];
}

async function say(model, messages, { tools, schema, think, stream }) {
  const asked = { model, messages, max_tokens: 6000 };
  if (tools) {
    asked.tools = tools.map(({ name, description, schema: input_schema }) => ({ name, description, input_schema }));
  }
  if (schema) asked.output_config = { format: { type: "json_schema", schema } };
  if (think) asked.thinking = { type: "enabled", budget_tokens: 2048 };
  const done = stream ? await client.messages.stream(asked).finalMessage() : await client.messages.create(asked);
  const of = (type) => done.content.filter((block) => block.type === type);
  const used = done.usage;
  return {
    text: of("text").map((block) => block.text).join(""),
    thinking: of("thinking").map((block) => block.thinking).join(""),
    calls: of("tool_use").map((block) => ({ id: block.id, name: block.name, arguments: block.input })),
    finish: done.stop_reason,
    input: used.input_tokens + (used.cache_read_input_tokens ?? 0) + (used.cache_creation_input_tokens ?? 0),
    output: used.output_tokens,
    turn: [{ role: "assistant", content: done.content }],
  };
}

await run({ user, results, say, failure });
