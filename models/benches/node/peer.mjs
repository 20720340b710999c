// One conversation through node-llama-cpp on one thread, in CPU time: tokens a second while the
// prompt is evaluated and while a reply is written.
//
// node peer.mjs MODEL PROMPT_TOKENS REPLY_TOKENS ROUNDS
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const [model, prompt, reply, rounds] = process.argv.slice(2).map((word, at) => (at ? Number(word) : word));
const llama = await getLlama({ gpu: false, build: "never", maxThreads: 1, logLevel: LlamaLogLevel.disabled });
const loaded = await llama.loadModel({ modelPath: model });
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
const [prefill, decode] = [[], []];
for (let round = 0; round <= rounds; round++) {
  const context = await loaded.createContext({ contextSize: 1024, batchSize: 1024, threads: 1 });
  const sequence = context.getSequence();
  const start = cpu();
  let first;
  let written = 0;
  for await (const _ of sequence.evaluate(Array(prompt).fill(100), { temperature: 0, yieldEogToken: true })) {
    first ??= cpu();
    if (written++ === reply) break;
  }
  const end = cpu();
  if (round > 0) {
    prefill.push(first - start);
    decode.push(end - first);
  }
  await context.dispose();
}
console.log(prompt / median(prefill), reply / median(decode));
