#include "preload/resolver.hpp"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "core/slice.hpp"

#include "generated/hook_table.hpp"
#include "preload/session.hpp"

namespace orch {

/// The stubs read it without a lock, and know the first three members.
struct Target {
    std::uintptr_t low = 0;
    std::uintptr_t size = 0;
    void* real = nullptr;
    Target* next = nullptr;
    bool excluded = false;  ///< ORCH_TRACE_EXCLUDE: nobody looks at these calls
    FixedString<63> name;

    bool contains(const void* address) const noexcept {
        return reinterpret_cast<std::uintptr_t>(address) - low < size;
    }
};

namespace {

constexpr std::size_t max_targets = 4096;

constinit Target nobody{};
constinit Target target_pool[max_targets] = {};
constinit std::atomic<std::size_t> targets_used{0};
constinit std::atomic<Target*> known_targets[hook_count] = {};

constexpr std::array<Target*, hook_count> all_nobody() {
    std::array<Target*, hook_count> targets{};
    targets.fill(&nobody);
    return targets;
}

void set_target(std::size_t index, Target* target) noexcept;

}  // namespace
}  // namespace orch

// Read by the stubs; plain symbols.
extern "C" {
ORCH_HIDDEN constinit std::array<orch::Target*, orch::hook_count> orch_targets = orch::all_nobody();
ORCH_HIDDEN constinit std::atomic<void*> orch_slots[orch::hook_count * orch::slots_per_hook] = {};
ORCH_HIDDEN constinit std::atomic<bool> orch_hook_active[orch::hook_count] = {};
ORCH_HIDDEN constinit void* orch_real_dlsym = nullptr;
extern ORCH_HIDDEN thread_local constinit void* orch_pending_real;
ORCH_HIDDEN thread_local constinit void* orch_pending_real = nullptr;
}

namespace orch {

thread_local constinit int Guard::depth = 0;

namespace {

void set_target(std::size_t index, Target* target) noexcept {
    __atomic_store_n(&orch_targets[index], target, __ATOMIC_RELEASE);
}

struct Module {
    std::uintptr_t low = 0;
    std::uintptr_t high = 0;
    FixedString<1023> path;  ///< empty: the executable itself
};

struct ModuleQuery {
    std::uintptr_t address;
    Module found;
};

int match_module(dl_phdr_info* info, std::size_t, void* data) noexcept {
    auto& query = *static_cast<ModuleQuery*>(data);
    std::uintptr_t low = UINTPTR_MAX;
    std::uintptr_t high = 0;
    bool inside = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD) continue;
        const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr;
        const std::uintptr_t end = begin + header.p_memsz;
        low = begin < low ? begin : low;
        high = end > high ? end : high;
        inside = inside || (query.address >= begin && query.address < end);
    }
    if (!inside) return 0;
    query.found.low = low;
    query.found.high = high;
    query.found.path.append(info->dlpi_name);
    return 1;
}

/// Walks of the loader's list that are under way; -1: a fork is. A child that is forked during one
/// finds the list locked for ever: glibc resets its other lock only.
constinit std::atomic<int> walkers{0};

void walk_modules(int (*visit)(dl_phdr_info*, std::size_t, void*), void* data) noexcept {
    int count = walkers.load(std::memory_order_relaxed);
    while (count < 0 ||
           !walkers.compare_exchange_weak(count, count + 1, std::memory_order_acquire)) {
        if (count < 0) count = walkers.load(std::memory_order_relaxed);
    }
    ::dl_iterate_phdr(visit, data);
    walkers.fetch_sub(1, std::memory_order_release);
}

void before_fork() noexcept {
    int none = 0;
    while (!walkers.compare_exchange_weak(none, -1, std::memory_order_acquire))
        none = 0;
}

void after_fork() noexcept {
    walkers.store(0, std::memory_order_release);
}

__attribute__((constructor)) void watch_forks() noexcept {
    ::pthread_atfork(before_fork, after_fork, after_fork);
}

