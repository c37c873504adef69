// What the programs for Node.js share; see ../python/program.py for the protocol.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export const inputs = JSON.parse(readFileSync(new URL("../inputs.json", import.meta.url), "utf8"));
export const URL_OF_SERVER = process.env.SERVER_URL;
export const BASE_URL = `${URL_OF_SERVER}/v1`;
export const KEY = process.env.SERVER_KEY;
export const MODEL = process.env.SERVER_MODEL;

function checks(client) {
  const { question, wrong_key, unknown_model, invalid_temperature } = inputs;
  const long = "word ".repeat(inputs.long_question_words);
  return {
    chat: () => client.chat(KEY, MODEL, question, 0),
    stream: () => client.stream(),
    offered_tool: () => client.tool("auto"),
    strict_tool: () => client.tool("required"),
    forced_tool: () => client.tool("named"),
    streamed_tool: () => client.streamedTool(),
    tool_result: () => client.toolResult(),
    structured: () => client.structured(),
    wrong_key: () => client.chat(wrong_key, MODEL, question, 0),
    unknown_model: () => client.chat(KEY, unknown_model, question, 0),
    long_prompt: () => client.chat(KEY, MODEL, long, 0),
    invalid_parameter: () => client.chat(KEY, MODEL, question, invalid_temperature),
    rate_limit: () => client.chat(KEY, MODEL, question, 0),
  };
}

// Answer the checks of standard input; `described` turns an exception into a report.
export async function run(client, described) {
  const calls = checks(client);
  for await (const line of createInterface({ input: process.stdin })) {
    let report;
    try {
      report = await calls[line.trim()]();
    } catch (error) {
      report = {
        error: error.constructor.name,
        message: String(error.stack).slice(0, 1000),
        ...described(error),
      };
    }
    console.log(JSON.stringify(report));
  }
}
