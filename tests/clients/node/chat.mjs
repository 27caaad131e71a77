// OpenAI's Node SDK with chat completions, whole and by the accumulator of `stream`.
import OpenAI from "openai";
import { failure, plan, run } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${plan.url}/v1`, apiKey: plan.key, maxRetries: 0 });

function user(text, image) {
  if (!image) return { role: "user", content: text };
  const shown = { url: `data:image/png;base64,${image}` };
  return { role: "user", content: [{ type: "text", text }, { type: "image_url", image_url: shown }] };
}

function results(answers) {
  return answers.map(([call, content]) => ({ role: "tool", tool_call_id: call.id, content }));
}

async function say(model, messages, { tools, schema, think, stream }) {
  const asked = { model, messages };
  if (tools) {
    asked.tools = tools.map(({ name, description, schema: parameters }) => ({
      type: "function",
      function: { name, description, parameters },
    }));
  }
  if (schema) {
    asked.response_format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema } };
  }
  if (think) asked.reasoning_effort = "medium";
  let done;
  let thinking = "";
  if (stream) {
    const events = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    for await (const chunk of events) {
      const delta = chunk.choices[0]?.delta ?? {};
      thinking += delta.reasoning_content ?? delta.reasoning ?? "";
    }
    done = await events.finalChatCompletion();
  } else {
    done = await client.chat.completions.create(asked);
    thinking = done.choices[0].message.reasoning_content ?? done.choices[0].message.reasoning ?? "";
  }
  const { message, finish_reason: finish } = done.choices[0];
  const calls = (message.tool_calls ?? []).map((call) => ({
    id: call.id,
    name: call.function.name,
    arguments: JSON.parse(call.function.arguments),
  }));
  const { prompt_tokens: input, completion_tokens: output } = done.usage;
  return { text: message.content ?? "", thinking, calls, finish, input, output, turn: [message] };
}

await run({ user, results, say, failure });