/// The module around an address; an empty range for code that belongs to none (a JIT's).
Module module_of(const void* address) noexcept {
    ModuleQuery query{reinterpret_cast<std::uintptr_t>(address), {}};
    walk_modules(match_module, &query);
    return query.found;
}

bool is_ours(const void* address) noexcept {
    static constinit std::atomic<std::uintptr_t> low{0};
    static constinit std::atomic<std::uintptr_t> high{0};
    if (high.load(std::memory_order_acquire) == 0) {
        const Module self = module_of(reinterpret_cast<const void*>(&module_of));
        low.store(self.low, std::memory_order_relaxed);
        high.store(self.high, std::memory_order_release);
    }
    const auto a = reinterpret_cast<std::uintptr_t>(address);
    return a >= low.load(std::memory_order_relaxed) && a < high.load(std::memory_order_relaxed);
}

/// What a loaded module and its dependencies export; null also if the answer would be ourselves.
void* exported_by(const char* path, const char* name) noexcept {
    void* handle = ::dlopen(*path != '\0' ? path : nullptr, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == nullptr) return nullptr;
    void* found = real_dlsym(handle, name);
    // Ours is not the last reference, unless the engine closes the module this moment. Kept, it
    // would stop the engine from ever unloading one.
    reinterpret_cast<int (*)(void*)>(real_dlsym(RTLD_NEXT, "dlclose"))(handle);
    return found != nullptr && !is_ours(found) ? found : nullptr;
}

struct ModulePaths {
    static constexpr std::size_t max = 1024;
    FixedString<511> path[max];
    std::size_t count = 0;
};

int collect_path(dl_phdr_info* info, std::size_t, void* data) noexcept {
    auto& paths = *static_cast<ModulePaths*>(data);
    if (paths.count == ModulePaths::max) return 1;
    paths.path[paths.count].clear();
    if (paths.path[paths.count].append(info->dlpi_name)) ++paths.count;
    return 0;
}

void* exported_by_any(const char* name) noexcept {
    // Paths first, look-ups after: dlsym takes the lock that dl_iterate_phdr holds.
    static constinit std::atomic<int> busy{0};  // pid: a forked child must not wait for its parent
    static constinit ModulePaths paths{};
    const int self = ::getpid();
    int holder = 0;
    while (!busy.compare_exchange_weak(holder, self, std::memory_order_acquire)) {
        if (holder == self) holder = 0;
    }
    paths.count = 0;
    walk_modules(collect_path, &paths);
    void* found = nullptr;
    for (std::size_t i = 0; i < paths.count && found == nullptr; ++i) {
        found = exported_by(paths.path[i].c_str(), name);
    }
    busy.store(0, std::memory_order_release);
    return found;
}

void* find_in_scope(const Module& module, const char* name) noexcept {
    if (void* next = real_dlsym(RTLD_NEXT, name); next != nullptr && !is_ours(next)) return next;
    return exported_by(module.path.c_str(), name);
}

void* find_in(const Module& module, const char* name) noexcept {
    if (void* found = find_in_scope(module, name); found != nullptr) return found;
    return exported_by_any(name);
}

Target* add_target(HookId id, const void* caller) noexcept {
    const auto index = static_cast<std::size_t>(id);
    Module module = module_of(caller);
    if (module.high == 0) {
        module.low = reinterpret_cast<std::uintptr_t>(caller);
        module.high = module.low + 1;
    }
    const std::size_t slot = targets_used.fetch_add(1, std::memory_order_relaxed);
    if (slot >= max_targets) return nullptr;
    Target& target = target_pool[slot];
    target.low = module.low;
    target.size = module.high - module.low;
    target.real = find_in(module, hook_infos[index].name);
    target.name.append(module.path.empty() ? std::string_view{"main"} : file_name(module.path));
    const GlobList& exclude = session::config().exclude;
    target.excluded =
        exclude.matches(target.name) || exclude.matches(std::string_view{hook_infos[index].name});
    target.next = known_targets[index].load(std::memory_order_relaxed);
    while (!known_targets[index].compare_exchange_weak(
        target.next, &target, std::memory_order_release, std::memory_order_relaxed)) {
    }
    return &target;
}

