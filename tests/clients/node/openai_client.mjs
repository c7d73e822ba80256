// The official JavaScript client against a running server: WOOTZ_URL, WOOTZ_KEY and WOOTZ_MODEL say which.

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { VERSION } from 'openai/version';

const { WOOTZ_URL, WOOTZ_KEY, WOOTZ_MODEL } = process.env;
const client = new OpenAI({ baseURL: `${WOOTZ_URL}/v1`, apiKey: WOOTZ_KEY, maxRetries: 0 });
const messages = [
  { role: 'system', content: 'You tell short stories.' },
  { role: 'user', content: [{ type: 'text', text: 'Once upon a time there was a little boat.' }] },
];
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Paris', 'Oslo'] } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};
const options = { model: WOOTZ_MODEL, messages, max_completion_tokens: 24, seed: 7, temperature: 0.8 };

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, [WOOTZ_MODEL]);

const whole = await client.chat.completions.create(options);
const text = whole.choices[0].message.content;
assert.ok(text && ['stop', 'length'].includes(whole.choices[0].finish_reason));
assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

const stream = await client.chat.completions.create({
  ...options,
  stream: true,
  stream_options: { include_usage: true },
});
let streamed = '';
let usage;
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? '';
  usage = chunk.usage ?? usage;
}
assert.equal(streamed, text);
assert.equal(usage.completion_tokens, whole.usage.completion_tokens);

const runner = client.chat.completions.stream({ ...options, logprobs: true, top_logprobs: 2, n: 2 });
const final = await runner.finalChatCompletion();
assert.equal(final.choices.length, 2);
assert.equal(final.choices[0].message.content, text);
assert.equal(final.choices[0].logprobs.content[0].top_logprobs.length, 2);

const called = await client.chat.completions.create({
  ...options,
  tools: [weather],
  tool_choice: 'required',
  parallel_tool_calls: false,
  max_completion_tokens: 200,
});
const [call] = called.choices[0].message.tool_calls;
assert.equal(called.choices[0].finish_reason, 'tool_calls');
assert.equal(call.function.name, 'get_weather');
assert.ok(['Paris', 'Oslo'].includes(JSON.parse(call.function.arguments).city));

const schema = {
  type: 'object',
  properties: { colour: { enum: ['red', 'blue'] }, sails: { type: 'integer', minimum: 0, maximum: 9 } },
  required: ['colour', 'sails'],
  additionalProperties: false,
};
const parsed = await client.chat.completions.parse({
  ...options,
  max_completion_tokens: 200,
  response_format: { type: 'json_schema', json_schema: { name: 'boat', strict: true, schema } },
});
assert.ok(['red', 'blue'].includes(JSON.parse(parsed.choices[0].message.content).colour));

await assert.rejects(client.chat.completions.create({ ...options, top_p: 7 }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, 'top_p');
  return true;
});
await assert.rejects(client.chat.completions.create({ ...options, model: 'no-such' }), OpenAI.NotFoundError);

const completion = await client.completions.create({ model: WOOTZ_MODEL, prompt: 'Once upon a time', max_tokens: 8 });
assert.ok(completion.choices[0].text.length > 0);

console.log(`openai ${VERSION} (Node.js): chat, streams, tools, structured output, errors, completions ok`);
