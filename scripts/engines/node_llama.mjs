// What the runs of llama.cpp by node-llama-cpp share, whichever prebuilt binary computes.
import fs from "node:fs";
import path from "node:path";
import {createRequire} from "node:module";
import {fileURLToPath, pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const here = path.dirname(fileURLToPath(import.meta.url));
/// Where scripts/deps installs the engines.
export const engines = path.resolve(here, "../../.cache/engines");
const dist = path.join(engines, "llama.cpp/node_modules/node-llama-cpp/dist");
export const load = (file) => import(pathToFileURL(path.join(dist, file)).href);

export function stop(status, message) {
    console.error(`run.mjs: ${message}`);
    process.exit(status);
}

// The options that both have, with `more`; fail() is for what else is wrong with them.
export function parse(usage, more) {
    const fail = (message) => stop(2, `${message}\n${usage}`);
    const string = {type: "string"};
    const options = {
        model: string, prompt: string, tokens: string, generate: string, context: string, logits: string, ...more,
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
    const context = number("context", Math.max(256, tokens.length + generate));
    return {args: {...args, model: path.resolve(args.model), tokens, generate, context}, number, fail};
}

export function requireInstalled(...directories) {
    for (const directory of [dist, ...directories]) {
        if (!fs.existsSync(directory)) stop(1, `${directory} is missing; run scripts/deps`);
    }
}

// On Linux getLlama() always tries a prebuilt binary in a forked node process
// first, and no option turns that off: the process would be a second engine to
// whoever watches this one. So build the same Llama object the way getLlama()
// does after that test, from the binary in `bins`.
export async function openLlama(bins, threads) {
    const {Llama} = await load("bindings/Llama.js");
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

// The `count` tokens behind the prompt; `seen` is called as each of them comes.
export async function decode(sequence, prompt, count, seen = () => {}) {
    const tokens = [];
    for await (const token of sequence.evaluate(prompt, greedy)) {
        tokens.push(token);
        seen(tokens.length);
        if (tokens.length === count) break;
    }
    return tokens;
}

// Of every position, by one more evaluation of the prompt and what came of it.
export async function writeLogits(sequence, prompt, generated, file) {
    const tokens = [...prompt, ...generated.slice(0, -1)];
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