Target* known_target(std::size_t index, const void* caller) noexcept {
    Target* t = known_targets[index].load(std::memory_order_acquire);
    while (t != nullptr && !t->contains(caller))
        t = t->next;
    return t;
}

Target* find_target(HookId id, const void* caller) noexcept {
    Target* known = known_target(static_cast<std::size_t>(id), caller);
    return known != nullptr ? known : add_target(id, caller);
}

/// As ld.so does when lazy binding fails: nothing else can be done for a call without a callee.
[[noreturn]] void no_such_function(const char* name) noexcept {
    FixedString<255> text{"symbol lookup error: undefined symbol: "};
    text.append(name);
    text.append("\n");
    (void)!::write(STDERR_FILENO, text.c_str(), text.size());
    ::_exit(127);
}

}  // namespace

void* real_dlsym(void* handle, const char* name) noexcept {
    using Dlsym = void* (*)(void*, const char*);
    void* real = __atomic_load_n(&orch_real_dlsym, __ATOMIC_ACQUIRE);
    if (real == nullptr) {
        // Moved from libdl into libc in glibc 2.34; 2.17 is where aarch64 begins.
        for (const char* version : {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"}) {
            real = ::dlvsym(RTLD_NEXT, "dlsym", version);
            if (real != nullptr) break;
        }
        if (real == nullptr) no_such_function("dlsym");
        __atomic_store_n(&orch_real_dlsym, real, __ATOMIC_RELEASE);
    }
    return reinterpret_cast<Dlsym>(real)(handle, name);
}

void* find_for_caller(const char* name, const void* caller) noexcept {
    return find_in(module_of(caller), name);
}

void* find_beside(const char* name, const void* function) noexcept {
    return exported_by(module_of(function).path.c_str(), name);
}

void forget_callers() noexcept {
    // The lists stay allocated: another thread may be walking one.
    for (auto& list : known_targets)
        list.store(nullptr, std::memory_order_release);
    for (std::size_t i = 0; i < hook_count; ++i)
        set_target(i, &nobody);
}

namespace {

Hook make_hook(void* real, bool active, const void* caller, const Target* target) noexcept {
    return {real,
            active && !Guard::inside() && (target == nullptr || !target->excluded),
            target != nullptr && target->contains(real),
            {caller, target}};
}

/// The first call of a caller, or one of a probe that is off.
Hook enter_unknown(HookId id, const void* caller, void* real) noexcept {
    const auto index = static_cast<std::size_t>(id);
    const bool active = session::probe_active(hook_infos[index].probe);
    orch_hook_active[index].store(active, std::memory_order_relaxed);
    const Target* target = nullptr;
    if (real == nullptr || active) {
        Target* found = find_target(id, caller);
        if (found != nullptr && !active && real == nullptr) set_target(index, found);
        target = found;
    }
    if (real == nullptr) {
        real = target != nullptr ? target->real : find_for_caller(hook_infos[index].name, caller);
    }
    if (real == nullptr) no_such_function(hook_infos[index].name);
    return make_hook(real, active, caller, target);
}

}  // namespace

Hook enter_hook(HookId id, const void* caller) noexcept {
    const auto index = static_cast<std::size_t>(id);
    void* const bound = orch_pending_real;
    if (bound != nullptr) orch_pending_real = nullptr;
    void* real = bound;
    const Target* target = known_target(index, caller);
    if (target != nullptr && real == nullptr) real = target->real;
    // A probe that is on stays on.
    const bool active = orch_hook_active[index].load(std::memory_order_relaxed);
    if (target == nullptr || real == nullptr || !active) return enter_unknown(id, caller, bound);
    return make_hook(real, true, caller, target);
}

CallerName caller_name(const CallSite& caller) noexcept {
    CallerName name;
    if (caller.module == nullptr) return name;
    name.append(caller.module->name);
    name.append("+0x");
    const std::uintptr_t offset =
        reinterpret_cast<std::uintptr_t>(caller.address) - caller.module->low;
    bool leading = true;
    for (int shift = 60; shift >= 0; shift -= 4) {
        const unsigned digit = (offset >> shift) & 15U;
        leading = leading && digit == 0 && shift != 0;
        if (!leading) name.append({&"0123456789abcdef"[digit], 1});
    }
    return name;
}

}  // namespace orch

