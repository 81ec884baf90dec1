// Any bytes as a safetensors file, and what an index reads of its tensors.
#include "analyzer/weights/safetensors.hpp"

#include "tests/fuzz/check_tensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const orch::ByteSpan file = orch::fuzz::as_bytes(data, size);
    try {
        orch::fuzz::check_tensors(orch::parse_safetensors(file), {}, file);
    } catch (const orch::MalformedFile& error) {
        orch::fuzz::require(*error.what() != '\0', "what is wrong is said");
    }
    return 0;
}
