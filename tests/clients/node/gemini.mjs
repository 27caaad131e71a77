// Google's Node SDK, whole and streamed; the contents of a stream are kept as they come, as its chats do.
import { GoogleGenAI } from "@google/genai";
import { plan, run } from "./cases.mjs";

const client = new GoogleGenAI({ apiKey: plan.key, httpOptions: { baseUrl: plan.url, retryOptions: { attempts: 1 } } });

function user(text, image) {
  const parts = [{ text }];
  if (image) parts.push({ inlineData: { mimeType: "image/png", data: image } });
  return { role: "user", parts };
}

function results(answers) {
  const parts = answers.map(([call, output]) => ({
    functionResponse: { id: call.id, name: call.name, response: { output } },
  }));
  return [{ role: "user", parts }];
}

async function say(model, contents, { tools, schema, think, stream }) {
  const config = {};
  if (tools) {
    const functionDeclarations = tools.map(({ name, description, schema: parametersJsonSchema }) => ({
      name,
      description,
      parametersJsonSchema,
    }));
    config.tools = [{ functionDeclarations }];
  }
  if (schema) Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: schema });
  if (think) config.thinkingConfig = { includeThoughts: true, thinkingBudget: 2048 };
  const chunks = [];
  if (stream) {
    for await (const chunk of await client.models.generateContentStream({ model, contents, config })) chunks.push(chunk);
  } else {
    chunks.push(await client.models.generateContent({ model, contents, config }));
  }
  const turn = chunks.map((chunk) => chunk.candidates?.[0]?.content).filter((content) => content?.parts?.length);
  const parts = turn.flatMap((content) => content.parts);
  const words = (thought) => parts.filter((part) => Boolean(part.thought) === thought).map((part) => part.text ?? "");
  const used = chunks.at(-1).usageMetadata;
  return {
    text: words(false).join(""),
    thinking: words(true).join(""),
    calls: parts
      .filter((part) => part.functionCall)
      .map(({ functionCall: { id, name, args } }) => ({ id, name, arguments: args ?? {} })),
    finish: chunks.map((chunk) => chunk.candidates?.[0]?.finishReason).findLast((reason) => reason),
    input: used.promptTokenCount,
    output: (used.candidatesTokenCount ?? 0) + (used.thoughtsTokenCount ?? 0),
    turn,
  };
}

function failure(error) {
  return { kind: error.constructor.name, status: error.status ?? null, message: error.message, after: null };
}

await run({ user, results, say, failure });
