#!/usr/bin/env node
// Greedy decoding with the unmodified prebuilt CUDA build of llama.cpp, every layer on the device.
// The JavaScript is that of the engine beside it (.cache/engines/llama.cpp); scripts/deps installs
// both. CUDA's libraries come from LD_LIBRARY_PATH. Prints one JSON line.
import path from "node:path";
import {decode, engines, openLlama, parse, requireInstalled, stop, writeLogits} from "../node_llama.mjs";

const usage = `usage: run.mjs --model X.gguf (--prompt TEXT | --tokens 1,2,3) --generate N
    [--context C] [--logits OUT.json] [--flash auto|on|off] [--kv F16|F32]`;

const string = {type: "string"};
const {args, fail} = parse(usage, {flash: {...string, default: "auto"}, kv: {...string, default: "F16"}});
if (!["auto", "on", "off"].includes(args.flash)) fail("--flash is auto, on or off");

const bins = path.join(engines, "llama.cpp-cuda/node_modules/@node-llama-cpp/linux-x64-cuda/bins/linux-x64-cuda");
requireInstalled(bins);
const llama = await openLlama(bins, 1);
if (llama.gpu !== "cuda") stop(1, "llama.cpp found no CUDA device; is LD_LIBRARY_PATH right?");
const model = await llama.loadModel({modelPath: args.model, gpuLayers: "max", ignoreMemorySafetyChecks: true});
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

const tokens = await decode(sequence, args.tokens, args.generate);
const result = {engine: "llama.cpp-cuda", gpu: llama.gpu, gpu_layers: model.gpuLayers, tokens};
if (args.logits !== undefined) await writeLogits(sequence, args.tokens, tokens, args.logits);

await context.dispose();
await model.dispose();
await llama.dispose();
console.log(JSON.stringify(result));
