// The Vercel AI SDK: its loop of tools over OpenAI's two APIs and Anthropic's, whole and streamed.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const plan = JSON.parse(process.env.PLAN);
const openai = createOpenAI({ baseURL: `${plan.url}/v1`, apiKey: plan.key });
const anthropic = createAnthropic({ baseURL: `${plan.url}/v1`, apiKey: plan.key });

function offered(calls) {
  const properties = { city: { type: "string" }, days: { type: "integer" } };
  return {
    look_up: tool({
      description: "Look up the weather of a city.",
      inputSchema: jsonSchema({ type: "object", properties, required: ["city", "days"] }),
      execute: async (input) => {
        calls.push(["look_up", input]);
        return `“ok” ${input.city} ${input.days}`;
      },
    }),
    now: tool({
      description: "Tell the time.",
      inputSchema: jsonSchema({ type: "object", properties: {} }),
      execute: async () => {
        calls.push(["now", {}]);
        return "twelve";
      },
    }),
  };
}

const models = {
  vercel_openai: (model) => openai.chat(model),
  vercel_openai_responses: (model) => openai.responses(model),
  vercel_anthropic: (model) => anthropic(model),
};
const out = {};
for (const [name, make] of Object.entries(models)) {
  for (const streamed of [false, true]) {
    for (const [upstream, model] of Object.entries(plan.models)) {
      const calls = [];
      const key = `${name}${streamed ? "_streamed" : ""}-${upstream}`;
      // What is kept at OpenAI is nowhere else: with `store`, its answers come back as mere references.
      const providerOptions = { openai: { store: false } };
      const asked = { model: make(model), prompt: plan.question, maxRetries: 0, stopWhen: stepCountIs(8), providerOptions };
      try {
        let text;
        if (streamed) {
          let failed = null;
          const stream = streamText({ ...asked, tools: offered(calls), onError: ({ error }) => (failed = error) });
          text = await stream.text;
          if (failed) throw failed;
        } else {
          text = (await generateText({ ...asked, tools: offered(calls) })).text;
        }
        out[key] = { text, calls };
      } catch (error) {
        out[key] = { error: String(error), calls };
      }
    }
  }
}
console.log(JSON.stringify(out));
