// A task of many steps through node-llama-cpp on one thread: each prompt is the one before, the reply
// to it and a result. Prints CPU seconds; the sequence is brought to each prompt in the way that the
// library has for it, which computes what is new.
//
// node task.mjs MODEL CONTEXT [[PROMPT_TOKENS,REPLY_TOKENS],...]
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const [model, contextSize, lengths] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: 1, logLevel: LlamaLogLevel.disabled });
const loaded = await llama.loadModel({ modelPath: model });
const context = await loaded.createContext({ contextSize: Number(contextSize), batchSize: 1024, threads: 1 });
const sequence = context.getSequence();
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const start = cpu();
let tokens = [];
for (const [prompt, reply] of JSON.parse(lengths)) {
  while (tokens.length < prompt) tokens.push(100);
  await sequence.adaptStateToTokens(tokens, false);
  const fresh = tokens.slice(sequence.nextTokenIndex);
  let written = 0;
  for await (const token of sequence.evaluate(fresh, { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (++written === reply) break;
  }
}
console.log(cpu() - start);
