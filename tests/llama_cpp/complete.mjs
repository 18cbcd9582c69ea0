// A real llama.cpp through node-llama-cpp: reads a list of jobs from standard input, writes what it makes of each.
// job: {model, context, texts: [text], prompts: [[id]], limits: [most tokens], ends: [id]}
import {getLlama} from "node-llama-cpp";

async function work(llama, job) {
    const started = performance.now();
    const model = await llama.loadModel({modelPath: job.model});
    const context = await model.createContext({contextSize: job.context, threads: job.threads ?? 1});
    const sequence = context.getSequence();
    const load = (performance.now() - started) / 1000;
    const before = process.cpuUsage();
    const completions = [];
    for (const [place, prompt] of (job.prompts ?? []).entries()) {
        const began = performance.now();
        const ids = [];
        await sequence.clearHistory();
        for await (const token of sequence.evaluate(prompt, {temperature: 0, yieldEogToken: true})) {
            ids.push(token);
            if (ids.length >= job.limits[place] || (job.ends ?? []).includes(token)) break;
        }
        completions.push({ids, seconds: (performance.now() - began) / 1000});
    }
    const used = process.cpuUsage(before);
    const texts = (job.texts ?? []).map((text) => [...model.tokenize(text, true)]);
    const {bos, eos, eot, shouldPrependBosToken: begins} = model.tokens;
    await context.dispose();
    await model.dispose();
    return {
        texts, completions, special: {bos, eos, eot, begins}, load,
        cpu: (used.user + used.system) / 1e6,
    };
}

let input = "";
for await (const part of process.stdin) input += part;
const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error", maxThreads: 1});
const found = [];
for (const job of JSON.parse(input)) found.push(await work(llama, job));
process.stdout.write(JSON.stringify(found));
await llama.dispose();
