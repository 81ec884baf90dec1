#!/usr/bin/env node
// Greedy decoding with the unmodified prebuilt CUDA build of llama.cpp, every layer on the device.
// The JavaScript is that of the engine beside it (.cache/engines/llama.cpp); scripts/deps installs
// both. CUDA's libraries come from LD_LIBRARY_PATH. Prints one JSON line.
import fs from "node:fs";
import path from "node:path";
import {createRequire} from "node:module";
import {fileURLToPath, pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const usage = `usage: run.mjs --model X.gguf (--prompt TEXT | --tokens 1,2,3) --generate N
    [--context C] [--logits OUT.json] [--flash auto|on|off] [--kv F16|F32]`;

function fail(message) {
    console.error(`run.mjs: ${message}\n${usage}`);
    process.exit(2);
}

function parse() {
    const string = {type: "string"};
    const options = {
        model: string, prompt: string, tokens: string, generate: string, context: string, logits: string,
        flash: {...string, default: "auto"}, kv: {...string, default: "F16"},
    };
    let args;
    try {
        args = parseArgs({options}).values;
    } catch (error) {
        fail(error.message);
    }
    if (args.model === undefined) fail("--model is missing");
    if ((args.prompt === undefined) === (args.tokens === undefined)) fail("give --prompt or --tokens");
    const tokens = args.prompt !== undefined
        ? [1, ...Array.from(Buffer.from(args.prompt), (byte) => byte + 3)]
        : args.tokens.split(",").map(Number);
    const generate = Number(args.generate ?? 8);
    if (!Number.isInteger(generate) || generate < 1) fail("--generate wants a whole number, at least 1");
    if (tokens.some((t) => !Number.isInteger(t) || t < 0)) fail("--tokens wants numbers separated by commas");
    if (!["auto", "on", "off"].includes(args.flash)) fail("--flash is auto, on or off");
    return {...args, tokens, generate, context: Number(args.context ?? 256)};
}

const here = path.dirname(fileURLToPath(import.meta.url));
const engines = path.resolve(here, "../../../.cache/engines");
const dist = path.join(engines, "llama.cpp/node_modules/node-llama-cpp/dist");
const bins = path.join(engines, "llama.cpp-cuda/node_modules/@node-llama-cpp/linux-x64-cuda/bins/linux-x64-cuda");
const load = (file) => import(pathToFileURL(path.join(dist, file)).href);

// Not getLlama(): it would try the binary in a second process first.
async function openLlama() {
    for (const directory of [dist, bins]) {
        if (fs.existsSync(directory)) continue;
        console.error(`run.mjs: ${directory} is missing; run scripts/deps`);
        process.exit(1);
    }
    const {Llama} = await load("bindings/Llama.js");
    const bindingPath = path.join(bins, "llama-addon.node");
    return Llama._create({
        bindings: createRequire(import.meta.url)(bindingPath),
        bindingPath,
        buildType: "prebuilt",
        buildMetadata: JSON.parse(fs.readFileSync(path.join(bins, "_nlcBuildMetadata.json"), "utf8")),
        logLevel: process.env.RUN_LOG_LEVEL ?? "error",
        logger: Llama.defaultConsoleLogger,
        maxThreads: 1,
        vramPadding: 0,
        ramPadding: 0,
        debug: false,
        numa: false,
        tempDir: false,
    });
}

const args = parse();
const llama = await openLlama();
if (llama.gpu !== "cuda") {
    console.error("run.mjs: llama.cpp found no CUDA device; is LD_LIBRARY_PATH right?");
    process.exit(1);
}
const model = await llama.loadModel({
    modelPath: path.resolve(args.model), gpuLayers: "max", ignoreMemorySafetyChecks: true,
});
const context = await model.createContext({
    contextSize: args.context,
    threads: 1,
    sequences: 1,
    ignoreMemorySafetyChecks: true,
    flashAttention: args.flash === "auto" ? "auto" : args.flash === "on",
    experimentalKvCacheKeyType: args.kv,
    experimentalKvCacheValueType: args.kv,
});
const sequence = context.getSequence();
const tokens = [];
for await (const token of sequence.evaluate(args.tokens, {temperature: 0, repeatPenalty: false, yieldEogToken: true})) {
    if (tokens.push(token) === args.generate) break;
}
const result = {engine: "llama.cpp-cuda", gpu: llama.gpu, gpu_layers: model.gpuLayers, tokens};

if (args.logits !== undefined) { // of every position, by one more evaluation
    await sequence.clearHistory();
    const all = [...args.tokens, ...tokens.slice(0, -1)];
    const generateNext = {logits: true, options: {temperature: 0}};
    const results = await sequence.controlledEvaluate(all.map((token) => [token, {generateNext}]));
    const logits = results.map(({next}) => {
        const row = new Array(next.logits.size);
        for (const [token, value] of next.logits) row[token] = value;
        return row;
    });
    fs.writeFileSync(args.logits, JSON.stringify({tokens: all, logits}) + "\n");
}
await context.dispose();
await model.dispose();
await llama.dispose();
console.log(JSON.stringify(result));
