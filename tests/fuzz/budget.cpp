// Any bytes as the budget of `orchtrace baseline`: read_budget.
#include "analyzer/report/budget.hpp"

#include <stdexcept>

#include "tests/fuzz/file_in_memory.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using orch::fuzz::require;
    const orch::fuzz::FileInMemory file{orch::fuzz::as_text(data, size)};
    try {
        const orch::Budget budget = orch::read_budget(file.path());
        (void)orch::budget_json(budget).dump();
    } catch (const std::runtime_error& error) {
        require(std::string_view{error.what()}.starts_with(file.path().string() + ": "),
                "what is wrong is said of which file");
    }
    return 0;
}
