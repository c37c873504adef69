// Vercel's AI SDK, with its provider for servers of OpenAI's API.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

import { BASE_URL, KEY, MODEL, inputs, run } from "./program.mjs";

const { name, description, result, call_id, arguments: values } = inputs.tool;
const schema = jsonSchema(inputs.schema);
const offered = { [name]: tool({ description, inputSchema: schema, strict: true }) };
const choices = {
  auto: "auto",
  required: "required",
  named: { type: "tool", toolName: name },
};

function connect(apiKey = KEY, model = MODEL) {
  const provider = createOpenAICompatible({
    name: "inference-server",
    baseURL: BASE_URL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  return provider.chatModel(model);
}

const request = (options) => ({
  model: connect(),
  prompt: inputs.question,
  temperature: 0,
  maxRetries: 0,
  ...options,
});
const withTool = (choice) =>
  request({
    maxOutputTokens: inputs.max_tokens,
    tools: offered,
    toolChoice: choices[choice],
    providerOptions: { inferenceServer: { parallel_tool_calls: false } },
  });
const counts = (usage) => [usage.inputTokens, usage.outputTokens];

function reported({ text, toolCalls }) {
  const [call] = toolCalls;
  return call ? { name: call.toolName, arguments: call.input } : { text };
}

const client = {
  async chat(key, model, question, temperature) {
    const answer = await generateText(
      request({ model: connect(key, model), prompt: question, temperature }),
    );
    return { text: answer.text, usage: counts(answer.usage) };
  },

  async stream() {
    const answer = streamText(request({}));
    const pieces = await Array.fromAsync(answer.textStream);
    return { pieces, usage: counts(await answer.usage) };
  },

  async tool(choice) {
    return reported(await generateText(withTool(choice)));
  },

  async streamedTool() {
    const answer = streamText(withTool("required"));
    await answer.consumeStream();
    return reported({ text: await answer.text, toolCalls: await answer.toolCalls });
  },

  async toolResult() {
    const call = { type: "tool-call", toolCallId: call_id, toolName: name, input: values };
    const output = { type: "text", value: result };
    const returned = { type: "tool-result", toolCallId: call_id, toolName: name, output };
    const { prompt, ...rest } = withTool("auto");
    return reported(
      await generateText({
        ...rest,
        messages: [
          { role: "user", content: prompt },
          { role: "assistant", content: [call] },
          { role: "tool", content: [returned] },
        ],
      }),
    );
  },

  async structured() {
    const answer = await generateText(
      request({ maxOutputTokens: inputs.max_tokens, output: Output.object({ schema }) }),
    );
    return { document: answer.output };
  },
};

await run(client, (error) => ({ status: error.statusCode, code: error.data?.error?.code }));
