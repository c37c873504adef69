// The official JavaScript client of Anthropic's API.
import Anthropic from "@anthropic-ai/sdk";

import { KEY, MODEL, URL_OF_SERVER, inputs, run } from "./program.mjs";

const { tool } = inputs;
const asked = [{ role: "user", content: inputs.question }];
const offered = {
  name: tool.name,
  description: tool.description,
  strict: true,
  input_schema: inputs.schema,
};
const choices = {
  auto: { type: "auto", disable_parallel_tool_use: true },
  required: { type: "any", disable_parallel_tool_use: true },
  named: { type: "tool", name: tool.name, disable_parallel_tool_use: true },
};

// sends its key as x-api-key
const connect = (apiKey) => new Anthropic({ baseURL: URL_OF_SERVER, apiKey, maxRetries: 0 });
const request = (options) => ({
  model: MODEL,
  messages: asked,
  max_tokens: inputs.max_tokens,
  ...options,
});
const withTool = (choice) => request({ tools: [offered], tool_choice: choices[choice] });
const counts = (usage) => [usage.input_tokens, usage.output_tokens];

function textOf(message) {
  return message.content
    .filter((block) => block.type === "text")
    .map((block) => block.text)
    .join("");
}

function reported(message) {
  const call = message.content.find((block) => block.type === "tool_use");
  return call ? { name: call.name, arguments: call.input } : { text: textOf(message) };
}

const client = {
  async chat(key, model, question, temperature) {
    const messages = [{ role: "user", content: question }];
    const message = await connect(key).messages.create(request({ model, messages, temperature }));
    return { ...reported(message), usage: counts(message.usage) };
  },

  async stream() {
    const pieces = [];
    const stream = connect(KEY).messages.stream(request({}));
    stream.on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    return { pieces, usage: counts(message.usage) };
  },

  async tool(choice) {
    return reported(await connect(KEY).messages.create(withTool(choice)));
  },

  async streamedTool() {
    return reported(await connect(KEY).messages.stream(withTool("required")).finalMessage());
  },

  async toolResult() {
    const call = { type: "tool_use", id: tool.call_id, name: tool.name, input: tool.arguments };
    const result = { type: "tool_result", tool_use_id: tool.call_id, content: tool.result };
    const messages = [
      ...asked,
      { role: "assistant", content: [call] },
      { role: "user", content: [result] },
    ];
    return reported(await connect(KEY).messages.create({ ...withTool("auto"), messages }));
  },

  async structured() {
    const format = { type: "json_schema", schema: inputs.schema };
    const message = await connect(KEY).messages.create(request({ output_config: { format } }));
    return { document: JSON.parse(textOf(message)) };
  },
};

await run(client, (error) => ({ status: error.status, code: error.error?.error?.type }));
