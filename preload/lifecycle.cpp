// The ways a process ends. exit() and a return from main run our destructor; quick_exit, _exit and
// abort do not, so they are interposed. SIGKILL runs nothing at all: then the file ends with the
// last whole line that was written.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace {

/// A vfork child shares our memory but is another process: nothing here is its to finish.
void finish_if_own() noexcept {
    const orch::Trace* trace = orch::session::running_trace();
    if (trace == nullptr || trace->pid() == ::getpid()) orch::session::finish();
}

__attribute__((destructor)) void at_library_exit() {
    finish_if_own();
}

template <class Function>
Function next(const char* name) noexcept {
    return reinterpret_cast<Function>(orch::real_dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

// Fork workers of Python and many a C++ engine end this way.
ORCH_EXPORT __attribute__((noreturn)) void _exit(int status) {
    finish_if_own();
    next<void (*)(int)>("_exit")(status);
    __builtin_unreachable();
}

ORCH_EXPORT __attribute__((noreturn)) void _Exit(int status) {
    finish_if_own();
    next<void (*)(int)>("_Exit")(status);
    __builtin_unreachable();
}

// Its own call of _exit cannot be interposed. Handlers that compute after this are written at once.
ORCH_EXPORT __attribute__((noreturn)) void quick_exit(int status) {
    finish_if_own();
    next<void (*)(int)>("quick_exit")(status);
    __builtin_unreachable();
}

ORCH_EXPORT __attribute__((noreturn)) void abort() {
    finish_if_own();
    next<void (*)()>("abort")();
    __builtin_unreachable();
}
}
