// dlclose: a module's addresses may be another's after it.
#include <dlfcn.h>

#include "preload/resolver.hpp"

extern "C" ORCH_EXPORT int dlclose(void* handle) {
    const int result =
        reinterpret_cast<int (*)(void*)>(orch::real_dlsym(RTLD_NEXT, "dlclose"))(handle);
    orch::forget_callers();
    return result;
}
