// Writes a trace with the code that writes it inside an engine: digests, weights, proofs, ledger.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/selftest/matrix.hpp"

namespace orch::selftest {

class Recorder {
  public:
    /// `names`: products, weights and tensors have names, and token positions are known, as in
    /// llama.cpp; else products alone are seen, as in PyTorch. Throws std::runtime_error.
    Recorder(const std::filesystem::path& path, std::string_view team, bool names);
    ~Recorder();
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    void begin_pass(const std::vector<int>& tokens, std::int64_t first_position,
                    std::string_view kv_dtype);
    /// y = x·Wᵀ; `first` is the position of row 0. `name` without ".weight".
    void product(std::string_view name, const Matrix& x, const Matrix& w, const Matrix& y,
                 std::int64_t first);
    /// A named tensor; a nameless engine has none.
    void tensor(std::string_view checkpoint, const Matrix& y, std::int64_t first);
    /// All lines and the final ledger are in the file.
    void finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace orch::selftest
