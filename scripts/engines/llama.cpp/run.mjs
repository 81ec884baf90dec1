#!/usr/bin/env node
// Greedy decoding with the unmodified prebuilt llama.cpp of node-llama-cpp,
// installed by scripts/deps. Prints one JSON line.
import fs from "node:fs";
import path from "node:path";
import {decode, engines, load, openLlama, parse, requireInstalled, writeLogits} from "../node_llama.mjs";

const usage = `usage: run.mjs --model X.gguf (--prompt TEXT | --tokens 1,2,3) --generate N
    [--threads T] [--context C] [--batch B] [--json OUT.json] [--bench R]
    [--exact]            f32 KV cache and no flash attention, which rounds to f16
    [--logits OUT.json]  also write the logits of every position (one more evaluation)
    [--probe]            load the way getLlama() does, with its test process`;

const string = {type: "string"};
const boolean = {type: "boolean"};
const {args, number} = parse(usage, {
    threads: string, batch: string, json: string, bench: string, exact: boolean, probe: boolean,
});
const threads = number("threads", 1);
const batch = number("batch", undefined);
const bench = number("bench", 0, 0);

async function open() {
    if (args.probe) {
        const {getLlama} = await load("index.js");
        return getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: threads});
    }
    const platform = `linux-${process.arch}`;
    return openLlama(path.join(engines, "llama.cpp/node_modules/@node-llama-cpp", platform, "bins", platform), threads);
}

async function run(sequence, prompt, count) {
    await sequence.clearHistory();
    const start = performance.now();
    let first = start;
    const tokens = await decode(sequence, prompt, count, (n) => {
        if (n === 1) first = performance.now();
    });
    const seconds = (performance.now() - first) / 1000;
    return {tokens, prefill: first - start, rate: count > 1 ? (count - 1) / seconds : null};
}

const median = (values) => {
    const v = [...values].sort((a, b) => a - b);
    const m = v.length >> 1;
    return v.length % 2 ? v[m] : (v[m - 1] + v[m]) / 2;
};

requireInstalled();
const llama = await open();
const model = await llama.loadModel({modelPath: args.model, gpuLayers: 0, ignoreMemorySafetyChecks: true});
const context = await model.createContext({
    contextSize: args.context,
    batchSize: batch,
    threads,
    sequences: 1,
    ignoreMemorySafetyChecks: true,
    ...(args.exact
        ? {flashAttention: false, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"}
        : {}), // as it comes: an f16 KV cache, flash attention "auto"
});
const sequence = context.getSequence();

const {tokens, prefill, rate} = await run(sequence, args.tokens, args.generate);
const result = {engine: "llama.cpp", tokens, prefill_ms: prefill, decode_tokens_per_s: rate};
if (bench > 0) { // the run above was the warm-up
    const runs = [];
    for (let i = 0; i < bench; i++) runs.push(await run(sequence, args.tokens, args.generate));
    result.prefill_ms = median(runs.map((r) => r.prefill));
    result.runs = runs.map((r) => r.rate);
    if (rate !== null) result.decode_tokens_per_s = median(result.runs);
}
if (args.logits !== undefined) await writeLogits(sequence, args.tokens, tokens, args.logits);

await context.dispose();
await model.dispose();
await llama.dispose();

const line = JSON.stringify(result);
if (args.json !== undefined) fs.writeFileSync(args.json, line + "\n");
console.log(line);