// ---- dlsym: see dlsym_stub.S ------------------------------------------------------------------

namespace {

struct Intercepted {
    const void* address;
    long handled;
};

/// Index of the hook with this name, or hook_count.
std::size_t hook_named(const char* name) noexcept {
    const auto* end = std::end(orch::hook_infos);
    const auto* found = std::lower_bound(
        std::begin(orch::hook_infos), end, name,
        [](const orch::HookInfo& info, const char* n) { return std::strcmp(info.name, n) < 0; });
    if (found == end || std::strcmp(found->name, name) != 0) return orch::hook_count;
    return static_cast<std::size_t>(found - std::begin(orch::hook_infos));
}

const void* slot_for(std::size_t hook, void* real) noexcept {
    for (std::size_t k = 0; k < orch::slots_per_hook; ++k) {
        std::atomic<void*>& slot = orch_slots[hook * orch::slots_per_hook + k];
        void* bound = nullptr;
        if (slot.compare_exchange_strong(bound, real) || bound == real) {
            return orch::hook_slot_stubs[hook][k];
        }
    }
    return nullptr;  // more copies than slots: the caller gets the real one, unobserved
}

}  // namespace

namespace orch {

const void* stub_for_address(ProbeId probe, void* function) noexcept {
    if (!session::probe_active(probe) || is_ours(function)) return nullptr;
    // Asked hundreds of times in a row about one library: its exports are looked up once.
    static constinit std::atomic<bool> busy{false};
    static constinit std::uintptr_t known_module = 0;
    static constinit void* exported[hook_count] = {};
    bool free = false;
    while (!busy.compare_exchange_weak(free, true, std::memory_order_acquire))
        free = false;
    const Module module = module_of(function);
    if (known_module != module.low) {
        known_module = module.low;
        for (std::size_t i = 0; i < hook_count; ++i) {
            exported[i] = hook_infos[i].probe == probe
                              ? exported_by(module.path.c_str(), hook_infos[i].name)
                              : nullptr;
        }
    }
    std::size_t hook = 0;
    while (hook < hook_count && exported[hook] != function)
        ++hook;
    busy.store(false, std::memory_order_release);
    if (hook == hook_count) return nullptr;
    const void* stub = slot_for(hook, function);
    if (stub != nullptr) orch_hook_active[hook].store(true, std::memory_order_relaxed);
    return stub;
}

}  // namespace orch

extern "C" ORCH_HIDDEN Intercepted orch_intercept_dlsym(void* handle, const char* name,
                                                        const void* caller) noexcept {
    using namespace orch;
    if (__atomic_load_n(&orch_real_dlsym, __ATOMIC_ACQUIRE) == nullptr)
        real_dlsym(RTLD_NEXT, "dlsym");
    // RTLD_NEXT: another preload asks for what comes after it; whatever that is, it is right.
    if (name == nullptr || handle == RTLD_NEXT) return {nullptr, 0};
    if (handle != RTLD_DEFAULT && !session::enabled()) return {nullptr, 0};
    const std::size_t hook = hook_named(name);
    if (hook == hook_count) return {nullptr, 0};
    if (handle == RTLD_DEFAULT) {
        // Ours is found there even where the caller would find none; then it must not be.
        if (find_in_scope(module_of(caller), name) != nullptr) return {nullptr, 0};
        return {nullptr, 1};
    }
    if (!session::probe_active(hook_infos[hook].probe)) return {nullptr, 0};
    void* real = real_dlsym(handle, name);
    if (real == nullptr || is_ours(real)) return {nullptr, 0};
    const void* stub = slot_for(hook, real);
    if (stub == nullptr) return {nullptr, 0};
    orch_hook_active[hook].store(true, std::memory_order_relaxed);
    return {stub, 1};
}
