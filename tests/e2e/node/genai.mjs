// Google's Node SDK through the gateway: prints what came of each call as JSON.
import { GoogleGenAI } from "@google/genai";

const baseUrl = process.env.GATEWAY_URL;
const client = new GoogleGenAI({ apiKey: process.env.GATEWAY_KEY, httpOptions: { baseUrl } });
const model = "gemini-2.5-flash";
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
  const reply = await client.models.generateContent({ model, contents: "Hello [mock tokens=9]" });
  out.whole = { text: reply.text, usage: reply.usageMetadata, headers: reply.sdkHttpResponse.headers };
}
{
  let text = "";
  let last = null;
  for await (const chunk of await client.models.generateContentStream({ model, contents: "Hello [mock tokens=9]" })) {
    text += chunk.text ?? "";
    last = chunk;
  }
  out.streamed = { text, usage: last.usageMetadata, headers: last.sdkHttpResponse.headers };
}
out.counted = (await client.models.countTokens({ model, contents: "Hello" })).totalTokens;
{
  const made = await client.models.embedContent({ model: "gemini-embedding-001", contents: ["a cat"] });
  out.embedding = made.embeddings[0].values.length;
}
{
  const stranger = new GoogleGenAI({ apiKey: "sk-of-somebody-else", httpOptions: { baseUrl } });
  out.failures = {
    key: await failure(() => stranger.models.generateContent({ model, contents: "Hello" })),
    limit: await failure(() => client.models.generateContent({ model, contents: "[mock status=429]" })),
    cut: await failure(async () => {
      const contents = "[mock tokens=20 fault=cut-mid-chunk at=6 pace=0.002]";
      for await (const _ of await client.models.generateContentStream({ model, contents }));
    }),
  };
}
console.log(JSON.stringify(out));
