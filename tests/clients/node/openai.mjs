// The official JavaScript client of OpenAI's API.
import OpenAI from "openai";

import { BASE_URL, KEY, MODEL, inputs, run } from "./program.mjs";

const { tool } = inputs;
const asked = [{ role: "user", content: inputs.question }];
const offered = {
  type: "function",
  function: {
    name: tool.name,
    description: tool.description,
    strict: true,
    parameters: inputs.schema,
  },
};
const choices = {
  auto: "auto",
  required: "required",
  named: { type: "function", function: { name: tool.name } },
};

const connect = (apiKey) => new OpenAI({ baseURL: BASE_URL, apiKey, maxRetries: 0 });
const request = (options) => ({ model: MODEL, messages: asked, temperature: 0, ...options });
const withTool = (choice) =>
  request({
    max_completion_tokens: inputs.max_tokens,
    tools: [offered],
    tool_choice: choices[choice],
    parallel_tool_calls: false,
  });
const counts = (usage) => [usage.prompt_tokens, usage.completion_tokens];

function reported(message) {
  if (!message.tool_calls?.length) return { text: message.content };
  const [call] = message.tool_calls;
  return { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
}

const client = {
  async chat(key, model, question, temperature) {
    const messages = [{ role: "user", content: question }];
    const answer = await connect(key).chat.completions.create(
      request({ model, messages, temperature }),
    );
    return { text: answer.choices[0].message.content, usage: counts(answer.usage) };
  },

  async stream() {
    const pieces = [];
    const stream = connect(KEY).chat.completions.stream(
      request({ stream_options: { include_usage: true } }),
    );
    stream.on("content", (piece) => pieces.push(piece));
    return { usage: counts(await stream.totalUsage()), pieces };
  },

  async tool(choice) {
    const answer = await connect(KEY).chat.completions.create(withTool(choice));
    return reported(answer.choices[0].message);
  },

  async streamedTool() {
    const stream = connect(KEY).chat.completions.stream(withTool("required"));
    return reported(await stream.finalMessage());
  },

  async toolResult() {
    const call = { name: tool.name, arguments: JSON.stringify(tool.arguments) };
    const messages = [
      ...asked,
      { role: "assistant", tool_calls: [{ id: tool.call_id, type: "function", function: call }] },
      { role: "tool", tool_call_id: tool.call_id, content: tool.result },
    ];
    const answer = await connect(KEY).chat.completions.create({ ...withTool("auto"), messages });
    return reported(answer.choices[0].message);
  },

  async structured() {
    const answer = await connect(KEY).chat.completions.parse(
      request({
        max_completion_tokens: inputs.max_tokens,
        response_format: {
          type: "json_schema",
          json_schema: { name: "launch", strict: true, schema: inputs.schema },
        },
      }),
    );
    return { document: JSON.parse(answer.choices[0].message.content) };
  },
};

await run(client, (error) => ({ status: error.status, code: error.code }));
