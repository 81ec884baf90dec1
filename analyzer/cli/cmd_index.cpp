// index: sketches of all weights of a checkpoint, so that nameless weights get names.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/export/output_file.hpp"
#include "analyzer/util/text.hpp"
#include "analyzer/weights/ggml_library.hpp"
#include "analyzer/weights/index_writer.hpp"
#include "analyzer/weights/model_file.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

struct IndexOptions {
    std::string model;
    std::string output;
    std::string ggml;
    unsigned threads = 0;
};

/// model.gguf -> model.idx, in the current directory: the model's own may be read-only.
fs::path output_path(const IndexOptions& options) {
    if (!options.output.empty()) return options.output;
    std::error_code error;
    fs::path model = fs::absolute(options.model, error).lexically_normal();
    if (!model.has_filename()) model = model.parent_path();
    const std::string stem =
        fs::is_directory(model, error) ? model.filename().string() : model_stem(model);
    return stem + ".idx";
}

bool is_index(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string first;
    std::getline(file, first);
    return first.find(R"("kind":"header")") != std::string::npos &&
           first.find(R"("backend":"index")") != std::string::npos;
}

/// A slip in the order of the arguments must not cost a model or a trace.
void check_output(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) return;
    if (!fs::is_regular_file(status))
        throw UsageError(fmt::format("-o {}: not a regular file", printable(path.string())));
    if (fs::file_size(path, error) == 0 || is_index(path)) return;
    throw UsageError(
        fmt::format("-o {}: the file exists and is no index; remove it or choose another name",
                    printable(path.string())));
}

/// A line that is written over, where somebody watches.
std::function<void(std::uint64_t, std::uint64_t)> progress_on(Context& context) {
    const bool watched = &context.err == &std::cerr && ::isatty(STDERR_FILENO) == 1;
    if (!watched) return {};
    return [&context, shown = -1](std::uint64_t done, std::uint64_t total) mutable {
        const int percent =
            static_cast<int>(100.0 * static_cast<double>(done) /
                             static_cast<double>(std::max<std::uint64_t>(total, 1)));
        if (percent == shown) return;
        shown = percent;
        context.err << fmt::format("\rorchtrace: {} of {} ({} %)", size_text(done),
                                   size_text(total), percent);
        if (percent == 100) context.err << '\n';
        context.err << std::flush;
    };
}

/// "(24 q4_K, 5 q6_K, 1 f32)"
std::string types_text(const ModelFile& model) {
    std::map<std::string_view, std::size_t> counts;
    for (const ModelTensor& tensor : model.tensors) {
        if (tensor.left_out.empty()) ++counts[tensor.type.name];
    }
    std::vector<std::string> parts;
    parts.reserve(counts.size());
    for (const auto& [type, count] : counts)
        parts.push_back(fmt::format("{} {}", grouped(count), type));
    return joined(parts, ", ");
}

void report(const ModelFile& model, const IndexCounts& counts, const fs::path& output,
            double seconds, Context& context) {
    for (const auto& [what, why] : unreadable_tensors(model))
        context.err << fmt::format("orchtrace: left out {}: {}\n", what, why);
    if (counts.not_weights > 0)
        context.err << fmt::format("orchtrace: left out {} of integers, or empty\n",
                                   counted(counts.not_weights, "tensor"));
    const double rate = static_cast<double>(counts.bytes) / std::max(seconds, 1e-6);
    context.out << fmt::format("{}: {} of {} ({}), {} in {:.2f} s, {}/s\n",
                               printable(output.string()), counted(counts.weights, "weight"),
                               printable(model.name), types_text(model), size_text(counts.bytes),
                               seconds, size_text(static_cast<std::uint64_t>(rate)));
}

int index(const IndexOptions& options, Context& context) {
    const fs::path output = output_path(options);
    check_output(output);
    const auto start = std::chrono::steady_clock::now();
    ModelFile model = open_model(options.model);
    IndexRequest request;
    request.ggml = attach_decoders(model.tensors, options.ggml, context.program_dir);
    request.arguments = {"orchtrace", "index", options.model};
    request.threads = options.threads;
    request.progress = progress_on(context);
    OutputFile file{output};
    const IndexCounts counts = write_index(model, request, file);
    if (counts.weights == 0) {
        const auto left_out = unreadable_tensors(model);
        throw UsageError(fmt::format(
            "{}: no weight in it can be read{}", printable(options.model),
            left_out.empty() ? "; it holds integers alone" : ": " + left_out.front().second));
    }
    file.commit();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    report(model, counts, output, taken.count(), context);
    return exit_ok;
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<IndexOptions>();
    app.add_option("MODEL", options->model,
                   "a .gguf or .safetensors file, any file of a split model, or a directory")
        ->required()
        ->type_name("PATH");
    app.add_option("-o,--output", options->output,
                   "the index; default: the model's name and .idx, in this directory")
        ->type_name("FILE");
    app.add_option("--threads", options->threads, "threads to compute with; 0: one per core")
        ->type_name("N")
        ->check(CLI::Range(0U, 1024U))
        ->capture_default_str();
    app.add_option("--ggml", options->ggml,
                   "libggml-base.so, for types that are not built in; else looked for")
        ->type_name("PATH");
    return [options](Context& context) { return index(*options, context); };
}

}  // namespace

const Command index_command{"index", "[OPTIONS] MODEL",
                            "sketch a checkpoint's weights, to give nameless weights their names",
                            "examples:\n"
                            "  orchtrace index model.gguf -o model.idx\n"
                            "  orchtrace index Qwen2.5-0.5B/ --threads 4",
                            add_options};

}  // namespace orch
