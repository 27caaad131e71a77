// The cases that every Node SDK runs with a provider of each dialect; prints what came of each call as JSON.
import { readFileSync, writeFileSync } from "node:fs";

export const plan = JSON.parse(readFileSync(process.env.PLAN, "utf8"));

// `client` has user(text, image), results(answers), say(model, history, options) and failure(error).
export async function run(client) {
  const out = [];
  for (const { name, model, question, image, tools, schema, think, stream, turns, fails } of plan.cases) {
    const saids = [];
    let failure = null;
    try {
      const history = [client.user(question, image)];
      for (let turn = 0; turn < turns; turn++) {
        const said = await client.say(model, history, { tools, schema, think, stream });
        const answers = said.calls.map((call, place) => [call, `${3 * turn + place}: ${call.name} is “ok”`]);
        history.push(...said.turn);
        if (answers.length) history.push(...client.results(answers));
        delete said.turn;
        saids.push(said);
      }
    } catch (error) {
      failure = fails ? client.failure(error) : { kind: "not expected", message: String(error.stack ?? error) };
    }
    out.push({ name, saids, failure });
  }
  writeFileSync(process.env.OUT, JSON.stringify(out));
}

// OpenAI's and Anthropic's errors are alike.
export function failure(error) {
  const after = error.headers?.get ? error.headers.get("retry-after") : null;
  return { kind: error.constructor.name, status: error.status ?? null, message: error.message, after };
}
