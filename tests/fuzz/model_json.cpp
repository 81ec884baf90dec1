// Any bytes as the JSON files beside a checkpoint: config.json, model.safetensors.index.json.
#include "analyzer/weights/safetensors.hpp"
#include "tests/fuzz/check_tensors.hpp"

namespace {

template <class Parse>
void try_to(const Parse& parse) {
    try {
        parse();
    } catch (const orch::MalformedFile& error) {
        orch::fuzz::require(*error.what() != '\0', "what is wrong is said");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using orch::fuzz::require;
    const orch::ByteSpan json = orch::fuzz::as_bytes(data, size);
    try_to([json] {
        for (const auto& [file, tensors] : orch::parse_shard_index(json)) {
            require(file.find('/') == std::string::npos && file != "..", "a file beside this one");
            require(!tensors.empty(), "a file has tensors");
        }
    });
    try_to([json] {
        const orch::ModelFacts facts = orch::parse_config(json);
        require(facts.block_count >= 0 && facts.head_dim >= 0 && facts.vocab_size >= 0,
                "counts are counts");
        orch::fuzz::check_tensors({}, facts, json);
    });
    return 0;
}
