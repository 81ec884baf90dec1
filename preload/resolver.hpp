// Finds what a caller would have reached without us.
//
// The dynamic linker binds a symbol in the global scope first, then in the scope of the library
// that was opened. We stand in the global scope, so the real function is (1) the next one there,
// or, for a library that was opened RTLD_LOCAL (every Python extension, every Node addon), (2) what
// the calling module and its dependencies export, or (3) what any loaded module exports. The answer
// differs by caller where a process holds two copies of a BLAS, so it is kept per calling module.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "preload/hook.hpp"

namespace orch {

enum class HookId : std::uint16_t;

struct HookInfo {
    const char* name;
    ProbeId probe;
};

/// Called by orch_enter_NAME with the address it will return to.
Hook enter_hook(HookId id, const void* caller) noexcept;

/// The real dlsym, never ours.
void* real_dlsym(void* handle, const char* name) noexcept;

/// As for a hook: `name` as the module that contains `caller` would have bound it. Null if there is
/// no such symbol.
void* find_for_caller(const char* name, const void* caller) noexcept;

/// What the module that contains `function` exports under `name`: the other functions of the same
/// copy of a library. Null if it has none.
void* find_beside(const char* name, const void* function) noexcept;

/// What to hand out in place of `function`, if it is the real one of a hook of this probe; else
/// null.
const void* stub_for_address(ProbeId probe, void* function) noexcept;

/// After dlclose: what is known of callers may no longer hold.
void forget_callers() noexcept;

/// Inside one of our own hooks or probes on this thread: calls that come from there are not the
/// engine's.
class Guard {
  public:
    Guard() noexcept { ++depth; }
    ~Guard() { --depth; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    static bool inside() noexcept { return depth != 0; }

  private:
    static thread_local constinit int depth;
};

}  // namespace orch
