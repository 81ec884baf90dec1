// Any bytes as a GGUF file, and what an index reads of its tensors.
#include "analyzer/weights/gguf.hpp"

#include "tests/fuzz/check_tensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const orch::ByteSpan file = orch::fuzz::as_bytes(data, size);
    try {
        const orch::GgufFile model = orch::parse_gguf(file);
        orch::fuzz::check_tensors(model.tensors, model.facts, file);
    } catch (const orch::MalformedFile& error) {
        orch::fuzz::require(*error.what() != '\0', "what is wrong is said");
    }
    return 0;
}
