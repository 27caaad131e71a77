// Anthropic's Node SDK through the gateway: prints what came of each call as JSON.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.GATEWAY_URL, apiKey: process.env.GATEWAY_KEY, maxRetries: 0 });
const model = "claude-haiku-4-5";
const say = (content) => ({ model, max_tokens: 100, messages: [{ role: "user", content }] });
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
  const { data, response } = await client.messages.create(say("Hello [mock tokens=9]")).withResponse();
  out.whole = { text: data.content[0].text, usage: data.usage, headers: Object.fromEntries(response.headers) };
}
{
  const stream = client.messages.stream(say("Hello [mock tokens=9]"));
  const { response } = await stream.withResponse();
  const reply = await stream.finalMessage();
  out.streamed = { text: reply.content[0].text, usage: reply.usage, headers: Object.fromEntries(response.headers) };
}
out.counted = (await client.messages.countTokens({ model, messages: say("Hello").messages })).input_tokens;
out.models = (await client.models.list()).data.filter((each) => each.id === `anthropic/${model}`).length;
{
  const stranger = new Anthropic({ baseURL: client.baseURL, apiKey: "sk-of-somebody-else", maxRetries: 0 });
  out.failures = {
    key: await failure(() => stranger.messages.create(say("Hello"))),
    limit: await failure(() => client.messages.create(say("[mock status=429 retry_after=7]"))),
    cut: await failure(() =>
      client.messages.stream(say("[mock tokens=20 fault=cut-mid-chunk at=6 pace=0.002]")).finalMessage(),
    ),
  };
}
console.log(JSON.stringify(out));
