#!/usr/bin/env node
// Greedy decoding with the unmodified prebuilt llama.cpp of node-llama-cpp,
// installed by scripts/deps. Prints one JSON line.
import fs from "node:fs";
import path from "node:path";
import {createRequire} from "node:module";
import {fileURLToPath, pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const usage = `usage: run.mjs --model X.gguf (--prompt TEXT | --tokens 1,2,3) --generate N
    [--threads T] [--context C] [--batch B] [--json OUT.json] [--bench R]
    [--exact]            f32 KV cache and no flash attention, which rounds to f16
    [--logits OUT.json]  also write the logits of every position (one more evaluation)
    [--probe]            load the way getLlama() does, with its test process`;

function fail(message) {
    console.error(`run.mjs: ${message}\n${usage}`);
    process.exit(2);
}

function parse() {
    const string = {type: "string"};
    const options = {
        model: string, prompt: string, tokens: string, generate: string, threads: string, context: string,
        batch: string, json: string, bench: string, logits: string, exact: {type: "boolean"}, probe: {type: "boolean"},
    };
    let args;
    try {
        args = parseArgs({options}).values;
    } catch (error) {
        fail(error.message);
    }
    const number = (name, fallback, least = 1) => {
        const value = args[name] === undefined ? fallback : Number(args[name]);
        if (value !== undefined && !(Number.isInteger(value) && value >= least))
            fail(`--${name} wants a whole number, at least ${least}`);
        return value;
    };
    if (args.model === undefined) fail("--model is missing");
    if ((args.prompt === undefined) === (args.tokens === undefined)) fail("give --prompt or --tokens");
    const tokens = args.prompt !== undefined
        ? [1, ...Array.from(Buffer.from(args.prompt), (byte) => byte + 3)]
        : args.tokens.split(",").map(Number);
    if (tokens.some((t) => !Number.isInteger(t) || t < 0)) fail("--tokens wants numbers separated by commas");
    const generate = number("generate", 16);
    return {
        ...args, tokens, generate,
        model: path.resolve(args.model),
        threads: number("threads", 1),
        context: number("context", Math.max(256, tokens.length + generate)),
        batch: number("batch", undefined),
        bench: number("bench", 0, 0),
    };
}

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.resolve(here, "../../../.cache/engines/llama.cpp/node_modules");
const dist = path.join(modules, "node-llama-cpp/dist");
const load = (file) => import(pathToFileURL(path.join(dist, file)).href);

// On Linux getLlama() always tries a prebuilt binary in a forked node process
// first, and no option turns that off: the process would be a second engine to
// whoever watches this one. So unless --probe is given, build the same Llama
// object the way getLlama() does after that test.
async function openLlama(probe, threads) {
    if (!fs.existsSync(dist)) {
        console.error("run.mjs: node-llama-cpp is not installed; run scripts/deps");
        process.exit(1);
    }
    const {getLlama} = await load("index.js");
    if (probe)
        return getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: threads});
    const {Llama} = await load("bindings/Llama.js");
    const platform = `linux-${process.arch}`;
    const bins = path.join(modules, "@node-llama-cpp", platform, "bins", platform);
    const bindingPath = path.join(bins, "llama-addon.node");
    return Llama._create({
        bindings: createRequire(import.meta.url)(bindingPath),
        bindingPath,
        buildType: "prebuilt",
        buildMetadata: JSON.parse(fs.readFileSync(path.join(bins, "_nlcBuildMetadata.json"), "utf8")),
        logLevel: "error",
        logger: Llama.defaultConsoleLogger,
        maxThreads: threads,
        vramPadding: 0,
        ramPadding: 0,
        debug: false,
        numa: false,
        tempDir: false,
    });
}

// Temperature 0 takes the largest logit; nothing else touches the logits.
const greedy = {temperature: 0, repeatPenalty: false, yieldEogToken: true};

async function run(sequence, prompt, count) {
    await sequence.clearHistory();
    const tokens = [];
    const start = performance.now();
    let first = start;
    for await (const token of sequence.evaluate(prompt, greedy)) {
        if (tokens.push(token) === 1) first = performance.now();
        if (tokens.length === count) break;
    }
    const seconds = (performance.now() - first) / 1000;
    return {tokens, prefill: first - start, rate: count > 1 ? (count - 1) / seconds : null};
}

async function writeLogits(sequence, tokens, file) {
    await sequence.clearHistory();
    const generateNext = {logits: true, options: {temperature: 0}};
    const results = await sequence.controlledEvaluate(tokens.map((token) => [token, {generateNext}]));
    const logits = results.map(({next}) => {
        const row = new Array(next.logits.size);
        for (const [token, value] of next.logits) row[token] = value;
        return row;
    });
    fs.writeFileSync(file, JSON.stringify({tokens, logits}) + "\n");
}

const median = (values) => {
    const v = [...values].sort((a, b) => a - b);
    const m = v.length >> 1;
    return v.length % 2 ? v[m] : (v[m - 1] + v[m]) / 2;
};

const args = parse();
const llama = await openLlama(args.probe, args.threads);
const model = await llama.loadModel({modelPath: args.model, gpuLayers: 0, ignoreMemorySafetyChecks: true});
const context = await model.createContext({
    contextSize: args.context,
    batchSize: args.batch,
    threads: args.threads,
    sequences: 1,
    ignoreMemorySafetyChecks: true,
    ...(args.exact
        ? {flashAttention: false, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"}
        : {}), // as it comes: an f16 KV cache, flash attention "auto"
});
const sequence = context.getSequence();

const {tokens, prefill, rate} = await run(sequence, args.tokens, args.generate);
const result = {engine: "llama.cpp", tokens, prefill_ms: prefill, decode_tokens_per_s: rate};
if (args.bench > 0) { // the run above was the warm-up
    const runs = [];
    for (let i = 0; i < args.bench; i++) runs.push(await run(sequence, args.tokens, args.generate));
    result.prefill_ms = median(runs.map((r) => r.prefill));
    result.runs = runs.map((r) => r.rate);
    if (rate !== null) result.decode_tokens_per_s = median(result.runs);
}
if (args.logits !== undefined)
    await writeLogits(sequence, [...args.tokens, ...tokens.slice(0, -1)], args.logits);

await context.dispose();
await model.dispose();
await llama.dispose();

const line = JSON.stringify(result);
if (args.json !== undefined) fs.writeFileSync(args.json, line + "\n");
console.log(line);
