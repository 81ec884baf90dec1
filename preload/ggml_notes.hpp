// What the graph builders told us of each tensor, by its address. ggml builds a graph anew in the
// same memory, so an address means what was noted last; a reader compares the operation, which
// tells a stale note from a fresh one (every operation whose note matters is built through a hook).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/digest.hpp"
#include "preload/ggml_api.hpp"
#include "preload/ggml_names.hpp"

namespace orch {

enum class NoteKind : std::uint8_t { none, product, rope, rows, view };

struct TensorNote {
    void* tensor = nullptr;  ///< null: a free slot
    NoteKind kind = NoteKind::none;
    std::uint64_t marked_in = 0;  ///< number of the graph in which it was declared an output
    bool by_callback = false;     ///< wanted, but over the memory budget
    bool wanted = false;          ///< `checkpoint` is selected
    bool wanted_product = false;
    void* source = nullptr;  ///< view: what it looks at; product: its input; rope, rows: its data
    void* weight = nullptr;  ///< product: the matrix
    void* index = nullptr;   ///< rope: positions; rows: which rows
    void* buffer = nullptr;  ///< weights: where the loader put them
    bool weight_recorded = false;
    Probes probes;                  ///< weights: to check products with
    std::uint64_t weight_hash = 0;  ///< of the content that these were made of
    double settled_error = 0;       ///< of a product that a change of the weight did not explain
    StableName name;
};

/// Holds the registry for as long as it lives. Graphs are built on one thread per context; the lock
/// is for engines with several contexts.
class Notes {
  public:
    Notes() noexcept;
    ~Notes();
    Notes(const Notes&) = delete;
    Notes& operator=(const Notes&) = delete;

    /// The note of a tensor; a new one if there is none. Null when the registry is full.
    TensorNote* at(void* tensor) noexcept;
    TensorNote* find(const void* tensor) noexcept;
    /// The tensor that owns the memory which `tensor` looks at.
    void* owner(const GgmlApi& api, void* tensor) noexcept;

    /// Changes whenever a note does; a plan made from the notes is good while it stays.
    static std::uint64_t generation() noexcept;
};

}  // namespace orch
