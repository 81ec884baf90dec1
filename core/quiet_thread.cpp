#include "core/quiet_thread.hpp"

#include <pthread.h>

#include <csignal>

namespace orch {

bool start_quiet_thread(void* (*main)(void*), void* argument) noexcept {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, 256 * 1024);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int failed = ::pthread_create(&thread, &attributes, main, argument);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    return failed == 0;
}

}  // namespace orch
