// The official OpenAI package for Node against a gateway; prints what it saw as one line of JSON.
//
//     CONDUIT_TEST_URL=http://…/v1 CONDUIT_TEST_KEY=… node openai_client.mjs SCENARIO [MODEL]

import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.CONDUIT_TEST_URL,
  apiKey: process.env.CONDUIT_TEST_KEY,
  maxRetries: 0,
  timeout: 20_000,
});
const messages = [{ role: "user", content: "Say hello." }];
const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

const model = process.argv[3];

function said(answer) {
  const { message, finish_reason: finishReason } = answer.choices[0];
  const calls = (message.tool_calls ?? []).map(({ function: called }) => [
    called.name,
    called.arguments,
  ]);
  return { text: message.content, finishReason, calls, usage: answer.usage };
}

async function caught(call) {
  try {
    await call();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      type: error.type ?? null,
      requestId: error.requestID ?? null,
      retryAfter: error.headers?.get("retry-after") ?? null,
    };
  }
  return null;
}

const scenarios = {
  async chat() {
    const { data, response, request_id } = await client.chat.completions
      .create({ model: "fake-in12-out34", messages })
      .withResponse();
    return {
      text: data.choices[0].message.content,
      finishReason: data.choices[0].finish_reason,
      usage: data.usage,
      requestId: request_id,
      cost: response.headers.get("x-conduit-cost"),
    };
  },

  async stream() {
    const stream = await client.chat.completions.create({
      model: "fake-n7-in5-out9",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const seen = { text: "", finishReason: null, usage: null, chunks: 0 };
    for await (const chunk of stream) {
      seen.chunks += 1;
      seen.text += chunk.choices[0]?.delta.content ?? "";
      seen.finishReason = chunk.choices[0]?.finish_reason ?? seen.finishReason;
      seen.usage = chunk.usage ?? seen.usage;
    }
    return seen;
  },

  async tools() {
    const asked = { model: "fake-tools", messages, tools: [weather] };
    const whole = await client.chat.completions.create(asked);
    // The package's own helper puts the pieces of a stream together.
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    return [whole, streamed].map((answer) => ({
      finishReason: answer.choices[0].finish_reason,
      calls: answer.choices[0].message.tool_calls.map(({ id, function: called }) => ({
        id,
        name: called.name,
        arguments: called.arguments,
      })),
    }));
  },

  async errors() {
    const seen = {};
    for (const model of [
      "fake-status400",
      "fake-status401",
      "fake-status404",
      "fake-status422",
      "fake-status429-retry7",
      "fake-status500",
      "unknown",
    ]) {
      seen[model] = await caught(() => client.chat.completions.create({ model, messages }));
    }
    const stranger = client.withOptions({ apiKey: "nonsense" });
    seen.stranger = await caught(() => stranger.models.list());
    seen.brokenStream = await caught(async () => {
      const model = "fake-n6-cut_rst-at3";
      for await (const chunk of await client.chat.completions.create({
        model,
        messages,
        stream: true,
      })) {
        void chunk;
      }
    });
    return seen;
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return { ids, one: await client.models.retrieve("other/model") };
  },

  async foreignStream() {
    const asked = { model, messages, stream_options: { include_usage: true } };
    return said(await client.chat.completions.stream(asked).finalChatCompletion());
  },

  async foreignTools() {
    return said(await client.chat.completions.create({ model, messages, tools: [weather] }));
  },

  async foreignStreamedTools() {
    const asked = { model, messages, tools: [weather] };
    return said(await client.chat.completions.stream(asked).finalChatCompletion());
  },

  async foreignSchema() {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, inhabitants: { type: "integer" } },
      required: ["name", "inhabitants"],
      additionalProperties: false,
    };
    const form = { type: "json_schema", json_schema: { name: "city", schema, strict: true } };
    const answer = await client.chat.completions.parse({ model, messages, response_format: form });
    return answer.choices[0].message.parsed ?? JSON.parse(answer.choices[0].message.content);
  },

  async foreignResponse() {
    const stream = client.responses.stream({ model, input: "Say hello." });
    const answer = await stream.finalResponse();
    return { text: answer.output_text, usage: answer.usage };
  },

  async embeddings() {
    // The package asks for base64 by itself, and takes plain numbers too.
    const answer = await client.embeddings.create({ model: "fake", input: ["one", "two"] });
    return { vectors: answer.data.map((row) => row.embedding), usage: answer.usage };
  },

  async abort() {
    const stream = await client.chat.completions.create({
      model: "fake-n1000-gap50",
      messages,
      stream: true,
    });
    let chunks = 0;
    for await (const chunk of stream) {
      void chunk;
      chunks += 1;
      if (chunks === 3) stream.controller.abort();
    }
    return { chunks, aborted: stream.controller.signal.aborted };
  },
};

process.stdout.write(`${JSON.stringify(await scenarios[process.argv[2]]())}\n`);
